//! What `overdub record` takes and says about TLS.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::record::{ClientIdentity, Consequence, HostPattern, Passed, Refusal, Rejection, Remarks, TlsOptions};

use super::super::{CliError, Console, Exit};
use super::{clean, count};

/// Flags about TLS.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// PEM file with a certificate, its chain and its key to show to servers that ask; HOST limits it to one (may repeat)
    #[arg(long, env = "OVERDUB_CLIENT_CERT", value_name = "[HOST=]FILE", value_delimiter = ',')]
    client_cert: Vec<ClientCert>,
    /// Do not intercept TLS to this host, or host:port; `*` and `?` are wildcards (may repeat)
    #[arg(long, env = "OVERDUB_PASSTHROUGH", value_name = "HOST", value_delimiter = ',')]
    passthrough: Vec<HostPattern>,
    /// Go on intercepting hosts for clients that refuse our certificate
    #[arg(long, env = "OVERDUB_NO_AUTO_PASSTHROUGH", value_parser = clap::builder::FalseyValueParser::new())]
    no_auto_passthrough: bool,
    /// Append the secrets of all TLS connections to this file, for Wireshark and `import --keylog`
    #[arg(long, env = "OVERDUB_KEYLOG", value_name = "FILE")]
    keylog: Option<PathBuf>,
}

/// A file, and the servers it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ClientCert {
    hosts: Option<HostPattern>,
    file: PathBuf,
}

impl std::str::FromStr for ClientCert {
    type Err = crate::record::HostPatternError;

    /// A path with `=` in it has to begin with a directory (`./a=b.pem`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((host, file)) if !host.contains('/') => Ok(Self { hosts: Some(host.parse()?), file: file.into() }),
            _ => Ok(Self { hosts: None, file: text.into() }),
        }
    }
}

impl Flags {
    /// What they ask for.
    ///
    /// # Errors
    /// When a certificate cannot be read or used.
    pub(super) fn options(&self) -> Result<TlsOptions, CliError> {
        let identities = self.client_cert.iter().map(ClientCert::load).collect::<Result<_, _>>()?;
        Ok(TlsOptions {
            identities,
            passthrough: self.passthrough.clone(),
            auto_passthrough: !self.no_auto_passthrough,
            keylog: self.keylog.clone(),
        })
    }
}

impl ClientCert {
    fn load(&self) -> Result<ClientIdentity, CliError> {
        let file = self.file.display();
        let pem = fs::read(&self.file)
            .map_err(|error| CliError::because(Exit::Usage, format_args!("cannot read {file}"), &error))?;
        ClientIdentity::from_pem(&pem, self.hosts.clone()).map_err(|error| {
            CliError::because(Exit::Usage, format_args!("{file} is no client certificate with its key"), &error)
        })
    }
}

/// What to say when a client refuses our certificate.
pub(super) fn refused(host: &str, client: IpAddr, refusal: &Refusal, then: Consequence, root: &Path) -> String {
    let what = format!(
        "{}: the client at {client} does not take our certificate ({})",
        clean(host),
        clean(&refusal.to_string())
    );
    let root = root.display();
    match then {
        Consequence::PassedThrough(Some(term)) => format!(
            "{what}; its connections to this host pass unrecorded from now on, and it is tried again after {}; to be \
             recorded it has to trust {root}",
            minutes(term)
        ),
        Consequence::PassedThrough(None) => format!(
            "{what}, though it does for other hosts: a pinned certificate; its connections to this host pass unrecorded \
             from now on"
        ),
        Consequence::AcceptedBefore => format!(
            "{what}, though that address has taken it before; if this happens again, another program there does not trust \
             {root}, or `--passthrough {}` lets the host pass",
            clean(host)
        ),
        Consequence::NotWanted | Consequence::Unproven => format!("{what}; to be recorded it has to trust {root}"),
    }
}

/// What TLS was not recorded, and why.
pub(super) fn sum_up(console: Console, remarks: &Remarks, root: &Path) {
    if !remarks.rejected.is_empty() {
        console.say("hosts whose certificate from us clients did not take:");
        for Rejection { host, times, accepted, refusal } in &remarks.rejected {
            let refusal = clean(&refusal.to_string());
            console.say(format_args!(
                "  {times:>6}  {} ({refusal}; taken on {})",
                clean(host),
                count(*accepted, "connection")
            ));
        }
        console.say(format_args!("  clients have to trust {} (see `overdub ca show`)", root.display()));
    }
    if !remarks.passed.is_empty() {
        console.say("TLS that passed and was not recorded:");
        for Passed { host, times, reason } in &remarks.passed {
            console.say(format_args!("  {times:>6}  {} ({})", clean(host), clean(&reason.to_string())));
        }
    }
    if remarks.lost_secrets > 0 {
        console.warn(format_args!("{} missing from the key log", count(remarks.lost_secrets, "TLS secret")));
    }
}

fn minutes(term: Duration) -> String {
    count(term.as_secs().div_ceil(60), "minute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_certificate_may_be_for_one_host() {
        for (text, host, file) in [
            ("me.pem", None, "me.pem"),
            ("shop.test=me.pem", Some("shop.test"), "me.pem"),
            ("*.test:8443=a=b.pem", Some("*.test:8443"), "a=b.pem"),
            ("./a=b.pem", None, "./a=b.pem"),
        ] {
            let hosts = host.map(|host| host.parse().unwrap());
            assert_eq!(text.parse(), Ok(ClientCert { hosts, file: file.into() }), "{text}");
        }
        assert!("=me.pem".parse::<ClientCert>().is_err());
    }
}
