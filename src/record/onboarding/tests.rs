//! Pages by their path, and who is asked for them.

use super::*;
use crate::record::target::{Route, route};
use crate::wire::http1::{Event, Limits, Reader};

const LOCAL: &str = "192.0.2.7:8080";

fn onboarding() -> Onboarding {
    Onboarding::new(&CertificateAuthority::ephemeral().unwrap()).unwrap()
}

/// What the proxy at [`LOCAL`] answers to a request line, as the client gets it.
fn answer(onboarding: &Onboarding, line: &str, fixed: Option<&str>) -> Option<String> {
    let raw = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
    let Some(Event::Request(head, _)) = Reader::requests(Limits::default()).read(raw.as_bytes()).unwrap().event else {
        panic!("{raw}");
    };
    let way = fixed.map_or(Route::Absolute, |origin| Route::Fixed(origin.parse().unwrap()));
    let page = onboarding.answer(&head, &route(&head, &way), LOCAL.parse().unwrap())?;
    Some(String::from_utf8_lossy(&page.bytes(&head.method)).into_owned())
}

#[test]
fn the_proxy_answers_its_name_and_its_address_and_nothing_else() {
    let onboarding = onboarding();
    for (line, fixed, status) in [
        ("GET http://overdub.test/", None, Some(200)),
        ("GET http://overdub.test", None, Some(200)),
        ("HEAD http://OVERDUB.test./?from=qr", None, Some(200)),
        ("GET https://overdub.test:8443/ok.svg?1", None, Some(200)),
        ("GET http://192.0.2.7:8080/", None, Some(200)),
        ("GET /", None, Some(200)),
        ("GET /ca.pem", None, Some(200)),
        ("GET /", Some("https://overdub.test"), Some(200)),
        ("GET http://overdub.test/elsewhere", None, Some(404)),
        ("POST http://overdub.test/", None, Some(404)),
        ("GET /elsewhere", None, None),
        ("POST /", None, None),
        ("OPTIONS *", None, None),
        ("GET http://192.0.2.7:8080/elsewhere", None, None),
        ("GET http://192.0.2.7/", None, None),
        ("GET http://192.0.2.8:8080/", None, None),
        ("GET http://shop.overdub.test/", None, None),
        ("GET http://overdub.test.shop.test/", None, None),
        ("GET /", Some("https://shop.test"), None),
        ("GET /ca.pem", Some("http://192.0.2.8:8080"), None),
        ("GET ftp://overdub.test/", None, None),
    ] {
        let found = answer(&onboarding, line, fixed);
        let found = found.map(|page| page.split(' ').nth(1).unwrap().parse::<u16>().unwrap());
        assert_eq!(found, status, "{line} in {fixed:?}");
    }
}

#[test]
fn a_head_has_the_length_of_the_page_and_no_body() {
    let onboarding = onboarding();
    let whole = answer(&onboarding, "GET /ca.pem", None).unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    assert_eq!(answer(&onboarding, "HEAD /ca.pem", None).unwrap(), format!("{head}\r\n\r\n"));
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(head.contains("Cache-Control: no-store"), "{head}");
}

#[test]
fn the_certificate_comes_in_every_form_that_devices_take_and_without_the_key() {
    let authority = CertificateAuthority::ephemeral().unwrap();
    let onboarding = Onboarding::new(&authority).unwrap();
    let body = |path: &str| onboarding.page("GET", path.as_bytes(), LOCAL.parse().unwrap()).unwrap().bytes("GET");
    assert!(body("/ca.pem").ends_with(authority.certificate_pem().as_bytes()));
    assert!(body("/ca.crt").ends_with(authority.certificate_der()));
    let profile = String::from_utf8(body("/ca.mobileconfig")).unwrap();
    let data = profile.split_once("<data>").unwrap().1.split_once("</data>").unwrap().0;
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap();
    assert_eq!(decoded, authority.certificate_der());
    for path in ["/", "/ca.pem", "/ca.mobileconfig", "/ok.svg"] {
        assert!(!String::from_utf8(body(path)).unwrap().contains("PRIVATE"), "{path}");
    }
}

#[test]
fn a_profile_of_the_same_root_is_the_same_and_of_another_another() {
    let digits = "0123456789ABCDEF".repeat(4);
    let one = profile::of(b"der", "a <name> & more", &digits);
    assert_eq!(one, profile::of(b"der", "a <name> & more", &digits));
    assert!(one.contains("a &lt;name&gt; &amp; more"), "{one}");
    let identifiers = |profile: &str| -> Vec<String> {
        let parts = profile.split("<key>PayloadUUID</key>").skip(1);
        parts.map(|part| part.split(['>', '<']).nth(2).unwrap().to_owned()).collect()
    };
    let found = identifiers(&one);
    assert_eq!(found, ["01234567-89AB-8DEF-8123-456789ABCDEF"; 2]);
    let other = profile::of(b"der", "x", &format!("{}{}", "F".repeat(32), "0".repeat(32)));
    let found = identifiers(&other);
    assert!(found[0] != found[1] && found[0].len() == 36, "{found:?}");
}

#[test]
fn the_set_up_page_names_the_address_that_the_device_reached_and_loads_nothing_from_elsewhere() {
    let onboarding = onboarding();
    let page = onboarding.set_up("[::ffff:192.0.2.7]:8080".parse().unwrap());
    assert!(page.contains("http://192.0.2.7:8080<"), "{page}");
    assert!(page.contains(&onboarding.root.fingerprint));
    assert!(page.contains("Overdub interception root"));
    assert!(!page.contains("{{") && !page.contains("}}"));
    let links = page.split("=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let foreign: Vec<&str> = links.filter(|link| link.contains("//") && !link.contains("://overdub.test/")).collect();
    assert_eq!(foreign, Vec::<&str>::new());
    let (sources, shown) = (page.matches(" src=\"").count(), page.matches("&lt;certificates src=\"").count());
    assert_eq!(sources, shown);
    assert!(!page.contains("url(") && !page.contains("@import"));
    for device in ["ios", "android", "macos", "windows", "linux", "firefox", "java", "node", "python", "curl"] {
        assert!(page.contains(&format!("<details id=\"{device}\">")), "{device}");
    }
}

#[test]
fn values_are_filled_in_once_and_as_text() {
    let values = [("a", "<{{b}}>"), ("b", "it's & \"b\"")];
    assert_eq!(fill("{{a}} {{b}} {{c}} {{", &values), "&lt;{{b}}&gt; it&#39;s &amp; &quot;b&quot; {{c}} {{");
    assert_eq!(common_name("CN=Overdub root 12, O=x"), "Overdub root 12");
    assert_eq!(common_name("O=x"), "O=x");
}
