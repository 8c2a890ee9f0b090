//! TLS towards servers and towards clients (which certificate to show). Main type: [`Tls`].

pub(in crate::record) mod authority;
pub(in crate::record) mod distrust;
pub(in crate::record) mod explained;
pub(in crate::record) mod first_word;
pub(in crate::record) mod hello;
pub(in crate::record) mod identity;
pub(in crate::record) mod intercept;
pub(in crate::record) mod keylog;
pub(in crate::record) mod names;
pub(in crate::record) mod overhear;
pub(in crate::record) mod passthrough;
pub(in crate::record) mod trust;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, KeyLog, ProtocolVersion, ServerConfig, SignatureScheme,
    SupportedCipherSuite,
};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::model::Origin;

use super::error::AuthorityError;
use super::host_pattern::HostPattern;
use super::lru::Lru;
use authority::CertificateAuthority;
use identity::ClientIdentity;
use names::Names;
use trust::{UpstreamTrust, Verifier};

/// What a client of HTTP/1 offers.
pub(in crate::record) const HTTP1: &[u8] = b"http/1.1";
/// Most protocols of a client that are passed on.
const MOST_OFFERS: usize = 16;
const MOST_LEAVES: usize = 1000;
const MOST_ORIGINS: usize = 10_000;

/// What is asked of TLS, beside whom to trust.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Who we are to servers that want to know; the first that is for a server is shown to it.
    pub identities: Vec<ClientIdentity>,
    /// Hosts whose TLS is not intercepted.
    pub passthrough: Vec<HostPattern>,
    /// Whether a host whose certificate from us a client refuses is passed through for that client from then on.
    pub auto_passthrough: bool,
    /// File for the secrets of all connections.
    pub keylog: Option<PathBuf>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { identities: Vec::new(), passthrough: Vec::new(), auto_passthrough: true, keylog: None }
    }
}

/// TLS on both sides.
pub(in crate::record) struct Tls {
    authority: Arc<CertificateAuthority>,
    provider: Arc<CryptoProvider>,
    key_log: Arc<dyn KeyLog>,
    /// For servers that no identity is for.
    anonymous: ClientConfig,
    identified: Vec<(Option<HostPattern>, ClientConfig)>,
    leaves: Mutex<Lru<Names, Leaf>>,
    learned: Mutex<Lru<Asked, Learned>>,
}

/// Protocols by ALPN name, the preferred first (RFC 7301).
pub(in crate::record) type Offers = Vec<Vec<u8>>;

/// What a server was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::record) struct Asked {
    /// Which server.
    pub(in crate::record) origin: Origin,
    /// Name asked for in the handshake.
    pub(in crate::record) sni: String,
    /// Protocols offered.
    pub(in crate::record) offers: Offers,
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::record) struct Learned {
    /// Names in its certificate.
    pub(in crate::record) names: Names,
    /// Protocol it chose.
    pub(in crate::record) alpn: Option<Vec<u8>>,
}

impl Learned {
    /// Whether what is chosen can be spoken over a connection that is opened only when the client asks for something.
    pub(in crate::record) fn can_wait(&self) -> bool {
        self.alpn.as_deref() == Some(HTTP1)
    }
}

/// What a client offers, as it is passed on.
pub(in crate::record) fn offers<'a>(alpn: impl Iterator<Item = &'a [u8]>) -> Offers {
    alpn.take(MOST_OFFERS).map(<[u8]>::to_vec).collect()
}

/// Minted once, whoever waits for it.
type Leaf = Arc<OnceCell<Arc<ServerConfig>>>;

impl Tls {
    /// With this root for clients, this trust in servers and these faces for them.
    pub(in crate::record) fn new(
        authority: CertificateAuthority,
        trust: &UpstreamTrust,
        identities: &[ClientIdentity],
        key_log: Arc<dyn KeyLog>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Verifier::new(trust, &provider)?);
        let client = |identity: Option<&ClientIdentity>| {
            let builder = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(verifier.clone());
            let mut config = match identity {
                None => builder.with_no_client_auth(),
                Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key()))),
            };
            config.key_log = key_log.clone();
            Ok::<ClientConfig, rustls::Error>(config)
        };
        let anonymous = client(None)?;
        let identified = identities.iter().map(|own| Ok((own.hosts().cloned(), client(Some(own))?)));
        let identified = identified.collect::<Result<_, rustls::Error>>()?;
        Ok(Self {
            authority: Arc::new(authority),
            provider,
            key_log,
            anonymous,
            identified,
            leaves: Mutex::new(Lru::new(MOST_LEAVES)),
            learned: Mutex::new(Lru::new(MOST_ORIGINS)),
        })
    }

    /// For a handshake with this server in which these protocols are offered: an identity for it by name goes before one
    /// for all.
    pub(in crate::record) fn connector(&self, host: &str, port: u16, offers: &Offers) -> TlsConnector {
        let named = |(hosts, _): &&(Option<HostPattern>, _)| hosts.as_ref().is_some_and(|own| own.covers(host, port));
        let found = self.identified.iter().find(named);
        let found = found.or_else(|| self.identified.iter().find(|(hosts, _)| hosts.is_none()));
        let mut config = found.map_or(&self.anonymous, |(_, config)| config).clone();
        config.alpn_protocols.clone_from(offers);
        Arc::new(config).into()
    }

    /// What this server answered to the same before.
    pub(in crate::record) fn learned(&self, asked: &Asked) -> Option<Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).find(asked)
    }

    /// Notes what a server answered.
    pub(in crate::record) fn learn(&self, asked: Asked, learned: Learned) {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).put(asked, learned);
    }

    /// The configuration that shows clients a certificate with these names and agrees on this protocol.
    pub(in crate::record) async fn server_config(
        &self,
        names: &Names,
        alpn: Option<&[u8]>,
    ) -> Result<Arc<ServerConfig>, LeafError> {
        let mut config = ServerConfig::clone(&*self.leaf(names).await?);
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        Ok(Arc::new(config))
    }

    /// Minted on first use, off the event loop, once for all connections that want it at the same time.
    async fn leaf(&self, names: &Names) -> Result<Arc<ServerConfig>, LeafError> {
        let leaf = {
            let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
            leaves.find(names).unwrap_or_else(|| {
                let leaf = Leaf::default();
                leaves.put(names.clone(), leaf.clone());
                leaf
            })
        };
        leaf.get_or_try_init(|| self.mint(names.clone())).await.cloned()
    }

    async fn mint(&self, names: Names) -> Result<Arc<ServerConfig>, LeafError> {
        let authority = self.authority.clone();
        let minted =
            tokio::task::spawn_blocking(move || authority.mint(&names)).await.map_err(|_| LeafError::Ended)??;
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(minted.chain, minted.key)?;
        config.key_log = self.key_log.clone();
        Ok(Arc::new(config))
    }

    /// Whether a client that offers these suites can agree with us on one: ours are for TLS 1.3, and in TLS 1.2 for keys
    /// as our leaves have them.
    pub(in crate::record) fn shares_a_suite(&self, offered: &[CipherSuite]) -> bool {
        let usable = |suite: &&SupportedCipherSuite| match suite {
            SupportedCipherSuite::Tls13(_) => true,
            SupportedCipherSuite::Tls12(suite) => suite.sign.contains(&SignatureScheme::ECDSA_NISTP256_SHA256),
        };
        self.provider.cipher_suites.iter().filter(usable).any(|own| offered.contains(&own.suite()))
    }
}

/// Why no certificate can be shown.
#[derive(Debug, thiserror::Error)]
pub(in crate::record) enum LeafError {
    #[error(transparent)]
    Mint(#[from] AuthorityError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("the program is ending")]
    Ended,
}

/// The name under which a server's certificate is checked.
pub(in crate::record) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(ServerName::IpAddress(ip.into())),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(|error| io::Error::other(error.to_string())),
    }
}

/// The fatal alert that the other side sent.
pub(in crate::record) fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// As RFC 8446 §6 writes it.
pub(in crate::record) fn alert_text(alert: AlertDescription) -> String {
    snake_case(&format!("{alert:?}"))
}

/// `UnknownCA` becomes `unknown_ca`.
fn snake_case(camel: &str) -> String {
    let mut snake = String::new();
    let mut after_small = false;
    for c in camel.chars() {
        if c.is_ascii_uppercase() && after_small {
            snake.push('_');
        }
        after_small = c.is_ascii_lowercase();
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// As people write it.
pub(in crate::record) fn version_text(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    }
}
