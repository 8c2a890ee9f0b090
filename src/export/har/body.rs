//! Bodies as HAR holds them: decoded, as text where they are text, else in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{ExportError, Options, Summary};
use crate::capture::Reader;
use crate::model::{Body, BodyError, BodySource as _, Headers};
use crate::wire::content;

/// A body for a HAR.
#[derive(Debug)]
pub(super) enum Shown {
    /// Its bytes, and whether its content coding could not be undone.
    Bytes { bytes: Vec<u8>, encoded: bool },
    /// Why it is not here.
    LeftOut(&'static str),
}

/// Loads a body and undoes its content coding.
pub(super) fn load(
    reader: &Reader,
    body: &Body,
    headers: &Headers,
    options: &Options,
    summary: &mut Summary,
) -> Result<Shown, ExportError> {
    let bytes = match reader.load(body, options.body_limit) {
        Ok(bytes) => bytes,
        Err(BodyError::TooLarge { .. }) => {
            summary.bodies_left_out += 1;
            return Ok(Shown::LeftOut("body left out: it is over the limit"));
        }
        Err(BodyError::Missing(_)) => {
            summary.bodies_lost += 1;
            return Ok(Shown::LeftOut("body left out: it is lost from the capture"));
        }
        Err(error) => return Err(error.into()),
    };
    let coding = headers.all("content-encoding").map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
    if coding.is_empty() || bytes.is_empty() {
        return Ok(Shown::Bytes { bytes, encoded: false });
    }
    let limit = usize::try_from(options.body_limit).unwrap_or(usize::MAX);
    match content::decode(&coding, &bytes, limit) {
        Ok(bytes) => Ok(Shown::Bytes { bytes, encoded: false }),
        Err(content::ContentError::TooLarge(_)) => {
            summary.bodies_left_out += 1;
            Ok(Shown::LeftOut("body left out: it is over the limit when decoded"))
        }
        Err(_) => Ok(Shown::Bytes { bytes, encoded: true }),
    }
}

/// Puts `text` and, for what is no text, `encoding` into a HAR object.
pub(super) fn put_text(bytes: Vec<u8>, media_type: &str, into: &mut Map<String, Value>) {
    match String::from_utf8(bytes) {
        Ok(text) if is_text(&text, media_type) => {
            into.insert("text".to_owned(), json!(text));
        }
        other => {
            let bytes = other.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
            into.insert("text".to_owned(), json!(STANDARD.encode(bytes)));
            into.insert("encoding".to_owned(), json!("base64"));
        }
    }
}

/// Whether readers take a text for the same bytes: it has no control characters, and is ASCII unless it says UTF-8 or
/// nothing.
fn is_text(text: &str, media_type: &str) -> bool {
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    let lower = media_type.to_ascii_lowercase();
    let other_charset = lower.contains("charset") && !lower.contains("utf-8") && !lower.contains("utf8");
    !text.chars().any(control) && (text.is_ascii() || !other_charset)
}
