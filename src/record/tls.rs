//! TLS towards servers (whom to trust) and towards clients (which certificate to show). Main type: [`Tls`].

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::model::Origin;

use super::authority::CertificateAuthority;
use super::error::AuthorityError;
use super::lru::Lru;
use super::names::Names;

/// What a client of HTTP/1 offers.
pub(in crate::record) const HTTP1: &[u8] = b"http/1.1";
/// Most protocols of a client that are passed on, and the longest list of them in bytes.
const MOST_OFFERS: usize = 16;
const MOST_LEAVES: usize = 1000;
const MOST_ORIGINS: usize = 10_000;

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub struct UpstreamTrust {
    /// The system's roots.
    pub system: bool,
    /// More roots, or servers' own certificates.
    pub extra: Vec<CertificateDer<'static>>,
    /// Every certificate, whoever signed it.
    pub insecure: bool,
}

impl Default for UpstreamTrust {
    fn default() -> Self {
        Self { system: true, extra: Vec::new(), insecure: false }
    }
}

impl UpstreamTrust {
    /// Adds all certificates of a PEM text; says how many there were.
    ///
    /// # Errors
    /// When the text is not PEM.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<usize, rustls::pki_types::pem::Error> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
        let count = certificates.len();
        self.extra.extend(certificates);
        Ok(count)
    }
}

/// TLS on both sides.
pub(super) struct Tls {
    authority: CertificateAuthority,
    provider: Arc<CryptoProvider>,
    /// Offers no protocol.
    client: ClientConfig,
    /// Likewise.
    leaves: Mutex<Lru<Names, Arc<ServerConfig>>>,
    learned: Mutex<Lru<Asked, Learned>>,
}

/// Protocols by ALPN name, the preferred first (RFC 7301).
pub(super) type Offers = Vec<Vec<u8>>;

/// What a server was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    /// Which server.
    pub(super) origin: Origin,
    /// Name asked for in the handshake.
    pub(super) sni: String,
    /// Protocols offered.
    pub(super) offers: Offers,
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Learned {
    /// Names in its certificate.
    pub(super) names: Names,
    /// Protocol it chose.
    pub(super) alpn: Option<Vec<u8>>,
}

impl Learned {
    /// Whether what is chosen can be spoken over a connection that is opened for each client only when it asks for something.
    pub(super) fn can_wait(&self) -> bool {
        self.alpn.as_deref() == Some(HTTP1)
    }
}

/// What a client offers, as it is passed on.
pub(super) fn offers<'a>(alpn: impl Iterator<Item = &'a [u8]>) -> Offers {
    alpn.take(MOST_OFFERS).map(<[u8]>::to_vec).collect()
}

impl Tls {
    /// With this root for clients and this trust in servers.
    pub(super) fn new(authority: CertificateAuthority, trust: &UpstreamTrust) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(trust, &provider)?;
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self {
            authority,
            provider,
            client,
            leaves: Mutex::new(Lru::new(MOST_LEAVES)),
            learned: Mutex::new(Lru::new(MOST_ORIGINS)),
        })
    }

    /// For a handshake with a server in which these protocols are offered.
    pub(super) fn connector(&self, offers: &Offers) -> TlsConnector {
        let mut config = self.client.clone();
        config.alpn_protocols.clone_from(offers);
        Arc::new(config).into()
    }

    /// What this server answered to the same before.
    pub(super) fn learned(&self, asked: &Asked) -> Option<Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).find(asked)
    }

    /// Notes what a server answered.
    pub(super) fn learn(&self, asked: Asked, learned: Learned) {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).put(asked, learned);
    }

    /// The configuration that shows clients a certificate with these names and agrees on this protocol.
    pub(super) fn server_config(&self, names: &Names, alpn: Option<&[u8]>) -> Result<Arc<ServerConfig>, LeafError> {
        let mut config = ServerConfig::clone(&*self.leaf(names)?);
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        Ok(Arc::new(config))
    }

    fn leaf(&self, names: &Names) -> Result<Arc<ServerConfig>, LeafError> {
        if let Some(config) = self.leaves.lock().unwrap_or_else(PoisonError::into_inner).find(names) {
            return Ok(config);
        }
        let minted = self.authority.mint(names)?;
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(minted.chain, minted.key)?;
        let config = Arc::new(config);
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner).put(names.clone(), config.clone());
        Ok(config)
    }
}

/// Why no certificate can be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeafError {
    #[error(transparent)]
    Mint(#[from] AuthorityError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The name under which a server's certificate is checked.
pub(super) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(ServerName::IpAddress(ip.into())),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(|error| io::Error::other(error.to_string())),
    }
}

/// As people write it.
pub(super) fn version_text(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Believes the roots, the very certificates that were named, or everyone.
#[derive(Debug)]
struct Verifier {
    roots: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<CertificateDer<'static>>,
    insecure: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trust: &UpstreamTrust, provider: &Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        if trust.system && !trust.insecure {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for certificate in &trust.extra {
            roots.add(certificate.clone())?;
        }
        let roots = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            Some(builder.build().map_err(|error| rustls::Error::General(error.to_string()))?)
        };
        Ok(Self { roots, pinned: trust.extra.clone(), insecure: trust.insecure, provider: provider.clone() })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.insecure || self.pinned.iter().any(|pinned| pinned == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.roots {
            Some(roots) => roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
