//! Dialogues of clients with sites, and how many sessions they are.

use super::people::GROUP;
use super::*;

mod named;
mod tokens;

const CHROME: &str = "Mozilla/5.0 Chrome/140";
const PYTHON: &str = "python-requests/2.32";

/// A play of requests and responses with the sessions told apart.
struct Stage {
    sessions: Sessions,
    now: u64,
    /// What was last said of each session.
    said: Vec<SessionInfo>,
}

/// One request; the rest is what its client always says.
#[derive(Clone, Copy)]
struct Ask<'a> {
    client: &'a str,
    agent: &'a str,
    connection: u64,
    method: &'a str,
    url: &'a str,
    cookie: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

/// What a browser says with a page, a font, and a call of a script.
const PAGE: &[(&str, &str)] =
    &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Accept", "text/html")];
const FONT: &[(&str, &str)] = &[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "font")];
const CALL: &[(&str, &str)] = &[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")];
const PROGRAM: &[(&str, &str)] = &[("Accept", "*/*")];

impl<'a> Ask<'a> {
    fn browser(connection: u64, url: &'a str, cookie: &'a str) -> Self {
        Self { client: "10.0.0.1", agent: CHROME, connection, method: "GET", url, cookie, fields: PAGE }
    }

    fn program(connection: u64, method: &'a str, url: &'a str, cookie: &'a str) -> Self {
        Self { client: "127.0.0.1", agent: PYTHON, connection, method, url, cookie, fields: PROGRAM }
    }

    fn with(self, fields: &'a [(&'a str, &'a str)]) -> Self {
        Self { fields, ..self }
    }
}

fn split(url: &str) -> (Origin, &str) {
    let origin: Origin = url.parse().unwrap();
    let rest = &url[url.find("://").unwrap() + 3..];
    (origin, rest.find('/').map_or("/", |slash| &rest[slash..]))
}

impl Stage {
    fn new() -> Self {
        Self { sessions: Sessions::default(), now: 0, said: Vec::new() }
    }

    fn by(user_by: &str) -> Self {
        Self { sessions: Sessions::by(UserBy::parse(user_by).unwrap()), ..Self::new() }
    }

    /// The evidence for a session and whether it began midway.
    fn said_of(&self, id: u32) -> (&str, bool) {
        let info = self.said.iter().find(|info| info.id.0 == id).unwrap();
        (&info.evidence, info.midway)
    }

    /// A request begins; its session.
    fn ask(&mut self, ask: Ask<'_>) -> u32 {
        self.now += 1_000_000;
        let (origin, target) = split(ask.url);
        let mut headers = Headers::default();
        headers.push("User-Agent", ask.agent);
        ask.fields.iter().for_each(|(name, value)| headers.push(*name, *value));
        if !ask.cookie.is_empty() {
            headers.push("Cookie", ask.cookie);
        }
        let (id, info) = self.sessions.of_request(&Sighting {
            client: ask.client.parse().unwrap(),
            connection: ask.connection,
            origin: &origin,
            method: ask.method,
            target: target.as_bytes(),
            headers: &headers,
            now: Nanos(self.now),
        });
        if let Some(info) = info {
            assert_eq!(info.id, id);
            match self.said.iter_mut().find(|said| said.id == id) {
                Some(said) => {
                    assert_eq!((&info.client, &info.user_agent), (&said.client, &said.user_agent));
                    assert_ne!(&info, said, "only news");
                    *said = info;
                }
                None => self.said.push(info),
            }
        }
        assert!(self.said.iter().any(|said| said.id == id), "every session is announced");
        id.0
    }

    /// The response to a request of that session.
    fn answer(&mut self, session: u32, url: &str, set_cookies: &[&str]) {
        self.now += 1_000_000;
        let (origin, target) = split(url);
        let mut headers = Headers::default();
        headers.push("Date", "Wed, 21 Oct 2025 07:28:00 GMT");
        set_cookies.iter().for_each(|value| headers.push("set-cookie", *value));
        self.sessions.saw_response(SessionId(session), &origin, target.as_bytes(), &headers, Nanos(self.now));
    }

    /// A response that ends every cookie and leads elsewhere.
    fn log_out(&mut self, session: u32, url: &str, cookie: &str, location: &str) {
        self.now += 1_000_000;
        let (origin, target) = split(url);
        let mut headers = Headers::default();
        headers.push("set-cookie", cookie);
        headers.push("location", location);
        self.sessions.saw_response(SessionId(session), &origin, target.as_bytes(), &headers, Nanos(self.now));
    }

    /// A request and its response.
    fn trip(&mut self, ask: Ask<'_>, set_cookies: &[&str]) -> u32 {
        let session = self.ask(ask);
        self.answer(session, ask.url, set_cookies);
        session
    }
}

#[test]
fn one_browser_with_parallel_connections_is_one_session() {
    let mut stage = Stage::new();
    let page = "http://shop.test/";
    let referring = [FONT, &[("Referer", page)]].concat();
    assert_eq!(stage.trip(Ask::browser(1, page, ""), &["sid=a1b2c3d4e5; Path=/", "lang=en"]), 1);
    assert_eq!(stage.ask(Ask::browser(2, "http://shop.test/app.js", "sid=a1b2c3d4e5; lang=en").with(CALL)), 1);
    assert_eq!(stage.ask(Ask::browser(3, "http://shop.test/font.woff2", "").with(&referring)), 1);
    assert_eq!(stage.ask(Ask::browser(4, "http://shop.test/favicon.ico", "").with(&[("Accept", "image/*")])), 1);
    assert_eq!(stage.ask(Ask::browser(5, "http://shop.test/site.webmanifest", "").with(&[("Accept", "*/*")])), 1);
    assert_eq!(stage.ask(Ask::browser(6, "http://shop.test/api/public", "").with(CALL)), 1, "without credentials");
    assert_eq!(stage.ask(Ask::browser(7, "http://cdn.test/lib.js", "").with(FONT)), 1, "another host");
    assert_eq!(stage.ask(Ask { method: "OPTIONS", ..Ask::browser(8, "http://shop.test/api", "").with(CALL) }), 1);
    assert_eq!(stage.trip(Ask::browser(9, "http://shop.test/next", "sid=a1b2c3d4e5; lang=en"), &["sid=rotated999"]), 1);
    assert_eq!(stage.ask(Ask::browser(10, "http://shop.test/late", "sid=a1b2c3d4e5; lang=en")), 1, "the value before");
    assert_eq!(stage.ask(Ask::browser(11, "http://shop.test/next", "sid=rotated999; lang=en")), 1);
}

#[test]
fn programs_of_three_users_one_after_another_are_three_sessions() {
    for closes in [true, false] {
        let mut stage = Stage::new();
        for user in 1..=3u32 {
            let sid = format!("sid=user{user}");
            let connection = u64::from(user);
            let login = Ask::program(connection, "GET", "http://127.0.0.1:8000/login", "");
            assert_eq!(stage.trip(login, &[&format!("{sid}; Path=/")]), user);
            assert_eq!(stage.trip(Ask::program(connection, "POST", "http://127.0.0.1:8000/login", &sid), &[]), user);
            assert_eq!(stage.trip(Ask::program(connection + 10, "GET", "http://127.0.0.1:8000/", &sid), &[]), user);
            if closes {
                stage.sessions.closed(connection);
                stage.sessions.closed(connection + 10);
            }
        }
    }
}

#[test]
fn users_who_log_out_before_the_next_one_comes_are_told_apart() {
    let mut stage = Stage::new();
    for user in 1..=3u32 {
        let connection = u64::from(user);
        let sid = format!("sid=user-number-{user}");
        let url = "http://127.0.0.1:8000/";
        assert_eq!(stage.trip(Ask::program(connection, "GET", url, ""), &[&sid]), user);
        assert_eq!(
            stage.trip(Ask::program(connection, "GET", "http://127.0.0.1:8000/bye", &sid), &["sid=; Max-Age=0"]),
            user
        );
        stage.sessions.closed(connection);
    }
}

#[test]
fn three_users_at_once_from_one_address_are_three_sessions() {
    let mut stage = Stage::new();
    let url = "http://127.0.0.1:8000/login";
    let users = [1, 2, 3].map(|user| stage.ask(Ask::program(user, "GET", url, "")));
    assert_eq!(users, [1, 2, 3], "all begin before anybody is answered");
    for user in users {
        stage.answer(user, url, &[&format!("sid=value-of-{user}"), "theme=dark-as-night"]);
    }
    for round in 0..4u64 {
        for user in users {
            let cookie = format!("theme=dark-as-night; sid=value-of-{user}");
            let connection = if round % 2 == 0 { u64::from(user) } else { u64::from(user) + 10 * (round + 1) };
            let trip = stage.trip(Ask::program(connection, "POST", "http://127.0.0.1:8000/cart", &cookie), &[]);
            assert_eq!(trip, user, "round {round}");
        }
    }
}

#[test]
fn users_who_first_saw_a_page_without_cookies_part_when_they_log_in() {
    let mut stage = Stage::new();
    let url = "http://127.0.0.1:8000/login";
    for user in 1..=2 {
        assert_eq!(stage.trip(Ask::program(user, "GET", "http://127.0.0.1:8000/", ""), &[]), 1, "nothing to tell by");
    }
    assert_eq!(stage.trip(Ask::program(1, "POST", url, ""), &["sid=first-user"]), 1);
    assert_eq!(stage.trip(Ask::program(2, "POST", url, ""), &["sid=second-user"]), 2);
    assert_eq!(stage.trip(Ask::program(1, "GET", "http://127.0.0.1:8000/", "sid=first-user"), &[]), 1);
    assert_eq!(stage.trip(Ask::program(2, "GET", "http://127.0.0.1:8000/", "sid=second-user"), &[]), 2);
}

#[test]
fn short_values_tell_users_of_one_address_apart() {
    let mut stage = Stage::new();
    for (user, cookie) in [(1, "u=1"), (2, "u=2"), (3, "u=3")] {
        assert_eq!(stage.trip(Ask::program(user, "GET", "http://127.0.0.1/", ""), &[cookie, "l=en"]), user as u32);
    }
    for (user, cookie) in [(2, "l=en; u=2"), (1, "l=en; u=1"), (3, "u=3; l=en"), (1, "u=1; l=en")] {
        assert_eq!(stage.ask(Ask::program(user + 10, "GET", "http://127.0.0.1/", cookie)), user as u32);
        stage.sessions.closed(user + 10);
    }
}

#[test]
fn a_client_with_a_new_connection_for_each_request_is_one_session() {
    for cookie in ["", "sid=0123456789"] {
        let mut stage = Stage::new();
        for connection in 1..=5 {
            let sent = if connection == 1 { "" } else { cookie };
            let url = format!("http://a.test/page/{connection}");
            let set: &[&str] = if sent.is_empty() && !cookie.is_empty() { &[cookie] } else { &[] };
            assert_eq!(stage.trip(Ask::browser(connection, &url, sent), set), 1, "`{cookie}`");
            stage.sessions.closed(connection);
        }
    }
}

#[test]
fn addresses_and_user_agents_are_sessions_of_their_own_unless_they_share_cookies_or_connections() {
    let mut stage = Stage::new();
    let url = "http://a.test/";
    assert_eq!(stage.trip(Ask::browser(1, url, ""), &["sid=0123456789"]), 1);
    assert_eq!(stage.trip(Ask { client: "10.0.0.2", ..Ask::browser(2, url, "") }, &[]), 2);
    assert_eq!(stage.trip(Ask { agent: "Firefox", ..Ask::browser(3, url, "") }, &[]), 3);
    assert_eq!(stage.trip(Ask { agent: "Updater", ..Ask::browser(1, "http://a.test/v", "") }.with(CALL), &[]), 1);
    assert_eq!(stage.trip(Ask { agent: "Worker", ..Ask::browser(4, url, "sid=0123456789") }, &[]), 1);
    assert_eq!(stage.trip(Ask { client: "10.9.9.9", ..Ask::browser(5, url, "sid=0123456789") }, &[]), 1, "roaming");
}

#[test]
fn logging_in_as_someone_else_in_one_browser_stays_one_session() {
    let mut stage = Stage::new();
    let login = "http://a.test/login";
    assert_eq!(stage.trip(Ask::browser(1, login, ""), &["sid=first-user"]), 1);
    assert_eq!(stage.trip(Ask::browser(1, "http://a.test/logout", "sid=first-user"), &["sid=deleted; Max-Age=0"]), 1);
    assert_eq!(stage.trip(Ask::browser(1, login, ""), &["sid=second-user"]), 1);
    assert_eq!(stage.trip(Ask::browser(2, "http://a.test/", "sid=second-user"), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(2, "http://a.test/", ""), &[]), 1, "a script has deleted the cookie");
}

#[test]
fn cookies_that_no_response_set_tell_browsers_apart() {
    let mut stage = Stage::new();
    let url = "http://a.test/";
    assert_eq!(stage.trip(Ask::browser(1, url, "sid=from-yesterday-1; lang=en"), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(2, url, "sid=from-yesterday-2; lang=en"), &[]), 2);
    assert_eq!(stage.trip(Ask::browser(3, url, "sid=from-yesterday-1; lang=en"), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(4, url, "sid=from-yesterday-2; lang=en"), &[]), 2);
    assert_eq!(stage.trip(Ask::browser(5, url, ""), &[]), 3, "a window without cookies");
    assert_eq!(stage.trip(Ask::browser(6, url, "consent=accepted-all"), &[]), 3, "set by a script");
    assert_eq!(stage.trip(Ask::browser(2, url, "consent=accepted-all; sid=from-yesterday-2"), &[]), 2, "by it, too");
    let worker = Ask { agent: "Worker", ..Ask::browser(7, url, "sid=from-yesterday-1") };
    assert_eq!(stage.trip(worker, &[]), 1, "another program of that client");
    assert_eq!(
        stage.trip(Ask { client: "10.0.0.2", connection: 8, ..worker }, &[]),
        4,
        "another client may send the same by chance"
    );
}

#[test]
fn a_cookie_that_a_newcomer_had_before_does_not_make_them_the_first_who_was_given_it() {
    let mut stage = Stage::new();
    let url = "http://a.test/";
    assert_eq!(stage.trip(Ask::browser(1, url, ""), &["node=backend-1", "sid=given-in-the-recording"]), 1);
    assert_eq!(stage.trip(Ask::browser(2, url, "node=backend-1; sid=given-before-the-recording"), &[]), 2);
    assert_eq!(stage.trip(Ask::browser(3, url, "node=backend-1; sid=given-in-the-recording"), &[]), 1);
}

#[test]
fn the_last_step_of_a_sign_on_stays_with_its_browser() {
    let mut stage = Stage::new();
    assert_eq!(stage.trip(Ask::browser(1, "https://app.test/", ""), &["state=0123456789; SameSite=Lax"]), 1);
    assert_eq!(stage.trip(Ask::browser(2, "https://id.test/login", ""), &[]), 1);
    let modern = [PAGE, &[("Sec-Fetch-Site", "cross-site")]].concat();
    let old = [("Origin", "https://id.test"), ("Accept", "text/html")];
    for (connection, fields) in [(3, &modern[..]), (4, &old[..])] {
        let form = Ask { method: "POST", ..Ask::browser(connection, "https://app.test/acs", "").with(fields) };
        assert_eq!(stage.trip(form, &[]), 1);
    }
}

#[test]
fn whoever_is_redirected_by_a_log_out_is_the_same_person_on_arrival() {
    for location in ["/bye", "http://127.0.0.1:8000/bye", "http://127.0.0.1:9000/bye"] {
        let mut stage = Stage::new();
        let url = "http://127.0.0.1:8000/";
        let out = "http://127.0.0.1:8000/logout";
        assert_eq!(stage.trip(Ask::program(1, "GET", url, ""), &["sid=user-number-1"]), 1);
        assert_eq!(stage.ask(Ask::program(1, "POST", out, "sid=user-number-1")), 1);
        stage.log_out(1, out, "sid=; Max-Age=0", location);
        stage.sessions.closed(1);
        let arrival = if location.starts_with('/') { "http://127.0.0.1:8000/bye" } else { location };
        assert_eq!(stage.trip(Ask::program(2, "GET", arrival, ""), &[]), 1, "{location}");
        stage.sessions.closed(2);
        assert_eq!(
            stage.trip(Ask::program(3, "GET", arrival, ""), &["sid=user-number-2"]),
            2,
            "nobody is sent there twice"
        );
    }
}

#[test]
fn parts_go_to_whoever_looks_at_the_page_that_needs_them() {
    let mut stage = Stage::new();
    assert_eq!(stage.trip(Ask::browser(1, "http://a.test/one", ""), &["sid=0123456789"]), 1);
    assert_eq!(stage.trip(Ask::browser(2, "http://a.test/two", ""), &["sid=9876543210"]), 2);
    for (connection, page, session) in [(3, "http://a.test/one", 1), (4, "http://a.test/two", 2)] {
        let fields = [FONT, &[("Referer", page)]].concat();
        assert_eq!(stage.ask(Ask::browser(connection, "http://a.test/f.woff", "").with(&fields)), session);
    }
}

#[test]
fn many_users_leave_bounded_traces() {
    let mut stage = Stage::new();
    for user in 0..u64::try_from(SESSIONS).unwrap() + 500 {
        let cookie = format!("sid=session-of-{user}");
        stage.trip(Ask::program(user, "GET", "http://127.0.0.1/", ""), &[&cookie]);
    }
    let Rule::Telling(sessions) = &stage.sessions.rule else { panic!("by default by whatever tells") };
    assert!(sessions.people.get(SessionId(1)).is_none(), "the first was forgotten");
    assert!(sessions.groups.values().all(|members| members.len() <= GROUP));
    let known = sessions.groups.values().flatten().all(|id| sessions.people.get(*id).is_some());
    assert!(known, "groups name only sessions that are known");
    let back = Ask::program(1_000_000, "GET", "http://127.0.0.1/", "sid=session-of-0");
    assert!(stage.ask(back) > 10_000, "a session that was forgotten begins anew");
}
