//! Bodies in a content coding: undone, redacted, made again. There is no encoder of brotli here: such bodies stay decoded.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::Redactor;
use super::body::{Ended, Haste, Text};
use crate::wire::content_stream::Decoder;

/// A body up to this length is stored as it was when there is nothing to replace in it.
const ORIGINAL_BYTES: usize = 64 * 1024;

/// A body in a content coding.
pub(super) struct Coded {
    name: String,
    decoder: Decoder,
    encoder: Encoder,
    /// All of it as it came, as long as nothing was replaced and it is short.
    original: Option<Vec<u8>>,
    decoded_bytes: u64,
    failed: bool,
}

impl Coded {
    pub(super) fn new(coding: &str, decoder: Decoder) -> Self {
        let encoder = Encoder::of(coding);
        let name = coding.to_owned();
        Self { name, decoder, encoder, original: Some(Vec::new()), decoded_bytes: 0, failed: false }
    }

    /// Bytes that wait in memory.
    pub(super) fn waiting(&self) -> usize {
        self.original.as_ref().map_or(0, Vec::len)
    }

    /// Gives all bytes back when they were never in this coding.
    pub(super) fn push(
        &mut self,
        text: &mut Text,
        redactor: &mut Redactor,
        bytes: &[u8],
        haste: Haste,
        out: &mut Vec<u8>,
    ) -> Option<Vec<u8>> {
        if self.failed {
            return None;
        }
        if let Some(original) = &mut self.original {
            original.extend_from_slice(bytes);
        }
        let Self { decoder, encoder, decoded_bytes, .. } = self;
        let mut written = Ok(());
        let decoded = decoder.push(bytes, &mut |plain| {
            *decoded_bytes += plain.len() as u64;
            let mut redacted = Vec::new();
            text.push(redactor, plain, haste, &mut redacted);
            if written.is_ok() {
                written = encoder.write(&redacted);
            }
        });
        let is_text = |raw: &Vec<u8>| std::str::from_utf8(raw).is_ok_and(|text| !text.contains(is_no_text));
        if decoded.is_err() && self.decoded_bytes == 0 && self.original.as_ref().is_some_and(is_text) {
            return self.original.take();
        }
        self.failed = decoded.is_err() || written.is_err();
        self.give(text, out);
        None
    }

    /// Gives what is coded anew, once it is known that the original cannot be kept.
    fn give(&mut self, text: &Text, out: &mut Vec<u8>) {
        if text.changed > 0 || self.failed || self.original.as_ref().is_some_and(|all| all.len() > ORIGINAL_BYTES) {
            self.original = None;
        }
        if self.original.is_none() {
            out.append(self.encoder.done());
        }
    }

    pub(super) fn finish(mut self, mut text: Text, redactor: &mut Redactor, out: &mut Vec<u8>) -> Ended {
        let mut redacted = Vec::new();
        text.finish(redactor, &mut redacted);
        self.failed |= self.encoder.write(&redacted).is_err();
        self.give(&text, out);
        if let Some(original) = self.original {
            out.extend(original);
            return Ended::Kept;
        }
        let decoded = matches!(self.encoder, Encoder::Plain(_));
        match self.encoder.finish() {
            Ok(rest) => out.extend(rest),
            Err(_) => self.failed = true,
        }
        match (decoded, self.failed) {
            (true, _) => Ended::Decoded,
            (false, true) => Ended::Cut,
            (false, false) => Ended::Recoded,
        }
    }
}

impl std::fmt::Debug for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coded").field("name", &self.name).field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// Makes a content coding.
enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zlib(ZlibEncoder<Vec<u8>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    /// None is made: there is no encoder for it here.
    Plain(Vec<u8>),
}

impl Encoder {
    fn of(coding: &str) -> Self {
        match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Self::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
            "deflate" => Self::Zlib(ZlibEncoder::new(Vec::new(), Compression::default())),
            "zstd" => zstd::stream::write::Encoder::new(Vec::new(), 3)
                .map_or_else(|_| Self::Plain(Vec::new()), |encoder| Self::Zstd(Box::new(encoder))),
            _ => Self::Plain(Vec::new()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zlib(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Plain(done) => done.write_all(bytes),
        }
    }

    /// What is made so far; to be emptied.
    fn done(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zlib(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Plain(done) => done,
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zlib(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Plain(done) => Ok(done),
        }
    }
}

fn is_no_text(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
}
