//! The sample site on loopback sockets: HTTPS with a certificate of its own, plain HTTP on request.
//!
//! Main type: [`Site`]. Its tasks end when it is stopped or dropped.

use std::convert::Infallible;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::routes::{self, Asked, Channel, Reply};
use super::shop::Shop;
use super::state::SiteState;
use super::tokens::Chance;

/// Longest request body that is read.
const MOST_BODY_BYTES: usize = 1024 * 1024;
/// A handshake or a request head that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pages shorter than this are not worth compressing.
const LEAST_GZIP_BYTES: usize = 256;

/// How the site is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteConfig {
    /// Fixes all ids and tokens; without it they are unguessable.
    pub seed: Option<u64>,
    /// Also listens for plain HTTP.
    pub plain_http: bool,
}

/// Why the site does not start.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// No socket on loopback.
    #[error("cannot listen on loopback")]
    Listen(#[source] std::io::Error),
    /// No certificate.
    #[error("cannot make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// No TLS, or no randomness.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// A running site.
#[derive(Debug)]
pub struct Site {
    shop: Arc<Shop>,
    address: SocketAddr,
    plain_address: Option<SocketAddr>,
    ca_pem: String,
    /// Dropping it ends the listeners.
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

impl Site {
    /// Starts the site on free ports of 127.0.0.1. Needs a tokio runtime.
    ///
    /// # Errors
    /// When sockets, certificate or randomness cannot be had.
    pub async fn start(config: SiteConfig) -> Result<Self, SiteError> {
        let chance = match config.seed {
            Some(seed) => Chance::seeded(seed),
            None => Chance::from_system().map_err(SiteError::Tls)?,
        };
        let shop = Arc::new(Shop::new(chance));
        let (ca_pem, tls) = certificates()?;
        let (stop, stopped) = watch::channel(false);
        let (address, listener) = listen().await?;
        let mut listeners =
            vec![tokio::spawn(serve(listener, Some(TlsAcceptor::from(tls)), Arc::clone(&shop), stopped.clone()))];
        let mut plain_address = None;
        if config.plain_http {
            let (address, listener) = listen().await?;
            listeners.push(tokio::spawn(serve(listener, None, Arc::clone(&shop), stopped)));
            plain_address = Some(address);
        }
        Ok(Self { shop, address, plain_address, ca_pem, stop, listeners })
    }

    /// Where HTTPS is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Such as `https://127.0.0.1:40123`.
    pub fn origin_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Such as `http://127.0.0.1:40124`, when plain HTTP was asked for.
    pub fn plain_origin_url(&self) -> Option<String> {
        self.plain_address.map(|address| format!("http://{address}"))
    }

    /// The root that signed the site's certificate; made for this site, its key is already forgotten.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What truly happened since the start or the last reset; `GET /state` gives the same as JSON.
    pub fn state(&self) -> SiteState {
        self.shop.state()
    }

    /// Forgets orders, carts, sessions and the state; ids go on far from where they were.
    pub fn reset(&self) {
        self.shop.reset();
    }

    /// Closes the listeners and all connections.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for listener in self.listeners {
            let _ = listener.await;
        }
    }
}

async fn listen() -> Result<(SocketAddr, TcpListener), SiteError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(SiteError::Listen)?;
    let address = listener.local_addr().map_err(SiteError::Listen)?;
    Ok((address, listener))
}

/// A root as PEM, and what the server needs to prove that it is 127.0.0.1 or localhost.
fn certificates() -> Result<(String, Arc<rustls::ServerConfig>), SiteError> {
    let make = || -> Result<_, rcgen::Error> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        root.distinguished_name.push(DnType::CommonName, "Overdub sample site root");
        let root_key = KeyPair::generate()?;
        let root_pem = root.self_signed(&root_key)?.pem();
        let issuer = Issuer::new(root, root_key);
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        leaf.distinguished_name.push(DnType::CommonName, "Overdub sample site");
        leaf.use_authority_key_identifier_extension = true;
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&leaf_key, &issuer)?;
        Ok((root_pem, leaf.der().clone(), PrivatePkcs8KeyDer::from(leaf_key.serialize_der())))
    };
    let (root_pem, leaf, key) = make().map_err(SiteError::Certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SiteError::Tls)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf], PrivateKeyDer::Pkcs8(key))
        .map_err(SiteError::Tls)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((root_pem, Arc::new(tls)))
}

/// Accepts until told to stop; the connections end with it.
async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shop: Arc<Shop>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let (tls, shop) = (tls.clone(), Arc::clone(&shop));
                    connections.spawn(connection(socket, tls, shop));
                }
                // Out of descriptors: those in use come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    connections.shutdown().await;
}

async fn connection(socket: TcpStream, tls: Option<TlsAcceptor>, shop: Arc<Shop>) {
    // Not delaying small packets is a wish, not a need.
    let _ = socket.set_nodelay(true);
    match tls {
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(socket)).await {
                speak(stream, shop, Channel::Tls).await;
            }
        }
        None => speak(socket, shop, Channel::Plain).await,
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, shop: Arc<Shop>, channel: Channel) {
    let service = service_fn(|request| {
        let shop = Arc::clone(&shop);
        async move { Ok::<_, Infallible>(respond(request, &shop, channel).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // A visitor who goes away is no concern of the shop.
    let _ = connection.await;
}

async fn respond(request: Request<hyper::body::Incoming>, shop: &Shop, channel: Channel) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, MOST_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        _ => return plain_status(StatusCode::PAYLOAD_TOO_LARGE),
    };
    let gzip = head.headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("gzip"));
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or("").to_owned(),
        headers: head.headers,
        body,
        channel,
    };
    tokio::time::sleep(routes::delay(&asked.method, &asked.path)).await;
    into_response(routes::answer(shop, &asked), gzip)
}

fn into_response(reply: Reply, gzip: bool) -> Response<Full<Bytes>> {
    let page = reply.headers.iter().any(|(name, value)| *name == CONTENT_TYPE && value.starts_with("text/html"));
    let packed = if page && gzip && reply.body.len() >= LEAST_GZIP_BYTES { pack(&reply.body) } else { None };
    let is_packed = packed.is_some();
    let mut response = Response::new(Full::new(Bytes::from(packed.unwrap_or(reply.body))));
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        match HeaderValue::from_str(&value) {
            Ok(value) => response.headers_mut().append(name, value),
            Err(_) => return plain_status(StatusCode::INTERNAL_SERVER_ERROR),
        };
    }
    if page {
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding, Cookie"));
    }
    if is_packed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn pack(page: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok()
}

fn plain_status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}
