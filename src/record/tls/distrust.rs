//! Why a server's certificate is not believed, in words for people. Main type: [`Distrust`].

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{AccessDescription, FromDer};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

/// More names than these are only counted.
const SHOWN_NAMES: usize = 5;
/// OID of `id-ad-caIssuers` (RFC 5280 §4.2.2.1).
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::record) enum Distrust {
    #[error("it expired on {0}")]
    Expired(String),
    #[error("it is not valid before {0}")]
    NotYetValid(String),
    #[error("it is for {presented}, not for {asked}")]
    WrongName { asked: String, presented: String },
    #[error("it is signed by itself, and nobody said to trust it")]
    SelfSigned,
    #[error("its issuer \"{issuer}\" is not trusted here, and the server sent no certificate of that issuer")]
    NoIssuer { issuer: String, download: Option<String> },
    #[error("its chain ends at \"{0}\", which is not trusted here")]
    UnknownRoot(String),
    #[error("it was revoked")]
    Revoked,
    #[error("it cannot be checked: {0}")]
    Other(String),
}

impl From<&CertificateError> for Distrust {
    /// What the verifier put into the error; of another's error, that itself.
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::Other(other) => {
                other.0.downcast_ref().cloned().unwrap_or_else(|| Self::Other(other.0.to_string()))
            }
            error => Self::Other(error.to_string()),
        }
    }
}

impl Distrust {
    /// From what the verifier found, and the chain it looked at.
    pub(in crate::record) fn of(
        error: CertificateError,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
    ) -> Self {
        match error {
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(date(not_after)),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid(date(not_before)),
            CertificateError::NotValidForNameContext { .. } | CertificateError::NotValidForName => {
                Self::WrongName { asked: asked.to_str().into_owned(), presented: names(leaf) }
            }
            CertificateError::UnknownIssuer => Self::unknown_issuer(leaf, chain).unwrap_or_else(|| Self::from(&error)),
            CertificateError::Revoked => Self::Revoked,
            // What many tools make when asked for a self-signed certificate says of itself that it is an authority's.
            CertificateError::Other(_) => match X509Certificate::from_der(leaf) {
                Ok((_, leaf)) if is_self_signed(&leaf) => Self::SelfSigned,
                _ => Self::from(&error),
            },
            other => Self::from(&other),
        }
    }

    /// Follows the chain as far as the server sent it. None when a certificate cannot be read.
    fn unknown_issuer(leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Option<Self> {
        let leaf = X509Certificate::from_der(leaf).ok()?.1;
        if is_self_signed(&leaf) {
            return Some(Self::SelfSigned);
        }
        let chain: Vec<_> = chain.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        let mut last = &leaf;
        for _ in 0..chain.len() {
            match chain.iter().find(|next| next.subject().as_raw() == last.issuer().as_raw()) {
                Some(next) => last = next,
                None => break,
            }
            if is_self_signed(last) {
                return Some(Self::UnknownRoot(common_name(last.subject())));
            }
        }
        Some(Self::NoIssuer { issuer: common_name(last.issuer()), download: download(last) })
    }

    /// What the operator can do.
    pub(in crate::record) fn advice(&self) -> String {
        const INSECURE: &str = "`--upstream-insecure` believes any certificate.";
        match self {
            Self::Expired(_) => format!("The server needs a new certificate. Until it has one, {INSECURE}"),
            Self::NotYetValid(_) => {
                format!("Check the clocks of this machine and of the server. If they are right, {INSECURE}")
            }
            Self::WrongName { .. } => format!(
                "Ask for the server by a name of its certificate. Or restart the recording: `--upstream-ca FILE` with \
                 the server's own certificate believes just that one, {INSECURE}"
            ),
            Self::SelfSigned => format!(
                "If this server is yours, restart the recording with `--upstream-ca FILE`, where FILE is the server's \
                 certificate; {INSECURE}"
            ),
            Self::NoIssuer { issuer, download } => {
                let download = download.as_ref().map(|url| format!(" (it is at {url})")).unwrap_or_default();
                format!(
                    "Either the server forgets to send an intermediate certificate, which browsers may hide, or \"{issuer}\" \
                     is a root of your own. Restart the recording with `--upstream-ca FILE`, where FILE is the certificate \
                     of \"{issuer}\"{download}, in PEM; {INSECURE}"
                )
            }
            Self::UnknownRoot(root) => format!(
                "If \"{root}\" is yours, restart the recording with `--upstream-ca FILE`, where FILE is its certificate; \
                 {INSECURE}"
            ),
            Self::Revoked | Self::Other(_) => format!(
                "To record it all the same, restart the recording: `--upstream-ca FILE` with the server's own certificate \
                 believes just that one, {INSECURE}"
            ),
        }
    }
}

/// The names alone do not tell: some tools give an authority and its servers one name.
fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw() && certificate.verify_signature(None).is_ok()
}

fn date(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|secs| ASN1Time::from_timestamp(secs).ok());
    time.map_or_else(|| "a date out of range".to_owned(), |time| time.to_string())
}

/// The common name, else all of the name.
fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|attribute| attribute.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

/// The first names of a certificate.
fn names(der: &CertificateDer<'_>) -> String {
    let Some(names) = super::names::Names::of_certificate(der) else { return "no name at all".to_owned() };
    let texts: Vec<String> = names.all().iter().take(SHOWN_NAMES).map(ToString::to_string).collect();
    match names.all().len().saturating_sub(SHOWN_NAMES) {
        0 => texts.join(", "),
        more => format!("{} and {more} more", texts.join(", ")),
    }
}

/// Where the issuer's certificate can be had, as the certificate says.
fn download(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => access.iter().find_map(issuer_url),
        _ => None,
    })
}

fn issuer_url(access: &AccessDescription<'_>) -> Option<String> {
    match access.access_location {
        GeneralName::URI(url) if access.access_method.to_id_string() == CA_ISSUERS => Some(url.to_owned()),
        _ => None,
    }
}
