//! What to record, and how: what the command line decides before a recording starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::wire::identity::UserBy;
use crate::wire::redact::Redactor;

use super::chain::Egress;
use super::credentials::Door;
use super::filter::Filter;
use super::reverse::{Address, Reverse};
use super::tls::TlsOptions;
use super::tls::authority::CertificateAuthority;
use super::tls::trust::UpstreamTrust;

/// What to record, where from and where to.
#[derive(Debug)]
pub struct Config {
    /// Addresses of the proxy, at least one; port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// How traffic reaches them.
    pub mode: Mode,
    /// The way to servers.
    pub egress: Egress,
    /// Who has to give credentials, in the modes in which clients know the proxy.
    pub door: Door,
    /// By what the people recorded at once are told apart.
    pub user_by: UserBy,
    /// The capture; an existing file is replaced.
    pub output: PathBuf,
    /// Root of the certificates that clients see.
    pub authority: CertificateAuthority,
    /// Whose certificates are believed of servers.
    pub trust: UpstreamTrust,
    /// What else is asked of TLS.
    pub tls: TlsOptions,
    /// What becomes of hints at HTTP/3.
    pub hints: Http3Hints,
    /// What is kept in the capture.
    pub filter: Filter,
    /// Replaces secrets before they reach the capture.
    pub redactor: Option<Redactor>,
}

/// What becomes of hints of a server that it speaks HTTP/3 as well (RFC 7838): clients that follow them leave the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http3Hints {
    /// Taken out of what clients get; the capture has them, and says so.
    #[default]
    Removed,
    /// Left as they are.
    Passed,
}

/// How traffic reaches the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Clients name the proxy as their HTTP proxy; SOCKS 5 is understood on the same port.
    #[default]
    Forward,
    /// Clients take the proxy for the server.
    Reverse(Reverse),
    /// Clients name the proxy as their SOCKS 5 proxy.
    Socks5,
    /// Clients do not know; the system redirects their connections (Linux).
    Transparent,
}

impl Config {
    /// A forward proxy that reaches servers directly, believes the system's roots, and tells people apart by whatever tells.
    pub fn new(listen: SocketAddr, output: PathBuf, authority: CertificateAuthority) -> Self {
        let trust = UpstreamTrust::default();
        let (mode, egress, door, user_by) = (Mode::default(), Egress::default(), Door::default(), UserBy::default());
        let (tls, hints, filter) = (TlsOptions::default(), Http3Hints::default(), Filter::default());
        let redactor = None;
        Self {
            listen: vec![listen],
            mode,
            egress,
            door,
            user_by,
            output,
            authority,
            trust,
            tls,
            hints,
            filter,
            redactor,
        }
    }
}

/// Where the traffic came from, and what was changed on its way, for readers of the capture.
pub(super) fn source(mode: &Mode, addresses: &[SocketAddr]) -> String {
    let places = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    match mode {
        Mode::Forward => format!("proxy {places}"),
        Mode::Socks5 => format!("SOCKS proxy {places}"),
        Mode::Transparent => format!("transparent proxy {places}"),
        Mode::Reverse(Reverse { origin, address: Address::Kept }) => format!("reverse proxy {places} for {origin}"),
        Mode::Reverse(Reverse { origin, address: Address::Translated }) => format!(
            "reverse proxy {places} for {origin}, as the server saw and said it; for clients Host, Origin, Referer, redirects, \
             cookie attributes and Strict-Transport-Security were changed on the way"
        ),
    }
}
