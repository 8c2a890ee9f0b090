//! Users who say who they are in headers instead of cookies.

use super::*;

/// `Authorization` values as a field list; leaked, since tests are short.
fn auth(value: &str) -> &'static [(&'static str, &'static str)] {
    let value: &'static str = Box::leak(value.to_owned().into_boxed_str());
    Box::leak(vec![("Accept", "*/*"), ("Authorization", value)].into_boxed_slice())
}

fn jwt(subject: &str, version: u32) -> String {
    use base64::Engine;
    let claims = format!("{{\"iss\":\"https://id.test\",\"sub\":\"{subject}\",\"iat\":{version}}}");
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
    format!("Bearer eyJhbGciOiJIUzI1NiJ9.{claims}.signature-{version}")
}

fn basic(user: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret")))
}

const API: &str = "http://127.0.0.1:8000/api/cart";
const LOG_IN: &str = "http://127.0.0.1:8000/api/login";

fn call(connection: u64, value: &str) -> Ask<'static> {
    let fields = if value.is_empty() { PROGRAM } else { auth(value) };
    Ask::program(connection, "GET", API, "").with(fields)
}

fn log_in(connection: u64) -> Ask<'static> {
    Ask::program(connection, "POST", LOG_IN, "")
}

/// The same from a browser.
fn fetch(connection: u64, method: &'static str, url: &'static str, value: &str) -> Ask<'static> {
    let token: Vec<(&str, &str)> = if value.is_empty() { Vec::new() } else { auth(value).to_vec() };
    let fields: &'static [(&str, &str)] = Box::leak([CALL, &token].concat().into_boxed_slice());
    Ask { method, ..Ask::browser(connection, url, "").with(fields) }
}

#[test]
fn users_with_tokens_at_once_are_told_apart_on_their_connections_and_on_new_ones() {
    for values in [
        ["Bearer token-of-1", "Bearer token-of-2", "Bearer token-of-3"].map(str::to_owned),
        ["a", "b", "c"].map(|name| jwt(name, 1)),
        ["anna", "bert", "carl"].map(basic),
        ["Token 0123456789", "Token 1234567890", "Token 2345678901"].map(str::to_owned),
        ["a", "b", "c"].map(|user| format!("Digest username=\"{user}\", nonce=\"1\", response=\"r\"")),
    ] {
        let mut stage = Stage::new();
        for (user, value) in (1..).zip(&values) {
            assert_eq!(stage.trip(call(user, value), &[]), user as u32, "{value}");
        }
        for round in 0..3 {
            for (user, value) in (1..).zip(&values) {
                let connection = if round == 0 { user } else { user + 10 * round };
                assert_eq!(stage.trip(call(connection, value), &[]), user as u32, "{value} in round {round}");
            }
        }
    }
}

#[test]
fn keys_in_headers_tell_users_apart_as_well() {
    for header in ["X-Api-Key", "X-Auth-Token"] {
        let mut stage = Stage::new();
        let keys = [[(header, "key-of-user-1")], [(header, "key-of-user-2")]];
        for (user, connection) in [(1, 1), (2, 2), (2, 3), (1, 4), (1, 1)] {
            let ask = Ask::program(connection, "GET", API, "").with(&keys[user - 1]);
            assert_eq!(stage.trip(ask, &[]), user as u32, "{header}");
        }
        assert_eq!(stage.said_of(1), (format!("header `{header}`").as_str(), header == "X-Auth-Token"));
    }
}

#[test]
fn any_bytes_in_the_fields_that_tell_users_apart_are_borne() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let names = ["Authorization", "Cookie", "X-Forwarded-For", "Forwarded", "X-Api-Key", "User-Agent", "Referer"];
    let values =
        [jwt("a", 1), basic("b"), "sid=0123; x=y".into(), "for=\"[::1]:80\"".into(), "Digest username=\"a\"".into()];
    for user_by in ["auto", "cookie:sid", "header:X-Api-Key,authorization", "cookie,agent"] {
        let mut sessions = Sessions::by(UserBy::parse(user_by).unwrap());
        for _ in 0..1000 {
            let mut headers = Headers::default();
            for name in names {
                let mut value = values[random(values.len())].clone().into_bytes();
                for _ in 0..random(4) {
                    let at = random(value.len());
                    value[at] = random(256) as u8;
                }
                value.truncate(random(value.len() + 1));
                headers.push(name, value.clone());
                headers.push("Set-Cookie", value);
            }
            let (origin, target) = split(API);
            let (id, _) = sessions.of_request(&Sighting {
                client: "10.0.0.1".parse().unwrap(),
                connection: random(20) as u64,
                origin: &origin,
                method: ["GET", "POST"][random(2)],
                target: target.as_bytes(),
                headers: &headers,
                now: Nanos(0),
            });
            sessions.saw_response(id, &origin, target.as_bytes(), &headers, Nanos(0));
        }
    }
}

#[test]
fn programs_that_log_in_for_tokens_one_after_another_are_as_many_sessions() {
    for closes in [true, false] {
        let mut stage = Stage::new();
        for user in 1..=3u32 {
            let connection = u64::from(user) * 10;
            let token = format!("Bearer opaque-token-{user}");
            assert_eq!(stage.trip(log_in(connection), &[]), user, "a log-in without the token of the one before");
            for more in 0..3 {
                assert_eq!(stage.trip(call(connection + more, &token), &[]), user);
            }
            assert_eq!(stage.trip(call(connection + 5, ""), &[]), user, "without a token: of the one who is active");
            if closes {
                (connection..connection + 6).for_each(|connection| stage.sessions.closed(connection));
            }
            assert_eq!(stage.said_of(user), ("authorization `Bearer …`", false));
        }
    }
}

#[test]
fn programs_that_log_in_for_tokens_at_once_part_when_they_use_them() {
    let mut stage = Stage::new();
    assert_eq!(stage.trip(log_in(1), &[]), 1);
    assert_eq!(stage.trip(log_in(2), &[]), 1, "nothing to tell by yet");
    assert_eq!(stage.trip(call(1, "Bearer opaque-1"), &[]), 1);
    assert_eq!(stage.trip(call(2, "Bearer opaque-2"), &[]), 2);
    assert_eq!(stage.said_of(2), ("authorization `Bearer …`", false), "somebody logged in");
    assert_eq!(stage.trip(call(3, "Bearer opaque-1"), &[]), 1);
    assert_eq!(stage.trip(call(4, "Bearer opaque-2"), &[]), 2);
}

#[test]
fn a_token_that_is_refreshed_stays_with_its_session() {
    let refresh = |connection| Ask::program(connection, "POST", "http://127.0.0.1:8000/auth/refresh", "");
    for (what, connection) in [("on the same connection", 1), ("on another", 2)] {
        let mut stage = Stage::new();
        assert_eq!(stage.trip(call(1, "Bearer first"), &[]), 1);
        assert_eq!(stage.trip(refresh(connection), &[]), 1);
        assert_eq!(stage.trip(call(connection, "Bearer second"), &[]), 1, "{what}");
        assert_eq!(stage.trip(call(3, "Bearer second"), &[]), 1);
        assert_eq!(stage.trip(call(1, "Bearer first"), &[]), 1, "one that was still under way");
        assert_eq!(stage.trip(call(4, "Bearer of-another"), &[]), 2);
        assert_eq!(stage.trip(call(5, "Bearer second"), &[]), 1);
    }
    let mut stage = Stage::new();
    assert_eq!(stage.trip(call(1, &jwt("anna", 1)), &[]), 1);
    assert_eq!(stage.trip(call(2, &jwt("anna", 2)), &[]), 1, "the same subject");
    assert_eq!(stage.trip(call(2, &jwt("bert", 1)), &[]), 2, "connections of programs are shared");
    assert_eq!(stage.trip(call(2, &jwt("anna", 3)), &[]), 1);
}

#[test]
fn a_new_token_after_a_challenge_is_a_refresh() {
    let mut stage = Stage::new();
    let session = stage.ask(call(1, "Bearer first"));
    let (origin, target) = split(API);
    let mut headers = Headers::default();
    headers.push("WWW-Authenticate", "Bearer error=\"invalid_token\"");
    stage.sessions.saw_response(SessionId(session), &origin, target.as_bytes(), &headers, Nanos(stage.now));
    assert_eq!(stage.trip(call(2, "Bearer second"), &[]), 1);
}

#[test]
fn a_browser_that_changes_its_token_on_its_connection_stays_one_session() {
    let mut stage = Stage::new();
    assert_eq!(stage.trip(Ask::browser(1, "http://spa.test/", ""), &[]), 1);
    assert_eq!(stage.trip(fetch(1, "GET", "http://spa.test/api", "Bearer of-a-guest"), &[]), 1);
    assert_eq!(stage.trip(fetch(1, "POST", "http://spa.test/api/login", ""), &[]), 1);
    assert_eq!(stage.trip(fetch(1, "GET", "http://spa.test/api", "Bearer of-a-member"), &[]), 1);
    assert_eq!(stage.trip(fetch(2, "GET", "http://spa.test/api", "Bearer of-a-member"), &[]), 1);
    assert_eq!(stage.said_of(1), ("authorization `Bearer …`", true), "it had the first one");
}

#[test]
fn two_browsers_behind_one_address_are_told_apart_by_their_tokens() {
    let mut stage = Stage::new();
    for user in 1..=2u64 {
        let page = stage.trip(Ask::browser(user * 10, "http://spa.test/", ""), &[]);
        assert_eq!(page, 1, "nothing to tell by");
        let log_in = fetch(user * 10, "POST", "http://spa.test/api/login", "");
        assert_eq!(stage.trip(log_in, &[]), user as u32);
        for more in 0..3 {
            let token = format!("Bearer token-of-{user}");
            assert_eq!(stage.trip(fetch(user * 10 + more, "GET", "http://spa.test/api", &token), &[]), user as u32);
        }
        assert_eq!(stage.said_of(user as u32), ("authorization `Bearer …`", false));
    }
    assert_eq!(stage.trip(fetch(11, "GET", "http://spa.test/api", "Bearer token-of-1"), &[]), 1);
}

#[test]
fn a_key_that_everybody_has_tells_nobody_apart() {
    let key = basic("staging");
    let mut stage = Stage::new();
    let page = |connection, cookie| Ask::browser(connection, "http://a.test/", cookie).with(auth(&key));
    assert_eq!(stage.trip(page(1, ""), &["sid=0123456789"]), 1);
    assert_eq!(stage.trip(page(1, "sid=0123456789"), &[]), 1);
    let second = page(2, "").with(Box::leak([PAGE, auth(&key)].concat().into_boxed_slice()));
    assert_eq!(stage.trip(second, &["sid=9876543210"]), 2);
    for (connection, cookie, session) in [(3, "sid=9876543210", 2), (4, "sid=0123456789", 1), (5, "sid=9876543210", 2)]
    {
        assert_eq!(stage.trip(page(connection, cookie), &[]), session);
    }
    assert_eq!(stage.said_of(1), ("cookie `sid`", false));
    assert_eq!(stage.said_of(2), ("cookie `sid`", false));
}

#[test]
fn equal_cookies_of_taste_do_not_make_two_tokens_one_user() {
    let mut stage = Stage::new();
    let taste = |connection, value: &str| Ask { cookie: "theme=dark-as-night", ..call(connection, value) };
    assert_eq!(stage.trip(taste(1, "Bearer one"), &["lang=english-gb"]), 1);
    assert_eq!(stage.trip(taste(2, "Bearer two"), &["lang=english-gb"]), 2);
    for (connection, value, session) in [(3, "Bearer one", 1), (4, "Bearer two", 2)] {
        let ask = Ask { cookie: "theme=dark-as-night; lang=english-gb", ..call(connection, value) };
        assert_eq!(stage.trip(ask, &[]), session);
    }
}

#[test]
fn two_who_take_turns_on_shared_connections_part_in_the_end() {
    let mut stage = Stage::new();
    assert_eq!(stage.trip(call(1, "Bearer one"), &[]), 1);
    assert_eq!(stage.trip(log_in(1), &[]), 1, "on the connection of the first");
    let mut last = Vec::new();
    for _ in 0..10 {
        last = ["Bearer two", "Bearer one"].map(|value| stage.trip(call(1, value), &[])).to_vec();
    }
    last.sort_unstable();
    assert_eq!(last, [1, 2]);
}

#[test]
fn addresses_that_a_proxy_forwards_are_those_of_clients() {
    for (header, first, second) in [
        ("X-Forwarded-For", "203.0.113.1, 10.0.0.9", "203.0.113.2"),
        ("X-Forwarded-For", "2001:db8::1", "[2001:db8::2]:443"),
        ("Forwarded", "for=203.0.113.1;proto=https, for=10.0.0.9", "proto=https; For=\"203.0.113.2:99\""),
        ("X-Real-IP", "203.0.113.1", "203.0.113.2"),
    ] {
        let mut sessions = Sessions::default();
        let mut ids = Vec::new();
        for value in [first, second, first, "unknown"] {
            let mut headers = Headers::default();
            headers.push(header, value);
            let (origin, target) = split(API);
            let (id, info) = sessions.of_request(&Sighting {
                client: "10.0.0.1".parse().unwrap(),
                connection: 1,
                origin: &origin,
                method: "GET",
                target: target.as_bytes(),
                headers: &headers,
                now: Nanos(0),
            });
            ids.push(id.0);
            if let Some(info) = info {
                let forwarded = info.evidence == "forwarded client address and user agent";
                assert_eq!(forwarded, value != "unknown", "{value}");
                assert!(value == "unknown" || value.contains(&info.client), "{value}: {}", info.client);
            }
        }
        assert_eq!(ids, [1, 2, 1, 3], "{header}");
    }
}

#[test]
fn sessions_say_what_tells_them_and_whether_they_began_before() {
    let url = "http://a.test/";
    for (what, ask, set, evidence, midway) in [
        ("nothing", Ask::browser(1, url, ""), &[][..], "client address and user agent", false),
        ("a session cookie from before", Ask::browser(1, url, "PHPSESSID=k3j4h5g6f7"), &[], "cookie `PHPSESSID`", true),
        ("only counted", Ask::browser(1, url, "_ga=GA1.2.12345.67890; consent=given-all"), &[], "cookie `_ga`", false),
        ("both", Ask::browser(1, url, "_ga=GA1.2.12345.67890; sid=0123456789"), &[], "cookie `sid`", true),
        ("a token from before", call(1, "Bearer abcdef"), &[], "authorization `Bearer …`", true),
        ("a password", call(1, &basic("anna")), &[], "authorization `Basic …`", false),
    ] {
        let mut stage = Stage::new();
        assert_eq!(stage.trip(ask, set), 1);
        assert_eq!(stage.said_of(1), (evidence, midway), "{what}");
    }
    let mut stage = Stage::new();
    assert_eq!(stage.trip(Ask::browser(1, url, ""), &["sid=0123456789; HttpOnly"]), 1);
    assert_eq!(stage.said_of(1), ("client address and user agent", false));
    assert_eq!(stage.trip(Ask::browser(1, url, "sid=0123456789; _ga=GA1.2.12345.67890"), &[]), 1);
    assert_eq!(stage.said_of(1), ("cookie `sid`", false), "a response gave it");

    let mut stage = Stage::new();
    assert_eq!(stage.trip(Ask::browser(1, "http://a.test/app.js", "").with(CALL), &[]), 1);
    assert_eq!(stage.trip(fetch(1, "GET", "http://a.test/api", "Bearer from-storage"), &[]), 1);
    assert_eq!(stage.said_of(1), ("authorization `Bearer …`", true), "got before, kept by a script");

    let mut stage = Stage::new();
    assert_eq!(stage.trip(fetch(1, "POST", "http://a.test/api/enter", ""), &[]), 1);
    assert_eq!(stage.trip(fetch(1, "GET", "http://a.test/api", "Bearer from-an-answer"), &[]), 1);
    assert_eq!(stage.said_of(1), ("authorization `Bearer …`", false), "the answer to the form gave it");
}

#[test]
fn a_third_party_with_a_key_of_its_own_stays_in_its_session() {
    let mut stage = Stage::new();
    let key: &[(&str, &str)] =
        &[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty"), ("X-Api-Key", "maps-0123456789")];
    assert_eq!(stage.trip(Ask::browser(1, "http://a.test/", ""), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(2, "http://maps.test/tile", "").with(key), &[]), 1);
    assert_eq!(stage.trip(fetch(3, "GET", "http://a.test/api", "Bearer 0123456789"), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(4, "http://a.test/login", "").with(CALL), &[]), 1);
    assert_eq!(stage.trip(Ask { method: "POST", ..Ask::browser(3, "http://a.test/login", "").with(CALL) }, &[]), 1);
}
