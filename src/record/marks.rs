//! Marks name transactions while recording: `POST http://overdub.test/mark` with a name, `DELETE` to end it, or a header
//! field on one request. From the request to what is to be done and said; knows no sockets.

use std::fmt;
use std::str::FromStr;

use crate::model::{Headers, Origin, Scheme};
use crate::wire::http1::RequestHead;

use super::onboarding::OWN_HOST;
use super::pages::Page;
use super::tally::{Notice, Tally};
use super::target::Route;
use super::tee::Tee;

/// Host that the proxy answers for itself.
/// Path of marks on it.
pub const MARK_PATH: &str = "/mark";
/// Names the transaction of one exchange; goes neither to the server nor into the capture.
pub(super) const FIELD: &[u8] = b"x-overdub-transaction";
/// Longest body that is read for a mark.
pub(super) const BODY_BYTES: usize = 4096;
/// Longest name, in characters.
const LABEL_CHARS: usize = 200;

/// The name of a transaction: one line of text, neither empty nor long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

/// Why a text is no name for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Nothing but white space.
    #[error("a transaction needs a name")]
    Empty,
    /// Longer than a name is.
    #[error("the name of a transaction has at most {LABEL_CHARS} characters")]
    TooLong,
    /// A line end or another control character.
    #[error("the name of a transaction is one line without control characters")]
    Control,
    /// Bytes that are no text.
    #[error("the name of a transaction is UTF-8 text")]
    Encoding,
}

impl Label {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What somebody wrote, made a name as well as it goes: without control characters, cut; none when nothing is left.
    pub fn lossy(value: &[u8]) -> Option<Self> {
        let text: String = String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).collect();
        let short: String = text.trim().chars().take(LABEL_CHARS).collect();
        (!short.is_empty()).then_some(Self(short))
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        match text.trim() {
            "" => Err(LabelError::Empty),
            text if text.chars().any(char::is_control) => Err(LabelError::Control),
            text if text.chars().nth(LABEL_CHARS).is_some() => Err(LabelError::TooLong),
            text => Ok(Self(text.to_owned())),
        }
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What becomes of the exchanges that begin from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// They belong to this transaction.
    Begin(Label),
    /// They belong to none.
    End,
}

impl Mark {
    /// The label that exchanges get.
    pub(super) fn label(&self) -> Option<String> {
        match self {
            Self::Begin(label) => Some(label.0.clone()),
            Self::End => None,
        }
    }

    /// What we say when it was set.
    pub(super) fn answer(&self) -> Page {
        Page::plain(
            "200 OK",
            match self {
                Self::Begin(label) => format!("What begins from now on belongs to the transaction \"{label}\".\n"),
                Self::End => "What begins from now on belongs to no transaction.\n".to_owned(),
            },
        )
    }
}

/// Why a mark is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Anyone who can reach the proxy could change the recording.
    #[error("marks are set from the machine that records only")]
    Remote,
    /// Some web page asks, not the tester.
    #[error("web pages of other sites cannot set marks")]
    OtherSite,
    #[error("POST with a name sets a mark, DELETE ends it")]
    Method,
    #[error("{0}")]
    Label(#[from] LabelError),
    /// The writer thread takes nothing more.
    #[error("the disk cannot keep up; try again")]
    Busy,
}

impl Refusal {
    /// As a page.
    pub(super) fn page(self) -> Page {
        let status = match self {
            Self::Remote | Self::OtherSite => "403 Forbidden",
            Self::Method => "405 Method Not Allowed",
            Self::Label(_) => "400 Bad Request",
            Self::Busy => "503 Service Unavailable",
        };
        Page::plain(status, format!("{self}.\n"))
    }
}

/// Sets a mark and tells the operator. False when the writer thread takes nothing more.
pub(super) fn set(tee: &Tee, tally: &Tally, mark: Mark) -> bool {
    let set = tee.mark(mark.label());
    if set {
        tally.notice(Notice::Marked(mark));
    }
    set
}

/// The same, asked over HTTP: what we say to it.
pub(super) fn answer(tee: &Tee, tally: &Tally, mark: Mark) -> Page {
    let done = mark.answer();
    if set(tee, tally, mark) { done } else { Refusal::Busy.page() }
}

/// What the field names, if it is there.
pub(super) fn named(headers: &Headers) -> Option<Vec<u8>> {
    headers.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(FIELD)).map(|(_, value)| value.clone())
}

/// Whether a request is about marks: for the proxy's own host, named as to a proxy or as to a server.
pub(super) fn concerns(head: &RequestHead, route: &Route) -> bool {
    let Ok(target) = std::str::from_utf8(&head.target) else { return false };
    let (host, path) = if target.starts_with('/') {
        let host = match route {
            Route::Fixed(origin) if origin.host == OWN_HOST => Some(origin.clone()),
            _ => head.headers.text("host").and_then(|host| Origin::from_authority(Scheme::Http, host).ok()),
        };
        (host, target)
    } else {
        let rest = target.split_once("://").map_or("", |(_, rest)| rest);
        (target.parse::<Origin>().ok(), rest.find('/').map_or("", |at| &rest[at..]))
    };
    host.is_some_and(|origin| origin.host == OWN_HOST) && path.split(['?', '#']).next() == Some(MARK_PATH)
}

/// What a request about marks wants. `body` is none when it is longer than [`BODY_BYTES`] or broke off; `near` is true when
/// nobody but this machine's users can have sent it.
pub(super) fn understand(head: &RequestHead, body: Option<&[u8]>, near: bool) -> Result<Mark, Refusal> {
    if !near {
        return Err(Refusal::Remote);
    }
    // Browsers name the page that sends a POST or DELETE (Fetch §3.2).
    let own = format!("http://{OWN_HOST}");
    if head.headers.all("origin").any(|origin| origin != own.as_bytes()) {
        return Err(Refusal::OtherSite);
    }
    match head.method.as_str() {
        "DELETE" => Ok(Mark::End),
        "POST" => {
            let body = body.ok_or(LabelError::TooLong)?;
            let text = std::str::from_utf8(body).map_err(|_| LabelError::Encoding)?;
            Ok(Mark::Begin(text.parse::<Label>()?))
        }
        _ => Err(Refusal::Method),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::{Event, Limits, Reader};

    fn head(raw: &str) -> RequestHead {
        match Reader::requests(Limits::default()).read(raw.as_bytes()).unwrap().event {
            Some(Event::Request(head, _)) => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn marks_are_told_apart_from_traffic() {
        let shop: Origin = "http://shop.test".parse().unwrap();
        let own: Origin = "http://overdub.test".parse().unwrap();
        for (target, host, route, ours) in [
            ("http://overdub.test/mark", "x", Route::Absolute, true),
            ("http://OVERDUB.test:80/mark?x", "x", Route::Absolute, true),
            ("http://overdub.test/marks", "overdub.test", Route::Absolute, false),
            ("http://overdub.test", "overdub.test", Route::Absolute, false),
            ("http://shop.test/mark", "overdub.test", Route::Absolute, false),
            ("/mark", "overdub.test", Route::Absolute, true),
            ("/mark", "Overdub.Test:8080", Route::Absolute, true),
            ("/mark", "shop.test", Route::Absolute, false),
            ("/mark", "127.0.0.1:8080", Route::Absolute, false),
            ("/mark", "overdub.test", Route::Fixed(shop.clone()), true),
            ("/mark", "shop.test", Route::Fixed(shop), false),
            ("/mark", "x", Route::Fixed(own), true),
            ("*", "overdub.test", Route::Absolute, false),
        ] {
            let head = head(&format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(concerns(&head, &route), ours, "{target} {host} {route:?}");
        }
    }

    #[test]
    fn a_mark_is_a_name_from_nearby() {
        let long = "ä".repeat(LABEL_CHARS + 1);
        let begin = |name: &str| Ok(Mark::Begin(name.parse().unwrap()));
        let bad = |error| Err(Refusal::Label(error));
        for (method, extra, body, near, expected) in [
            ("POST", "", Some("check out".as_bytes()), true, begin("check out")),
            ("POST", "", Some(" check out\r\n".as_bytes()), true, begin("check out")),
            ("POST", "", Some(&long.as_bytes()[2..]), true, begin(&long[2..])),
            ("DELETE", "", Some(b"".as_slice()), true, Ok(Mark::End)),
            ("POST", "Origin: http://overdub.test\r\n", Some(b"a".as_slice()), true, begin("a")),
            ("POST", "Origin: http://evil.test\r\n", Some(b"a".as_slice()), true, Err(Refusal::OtherSite)),
            ("DELETE", "Origin: null\r\n", Some(b"".as_slice()), true, Err(Refusal::OtherSite)),
            ("POST", "", Some(b"a".as_slice()), false, Err(Refusal::Remote)),
            ("DELETE", "", Some(b"".as_slice()), false, Err(Refusal::Remote)),
            ("GET", "", Some(b"".as_slice()), true, Err(Refusal::Method)),
            ("POST", "", Some(b" \n".as_slice()), true, bad(LabelError::Empty)),
            ("POST", "", Some(b"a\nb".as_slice()), true, bad(LabelError::Control)),
            ("POST", "", Some(b"a\x1b[2Jb".as_slice()), true, bad(LabelError::Control)),
            ("POST", "", Some(b"\xff".as_slice()), true, bad(LabelError::Encoding)),
            ("POST", "", Some(long.as_bytes()), true, bad(LabelError::TooLong)),
            ("POST", "", None, true, bad(LabelError::TooLong)),
        ] {
            let head = head(&format!("{method} /mark HTTP/1.1\r\nHost: overdub.test\r\n{extra}\r\n"));
            assert_eq!(understand(&head, body, near), expected, "{method} {extra:?} {body:?} {near}");
        }
    }

    #[test]
    fn a_header_field_always_gives_a_harmless_name_or_none() {
        for (value, label) in
            [("check out", Some("check out")), ("", None), ("\t \u{9b}", None), ("a\u{9b}b", Some("ab"))]
        {
            assert_eq!(Label::lossy(value.as_bytes()).as_ref().map(Label::as_str), label, "{value:?}");
        }
        assert_eq!(Label::lossy(b"\xff").unwrap().as_str(), "\u{fffd}");
        assert_eq!(Label::lossy(&[b'a'; 10_000]).unwrap().as_str().len(), LABEL_CHARS);
    }
}
