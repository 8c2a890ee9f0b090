//! Flow files of mitmproxy and mitmdump (versions 0.11 to 21 of the format) become exchanges.
//!
//! Two passes over a file that can be read twice: [`survey()`] finds the flows and when they began, [`import`] takes them in
//! that order. One flow is in memory at a time. Fields are found by any of the names that they had; what is not there is
//! not needed. Knows nothing of the other sources. Source: mitmproxy/io/compat.py, which has the history of the format.

mod connection;
mod flow;
mod records;
mod request;
mod socket;
mod survey;
#[cfg(test)]
mod tests;
mod tnetstring;

use std::collections::BTreeMap;
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
    /// HTTP flows of the file.
    pub flows: u64,
    /// Exchanges recorded.
    pub exchanges: u64,
    /// Of these, those without a response.
    pub unanswered: u64,
    /// WebSocket messages recorded.
    pub messages: u64,
    /// Flows left out, by kind: `tcp`, `udp`, `dns`, `CONNECT`, WebSocket flows without their handshake, others.
    pub elsewhere: BTreeMap<String, u64>,
    /// Bodies that are not in the file, since mitmproxy passed them through: of requests, of responses.
    pub absent_bodies: [u64; 2],
    /// Flows of a version of the format that is later than any known here.
    pub newer: u64,
    /// Flows that could not be imported.
    pub unreadable: Flaws,
    /// Flows beyond the most that can be imported from one file.
    pub beyond: u64,
    /// The highest number of a connection.
    pub connections: u64,
    /// Where the file cannot be read; what stands before and behind is imported.
    pub damage: Option<Damage>,
}

/// Why a flow file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The file is something else.
    #[error("there is no whole mitmproxy flow in it")]
    NotFlows,
    /// The file cannot be read.
    #[error("cannot read the flow file")]
    Io(#[from] io::Error),
    /// The capture cannot be written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// Imports what `survey` found in the same `input`; the recorder's anchor is [`Survey::anchor`]. Exchanges are numbered in
/// the order in which they began.
///
/// Flows that cannot be understood are counted with the reason, never a cause to stop.
///
/// # Errors
/// When the file cannot be read or the capture cannot be written; what was recorded stays in the recorder.
pub fn import<R: Read + Seek>(input: R, survey: &Survey, recorder: &mut Recorder) -> Result<Summary, FlowError> {
    let mut import = flow::Import::new(input, survey, recorder)?;
    match survey.places.iter().try_for_each(|place| import.flow(*place)) {
        Err(FlowError::Io(error)) if is_stop(&error) => {}
        other => other?,
    }
    Ok(import.summary())
}
