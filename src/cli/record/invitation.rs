//! Whom a recording accompanies: a browser, a command, or nobody, as the command line says; and what that program must know
//! of the recording.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::cli::CliError;
use crate::record::CertificateAuthority;

use super::browser::{self, Window};
use super::command;

/// Flags that name a program.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Record a browser: an isolated Chromium, Chrome or Edge with proxy and certificate in place opens here, and the
    /// recording ends when it closes
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = browser::START_PAGE, conflicts_with = "command")]
    browser: Option<String>,
    /// Browser to start [default: the first of Chromium, Chrome, Edge that is found]
    #[arg(long, env = "OVERDUB_BROWSER_PATH", value_name = "FILE")]
    browser_path: Option<PathBuf>,
    /// Start the browser without a window, until a signal ends the recording
    #[arg(long, requires = "browser")]
    headless: bool,
    /// Record a command: it gets proxy and trust store through the environment variables of the usual runtimes, the
    /// recording ends when it ends, and its exit code is passed on (127 when there is no such command, 128 and the
    /// signal's number when a signal ended it; the code of a recording that failed goes before)
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Who is to come along, found and fit to start.
#[derive(Debug)]
pub(super) enum Invitation {
    /// Whoever sets the proxy.
    Nobody,
    /// A browser of ours.
    Browser(PathBuf, Window),
    /// A command: its file, and its name and arguments as they were written.
    Command(PathBuf, Vec<OsString>),
}

/// What a companion must know of the recording.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Where the proxy listens.
    pub(super) listening: SocketAddr,
    /// The root's certificate in PEM.
    pub(super) root_pem: String,
    /// The same in DER.
    pub(super) root_der: Vec<u8>,
    /// The pin of the root's key.
    pub(super) pin: String,
}

impl Host {
    /// With this root, at the address that was asked for.
    pub(super) fn of(authority: &CertificateAuthority, listening: SocketAddr) -> Self {
        Self {
            listening,
            root_pem: authority.certificate_pem().to_owned(),
            root_der: authority.certificate_der().to_vec(),
            pin: authority.public_key_pin(),
        }
    }

    /// The proxy's address as a program of this machine dials it.
    pub(super) fn proxy(&self) -> SocketAddr {
        let mut address = self.listening;
        if address.ip().is_unspecified() {
            let loopback: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            address.set_ip(loopback);
        }
        address
    }
}

impl Flags {
    /// Finds the program.
    ///
    /// # Errors
    /// When there is none, or it could not run.
    pub(super) fn invitation(&self) -> Result<Invitation, CliError> {
        if let Some(url) = &self.browser {
            let window = Window::new(url, self.headless)?;
            return Ok(Invitation::Browser(browser::find(self.browser_path.as_deref())?, window));
        }
        match self.command.first() {
            Some(program) => Ok(Invitation::Command(command::find(program)?, self.command.clone())),
            None => Ok(Invitation::Nobody),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine_dials_loopback_when_the_proxy_listens_everywhere() {
        for (listening, dialled) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.7:1", "192.0.2.7:1")]
        {
            let host = Host {
                listening: listening.parse().unwrap(),
                root_pem: String::new(),
                root_der: Vec::new(),
                pin: String::new(),
            };
            assert_eq!(host.proxy().to_string(), dialled);
        }
    }
}
