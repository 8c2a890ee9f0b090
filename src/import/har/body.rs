//! Bodies on their way from a HAR into a capture, in pieces.
//!
//! A HAR holds the text of a body, decoded from its content coding and charset. Main function: [`copy`].

use std::io::{Read, Seek};

use super::HarError;
use super::charset::{Charset, Encoder, Gauge};
use super::json::Value;
use super::load::{Entry, Loader};
use super::text::{Unbase64, Unescape};

/// How a string of the file holds a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// As text.
    Text(Charset),
    /// In base64.
    Base64,
}

/// What became of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    /// The first bytes.
    pub(super) start: [u8; 2],
    /// Something in the string was no character and was replaced.
    pub(super) repaired: bool,
    /// The base64 was damaged; what stands behind the damage is lost.
    pub(super) damaged: bool,
}

/// Hands the bytes of a body to `to`, piece by piece.
pub(super) fn copy<R: Read + Seek>(
    loader: &mut Loader<R>,
    entry: &Entry,
    value: Value<'_>,
    held: Held,
    mut to: impl FnMut(&[u8]) -> Result<(), HarError>,
) -> Result<Copied, HarError> {
    let mut copied = Copied::default();
    let mut seen = 0;
    let mut to = |bytes: &[u8]| {
        for byte in bytes.iter().take(2_usize.saturating_sub(seen)) {
            copied.start[seen] = *byte;
            seen += 1;
        }
        to(bytes)
    };
    let mut unescape = Unescape::default();
    let (mut text, mut bytes) = (Vec::new(), Vec::new());
    let mut unbase64 = Unbase64::default();
    match held {
        Held::Base64 => {
            loader.pieces(entry, value, |piece| {
                text.clear();
                bytes.clear();
                unescape.push(piece, &mut text);
                unbase64.push(&text, &mut bytes);
                to(&bytes)
            })?;
            bytes.clear();
            unbase64.finish(&mut bytes);
            to(&bytes)?;
        }
        Held::Text(charset) => {
            let mut encoder = Encoder::new(charset);
            loader.pieces(entry, value, |piece| {
                text.clear();
                unescape.push(piece, &mut text);
                to(encoder.push(&text, &mut bytes))
            })?;
            text.clear();
            unescape.finish(&mut text);
            to(encoder.push(&text, &mut bytes))?;
        }
    }
    Ok(Copied { repaired: unescape.repaired, damaged: unbase64.damaged, ..copied })
}

/// Measures the text of a string.
pub(super) fn gauge<R: Read + Seek>(
    loader: &mut Loader<R>,
    entry: &Entry,
    value: Value<'_>,
) -> Result<Gauge, HarError> {
    let mut gauge = Gauge::default();
    let mut unescape = Unescape::default();
    let mut text = Vec::new();
    loader.pieces(entry, value, |piece| {
        text.clear();
        unescape.push(piece, &mut text);
        gauge.push(&text);
        Ok::<_, HarError>(())
    })?;
    text.clear();
    unescape.finish(&mut text);
    gauge.push(&text);
    Ok(gauge)
}
