//! A tunnel through another proxy: `CONNECT` (RFC 9110 §9.3.6) or SOCKS 5, over a connection to it that is already open.

use std::io;

use tokio::io::AsyncWriteExt;

use crate::wire::http1::{Event, Http1Error, Limits, Reader};
use crate::wire::socks5;

use super::super::link::{Clock, Io, Link};
use super::{Kind, UpstreamProxy};

/// Longest answer to `CONNECT` in bytes.
const HEAD_BYTES: usize = 64 * 1024;

/// Why a proxy gave no tunnel.
#[derive(Debug, thiserror::Error)]
pub(in crate::record) enum TunnelError {
    /// It wants credentials, or others.
    #[error("answered {0}")]
    Credentials(String),
    /// It will not, or cannot.
    #[error("answered {0}")]
    Refused(String),
    /// What it says is no answer.
    #[error("gave no answer that could be read")]
    Syntax(#[from] Http1Error),
    /// It is no SOCKS proxy, or refuses.
    #[error("refused")]
    Socks(#[from] socks5::ClientError),
    /// The connection broke.
    #[error("broke off")]
    Io(#[from] io::Error),
}

/// Asks for a tunnel to `host:port`; what comes back goes through it.
pub(in crate::record) async fn dig(
    io: Io,
    clock: Clock,
    proxy: &UpstreamProxy,
    host: &str,
    port: u16,
) -> Result<Io, TunnelError> {
    let mut link = Link::new(io, clock);
    match proxy.kind {
        Kind::Http => connect(&mut link, proxy, host, port).await?,
        Kind::Socks5 => negotiate(&mut link, proxy, host, port).await?,
    }
    Ok(link.into_io())
}

async fn connect(link: &mut Link, proxy: &UpstreamProxy, host: &str, port: u16) -> Result<(), TunnelError> {
    let bare = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let authority = format!("{bare}:{port}");
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(own) = proxy.authorization() {
        request.push_str(&format!("Proxy-Authorization: {own}\r\n"));
    }
    request.push_str("\r\n");
    link.outlet.write_all(request.as_bytes()).await?;
    link.outlet.flush().await?;
    let mut reader = Reader::responses(Limits { head_bytes: HEAD_BYTES, ..Limits::default() });
    reader.expect("CONNECT");
    loop {
        let step = reader.read(&link.intake.bytes)?;
        link.intake.used(step.consumed);
        match step.event {
            Some(Event::Response(head, _)) if (200..300).contains(&head.status) => return Ok(()),
            Some(Event::Response(head, _)) if head.status >= 300 => {
                let answer = format!("{} {}", head.status, String::from_utf8_lossy(&head.reason));
                let answer = answer.trim_end().to_owned();
                return Err(match head.status {
                    407 => TunnelError::Credentials(answer),
                    _ => TunnelError::Refused(answer),
                });
            }
            None if step.consumed == 0 => more(link).await?,
            _ => {}
        }
    }
}

async fn negotiate(link: &mut Link, proxy: &UpstreamProxy, host: &str, port: u16) -> Result<(), TunnelError> {
    let target = socks5::Target { host: socks5::Host::of(host), port };
    let (mut client, greeting) = socks5::Client::new(target, proxy.credentials.clone())?;
    let mut say = greeting;
    loop {
        link.outlet.write_all(&say).await?;
        link.outlet.flush().await?;
        let step = loop {
            let step = client.read(&link.intake.bytes)?;
            if step.consumed > 0 {
                break step;
            }
            more(link).await?;
        };
        link.intake.used(step.consumed);
        if step.done.is_some() {
            return Ok(());
        }
        say = step.reply;
    }
}

async fn more(link: &mut Link) -> io::Result<()> {
    match link.intake.more().await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// What a proxy is told when it answers so, and what comes through the tunnel or why there is none.
    async fn told(url: &str, host: &str, answers: &[&[u8]]) -> (Vec<u8>, Result<Vec<u8>, String>) {
        let (mut far, near) = duplex(4096);
        let proxy: UpstreamProxy = url.parse().unwrap();
        let mut heard = Vec::new();
        let play = async {
            for answer in answers {
                let mut room = [0; 1024];
                let count = far.read(&mut room).await.unwrap();
                heard.extend_from_slice(&room[..count]);
                far.write_all(answer).await.unwrap();
            }
            far.shutdown().await.unwrap();
        };
        let (dug, ()) = tokio::join!(dig(Box::new(near), Clock::start(), &proxy, host, 443), play);
        let came = match dug {
            Ok(mut io) => {
                let mut all = Vec::new();
                io.read_to_end(&mut all).await.unwrap();
                Ok(all)
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                Err(format!("{error}{cause}"))
            }
        };
        (heard, came)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_with_connect_and_its_answer_heard() {
        let asked = b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n";
        let open = b"HTTP/1.0 100 Wait\r\n\r\nHTTP/1.0 200 Connection established\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(told("http://p", "shop.test", &[open]).await, (asked.to_vec(), Ok(b"hello".to_vec())));
        let (heard, _) = told("http://a:b@p", "::1", &[b"HTTP/1.1 200\r\n\r\n"]).await;
        let with = b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic YTpi\r\n\r\n";
        assert_eq!(heard, with);
        for (answer, why) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 1\r\n\r\nx"[..],
                "answered 407 Proxy Authentication Required",
            ),
            (b"HTTP/1.1 502\r\n\r\n", "answered 502"),
            (b"SSH-2.0-x\r\n", "gave no answer that could be read: not an HTTP/1 message"),
            (b"", "broke off: unexpected end of file"),
        ] {
            assert_eq!(told("http://p", "shop.test", &[answer]).await.1, Err(why.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_socks_proxy_is_negotiated_with() {
        let open = b"\x05\x00\x00\x01\0\0\0\0\0\0hello";
        let (heard, came) = told("socks5://a:b@p", "shop.test", &[b"\x05\x02", b"\x01\x00", open]).await;
        assert_eq!(heard, b"\x05\x02\x00\x02\x01\x01a\x01b\x05\x01\x00\x03\x09shop.test\x01\xbb");
        assert_eq!(came, Ok(b"hello".to_vec()));
        let (_, refused) = told("socks5://p", "127.0.0.1", &[b"\x05\x00", b"\x05\x05\x00\x01\0\0\0\0\0\0"]).await;
        assert_eq!(refused, Err("refused: connection refused".to_owned()));
    }
}
