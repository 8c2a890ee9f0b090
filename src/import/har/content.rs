//! What an entry holds of bodies, and of the response around one.
//!
//! Continues [`Import`].

use std::io::{Read, Seek};

use super::body::{self, Held};
use super::charset::{Charset, charset_of, is_latin};
use super::entry::{Import, Seen, interim, listed};
use super::json::Value;
use super::{HarError, fields, form, messages};
use crate::model::{Body, Incomplete, Remark, Response, Side, Version};
use crate::observe::Draft;

impl<R: Read + Seek> Import<'_, R> {
    pub(super) fn request_body(&mut self, draft: &mut Draft, seen: Seen<'_>) -> Result<(), HarError> {
        let post = seen.request.get("postData");
        let stated = draft.exchange.request.headers.text("content-length").and_then(|text| text.trim().parse().ok());
        let counted = seen.request.get("bodySize").and_then(Value::count).filter(|bytes| *bytes > 0);
        let length: Option<u64> = stated.or(counted);
        let text = post.and_then(|post| if post.is_string() { Some(post) } else { post.get("text") });
        if let Some(text) = text.filter(|text| seen.text.length(*text) > 0) {
            let post = post.unwrap_or(text);
            let held = if is_base64(post) { Held::Base64 } else { Held::Text(self.meant(seen, text, length)?) };
            self.copy(draft, Side::Request, seen, text, held)?;
        } else if let Some(bytes) = post.and_then(|post| rebuilt_form(draft, seen, post, length)) {
            self.recorder.body(draft, Side::Request, &bytes)?;
            let remark = "the request body was made from the source's list of parameters";
            draft.exchange.remarks.push(Remark::Other(remark.to_owned()));
        } else {
            let elsewhere = post.is_some_and(|post| post.any(&["_file", "_sha1"]).is_some());
            if elsewhere || length.is_some_and(|length| length > 0) {
                self.absent(draft, Side::Request, length.unwrap_or(0));
            }
            return Ok(());
        }
        let held = draft.body_bytes(Side::Request);
        if let Some(length) = stated.filter(|length| *length != held) {
            let remark = format!("the source holds {held} bytes of the request body, which states {length}");
            draft.exchange.remarks.push(Remark::Other(remark));
        }
        Ok(())
    }

    /// How the text of a request body was sent: what gives the length that the request states.
    fn meant(&mut self, seen: Seen<'_>, text: Value<'_>, length: Option<u64>) -> Result<Charset, HarError> {
        let Some(length) = length else { return Ok(Charset::Utf8) };
        let gauge = body::gauge(&mut self.loader, seen.text, text)?;
        Ok(match gauge.utf8 == length || gauge.characters != length {
            true => Charset::Utf8,
            false if gauge.is_bytes => Charset::Latin { windows: false },
            false if gauge.is_windows => Charset::Latin { windows: true },
            false => Charset::Utf8,
        })
    }

    pub(super) fn response(&mut self, draft: &mut Draft, seen: Seen<'_>, version: Version) -> Result<(), HarError> {
        let Some((response, status)) = seen.response else { return Ok(()) };
        let version = fields::version(response).unwrap_or(version);
        let mut headers = fields::fields(response).headers;
        if matches!(version, Version::Http2 | Version::Http3) {
            fields::without_http1(&mut headers, "");
        }
        if headers.first("set-cookie").is_none() {
            for cookie in fields::set_cookies_of(response, seen.request) {
                headers.push(if version == Version::Http2 { "set-cookie" } else { "Set-Cookie" }, cookie);
                let remark = "a Set-Cookie field was made from the source's list of cookies";
                draft.exchange.remarks.push(Remark::Other(remark.to_owned()));
            }
        }
        let reason = response.get("statusText").and_then(Value::text).unwrap_or_default();
        let answer = Response {
            version,
            status,
            reason: reason.trim().as_bytes().to_vec(),
            headers,
            body: Body::default(),
            trailers: listed(response, "_overdub_trailers"),
        };
        draft.exchange.interim = interim(response, version);
        self.recorder.response(draft, answer);
        self.response_body(draft, seen, response, status)
    }

    fn response_body(
        &mut self,
        draft: &mut Draft,
        seen: Seen<'_>,
        response: Value<'_>,
        status: u16,
    ) -> Result<(), HarError> {
        let content = response.get("content");
        let text = content.and_then(|content| content.get("text")).filter(|text| text.is_string());
        let text = text.filter(|text| seen.text.length(*text) > 0);
        let bodyless = status < 200 || status == 204 || status == 304 || draft.exchange.request.method == "HEAD";
        if bodyless {
            if text.is_some() {
                let remark = "the source holds a body that was not sent with this response";
                draft.exchange.remarks.push(Remark::Other(remark.to_owned()));
            }
            return Ok(());
        }
        let Some((text, content)) = text.zip(content) else {
            return self.without_text(draft, seen, response, content);
        };
        let held = if is_base64(content) { Held::Base64 } else { self.charset(draft, seen, content, text)? };
        let copied = self.copy(draft, Side::Response, seen, text, held)?;
        let count = |value: Option<Value<'_>>| value.and_then(Value::count);
        let sent = count(response.get("bodySize")) == Some(draft.body_bytes(Side::Response))
            || count(content.get("compression")) == Some(0);
        let coded = held == Held::Base64 && copied.start == [0x1f, 0x8b] && sent;
        let coded = coded || content.get("_overdub_encoded").is_some_and(Value::is_true);
        if let Some(response) = draft.exchange.response.as_mut().filter(|_| !coded)
            && let Some(coding) = response.headers.text("content-encoding").map(str::to_owned)
        {
            response.headers.0.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-encoding"));
            draft.exchange.remarks.push(Remark::Other(format!("the source held the body decoded from {coding}")));
        }
        Ok(())
    }

    /// The charset that the text of a response was decoded from.
    fn charset(
        &mut self,
        draft: &mut Draft,
        seen: Seen<'_>,
        content: Value<'_>,
        text: Value<'_>,
    ) -> Result<Held, HarError> {
        let response = draft.exchange.response.as_ref();
        let media_type = response.and_then(|response| response.headers.text("content-type")).map(str::to_owned);
        let media_type = media_type.or_else(|| Some(content.get("mimeType")?.text()?.into_owned()));
        let name = media_type.as_deref().and_then(charset_of);
        let Some(name) = name.filter(|name| !matches!(name.as_str(), "utf-8" | "utf8")) else {
            return Ok(Held::Text(Charset::Utf8));
        };
        let gauge = body::gauge(&mut self.loader, seen.text, text)?;
        if gauge.is_ascii() {
            return Ok(Held::Text(Charset::Utf8));
        }
        let size = content.get("size").and_then(Value::count);
        let by_size = size != Some(gauge.utf8) || gauge.utf8 == gauge.characters;
        if is_latin(&name) && gauge.is_windows && by_size {
            return Ok(Held::Text(Charset::Latin { windows: true }));
        }
        if is_latin(&name) && gauge.is_bytes && by_size {
            return Ok(Held::Text(Charset::Latin { windows: false }));
        }
        let remark = format!("the source held the body as text; it is stored in UTF-8, not in {name}");
        draft.exchange.remarks.push(Remark::Other(remark));
        Ok(Held::Text(Charset::Utf8))
    }

    /// There is no text: the body was empty, stands in the list of events, or was left out.
    fn without_text(
        &mut self,
        draft: &mut Draft,
        seen: Seen<'_>,
        response: Value<'_>,
        content: Option<Value<'_>>,
    ) -> Result<(), HarError> {
        let events = seen.entry.get("_eventSourceMessages").into_iter().flat_map(Value::items);
        let mut rebuilt = false;
        for told in events.filter_map(messages::event) {
            self.recorder.body(draft, Side::Response, &told.payload)?;
            rebuilt = true;
        }
        if rebuilt {
            let remark = "the response body was made from the source's list of events";
            draft.exchange.remarks.push(Remark::Other(remark.to_owned()));
            return Ok(());
        }
        let count = |value: Option<Value<'_>>| value.and_then(Value::count);
        let size = count(content.and_then(|content| content.get("size")));
        let sent = count(response.get("bodySize"));
        let answer = draft.exchange.response.as_ref();
        let length = answer.and_then(|answer| answer.headers.text("content-length")?.trim().parse().ok());
        let said = content.is_some_and(|content| {
            content.get("comment").and_then(Value::words).is_some() || content.any(&["_file", "_sha1"]).is_some()
        });
        let text_is_empty = content.is_some_and(|content| content.has("text"));
        let empty = size == Some(0) || size.is_none() && (text_is_empty || length == Some(0));
        if said || !empty || sent.unwrap_or(0) > 0 && !text_is_empty {
            self.absent(draft, Side::Response, size.filter(|size| *size > 0).or(length).or(sent).unwrap_or(0));
        }
        Ok(())
    }

    fn absent(&mut self, draft: &mut Draft, side: Side, bytes: u64) {
        draft.exchange.remarks.push(Remark::BodyAbsent { side, bytes });
        self.summary.absent_bodies[usize::from(side == Side::Response)] += 1;
    }

    fn copy(
        &mut self,
        draft: &mut Draft,
        side: Side,
        seen: Seen<'_>,
        text: Value<'_>,
        held: Held,
    ) -> Result<body::Copied, HarError> {
        let recorder = &mut *self.recorder;
        let copied =
            body::copy(&mut self.loader, seen.text, text, held, |bytes| Ok(recorder.body(draft, side, bytes)?))?;
        let who = if side == Side::Request { "request" } else { "response" };
        if copied.repaired {
            let remark = format!("the text of the {who} body has half characters, which are stored as U+FFFD");
            draft.exchange.remarks.push(Remark::Other(remark));
        }
        if copied.damaged {
            draft.exchange.remarks.push(Remark::Gap { side, at: draft.body_bytes(side), bytes: 0 });
            let why = format!("the base64 of the {who} body is damaged");
            draft.exchange.incomplete = Some(Incomplete::NotRecorded(why));
        }
        Ok(copied)
    }
}

fn is_base64(holder: Value<'_>) -> bool {
    let encoding = holder.any(&["encoding", "_encoding"]).and_then(Value::text);
    encoding.is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("base64"))
}

fn rebuilt_form(draft: &Draft, seen: Seen<'_>, post: Value<'_>, length: Option<u64>) -> Option<Vec<u8>> {
    let params = post.get("params")?;
    let told = post.get("mimeType").and_then(Value::text).unwrap_or_default();
    let media_type = draft.exchange.request.headers.text("content-type").unwrap_or(&told);
    form::rebuilt(seen.text, params, media_type, length)
}
