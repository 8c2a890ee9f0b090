//! Whose request is this? Tells the sessions of several people apart by cookies, credentials, connections,
//! client address and user agent, or by what somebody names.
//!
//! Pure: fed with requests and responses in order, it answers with session numbers. Used by the proxy and by import.
//! A session is one client: whoever logs out and lets another log in in the same browser stays one session. Memory is
//! bounded: what was not seen for long is forgotten.

mod bounded;
mod credential;
mod evidence;
mod guest;
mod keyed;
mod learn;
mod name;
mod people;
mod person;
mod request;
mod user_by;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use crate::model::{Headers, Nanos, Origin, SessionId, SessionInfo};

use bounded::Bounded;
use guest::Guest;
use keyed::Keyed;
use people::People;
use user_by::Key;

pub use user_by::{UserBy, UserByError};

/// Most sessions, connections, and values of cookies and credentials kept in mind.
const SESSIONS: usize = 10_000;
const CONNECTIONS: usize = 100_000;
const VALUES: usize = 200_000;
/// Longest user agent that is remembered.
const AGENT_CHARS: usize = 1024;

/// Groups requests into sessions.
#[derive(Debug)]
pub struct Sessions {
    rule: Rule,
    /// What is known of client connections; kept only where `keys` ask for it.
    guests: Bounded<u64, Guest>,
    /// What the proxy alone can tell, of what somebody named.
    keys: Vec<Key>,
}

/// How.
#[derive(Debug)]
enum Rule {
    /// By whatever tells.
    Telling(Box<People>),
    /// By what somebody named.
    Keyed(Box<Keyed>),
}

impl Default for Sessions {
    fn default() -> Self {
        Self::by(UserBy::default())
    }
}

/// What is known of a request when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Client address.
    pub client: IpAddr,
    /// Number of the client's connection.
    pub connection: u64,
    /// Where it goes.
    pub origin: &'a Origin,
    /// Method.
    pub method: &'a str,
    /// Target in origin form.
    pub target: &'a [u8],
    /// Its header fields.
    pub headers: &'a Headers,
    /// When, since the anchor.
    pub now: Nanos,
}

impl Sessions {
    /// Tells users apart by this.
    pub fn by(user_by: UserBy) -> Self {
        let keys = user_by.keys.iter().filter(|key| key.is_proxys()).cloned().collect();
        let rule = match user_by.telling {
            Some(telling) => Rule::Telling(Box::new(People::new(telling, user_by.keys))),
            None => Rule::Keyed(Box::new(Keyed::new(user_by.keys))),
        };
        Self { rule, guests: Bounded::new(CONNECTIONS), keys }
    }

    /// Notes on which address of the proxy a client connection came.
    pub fn opened(&mut self, connection: u64, listener: SocketAddr) {
        if !self.keys.is_empty() {
            self.guests.insert(connection, Guest { listener: Some(listener), user: None });
        }
    }

    /// Notes the user name that a client connection gave to the proxy; it holds for the requests that begin after this.
    pub fn introduced(&mut self, connection: u64, user: String) {
        if !self.keys.is_empty() {
            let listener = self.guests.get(connection).and_then(|guest| guest.listener);
            self.guests.insert(connection, Guest { listener, user: Some(user) });
        }
    }

    /// The session of this request. The second value is set when the session is new, and again, with the same number, when
    /// better evidence for it was seen or that it began before the recording.
    ///
    /// By default, in this order: a cookie that one session alone was given, a credential that one session alone has sent,
    /// the connection, a cookie that one session alone has sent, and the latest session of the same client address and user
    /// agent whose cookies and credentials go with the request.
    pub fn of_request(&mut self, seen: &Sighting<'_>) -> (SessionId, Option<SessionInfo>) {
        let unknown = Guest::default();
        let guest = self.guests.get(seen.connection).unwrap_or(&unknown);
        let (id, info) = match &mut self.rule {
            Rule::Telling(people) => people.of_request(seen, guest),
            Rule::Keyed(keyed) => keyed.of_request(seen, guest),
        };
        let info = info.map(|mut info| {
            let said = std::iter::once(std::mem::take(&mut info.evidence)).filter(|said| !said.is_empty());
            info.evidence = said.chain(guest.words(&self.keys)).collect::<Vec<_>>().join(" and ");
            info
        });
        (id, info)
    }

    /// Notes the response to a request of this session for `target`: the cookies it gave, and that it came. To be
    /// called for every response, also without `Set-Cookie`.
    pub fn saw_response(&mut self, session: SessionId, origin: &Origin, target: &[u8], headers: &Headers, now: Nanos) {
        match &mut self.rule {
            Rule::Telling(people) => people.saw_response(session, origin, target, headers, now),
            Rule::Keyed(keyed) => keyed.saw_response(session, headers),
        }
    }

    /// Notes that a client connection has closed.
    pub fn closed(&mut self, connection: u64) {
        self.guests.remove(connection);
        match &mut self.rule {
            Rule::Telling(people) => people.closed(connection),
            Rule::Keyed(keyed) => keyed.closed(connection),
        }
    }
}

/// The user agent as it is shown.
fn agent_of(seen: &Sighting<'_>) -> Option<String> {
    let agent = String::from_utf8_lossy(seen.headers.first("user-agent")?);
    Some(agent.chars().take(AGENT_CHARS).collect())
}
