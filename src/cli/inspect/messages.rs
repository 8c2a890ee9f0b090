//! The messages inside an exchange, for people and as JSON.

use std::io::{self, Write};

use base64::Engine;
use serde::ser::{Serialize, SerializeSeq, Serializer};

use crate::capture::Reader;
use crate::model::{BodySource, Exchange, Message, MessageKind, Nanos, Side};

use super::text::{Lines, count, cut, millis, size, visible};

/// Longer payloads are named and not shown.
const LIMIT_BYTES: u64 = 64 << 20;

/// Characters of a payload that a line shows.
const PREVIEW_CHARACTERS: usize = 100;

/// Bytes that are read for them.
const PREVIEW_BYTES: usize = 4 * PREVIEW_CHARACTERS;

/// Bytes of a payload that is no text.
const PREVIEW_HEX_BYTES: usize = 24;

/// A line for each message.
pub(super) fn table(out: &mut impl Write, reader: &Reader, exchange: &Exchange) -> io::Result<()> {
    let messages = match reader.messages(exchange.id) {
        Ok(messages) if messages.is_empty() => return Ok(()),
        Ok(messages) => messages,
        Err(error) => return writeln!(out, "\n-- messages\n[{error}]"),
    };
    writeln!(out, "\n-- messages, in ms after the start of the exchange")?;
    for message in &messages {
        let arrow = match message.from {
            Side::Request => "->",
            Side::Response => "<-",
        };
        let at = millis(Nanos::from_duration(message.started.since(exchange.timing.started)).0);
        let bytes = size(message.body.len);
        let (number, kind) = (message.number, kind(message.kind));
        write!(out, "{number:>6} {arrow} {kind:<7}{at:>12} {bytes:>9}  {}", preview(reader, message))?;
        if message.frames > 1 {
            write!(out, "  [{}]", count(u64::from(message.frames), "frame"))?;
        }
        if message.compressed {
            write!(out, "  [still compressed]")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn preview(reader: &Reader, message: &Message) -> String {
    let Some(first) = message.body.chunks.first() else { return String::new() };
    let bytes = match reader.chunk(*first) {
        Ok(bytes) => bytes,
        Err(error) => return format!("[{error}]"),
    };
    match (message.kind, bytes.split_first_chunk::<2>()) {
        (MessageKind::Close, Some((code, reason))) => {
            format!("{} {}", u16::from_be_bytes(*code), beginning(reason, message.body.len - 2)).trim_end().to_owned()
        }
        _ => beginning(&bytes, message.body.len),
    }
}

/// The first bytes of a payload of `len` bytes, on one line and safe for a terminal.
fn beginning(bytes: &[u8], len: u64) -> String {
    let start = &bytes[..bytes.len().min(PREVIEW_BYTES)];
    let is_text = match std::str::from_utf8(start) {
        Ok(text) => !text.contains('\0'),
        // A character that is cut at the end is no reason to call it binary.
        Err(error) => error.error_len().is_none() && start.len() < bytes.len(),
    };
    if is_text {
        let shown = cut(&String::from_utf8_lossy(start), PREVIEW_CHARACTERS);
        let whole = start.len() as u64 == len || shown.ends_with('…');
        let end = if whole { "" } else { "…" };
        return visible(shown.as_bytes(), Lines::Escape) + end;
    }
    let hex: Vec<String> = start.iter().take(PREVIEW_HEX_BYTES).map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ") + if len > PREVIEW_HEX_BYTES as u64 { " …" } else { "" }
}

fn kind(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Text => "text",
        MessageKind::Binary => "binary",
        MessageKind::Close => "close",
        MessageKind::Ping => "ping",
        MessageKind::Pong => "pong",
        MessageKind::Event => "event",
        MessageKind::Grpc => "grpc",
        MessageKind::Bytes => "bytes",
    }
}

/// The messages of an exchange as a list in JSON; each payload is read when it is printed.
#[derive(Debug)]
pub(super) struct List<'a> {
    pub(super) reader: &'a Reader,
    pub(super) messages: Vec<Message>,
}

impl List<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// `text` or `base64`, neither when the bytes cannot be had.
#[derive(Debug, serde::Serialize)]
struct Line {
    number: u32,
    from: &'static str,
    kind: &'static str,
    started_us: u64,
    ended_us: u64,
    frames: u32,
    bytes: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    compressed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Line {
    fn of(reader: &Reader, message: &Message) -> Self {
        let plain = Self {
            number: message.number,
            from: match message.from {
                Side::Request => "client",
                Side::Response => "server",
            },
            kind: kind(message.kind),
            started_us: message.started.as_micros(),
            ended_us: message.ended.as_micros(),
            frames: message.frames,
            bytes: message.body.len,
            compressed: message.compressed,
            text: None,
            base64: None,
            problem: None,
        };
        match reader.load(&message.body, LIMIT_BYTES).map(String::from_utf8) {
            Ok(Ok(text)) => Self { text: Some(text), ..plain },
            Ok(Err(other)) => {
                let base64 = base64::engine::general_purpose::STANDARD.encode(other.as_bytes());
                Self { base64: Some(base64), ..plain }
            }
            Err(error) => Self { problem: Some(error.to_string()), ..plain },
        }
    }
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.messages.len()))?;
        for message in &self.messages {
            list.serialize_element(&Line::of(self.reader, message))?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_payload_is_one_safe_line() {
        let long = "ä".repeat(300);
        let cut_long = format!("{}…", "ä".repeat(PREVIEW_CHARACTERS));
        let controls = "\u{1}".repeat(90) + &"x".repeat(400);
        let hex = "ff ".repeat(PREVIEW_HEX_BYTES) + "…";
        for (bytes, shown) in [
            (b"hello".as_slice(), "hello"),
            (b"a\nb\x1b[2J", "a\\x0ab\\x1b[2J"),
            (b"", ""),
            (long.as_bytes(), cut_long.as_str()),
            (controls.as_bytes(), &format!("{}{}…", "\\x01".repeat(90), "x".repeat(10))),
            (b"\x00\xff", "00 ff"),
            (b"caf\xc3", "63 61 66 c3"),
            (&[255; 200], &hex),
        ] {
            assert_eq!(beginning(bytes, bytes.len() as u64), shown);
        }
        let mut cut_inside = vec![b'x'; PREVIEW_BYTES - 1];
        cut_inside.extend_from_slice("ä".as_bytes());
        assert_eq!(beginning(&cut_inside, 1_000), "x".repeat(PREVIEW_CHARACTERS) + "…");
        assert_eq!(beginning(b"ab", 70_000), "ab…");
    }
}
