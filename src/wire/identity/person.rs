//! What is known of one session: its cookies, its connections, and how well a request goes with them.

use std::net::IpAddr;
use std::time::Duration;

use super::credential::Sort;
use super::evidence::Evidence;
use super::name::name_of;
use super::request::{Asked, Purpose};
use crate::model::{Nanos, Origin, SessionId, SessionInfo};
use crate::wire::cookie::{Cookie, Jar};

/// Redirects of one person that are remembered.
const REDIRECTS: usize = 4;
/// A client that follows a redirect does so at once.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

/// Most cookie values remembered as sent; pages; hosts that set cookies; unanswered requests.
const SENT: usize = 128;
const PAGES: usize = 32;
const HOSTS: usize = 64;
const UNANSWERED: usize = 16;
/// Places of credentials that are remembered.
const CREDENTIALS: usize = 16;
/// Two credentials that take turns more often than this are of two people who share connections.
const TURNS: u8 = 4;
/// A session that began before the recording shows it in one of its first requests.
const FIRST_REQUESTS: u32 = 10;
/// And what tells it from others in one of so many.
const TELLING_REQUESTS: u32 = 100;

/// One session.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) client: IpAddr,
    /// `User-Agent` of its first request, at most so long as is worth showing.
    pub(super) user_agent: Option<String>,
    /// What must be equal in all its requests, by name.
    pub(super) partition: u64,
    /// What was last said of it.
    pub(super) evidence: Evidence,
    pub(super) midway: bool,
    /// Client address and user agent by name.
    pub(super) group: u64,
    /// What its client should hold.
    pub(super) jar: Jar,
    /// Its open connections.
    pub(super) connections: Vec<u64>,
    /// Last values sent: names of host, cookie and value. Covers cookies set by scripts or before the recording.
    sent: Vec<(u64, u64, u64)>,
    /// Pages it asked for, the latest last.
    pages: Vec<u64>,
    /// Hosts that ever gave it cookies.
    given_by: Vec<u64>,
    unanswered: Vec<Unanswered>,
    /// Where its latest redirects lead that were not followed yet: name of the URL, and when.
    redirects: Vec<(u64, Nanos)>,
    credentials: Vec<Held>,
    /// Whether it logged in, or was asked to, since its latest credential first came.
    may_change: bool,
    /// Whether it got a new token, or was asked to, since its latest credential first came.
    refreshes: bool,
    /// Log-ins after which no new credential was seen.
    log_ins: u32,
    /// Requests so far.
    requests: u32,
    /// Whether it sent anything, without saying who it is, that can have been a log-in.
    posted: bool,
    /// It began with a credential that it may have got during the recording.
    pub(super) excused: bool,
}

/// The credential that a session sends at one place.
#[derive(Clone, Copy, Debug)]
struct Held {
    slot: u64,
    is_token: bool,
    who: u64,
    before: Option<u64>,
    /// How often the two took turns.
    turns: u8,
}

/// How the credentials of a request go with those of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has none.
    None,
    /// Where it has some the session has had none.
    New,
    Same,
    /// At least one is not the session's.
    Different,
}

/// A navigation without cookies whose response is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unanswered {
    connection: u64,
    host: u64,
    url: u64,
}

/// How the cookies of a request go with those of a session, in bytes of their values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Agreement {
    /// Sent as the session would, or as it was once told.
    pub(super) equal: usize,
    /// Sent with another value than the session's.
    pub(super) different: usize,
    /// Not sent although the session's client holds them.
    pub(super) missing: usize,
    /// Whether the session would have sent anything.
    pub(super) expected: bool,
}

impl Agreement {
    /// Whether the cookies rather speak for the session. What is missing counts where cookies are never left out.
    pub(super) fn speaks_for(self, asked: &Asked<'_>) -> bool {
        let missing = if asked.is_navigation() { self.missing } else { 0 };
        self.equal > 0 && self.equal >= self.different + missing
    }
}

impl Person {
    /// Notes that it was sent to this URL.
    pub(super) fn sent_to(&mut self, url: u64, now: Nanos) {
        if self.redirects.len() >= REDIRECTS {
            self.redirects.remove(0);
        }
        self.redirects.push((url, now));
    }

    /// Whether it was sent to this URL a moment ago and has not gone there.
    pub(super) fn is_expected_at(&self, url: u64, now: Nanos) -> bool {
        self.redirects.iter().any(|(to, when)| *to == url && now.since(*when) <= FOLLOWED_WITHIN)
    }

    /// Notes that it went there.
    pub(super) fn arrived(&mut self, url: u64) {
        self.redirects.retain(|(to, _)| *to != url);
    }

    pub(super) fn new(asked: &Asked<'_>, user_agent: Option<String>, group: u64) -> Self {
        Self {
            client: asked.client,
            user_agent,
            partition: asked.partition,
            evidence: Evidence::default(),
            midway: false,
            group,
            jar: Jar::default(),
            connections: Vec::new(),
            sent: Vec::new(),
            pages: Vec::new(),
            given_by: Vec::new(),
            unanswered: Vec::new(),
            redirects: Vec::new(),
            credentials: Vec::new(),
            may_change: false,
            refreshes: false,
            log_ins: 0,
            requests: 0,
            posted: false,
            excused: false,
        }
    }

    /// Compares the credentials.
    pub(super) fn fit(&self, asked: &Asked<'_>) -> Fit {
        let mut fit = if asked.credentials.is_empty() { Fit::None } else { Fit::New };
        for credential in &asked.credentials {
            let Some(held) = self.credentials.iter().find(|held| held.slot == credential.slot) else { continue };
            if held.who == credential.who || (held.before == Some(credential.who) && held.turns < TURNS) {
                fit = Fit::Same;
            } else {
                return Fit::Different;
            }
        }
        fit
    }

    /// Whether credentials other than those it has can be new ones of this session. `sent_here`: whether it sent its own
    /// on the connection of the request.
    pub(super) fn may_change_to(&self, asked: &Asked<'_>, sent_here: bool) -> bool {
        let takes_turns = asked
            .credentials
            .iter()
            .any(|credential| self.credentials.iter().any(|held| held.slot == credential.slot && held.turns >= TURNS));
        let may = if sent_here { asked.is_of_browser() || self.may_change || self.refreshes } else { self.refreshes };
        may && !takes_turns
    }

    /// Whether it ever sent a token that a log-in gave.
    pub(super) fn has_tokens(&self) -> bool {
        self.credentials.iter().any(|held| held.is_token)
    }

    /// Whether it ever sent cookies to this host.
    pub(super) fn sends_cookies_to(&self, host: u64) -> bool {
        self.sent.iter().any(|(to, ..)| *to == host)
    }

    /// Notes that it was asked to say who it is.
    pub(super) fn challenged(&mut self) {
        self.refreshes = true;
    }

    /// Whether it logged in and no new credential was seen since; then that counts for the credential that comes now.
    pub(super) fn claim_log_in(&mut self) -> bool {
        let unclaimed = self.log_ins > 0;
        self.log_ins = self.log_ins.saturating_sub(1);
        unclaimed
    }

    /// Whether what this request brings along from elsewhere shows that the session began before the recording.
    pub(super) fn may_show_a_beginning(&self) -> bool {
        self.requests <= FIRST_REQUESTS && !self.posted && !self.excused
    }

    /// Whether better evidence for it is worth looking for.
    pub(super) fn may_improve(&self) -> bool {
        self.requests <= TELLING_REQUESTS && self.evidence.rank() < Evidence::BEST
    }

    pub(super) fn is_at_first_request(&self) -> bool {
        self.requests == 1
    }

    /// Whether it sent anything, without saying who it is, that can have been a log-in.
    pub(super) fn has_posted(&self) -> bool {
        self.posted
    }

    /// Whether a response of this host gave it cookies.
    pub(super) fn was_given_cookies_by(&self, host: u64) -> bool {
        self.given_by.contains(&host)
    }

    /// What is known of it.
    pub(super) fn info(&self, id: SessionId) -> SessionInfo {
        SessionInfo {
            id,
            client: self.client.to_string(),
            user_agent: self.user_agent.clone(),
            evidence: self.evidence.to_string(),
            midway: self.midway,
        }
    }

    fn remember_credentials(&mut self, asked: &Asked<'_>) {
        let mut changed = false;
        for credential in &asked.credentials {
            let (slot, who) = (credential.slot, credential.who);
            match self.credentials.iter_mut().find(|held| held.slot == slot) {
                None => {
                    let is_token = credential.sort != Sort::Own;
                    let held = Held { slot, is_token, who, before: None, turns: 0 };
                    push_bounded(&mut self.credentials, held, CREDENTIALS);
                    changed = true;
                }
                Some(held) if held.who == who => {}
                Some(held) if held.before == Some(who) => {
                    *held = Held { who, before: Some(held.who), turns: held.turns.saturating_add(1), ..*held };
                }
                Some(held) => {
                    *held = Held { who, before: Some(held.who), ..*held };
                    changed = true;
                }
            }
        }
        if changed {
            (self.may_change, self.refreshes) = (false, false);
            self.claim_log_in();
        }
        match asked.purpose {
            Purpose::LogIn => {
                self.may_change = true;
                self.log_ins = self.log_ins.saturating_add(1);
            }
            Purpose::Refresh => self.refreshes = true,
            Purpose::Other => {}
        }
        self.posted |= asked.credentials.is_empty() && !matches!(asked.seen.method, "GET" | "HEAD" | "OPTIONS");
    }

    /// Compares the cookies; `owns` says whether a cookie was once this session's alone.
    pub(super) fn agreement(&self, asked: &Asked<'_>, owns: impl Fn(&Cookie) -> bool) -> Agreement {
        let would = match self.jar.is_empty() {
            true => Vec::new(),
            false => self.jar.matching(asked.seen.origin, &asked.path(), asked.seen.now),
        };
        let mut agreement = Agreement::default();
        for cookie in &asked.sent {
            let before = self.last_sent(asked.host, &cookie.name);
            if would.contains(cookie) || before == Some(name_of(&cookie.value)) || owns(cookie) {
                agreement.equal += weight(cookie);
            } else if before.is_some() || would.iter().any(|held| held.name == cookie.name) {
                agreement.different += weight(cookie);
            }
        }
        let missing = would.iter().filter(|held| asked.sent.iter().all(|cookie| cookie.name != held.name));
        agreement.missing = missing.map(weight).sum();
        agreement.expected = !would.is_empty() || self.sent.iter().any(|(host, ..)| *host == asked.host);
        agreement
    }

    /// Whether a request whose cookies say nothing, or only that they are not there, may be of this session.
    pub(super) fn may_have_sent(&self, asked: &Asked<'_>, agreement: Agreement) -> bool {
        if agreement.different > 0 {
            return false;
        }
        if !asked.is_navigation() {
            return true;
        }
        if agreement.expected {
            return false;
        }
        if !asked.sent.is_empty() {
            return true;
        }
        // Logged out and gone: who comes next without cookies is someone else.
        let left = self.given_by.contains(&asked.host) && self.connections.is_empty();
        // Nobody opens a second connection for a page before the first page is there: two people begin at once.
        let beginning = self.unanswered.iter().any(|u| u.host == asked.host && u.connection != asked.seen.connection);
        !left && !beginning
    }

    /// Remembers a request of this session.
    pub(super) fn asked(&mut self, asked: &Asked<'_>) {
        self.requests = self.requests.saturating_add(1);
        self.remember_credentials(asked);
        for cookie in &asked.sent {
            let (name, value) = (name_of(&cookie.name), name_of(&cookie.value));
            self.forget_sent(asked.host, name);
            push_bounded(&mut self.sent, (asked.host, name, value), SENT);
        }
        // A new request on a connection means that the one before it was answered.
        self.unanswered.retain(|u| u.connection != asked.seen.connection);
        if asked.is_navigation() {
            self.pages.retain(|page| *page != asked.url);
            push_bounded(&mut self.pages, asked.url, PAGES);
            if asked.sent.is_empty() {
                let request = Unanswered { connection: asked.seen.connection, host: asked.host, url: asked.url };
                push_bounded(&mut self.unanswered, request, UNANSWERED);
            }
        }
        if !self.connections.contains(&asked.seen.connection) {
            self.connections.push(asked.seen.connection);
        }
    }

    /// Remembers that the request for `url` was answered.
    pub(super) fn answered(&mut self, url: u64) {
        if let Some(at) = self.unanswered.iter().position(|u| u.url == url) {
            self.unanswered.remove(at);
        }
    }

    /// Takes a `Set-Cookie` value; returns the cookie when it was accepted.
    pub(super) fn given(
        &mut self,
        set_cookie: &[u8],
        origin: &Origin,
        path: &str,
        now: Nanos,
        unix_now_s: i64,
    ) -> Option<Cookie> {
        let cookie = self.jar.store(set_cookie, origin, path, now, unix_now_s)?;
        let host = name_of(&origin.host);
        self.forget_sent(host, name_of(&cookie.name));
        if !self.given_by.contains(&host) {
            push_bounded(&mut self.given_by, host, HOSTS);
        }
        Some(cookie)
    }

    /// Remembers that a connection is gone.
    pub(super) fn left(&mut self, connection: u64) {
        self.connections.retain(|open| *open != connection);
        self.unanswered.retain(|u| u.connection != connection);
    }

    /// Whether it asked for this page lately.
    pub(super) fn saw_page(&self, url: u64) -> bool {
        self.pages.contains(&url)
    }

    /// Whether this is the page it asked for last.
    pub(super) fn is_at_page(&self, url: u64) -> bool {
        self.pages.last() == Some(&url)
    }

    fn last_sent(&self, host: u64, name: &str) -> Option<u64> {
        let name = name_of(name);
        self.sent.iter().find(|(h, n, _)| (*h, *n) == (host, name)).map(|(_, _, value)| *value)
    }

    fn forget_sent(&mut self, host: u64, name: u64) {
        self.sent.retain(|(h, n, _)| (*h, *n) != (host, name));
    }
}

/// How much a cookie says of who sends it: long values are seldom equal by chance.
pub(super) fn weight(cookie: &Cookie) -> usize {
    cookie.value.len().min(64) + 1
}

fn push_bounded<T>(list: &mut Vec<T>, item: T, limit: usize) {
    if list.len() >= limit {
        list.remove(0);
    }
    list.push(item);
}
