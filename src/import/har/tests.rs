//! Whole files in, exchanges out.

use std::io::Cursor;

use super::*;
use crate::capture::Reader;
use crate::model::{BodySource as _, Exchange, Incomplete, Nanos, Remark, Side, Version};
use crate::wire::identity::Sessions;

struct Imported {
    survey: Survey,
    summary: Summary,
    reader: Reader,
    exchanges: Vec<Exchange>,
}

impl Imported {
    fn request_body(&self, at: usize) -> String {
        self.body(&self.exchanges[at].request.body)
    }

    fn response_body(&self, at: usize) -> String {
        self.body(&self.exchanges[at].response.as_ref().unwrap().body)
    }

    fn body(&self, body: &crate::model::Body) -> String {
        self.reader.load(body, 1 << 30).unwrap().iter().map(|byte| char::from(*byte)).collect()
    }
}

fn import_bytes(bytes: &[u8], config: Config) -> Result<Imported, HarError> {
    let survey = survey(&mut Cursor::new(bytes))?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("x.dub");
    let mut recorder = Recorder::create(&path, "har x.har", survey.anchor, Sessions::default())?;
    let summary = import(Cursor::new(bytes), &survey, config, &mut recorder)?;
    recorder.close()?;
    let reader = Reader::open_checked(&path)?;
    let exchanges = reader.exchanges().collect::<Result<Vec<_>, _>>()?;
    Ok(Imported { survey, summary, reader, exchanges })
}

fn import_entries(entries: &str) -> Imported {
    let text = format!(r#"{{"log":{{"version":"1.2","creator":{{"name":"x","version":"1"}},"entries":[{entries}]}}}}"#);
    import_bytes(text.as_bytes(), Config::default()).unwrap()
}

/// An entry at this second with parts of a request and a response.
fn entry(second: u32, request: &str, response: &str) -> String {
    format!(
        r#"{{"startedDateTime":"2026-11-23T18:17:{second:02}Z","time":5,"request":{{"method":"GET","url":"https://shop.test/{second}"{request}}},
        "response":{{"status":200,"statusText":"OK","httpVersion":"HTTP/1.1","content":{{"size":2,"text":"ok"}}{response}}},
        "timings":{{"send":1,"wait":2,"receive":2}}}}"#
    )
}

#[test]
fn an_entry_becomes_an_exchange() {
    let got = import_entries(
        r#"{"startedDateTime":"2026-11-23T18:17:26.500Z","time":60,"connection":"77","_securityDetails":{"protocol":"TLS 1.3"},
        "request":{"method":"POST","url":"https://shop.test/a?b=c#d","httpVersion":"h2",
        "headers":[{"name":":path","value":"/a?b=c"},{"name":":authority","value":"shop.test"},{"name":"Host","value":"shop.test"},{"name":"Content-Type","value":"text/plain"},{"name":"content-length","value":"3"}],
        "postData":{"mimeType":"text/plain","text":"a\u00e4"}},
        "response":{"status":200,"httpVersion":"h2","headers":[{"name":"content-encoding","value":"gzip"},{"name":"set-cookie","value":"a=1\nb=2"}],
        "content":{"size":5,"mimeType":"text/html","text":"aGVsbG8=","encoding":"base64"}},
        "timings":{"blocked":2.5,"dns":1,"connect":20,"ssl":15,"send":0.25,"wait":30,"receive":5}}"#,
    );
    let exchange = &got.exchanges[0];
    assert_eq!(exchange.request.url(), "https://shop.test/a?b=c");
    assert_eq!(exchange.request.version, Version::Http2);
    assert_eq!(exchange.request.headers.0.len(), 2, "pseudo-header fields and the shown Host are gone");
    assert_eq!(exchange.request.headers.text("content-type"), Some("text/plain"));
    assert_eq!(got.request_body(0), "a\u{c3}\u{a4}");
    let response = exchange.response.as_ref().unwrap();
    assert_eq!(response.headers.all("set-cookie").collect::<Vec<_>>(), [b"a=1", b"b=2"]);
    assert_eq!(response.headers.first("content-encoding"), None);
    assert_eq!(got.response_body(0), "hello");
    assert_eq!(exchange.remarks, [Remark::Other("the source held the body decoded from gzip".into())]);
    assert_eq!(exchange.timing.started, Nanos(2_500_000), "behind the browser's queue");
    assert_eq!(exchange.timing.upstream_sent, Some(Nanos(23_500_000)));
    assert_eq!(exchange.timing.upstream_first, Some(Nanos(53_750_000)));
    assert_eq!(exchange.timing.finished, Nanos(58_750_000));
    let transport = &exchange.transport;
    assert_eq!((transport.tls.as_deref(), transport.alpn.as_deref()), (Some("TLSv1.3"), Some("h2")));
    assert_eq!(exchange.incomplete, None);
    assert_eq!(got.reader.provenance().anchor_unix_ns, 1_795_457_846_500_000_000);
    assert_eq!(got.summary.without_connection, 0);
}

#[test]
fn exchanges_are_numbered_as_they_began_and_pages_are_transactions() {
    let entries = [entry(30, "", ""), entry(10, "", ""), entry(20, "", "")].join(",\n");
    let entries = entries.replacen(r#""time":5"#, r#""time":5,"pageref":"p1""#, 1);
    let entries =
        entries.replacen(r#""startedDateTime":"2026-11-23T18:17:20Z","#, r#""pageref":"p2","timings":{"blocked":"#, 1);
    let entries = entries.replace(r#""timings":{"blocked":"#, r#""startedDateTime":"2026-11-23T18:17:20Z","#);
    for text in [
        format!(
            r#"{{"log":{{"pages":[{{"id":"p1","title":" Check out "}},{{"id":"p2","title":""}}],"entries":[{entries}]}}}}"#
        ),
        format!(
            r#"{{"log":{{"entries":[{entries}],"pages":[{{"id":"p1","title":"Check out"}},{{"title":null,"id":"p2"}}]}}}}"#
        ),
        format!(r#"{{"entries":[{entries}],"pages":[{{"id":"p1","title":"Check out"}}]}}"#),
    ] {
        let got = import_bytes(text.as_bytes(), Config::default()).unwrap();
        let seen: Vec<_> =
            got.exchanges.iter().map(|e| (e.id.0, e.request.target.clone(), e.transaction.clone())).collect();
        let page = |name: &str| Some(name.to_owned());
        assert_eq!(
            seen,
            [(1, b"/10".to_vec(), None), (2, b"/20".to_vec(), page("p2")), (3, b"/30".to_vec(), page("Check out"))]
        );
    }
}

#[test]
fn entries_that_went_nowhere_or_got_nothing_are_told() {
    let entries = [
        entry(1, "", r#","_transferSize":0"#),
        entry(2, "", r#","_transferSize":0,"redirectURL":"/x""#).replace(":200", ":302"),
        entry(3, "", "").replace("https://shop.test", "blob:https://shop.test"),
        entry(4, "", r#","_error":"net::ERR_ABORTED""#).replace(":200", ":0"),
        entry(5, "", "").replace(":200", ":-1"),
        entry(6, "", r#","_transferSize":0"#).replace(":200", ":304"),
        entry(7, "", "").replace("https://shop.test/7", "shop.test"),
        entry(8, "", "").replace("GET", "CONNECT"),
        "7".to_owned(),
        "{}".to_owned(),
    ];
    let got = import_entries(&entries.join(","));
    let summary = &got.summary;
    assert_eq!((summary.entries, summary.exchanges, summary.unanswered, summary.not_from_network), (10, 4, 2, 1));
    assert_eq!(summary.elsewhere, BTreeMap::from([("blob".to_owned(), 1), ("CONNECT".to_owned(), 1)]));
    assert_eq!(summary.unreadable.count, 3);
    assert_eq!(got.exchanges[1].incomplete, Some(Incomplete::Client("net::ERR_ABORTED".into())));
    assert!(matches!(got.exchanges[2].incomplete, Some(Incomplete::NotRecorded(_))));
    let text = format!(r#"{{"log":{{"entries":[{}]}}}}"#, entries.join(","));
    let kept = import_bytes(text.as_bytes(), Config { cached: Cached::Keep }).unwrap();
    assert_eq!((kept.summary.exchanges, kept.summary.not_from_network), (5, 0));
}

#[test]
fn bodies_that_are_not_in_the_file_are_marked_and_empty_ones_are_not() {
    let with = |content: &str, more: &str| entry(1, "", more).replace(r#"{"size":2,"text":"ok"}"#, content);
    for (entry, absent) in [
        (with(r#"{"size":20}"#, ""), Some(20)),
        (with(r#"{"size":20,"text":"","comment":"body left out"}"#, ""), Some(20)),
        (with(r#"{"mimeType":"image/png","comment":"Response bodies are not included."}"#, ""), Some(0)),
        (with(r#"{"size":7,"_file":"a.png"}"#, ""), Some(7)),
        (with(r#"{"size":0,"mimeType":""}"#, ""), None),
        (with(r#"{"size":0,"text":""}"#, ""), None),
        (with(r#"{"size":20}"#, "").replace("GET", "HEAD"), None),
        (with(r#"{"size":20,"text":"x"}"#, "").replace(":200", ":304"), None),
    ] {
        let got = import_entries(&entry);
        let bytes = got.exchanges[0].remarks.iter().find_map(|remark| match remark {
            Remark::BodyAbsent { side: Side::Response, bytes } => Some(*bytes),
            _ => None,
        });
        assert_eq!(bytes, absent, "{entry}");
        assert_eq!(got.summary.absent_bodies, [0, u64::from(absent.is_some())]);
    }
    let upload = import_entries(&entry(1, r#","headers":[["Content-Length","9120"]]"#, ""));
    assert_eq!(upload.exchanges[0].remarks, [Remark::BodyAbsent { side: Side::Request, bytes: 9120 }]);
}

#[test]
fn request_bodies_are_the_bytes_that_their_length_says() {
    let post = |headers: &str, data: &str| entry(1, &format!(r#","headers":[{headers}],"postData":{data}"#), "");
    for (headers, data, body) in [
        (r#"["Content-Length","2"]"#, r#"{"text":"\u00e4"}"#, "\u{c3}\u{a4}"),
        (r#"["Content-Length","1"]"#, r#"{"text":"\u00e4"}"#, "\u{e4}"),
        (r#"["Content-Length","4"]"#, r#"{"text":"GIF\u0089"}"#, "GIF\u{89}"),
        ("", r#"{"text":"\u00e4"}"#, "\u{c3}\u{a4}"),
        ("", r#"{"text":"AP8=","encoding":"base64"}"#, "\u{0}\u{ff}"),
        ("", r#""bare""#, "bare"),
        (
            r#"["Content-Type","application/x-www-form-urlencoded"]"#,
            r#"{"params":[{"name":"a","value":"b c"}]}"#,
            "a=b+c",
        ),
    ] {
        let got = import_entries(&post(headers, data));
        assert_eq!(got.request_body(0), body, "{headers} {data}");
    }
    let short = import_entries(&post(r#"["Content-Length","9"]"#, r#"{"text":"abc"}"#));
    assert!(matches!(&short.exchanges[0].remarks[..], [Remark::Other(text)] if text.contains("3 bytes")));
}

#[test]
fn text_bodies_are_stored_in_their_charset_and_never_fail() {
    let with = |media_type: &str, content: &str| {
        let more = format!(r#","headers":[["Content-Type","{media_type}"]]"#);
        entry(1, "", &more).replace(r#"{"size":2,"text":"ok"}"#, content)
    };
    for (media_type, content, body, remarks) in [
        ("text/html; charset=iso-8859-1", r#"{"text":"\u00e4\u20ac"}"#, "\u{e4}\u{80}", 0),
        ("text/html; charset=iso-8859-1", r#"{"text":"\u4e2d"}"#, "\u{e4}\u{b8}\u{ad}", 1),
        ("text/html; charset=shift_jis", r#"{"text":"\u00e4"}"#, "\u{c3}\u{a4}", 1),
        ("text/html; charset=shift_jis", r#"{"text":"a"}"#, "a", 0),
        ("text/html", r#"{"text":"\u00e4"}"#, "\u{c3}\u{a4}", 0),
        ("text/html", r#"{"text":"\ud800x"}"#, "\u{ef}\u{bf}\u{bd}x", 1),
        ("image/png", r#"{"text":"AP8*","encoding":"base64"}"#, "\u{0}\u{ff}", 1),
    ] {
        let got = import_entries(&with(media_type, content));
        assert_eq!(got.response_body(0), body, "{media_type} {content}");
        assert_eq!(got.exchanges[0].remarks.len(), remarks, "{:?}", got.exchanges[0].remarks);
    }
}

#[test]
fn a_body_that_is_still_compressed_keeps_its_coding() {
    let gzip = |more: &str| {
        let headers = r#","headers":[["Content-Encoding","gzip"]]"#;
        let content = format!(r#"{{"text":"H4sIAAAA","encoding":"base64"{more}}}"#);
        entry(1, "", headers).replace(r#"{"size":2,"text":"ok"}"#, &content)
    };
    for (more, kept) in [(r#","compression":0"#, true), ("", false)] {
        let got = import_entries(&gzip(more));
        let headers = &got.exchanges[0].response.as_ref().unwrap().headers;
        assert_eq!(headers.first("content-encoding").is_some(), kept);
    }
}

#[test]
fn a_damaged_file_is_imported_up_to_the_damage() {
    let whole = format!("{{\"log\":{{\"entries\":[\n{},\n{}]}}}}", entry(1, "", ""), entry(2, "", ""));
    let first = whole.find("},\n{").unwrap() + 1;
    for cut in (first..whole.len()).step_by(7) {
        let got = import_bytes(&whole.as_bytes()[..cut], Config::default()).unwrap();
        let damage = got.summary.damage.as_ref().unwrap();
        assert_eq!((damage.byte, damage.what.as_str()), (cut as u64, "the file ends in the middle"));
        assert!(got.exchanges.len() == 1 || cut > whole.len() - 4);
        assert_eq!(damage.line, 1 + whole[..cut].matches('\n').count() as u64);
    }
    let broken = whole.replacen("},\n{", "},\n\u{1}{", 1);
    let got = import_bytes(broken.as_bytes(), Config::default()).unwrap();
    assert_eq!(got.exchanges.len(), 1);
    assert!(got.survey.damage.unwrap().to_string().starts_with("unexpected byte 0x01 at line 5 column 1"));
    for other in ["", "x", "[]", "{}", "{\"log\":{}}", "{\"log\":[]}", "<html>", "null"] {
        assert!(matches!(import_bytes(other.as_bytes(), Config::default()), Err(HarError::NotHar)), "{other}");
    }
    assert_eq!(import_bytes(b"{\"log\":{\"entries\":[]}}", Config::default()).unwrap().summary, Summary::default());
}

#[test]
fn sockets_have_messages_or_are_upgrades() {
    let socket = |more: &str| {
        let upgraded =
            entry(1, "", r#","headers":[["Upgrade","websocket"]]"#).replace(":200", ":101").replace("https:", "wss:");
        upgraded.replacen('{', &format!("{{{more}"), 1)
    };
    let messages = r#""_webSocketMessages":[{"type":"send","time":1795457821.25,"opcode":1,"data":"hi"},{"type":"receive","time":1795457822.5,"opcode":2,"data":"AP8="},{"type":"error"}],"#;
    let got = import_entries(&socket(messages));
    assert_eq!(got.summary.messages, 2);
    assert_eq!(got.exchanges[0].incomplete, None);
    assert_eq!(got.exchanges[0].request.url(), "https://shop.test/1");
    assert_eq!(got.exchanges[0].timing.finished, Nanos(1_500_000_000), "the last message");
    let silent = import_entries(&socket(""));
    assert_eq!(silent.exchanges[0].incomplete, Some(Incomplete::Upgraded("websocket".into())));
    let events = entry(1, "", "").replacen('{', r#"{"_eventSourceMessages":[{"time":1795457821,"data":"x"}],"#, 1);
    let got = import_entries(&events.replace(r#","text":"ok""#, ""));
    assert_eq!((got.response_body(0).as_str(), got.summary.messages), ("data: x\n\n", 1));
}

#[test]
fn undated_entries_follow_the_one_before_them() {
    let undated = entry(9, "", "").replace("2026-11-23T18:17:09Z", "soon");
    let got = import_entries(&[entry(1, "", ""), undated, entry(2, "", "")].join(","));
    let targets: Vec<_> =
        got.exchanges.iter().map(|e| String::from_utf8_lossy(&e.request.target).into_owned()).collect();
    assert_eq!(targets, ["/1", "/9", "/2"]);
    assert_eq!(got.summary.undated, 1);
}

#[test]
fn mutated_files_are_imported_or_refused() {
    let rich = import_source();
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::create(&dir.path().join("x.dub"), "har", 0, Sessions::default()).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for _ in 0..3000 {
        let mut bytes = rich.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = u8::try_from(random(256)).unwrap(),
                2 => bytes[at] = b"\"{}[],:\\-0e"[random(11)],
                _ => {
                    let to = (at + random(40)).min(bytes.len());
                    let piece = bytes[at..to].to_vec();
                    let into = random(bytes.len());
                    bytes.splice(into..into, piece);
                }
            }
        }
        if let Ok(survey) = survey(&mut Cursor::new(&bytes)) {
            import(Cursor::new(&bytes), &survey, Config { cached: Cached::Keep }, &mut recorder).unwrap();
        }
    }
}

fn import_source() -> Vec<u8> {
    let entries = [
        entry(3, r#","cookies":[{"name":"a","value":"1"}],"postData":{"mimeType":"multipart/form-data; boundary=B","params":[{"name":"f","fileName":"x","value":"AP8="}]}"#, r#","headers":{"A":["1","2"]}"#),
        entry(2, r#","headers":[["Content-Length","3"]],"postData":{"text":"\u00e4\ud83d\ude00","params":[]}"#, r#","_error":"net::X","cookies":[{"name":"a","value":"1","expires":"2026-11-23T18:17:26Z"}]"#),
        entry(1, "", "").replacen('{', r#"{"_webSocketMessages":[{"type":"send","time":1.5,"opcode":2,"data":"AP8="}],"_eventSourceMessages":[{"data":"x"}],"#, 1),
    ];
    let text = format!(
        r#"{{"log":{{"version":"1.2","creator":{{"name":"Firefox","version":"1"}},"pages":[{{"id":"p","title":"t"}}],"entries":[{}]}}}}"#,
        entries.join(",")
    );
    text.into_bytes()
}
