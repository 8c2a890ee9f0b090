//! Parse, dispatch, exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use overdub::cli;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { cli::Exit::Usage.code() } else { 0 });
        }
    };
    match cli::run(arguments) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "overdub: {error}");
            ExitCode::from(error.exit.code())
        }
    }
}
