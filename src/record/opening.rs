//! What a client begins with where anything may follow: told by its first bytes, or by who speaks first.

use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep_until};

use crate::wire::http2;

use super::link::Link;
use super::listener::Stop;

/// A client that says nothing for so long may be waiting for the server to speak first.
const SILENCE: Duration = Duration::from_secs(1);
/// Longest method that is recognised.
const METHOD_BYTES: usize = 20;

/// What a client begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Tls,
    Http,
    /// HTTP/2 without having agreed on it, by prior knowledge (RFC 9113 §3.3).
    Http2,
    Other,
    /// Nothing, for long.
    Silence,
    Closed,
}

impl Opening {
    /// By the first bytes; none when there are too few.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] | [0x16] => None,
            [0x16, 0x03, ..] => Some(Self::Tls),
            _ if http2::looks_like_preface(bytes) == Some(true) => Some(Self::Http2),
            _ if http2::looks_like_preface(bytes).is_none() => None,
            _ => {
                let method = bytes.iter().take(METHOD_BYTES).take_while(|b| b.is_ascii_uppercase()).count();
                match bytes.get(method) {
                    None if method < METHOD_BYTES => None,
                    Some(b' ') if method > 0 => Some(Self::Http),
                    _ => Some(Self::Other),
                }
            }
        }
    }

    /// Waits for the first bytes.
    pub(super) async fn sniff(link: &mut Link, stop: &mut Stop) -> Self {
        let patience = Instant::now() + SILENCE;
        loop {
            if let Some(opening) = Self::of(&link.intake.bytes) {
                return opening;
            }
            select! {
                biased;
                more = link.intake.more() => if !matches!(more, Ok(1..)) { return Self::Closed },
                () = stop.requested() => return Self::Closed,
                () = sleep_until(patience) => {
                    return if link.intake.bytes.is_empty() { Self::Silence } else { Self::Other };
                }
            }
        }
    }

    /// After silence, with the server at hand: waits until either speaks. A server that does so first speaks no HTTP.
    pub(super) async fn sniff_both(link: &mut Link, server: &mut Link, stop: &mut Stop) -> Self {
        select! {
            biased;
            more = link.intake.more() => if !matches!(more, Ok(1..)) { return Self::Closed },
            more = server.intake.more() => if matches!(more, Ok(1..)) { return Self::Other } else { return Self::Closed },
            () = stop.requested() => return Self::Closed,
        }
        match Self::sniff(link, stop).await {
            Self::Silence => Self::Other,
            opening => opening,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_tunnel_carries() {
        for (bytes, opening) in [
            (&b""[..], None),
            (b"\x16", None),
            (b"\x16\x03\x01", Some(Opening::Tls)),
            (b"\x16\x02", Some(Opening::Other)),
            (b"GE", None),
            (b"GET ", Some(Opening::Http)),
            (b"PROPFIND /", Some(Opening::Http)),
            (b"PRI * HTTP/2.0\r\n", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Opening::Http2)),
            (b"SSH-2.0-x", Some(Opening::Other)),
            (b" GET", Some(Opening::Other)),
            (b"\0\0\0\x08", Some(Opening::Other)),
            (b"AAAAAAAAAAAAAAAAAAAAAAAA", Some(Opening::Other)),
        ] {
            assert_eq!(Opening::of(bytes), opening, "{bytes:?}");
        }
    }
}
