//! Files of GoReplay (`.gor`) become exchanges: requests, and the responses that were recorded with them.
//!
//! Two passes over a file that can be read twice: [`survey()`] finds the payloads and which response answers which request,
//! [`import`] takes the requests in the order in which they began. One payload is in memory at a time. A payload is a line
//! (type, id, nanoseconds, perhaps a duration), an HTTP/1 message as it was on the wire, and a separator of three monkeys.
//! Knows nothing of the other sources. Source: github.com/buger/goreplay, protocol.go and input_file.go.

mod exchange;
mod message;
mod records;
mod survey;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Seek};

use crate::capture::CaptureError;
use crate::import::control::is_stop;
use crate::import::damage::Damage;
use crate::import::flaws::Flaws;
use crate::observe::Recorder;

pub use survey::{Survey, survey};

/// What an import found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests of the file.
    pub requests: u64,
    /// Exchanges recorded.
    pub exchanges: u64,
    /// Of these, those without a response.
    pub unanswered: u64,
    /// Of these, those with the response that a replay by GoReplay got, since there is no original one.
    pub replayed: u64,
    /// Responses without their request; they are left out.
    pub unasked: u64,
    /// `CONNECT` requests; they are left out.
    pub tunnels: u64,
    /// Payloads that do not say when they were seen; they take the moment of the one before them.
    pub undated: u64,
    /// Payloads that could not be imported.
    pub unreadable: Flaws,
    /// Requests beyond the most that can be imported from one file.
    pub beyond: u64,
    /// The highest number of a connection.
    pub connections: u64,
    /// What could not be read of the file.
    pub damage: Option<Damage>,
}

/// Why a GoReplay file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum GoReplayError {
    /// The file is something else.
    #[error("not a GoReplay file: there is no request")]
    NotGoReplay,
    /// The file cannot be read.
    #[error("cannot read the GoReplay file")]
    Io(#[from] io::Error),
    /// The capture cannot be written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// Imports what `survey` found in the same `input`; the recorder's anchor is [`Survey::anchor`]. Exchanges are numbered in
/// the order in which they began.
///
/// Payloads that cannot be understood are counted with the reason, never a cause to stop.
///
/// # Errors
/// When the file cannot be read or the capture cannot be written; what was recorded stays in the recorder.
pub fn import<R: Read + Seek>(input: R, survey: &Survey, recorder: &mut Recorder) -> Result<Summary, GoReplayError> {
    let mut import = exchange::Import::new(input, survey, recorder);
    match survey.places.iter().try_for_each(|place| import.exchange(*place)) {
        Err(GoReplayError::Io(error)) if is_stop(&error) => {}
        other => other?,
    }
    Ok(import.summary())
}
