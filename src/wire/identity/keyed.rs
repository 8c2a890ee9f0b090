//! Sessions told apart by what somebody named: exactly by the client address, the user agent, the connection, a cookie, a
//! header.
//!
//! Requests that come before the cookie or header is there belong to the session that then has it.

use std::net::IpAddr;

use super::bounded::Bounded;
use super::credential::{Sort, credentials};
use super::guest::Guest;
use super::name::name_of;
use super::request::forwarded_for;
use super::user_by::Key;
use super::{CONNECTIONS, SESSIONS, Sighting, VALUES, agent_of};
use crate::model::{Headers, SessionId, SessionInfo};
use crate::wire::cookie::parse_cookie_header;

/// Groups requests by keys.
#[derive(Debug)]
pub(super) struct Keyed {
    keys: Vec<Key>,
    evidence: String,
    next: u32,
    /// What every session has of each key, by name; nothing where it was not there yet.
    sessions: Bounded<SessionId, Vec<Option<u64>>>,
    /// Sessions by all they have.
    names: Bounded<u64, SessionId>,
    connections: Bounded<u64, SessionId>,
    /// The latest session of a client address and user agent.
    latest: Bounded<u64, SessionId>,
}

impl Keyed {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        let evidence =
            keys.iter().filter(|key| !key.is_proxys()).map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        Self {
            keys,
            evidence,
            next: 1,
            sessions: Bounded::new(SESSIONS),
            names: Bounded::new(VALUES),
            connections: Bounded::new(CONNECTIONS),
            latest: Bounded::new(SESSIONS),
        }
    }

    pub(super) fn of_request(&mut self, seen: &Sighting<'_>, guest: &Guest) -> (SessionId, Option<SessionInfo>) {
        let client = forwarded_for(seen.headers).unwrap_or(seen.client);
        let asked: Vec<Option<u64>> = self.keys.iter().map(|key| part(key, seen, guest, client)).collect();
        let group = name_of((client, seen.headers.first("user-agent")));
        let whole = asked.iter().all(Option::is_some);
        let known = if whole { self.names.get(name_of(&asked)).copied() } else { None };
        let found = known
            .filter(|id| self.sessions.get(*id).is_some())
            .or_else(|| self.connections.get(seen.connection).copied().filter(|id| self.may_be(*id, &asked)))
            .or_else(|| self.latest.get(group).copied().filter(|id| self.may_be(*id, &asked)));
        let id = found.unwrap_or_else(|| {
            let id = SessionId(self.next);
            self.next = self.next.saturating_add(1);
            id
        });
        let has = match self.sessions.get_mut(id) {
            // A value that a response gave may be older or newer than the one that is sent.
            Some(_) if known == Some(id) => None,
            Some(has) => {
                has.iter_mut().zip(&asked).for_each(|(has, asked)| *has = has.or(*asked));
                Some(has.clone())
            }
            None => {
                self.sessions.insert(id, asked.clone());
                Some(asked)
            }
        };
        if let Some(has) = has {
            self.name(id, &has);
        }
        self.connections.insert(seen.connection, id);
        self.latest.insert(group, id);
        let info = || SessionInfo {
            id,
            client: client.to_string(),
            user_agent: agent_of(seen),
            evidence: self.evidence.clone(),
            midway: self.brings_along(seen),
        };
        (id, found.is_none().then(info))
    }

    /// Notes the cookies that a response gave: whoever sends them is of this session.
    pub(super) fn saw_response(&mut self, session: SessionId, headers: &Headers) {
        for set_cookie in headers.all("set-cookie") {
            let pair = set_cookie.split(|&b| b == b';').next().unwrap_or_default();
            for cookie in parse_cookie_header(pair).into_iter().filter(|cookie| !cookie.value.is_empty()) {
                let of_name = |key: &Key| matches!(key, Key::Cookie(name) if *name == cookie.name);
                let Some(at) = self.keys.iter().position(of_name) else { continue };
                let Some(has) = self.sessions.get_mut(session) else { continue };
                if let Some(value) = has.get_mut(at) {
                    *value = Some(name_of(&cookie.value));
                }
                let has = has.clone();
                self.name(session, &has);
            }
        }
    }

    pub(super) fn closed(&mut self, connection: u64) {
        self.connections.remove(connection);
    }

    /// Whether nothing that both the session and the request have differs.
    fn may_be(&self, id: SessionId, asked: &[Option<u64>]) -> bool {
        let agrees = |(has, asked): (&Option<u64>, &Option<u64>)| has.is_none() || asked.is_none() || has == asked;
        self.sessions.get(id).is_some_and(|has| has.iter().zip(asked).all(agrees))
    }

    /// Lets the session be found by all it has, unless another was before.
    fn name(&mut self, id: SessionId, has: &[Option<u64>]) {
        if !has.iter().all(Option::is_some) {
            return;
        }
        let name = name_of(has);
        let taken = self.names.get(name).is_some_and(|before| self.sessions.get(*before).is_some());
        if !taken {
            self.names.insert(name, id);
        }
    }

    /// Whether a new session has a cookie or token that no response gave.
    fn brings_along(&self, seen: &Sighting<'_>) -> bool {
        self.keys.iter().any(|key| match key {
            Key::Cookie(name) => cookie(seen, name).is_some(),
            Key::Authorization => credentials(seen.headers, 0).iter().any(|credential| credential.sort != Sort::Own),
            Key::Address | Key::Agent | Key::Connection | Key::Header(_) | Key::Listener | Key::ProxyUser => false,
        })
    }
}

/// What a request has of a key, by name.
fn part(key: &Key, seen: &Sighting<'_>, guest: &Guest, client: IpAddr) -> Option<u64> {
    match key {
        Key::Address => Some(name_of(client)),
        Key::Agent => Some(name_of(seen.headers.first("user-agent"))),
        Key::Connection => Some(name_of(seen.connection)),
        Key::Cookie(name) => cookie(seen, name).map(name_of),
        Key::Authorization => credentials(seen.headers, 0).first().map(|credential| credential.who),
        Key::Header(name) => seen.headers.first(name).map(name_of),
        Key::Listener => guest.listener.map(name_of),
        Key::ProxyUser => guest.user.as_ref().map(name_of),
    }
}

fn cookie(seen: &Sighting<'_>, name: &str) -> Option<String> {
    let sent = seen.headers.all("cookie").flat_map(parse_cookie_header);
    sent.into_iter().find(|cookie| cookie.name == *name && !cookie.value.is_empty()).map(|cookie| cookie.value)
}
