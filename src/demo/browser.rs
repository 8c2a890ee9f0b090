//! A small HTTP/1.1 client that behaves as a browser does towards one origin: cookies, connections kept open, a
//! forward proxy with CONNECT. Written apart from the rest of the program, as an independent check of the proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::connection::{Connection, Route};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a browser goes and what it trusts.
#[derive(Clone, Debug)]
pub struct BrowserConfig {
    /// `https://host:port` or `http://host:port`.
    pub origin: String,
    /// Forward proxy to go through.
    pub proxy: Option<SocketAddr>,
    /// Root certificates (PEM) that are trusted; none else is.
    pub roots_pem: String,
    /// `User-Agent`.
    pub user_agent: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// The origin is not `http(s)://host:port`, or the root certificates cannot be read.
    #[error("the browser cannot be set up: {0}")]
    Config(&'static str),
    /// No connection, or it broke.
    #[error("the connection failed")]
    Connection(#[source] std::io::Error),
    /// The proxy does not let us through.
    #[error("the proxy answered {0} to CONNECT")]
    Proxy(u16),
    /// What came is not HTTP/1.
    #[error("the answer is not HTTP: {0}")]
    Protocol(&'static str),
    /// No answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Method; empty means GET.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Fields besides those that every request has.
    pub headers: Vec<(&'static str, String)>,
    /// Body with its media type.
    pub body: Option<(String, Vec<u8>)>,
}

/// A response, its body decoded.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Fields in order.
    pub headers: Vec<(String, String)>,
    /// Body without transfer and content coding.
    pub body: Vec<u8>,
}

/// One person's browser: cookies and open connections.
#[derive(Debug)]
pub struct Browser {
    config: BrowserConfig,
    tls: bool,
    /// `host:port`.
    authority: String,
    tls_config: Arc<rustls::ClientConfig>,
    cookies: Vec<(String, String)>,
    idle: Vec<Connection>,
    requests: u64,
}

impl Ask {
    /// A GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), ..Self::default() }
    }

    /// A POST of an url-encoded form.
    pub fn form(target: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let body = super::forms::encode_all(fields).into_bytes();
        let body = Some(("application/x-www-form-urlencoded".to_owned(), body));
        Self { method: "POST", target: target.into(), body, ..Self::default() }
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Answer {
    /// The first field with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Browser {
    /// A browser without cookies.
    ///
    /// # Errors
    /// When the origin or the roots cannot be understood.
    pub fn new(config: BrowserConfig) -> Result<Self, BrowserError> {
        let (tls, authority) = match config.origin.split_once("://") {
            Some(("https", authority)) => (true, authority.to_owned()),
            Some(("http", authority)) => (false, authority.to_owned()),
            _ => return Err(BrowserError::Config("the origin starts with neither http:// nor https://")),
        };
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(config.roots_pem.as_bytes()) {
            let root = root.map_err(|_| BrowserError::Config("the root certificate is not PEM"))?;
            roots.add(root).map_err(|_| BrowserError::Config("the root certificate is not valid"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| BrowserError::Config("no TLS version"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls_config = Arc::new(client);
        Ok(Self { config, tls, authority, tls_config, cookies: Vec::new(), idle: Vec::new(), requests: 0 })
    }

    /// Requests sent so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Sets a cookie as a script would.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.retain(|(n, _)| n != name);
        self.cookies.push((name.to_owned(), value.to_owned()));
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Sends one request; redirects are the caller's to follow.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn send(&mut self, ask: Ask) -> Result<Answer, BrowserError> {
        let mut answers = self.send_all(vec![ask]).await?;
        answers.pop().ok_or(BrowserError::Protocol("no answer"))
    }

    /// Sends requests at the same time, each over a connection of its own; the answers are in the order of the requests.
    ///
    /// # Errors
    /// When any of them gets no whole answer.
    pub async fn send_all(&mut self, asks: Vec<Ask>) -> Result<Vec<Answer>, BrowserError> {
        let mut answers = vec![Answer::default(); asks.len()];
        let mut tasks = JoinSet::new();
        for (index, ask) in asks.into_iter().enumerate() {
            let bytes = self.serialize(&ask);
            let route = Route { tls: self.tls, proxy: self.config.proxy, authority: self.authority.clone() };
            let (idle, connector) = (self.idle.pop(), TlsConnector::from(Arc::clone(&self.tls_config)));
            self.requests += 1;
            tasks.spawn(async move {
                let talk = async {
                    if let Some(mut connection) = idle {
                        let done = connection.exchange(&bytes).await;
                        // A kept connection may have been closed meanwhile: then nothing comes back, and a new one is due.
                        if done.is_ok() || connection.heard {
                            return done.map(|(answer, reuse)| (answer, reuse.then_some(connection)));
                        }
                    }
                    let mut connection = route.open(&connector).await?;
                    let (answer, reuse) = connection.exchange(&bytes).await?;
                    Ok((answer, reuse.then_some(connection)))
                };
                let done = tokio::time::timeout(PATIENCE, talk).await.unwrap_or(Err(BrowserError::Timeout));
                (index, done)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            let (index, done) = joined.map_err(|e| BrowserError::Connection(std::io::Error::other(e)))?;
            let (answer, connection) = done?;
            self.idle.extend(connection);
            for (_, value) in answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
                let (name, value) = value.split(';').next().and_then(|pair| pair.split_once('=')).unwrap_or_default();
                self.cookies.retain(|(n, _)| n != name);
                if !value.is_empty() {
                    self.cookies.push((name.to_owned(), value.to_owned()));
                }
            }
            answers[index] = answer;
        }
        Ok(answers)
    }

    fn serialize(&self, ask: &Ask) -> Vec<u8> {
        let method = if ask.method.is_empty() { "GET" } else { ask.method };
        let absolute = if self.config.proxy.is_some() && !self.tls { self.config.origin.as_str() } else { "" };
        let mut head = format!("{method} {absolute}{} HTTP/1.1\r\nHost: {}\r\n", ask.target, self.authority);
        let mut field = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        field("Connection", "keep-alive");
        field("User-Agent", &self.config.user_agent);
        for (name, value) in &ask.headers {
            field(name, value);
        }
        if !ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            field("Accept", "*/*");
        }
        field("Accept-Encoding", "gzip");
        field("Accept-Language", "en-GB,en;q=0.8");
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            field("Cookie", &pairs.join("; "));
        }
        if let Some((kind, body)) = &ask.body {
            field("Content-Type", kind);
            field("Content-Length", &body.len().to_string());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if let Some((_, body)) = &ask.body {
            bytes.extend_from_slice(body);
        }
        bytes
    }
}
