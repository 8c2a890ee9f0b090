//! Captures become HAR 1.2, as browsers' developer tools and validators accept it.
//!
//! Two passes over the capture: the first notes when exchanges began and which transactions there are, the second writes
//! them in that order, one at a time. What HAR has no word for stands in fields that begin with `_overdub_`, so that an
//! import gives the same exchanges again.

mod body;
mod clock;
mod entry;
mod fields;
mod messages;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use serde_json::{Value, json};

use crate::capture::{CaptureError, Reader};
use crate::model::{BodyError, Exchange, ExchangeId, Nanos, SessionId};

/// How to export.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Longest body that is written, decoded, in bytes; longer ones are left out with a comment.
    pub body_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_limit: 64 << 20 }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Exchanges.
    pub entries: u64,
    /// Transactions of sessions, as pages.
    pub pages: u64,
    /// WebSocket messages and server-sent events.
    pub messages: u64,
    /// Bodies left out because they are too long.
    pub bodies_left_out: u64,
    /// Bodies that the capture has lost.
    pub bodies_lost: u64,
    /// Exchanges that could not be read from the capture.
    pub unreadable: u64,
}

/// Why an export cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The capture cannot be read.
    #[error("cannot read the capture")]
    Capture(#[from] CaptureError),
    /// The output cannot be written.
    #[error("cannot write the HAR file")]
    Io(#[from] io::Error),
}

impl From<BodyError> for ExportError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Io(error) => Self::Capture(CaptureError::Io(error)),
            BodyError::Missing(_) | BodyError::TooLarge { .. } => Self::Capture(CaptureError::Record),
        }
    }
}

/// Writes a capture as HAR.
///
/// # Errors
/// When the capture cannot be read or `out` cannot be written. Damaged exchanges and bodies are counted, not fatal.
pub fn write(reader: &Reader, out: &mut dyn Write, options: &Options) -> Result<Summary, ExportError> {
    let mut summary = Summary::default();
    let plan = Plan::of(reader, &mut summary)?;
    let mut out = BufWriter::with_capacity(256 << 10, out);
    let anchor = reader.provenance().anchor_unix_ns;
    out.write_all(b"{\"log\":{\"version\":\"1.2\",\"creator\":")?;
    put(&mut out, &json!({"name": "Overdub", "version": env!("CARGO_PKG_VERSION")}))?;
    out.write_all(b",\"pages\":[")?;
    for (at, page) in plan.pages.iter().enumerate() {
        separate(&mut out, at)?;
        put(&mut out, &page.json(at, anchor))?;
    }
    out.write_all(b"\n],\"entries\":[")?;
    let mut export = entry::Export { reader, options, anchor, summary: &mut summary };
    let mut written = 0;
    for (_, id) in &plan.order {
        let Some(exchange) = readable(reader.exchange(*id), export.summary)? else { continue };
        let page = plan.page_of(&exchange);
        separate(&mut out, written)?;
        put(&mut out, &export.entry(&exchange, page)?)?;
        written += 1;
    }
    summary.entries = written as u64;
    summary.pages = plan.pages.len() as u64;
    out.write_all(b"\n],\"comment\":")?;
    put(&mut out, &json!(format!("from {}", reader.provenance().source)))?;
    out.write_all(b"}}\n")?;
    out.flush()?;
    Ok(summary)
}

fn put(out: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer(out, value).map_err(io::Error::from)
}

fn separate(out: &mut impl Write, before: usize) -> io::Result<()> {
    out.write_all(if before == 0 { b"\n" } else { b",\n" })
}

/// The exchange, or none when only this one is damaged.
fn readable(exchange: Result<Exchange, CaptureError>, summary: &mut Summary) -> Result<Option<Exchange>, CaptureError> {
    match exchange {
        Ok(exchange) => Ok(Some(exchange)),
        Err(error @ (CaptureError::Io(_) | CaptureError::DiskFull(_))) => Err(error),
        Err(_) => {
            summary.unreadable += 1;
            Ok(None)
        }
    }
}

/// In which order to write, and the pages.
#[derive(Debug, Default)]
struct Plan {
    order: Vec<(Nanos, ExchangeId)>,
    pages: Vec<Page>,
    places: HashMap<(SessionId, String), usize>,
}

/// A transaction of a session.
#[derive(Debug)]
struct Page {
    title: String,
    started: Nanos,
    session: SessionId,
}

impl Plan {
    fn of(reader: &Reader, summary: &mut Summary) -> Result<Self, ExportError> {
        let mut plan = Self::default();
        for exchange in reader.exchanges() {
            let Some(exchange) = readable(exchange, summary)? else { continue };
            let started = exchange.timing.started;
            plan.order.push((started, exchange.id));
            let Some(title) = exchange.transaction else { continue };
            let next = plan.pages.len();
            let at = *plan.places.entry((exchange.session, title.clone())).or_insert(next);
            if at == next {
                plan.pages.push(Page { title, started, session: exchange.session });
            } else {
                plan.pages[at].started = plan.pages[at].started.min(started);
            }
        }
        summary.unreadable = 0;
        plan.order.sort_unstable();
        Ok(plan)
    }

    fn page_of(&self, exchange: &Exchange) -> Option<usize> {
        let title = exchange.transaction.clone()?;
        self.places.get(&(exchange.session, title)).copied()
    }
}

impl Page {
    fn json(&self, at: usize, anchor: u64) -> Value {
        json!({
            "startedDateTime": clock::iso(anchor.saturating_add(self.started.0)),
            "id": page_id(at),
            "title": self.title,
            "pageTimings": {"onContentLoad": -1, "onLoad": -1},
            "_overdub_session": self.session.0,
        })
    }
}

fn page_id(at: usize) -> String {
    format!("page_{}", at + 1)
}
