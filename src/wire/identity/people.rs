//! Sessions told apart by whatever tells: finds the session that a request belongs to.

use std::collections::HashMap;
use std::net::IpAddr;

use super::bounded::Bounded;
use super::credential::{Credential, Sort};
use super::evidence::is_session_like;
use super::guest::Guest;
use super::name::{Seeded, name_of, url_of};
use super::person::{Agreement, Fit, Person, weight};
use super::request::Asked;
use super::user_by::{Key, Telling};
use super::{CONNECTIONS, SESSIONS, Sighting, VALUES, agent_of};
use crate::model::{Headers, Nanos, Origin, SessionId, SessionInfo};
use crate::wire::cookie::{Cookie, parse_date};
use crate::wire::url::resolve_target;

/// Most sessions of one client and user agent that are compared with a request.
pub(super) const GROUP: usize = 32;
/// Shortest value that tells who sends it, whatever the client address.
const TELLING_BYTES: usize = 8;
/// Shortest value that tells who sends it among the sessions of one client address.
const TELLING_LOCALLY_BYTES: usize = 4;
/// Taken for today while no response has said a date: what expires before this is meant to be deleted.
const EARLIEST_TODAY_UNIX_S: i64 = 1_700_000_000;

/// Sessions told apart by whatever tells.
#[derive(Debug)]
pub(super) struct People {
    telling: Telling,
    keys: Vec<Key>,
    next: u32,
    pub(super) people: Bounded<SessionId, Person>,
    pub(super) connections: Bounded<u64, Link>,
    /// Sessions by client address and user agent, the latest last.
    pub(super) groups: HashMap<u64, Vec<SessionId>, Seeded>,
    /// Who was given or sent a cookie of this name and value, or sent a credential.
    pub(super) owners: Bounded<u64, Owner>,
    /// The last date a response said.
    today_unix_s: i64,
    /// As it was written.
    today: Vec<u8>,
}

/// An open connection of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) session: SessionId,
    /// Client address of its last request; differs from one to the next behind a proxy that forwards it.
    client: IpAddr,
    /// Whether a request on it carried credentials of the session.
    pub(super) sent_credentials: bool,
    /// Whether a request on it carried cookies.
    sent_cookies: bool,
}

/// Whose a cookie value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A response gave it to this session alone.
    Given(SessionId),
    /// This session alone sent it, and no response gave it to anyone.
    Sent(SessionId),
    /// It tells nobody apart.
    Several,
}

impl People {
    pub(super) fn new(telling: Telling, keys: Vec<Key>) -> Self {
        Self {
            telling,
            keys,
            next: 1,
            people: Bounded::new(SESSIONS),
            connections: Bounded::new(CONNECTIONS),
            groups: HashMap::default(),
            owners: Bounded::new(VALUES),
            today_unix_s: EARLIEST_TODAY_UNIX_S,
            today: Vec::new(),
        }
    }

    pub(super) fn of_request(&mut self, seen: &Sighting<'_>, guest: &Guest) -> (SessionId, Option<SessionInfo>) {
        let asked = Asked::of(seen, guest, self.telling, &self.keys);
        let found = self
            .by_cookie_given(&asked)
            .or_else(|| self.by_credential(&asked))
            .or_else(|| self.by_connection(&asked))
            .or_else(|| self.by_cookie_sent(&asked))
            .or_else(|| self.by_redirect(&asked))
            .or_else(|| self.by_client(&asked));
        let (id, is_new) = match found {
            Some(id) => (id, false),
            None => (self.begin(&asked), true),
        };
        let excused = self.may_have_begun_here(id, is_new, &asked);
        self.remember(id, &asked);
        let learned = self.learn(id, &asked, excused);
        let info = (is_new || learned).then(|| self.people.get(id).map(|person| person.info(id))).flatten();
        (id, info)
    }

    pub(super) fn saw_response(
        &mut self,
        session: SessionId,
        origin: &Origin,
        target: &[u8],
        headers: &Headers,
        now: Nanos,
    ) {
        self.see_date(headers);
        let Some(person) = self.people.get_mut(session) else { return };
        person.answered(url_of(origin, target));
        if headers.first("www-authenticate").is_some() {
            person.challenged();
        }
        if !self.telling.cookies {
            return;
        }
        let path = String::from_utf8_lossy(target);
        if let Some(location) = headers.text("location")
            && let Some(target) = resolve_target(&path, location)
        {
            let to = location.parse::<Origin>().unwrap_or_else(|_| origin.clone());
            person.sent_to(url_of(&to, target.as_bytes()), now);
        }
        for set_cookie in headers.all("set-cookie") {
            let given = person.given(set_cookie, origin, &path, now, self.today_unix_s);
            if let Some(cookie) = given.filter(|cookie| cookie.value.len() >= TELLING_LOCALLY_BYTES) {
                let key = key(person.partition, &cookie);
                let owner = match self.owners.get(key) {
                    None => Owner::Given(session),
                    Some(Owner::Given(owner) | Owner::Sent(owner)) if *owner == session => Owner::Given(session),
                    Some(_) => Owner::Several,
                };
                self.owners.insert(key, owner);
            }
        }
    }

    pub(super) fn closed(&mut self, connection: u64) {
        if let Some(link) = self.connections.remove(connection)
            && let Some(person) = self.people.get_mut(link.session)
        {
            person.left(connection);
        }
    }

    /// Takes the date of a response for today's. Many responses in a row say the same.
    fn see_date(&mut self, headers: &Headers) {
        let Some(date) = headers.first("date").filter(|date| *date != self.today) else { return };
        self.today = date.to_vec();
        let parsed = std::str::from_utf8(date).ok().and_then(parse_date);
        self.today_unix_s = parsed.unwrap_or(self.today_unix_s);
    }

    fn by_cookie_given(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let (id, _) = self.by_votes(asked, |cookie| match self.owners.get(key(asked.partition, cookie)) {
            Some(Owner::Given(id)) => {
                let near = self.people.get(*id).is_some_and(|person| person.client == asked.client);
                let enough = if near { TELLING_LOCALLY_BYTES } else { TELLING_BYTES };
                (cookie.value.len() >= enough).then_some(*id)
            }
            _ => None,
        })?;
        let agreement = self.agreement(id, asked)?;
        (agreement.equal >= agreement.different && !self.is_belied(id, asked)).then_some(id)
    }

    /// Whether credentials speak against a session that cookies speak for: a cookie of no importance that nobody else
    /// happens to have says less than a credential that is not theirs.
    fn is_belied(&self, id: SessionId, asked: &Asked<'_>) -> bool {
        let keeps_log_in = |cookie: &Cookie| is_session_like(cookie) && self.owns(id, key(asked.partition, cookie));
        !self.credentials_allow(id, asked) && !asked.sent.iter().any(keeps_log_in)
    }

    /// Whether the credentials of a request, or that it has none, do not speak against a session, wherever it comes from.
    fn credentials_allow(&self, id: SessionId, asked: &Asked<'_>) -> bool {
        self.people.get(id).is_some_and(|person| {
            let with_others = person.fit(asked) == Fit::Different && !person.may_change_to(asked, false);
            let begins = asked.is_anonymous_log_in() && person.has_tokens();
            !with_others && !begins
        })
    }

    /// Whether this session alone was given or sent what has this key.
    pub(super) fn owns(&self, id: SessionId, key: u64) -> bool {
        matches!(self.owners.get(key), Some(Owner::Given(owner) | Owner::Sent(owner)) if *owner == id)
    }

    /// The session of the same client that alone has sent one of the credentials, unless other credentials or cookies speak
    /// against it: many can have the same key.
    fn by_credential(&self, asked: &Asked<'_>) -> Option<SessionId> {
        asked.credentials.iter().find_map(|credential| {
            let Some(Owner::Sent(id)) = self.owners.get(credential_key(asked.partition, credential)) else {
                return None;
            };
            let person = self.people.get(*id)?;
            let near =
                person.client == asked.client && (credential.sort == Sort::Token || person.group == asked.group());
            let agreement = self.agreement(*id, asked)?;
            let left_out =
                asked.is_navigation() && person.sends_cookies_to(asked.host) && agreement.missing > agreement.equal;
            let goes_together =
                person.fit(asked) != Fit::Different && agreement.equal >= agreement.different && !left_out;
            (near && goes_together).then_some(*id)
        })
    }

    /// The session of the connection, unless it was taken for that session while nobody had cookies, and goes on without
    /// the ones that the session has now: two people began alike. The same with credentials, and with a log-in on a
    /// connection that the session never said on who it is.
    fn by_connection(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let link = self.connections.get(asked.seen.connection).filter(|link| link.client == asked.client)?;
        let person = self.people.get(link.session).filter(|person| person.partition == asked.partition)?;
        let agreement = self.agreement(link.session, asked)?;
        let without_cookies =
            asked.is_navigation() && asked.sent.is_empty() && agreement.missing > 0 && !link.sent_cookies;
        let with_others = person.fit(asked) == Fit::Different && !person.may_change_to(asked, link.sent_credentials);
        let logs_in = asked.is_anonymous_log_in() && person.has_tokens() && !link.sent_credentials;
        (!without_cookies && !with_others && !logs_in).then_some(link.session)
    }

    fn by_cookie_sent(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let (id, _) = self.by_votes(asked, |cookie| match self.owners.get(key(asked.partition, cookie)) {
            Some(Owner::Sent(id)) => self.people.get(*id).filter(|person| person.client == asked.client).map(|_| *id),
            _ => None,
        })?;
        (self.agreement(id, asked)?.speaks_for(asked) && !self.is_belied(id, asked)).then_some(id)
    }

    /// The one session of the same client address and user agent that was just sent here: also after a log-out took all its
    /// cookies.
    fn by_redirect(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let expected = |id: &&SessionId| {
            self.people.get(**id).is_some_and(|person| person.is_expected_at(asked.url, asked.seen.now))
                && self.credentials_allow(**id, asked)
        };
        let mut expected = self.groups.get(&asked.group())?.iter().filter(expected);
        let only = expected.next().copied();
        only.filter(|_| expected.next().is_none())
    }

    /// Among the sessions of the same client address and user agent: the one whose cookies agree most, else the one that
    /// the page which refers to this request belongs to, else the latest that is not ruled out.
    fn by_client(&self, asked: &Asked<'_>) -> Option<SessionId> {
        let members = self.groups.get(&asked.group())?;
        let allowed = members.iter().filter(|id| self.credentials_allow(**id, asked));
        let compared: Vec<(SessionId, Agreement)> =
            allowed.filter_map(|id| Some((*id, self.agreement(*id, asked)?))).collect();
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
        let owns = |cookie: &Cookie| self.owns(id, key(asked.partition, cookie));
        Some(self.people.get(id)?.agreement(asked, owns))
    }

    fn begin(&mut self, asked: &Asked<'_>) -> SessionId {
        let user_agent = agent_of(asked.seen);
        let id = SessionId(self.next);
        self.next = self.next.saturating_add(1);
        if let Some((gone, person)) = self.people.insert(id, Person::new(asked, user_agent, asked.group()))
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
        let sent_credentials = before.is_some_and(|before| before.sent_credentials) || !asked.credentials.is_empty();
        let link = Link { session: id, client: asked.client, sent_credentials, sent_cookies };
        if let Some((gone, link)) = self.connections.insert(connection, link)
            && let Some(person) = self.people.get_mut(link.session)
        {
            person.left(gone);
        }
        for cookie in asked.sent.iter().filter(|cookie| cookie.value.len() >= TELLING_BYTES) {
            self.sent_by(id, key(asked.partition, cookie));
        }
        for credential in &asked.credentials {
            let key = credential_key(asked.partition, credential);
            let before = self.owners.get(key).copied();
            let gave_up = |owner: SessionId| {
                owner != id && self.people.get(owner).is_none_or(|person| person.fit(asked) == Fit::Different)
            };
            match before {
                // Two who took turns in one session are told apart from now on.
                Some(Owner::Sent(owner)) if gave_up(owner) => drop(self.owners.insert(key, Owner::Sent(id))),
                _ => self.sent_by(id, key),
            }
        }
        let Some(person) = self.people.get_mut(id) else { return };
        person.asked(asked);
        person.arrived(asked.url);
        let members = self.groups.entry(person.group).or_default();
        if members.last() != Some(&id) {
            members.retain(|member| *member != id);
            if members.len() >= GROUP {
                members.remove(0);
            }
            members.push(id);
        }
    }
    /// Notes that a session sent what has this key.
    fn sent_by(&mut self, id: SessionId, key: u64) {
        match self.owners.get_mut(key) {
            None => drop(self.owners.insert(key, Owner::Sent(id))),
            Some(Owner::Given(owner) | Owner::Sent(owner)) if *owner == id => {}
            Some(owner) => *owner = Owner::Several,
        }
    }
}

pub(super) fn key(partition: u64, cookie: &Cookie) -> u64 {
    name_of((partition, &cookie.name, &cookie.value))
}

pub(super) fn credential_key(partition: u64, credential: &Credential) -> u64 {
    name_of((partition, "credential", credential.who))
}
