//! Which request a response answers, also when messages of either side were lost.
//!
//! Responses come in the order of their requests (RFC 9112 §9.3). After a gap among the responses, those that were under way
//! before it may have been lost: they are *in doubt*. A client that waits for each answer before it asks again has at most
//! one request that awaits an answer, the latest; for one that does not wait (pipelining) a response is not paired at all
//! while several requests can be meant.

use std::collections::VecDeque;

use crate::model::{Nanos, Request};

use super::super::open::Open;

/// Most requests that await their responses; the oldest is given up.
const MOST_WAITING: usize = 256;

/// A request that awaits its response, or has it while its own body is still coming.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: What,
    /// The request is whole, or no more of it can come.
    pub(super) sent: bool,
    /// The response is whole, or no more of it can come.
    pub(super) answered: bool,
    /// The connection may go on as something else after the response.
    pub(super) may_switch: bool,
    /// Gaps among the responses when it began, or when its response did.
    gaps: u32,
    /// A response to it has begun.
    begun: bool,
}

/// What awaits.
#[derive(Debug)]
pub(super) enum What {
    /// An exchange.
    Open(Box<Open>),
    /// A CONNECT, which becomes an exchange only when it is refused; and when it began and ended.
    Connect(Box<(Request, Nanos, Option<Nanos>)>),
}

impl What {
    pub(super) fn method(&self) -> &str {
        match self {
            Self::Open(open) => &open.draft.exchange.request.method,
            Self::Connect(_) => "CONNECT",
        }
    }
}

/// Why a place in the order of requests is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// Bytes were lost in which requests may have been.
    Gap,
    /// Bytes that are no request.
    Cruft,
}

#[derive(Debug)]
enum Entry {
    Asked(Asked),
    Hole(Hole, u32),
}

impl Entry {
    fn gaps(&self) -> u32 {
        match self {
            Self::Asked(asked) => asked.gaps,
            Self::Hole(_, gaps) => *gaps,
        }
    }
}

/// Whom a response answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The request in front.
    Front,
    /// One that was not captured.
    Unseen,
    /// Something that was no request.
    Cruft,
    /// One of several, which cannot be known.
    AnyOf,
}

/// The requests of a connection in order.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    entries: VecDeque<Entry>,
    gaps: u32,
    /// The client does not wait for answers.
    pipelines: bool,
}

impl Pairing {
    /// A request begins. What has to be given up for it comes back.
    pub(super) fn ask(&mut self, what: What, may_switch: bool) -> Option<Asked> {
        let waited_for = |entry: &Entry| match entry {
            Entry::Asked(asked) => !asked.answered && !asked.begun && asked.gaps == self.gaps,
            Entry::Hole(..) => false,
        };
        self.pipelines |= self.entries.back().is_some_and(waited_for);
        let asked = Asked { what, sent: false, answered: false, may_switch, gaps: self.gaps, begun: false };
        self.entries.push_back(Entry::Asked(asked));
        if self.entries.len() > MOST_WAITING { self.take_front() } else { None }
    }

    /// Requests may be missing here.
    pub(super) fn hole(&mut self, why: Hole) {
        let room = self.entries.len() < MOST_WAITING;
        match self.entries.back_mut() {
            Some(Entry::Hole(before, _)) if *before == why || why == Hole::Cruft => {}
            Some(Entry::Hole(before, _)) => *before = why,
            _ if !room => {}
            _ => self.entries.push_back(Entry::Hole(why, self.gaps)),
        }
    }

    /// Responses may be missing here.
    pub(super) fn response_gap(&mut self) {
        self.gaps = self.gaps.wrapping_add(1);
    }

    /// Nothing awaits a response.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The connection stays what it is.
    pub(super) fn stay(&mut self) {
        self.each(|asked| asked.may_switch = false);
    }

    /// The request that is being sent.
    pub(super) fn sending(&mut self) -> Option<&mut Asked> {
        match self.entries.back_mut() {
            Some(Entry::Asked(asked)) if !asked.sent => Some(asked),
            _ => None,
        }
    }

    /// The request in front.
    pub(super) fn front(&mut self) -> Option<&mut Asked> {
        match self.entries.front_mut() {
            Some(Entry::Asked(asked)) => Some(asked),
            _ => None,
        }
    }

    /// The last request may make the connection something else, and is not answered yet.
    pub(super) fn may_switch(&self) -> bool {
        matches!(self.entries.back(), Some(Entry::Asked(asked)) if asked.may_switch && asked.sent && !asked.answered)
    }

    /// Takes out the request in front.
    pub(super) fn take_front(&mut self) -> Option<Asked> {
        while let Some(entry) = self.entries.pop_front() {
            if let Entry::Asked(asked) = entry {
                if self.entries.is_empty() && self.entries.capacity() > 8 {
                    self.entries = VecDeque::new();
                }
                return Some(asked);
            }
        }
        None
    }

    /// Takes out the request in front when both its sides are over.
    pub(super) fn take_done(&mut self) -> Option<Asked> {
        match self.entries.front() {
            Some(Entry::Asked(asked)) if asked.sent && asked.answered => self.take_front(),
            _ => None,
        }
    }

    /// Whether responses that may have answered this request were lost.
    pub(super) fn in_doubt(&self, asked: &Asked) -> bool {
        asked.gaps != self.gaps
    }

    /// The method of the request that a response which begins now answers, when that is known.
    pub(super) fn expected(&self) -> Option<&str> {
        match self.choose(0) {
            (Who::Front, at) => match &self.entries[at] {
                Entry::Asked(asked) => Some(asked.what.method()),
                Entry::Hole(..) => None,
            },
            _ => None,
        }
    }

    /// A response with this status begins: whom does it answer? Requests whose responses must have been lost come back;
    /// they are over.
    pub(super) fn answer(&mut self, status: u16) -> (Who, Vec<Asked>) {
        let (who, over) = self.choose(status);
        let mut lost = Vec::new();
        for _ in 0..over {
            if let Some(Entry::Asked(asked)) = self.entries.pop_front() {
                lost.push(asked);
            }
        }
        if let (Who::Front, Some(Entry::Asked(front))) = (who, self.entries.front_mut()) {
            front.gaps = self.gaps;
            front.begun = true;
        }
        if who == Who::Cruft {
            self.entries.pop_front();
        }
        (who, lost)
    }

    /// All that await.
    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Asked)) {
        for entry in &mut self.entries {
            if let Entry::Asked(asked) = entry {
                act(asked);
            }
        }
    }

    /// Whom a response that begins now answers, and how many entries before it are over.
    fn choose(&self, status: u16) -> (Who, usize) {
        let doubtful = self.entries.iter().take_while(|entry| entry.gaps() != self.gaps).count();
        match (doubtful, self.pipelines) {
            (0, _) => self.in_order(status),
            (_, true) if self.entries.len() == 1 => self.keep_from(0),
            (_, true) => (Who::AnyOf, 0),
            (_, false) => self.latest(doubtful),
        }
    }

    /// No response was lost.
    fn in_order(&self, status: u16) -> (Who, usize) {
        match self.entries.front() {
            Some(Entry::Asked(asked)) if !asked.answered => (Who::Front, 0),
            Some(Entry::Asked(_)) | None => (Who::Unseen, 0),
            Some(Entry::Hole(why, _)) => match self.entries.get(1) {
                Some(Entry::Asked(_)) if !self.pipelines && *why == Hole::Gap => (Who::Front, 1),
                // A server that minds what is no request says so.
                Some(Entry::Asked(_)) if *why == Hole::Cruft && status < 400 => (Who::Front, 1),
                _ if *why == Hole::Cruft => (Who::Cruft, 0),
                _ => (Who::Unseen, 0),
            },
        }
    }

    /// The client waits: the first request behind those in doubt, else the last of them.
    fn latest(&self, doubtful: usize) -> (Who, usize) {
        let certain = self.entries.iter().skip(doubtful).position(|entry| matches!(entry, Entry::Asked(_)));
        let chosen = match certain {
            Some(at) => doubtful + at,
            None => self.entries.len() - 1,
        };
        self.keep_from(chosen)
    }

    fn keep_from(&self, at: usize) -> (Who, usize) {
        match &self.entries[at] {
            Entry::Asked(asked) if !asked.answered => (Who::Front, at),
            Entry::Asked(_) => (Who::Unseen, at),
            Entry::Hole(Hole::Gap, _) => (Who::Unseen, at),
            Entry::Hole(Hole::Cruft, _) => (Who::Cruft, at),
        }
    }
}
