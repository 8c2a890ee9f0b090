//! The rules file: TOML that people read and edit.

/// Everything a replay must know beyond the capture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    _private: (),
}

/// What is wrong with a rules file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct RulesError {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong and what is expected.
    pub what: String,
}

impl RuleSet {
    /// Reads a rules file.
    ///
    /// # Errors
    /// With line and column, when it is not TOML, has unknown keys or values that make no sense.
    pub fn parse(_text: &str) -> Result<Self, RulesError> {
        todo!()
    }

    /// The file's text; `parse` of it gives the same rules back.
    pub fn print(&self) -> String {
        todo!()
    }
}
