//! Redacted captures: no secret is left in any place or encoding, and what belongs together still does.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use overdub::capture::Reader;
use overdub::correlate::{Prior, correlate};
use overdub::model::{
    Body, BodySource as _, Exchange, Headers, MessageKind, Nanos, Request, Response, Side, Timing, Transport, Version,
};
use overdub::observe::Recorder;
use overdub::observe::recorder::NewMessage;
use overdub::wire::content;
use overdub::wire::identity::Sessions;
use overdub::wire::redact::{Key, Redactor, Rules};
use serde_json::json;

use crate::support::overdub;

const PASSWORD: &str = "Tr0ub4dor/&\"3\u{e4}";
const SESSION: &str = "s:9fQ2xK7mPz4RtY8w.Hj3kL5nB6vC1";
const CSRF: &str = "k3J8sPq2Lm9xWv5T";
const API_KEY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
const REFRESH: &str = "1//0gRefre5hT0kenAbCdEf";
const EMAIL: &str = "anna.smith@mail.example.org";
const BASIC_USER: &str = "deploy-bot";
const BASIC_PASSWORD: &str = "hunter2hunter2";
const CARD: &str = "4111 1111 1111 1111";
const IBAN: &str = "DE89370400440532013000";
const PHONE: &str = "+49 170 1234567";
const PIN: &str = "482913";
const SUBJECT: &str = "auth0|5f7c8ec7c33c6c004b";
const SIGNATURE: &str = "dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk0";
const TICKET: &str = "ST-1856339-aA5Yuvrxzpv8Tau1cYQ7";
const SOCKET_TOKEN: &str = "ws9tok3n7payload1";
const EVENT_TOKEN: &str = "5seT0kenInStream";
const GRPC_KEY: &str = "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY";
const XML_SECRET: &str = "xm1S3cr3tElement";
const URL_PASSWORD: &str = "p0stgr3sPazz";

const SECRETS: &[&str] = &[
    PASSWORD,
    SESSION,
    CSRF,
    API_KEY,
    REFRESH,
    EMAIL,
    BASIC_USER,
    BASIC_PASSWORD,
    CARD,
    IBAN,
    PHONE,
    PIN,
    SUBJECT,
    SIGNATURE,
    TICKET,
    SOCKET_TOKEN,
    EVENT_TOKEN,
    GRPC_KEY,
    XML_SECRET,
    URL_PASSWORD,
];

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
}

/// A secret in all the ways that it may be written.
fn forms(secret: &str) -> Vec<String> {
    let ascii: String =
        secret.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect();
    let mut forms = vec![
        secret.to_owned(),
        encoded(secret),
        encoded(&encoded(secret)),
        quoted(secret),
        quoted(secret).replace('/', "\\/"),
        ascii,
        secret.replace('&', "&amp;").replace('"', "&quot;"),
        secret.bytes().map(|b| format!("{b:02x}")).collect(),
    ];
    // Behind other bytes, base64 has it in one of three ways; its ends depend on what stands around it.
    for lead in 0..3 {
        let coded = STANDARD_NO_PAD.encode([&vec![b':'; lead], secret.as_bytes()].concat());
        let inner = coded[if lead == 0 { 0 } else { 4 }..coded.len() - 2].to_owned();
        forms.push(inner.replace('+', "-").replace('/', "_"));
        forms.push(inner);
    }
    forms.retain(|form| form.len() >= 5);
    forms
}

fn token() -> String {
    let claims = json!({"sub": SUBJECT, "email": EMAIL, "exp": 1_732_680_000, "sid": SESSION});
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    format!("{header}.{}.{SIGNATURE}", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Fields<'a> = &'a [(&'a str, &'a str)];

/// One request and its answer.
struct Turn<'a> {
    target: &'a str,
    headers: Fields<'a>,
    body: &'a [u8],
    answer_headers: Fields<'a>,
    answer: &'a [u8],
}

fn headers(fields: Fields<'_>) -> Headers {
    let mut all = Headers::default();
    fields.iter().for_each(|(name, value)| all.push(*name, *value));
    all
}

fn record(recorder: &mut Recorder, turn: &Turn<'_>, messages: &[(Side, MessageKind, &[u8])]) {
    let request = Request {
        origin: "https://shop.test".parse().unwrap(),
        method: "POST".into(),
        target: turn.target.into(),
        version: Version::Http11,
        headers: headers(turn.headers),
        body: Body::default(),
        trailers: Headers::default(),
    };
    let transport = Transport {
        client: ([10, 0, 0, 1], 4000).into(),
        client_connection: 1,
        upstream_connection: None,
        stream: None,
        tls: None,
        alpn: None,
        sni: None,
    };
    let mut draft = recorder.begin(request, Timing::default(), transport).unwrap();
    for piece in turn.body.chunks(13) {
        recorder.body(&mut draft, Side::Request, piece).unwrap();
    }
    let answer = Response {
        version: Version::Http11,
        status: 200,
        reason: b"OK".to_vec(),
        headers: headers(turn.answer_headers),
        body: Body::default(),
        trailers: headers(&[("x-trailing-token", CSRF)]),
    };
    recorder.response(&mut draft, answer);
    let (most, last) = turn.answer.split_at(turn.answer.len() / 2);
    recorder.body(&mut draft, Side::Response, most).unwrap();
    recorder.last_of_body(&mut draft, Side::Response, last).unwrap();
    for (from, kind, payload) in messages {
        let message = NewMessage {
            from: *from,
            kind: *kind,
            started: Nanos(1),
            ended: Nanos(2),
            frames: 1,
            payload,
            compressed: false,
        };
        recorder.message(&mut draft, message).unwrap();
    }
    recorder.finish(draft).unwrap();
}

fn redactor() -> Redactor {
    Redactor::new(Key::new(&[42; 32]), Rules::default())
}

/// A capture in which every secret stands in several places.
fn write_everything(path: &Path, redactor: Option<Redactor>) {
    let mut recorder = Recorder::create(path, "test", 0, Sessions::default()).unwrap().redacting(redactor);
    let token = token();
    let page = format!(
        "<html><meta name=\"csrf-token\" content=\"{CSRF}\"><form><input name=csrf_token type=hidden value='{CSRF}'>\
         <a href=\"/go?ticket={}&amp;x=1\">{EMAIL}</a><script>var APP={{\"apiKey\":\"{API_KEY}\"}};</script></form>",
        encoded(TICKET)
    );
    let compressed = gzip(page.as_bytes());
    record(
        &mut recorder,
        &Turn {
            target: "/login",
            headers: &[
                ("User-Agent", "test"),
                ("Authorization", &format!("Basic {}", STANDARD.encode(format!("{BASIC_USER}:{BASIC_PASSWORD}")))),
            ],
            body: b"",
            answer_headers: &[
                ("Content-Type", "text/html"),
                ("Content-Encoding", "gzip"),
                ("Content-Length", &compressed.len().to_string()),
                ("Set-Cookie", &format!("sid={}; Path=/; HttpOnly", encoded(SESSION))),
            ],
            answer: &compressed,
        },
        &[],
    );
    let form = format!(
        "csrf_token={CSRF}&email={}&password={}&pin={PIN}&card={}&iban={IBAN}&phone={}",
        encoded(EMAIL),
        encoded(PASSWORD),
        encoded(CARD),
        encoded(PHONE)
    );
    let tokens = json!({"access_token": token, "refresh_token": REFRESH, "user": {"sub": SUBJECT, "mail": EMAIL}});
    record(
        &mut recorder,
        &Turn {
            target: &format!("/login?ticket={TICKET}&mail={EMAIL}"),
            headers: &[
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Cookie", &format!("theme=dark; sid={}", encoded(SESSION))),
            ],
            body: form.as_bytes(),
            answer_headers: &[("Content-Type", "application/json"), ("Location", &format!("/in?ticket={TICKET}"))],
            answer: tokens.to_string().as_bytes(),
        },
        &[],
    );
    let nested = json!({"log": format!("{{\"password\":\"{}\",\"url\":\"postgres://app:{URL_PASSWORD}@db/x?k={}\"}}", quoted(PASSWORD), encoded(REFRESH))});
    let multipart = format!(
        "--B\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{}\r\n--B\r\nContent-Disposition: form-data; \
         name=\"api_key\"\r\n\r\n{API_KEY}\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.xml\"\r\n\r\n\
         <a><Secret>{XML_SECRET}</Secret></a>\r\n--B--\r\n",
        STANDARD.encode(nested.to_string())
    );
    let zstd = zstd::stream::encode_all(format!("{nested} {CARD} {IBAN} {PHONE} {XML_SECRET}").as_bytes(), 3).unwrap();
    record(
        &mut recorder,
        &Turn {
            target: &format!("/users/{}/{CSRF}", encoded(SUBJECT)),
            headers: &[
                ("Content-Type", "multipart/form-data; boundary=B"),
                ("Authorization", &format!("Bearer {token}")),
                ("X-Api-Key", API_KEY),
                ("Referer", &format!("https://shop.test/login?ticket={TICKET}&mail={}", encoded(EMAIL))),
            ],
            body: multipart.as_bytes(),
            answer_headers: &[("Content-Type", "application/json"), ("Content-Encoding", "zstd")],
            answer: &zstd,
        },
        &[],
    );
    let event = format!("event: auth\ndata: {{\"token\":\"{EVENT_TOKEN}\",\"for\":\"{SUBJECT}\"}}\n\n");
    let grpc = format!("\0\0\0\0\x30\x0a\x2e{{\"api_key\":\"{GRPC_KEY}\"}}");
    record(
        &mut recorder,
        &Turn {
            target: "/socket",
            headers: &[],
            body: grpc.as_bytes(),
            answer_headers: &[("Content-Type", "text/event-stream")],
            answer: event.as_bytes(),
        },
        &[
            (Side::Request, MessageKind::Text, format!("{{\"auth\":{{\"token\":\"{SOCKET_TOKEN}\"}}}}").as_bytes()),
            (Side::Response, MessageKind::Binary, format!("\0\x01{SOCKET_TOKEN}\0{PASSWORD}").as_bytes()),
            (Side::Response, MessageKind::Event, event.as_bytes()),
            (Side::Request, MessageKind::Grpc, &grpc.as_bytes()[5..]),
        ],
    );
    let finished = recorder.close().unwrap();
    if let Some(tally) = finished.redacted {
        assert_eq!((tally.late, tally.left_out, tally.forgotten), (0, 0, 0), "{tally:?}");
        assert!(tally.values > 40, "{tally:?}");
    }
}

/// Everything that a reader gives back, bodies decoded.
fn everything(path: &Path) -> Vec<u8> {
    let reader = Reader::open_checked(path).unwrap();
    let mut all = format!("{:?}\n{:?}\n", reader.provenance(), reader.sessions()).into_bytes();
    let mut add = |bytes: &[u8]| {
        all.extend_from_slice(bytes);
        all.push(b'\n');
    };
    for exchange in reader.exchanges() {
        let exchange = exchange.unwrap();
        add(&exchange.request.target);
        add(format!("{:?} {:?} {:?}", exchange.remarks, exchange.incomplete, exchange.transaction).as_bytes());
        let mut side = |headers: &Headers, body: &Body, trailers: &Headers| {
            headers.0.iter().chain(&trailers.0).for_each(|(name, value)| add(&[name, &b": "[..], value].concat()));
            let bytes = reader.load(body, 1 << 30).unwrap();
            add(&bytes);
            add(&content::decode(headers.text("content-encoding").unwrap_or(""), &bytes, 1 << 30).unwrap());
        };
        side(&exchange.request.headers, &exchange.request.body, &exchange.request.trailers);
        if let Some(response) = &exchange.response {
            side(&response.headers, &response.body, &response.trailers);
        }
        for message in reader.messages(exchange.id).unwrap() {
            add(&reader.load(&message.body, 1 << 30).unwrap());
        }
    }
    all
}

fn leaks(bytes: &[u8]) -> Vec<String> {
    let all = SECRETS.iter().flat_map(|secret| forms(secret));
    all.filter(|form| memchr::memmem::find(bytes, form.as_bytes()).is_some()).collect()
}

#[test]
fn no_secret_is_left_in_any_place_or_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, redacted) = (dir.path().join("plain.dub"), dir.path().join("redacted.dub"));
    write_everything(&plain, None);
    write_everything(&redacted, Some(redactor()));
    let before = everything(&plain);
    for secret in SECRETS {
        let seen = forms(secret).iter().any(|form| memchr::memmem::find(&before, form.as_bytes()).is_some());
        assert!(seen, "{secret} is in the traffic");
    }
    assert_eq!(leaks(&everything(&redacted)), [""; 0]);
    assert_eq!(leaks(&fs::read(&redacted).unwrap()), [""; 0]);
    let reader = Reader::open(&redacted).unwrap();
    for (old, new) in Reader::open(&plain).unwrap().exchanges().zip(reader.exchanges()) {
        let (old, new): (Exchange, Exchange) = (old.unwrap(), new.unwrap());
        assert_eq!(old.request.target.len(), new.request.target.len());
        assert_eq!(old.session, new.session);
        let coded = new.response.as_ref().unwrap().headers.text("content-length").map(str::to_owned);
        if let Some(length) = coded {
            assert_eq!(length, new.response.unwrap().body.len.to_string());
        }
    }
}

#[test]
fn a_redacted_journey_correlates_as_the_plain_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo-one-user.dub");
    let source = Reader::open(&source).unwrap();
    let copy = |name: &str, redactor: Option<Redactor>| -> PathBuf {
        let path = dir.path().join(name);
        let mut recorder = Recorder::create(&path, "copy", 0, Sessions::default()).unwrap().redacting(redactor);
        for exchange in source.exchanges() {
            let exchange = exchange.unwrap();
            let (request, timing, transport) = (exchange.request.clone(), exchange.timing, exchange.transport.clone());
            let body = source.load(&request.body, 1 << 30).unwrap();
            let mut draft = recorder.begin(request, timing, transport).unwrap();
            recorder.body(&mut draft, Side::Request, &body).unwrap();
            if let Some(response) = exchange.response {
                let body = source.load(&response.body, 1 << 30).unwrap();
                recorder.response(&mut draft, response);
                recorder.body(&mut draft, Side::Response, &body).unwrap();
            }
            recorder.finish(draft).unwrap();
        }
        recorder.close().unwrap();
        path
    };
    let rules = |path: &Path| {
        let reader = Reader::open(path).unwrap();
        let sessions: Vec<_> = reader.sessions().iter().map(|s| reader.session(s.info.id).unwrap()).collect();
        let rules = correlate(&sessions, &reader, None, Prior::KnownTokens);
        let variables: Vec<String> =
            rules.variables.iter().map(|rule| format!("{} {:?} {:?}", rule.name, rule.from, rule.into)).collect();
        (variables, rules.generators.len(), rules.unexplained.len())
    };
    let (plain, redacted) = (copy("plain.dub", None), copy("redacted.dub", Some(redactor())));
    let (found, expected) = (rules(&redacted), rules(&plain));
    assert!(expected.0.len() >= 5, "{expected:?}");
    assert_eq!(found, expected);
    let text = everything(&redacted);
    let form = String::from_utf8_lossy(&everything(&plain)).into_owned();
    let password = form.split("password=").nth(1).unwrap().split(['&', '\n']).next().unwrap().to_owned();
    assert!(password.len() > 5 && memchr::memmem::find(&text, password.as_bytes()).is_none(), "{password}");
}

fn har(dir: &Path) -> PathBuf {
    let entry = |at: u32, url: &str, headers: serde_json::Value, post: serde_json::Value, text: &str| {
        let mut entry = json!({
            "startedDateTime": format!("2025-01-01T10:00:{at:02}.000Z"), "time": 5, "cache": {},
            "timings": {"send": 1, "wait": 3, "receive": 1},
            "request": {"method": "GET", "url": url, "httpVersion": "HTTP/1.1", "cookies": [], "headers": headers,
                        "queryString": [], "headersSize": -1, "bodySize": -1},
            "response": {"status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1", "cookies": [],
                         "headers": [{"name": "Content-Type", "value": "text/html"}], "redirectURL": "",
                         "content": {"size": text.len(), "mimeType": "text/html", "text": text}, "headersSize": -1, "bodySize": -1}
        });
        if !post.is_null() {
            entry["request"]["method"] = json!("POST");
            entry["request"]["postData"] = post;
        }
        entry
    };
    let form = json!({"mimeType": "application/x-www-form-urlencoded", "text": format!("user=x&order_ref=ABC-77123&password={}", encoded(PASSWORD))});
    let entries = [
        // Nothing here says that this is a secret; the next request does.
        entry(1, "http://shop.test/", json!([]), json!(null), &format!("<body data-boot=\"{API_KEY}\">")),
        entry(2, "http://shop.test/a", json!([{"name": "X-Api-Key", "value": API_KEY}]), form, "ok"),
    ];
    let har = json!({"log": {"version": "1.2", "creator": {"name": "t", "version": "1"}, "entries": entries}});
    let path = dir.join("in.har");
    fs::write(&path, har.to_string()).unwrap();
    path
}

fn import(dir: &Path, output: &str, flags: &[&str]) -> (PathBuf, std::process::Output) {
    let done = overdub().current_dir(dir).args(["import", "in.har", "-o", output]).args(flags).output().unwrap();
    (dir.join(output), done)
}

#[test]
fn an_import_redacts_what_it_learns_of_too_late_by_reading_twice() {
    let dir = tempfile::tempdir().unwrap();
    har(dir.path());
    fs::write(dir.path().join("overdub.toml"), "[redact]\nnames = [\"order_ref\"]\nkeep = [\"user\"]\n").unwrap();
    let (path, done) = import(dir.path(), "out.dub", &["--redact"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(said.contains("redacted: pseudonyms stand in ") && !said.contains("may stand unredacted"), "{said}");
    let all = everything(&path);
    assert_eq!(leaks(&all), [""; 0]);
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(!all.contains("ABC-77123") && all.contains("in.har, redacted") && all.contains("user=x&"), "{all}");
    let boot = all.split("data-boot=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(all.contains(&format!("X-Api-Key: {boot}")), "equal stays equal: {all}");
}

#[test]
fn pseudonyms_are_equal_under_one_key_and_a_wrong_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    har(dir.path());
    let key = "0123456789abcdef".repeat(4);
    fs::write(dir.path().join("key"), &key).unwrap();
    fs::write(dir.path().join("short"), "0123").unwrap();
    let of = |output: &str, flags: &[&str]| {
        let (path, done) = import(dir.path(), output, flags);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let bytes = fs::read(&path).unwrap();
        assert!(memchr::memmem::find(&bytes, key.as_bytes()).is_none());
        everything(&path)
    };
    let (a, b) = (of("a.dub", &["--redact-key-file", "key"]), of("b.dub", &["--redact", "--redact-key-file", "key"]));
    let random = of("c.dub", &["--redact"]);
    assert!(a == b && a != random);
    assert!(memchr::memmem::find(&a, key.as_bytes()).is_none());
    let (_, done) = import(dir.path(), "d.dub", &["--redact-key-file", "short"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("64 hexadecimal digits"));
    fs::write(dir.path().join("overdub.toml"), "[redact]\npatterns = [\"(\"]\n").unwrap();
    let (_, done) = import(dir.path(), "e.dub", &["--redact"]);
    assert_eq!(done.status.code(), Some(2));
}
