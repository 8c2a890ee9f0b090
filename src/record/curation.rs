//! What becomes of exchanges on their way to the capture: names of transactions, browser noise, what the filter leaves out.
//! The same for those that the relay reads and those that are read from the side.

use std::sync::Arc;

use crate::model::{Exchange, Remark};
use crate::observe::conversation::{Curator, Verdict};

use super::Http3Hints;
use super::filter::{self, Filter};
use super::marks::{self, Label};
use super::noise;
use super::tally::Tally;

/// Curates one recording.
#[derive(Debug)]
pub(super) struct Curation {
    filter: Filter,
    hints: Http3Hints,
    tally: Arc<Tally>,
}

impl Curation {
    /// Counts and lists go to `tally`.
    pub(super) fn new(filter: Filter, hints: Http3Hints, tally: Arc<Tally>) -> Self {
        Self { filter, hints, tally }
    }

    fn judge(&self, verdict: filter::Verdict) -> Verdict {
        match verdict {
            filter::Verdict::Keep => Verdict::Keep,
            filter::Verdict::Leave(cause) => {
                self.tally.left_out(&cause);
                Verdict::LeaveOut
            }
        }
    }
}

impl Curator for Curation {
    fn begun(&mut self, exchange: &mut Exchange) -> Verdict {
        let request = &mut exchange.request;
        // The relay of HTTP/1 has taken it out; where only bytes pass it went on.
        if let Some(name) = marks::named(&request.headers) {
            exchange.transaction = Label::lossy(&name).map(String::from).or(exchange.transaction.take());
            request.headers.0.retain(|(name, _)| !name.eq_ignore_ascii_case(marks::FIELD));
        }
        exchange.remarks.extend(noise::of(request).iter().map(|what| Remark::noise(what)));
        if request.method.is_empty() {
            return Verdict::Keep;
        }
        self.judge(self.filter.request(&request.origin, &request.target))
    }

    fn answered(&mut self, exchange: &mut Exchange) -> Verdict {
        let Some(response) = &exchange.response else { return Verdict::Keep };
        if self.hints == Http3Hints::Removed && response.headers.first("alt-svc").is_some() {
            exchange.remarks.push(Remark::Other("Alt-Svc was not passed on to the client".to_owned()));
        }
        self.judge(self.filter.response(response.headers.first("content-type")))
    }

    fn over(&mut self, exchange: &Exchange) {
        self.tally.exchange(exchange);
    }
}
