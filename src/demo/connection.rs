//! One connection of a [`super::Browser`]: through a proxy or directly, TLS or plain, one exchange after another.

use std::io::Read;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::browser::{Answer, BrowserError};

/// Longest head and longest body that are read.
const MOST_HEAD_BYTES: usize = 64 * 1024;
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes read beyond the last answer.
    rest: Vec<u8>,
    /// Set once a byte of the answer under way was read.
    pub(super) heard: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// How to get to the origin.
pub(super) struct Route {
    pub(super) tls: bool,
    pub(super) proxy: Option<SocketAddr>,
    /// `host:port`.
    pub(super) authority: String,
}

impl Route {
    /// Connects.
    pub(super) async fn open(&self, connector: &TlsConnector) -> Result<Connection, BrowserError> {
        let io = BrowserError::Connection;
        let socket = match self.proxy {
            Some(proxy) => TcpStream::connect(proxy).await.map_err(io)?,
            None => TcpStream::connect(&self.authority).await.map_err(io)?,
        };
        socket.set_nodelay(true).map_err(io)?;
        if !self.tls {
            return Ok(Connection { stream: Box::new(socket), rest: Vec::new(), heard: false });
        }
        let socket = if self.proxy.is_some() { self.tunnel(socket).await? } else { socket };
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host).to_owned();
        let name = ServerName::try_from(host).map_err(|_| BrowserError::Config("the host is no server name"))?;
        let stream = connector.connect(name, socket).await.map_err(io)?;
        Ok(Connection { stream: Box::new(stream), rest: Vec::new(), heard: false })
    }

    /// Asks the proxy for a tunnel; reads its answer byte by byte, as what follows is no longer HTTP.
    async fn tunnel(&self, mut socket: TcpStream) -> Result<TcpStream, BrowserError> {
        let io = BrowserError::Connection;
        let request = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", self.authority);
        socket.write_all(request.as_bytes()).await.map_err(io)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > MOST_HEAD_BYTES {
                return Err(BrowserError::Protocol("endless answer to CONNECT"));
            }
            head.push(socket.read_u8().await.map_err(io)?);
        }
        let (status, _, _) = parse_head(&head)?.ok_or(BrowserError::Protocol("bad answer to CONNECT"))?;
        if status == 200 { Ok(socket) } else { Err(BrowserError::Proxy(status)) }
    }
}

impl Connection {
    /// Sends the request and reads the answer; says whether the connection may be used again.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<(Answer, bool), BrowserError> {
        self.heard = false;
        self.stream.write_all(request).await.map_err(BrowserError::Connection)?;
        self.stream.flush().await.map_err(BrowserError::Connection)?;
        let (status, headers) = loop {
            match parse_head(&self.rest)? {
                Some((status, headers, used)) => {
                    self.rest.drain(..used);
                    if status >= 200 {
                        break (status, headers);
                    }
                }
                None if self.rest.len() > MOST_HEAD_BYTES => return Err(BrowserError::Protocol("endless head")),
                None => self.more().await?,
            }
        };
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map(str::parse::<usize>).transpose();
        let length = length.map_err(|_| BrowserError::Protocol("bad Content-Length"))?;
        let mut reusable = !answer.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        if answer.header("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked")) {
            answer.body = self.chunked().await?;
        } else if request.starts_with(b"HEAD ") || status == 204 || status == 304 {
            // No body follows.
        } else if let Some(length) = length {
            answer.body = self.exactly(length).await?;
        } else {
            reusable = false;
            while self.more().await.is_ok() && self.rest.len() <= MOST_BODY_BYTES {}
            answer.body = std::mem::take(&mut self.rest);
        }
        if answer.header("content-encoding").is_some_and(|c| c.eq_ignore_ascii_case("gzip")) {
            let mut plain = Vec::new();
            let packed = flate2::read::GzDecoder::new(answer.body.as_slice());
            packed
                .take(MOST_BODY_BYTES as u64)
                .read_to_end(&mut plain)
                .map_err(|_| BrowserError::Protocol("damaged gzip body"))?;
            answer.body = plain;
        }
        Ok((answer, reusable))
    }

    async fn more(&mut self) -> Result<(), BrowserError> {
        match self.stream.read_buf(&mut self.rest).await {
            Ok(0) => Err(BrowserError::Connection(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                self.heard = true;
                Ok(())
            }
            Err(error) => Err(BrowserError::Connection(error)),
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, BrowserError> {
        if length > MOST_BODY_BYTES {
            return Err(BrowserError::Protocol("body too long"));
        }
        while self.rest.len() < length {
            self.more().await?;
        }
        Ok(self.rest.drain(..length).collect())
    }

    async fn chunked(&mut self) -> Result<Vec<u8>, BrowserError> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or("").trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| BrowserError::Protocol("bad chunk"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            if size > MOST_BODY_BYTES - body.len() {
                return Err(BrowserError::Protocol("body too long"));
            }
            body.extend(self.exactly(size).await?);
            self.line().await?;
        }
    }

    async fn line(&mut self) -> Result<String, BrowserError> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.rest, b"\r\n") {
                let line: Vec<u8> = self.rest.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.rest.len() > MOST_HEAD_BYTES {
                return Err(BrowserError::Protocol("endless line"));
            }
            self.more().await?;
        }
    }
}

type Head = (u16, Vec<(String, String)>, usize);

/// Status, fields and length of the head at the start of `bytes`; none while it is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, BrowserError> {
    const BAD: BrowserError = BrowserError::Protocol("bad head");
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let rest = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or(BAD)?;
    let status = rest.split(' ').next().and_then(|code| code.parse().ok()).ok_or(BAD)?;
    let field = |line: &str| -> Option<(String, String)> {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let headers = lines.map(field).collect::<Option<Vec<_>>>().ok_or(BAD)?;
    Ok(Some((status, headers, end + 4)))
}
