//! Users told apart by what somebody named.

use super::*;

const URL: &str = "http://a.test/";

#[test]
fn by_address_agent_or_connection_alone() {
    let asks = [
        Ask::browser(1, URL, "sid=0123456789"),
        Ask::browser(2, URL, "sid=9876543210"),
        Ask { agent: "Firefox", ..Ask::browser(2, URL, "") },
        Ask { client: "10.0.0.2", ..Ask::browser(3, URL, "sid=0123456789") },
        Ask::browser(1, URL, ""),
    ];
    for (user_by, sessions, evidence) in [
        ("address", [1, 1, 1, 2, 1], "client address"),
        ("agent", [1, 1, 2, 1, 1], "user agent"),
        ("connection", [1, 2, 2, 3, 1], "connection"),
        ("address,agent", [1, 1, 2, 3, 1], "client address and user agent"),
    ] {
        let mut stage = Stage::by(user_by);
        assert_eq!(asks.map(|ask| stage.trip(ask, &[])), sessions, "{user_by}");
        assert_eq!(stage.said_of(1), (evidence, false));
    }
}

#[test]
fn by_a_named_cookie_from_before_it_is_there() {
    let mut stage = Stage::by("cookie:sid");
    assert_eq!(stage.trip(Ask::browser(1, URL, "other=1"), &["sid=first; Path=/"]), 1);
    assert_eq!(stage.trip(Ask::browser(2, URL, "other=2; sid=first"), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(3, "http://a.test/f.css", "").with(FONT), &[]), 1, "of the one who is active");
    assert_eq!(stage.trip(Ask::browser(4, URL, "sid=second"), &[]), 2);
    assert_eq!(stage.trip(Ask { client: "10.0.0.9", ..Ask::browser(5, URL, "sid=first") }, &["sid=rotated"]), 1);
    assert_eq!(stage.trip(Ask::browser(6, URL, "sid=rotated"), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(7, URL, "sid=first"), &["sid=; Max-Age=0"]), 1);
    assert_eq!((stage.said_of(1), stage.said_of(2)), (("cookie `sid`", false), ("cookie `sid`", true)));
}

#[test]
fn by_a_header_or_by_who_authorization_names() {
    for (user_by, name, values) in [
        ("header:X-User", "x-user", ["anna", "bert"]),
        ("authorization", "Authorization", ["Bearer abc", "Bearer def"]),
        ("address,authorization", "Authorization", ["Basic YTpi", "Basic YjpiCg=="]),
    ] {
        let [anna, bert] = values.map(|value| [(name, value)]);
        let mut stage = Stage::by(user_by);
        assert_eq!(stage.trip(Ask::program(1, "POST", "http://a.test/login", ""), &[]), 1);
        assert_eq!(stage.trip(Ask::program(1, "GET", URL, "").with(&anna), &[]), 1, "{user_by}");
        assert_eq!(stage.trip(Ask::program(1, "GET", URL, "").with(&bert), &[]), 2, "on a shared connection");
        assert_eq!(stage.trip(Ask::program(2, "GET", URL, "").with(&anna), &[]), 1);
        assert_eq!(stage.trip(Ask::program(2, "GET", URL, ""), &[]), 1, "of the connection");
        assert_eq!(stage.trip(Ask::program(3, "GET", URL, "").with(&bert), &[]), 2);
    }
}

#[test]
fn by_whichever_cookie_tells_within_an_address() {
    let mut stage = Stage::by("cookie,address");
    assert_eq!(stage.trip(Ask::browser(1, URL, ""), &["sid=0123456789"]), 1);
    assert_eq!(stage.trip(Ask::browser(2, URL, "sid=0123456789"), &[]), 1);
    assert_eq!(stage.trip(Ask::browser(3, URL, "sid=9876543210"), &[]), 2);
    assert_eq!(stage.trip(Ask { client: "10.0.0.2", ..Ask::browser(4, URL, "sid=0123456789") }, &[]), 3, "no roaming");
    let mut stage = Stage::by("cookie");
    let bearer = |value| [("Accept", "*/*"), ("Authorization", value)];
    assert_eq!(stage.trip(Ask::program(1, "GET", URL, "").with(&bearer("Bearer one")), &[]), 1);
    assert_eq!(stage.trip(Ask::program(2, "GET", URL, "").with(&bearer("Bearer two")), &[]), 1, "cookies alone");
}

#[test]
fn many_named_users_leave_bounded_traces() {
    let mut stage = Stage::by("cookie:sid");
    for user in 0..u64::try_from(SESSIONS).unwrap() + 500 {
        let cookie = format!("sid=session-of-{user}");
        stage.said.clear();
        stage.trip(Ask::program(user, "GET", URL, &cookie), &[]);
    }
    let back = stage.ask(Ask::program(1_000_000, "GET", URL, "sid=session-of-0"));
    assert!(back > 10_000, "a session that was forgotten begins anew");
}
