//! Reads the data file that makes virtual users different people.

use std::path::Path;

use super::{CliError, Exit};
use crate::model::DataTable;

/// The table in a CSV file, whose first row names the columns.
///
/// # Errors
/// One sentence when it cannot be read, is empty, or a row is shorter or longer than the header.
pub fn read(path: &Path) -> Result<DataTable, CliError> {
    let bytes = std::fs::read(path)
        .map_err(|e| CliError::because(Exit::Usage, format!("cannot read the data file {}", path.display()), &e))?;
    parse(&bytes).map_err(|what| CliError::new(Exit::Usage, format!("{}: {what}", path.display())))
}

fn parse(bytes: &[u8]) -> Result<DataTable, String> {
    // Spreadsheets put a byte order mark before the first column's name.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(bytes);
    let header = reader.headers().map_err(|e| in_words(&e))?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    if columns.iter().all(String::is_empty) {
        return Err("the data file is empty; its first line must name the columns".to_owned());
    }
    if let Some(nameless) = columns.iter().position(String::is_empty) {
        return Err(format!("line 1: column {} has no name", nameless + 1));
    }
    for (at, name) in columns.iter().enumerate() {
        if columns[..at].contains(name) {
            return Err(format!("line 1: the column `{name}` is there twice"));
        }
    }
    let rows = reader
        .records()
        .map(|row| row.map(|row| row.iter().map(str::to_owned).collect()))
        .collect::<Result<Vec<Vec<String>>, _>>()
        .map_err(|e| in_words(&e))?;
    if rows.is_empty() {
        return Err("the data file has column names but no rows".to_owned());
    }
    Ok(DataTable { columns, rows })
}

fn in_words(error: &csv::Error) -> String {
    let line = error.position().map_or_else(String::new, |at| format!("line {}: ", at.line()));
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{line}{len} values, but the first line names {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { .. } => format!("{line}not UTF-8 text"),
        _ => format!("{line}not CSV: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_and_rows() {
        let table = parse("\u{feff}name, password\r\nada,\"a,b\"\r\nbob, c \r\n".as_bytes()).unwrap();
        assert_eq!(table.columns, ["name", "password"]);
        assert_eq!(table.rows, [["ada", "a,b"], ["bob", " c "]]);
    }

    #[test]
    fn what_is_wrong_with_a_data_file_is_said_with_its_line() {
        for (text, sentence) in [
            (&b""[..], "the data file is empty; its first line must name the columns"),
            (b"\n\n", "the data file is empty; its first line must name the columns"),
            (b"a,b\n", "the data file has column names but no rows"),
            (b"a,b\n1,2\n3\n", "line 3: 1 values, but the first line names 2 columns"),
            (b"a,a\n1,2\n", "line 1: the column `a` is there twice"),
            (b"a,,c\n1,2,3\n", "line 1: column 2 has no name"),
            (b"a\n\xff\xfe\n", "line 2: not UTF-8 text"),
        ] {
            assert_eq!(parse(text).unwrap_err(), sentence);
        }
    }
}
