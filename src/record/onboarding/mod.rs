//! What the proxy says for itself, at `http://overdub.test/` and at its own address: its root certificate, how a device
//! comes to trust it, and whether it does. Pure: a request target gives a [`Page`]; nothing of it is an exchange.
//! Main type: [`Onboarding`].

mod profile;
mod secure;
mod trust;

use std::net::{IpAddr, SocketAddr};

use crate::model::Origin;
use crate::wire::http1::RequestHead;
use crate::wire::text::html_escape;

use super::error::AuthorityError;
use super::pages::{Kind, Page};
use super::target::{RouteError, Routed};
use super::tls::authority::{CertificateAuthority, RootDetails};

pub(super) use secure::secured;
pub use trust::TrustBundle;

/// The name under which the proxy answers itself. `.test` never is anybody's (RFC 6761).
pub const OWN_HOST: &str = "overdub.test";
/// The set-up page, with `{{names}}` to fill in.
const SET_UP: &str = include_str!("set-up.html");
/// What the set-up page loads to find out whether the device trusts us.
const MARK: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"8\" height=\"8\"><circle cx=\"4\" cy=\"4\" r=\"4\" \
                    fill=\"#1a7f37\"/></svg>";

/// The pages of one recording.
#[derive(Debug)]
pub(super) struct Onboarding {
    der: Vec<u8>,
    pem: String,
    root: RootDetails,
    profile: String,
    /// Devices have to give credentials to the proxy.
    guarded: bool,
}

impl Onboarding {
    /// Offers the certificate of this root.
    pub(super) fn new(authority: &CertificateAuthority) -> Result<Self, AuthorityError> {
        let root = authority.details()?;
        let der = authority.certificate_der().to_vec();
        let profile = profile::of(&der, &common_name(&root.subject), &root.fingerprint);
        Ok(Self { pem: authority.certificate_pem().to_owned(), der, root, profile, guarded: false })
    }

    /// The same, and says that devices have to give credentials to the proxy, if it is `guarded`.
    pub(super) fn guarded(self, guarded: bool) -> Self {
        Self { guarded, ..self }
    }

    /// The answer when a request is for the proxy itself, which the client reaches at `local`; none when it is not.
    pub(super) fn answer(
        &self,
        head: &RequestHead,
        routed: &Result<Routed, RouteError>,
        local: SocketAddr,
    ) -> Option<Page> {
        let (target, otherwise) = match routed {
            Ok(Routed { origin, target, .. }) if is_own_host(&origin.host) => (target, Some(Page::missing())),
            // Somebody may have taken the proxy for the server under test: only what we have is ours.
            Ok(Routed { origin, target, .. }) if is_at(origin, local) => (target, None),
            Err(RouteError::NotProxied) => (&head.target, None),
            _ => return None,
        };
        self.page(&head.method, target, local).or(otherwise)
    }

    /// What stands at a path.
    fn page(&self, method: &str, target: &[u8], local: SocketAddr) -> Option<Page> {
        if !matches!(method, "GET" | "HEAD") {
            return None;
        }
        let path = target.split(|&b| b == b'?').next().unwrap_or_default();
        Some(match path {
            b"/" => Page::own(Kind::Html, self.set_up(local)),
            b"/ca.pem" => Page::own(Kind::Download("application/x-pem-file", "overdub-ca.pem"), self.pem.clone()),
            b"/ca.crt" | b"/ca.cer" => {
                Page::own(Kind::Download("application/x-x509-ca-cert", "overdub-ca.crt"), self.der.clone())
            }
            b"/ca.mobileconfig" => {
                let kind = Kind::Download("application/x-apple-aspen-config", "overdub-ca.mobileconfig");
                Page::own(kind, self.profile.clone())
            }
            b"/ok.svg" => Page::own(Kind::Svg, MARK),
            _ => return None,
        })
    }

    fn set_up(&self, local: SocketAddr) -> String {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        fill(
            SET_UP,
            &[
                ("proxy", &local.to_string()),
                ("host", &local.ip().to_string()),
                ("port", &local.port().to_string()),
                ("name", &common_name(&self.root.subject)),
                ("fingerprint", &self.root.fingerprint),
                ("until", &self.root.not_after),
                ("credentials", if self.guarded { "wanted" } else { "none" }),
            ],
        )
    }
}

/// Whether this is the name the proxy answers to.
pub(in crate::record) fn is_own_host(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(OWN_HOST)
}

/// Whether this is the address at which a client reaches the proxy.
fn is_at(origin: &Origin, local: SocketAddr) -> bool {
    let is_local = |ip: IpAddr| ip.to_canonical() == local.ip().to_canonical();
    origin.port == local.port() && origin.dial_host().parse().is_ok_and(is_local)
}

/// The common name in a subject as x509-parser writes it.
fn common_name(subject: &str) -> String {
    let name = subject.split(", ").find_map(|part| part.strip_prefix("CN="));
    name.unwrap_or(subject).to_owned()
}

/// A template with its `{{names}}` replaced by values, which are text and never markup.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, tail)| Some((before, tail.split_once("}}")?)))
    {
        out.push_str(before);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(&html_escape(value)),
            None => out.extend(["{{", name, "}}"]),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
