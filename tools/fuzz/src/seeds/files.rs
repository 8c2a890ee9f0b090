//! Files of other tools made in code.

use super::dialogues::gzip;

/// HAR in the dialects that matter.
pub fn har() -> Vec<Vec<u8>> {
    let entry = |more: &str, request: &str, response: &str| {
        format!(
            "{{\"startedDateTime\":\"2024-01-02T03:04:05.678Z\",\"time\":12.5,\"pageref\":\"page_1\",{more}\"request\":{{\"method\":\"GET\",\
             \"url\":\"https://a.test/x?y=z\",\"httpVersion\":\"HTTP/2\",\"headers\":[{{\"name\":\"Cookie\",\"value\":\"a=b\"}}],\"queryString\":[],\
             \"cookies\":[],\"headersSize\":-1,\"bodySize\":0{request}}},\"response\":{{\"status\":200,\"statusText\":\"OK\",\"httpVersion\":\"http/1.1\",\
             \"headers\":[{{\"name\":\"content-type\",\"value\":\"text/html\"}}],\"cookies\":[],\"redirectURL\":\"\",\"headersSize\":20,\"bodySize\":4\
             {response}}},\"cache\":{{}},\"timings\":{{\"blocked\":1,\"dns\":-1,\"connect\":2,\"ssl\":1,\"send\":0.1,\"wait\":5,\"receive\":3}}}}"
        )
    };
    let text = ",\"content\":{\"size\":4,\"mimeType\":\"text/html\",\"text\":\"\\u00e4\\ud83d\\ude00<p>\"}";
    let base64 = ",\"content\":{\"size\":4,\"mimeType\":\"image/png\",\"encoding\":\"base64\",\"text\":\"AAECAw==\"}";
    let post = ",\"postData\":{\"mimeType\":\"application/x-www-form-urlencoded\",\"params\":[{\"name\":\"a\",\"value\":\"b c\"}],\"text\":\"a=b+c\"}";
    let form = ",\"postData\":{\"mimeType\":\"multipart/form-data; boundary=b\",\"params\":[{\"name\":\"f\",\"fileName\":\"x\",\"value\":\"1\"}]}";
    let socket = "\"_resourceType\":\"websocket\",\"_webSocketMessages\":[{\"type\":\"send\",\"time\":1704164645.7,\"opcode\":1,\"data\":\"hi\"},\
                  {\"type\":\"receive\",\"time\":1704164645.8,\"opcode\":2,\"data\":\"AAE=\"}],";
    let chrome = "\"_initiator\":{\"type\":\"script\",\"stack\":{\"callFrames\":[{\"url\":\"x\",\"lineNumber\":1}]}},\"_priority\":\"High\",\
                  \"_fromCache\":\"disk\",\"serverIPAddress\":\"[::1]\",\"connection\":\"443\",";
    let entries = [
        entry("", "", text),
        entry(chrome, post, base64),
        entry(socket, form, ""),
        entry("\"serverIPAddress\":\"10.0.0.1\",", form, text),
    ];
    let wrap = |entries: &str| {
        format!(
            "{{\"log\":{{\"version\":\"1.2\",\"creator\":{{\"name\":\"x\",\"version\":\"1\"}},\"pages\":[{{\"startedDateTime\":\"2024-01-02T03:04:05.600+01:00\",\
             \"id\":\"page_1\",\"title\":\"t\",\"pageTimings\":{{\"onLoad\":100.5}}}}],\"entries\":[{entries}]}}}}"
        )
    };
    let all = wrap(&entries.join(","));
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(all.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let mut files: Vec<Vec<u8>> = entries.iter().map(|entry| wrap(entry).into_bytes()).collect();
    files.extend([[b"\xef\xbb\xbf", all.as_bytes()].concat(), utf16, gzip(all.as_bytes()), all.into_bytes()]);
    files
}

fn net(bytes: &[u8], kind: char) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes, &[kind as u8]].concat()
}

fn dictionary(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let inner: Vec<u8> =
        pairs.iter().flat_map(|(key, value)| [net(key.as_bytes(), ';'), value.clone()].concat()).collect();
    net(&inner, '}')
}

/// mitmproxy flows: one plain, one WebSocket, one that is no HTTP.
pub fn flows() -> Vec<Vec<u8>> {
    let text = |text: &str| net(text.as_bytes(), ';');
    let data = |text: &str| net(text.as_bytes(), ',');
    let number = |number: &str| net(number.as_bytes(), '#');
    let float = |number: &str| net(number.as_bytes(), '^');
    let list = |items: &[Vec<u8>]| net(&items.concat(), ']');
    let none = || net(b"", '~');
    let fields =
        |pairs: &[(&str, &str)]| list(&pairs.iter().map(|(n, v)| list(&[data(n), data(v)])).collect::<Vec<_>>());
    let address = || list(&[text("10.0.0.1"), number("8080")]);
    let connection = |tls: &str| {
        dictionary(&[
            ("peername", address()),
            ("sockname", address()),
            ("address", address()),
            ("tls", net(tls.as_bytes(), '!')),
            ("id", text("0af5")),
            ("timestamp_start", float("1700000000.1")),
            ("timestamp_tcp_setup", float("1700000000.2")),
            ("timestamp_tls_setup", none()),
            ("timestamp_end", float("1700000009.5")),
            ("alpn", data("h2")),
            ("sni", text("a.test")),
            ("tls_version", text("TLSv1.3")),
        ])
    };
    let message = |more: Vec<(&str, Vec<u8>)>| {
        let mut pairs = vec![
            ("http_version", data("HTTP/1.1")),
            ("headers", fields(&[("host", "a.test"), ("cookie", "a=b")])),
            ("content", data("body")),
            ("trailers", none()),
            ("timestamp_start", float("1700000001.0")),
            ("timestamp_end", float("1700000001.5")),
        ];
        pairs.extend(more);
        dictionary(&pairs)
    };
    let flow = |socket: Vec<u8>, kind: &str| {
        let request = message(vec![
            ("method", data("GET")),
            ("scheme", data("https")),
            ("host", text("a.test")),
            ("port", number("443")),
            ("authority", data("")),
            ("path", data("/x")),
        ]);
        let response = message(vec![("status_code", number("200")), ("reason", data("OK"))]);
        dictionary(&[
            ("version", number("20")),
            ("type", text(kind)),
            ("id", text("f1")),
            ("error", none()),
            ("intercepted", net(b"false", '!')),
            ("client_conn", connection("true")),
            ("server_conn", connection("false")),
            ("timestamp_created", float("1700000000.9")),
            ("request", request),
            ("response", response),
            ("websocket", socket),
        ])
    };
    let said = |who: &str, kind: &str| {
        list(&[
            number(kind),
            net(who.as_bytes(), '!'),
            data("hello"),
            float("1700000002.5"),
            net(b"false", '!'),
            net(b"false", '!'),
        ])
    };
    let socket = dictionary(&[
        ("messages", list(&[said("true", "1"), said("false", "2")])),
        ("closed_by_client", net(b"true", '!')),
        ("close_code", number("1000")),
    ]);
    let (plain, socket, tcp) = (flow(none(), "http"), flow(socket, "http"), flow(none(), "tcp"));
    vec![plain.clone(), socket.clone(), [plain, socket, tcp].concat()]
}

/// GoReplay files.
pub fn payloads() -> Vec<Vec<u8>> {
    let end = "\n\u{1f435}\u{1f648}\u{1f649}\n";
    let ids = ["8e091765ae902fef8a2b7d9dd9600ee8c9d4a5b1", "9e091765ae902fef8a2b7d9dd9600ee8c9d4a5b2"];
    let request = |id: &str| {
        format!("1 {id} 1700000000000000000\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc{end}")
    };
    let chunked = |id: &str| {
        format!(
            "2 {id} 1700000000100000000 99\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{end}"
        )
    };
    let replayed =
        |id: &str| format!("3 {id} 1700000000200000000 99\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n{end}");
    let all = ids.map(|id| request(id) + &chunked(id) + &replayed(id)).concat();
    let tunnel = format!("1 {} 17\nCONNECT a:443 HTTP/1.1\r\n\r\n{end}", ids[0]);
    vec![request(ids[0]).into_bytes(), gzip(all.as_bytes()), (all + &tunnel).into_bytes()]
}

/// Bodies with the number of their coding, see [`crate::targets::CODINGS`].
pub fn coded() -> Vec<(u8, Vec<u8>)> {
    let text = "some text that repeats, some text that repeats; ".repeat(30);
    let zlib = {
        let mut encoder = flate2::read::ZlibEncoder::new(text.as_bytes(), flate2::Compression::best());
        let mut out = Vec::new();
        let _ = std::io::Read::read_to_end(&mut encoder, &mut out);
        out
    };
    // An empty block, and one with a few literals: brotli's own encoder is not among our dependencies.
    let brotli = vec![0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap_or_default();
    let raw = zlib[2..zlib.len() - 4].to_vec();
    vec![
        (0, gzip(text.as_bytes())),
        (1, zlib),
        (1, raw),
        (2, brotli),
        (3, zstd),
        (0, gzip(&[0; 1_000_000])),
        (4, text.into_bytes()),
    ]
}
