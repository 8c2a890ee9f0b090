//! What the requests of a session show of it: what tells it from others, and whether it began before the recording.

use super::credential::Sort;
use super::evidence::{Evidence, is_session_like};
use super::people::{Owner, People, credential_key, key};
use super::person::Person;
use super::request::Asked;
use crate::model::SessionId;
use crate::wire::cookie::Cookie;

impl People {
    /// Whether what this request brings along can have been got during the recording, also where no response shows it: after
    /// a log-in of this client, or after anything else that it sent on this connection without saying who it is.
    pub(super) fn may_have_begun_here(&mut self, id: SessionId, is_new: bool, asked: &Asked<'_>) -> bool {
        if !is_new || asked.credentials.is_empty() {
            return false;
        }
        let link = self.connections.get(asked.seen.connection);
        let before = link.filter(|link| !link.sent_credentials).map(|link| link.session);
        let posted = before.and_then(|before| self.people.get(before)).is_some_and(Person::has_posted);
        let mut members = self.groups.get(&asked.group()).into_iter().flatten().copied().filter(|member| *member != id);
        let people = &mut self.people;
        let claimed = members.any(|member| people.get_mut(member).is_some_and(Person::claim_log_in));
        posted || claimed
    }

    /// Learns from a request of this session what tells it from others and whether it began before the recording. Returns
    /// whether that is news.
    pub(super) fn learn(&mut self, id: SessionId, asked: &Asked<'_>, excused: bool) -> bool {
        let Some(person) = self.people.get(id) else { return false };
        let best = if person.may_improve() { self.evidence(id, asked) } else { None };
        let best = best.filter(|evidence| evidence.rank() > person.evidence.rank());
        let shows = !person.midway && !excused && person.may_show_a_beginning();
        let midway = shows && self.brings_along(id, asked);
        let forwarded = person.is_at_first_request() && asked.is_forwarded;
        let Some(person) = self.people.get_mut(id) else { return false };
        if forwarded && best.is_none() {
            person.evidence = Evidence::ForwardedClient;
        }
        let news = best.is_some() || midway;
        person.evidence = best.unwrap_or_else(|| std::mem::take(&mut person.evidence));
        person.midway |= midway;
        person.excused |= excused;
        news
    }

    /// The best of what this session alone sends with the request.
    fn evidence(&self, id: SessionId, asked: &Asked<'_>) -> Option<Evidence> {
        let alone = |key: u64| self.owns(id, key);
        let cookies = asked.sent.iter().filter(|cookie| alone(key(asked.partition, cookie))).map(Evidence::of_cookie);
        let credentials = asked
            .credentials
            .iter()
            .filter(|credential| alone(credential_key(asked.partition, credential)))
            .map(|credential| Evidence::Credential(credential.label.to_string()));
        // Of equals the first.
        cookies.chain(credentials).reduce(|best, next| if next.rank() > best.rank() { next } else { best })
    }

    /// Whether the request has a cookie of a log-in or a token that no response gave.
    fn brings_along(&self, id: SessionId, asked: &Asked<'_>) -> bool {
        let given = |cookie: &Cookie| {
            matches!(self.owners.get(key(asked.partition, cookie)), Some(Owner::Given(_) | Owner::Several))
        };
        let is_given_cookies = self.people.get(id).is_some_and(|person| person.was_given_cookies_by(asked.host));
        let mut cookies = asked.sent.iter().filter(|cookie| is_session_like(cookie) && !given(cookie));
        let mut tokens = asked.credentials.iter().filter(|credential| credential.sort != Sort::Own);
        (!is_given_cookies && cookies.next().is_some()) || tokens.next().is_some()
    }
}
