//! Data files: CSV with a header row, one row for each virtual user.

use std::collections::BTreeSet;
use std::path::Path;

use crate::model::DataTable;

use super::{CliError, Exit};

/// Reads a data file.
///
/// # Errors
/// One sentence, when it cannot be read, has no header or no rows, a column twice, or a row of another length.
pub(super) fn read_table(path: &Path) -> Result<DataTable, CliError> {
    let bytes = std::fs::read(path)
        .map_err(|e| CliError::because(Exit::Usage, format_args!("cannot read {}", path.display()), &e))?;
    parse_table(&bytes).map_err(|what| CliError::new(Exit::Usage, format!("{}: {what}", path.display())))
}

fn parse_table(bytes: &[u8]) -> Result<DataTable, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(false).trim(csv::Trim::Headers).from_reader(bytes);
    let columns: Vec<String> = reader.headers().map_err(|e| describe(&e))?.iter().map(str::to_owned).collect();
    if columns.is_empty() || columns.iter().all(String::is_empty) {
        return Err("the file is empty; its first line must name the columns".to_owned());
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|c| !seen.insert(c.as_str())) {
        return Err(format!("the column `{twice}` is there twice"));
    }
    let rows = reader
        .records()
        .map(|record| record.map(|r| r.iter().map(str::to_owned).collect()).map_err(|e| describe(&e)))
        .collect::<Result<Vec<Vec<String>>, String>>()?;
    if rows.is_empty() {
        return Err("the file has a header but no rows".to_owned());
    }
    Ok(DataTable { columns, rows })
}

fn describe(error: &csv::Error) -> String {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("line {line} has {len} fields, the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => format!("line {line} is not UTF-8"),
        _ => format!("line {line} is not CSV"),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_table;

    #[test]
    fn tables_are_read() {
        let table = parse_table(b"\xef\xbb\xbfuser, pass\r\nann,\"a,1\"\r\nbob,b\r\n").unwrap();
        assert_eq!(table.columns, ["user", "pass"]);
        assert_eq!(table.rows, [["ann", "a,1"], ["bob", "b"]]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, words) in [
            (&b""[..], "empty"),
            (b"a,b\n", "no rows"),
            (b"a,a\n1,2\n", "twice"),
            (b"a,b\n1,2\n3\n", "line 3 has 1 fields"),
            (b"a\n\xff\n", "not UTF-8"),
        ] {
            let error = parse_table(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
