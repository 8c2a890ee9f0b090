//! Secrets and personal data become keyed pseudonyms of the same shape and length, the same everywhere.
//!
//! What is secret is known by the name of its field, by its look, or because it was found secret elsewhere. As a pseudonym is as
//! long as its value and differs from it in letters and digits alone, it is written over it in place, whatever the encoding.
//! Pure: the key is given, nothing is read or kept anywhere. [`Redactor`] is the way in.

mod base64text;
mod body;
mod fields;
mod head;
mod key;
mod known;
mod levels;
mod permute;
mod pseudonym;
mod recode;
mod rules;
mod scan;
mod secret;
mod shapes;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::model::{Exchange, Request, Response, SessionInfo, Side};

pub use body::{BodyEditor, Haste, LastOfBody};
pub use key::Key;
pub use rules::{Rules, RulesError};

use fields::Language;
use known::{Left, Vault};
use scan::Context;

/// Names that are looked up once.
const CACHED_NAMES: usize = 4096;
const CACHED_NAME_BYTES: usize = 80;
/// Short secrets that are counted apart.
const COUNTED_SHORT: usize = 4096;

/// Redacts the exchanges of one capture. In the order in which they are seen: what is learned of one holds for those after it.
///
/// Heads are learned from when they are known and replaced when the exchange is over, so that those who tell users apart see
/// them as they were sent.
#[derive(Debug)]
pub struct Redactor {
    key: Key,
    rules: Rules,
    names: Names,
    vault: Vault,
    left: Left,
    short: HashSet<u64>,
    tally: Tally,
}

/// What was done, without anything of the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Places in which a pseudonym stands.
    pub values: u64,
    /// Secrets too short or too common to be looked for elsewhere: they are hidden where their names stand. Counted up to some
    /// thousands.
    pub short: u64,
    /// Secrets that may stand unredacted in what was written before they were known as such; a few too many at times.
    pub late: u64,
    /// Secrets no longer looked for everywhere, since others came after them.
    pub forgotten: u64,
    /// Bodies and messages that cannot be read here and were left out.
    pub left_out: u64,
}

impl Redactor {
    /// Pseudonyms depend on the key alone; what is replaced, on the rules.
    pub fn new(key: Key, rules: Rules) -> Self {
        Self {
            key,
            rules,
            names: Names::default(),
            vault: Vault::default(),
            left: Left::default(),
            short: HashSet::new(),
            tally: Tally::default(),
        }
    }

    /// The same once more, for another pass over the same traffic: what is known stays known, what was counted is not.
    pub fn again(&mut self) {
        self.tally = Tally::default();
        self.left = Left::default();
        self.short.clear();
    }

    /// Learns from the head of a request.
    pub fn saw_request(&mut self, request: &Request) {
        self.learn_from_request(request);
    }

    /// Learns from the head of a response.
    pub fn saw_response(&mut self, response: &Response) {
        self.learn_from_response(response);
    }

    /// Replaces what is secret in the heads of an exchange that is over.
    pub fn exchange(&mut self, exchange: &mut Exchange) {
        self.tally.values += self.heads(exchange);
        self.left.note(&exchange.request.target);
        let headers = exchange.interim.iter().chain(&exchange.response).map(|response| &response.headers);
        for (_, value) in headers.chain([&exchange.request.headers]).flat_map(|headers| &headers.0) {
            self.left.note(value);
        }
    }

    /// The same of an exchange that is not over and comes again: it does not count.
    pub fn exchange_so_far(&mut self, exchange: &mut Exchange) {
        self.heads(exchange);
    }

    /// A whole message; `None` when it is still compressed, as it then cannot be redacted and must not be kept.
    pub fn message(&mut self, payload: &[u8], from: Side, compressed: bool) -> Option<Vec<u8>> {
        if compressed {
            self.tally.left_out += 1;
            return None;
        }
        let edited = self.whole(payload, Context::of(Language::Data, from == Side::Response));
        self.tally.values += edited.changed;
        self.left.note(&edited.bytes);
        Some(edited.bytes)
    }

    /// What is said of a session.
    pub fn session(&mut self, info: &mut SessionInfo) {
        self.words(&mut info.evidence);
        if let Some(agent) = &mut info.user_agent {
            self.words(agent);
        }
    }

    /// What was done so far.
    pub fn tally(&self) -> Tally {
        Tally { forgotten: self.vault.forgotten, short: self.short.len() as u64, ..self.tally }
    }
}

/// Which names are those of secrets, remembered.
#[derive(Debug, Default)]
struct Names(HashMap<Box<[u8]>, bool>);

impl Names {
    fn is_secret(&mut self, rules: &Rules, name: &[u8]) -> bool {
        if let Some(known) = self.0.get(name) {
            return *known;
        }
        let secret = rules.is_secret(name);
        if name.len() <= CACHED_NAME_BYTES {
            if self.0.len() >= CACHED_NAMES {
                self.0.clear();
            }
            self.0.insert(name.into(), secret);
        }
        secret
    }
}
