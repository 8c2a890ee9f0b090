//! `overdub.toml` in the current directory: settings that are too long for flags. A flag or variable goes before them.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::{CliError, Exit};

const NAME: &str = "overdub.toml";

/// What the file may say.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) redact: Redact,
}

/// `[redact]`
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Redact {
    /// Fields that hold secrets, beside those known by themselves; `*` stands for anything.
    pub(super) names: Vec<String>,
    /// Regular expressions of secrets.
    pub(super) patterns: Vec<String>,
    /// Fields that hold none.
    pub(super) keep: Vec<String>,
    /// Whether what looks like a national id is one.
    pub(super) national_ids: bool,
}

/// The file of the current directory; without one, nothing.
///
/// # Errors
/// When it cannot be read or is no such file.
pub(super) fn read() -> Result<File, CliError> {
    let bytes = match std::fs::read_to_string(Path::new(NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(CliError::because(Exit::Usage, format_args!("cannot read {NAME}"), &error)),
    };
    toml::from_str(&bytes).map_err(|error| CliError::because(Exit::Usage, NAME, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_others_are_passed_over_and_slips_in_ours_are_not() {
        let file: File = toml::from_str("[redact]\nnames = ['a*']\nnational_ids = true\n[record]\nx = 1\n").unwrap();
        assert_eq!((file.redact.names, file.redact.national_ids), (vec!["a*".to_owned()], true));
        assert_eq!(toml::from_str::<File>("").unwrap(), File::default());
        assert!(toml::from_str::<File>("[redact]\nname = ['a']\n").is_err());
    }
}
