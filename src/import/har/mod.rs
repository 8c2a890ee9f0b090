//! HAR files (1.1 and 1.2, of browsers, proxies and load tools) become exchanges.
//!
//! Two passes over a file that can be read twice: [`survey()`] finds the entries and when they began, [`import`] takes them in
//! that order. One entry is in memory at a time, and of an entry only what is not a long string. Dialects are met by what
//! the entries hold, hardly by who wrote them. Knows nothing of the other sources.

mod address;
mod body;
mod charset;
mod content;
mod date;
mod entry;
mod fields;
mod form;
mod inside;
mod json;
mod load;
mod messages;
mod network;
mod plain;
mod scan;
mod survey;
#[cfg(test)]
mod tests;
mod text;
mod timing;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

use crate::capture::CaptureError;
use crate::import::control::is_stop;
use crate::import::flaws::Flaws;
use crate::observe::Recorder;

pub use plain::{START_BYTES, is_plain, make_plain};
pub use survey::{Damage, Survey, survey};

/// What becomes of entries that the browser answered itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cached {
    /// They are counted and left out: they never went over the network.
    #[default]
    Skip,
    /// They are imported like the rest.
    Keep,
}

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Entries from the browser's caches.
    pub cached: Cached,
}

/// What an import found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the file that could be found.
    pub entries: u64,
    /// Exchanges recorded.
    pub exchanges: u64,
    /// Of these, those without a response: cancelled, blocked, failed.
    pub unanswered: u64,
    /// WebSocket messages and server-sent events recorded.
    pub messages: u64,
    /// Entries left out because the browser answered them from a cache or a service worker.
    pub not_from_network: u64,
    /// Entries left out because they went elsewhere: `blob`, `data`, `chrome-extension`, … by scheme, and `CONNECT`.
    pub elsewhere: BTreeMap<String, u64>,
    /// Bodies that are not in the file: of requests, of responses.
    pub absent_bodies: [u64; 2],
    /// Entries without a readable date; they take the moment of the entry before them.
    pub undated: u64,
    /// Entries that do not say which connection they used; each origin is taken for one connection.
    pub without_connection: u64,
    /// Entries that could not be imported.
    pub unreadable: Flaws,
    /// Entries beyond the most that can be imported from one file.
    pub beyond: u64,
    /// Where the file stops being readable; what stands before is imported.
    pub damage: Option<Damage>,
}

/// Why a HAR file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum HarError {
    /// The file is something else, or ends before its first entry's place.
    #[error("not a HAR file: there is no list `log.entries`")]
    NotHar,
    /// The file cannot be read.
    #[error("cannot read the HAR file")]
    Io(#[from] io::Error),
    /// The capture cannot be written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// Imports what `survey` found in the same `input`; the recorder's anchor is [`Survey::anchor`]. Exchanges are numbered in
/// the order in which they began.
///
/// Entries that cannot be understood are counted with the reason, never a cause to stop.
///
/// # Errors
/// When the file cannot be read or the capture cannot be written; what was recorded stays in the recorder.
pub fn import<R: Read + Seek>(
    input: R,
    survey: &Survey,
    config: Config,
    recorder: &mut Recorder,
) -> Result<Summary, HarError> {
    let mut import = entry::Import::new(input, survey, config, recorder)?;
    match survey.places.iter().try_for_each(|place| import.entry(*place)) {
        Err(HarError::Io(error)) if is_stop(&error) => {}
        other => other?,
    }
    Ok(import.summary)
}
