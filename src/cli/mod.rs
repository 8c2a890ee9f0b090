//! The command line: flags, paths, environment, stdout, signals and exit codes live here and nowhere else.
//!
//! One file a command. Commands turn flags into a stage's own configuration and stage errors into one sentence.

mod ca;
mod compare;
mod config;
mod console;
mod correlate;
mod data;
mod demo;
mod exit;
mod export;
mod import;
mod inspect;
mod mark;
mod output;
mod record;
mod redact;
mod repair;
mod replay;
mod shell;
mod signals;
mod verify;

use clap::{Parser, Subcommand};

pub use console::Console;
pub use exit::{CliError, Exit};

/// Record real web sessions, play them back for many users, see what got slower.
#[derive(Debug, Parser)]
#[command(name = "overdub", version, about, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole pipeline on the built-in sample site; ends with a report
    Demo(demo::Arguments),
    /// Record traffic through a proxy into a capture
    Record(Box<record::Arguments>),
    /// Name the transaction that begins in a running recording
    Mark(mark::Arguments),
    /// Make a capture of packet captures, HAR, mitmproxy or GoReplay files
    Import(import::Arguments),
    /// Write a capture in another tool's format
    Export(export::Arguments),
    /// Show what a capture holds: sessions, exchanges, one exchange
    Inspect(inspect::Arguments),
    /// Check the integrity of a capture
    Verify(verify::Arguments),
    /// Rewrite what can be saved of a damaged capture
    Repair(repair::Arguments),
    /// Find every dynamic value of a capture and how to obtain it anew
    Correlate(correlate::Arguments),
    /// Play a capture back against a test environment
    Replay(replay::Arguments),
    /// Compare recorded with replayed, or run with run
    Compare(compare::Arguments),
    /// Show, export or locate the interception root certificate
    Ca(ca::Arguments),
    /// Print a shell completion script or the man page
    #[command(hide = true)]
    Shell(shell::Arguments),
}

/// Runs the command that the arguments name.
///
/// # Errors
/// One sentence for the user, and the exit code.
pub fn run(arguments: Arguments) -> Result<Exit, CliError> {
    signals::survive_file_limit()?;
    match arguments.command {
        Command::Demo(a) => demo::run(a),
        Command::Record(a) => record::run(*a),
        Command::Mark(a) => mark::run(&a),
        Command::Import(a) => import::run(&a),
        Command::Export(a) => export::run(&a),
        Command::Inspect(a) => inspect::run(&a),
        Command::Verify(a) => verify::run(&a),
        Command::Repair(a) => repair::run(&a),
        Command::Correlate(a) => correlate::run(&a),
        Command::Replay(a) => replay::run(a),
        Command::Compare(a) => compare::run(&a),
        Command::Ca(a) => ca::run(&a),
        Command::Shell(a) => shell::run(&a),
    }
}
