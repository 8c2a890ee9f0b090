//! Bodies in passing: a bounded part of the text is held back so that nothing secret is cut in two.

use super::fields::Language;
use super::known::LONGEST_BYTES;
use super::recode::Coded;
use super::scan::Context;
use super::{Redactor, permute};
use crate::model::{Exchange, Headers, Incomplete, Remark, Side};
use crate::wire::content_stream::Decoder;

/// What is held back: the longest secret and the marks around it.
const HOLD_BYTES: usize = LONGEST_BYTES + 2 * 1024;
/// What is looked at anew of the text before.
const BEHIND_BYTES: usize = 1024;
/// Text is worked on in pieces of about this length.
const BLOCK_BYTES: usize = 32 * 1024;

/// When text is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// In large pieces.
    None,
    /// As soon as can be, to hold little in memory.
    Memory,
}

/// One body on its way into a capture.
#[derive(Debug)]
pub struct BodyEditor {
    text: Text,
    coding: Coding,
    seen_bytes: u64,
}

#[derive(Debug)]
enum Coding {
    Identity,
    Coded(Box<Coded>),
    /// Cannot be read, so cannot be redacted, so is not kept.
    LeftOut(String),
}

/// How a body ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// In the coding that it came in; nothing to tell.
    Kept,
    /// Coded anew.
    Recoded,
    /// Not coded any more.
    Decoded,
    /// Not kept.
    LeftOut { why: String, bytes: u64 },
    /// Its coding is damaged; what stands behind the damage is not kept.
    Cut,
}

impl BodyEditor {
    /// For a body under these header fields.
    pub(super) fn new(headers: &Headers, side: Side) -> Self {
        let coding = headers.text("content-encoding").unwrap_or("").trim();
        let grpc = headers.text("grpc-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"));
        let is_plain = coding.is_empty() || coding.eq_ignore_ascii_case("identity");
        let coding = match (grpc, Decoder::new(coding)) {
            _ if !has_ascii(headers) => Coding::LeftOut("its characters are not those of ASCII and UTF-8".to_owned()),
            (Some(_), _) => {
                Coding::LeftOut("its messages are compressed one by one, and recorded on their own".to_owned())
            }
            (None, _) if is_plain => Coding::Identity,
            (None, Some(decoder)) => Coding::Coded(Box::new(Coded::new(coding, decoder))),
            (None, None) => Coding::LeftOut("its content coding is not known here".to_owned()),
        };
        let text = Text {
            language: language(headers),
            declared: is_declared_text(headers),
            from_server: side == Side::Response,
            tail: Vec::new(),
            pending: Vec::new(),
            begins: true,
            inside: false,
            changed: 0,
        };
        Self { text, coding, seen_bytes: 0 }
    }

    /// Takes the next bytes; appends to `out` what can be stored by now.
    pub fn push(&mut self, redactor: &mut Redactor, bytes: &[u8], haste: Haste, out: &mut Vec<u8>) {
        self.seen_bytes += bytes.len() as u64;
        if self.text.begins && self.text.pending.is_empty() && starts_wide(bytes) {
            self.coding = Coding::LeftOut("its characters are those of UTF-16".to_owned());
        }
        match &mut self.coding {
            Coding::Identity => self.text.push(redactor, bytes, haste, out),
            Coding::LeftOut(_) => {}
            Coding::Coded(coded) => {
                if let Some(raw) = coded.push(&mut self.text, redactor, bytes, haste, out) {
                    // Not what its head says from its first byte on: a plain text.
                    self.coding = Coding::Identity;
                    self.text.push(redactor, &raw, haste, out);
                }
            }
        }
    }

    /// Bytes that wait in memory.
    pub fn waiting(&self) -> usize {
        self.text.pending.len()
            + match &self.coding {
                Coding::Coded(coded) => coded.waiting(),
                Coding::Identity | Coding::LeftOut(_) => 0,
            }
    }

    /// The body is over; appends the rest to `out`.
    pub(super) fn finish(mut self, redactor: &mut Redactor, out: &mut Vec<u8>) -> Ended {
        match self.coding {
            Coding::Identity => {
                self.text.finish(redactor, out);
                Ended::Kept
            }
            Coding::LeftOut(why) => Ended::LeftOut { why, bytes: self.seen_bytes },
            Coding::Coded(coded) => coded.finish(self.text, redactor, out),
        }
    }
}

impl Redactor {
    /// A body of this exchange begins; its head stands in the exchange.
    pub fn body(&self, exchange: &Exchange, side: Side) -> BodyEditor {
        match (side, &exchange.response) {
            (Side::Request, _) => BodyEditor::new(&exchange.request.headers, side),
            (Side::Response, Some(response)) => BodyEditor::new(&response.headers, side),
            (Side::Response, None) => BodyEditor::new(&Headers::default(), side),
        }
    }

    /// The rest of a body, and what of it the exchange has to say.
    pub fn last_of_body(&mut self, editor: BodyEditor, exchange: &mut Exchange, side: Side) -> LastOfBody {
        let mut rest = Vec::new();
        let ended = editor.finish(self, &mut rest);
        match &ended {
            Ended::LeftOut { bytes: 0, .. } => {}
            Ended::LeftOut { why, bytes } => {
                self.tally.left_out += 1;
                exchange.remarks.push(Remark::BodyAbsent { side, bytes: *bytes });
                let who = name(side);
                exchange.remarks.push(Remark::Other(format!("the {who}'s body cannot be redacted and was left out: {why}")));
            }
            Ended::Decoded => exchange.remarks.push(Remark::Other(format!(
                "the {}'s body was decoded to be redacted; Content-Encoding and Content-Length are those of what is here",
                name(side)
            ))),
            Ended::Cut => {
                let who = name(side);
                let why = format!("the {who}'s body is damaged in its coding and was not redacted behind that");
                exchange.incomplete.get_or_insert(Incomplete::NotRecorded(why));
            }
            Ended::Kept | Ended::Recoded => {}
        }
        let headers = match side {
            Side::Request => Some(&mut exchange.request.headers),
            Side::Response => exchange.response.as_mut().map(|response| &mut response.headers),
        };
        if let (Ended::Decoded, Some(headers)) = (&ended, headers) {
            headers.0.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-encoding"));
        }
        LastOfBody { rest, new_length: matches!(ended, Ended::Decoded | Ended::Recoded | Ended::Cut) }
    }
}

/// What is left to do for a body.
#[derive(Debug)]
pub struct LastOfBody {
    /// The bytes that are still to be stored.
    pub rest: Vec<u8>,
    /// Whether its length is another one than `Content-Length` says.
    pub new_length: bool,
}

impl LastOfBody {
    /// Makes the length in a head that of the stored body.
    pub fn tell_length(&self, headers: &mut Headers, length: u64) {
        let fields = headers.0.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
        if self.new_length {
            fields.for_each(|(_, value)| *value = length.to_string().into_bytes());
        }
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}

/// Whether letters and digits of a body are single bytes that can be found.
fn has_ascii(headers: &Headers) -> bool {
    let media = headers.text("content-type").unwrap_or("").to_ascii_lowercase();
    !["utf-16", "utf-32", "utf-7", "ucs-2", "grpc-web-text"].iter().any(|other| media.contains(other))
}

/// How a body of this type is read; none for what is no text.
fn language(headers: &Headers) -> Option<Language> {
    let media = headers.text("content-type").unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let (kind, name) = media.split_once('/').unwrap_or((&media, ""));
    match (kind, name) {
        (_, "html" | "xhtml+xml") => Some(Language::Page),
        (_, "javascript" | "ecmascript" | "x-javascript" | "css") => Some(Language::Code),
        (_, "x-www-form-urlencoded") => Some(Language::Form),
        (_, name) if name.ends_with("xml") || name.ends_with("json") => Some(Language::Data),
        ("image" | "audio" | "video" | "font", _) | (_, "zip" | "gzip" | "pdf" | "wasm" | "x-shockwave-flash") => None,
        _ => Some(Language::Data),
    }
}

/// Whether a head says that the body is text, whatever it looks like.
fn is_declared_text(headers: &Headers) -> bool {
    let media = headers.text("content-type").unwrap_or("").to_ascii_lowercase();
    media.starts_with("text/")
        || ["json", "xml", "html", "script", "urlencoded"].iter().any(|text| media.contains(text))
}

/// Text on its way, without codings.
#[derive(Debug)]
pub(super) struct Text {
    language: Option<Language>,
    /// The head says that it is text.
    declared: bool,
    from_server: bool,
    /// The end of what was given, to be looked back at.
    tail: Vec<u8>,
    /// What was not given yet.
    pending: Vec<u8>,
    begins: bool,
    /// What comes next is the rest of a value that was longer than what is held back.
    inside: bool,
    /// Values replaced.
    pub(super) changed: u64,
}

impl Text {
    pub(super) fn push(&mut self, redactor: &mut Redactor, bytes: &[u8], haste: Haste, out: &mut Vec<u8>) {
        if self.begins && self.pending.is_empty() && !self.declared && looks_binary(bytes) {
            self.language = None;
        }
        let block = if haste == Haste::Memory { BEHIND_BYTES } else { BLOCK_BYTES };
        for piece in bytes.chunks(BLOCK_BYTES) {
            self.pending.extend_from_slice(piece);
            if self.pending.len() >= block + HOLD_BYTES {
                self.advance(redactor, self.pending.len() - HOLD_BYTES, out);
            }
        }
    }

    pub(super) fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.advance(redactor, self.pending.len(), out);
        }
    }

    /// Gives about this much of what is pending.
    fn advance(&mut self, redactor: &mut Redactor, length: usize, out: &mut Vec<u8>) {
        let length = if self.inside { self.rest_of_value(redactor, length, out) } else { length };
        if self.inside {
            return;
        }
        let from = self.tail.len();
        let mut block = std::mem::take(&mut self.tail);
        block.append(&mut self.pending);
        let edited = match self.language {
            Some(language) => {
                let context = Context { begins: self.begins, ..Context::of(language, self.from_server) };
                redactor.edit(&block, context, from, from + length)
            }
            None => redactor.known_only(&block, from, from + length),
        };
        self.begins = false;
        self.inside = edited.crossed;
        self.changed += edited.changed;
        redactor.tally.values += edited.changed;
        let given = edited.bytes.get(from..edited.cut).unwrap_or_default();
        redactor.left.note(given);
        out.extend_from_slice(given);
        self.pending = block.split_off(edited.cut);
        self.tail = edited.bytes[edited.cut.saturating_sub(BEHIND_BYTES)..edited.cut].to_vec();
    }

    /// Gives the rest of a long value, as far as it is among the next `length` bytes; returns how many of them are left.
    fn rest_of_value(&mut self, redactor: &Redactor, length: usize, out: &mut Vec<u8>) -> usize {
        let is_end = |byte: &u8| b"\"'`&<>, \t\r\n".contains(byte);
        let end = self.pending[..length].iter().position(is_end);
        let value: Vec<u8> = self.pending.drain(..end.unwrap_or(length)).collect();
        let new = permute::pseudonym(&redactor.key, &value);
        self.inside = end.is_none();
        self.changed += 1;
        self.tail = new[new.len().saturating_sub(BEHIND_BYTES)..].to_vec();
        out.extend(new);
        length - value.len()
    }
}

/// Whether a body begins with a byte order mark of two-byte characters.
fn starts_wide(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// Whether a body begins like none of text.
fn looks_binary(bytes: &[u8]) -> bool {
    // A gRPC message begins with a zero as well; what follows it may be text.
    bytes.iter().skip(5).take(64).filter(|byte| **byte == 0).count() > 3
}
