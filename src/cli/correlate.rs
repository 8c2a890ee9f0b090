//! `overdub correlate`.

use super::{CliError, Exit};

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Runs the command.
pub fn run(_arguments: &Arguments) -> Result<Exit, CliError> {
    todo!()
}
