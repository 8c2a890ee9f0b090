//! `overdub shell`: completion scripts and the man page, for packagers.

use clap::CommandFactory;

use super::{CliError, Exit, ca};

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum Output {
    /// Print the completion script of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page of the program or of one command
    Man {
        /// Command, such as `record`
        command: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// When there is no such command or stdout cannot be written.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let mut program = super::Arguments::command();
    let mut bytes = Vec::new();
    match &arguments.output {
        Output::Completions { shell } => clap_complete::generate(*shell, &mut program, "overdub", &mut bytes),
        Output::Man { command } => {
            program.build();
            let page = match command {
                None => program,
                Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
                    CliError::new(Exit::Usage, format!("there is no command `{name}`; `overdub --help` lists them"))
                })?,
            };
            clap_mangen::Man::new(page)
                .render(&mut bytes)
                .map_err(|error| CliError::because(Exit::Broken, "cannot make the man page", &error))?;
        }
    }
    ca::print(&String::from_utf8_lossy(&bytes))
}
