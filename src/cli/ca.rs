//! `overdub ca`: the interception root, shown, exported, located.

use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::record::{AuthorityError, CertificateAuthority};

use super::{CliError, Console, Exit};

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    directory: Directory,
    #[command(subcommand)]
    action: Action,
}

/// Where the root is kept.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Directory {
    /// Directory of the interception root [default: $XDG_DATA_HOME/overdub or ~/.local/share/overdub]
    #[arg(long, global = true, env = "OVERDUB_CA_DIR", value_name = "DIR")]
    ca_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print subject, fingerprint, validity and path of the root
    Show,
    /// Write the root certificate (PEM, without the key) to stdout or a file
    Export {
        /// File to write instead of stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the path of the root certificate
    Path,
}

impl Directory {
    /// The root in that directory, made on first use.
    ///
    /// # Errors
    /// When no directory is known, or the root in it cannot be used.
    pub(super) fn authority(&self) -> Result<CertificateAuthority, CliError> {
        let dir = match &self.ca_dir {
            Some(dir) => dir.clone(),
            None => data_home()
                .ok_or_else(|| {
                    CliError::new(Exit::Usage, "no home directory is known; name a directory with --ca-dir DIR")
                })?
                .join("overdub"),
        };
        CertificateAuthority::load_or_create(&dir).map_err(|error| {
            let exit = if matches!(error, AuthorityError::Mint(_)) { Exit::Broken } else { Exit::Usage };
            CliError::because(exit, "cannot use the interception root", &error)
        })
    }
}

fn data_home() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))
}

/// Runs the command.
///
/// # Errors
/// When the root cannot be used or the output cannot be written.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let authority = arguments.directory.authority()?;
    let path = authority.certificate_path().map(|path| path.display().to_string()).unwrap_or_default();
    let text = match &arguments.action {
        Action::Path => format!("{path}\n"),
        Action::Export { output: None } => authority.certificate_pem().to_owned(),
        Action::Export { output: Some(file) } => {
            fs::write(file, authority.certificate_pem()).map_err(|error| {
                CliError::because(Exit::Usage, format_args!("cannot write {}", file.display()), &error)
            })?;
            return Ok(Exit::Passed);
        }
        Action::Show => {
            let details = authority
                .details()
                .map_err(|error| CliError::because(Exit::Usage, "cannot use the interception root", &error))?;
            format!(
                "subject      {}\nsha-256      {}\nvalid from   {}\nvalid until  {}\npath         {path}\n",
                details.subject, details.fingerprint, details.not_before, details.not_after
            )
        }
    };
    print(&text)
}

/// Data to stdout; a reader that has gone is none of our business.
pub(super) fn print(text: &str) -> Result<Exit, CliError> {
    let mut out = Console::new(false).data();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::because(Exit::Broken, "cannot write to stdout", &error))
        }
        _ => Ok(Exit::Passed),
    }
}
