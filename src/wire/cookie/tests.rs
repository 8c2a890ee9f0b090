//! What a jar sends after what it was given.

use super::*;

const HOUR: Nanos = Nanos(3_600_000_000_000);
/// 2015-10-21 07:28:00 UTC.
const UNIX_NOW_S: i64 = 1_445_412_480;

fn set(jar: &mut Jar, url: &str, value: &str) -> bool {
    let origin: Origin = url.parse().unwrap();
    jar.store(value.as_bytes(), &origin, path_of(url), HOUR, UNIX_NOW_S).is_some()
}

fn sent_at(jar: &Jar, url: &str, now: Nanos) -> String {
    let origin: Origin = url.parse().unwrap();
    let header = jar.header(&origin, path_of(url), now);
    assert_eq!(header.is_some(), !jar.matching(&origin, path_of(url), now).is_empty());
    header.unwrap_or_default()
}

fn sent(jar: &Jar, url: &str) -> String {
    sent_at(jar, url, HOUR)
}

fn path_of(url: &str) -> &str {
    let rest = &url[url.find("://").unwrap() + 3..];
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

/// Sets cookies at one address and says what is sent to others.
#[test]
fn cookies_go_where_domain_path_and_scheme_say() {
    for (at, value, to) in [
        ("http://a.test/x/y?q=/z/", "s=1", &[("http://a.test/x/z", "s=1"), ("http://a.test/x", "s=1")][..]),
        (
            "http://a.test/x/y",
            "s=1",
            &[("http://a.test/", ""), ("http://a.test/xy", ""), ("http://a.test/x/?y", "s=1")],
        ),
        ("http://a.test/x", "s=1", &[("http://a.test/", "s=1"), ("http://a.test", "s=1"), ("http://a.test/?a", "s=1")]),
        ("http://a.test/", "s=1; Path=/x/", &[("http://a.test/x/", "s=1"), ("http://a.test/x", "")]),
        ("http://a.test/x/y", "s=1; Path=/", &[("http://a.test/", "s=1")]),
        ("http://a.test/x/y", "s=1; Path=relative", &[("http://a.test/x", "s=1"), ("http://a.test/", "")]),
        ("http://a.test/", "s=1; Path=/x; Path=/y", &[("http://a.test/x", ""), ("http://a.test/y", "s=1")]),
        (
            "http://a.test/",
            "s=1",
            &[("http://b.a.test/", ""), ("http://a.test:81/", "s=1"), ("https://a.test/", "s=1")],
        ),
        ("http://b.a.test/", "s=1; Domain=A.test", &[("http://a.test/", "s=1"), ("http://c.a.test/", "s=1")]),
        ("http://b.a.test/", "s=1; domain=.a.test", &[("http://b.a.test/", "s=1"), ("http://ba.test/", "")]),
        ("http://a.test/", "s=1; Domain=", &[("http://a.test/", "s=1"), ("http://b.a.test/", "")]),
        ("http://127.0.0.1/", "s=1; Domain=127.0.0.1", &[("http://127.0.0.1:9/", "s=1"), ("http://1.127.0.0.1/", "")]),
        ("http://[::1]/", "s=1", &[("http://[::1]/", "s=1"), ("http://[::2]/", "")]),
        ("http://localhost/", "s=1; Domain=localhost", &[("http://localhost/", "s=1"), ("http://x.localhost/", "")]),
        ("https://a.test/", "s=1; Secure", &[("https://a.test/", "s=1"), ("http://a.test/", "")]),
        ("http://localhost/", "s=1; secure", &[("http://localhost:8080/", "s=1")]),
        ("http://127.0.0.1/", "s=1; Secure; HttpOnly; SameSite=Lax", &[("http://127.0.0.1/", "s=1")]),
        ("http://[::1]/", "s=1;Secure", &[("http://[::1]:8/", "s=1")]),
    ] {
        let mut jar = Jar::default();
        assert!(set(&mut jar, at, value), "{value} at {at}");
        for (url, header) in to {
            assert_eq!(sent(&jar, url), *header, "`{value}` of {at}, to {url}");
        }
    }
}

#[test]
fn cookies_that_a_host_may_not_set_are_refused() {
    for (at, value) in [
        ("http://a.test/", "s=1; Domain=b.test"),
        ("http://a.test/", "s=1; Domain=b.a.test"),
        ("http://a.test/", "s=1; Domain=test"),
        ("http://ba.test/", "s=1; Domain=a.test"),
        ("http://127.0.0.1/", "s=1; Domain=0.0.1"),
        ("http://a.test/", "s=1; Secure"),
        ("http://a.test/", ""),
        ("http://a.test/", " = ; Path=/"),
        ("http://a.test/", "s=a\u{1}b"),
        ("http://a.test/", "s=a\nb"),
    ] {
        let mut jar = Jar::default();
        assert!(!set(&mut jar, at, value), "{value:?} at {at}");
        assert!(jar.is_empty());
    }
    let long = format!("s={}", "x".repeat(4095));
    let mut jar = Jar::default();
    assert!(set(&mut jar, "http://a.test/", &long));
    assert!(!set(&mut jar, "http://a.test/", &format!("{long}x")));
}

#[test]
fn names_and_values_are_kept_as_written() {
    for (value, header) in [
        ("a=b=c", "a=b=c"),
        (" a\t=\t\"b c\" ; x", "a=\"b c\""),
        ("alone", "alone"),
        ("=alone", "alone"),
        ("a=", "a="),
        ("a", "a"),
        ("é=ü", "é=ü"),
    ] {
        let mut jar = Jar::default();
        assert!(set(&mut jar, "http://a.test/", value), "{value}");
        assert_eq!(sent(&jar, "http://a.test/"), header, "{value}");
    }
    let accepted = Jar::default().store(b"a=\xff", &"http://a.test".parse().unwrap(), "/", HOUR, 0).unwrap();
    assert_eq!(accepted.value, "\u{fffd}");
}

#[test]
fn the_longest_path_comes_first_then_the_oldest_also_when_it_was_set_anew() {
    let mut jar = Jar::default();
    for value in ["a=1", "b=2; Path=/x", "c=3", "a=4", "d=5; Path=/x"] {
        assert!(set(&mut jar, "http://a.test/", value));
    }
    assert_eq!(sent(&jar, "http://a.test/x"), "b=2; d=5; a=4; c=3");
    assert!(set(&mut jar, "http://a.test/", "a=other; Path=/x"), "another path is another cookie");
    assert_eq!(sent(&jar, "http://a.test/x"), "b=2; d=5; a=other; a=4; c=3");
}

#[test]
fn cookies_end_when_they_say() {
    let second = |n: u64| Nanos(HOUR.0 + n * 1_000_000_000);
    for (attributes, last_sent_s) in [
        ("Max-Age=10", Some(9)),
        ("Expires=Wed, 21 Oct 2015 07:28:10 GMT", Some(9)),
        ("Expires=Wed, 21 Oct 2015 07:28:10 GMT; Max-Age=20", Some(19)),
        ("Max-Age=20; Expires=Wed, 21 Oct 2015 07:28:10 GMT", Some(19)),
        ("Max-Age=soon; Expires=Wed, 21 Oct 2015 07:28:10 GMT", Some(9)),
        ("Max-Age=0", None),
        ("Max-Age=-1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
    ] {
        let mut jar = Jar::default();
        assert!(set(&mut jar, "http://a.test/", &format!("s=1; {attributes}")));
        assert_eq!(jar.is_empty(), last_sent_s.is_none(), "{attributes}");
        if let Some(last) = last_sent_s {
            assert_eq!(sent_at(&jar, "http://a.test/", second(last)), "s=1", "{attributes}");
            assert_eq!(sent_at(&jar, "http://a.test/", second(last + 1)), "", "{attributes}");
        }
    }
    for attributes in ["", "Max-Age=99999999999999999999", "Expires=nonsense", "Expires=Fri, 31 Dec 9999 23:59:59 GMT"]
    {
        let mut jar = Jar::default();
        assert!(set(&mut jar, "http://a.test/", &format!("s=1; {attributes}")));
        assert_eq!(sent_at(&jar, "http://a.test/", second(86_400 * 365)), "s=1", "{attributes}");
    }
}

#[test]
fn deleting_takes_the_same_name_domain_and_path() {
    let mut jar = Jar::default();
    set(&mut jar, "http://a.test/", "s=1; Path=/x");
    assert!(set(&mut jar, "http://a.test/", "s=; Max-Age=0"));
    assert_eq!(sent(&jar, "http://a.test/x"), "s=1", "another path");
    assert!(set(&mut jar, "http://a.test/", "s=gone; Path=/x; Max-Age=0"));
    assert!(jar.is_empty());
}

#[test]
fn a_plain_connection_does_not_touch_a_secure_cookie() {
    let mut jar = Jar::default();
    set(&mut jar, "https://a.test/", "s=1; Secure");
    assert!(!set(&mut jar, "http://a.test/", "s=2"));
    assert!(!set(&mut jar, "http://a.test/", "s=; Max-Age=0"));
    assert_eq!(sent(&jar, "https://a.test/"), "s=1");
}

#[test]
fn the_oldest_cookies_of_a_domain_go_when_it_has_too_many() {
    let mut jar = Jar::default();
    set(&mut jar, "http://other.test/", "keep=1");
    for number in 0..PER_DOMAIN + 2 {
        set(&mut jar, "http://a.test/", &format!("n{number}=1"));
    }
    let header = sent(&jar, "http://a.test/");
    assert!(header.starts_with("n2=1; n3=1"), "{header}");
    assert_eq!(header.split("; ").count(), PER_DOMAIN);
    assert_eq!(sent(&jar, "http://other.test/"), "keep=1");
    for number in 0..PER_JAR {
        set(&mut jar, &format!("http://h{number}.test/"), "n=1");
    }
    assert_eq!(jar.cookies.len(), PER_JAR);
    assert_eq!(sent(&jar, "http://other.test/"), "");
}

#[test]
fn cookie_headers_come_apart() {
    let pairs: Vec<(String, String)> =
        parse_cookie_header(b"a=1; b=2=3;c = \"x y\" ;; alone; =v").into_iter().map(|c| (c.name, c.value)).collect();
    let expected = [("a", "1"), ("b", "2=3"), ("c", "\"x y\""), ("", "alone"), ("", "v")]
        .map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(pairs, expected);
    assert!(parse_cookie_header(b" ; ").is_empty());
}

#[test]
fn an_empty_jar_is_small() {
    assert!(size_of::<Jar>() <= 24);
}
