//! Dialogues: what a redactor makes of texts, heads and bodies.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::levels::Levels;
use super::*;
use crate::model::{Body, Headers, Nanos, Origin, Timing, Transport, Version};
use crate::wire::content;

/// Length at which bodies are worked on.
const BLOCK: usize = 32 * 1024;

fn redactor() -> Redactor {
    Redactor::new(Key::new(&[9; 32]), Rules::default())
}

impl Redactor {
    fn read(&mut self, text: &str, language: Language, from_server: bool) -> String {
        let edited = self.whole(text.as_bytes(), Context::of(language, from_server));
        assert_eq!(edited.bytes.len(), text.len());
        String::from_utf8(edited.bytes).unwrap()
    }

    fn sent(&mut self, text: &str) -> String {
        self.read(text, Language::Form, false)
    }

    fn answered(&mut self, text: &str) -> String {
        self.read(text, Language::Page, true)
    }
}

fn exchange(target: &str, request: &[(&str, &str)], response: &[(&str, &str)]) -> Exchange {
    let headers = |all: &[(&str, &str)]| {
        Headers(all.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
    };
    Exchange {
        id: Default::default(),
        session: Default::default(),
        transaction: None,
        request: Request {
            origin: "https://shop.test".parse::<Origin>().unwrap(),
            method: "POST".into(),
            target: target.into(),
            version: Version::Http11,
            headers: headers(request),
            body: Body::default(),
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: Some(Response {
            version: Version::Http11,
            status: 200,
            reason: b"OK".to_vec(),
            headers: headers(response),
            body: Body::default(),
            trailers: Headers::default(),
        }),
        timing: Timing { started: Nanos(0), ..Timing::default() },
        transport: Transport {
            client: ([127, 0, 0, 1], 1).into(),
            client_connection: 1,
            upstream_connection: None,
            stream: None,
            tls: None,
            alpn: None,
            sni: None,
        },
        incomplete: None,
        remarks: Vec::new(),
    }
}

fn through(redactor: &mut Redactor, exchange: &mut Exchange, side: Side, body: &[u8], piece: usize) -> Vec<u8> {
    let mut editor = redactor.body(exchange, side);
    let mut out = Vec::new();
    body.chunks(piece).for_each(|piece| editor.push(redactor, piece, Haste::None, &mut out));
    let last = redactor.last_of_body(editor, exchange, side);
    out.extend_from_slice(&last.rest);
    let length = out.len() as u64;
    if let (Side::Response, Some(response)) = (side, &mut exchange.response) {
        last.tell_length(&mut response.headers, length);
    }
    out
}

#[test]
fn a_value_is_the_same_pseudonym_in_every_encoding() {
    let mut redactor = redactor();
    let secret = "pa55/w\u{f6}rd \"x\"";
    let form = redactor.sent("password=pa55%2Fw%C3%B6rd%20%22x%22&q=1");
    let plain = {
        let decoded = Levels::of(form.as_bytes());
        String::from_utf8(decoded.top().to_vec()).unwrap()
    };
    let new = plain.strip_prefix("password=").unwrap().strip_suffix("&q=1").unwrap().to_owned();
    assert_ne!(new, secret);
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let html = |text: &str| text.replace('"', "&quot;");
    let escaped = |text: &str| json(text).replace('\u{f6}', "\\u00f6").replace('/', "\\/");
    for encode in [&json as &dyn Fn(&str) -> String, &html, &|text| json(&json(text)), &|text| {
        STANDARD.encode(format!("{{\"v\":{}}}", json(text)))
    }] {
        let text = format!("<i>{}</i>", encode(secret));
        assert_eq!(redactor.answered(&text), format!("<i>{}</i>", encode(&new)));
    }
    let text = escaped(secret);
    let levels = redactor.answered(&text);
    assert_eq!(serde_json::from_str::<String>(&levels).unwrap(), new);
}
#[test]
fn what_is_known_is_found_in_urls_paths_bodies_and_words_are_left() {
    let mut redactor = redactor();
    let page =
        redactor.answered("<input type=\"hidden\" name=\"csrf_token\" value=\"k3J8sPq2Lm9x\"> csrf admin password");
    assert!(
        page.starts_with("<input type=\"hidden\" name=\"csrf_token\" value=\"")
            && page.ends_with("\"> csrf admin password")
    );
    let new = page[46..58].to_owned();
    for text in ["/a/{}/b", "/?x={}", "{\"x\":\"{}\"}", "v1.{}.sig", "xx{}xx"] {
        assert_eq!(redactor.sent(&text.replace("{}", "k3J8sPq2Lm9x")), text.replace("{}", &new));
    }
}

#[test]
fn credentials_are_taken_apart() {
    let mut redactor = redactor();
    let basic = STANDARD.encode("anna.smith:hunter2hunter");
    let mut ex = exchange("/", &[("Authorization", &format!("Basic {basic}"))], &[]);
    redactor.exchange(&mut ex);
    let value = ex.request.headers.text("authorization").unwrap().strip_prefix("Basic ").unwrap().to_owned();
    let decoded = String::from_utf8(STANDARD.decode(value).unwrap()).unwrap();
    let (user, password) = decoded.split_once(':').unwrap();
    assert_eq!(redactor.sent("username=anna.smith&x=hunter2hunter"), format!("username={user}&x={password}"));

    let aws = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20250101/eu/s3/aws4_request, SignedHeaders=host;x-date, Signature=fe5f80f77d5fa3be";
    let mut ex = exchange("/", &[("Authorization", aws)], &[]);
    redactor.exchange(&mut ex);
    let value = ex.request.headers.text("authorization").unwrap();
    assert!(
        value.starts_with("AWS4-HMAC-SHA256 Credential=")
            && value.contains("/20250101/eu/s3/aws4_request, SignedHeaders=host;x-date, Signature=")
    );
    assert!(!value.contains("AKIAIOSFODNN7EXAMPLE") && !value.contains("fe5f80f77d5fa3be"));
}

#[test]
fn cookies_keep_their_names_and_attributes_and_follow_their_values() {
    let mut redactor = redactor();
    let set = "sid=s%3Ak3J8sPq2Lm9xQ.abcdefgh12345; Path=/; HttpOnly";
    let mut first = exchange("/", &[], &[("Set-Cookie", set), ("Set-Cookie", "theme=dark; Path=/")]);
    redactor.exchange(&mut first);
    let given: Vec<String> =
        first.response.unwrap().headers.all("set-cookie").map(|v| String::from_utf8(v.to_vec()).unwrap()).collect();
    assert!(given[0].starts_with("sid=") && given[0].contains("%3A") && given[0].ends_with("; Path=/; HttpOnly"));
    assert!(!given[0].contains("k3J8sPq2Lm9xQ"));
    assert_eq!(given[1], "theme=dark; Path=/");
    let sid = given[0].split(';').next().unwrap();
    let mut second = exchange("/", &[("Cookie", "theme=dark; sid=s%3Ak3J8sPq2Lm9xQ.abcdefgh12345")], &[]);
    redactor.exchange(&mut second);
    assert_eq!(second.request.headers.text("cookie").unwrap(), format!("theme=dark; {sid}"));
    let parts = "PREF=ID=765870cb5ff303a3:TM=12:S=tFGcUUKdZTTlFhg8; NID=10=jMYWNkozslA4UaRu8zyF; q=\"Zk3J8sPq2Lm9xQ\"; u=%7B%22token%22%3A%22ab12%22%7D";
    let mut third = exchange("/", &[("Cookie", parts)], &[]);
    redactor.exchange(&mut third);
    let value = third.request.headers.text("cookie").unwrap();
    assert!(value.starts_with("PREF=ID=") && value.contains(":TM=12:S=") && value.contains("; NID=10="), "{value}");
    assert!(value.contains("; u=%7B%22token%22%3A%22") && value.len() == parts.len());
    for secret in ["765870cb5ff303a3", "tFGcUUKdZTTlFhg8", "jMYWNkozslA4UaRu8zyF", "Zk3J8s", "ab12"] {
        assert!(!value.contains(secret), "{value}");
    }
    let alone = redactor.sent("/x?y=k3J8sPq2Lm9xQ");
    assert!(sid.contains(&alone[5..]), "{alone} in {sid}");
}

#[test]
fn a_json_web_token_stays_one_and_says_nothing_of_whom() {
    let mut redactor = redactor();
    let claims = r#"{"sub":"user-4711","email":"anna@shop.example","exp":1732680000,"roles":["buyer"]}"#;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let token =
        format!("{header}.{}.{}", URL_SAFE_NO_PAD.encode(claims), "dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk0");
    let answer = redactor.read(&format!("{{\"access_token\":\"{token}\"}}"), Language::Data, true);
    let new = &answer[17..answer.len() - 2];
    assert_eq!(new.len(), token.len());
    let parts: Vec<&str> = new.split('.').collect();
    assert_eq!(parts[0], header);
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&decoded).unwrap();
    assert_eq!((value["exp"].as_u64(), value["roles"][0].as_str()), (Some(1_732_680_000), Some("buyer")));
    assert!(value["sub"].as_str().unwrap().starts_with(|c: char| c.is_lowercase()) && value["sub"] != "user-4711");
    assert!(value["email"].as_str().unwrap().ends_with(".test"));
    assert!(!parts[2].contains("dBjftJeZ4CVPmB92K27uhbUJU1p1r"));
    let mut ex = exchange("/", &[("Authorization", &format!("Bearer {token}"))], &[]);
    redactor.exchange(&mut ex);
    assert_eq!(ex.request.headers.text("authorization").unwrap(), format!("Bearer {new}"));
    assert_eq!(redactor.read(r#"{"id":"user-4711"}"#, Language::Data, true), format!("{{\"id\":{}}}", value["sub"]));
}

#[test]
fn a_body_cut_anywhere_gives_the_same_as_a_whole_one() {
    let filler = "<p>Lorem ipsum dolor sit amet, consectetur</p>\n".repeat(900);
    let body = format!(
        "{filler}<input name=\"csrf_token\" value=\"k3J8sPq2Lm9x\">{filler}<a href=\"/x/k3J8sPq2Lm9x?mail=anna%40shop.example\">{filler}"
    );
    let whole = {
        let mut redactor = redactor();
        let edited = redactor.answered(&body);
        assert!(!edited.contains("k3J8sPq2Lm9x") && !edited.contains("anna"));
        edited
    };
    for piece in [1, 7, 1000, 8192, 65_536, body.len()] {
        let mut redactor = redactor();
        let mut ex = exchange("/", &[], &[("Content-Type", "text/html")]);
        let out = through(&mut redactor, &mut ex, Side::Response, body.as_bytes(), piece);
        assert!(out == whole.as_bytes(), "in pieces of {piece}");
    }
}

#[test]
fn secrets_at_every_place_around_the_cut_are_replaced() {
    for shift in (0..12_000).step_by(97) {
        let mut redactor = redactor();
        let mut ex = exchange("/", &[], &[("Content-Type", "application/json")]);
        let token = "t0K".repeat(600);
        let mut body = "x".repeat(BLOCK - 6000 + shift);
        body.push_str(&format!("{{\"token\":\"{token}\"}}"));
        body.push_str(&"y".repeat(30_000));
        let out = through(&mut redactor, &mut ex, Side::Response, body.as_bytes(), 4000);
        assert_eq!(out.len(), body.len());
        assert!(memchr::memmem::find(&out, b"t0Kt0Kt0K").is_none(), "shift {shift}");
    }
}

#[test]
fn values_longer_than_what_is_held_back_are_replaced_to_their_end() {
    for (before, after) in [("{\"SAMLResponse\":\"", "\",\"a\":\"plain\"}"), ("<p>x&token=", "&a=plain"), ("", "")] {
        let mut redactor = redactor();
        let mut ex = exchange("/", &[("Content-Type", "application/x-www-form-urlencoded")], &[]);
        let body = format!("{before}{}{after}", "s3cr3tW0rd".repeat(if before.is_empty() { 0 } else { 20_000 }));
        let out = through(&mut redactor, &mut ex, Side::Request, body.as_bytes(), 5000);
        assert_eq!(out.len(), body.len());
        assert!(memchr::memmem::find(&out, b"s3cr3tW0rd").is_none(), "{before}");
        assert!(out.starts_with(before.as_bytes()) && out.ends_with(after.as_bytes()), "{before}");
    }
}

#[test]
fn bodies_that_were_cut_short_or_are_no_ascii_leak_nothing() {
    for body in [
        "{\"password\":\"k3J8sPq2Lm9x",
        "x=1&password=k3J8sPq2Lm9x",
        "<Token>k3J8sPq2Lm9x",
        "--B\r\nContent-Disposition: form-data; name=\"pin\"\r\n\r\nk3J8sPq2Lm9x",
    ] {
        let mut ex = exchange("/", &[], &[]);
        let out = through(&mut redactor(), &mut ex, Side::Request, body.as_bytes(), 6);
        assert!(out.len() == body.len() && memchr::memmem::find(&out, b"k3J8sPq2Lm9x").is_none(), "{body}");
    }
    let wide: Vec<u8> = "\u{feff}password=k3J8".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut ex = exchange("/", &[], &[]);
    assert!(through(&mut redactor(), &mut ex, Side::Request, &wide, 100).is_empty());
    let mut ex = exchange("/", &[("Content-Type", "text/plain; charset=UTF-16")], &[]);
    assert!(through(&mut redactor(), &mut ex, Side::Request, &wide[2..], 100).is_empty());
    assert!(matches!(ex.remarks[0], crate::model::Remark::BodyAbsent { .. }));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn coded_bodies_decode_again_and_tell_their_length() {
    let text = "{\"password\":\"k3J8sPq2Lm9x\"}".repeat(200);
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    for (coding, body) in [
        ("gzip", gzip(text.as_bytes())),
        ("deflate", zlib),
        ("zstd", zstd::stream::encode_all(text.as_bytes(), 3).unwrap()),
    ] {
        let mut redactor = redactor();
        let length = body.len().to_string();
        let fields =
            [("Content-Type", "application/json"), ("Content-Encoding", coding), ("Content-Length", length.as_str())];
        let mut ex = exchange("/", &[], &fields);
        let out = through(&mut redactor, &mut ex, Side::Response, &body, 50);
        let plain = String::from_utf8(content::decode(coding, &out, 1 << 20).unwrap()).unwrap();
        assert_eq!(plain.len(), text.len());
        assert!(!plain.contains("k3J8sPq2Lm9x") && plain.starts_with("{\"password\":\""));
        assert_eq!(ex.response.unwrap().headers.text("content-length").unwrap(), out.len().to_string());
        assert!(ex.incomplete.is_none() && ex.remarks.is_empty());
    }
}

#[test]
fn coded_bodies_without_secrets_stay_byte_for_byte() {
    let body = gzip(b"body{color:red}");
    let mut ex = exchange("/", &[], &[("Content-Type", "text/css"), ("Content-Encoding", "gzip")]);
    assert_eq!(through(&mut redactor(), &mut ex, Side::Response, &body, 3), body);
}

#[test]
fn what_cannot_be_coded_or_read_says_so() {
    // A brotli stream of one stored block.
    let inner = b"{\"password\":\"k3J8sPq2Lm9x\"}";
    let header = (u32::try_from(inner.len() - 1).unwrap() << 4) | (1 << 20);
    let mut brotli = header.to_le_bytes()[..3].to_vec();
    brotli.extend_from_slice(inner);
    brotli.push(3);
    let fields = [("Content-Type", "application/json"), ("Content-Encoding", "br"), ("Content-Length", "31")];
    let mut ex = exchange("/", &[], &fields);
    let out = through(&mut redactor(), &mut ex, Side::Response, &brotli, 5);
    assert!(out.starts_with(b"{\"password\":\"") && out.len() == inner.len());
    let headers = &ex.response.as_ref().unwrap().headers;
    assert_eq!((headers.text("content-encoding"), headers.text("content-length")), (None, Some("27")));
    assert!(matches!(ex.remarks.as_slice(), [crate::model::Remark::Other(_)]));

    let mut ex = exchange("/", &[("Content-Encoding", "compress")], &[]);
    let mut redactor = redactor();
    assert!(through(&mut redactor, &mut ex, Side::Request, b"password=k3J8sPq2Lm9x", 5).is_empty());
    assert!(ex.remarks.contains(&crate::model::Remark::BodyAbsent { side: Side::Request, bytes: 21 }));
    assert_eq!(redactor.tally().left_out, 1);

    // A gzip body of one stored block, and a block of no kind there is.
    let first = b"{\"token\":\"k3J8sPq2Lm9x\"}";
    let length = u16::try_from(first.len()).unwrap();
    let mut damaged = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0];
    damaged.extend_from_slice(&length.to_le_bytes());
    damaged.extend_from_slice(&(!length).to_le_bytes());
    damaged.extend_from_slice(first);
    damaged.extend_from_slice(b"\x07k3J8sPq2Lm9x");
    let mut ex = exchange("/", &[], &[("Content-Encoding", "gzip")]);
    let out = through(&mut redactor, &mut ex, Side::Response, &damaged, 9);
    assert!(ex.incomplete.is_some());
    let kept = content::decode("gzip", &out, 1 << 20).unwrap();
    assert!(kept.len() <= first.len());
    assert!(memchr::memmem::find(&kept, b"k3J8sPq2Lm9x").is_none());

    let mut ex = exchange("/", &[], &[("Content-Encoding", "gzip"), ("Content-Type", "text/html")]);
    let out = through(&mut redactor, &mut ex, Side::Response, b"<p token=\"k3J8sPq2Lm9x\">no gzip", 4);
    assert!(out.ends_with(b"\">no gzip") && memchr::memmem::find(&out, b"k3J8sPq2Lm9x").is_none());
}

#[test]
fn pictures_lose_known_secrets_and_nothing_else() {
    let mut redactor = redactor();
    redactor.sent("password=k3J8sPq2Lm9x");
    let mut ex = exchange("/", &[], &[("Content-Type", "image/png")]);
    let body = b"\x89PNG token=abcdef0123 anna@shop.example k3J8sPq2Lm9x\0\0\0";
    let out = through(&mut redactor, &mut ex, Side::Response, body, 11);
    assert!(out.starts_with(b"\x89PNG token=abcdef0123 anna@shop.example ") && out.ends_with(b"\0\0\0"));
    assert!(memchr::memmem::find(&out, b"k3J8sPq2Lm9x").is_none());
}

#[test]
fn compressed_messages_are_not_kept_and_others_keep_their_length() {
    let mut redactor = redactor();
    assert_eq!(redactor.message(b"\x1f\x8b", Side::Request, true), None);
    let payload = b"\0\x0a\x11anna@shop.example{\"token\":\"k3J8sPq2Lm9x\"}";
    let new = redactor.message(payload, Side::Request, false).unwrap();
    assert_eq!((new.len(), &new[..3]), (payload.len(), &payload[..3]));
    assert!(memchr::memmem::find(&new, b"anna@").is_none() && memchr::memmem::find(&new, b"k3J8sPq2Lm9x").is_none());
}

#[test]
fn secrets_that_came_too_late_are_counted_and_a_second_pass_has_none() {
    let mut redactor = redactor();
    let pass = |redactor: &mut Redactor| {
        let mut ex = exchange("/", &[("X-Api-Key", "k3J8sPq2Lm9x")], &[("Content-Type", "text/html")]);
        let out = through(redactor, &mut ex, Side::Response, b"<p data-x=\"k3J8sPq2Lm9x\">", 100);
        redactor.exchange(&mut ex);
        (memchr::memmem::find(&out, b"k3J8sPq2Lm9x").is_some(), redactor.tally().late)
    };
    assert_eq!(pass(&mut redactor), (true, 1));
    redactor.again();
    assert_eq!(pass(&mut redactor), (false, 0));
}

#[test]
fn rules_of_the_user_name_keep_and_match() {
    let mut rules = Rules::default();
    rules.name("order_key").unwrap();
    rules.keep("theme_token").unwrap();
    rules.pattern(r"ref-([0-9]{6})").unwrap();
    let mut redactor = Redactor::new(Key::new(&[1; 32]), rules);
    let out = redactor.sent("order_key=abc99&theme_token=blue77&x=ref-123456");
    assert!(!out.contains("abc99") && out.contains("&theme_token=blue77&x=ref-") && !out.contains("123456"), "{out}");
}

#[test]
fn hostile_bodies_keep_their_length_in_pieces_of_any_size() {
    let seeds: [&[u8]; 5] = [
        b"{\"token\":\"",
        b"k3J8sPq2Lm9xk3J8sPq2Lm9x",
        b"\",\"a\":\"%7B%22pin%22%3A%22",
        b"<input name=pin value='anna@shop.example'> 4111 1111 1111 1111\r\n",
        b"&password=\\u00fc\xff\0\0ey",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for haste in [Haste::None, Haste::Memory] {
        for _ in 0..3 {
            let mut body = Vec::new();
            while body.len() < 90_000 {
                let piece = seeds[random(5)];
                (0..random(400) + 1).for_each(|_| body.extend_from_slice(piece));
            }
            let mut redactor = redactor();
            let mut ex = exchange("/", &[], &[("Content-Type", "text/html")]);
            let mut editor = redactor.body(&ex, Side::Response);
            let mut out = Vec::new();
            let mut rest = body.as_slice();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(random(30_000) + 1));
                editor.push(&mut redactor, piece, haste, &mut out);
                rest = behind;
            }
            out.extend(redactor.last_of_body(editor, &mut ex, Side::Response).rest);
            assert_eq!(out.len(), body.len());
            assert!(
                memchr::memmem::find(&out, b"anna@shop").is_none()
                    && memchr::memmem::find(&out, b"4111 1111 1111 1111").is_none()
            );
        }
    }
}

#[test]
fn hostile_texts_end_in_texts_of_the_same_length() {
    let seeds: [&[u8]; 4] = [
        b"password=%25%32%35&token=\\ud83d\\udc&#x110000;&#99999999999;eyJhbGciOiJub25lIn0.e30.x@y.zz",
        b"Basic dXNlcjpwYXNzd29yZA==\\\\\\\\\"\\\"token\\\":\\\"a\\\\\"",
        b"{\"token\":[\"a\",\"\xff\xfe\"],\"pin\":123,//u:p@h <token>x</token> name=\"pin\" value='",
        b"4111 1111 1111 1111 DE89370400440532013000 +491701234567 a@b.cc%40%c3%bc",
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut redactor = redactor();
    for round in 0..1000 {
        let mut text = [seeds[round % 4], seeds[random(4)]].concat();
        for _ in 0..random(6) {
            let at = random(text.len());
            text[at] = u8::try_from(random(256)).unwrap();
        }
        text.truncate(random(text.len()) + 1);
        for language in [Language::Form, Language::Data, Language::Page, Language::Code] {
            let edited = redactor.whole(&text, Context::of(language, round % 2 == 0));
            assert_eq!(edited.bytes.len(), text.len());
        }
    }
}
