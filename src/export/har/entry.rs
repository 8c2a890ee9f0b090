//! One exchange becomes one entry.
//!
//! Every field that readers insist on is there: `postData.text` (developer tools show its absence as a text), numbers for
//! sizes and times, an object for `cache`. Main type: [`Export`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::body::{self, Shown};
use super::{ExportError, Options, Summary, clock, fields, messages, page_id, timing};
use crate::capture::{CaptureError, Reader};
use crate::model::{Exchange, Incomplete, Message, MessageKind, Remark, Request, Response, Scheme, Side};

/// What all entries have in common.
pub(super) struct Export<'a> {
    pub(super) reader: &'a Reader,
    pub(super) options: &'a Options,
    pub(super) anchor: u64,
    pub(super) summary: &'a mut Summary,
}

impl Export<'_> {
    /// The entry of an exchange.
    pub(super) fn entry(&mut self, exchange: &Exchange, page: Option<usize>) -> Result<Value, ExportError> {
        let messages = match self.reader.messages(exchange.id) {
            Ok(messages) => messages,
            Err(error @ (CaptureError::Io(_) | CaptureError::DiskFull(_))) => return Err(error.into()),
            Err(_) => Vec::new(),
        };
        let listed = messages::list(self.reader, &messages, self.anchor, self.options)?;
        self.summary.messages += (listed.sockets.len() + listed.events.len()) as u64;
        self.summary.bodies_left_out += listed.left_out;
        let is_socket = is_socket(exchange, &messages);
        let started = self.anchor.saturating_add(exchange.timing.started.0);
        let (timings, time) = timing::phases(&exchange.timing);
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        if let Some(page) = page {
            put("pageref", json!(page_id(page)));
        }
        put("startedDateTime", json!(clock::iso(started)));
        put("time", json!(time));
        put("request", self.request(exchange, is_socket)?);
        put("response", self.response(exchange)?);
        put("cache", json!({}));
        put("timings", timings);
        put("connection", json!(exchange.transport.client_connection.to_string()));
        if is_socket {
            put("_resourceType", json!("websocket"));
            put("_webSocketMessages", Value::Array(listed.sockets));
        }
        if !listed.events.is_empty() {
            put("_eventSourceMessages", Value::Array(listed.events));
        }
        put("_overdub_timing", timing::exact(&exchange.timing, started));
        own(exchange, &mut entry);
        Ok(Value::Object(entry))
    }

    fn request(&mut self, exchange: &Exchange, is_socket: bool) -> Result<Value, ExportError> {
        let request = &exchange.request;
        let url = url(request, is_socket);
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let line = request.method.len() + request.target.len() + " ".len() * 2 + "HTTP/1.1".len();
        let mut all = json!({
            "method": request.method,
            "url": url,
            "httpVersion": fields::version(request.version),
            "cookies": fields::sent_cookies(&request.headers),
            "headers": fields::headers(&request.headers),
            "queryString": fields::decoded_pairs(query),
            "headersSize": fields::head_size(request.version, line, &request.headers),
            "bodySize": size(request.body.len),
        });
        if !request.body.is_empty() {
            all["postData"] = self.post_data(request)?;
        }
        if !request.trailers.0.is_empty() {
            all["_overdub_trailers"] = fields::headers(&request.trailers);
        }
        if request.target.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'#')
            || !request.target.starts_with(b"/")
        {
            all["_overdub_target"] = json!(STANDARD.encode(&request.target));
        }
        Ok(all)
    }

    /// The body of a request is not decoded: its content coding is part of what is sent again.
    fn post_data(&mut self, request: &Request) -> Result<Value, ExportError> {
        let media_type = request.headers.text("content-type").unwrap_or("");
        let mut post = Map::new();
        post.insert("mimeType".to_owned(), json!(media_type));
        let raw = crate::model::Headers::default();
        match body::load(self.reader, &request.body, &raw, self.options, self.summary)? {
            Shown::Bytes { bytes, .. } => {
                let form = media_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
                if let Some(text) = std::str::from_utf8(&bytes).ok().filter(|_| form) {
                    post.insert("params".to_owned(), fields::decoded_pairs(text));
                }
                body::put_text(bytes, media_type, &mut post);
                if let Some(encoding) = post.get("encoding").cloned() {
                    post.insert("_encoding".to_owned(), encoding);
                }
            }
            Shown::LeftOut(why) => {
                post.insert("text".to_owned(), json!(""));
                post.insert("comment".to_owned(), json!(why));
            }
        }
        Ok(Value::Object(post))
    }

    fn response(&mut self, exchange: &Exchange) -> Result<Value, ExportError> {
        let error = exchange.incomplete.as_ref().filter(|why| !matches!(why, Incomplete::Upgraded(_)));
        let error = error.map(|why| why.to_string());
        let Some(response) = &exchange.response else { return Ok(no_response(error)) };
        let absent = exchange.remarks.iter().find_map(|remark| match remark {
            Remark::BodyAbsent { side: Side::Response, bytes } => Some(*bytes),
            _ => None,
        });
        let line = "HTTP/1.1 200 ".len() + response.reason.len();
        let head = fields::head_size(response.version, line, &response.headers);
        let sent = if response.status == 304 { 0 } else { size(response.body.len) };
        let mut all = json!({
            "status": response.status,
            "statusText": String::from_utf8_lossy(&response.reason),
            "httpVersion": fields::version(response.version),
            "cookies": fields::set_cookies(&response.headers),
            "headers": fields::headers(&response.headers),
            "content": self.content(response, absent)?,
            "redirectURL": String::from_utf8_lossy(response.headers.first("location").unwrap_or(b"")),
            "headersSize": head,
            "bodySize": if absent.is_some() { -1 } else { sent },
        });
        if head >= 0 && absent.is_none() {
            all["_transferSize"] = json!(head.saturating_add(sent));
        }
        if let Some(error) = error {
            all["_error"] = json!(error);
        }
        if !response.trailers.0.is_empty() {
            all["_overdub_trailers"] = fields::headers(&response.trailers);
        }
        if !exchange.interim.is_empty() {
            all["_overdub_interim"] = exchange.interim.iter().map(interim).collect();
        }
        Ok(all)
    }

    fn content(&mut self, response: &Response, absent: Option<u64>) -> Result<Value, ExportError> {
        let media_type = response.headers.text("content-type").unwrap_or("");
        let mut content = Map::new();
        let mut put = |key: &str, value: Value| content.insert(key.to_owned(), value);
        put("mimeType", json!(if media_type.is_empty() { "x-unknown" } else { media_type }));
        if let Some(bytes) = absent {
            put("size", json!(size(bytes)));
            put("comment", json!("body left out: it is not in the capture"));
            return Ok(Value::Object(content));
        }
        match body::load(self.reader, &response.body, &response.headers, self.options, self.summary)? {
            Shown::LeftOut(why) => {
                put("size", json!(size(response.body.len)));
                put("comment", json!(why));
            }
            Shown::Bytes { bytes, encoded } => {
                put("size", json!(bytes.len()));
                if bytes.len() as u64 != response.body.len {
                    put("compression", json!(size(bytes.len() as u64).saturating_sub(size(response.body.len))));
                }
                if encoded {
                    put("_overdub_encoded", json!(true));
                }
                body::put_text(bytes, media_type, &mut content);
            }
        }
        Ok(Value::Object(content))
    }
}

fn no_response(error: Option<String>) -> Value {
    json!({
        "status": 0,
        "statusText": "",
        "httpVersion": "",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": "x-unknown"},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
        "_transferSize": 0,
        "_error": error.unwrap_or_else(|| "no response".to_owned()),
    })
}

fn interim(response: &Response) -> Value {
    json!({
        "status": response.status,
        "statusText": String::from_utf8_lossy(&response.reason),
        "headers": fields::headers(&response.headers),
    })
}

/// What HAR has no word for.
fn own(exchange: &Exchange, entry: &mut Map<String, Value>) {
    let transport = &exchange.transport;
    let mut put = |key: &str, value: Value| entry.insert(format!("_overdub_{key}"), value);
    put("session", json!(exchange.session.0));
    put("client", json!(transport.client.to_string()));
    if let Some(number) = transport.upstream_connection {
        put("upstream", json!(number));
    }
    if let Some(stream) = transport.stream {
        put("stream", json!(stream));
    }
    for (key, value) in [("tls", &transport.tls), ("alpn", &transport.alpn), ("sni", &transport.sni)] {
        if let Some(value) = value {
            put(key, json!(value));
        }
    }
    if let Some(incomplete) = &exchange.incomplete {
        let (kind, why) = match incomplete {
            Incomplete::Client(why) => ("client", why.as_str()),
            Incomplete::Connect(why) => ("connect", why.as_str()),
            Incomplete::Upstream(why) => ("upstream", why.as_str()),
            Incomplete::Stopped => ("stopped", ""),
            Incomplete::NotRecorded(why) => ("not recorded", why.as_str()),
            Incomplete::Upgraded(why) => ("upgraded", why.as_str()),
        };
        put("incomplete", json!({"kind": kind, "why": why}));
    }
}

/// Whether browsers list it as a WebSocket.
fn is_socket(exchange: &Exchange, messages: &[Message]) -> bool {
    let upgrade = |response: &Response| {
        response.status == 101
            && response.headers.text("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
    };
    let socket =
        |message: &Message| !matches!(message.kind, MessageKind::Event | MessageKind::Grpc | MessageKind::Bytes);
    exchange.response.as_ref().is_some_and(upgrade) || messages.iter().any(socket)
}

/// The URL, with every byte percent-encoded that no URL has.
fn url(request: &Request, is_socket: bool) -> String {
    let scheme = match (request.origin.scheme, is_socket) {
        (Scheme::Http, false) => "http",
        (Scheme::Https, false) => "https",
        (Scheme::Http, true) => "ws",
        (Scheme::Https, true) => "wss",
    };
    let mut url = format!("{scheme}://{}", request.origin.authority());
    if !request.target.starts_with(b"/") {
        url.push('/');
    }
    for byte in &request.target {
        if byte.is_ascii_graphic() && *byte != b'#' {
            url.push(char::from(*byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
