//! Heads: targets, header fields, cookies.

use crate::model::{Exchange, Headers, Incomplete, Remark, Request, Response};

use super::Redactor;
use super::fields::{self, Language};
use super::levels::Levels;
use super::scan::Context;

/// Fields that say how a message is to be read and where it goes; they are left alone.
const OPEN_FIELDS: &[&str] = &[
    "host",
    ":authority",
    ":method",
    ":scheme",
    ":status",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "date",
    "accept",
    "accept-encoding",
    "accept-language",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "sec-websocket-key",
    "sec-websocket-accept",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "vary",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-request-headers",
];

impl Redactor {
    /// Notes the secrets of a request's head, so that they are found in what follows.
    pub(super) fn learn_from_request(&mut self, request: &Request) {
        self.target(&request.target);
        self.learn_fields(&request.headers, false);
    }

    /// Notes the secrets of a response's head.
    pub(super) fn learn_from_response(&mut self, response: &Response) {
        self.learn_fields(&response.headers, true);
    }

    fn learn_fields(&mut self, headers: &Headers, from_server: bool) {
        for (name, value) in &headers.0 {
            self.field(name, value, from_server);
        }
    }

    /// All heads of an exchange, and what else it says in words.
    pub(super) fn heads(&mut self, exchange: &mut Exchange) -> u64 {
        let mut changed = 0;
        let request = &mut exchange.request;
        let target = self.target(&request.target);
        changed += put(&mut request.target, target);
        changed += self.fields(&mut request.headers, false) + self.fields(&mut request.trailers, false);
        for response in exchange.interim.iter_mut().chain(&mut exchange.response) {
            changed += self.fields(&mut response.headers, true) + self.fields(&mut response.trailers, true);
            let reason = self.whole(&response.reason, Context::of(Language::Data, true)).bytes;
            changed += put(&mut response.reason, reason);
        }
        // Names of pages are made of what stands in them; reasons may quote what was sent.
        let reason = exchange.incomplete.as_mut().and_then(|reason| match reason {
            Incomplete::Client(text)
            | Incomplete::Connect(text)
            | Incomplete::Upstream(text)
            | Incomplete::NotRecorded(text)
            | Incomplete::Upgraded(text) => Some(text),
            Incomplete::Stopped => None,
        });
        let remarks = exchange.remarks.iter_mut().filter_map(|remark| match remark {
            Remark::Other(text) => Some(text),
            _ => None,
        });
        for text in exchange.transaction.iter_mut().chain(reason).chain(remarks) {
            changed += self.words(text);
        }
        changed
    }

    /// A text for people; it stays as it is when it would be none any more.
    pub(super) fn words(&mut self, text: &mut String) -> u64 {
        let edited = self.whole(text.as_bytes(), Context::of(Language::Data, true));
        match String::from_utf8(edited.bytes) {
            Ok(new) if new != *text => {
                *text = new;
                1
            }
            Ok(_) | Err(_) => 0,
        }
    }

    fn target(&mut self, target: &[u8]) -> Vec<u8> {
        let context = Context { begins: false, ..Context::of(Language::Form, false) };
        self.whole(target, context).bytes
    }

    fn fields(&mut self, headers: &mut Headers, from_server: bool) -> u64 {
        let mut changed = 0;
        for (name, value) in &mut headers.0 {
            let new = self.field(name, value, from_server);
            changed += put(value, new);
        }
        changed
    }

    fn field(&mut self, name: &[u8], value: &[u8], from_server: bool) -> Vec<u8> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if value.is_empty() || OPEN_FIELDS.iter().any(|known| is(known)) {
            return value.to_vec();
        }
        if is("cookie") {
            let cookies = value.split(|byte| *byte == b';').map(|cookie| self.cookie(cookie, false));
            return cookies.collect::<Vec<_>>().join(&b';');
        }
        if is("set-cookie") {
            let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
            let (cookie, attributes) = value.split_at(end);
            return [&self.cookie(cookie, true), attributes].concat();
        }
        if self.names.is_secret(&self.rules, name) {
            return self.replacement(value, true);
        }
        self.whole(value, Context::of(Language::Data, from_server)).bytes
    }

    /// `name=value`: a secret by its name or by its look; else a text.
    fn cookie(&mut self, cookie: &[u8], from_server: bool) -> Vec<u8> {
        let equals = cookie.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
        let (name, value) = cookie.split_at(equals);
        let label = name.strip_suffix(b"=").unwrap_or(name).trim_ascii();
        // RFC 6265 allows quotes around a value.
        let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        if let Some(inner) = inner {
            return [name, b"\"", &self.value_of_cookie(label, inner, from_server), b"\""].concat();
        }
        [name, &self.value_of_cookie(label, value, from_server)].concat()
    }

    fn value_of_cookie(&mut self, label: &[u8], value: &[u8], from_server: bool) -> Vec<u8> {
        let levels = Levels::of(value);
        let top = levels.top();
        let is_text = top.iter().any(|byte| b"{}\" ".contains(byte));
        let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
        let has_parts = value[..value.len() - padding].contains(&b'=');
        let by_name = self.names.is_secret(&self.rules, label);
        let by_look = fields::is_opaque(top) && !is_text && !self.rules.keeps(label);
        if value.is_empty() {
            Vec::new()
        } else if by_look && has_parts && !by_name {
            self.parts_of_cookie(value)
        } else if by_name || by_look {
            self.replacement(value, true)
        } else {
            self.whole(value, Context::of(Language::Form, from_server)).bytes
        }
    }
}

impl Redactor {
    /// `a=1:b=x9&c` and the like in the value of one cookie: each part by itself, names kept.
    fn parts_of_cookie(&mut self, value: &[u8]) -> Vec<u8> {
        let is_mark = |byte: &u8| b"&|:,".contains(byte);
        let mut new = Vec::with_capacity(value.len());
        for part in value.split_inclusive(is_mark) {
            let length = part.len() - usize::from(part.last().is_some_and(is_mark));
            let (part, mark) = part.split_at(length);
            let equals = part.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
            let (name, secret) = part.split_at(equals);
            let label = name.strip_suffix(b"=").unwrap_or(name);
            new.extend_from_slice(name);
            if fields::is_opaque(Levels::of(secret).top()) || self.names.is_secret(&self.rules, label) {
                new.extend(self.replacement(secret, true));
            } else {
                new.extend_from_slice(secret);
            }
            new.extend_from_slice(mark);
        }
        new
    }
}

/// Puts a value in the place of another; 1 when they differ.
fn put(place: &mut Vec<u8>, new: Vec<u8>) -> u64 {
    let changed = u64::from(*place != new);
    *place = new;
    changed
}
