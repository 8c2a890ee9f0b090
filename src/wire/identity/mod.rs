//! Whose request is this? Tells the sessions of several people apart by client address, cookies and user agent.
//!
//! Pure: fed with requests and responses in order, it answers with session numbers. Used by the proxy and by import.
//! A session is one client: whoever logs out and lets another log in in the same browser stays one session. Memory is
//! bounded: what was not seen for long is forgotten.

mod bounded;
mod person;
mod request;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::{Headers, Nanos, Origin, SessionId, SessionInfo};

use super::cookie::{Cookie, parse_date};
use super::url::resolve_target;
use bounded::Bounded;
use person::{Agreement, Person, weight};
use request::{Asked, name_of, url_of};

/// Most sessions, connections and cookie values kept in mind.
const SESSIONS: usize = 10_000;
const CONNECTIONS: usize = 100_000;
const VALUES: usize = 200_000;
/// Most sessions of one client and user agent that are compared with a request.
const GROUP: usize = 32;
/// Shortest value that tells who sends it, whatever the client address.
const TELLING_BYTES: usize = 8;
/// Shortest value that tells who sends it among the sessions of one client address.
const TELLING_LOCALLY_BYTES: usize = 4;
/// Taken for today while no response has said a date: what expires before this is meant to be deleted.
const EARLIEST_TODAY_UNIX_S: i64 = 1_700_000_000;

/// Groups requests into sessions.
#[derive(Debug)]
pub struct Sessions {
    next: u32,
    people: Bounded<SessionId, Person>,
    connections: Bounded<u64, Link>,
    /// Sessions by client address and user agent, the latest last.
    groups: HashMap<u64, Vec<SessionId>>,
    /// Who was given or sent a cookie of this name and value.
    owners: Bounded<u64, Owner>,
    /// The last date a response said.
    today_unix_s: i64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            next: 1,
            people: Bounded::new(SESSIONS),
            connections: Bounded::new(CONNECTIONS),
            groups: HashMap::new(),
            owners: Bounded::new(VALUES),
            today_unix_s: EARLIEST_TODAY_UNIX_S,
        }
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

/// An open connection of a client.
#[derive(Clone, Copy, Debug)]
struct Link {
    session: SessionId,
    /// Whether a request on it carried cookies.
    sent_cookies: bool,
}

/// Whose a cookie value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// A response gave it to this session alone.
    Given(SessionId),
    /// This session alone sent it, and no response gave it to anyone.
    Sent(SessionId),
    /// It tells nobody apart.
    Several,
}

impl Sessions {
    /// The session of this request. The second value is set when the session is new.
    ///
    /// In this order: a cookie that one session alone was given, the connection, a cookie that one session alone has
    /// sent, and the latest session of the same client address and user agent whose cookies go with the request.
    pub fn of_request(&mut self, seen: &Sighting<'_>) -> (SessionId, Option<SessionInfo>) {
        let asked = Asked::of(seen);
        let agent = seen.headers.first("user-agent");
        let group = name_of((seen.client, agent));
        let found = self
            .by_cookie_given(&asked)
            .or_else(|| self.by_connection(&asked))
            .or_else(|| self.by_cookie_sent(&asked))
            .or_else(|| self.by_redirect(group, &asked))
            .or_else(|| self.by_client(group, &asked));
        let (id, info) = match found {
            Some(id) => (id, None),
            None => {
                let id = self.begin(seen.client, group);
                let user_agent = agent.map(|agent| String::from_utf8_lossy(agent).into_owned());
                (id, Some(SessionInfo { id, client: seen.client.to_string(), user_agent }))
            }
        };
        self.remember(id, &asked);
        (id, info)
    }

    /// Notes the response to a request of this session for `target`: the cookies it gave, and that it came. To be
    /// called for every response, also without `Set-Cookie`.
    pub fn saw_response(&mut self, session: SessionId, origin: &Origin, target: &[u8], headers: &Headers, now: Nanos) {
        self.today_unix_s = headers.text("date").and_then(parse_date).unwrap_or(self.today_unix_s);
        let Some(person) = self.people.get_mut(session) else { return };
        person.answered(name_of((origin.to_string().as_str(), target)));
        let path = String::from_utf8_lossy(target);
        if let Some(location) = headers.text("location")
            && let Some(target) = resolve_target(&path, location)
        {
            let to = location.parse::<Origin>().unwrap_or_else(|_| origin.clone());
            person.sent_to(url_of(&to.to_string(), target.as_bytes()), now);
        }
        for set_cookie in headers.all("set-cookie") {
            let given = person.given(set_cookie, origin, &path, now, self.today_unix_s);
            if let Some(cookie) = given.filter(|cookie| cookie.value.len() >= TELLING_LOCALLY_BYTES) {
                let owner = match self.owners.get(key(&cookie)) {
                    None => Owner::Given(session),
                    Some(Owner::Given(owner) | Owner::Sent(owner)) if *owner == session => Owner::Given(session),
                    Some(_) => Owner::Several,
                };
                self.owners.insert(key(&cookie), owner);
            }
        }
    }

    /// Notes that a client connection has closed.
    pub fn closed(&mut self, connection: u64) {
        if let Some(link) = self.connections.remove(connection)
            && let Some(person) = self.people.get_mut(link.session)
        {
            person.left(connection);
        }
    }

    fn by_cookie_given(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let (id, _) = self.by_votes(asked, |cookie| match self.owners.get(key(cookie)) {
            Some(Owner::Given(id)) => {
                let near = self.people.get(*id).is_some_and(|person| person.client == asked.seen.client);
                let enough = if near { TELLING_LOCALLY_BYTES } else { TELLING_BYTES };
                (cookie.value.len() >= enough).then_some(*id)
            }
            _ => None,
        })?;
        let agreement = self.agreement(id, asked)?;
        (agreement.equal >= agreement.different).then_some(id)
    }

    /// The session of the connection, unless it was taken for that session while nobody had cookies, and goes on without
    /// the ones that the session has now: two people began alike.
    fn by_connection(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let link = self.connections.get(asked.seen.connection)?;
        let agreement = self.agreement(link.session, asked)?;
        let someone_else =
            asked.is_navigation() && asked.sent.is_empty() && agreement.missing > 0 && !link.sent_cookies;
        (!someone_else).then_some(link.session)
    }

    fn by_cookie_sent(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let (id, _) = self.by_votes(asked, |cookie| match self.owners.get(key(cookie)) {
            Some(Owner::Sent(id)) => {
                self.people.get(*id).filter(|person| person.client == asked.seen.client).map(|_| *id)
            }
            _ => None,
        })?;
        self.agreement(id, asked)?.speaks_for(asked).then_some(id)
    }

    /// The one session of the same client address and user agent that was just sent here: also after a log-out took all its
    /// cookies.
    fn by_redirect(&self, group: u64, asked: &Asked<'_>) -> Option<SessionId> {
        let expected = |id: &&SessionId| {
            self.people.get(**id).is_some_and(|person| person.is_expected_at(asked.url, asked.seen.now))
        };
        let mut expected = self.groups.get(&group)?.iter().filter(expected);
        let only = expected.next().copied();
        only.filter(|_| expected.next().is_none())
    }

    /// Among the sessions of the same client address and user agent: the one whose cookies agree most, else the one that
    /// the page which refers to this request belongs to, else the latest that is not ruled out.
    fn by_client(&self, group: u64, asked: &Asked<'_>) -> Option<SessionId> {
        let members = self.groups.get(&group)?;
        let compared: Vec<(SessionId, Agreement)> =
            members.iter().filter_map(|id| Some((*id, self.agreement(*id, asked)?))).collect();
        let agrees = |(_, agreement): &&(SessionId, Agreement)| agreement.speaks_for(asked);
        if let Some((id, _)) = compared.iter().filter(agrees).max_by_key(|(_, agreement)| agreement.equal) {
            return Some(*id);
        }
        let possible: Vec<(SessionId, &Person)> = compared
            .iter()
            .filter_map(|(id, agreement)| Some((*id, self.people.get(*id)?, *agreement)))
            .filter(|(_, person, agreement)| person.may_have_sent(asked, *agreement))
            .map(|(id, person, _)| (id, person))
            .collect();
        let referring = asked.referer().and_then(|page| {
            // Of several who saw that page: whoever still looks at it, and of those the latest.
            possible
                .iter()
                .filter(|(_, person)| person.saw_page(page))
                .max_by_key(|(_, person)| person.is_at_page(page))
        });
        referring.or(possible.last()).map(|(id, _)| *id)
    }

    /// The session for which the cookies of a request weigh most, when `vote` names one for any of them.
    fn by_votes(&self, asked: &Asked<'_>, vote: impl Fn(&Cookie) -> Option<SessionId>) -> Option<(SessionId, usize)> {
        let mut votes: Vec<(SessionId, usize)> = Vec::new();
        for cookie in &asked.sent {
            if let Some(id) = vote(cookie).filter(|id| self.people.get(*id).is_some()) {
                match votes.iter_mut().find(|(voted, _)| *voted == id) {
                    Some((_, total)) => *total += weight(cookie),
                    None => votes.push((id, weight(cookie))),
                }
            }
        }
        votes.into_iter().max_by_key(|(id, total)| (*total, *id))
    }

    fn agreement(&self, id: SessionId, asked: &Asked<'_>) -> Option<Agreement> {
        let owns = |cookie: &Cookie| matches!(self.owners.get(key(cookie)), Some(Owner::Given(owner) | Owner::Sent(owner)) if *owner == id);
        Some(self.people.get(id)?.agreement(asked, owns))
    }

    fn begin(&mut self, client: IpAddr, group: u64) -> SessionId {
        let id = SessionId(self.next);
        self.next = self.next.saturating_add(1);
        if let Some((gone, person)) = self.people.insert(id, Person::new(client, group))
            && let Some(members) = self.groups.get_mut(&person.group)
        {
            members.retain(|member| *member != gone);
            if members.is_empty() {
                self.groups.remove(&person.group);
            }
        }
        id
    }

    fn remember(&mut self, id: SessionId, asked: &Asked<'_>) {
        let connection = asked.seen.connection;
        let before = self.connections.get(connection).copied().filter(|before| before.session == id);
        if before.is_none()
            && let Some(moved) = self.connections.remove(connection)
            && let Some(person) = self.people.get_mut(moved.session)
        {
            person.left(connection);
        }
        let sent_cookies = before.is_some_and(|before| before.sent_cookies) || !asked.sent.is_empty();
        if let Some((gone, link)) = self.connections.insert(connection, Link { session: id, sent_cookies })
            && let Some(person) = self.people.get_mut(link.session)
        {
            person.left(gone);
        }
        for cookie in asked.sent.iter().filter(|cookie| cookie.value.len() >= TELLING_BYTES) {
            match self.owners.get_mut(key(cookie)) {
                None => drop(self.owners.insert(key(cookie), Owner::Sent(id))),
                Some(Owner::Given(owner) | Owner::Sent(owner)) if *owner == id => {}
                Some(owner) => *owner = Owner::Several,
            }
        }
        let Some(person) = self.people.get_mut(id) else { return };
        person.asked(asked);
        person.arrived(asked.url);
        let members = self.groups.entry(person.group).or_default();
        members.retain(|member| *member != id);
        if members.len() >= GROUP {
            members.remove(0);
        }
        members.push(id);
    }
}

fn key(cookie: &Cookie) -> u64 {
    name_of((&cookie.name, &cookie.value))
}
