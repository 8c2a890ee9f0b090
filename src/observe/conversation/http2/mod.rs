//! HTTP/2 on a connection: streams become exchanges, also on a connection that was joined in the middle.

mod head;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Body, Headers, Incomplete, Nanos, Request, Response, Side, Version};
use crate::observe::streams::Ending;
use crate::wire::http2::{Event, Field, Observer, Start};

use super::desk::{Context, Desk};
use super::open::{Open, index};
use super::reasons;
use super::target::by_authority;
use head::{Head, code_name};
use stream::{Stream, What};

/// Most streams open at a time; the oldest is given up.
const MOST_OPEN: usize = 10_000;
/// So long frames of the server may come on a stream that its client has reset.
const LINGER: Nanos = Nanos(1_000_000_000);
/// So many streams that are over are remembered one by one.
const MOST_OVER: usize = 1_000;

/// A connection that speaks HTTP/2.
#[derive(Debug)]
pub(super) struct Http2 {
    observer: Observer,
    streams: Streams,
    failed: bool,
    ended: [Option<Ending>; 2],
}

/// Its streams.
#[derive(Debug, Default)]
struct Streams {
    open: BTreeMap<u32, Stream>,
    /// Streams that are over: those up to the number, and those in the set.
    over: (u32, BTreeSet<u32>),
    /// Streams that the client has reset, and when: what the server had sent by then is still on its way.
    cancelled: VecDeque<(u32, Nanos)>,
}

impl Http2 {
    /// From the client's preface, or from the middle of a connection.
    pub(super) fn new(midway: bool) -> Self {
        let start = if midway { Start::Midway } else { Start::Preface };
        Self { observer: Observer::new(start), streams: Streams::default(), failed: false, ended: [None; 2] }
    }

    /// After an upgrade from HTTP/1: the request is the first stream.
    pub(super) fn upgraded(open: Box<Open>) -> Self {
        let mut http2 = Self { observer: Observer::new(Start::Upgraded), ..Self::new(false) };
        let mut stream = Stream::new(What::Exchange(open), Nanos(0));
        stream.done[0] = true;
        http2.streams.open.insert(1, stream);
        http2
    }

    /// The same, with the answer unseen and what came behind it perhaps, too.
    pub(super) fn upgraded_unseen(open: Option<Box<Open>>) -> Self {
        let mut http2 = match open {
            Some(open) => Self::upgraded(open),
            None => Self::new(true),
        };
        http2.observer = Observer::new(Start::Midway);
        http2
    }

    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) {
        if self.failed {
            return;
        }
        let streams = &mut self.streams;
        let result = self.observer.read(side, bytes, &mut |event| streams.event(cx, at, event));
        if let Err(error) = result {
            self.failed = true;
            self.streams.finish_all(cx, at, Ending::Fin, |_| reasons::malformed(side, &error));
        }
    }

    pub(super) fn tell_so_far(&mut self, desk: &mut Desk, now: Nanos) {
        for open in self.streams.open.values_mut().filter_map(Stream::open) {
            open.tell_so_far(desk, now);
        }
    }

    pub(super) fn gap(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: u64) {
        if self.failed {
            return;
        }
        let streams = &mut self.streams;
        self.observer.gap(side, bytes, &mut |event| streams.event(cx, at, event));
    }

    pub(super) fn ended(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, how: Ending) {
        self.ended[index(side)] = Some(how);
        if let [Some(client), Some(server)] = self.ended {
            let why = |stream: &Stream| match (stream.done, client) {
                (_, Ending::Reset) if !stream.done[1] => reasons::reset(Side::Request),
                ([false, true], Ending::Fin) => reasons::refused(),
                ([false, true], _) => reasons::inside(Side::Request, client),
                _ if stream.answered => reasons::inside(Side::Response, server),
                _ => reasons::unanswered(server),
            };
            self.streams.finish_all(cx, at, server, why);
        }
    }
}

impl Streams {
    fn event(&mut self, cx: &mut Context<'_>, at: Nanos, event: Event<'_>) {
        self.forget_cancelled(cx, at);
        match event {
            Event::Head { side: Side::Request, stream, fields, end } => self.request(cx, at, stream, fields, end),
            Event::Head { side: Side::Response, stream, fields, end } => self.response(cx, at, stream, fields, end),
            Event::Data { side, stream, bytes, end } => {
                let Some(found) = self.stream(cx, at, stream) else { return };
                found.data(cx, side, at, bytes);
                if end {
                    self.end(cx, at, stream, side, Headers::default());
                }
            }
            Event::DataGap { side, stream, bytes, end } => {
                let Some(found) = self.stream(cx, at, stream) else { return };
                found.gap(cx, side, at, bytes);
                if end == Some(true) {
                    self.end(cx, at, stream, side, Headers::default());
                }
            }
            Event::Promise { promised, fields, .. } => self.promise(cx, at, promised, fields),
            Event::Reset { side, stream, code } => self.reset(cx, at, stream, side, code),
            Event::GoAway { side, last_stream, code, .. } => self.go_away(cx, at, side, last_stream, code),
            Event::Lost { side, bytes } => {
                cx.desk.tally.skipped_bytes = cx.desk.tally.skipped_bytes.saturating_add(bytes);
                self.open.values_mut().for_each(|stream| stream.doubt(side));
            }
        }
    }

    /// Head of a request, or its trailers.
    fn request(&mut self, cx: &mut Context<'_>, at: Nanos, id: u32, fields: Vec<Field>, end: bool) {
        if self.is_over(id) {
            return;
        }
        let head = Head::of(Side::Request, fields);
        if let Some(stream) = self.open.get_mut(&id) {
            let late = head.method.is_some() || head.path.is_some();
            if let Some(open) = stream.open() {
                let remarks = head.unknown.clone();
                if late && open.is_unasked() {
                    // Joined in the middle, the client's frames may be told apart later than the server's.
                    open.adopt(request_of(cx, head), remarks);
                    if end {
                        self.end(cx, at, id, Side::Request, Headers::default());
                    }
                    return;
                }
                open.draft.exchange.remarks.extend(remarks);
            }
            self.end(cx, at, id, Side::Request, head.headers);
            return;
        }
        let asks_websocket = head.protocol.as_deref() == Some(b"websocket");
        let Some(what) = begin(cx, at, id, head) else { return };
        let mut stream = Stream::new(what, at);
        stream.asks_websocket = asks_websocket;
        self.insert(cx, at, id, stream);
        if end {
            self.end(cx, at, id, Side::Request, Headers::default());
        }
    }

    /// Head of an interim or final response, or its trailers.
    fn response(&mut self, cx: &mut Context<'_>, at: Nanos, id: u32, fields: Vec<Field>, end: bool) {
        let head = Head::of(Side::Response, fields);
        let Some(stream) = self.stream(cx, at, id) else { return };
        stream.last = at;
        let trailers = stream.answered || (!head.has_status && end && head.unknown.is_empty());
        if let Some(open) = stream.open() {
            open.draft.exchange.remarks.extend(head.unknown);
        }
        if trailers {
            self.end(cx, at, id, Side::Response, head.headers);
            return;
        }
        // A status that cannot be known is 0, which no server sends.
        let status = head.status.unwrap_or(0);
        let response = Response {
            version: Version::Http2,
            status,
            reason: Vec::new(),
            headers: head.headers,
            body: Body::default(),
            trailers: Headers::default(),
        };
        if (100..200).contains(&status) {
            if let Some(open) = stream.open() {
                open.interim(response);
            }
        } else {
            stream.answer(cx, response, at);
        }
        if end {
            self.end(cx, at, id, Side::Response, Headers::default());
        }
    }

    fn promise(&mut self, cx: &mut Context<'_>, at: Nanos, promised: u32, fields: Vec<Field>) {
        if self.is_over(promised) || self.open.contains_key(&promised) {
            return;
        }
        let Some(What::Exchange(mut open)) = begin(cx, at, promised, Head::of(Side::Request, fields)) else { return };
        open.remark("pushed by the server");
        open.request_done(cx.desk, at, Headers::default());
        let mut stream = Stream::new(What::Exchange(open), at);
        stream.done[0] = true;
        self.insert(cx, at, promised, stream);
    }

    fn reset(&mut self, cx: &mut Context<'_>, at: Nanos, id: u32, side: Side, code: u32) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        let words = format!("stream reset: {}", code_name(code));
        if side == Side::Request && !stream.done[1] && matches!(stream.what, What::Exchange(_)) {
            if stream.cancelled.is_none() {
                stream.cancelled = Some(Incomplete::Client(words));
                stream.done[0] = true;
                stream.last = at;
                self.cancelled.push_back((id, at));
            }
            return;
        }
        let Some(stream) = self.open.remove(&id) else { return };
        self.note_over(id);
        let reason = match side {
            // A server that has answered wants no more of the request (RFC 9113 §8.1).
            Side::Response if stream.done == [false, true] && code == 0 => reasons::refused(),
            Side::Request => Incomplete::Client(words),
            Side::Response => Incomplete::Upstream(words),
        };
        stream.finish(cx, at, Some(reason), Ending::Reset);
    }

    /// Nothing more is awaited on streams that were reset long ago.
    fn forget_cancelled(&mut self, cx: &mut Context<'_>, at: Nanos) {
        while let Some(&(id, since)) =
            self.cancelled.front().filter(|(_, since)| at.0 > since.0.saturating_add(LINGER.0))
        {
            self.cancelled.pop_front();
            if let Some(stream) = self.open.remove(&id) {
                self.note_over(id);
                stream.finish(cx, since, None, Ending::Reset);
            }
        }
    }

    /// The streams behind the last one were not looked at (RFC 9113 §6.8).
    fn go_away(&mut self, cx: &mut Context<'_>, at: Nanos, side: Side, last_stream: u32, code: u32) {
        if side != Side::Response {
            return;
        }
        let behind = self.open.range(last_stream.saturating_add(1)..);
        let refused: Vec<u32> =
            behind.filter(|(id, stream)| *id % 2 == 1 && !stream.answered).map(|(id, _)| *id).collect();
        for id in refused {
            let Some(stream) = self.open.remove(&id) else { continue };
            self.note_over(id);
            let reason = Incomplete::Upstream(format!("not processed: GOAWAY {}", code_name(code)));
            stream.finish(cx, at, Some(reason), Ending::Fin);
        }
    }

    /// A side of a stream is over; when both are, so is the stream.
    fn end(&mut self, cx: &mut Context<'_>, at: Nanos, id: u32, side: Side, trailers: Headers) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        stream.end(cx, side, at, trailers);
        if stream.done == [true; 2]
            && let Some(stream) = self.open.remove(&id)
        {
            self.note_over(id);
            let whole = stream.answered;
            let reason = (!whole).then(|| reasons::not_recorded("the head of the response was not captured"));
            stream.finish(cx, at, reason, Ending::Fin);
        }
    }

    /// A stream that is open; one that was never seen begins without a request. None when it is over.
    fn stream(&mut self, cx: &mut Context<'_>, at: Nanos, id: u32) -> Option<&mut Stream> {
        if !self.open.contains_key(&id) {
            if id == 0 || self.is_over(id) {
                return None;
            }
            let open = Open::begin_unasked(cx, at, Version::Http2, Some(id))?;
            self.insert(cx, at, id, Stream::new(What::Exchange(open), at));
        }
        self.open.get_mut(&id)
    }

    fn insert(&mut self, cx: &mut Context<'_>, at: Nanos, id: u32, stream: Stream) {
        while (self.open.len() >= MOST_OPEN || cx.desk.recorder.is_crowded())
            && let Some((oldest, stream)) = self.open.pop_first()
        {
            self.note_over(oldest);
            let reason = reasons::not_recorded("too many streams were open at a time, or heads too large");
            stream.finish(cx, at, Some(reason), Ending::Forgotten);
        }
        self.open.insert(id, stream);
    }

    fn is_over(&self, id: u32) -> bool {
        !self.open.contains_key(&id) && (id <= self.over.0 || self.over.1.contains(&id))
    }

    fn note_over(&mut self, id: u32) {
        let (up_to, some) = &mut self.over;
        some.insert(id);
        if some.len() > MOST_OVER
            && let Some(first) = some.pop_first()
        {
            *up_to = (*up_to).max(first);
        }
    }

    fn finish_all(&mut self, cx: &mut Context<'_>, at: Nanos, how: Ending, why: impl Fn(&Stream) -> Incomplete) {
        for (_, stream) in std::mem::take(&mut self.open) {
            let reason = why(&stream);
            stream.finish(cx, at, Some(reason), how);
        }
    }
}

/// Begins what a request head asks for. None when the capture takes no more.
fn begin(cx: &mut Context<'_>, at: Nanos, id: u32, mut head: Head) -> Option<What> {
    let unknown = std::mem::take(&mut head.unknown);
    let protocol = head.protocol.take();
    let request = request_of(cx, head);
    if request.method == "CONNECT" && protocol.is_none() {
        return Some(What::Connect(Box::new((request, at))));
    }
    let mut open = Open::begin(cx, request, at, Some(id))?;
    open.draft.exchange.remarks.extend(unknown);
    if let Some(protocol) = protocol {
        open.remark(format!("extended CONNECT: {}", String::from_utf8_lossy(&protocol)));
    }
    Some(What::Exchange(open))
}

/// The request of a head, empty where the head does not say.
fn request_of(cx: &Context<'_>, head: Head) -> Request {
    let authority = head.authority.as_deref().or_else(|| head.headers.first("host"));
    let origin = by_authority(cx.path, authority);
    let method = head.method.unwrap_or_default();
    let target = match head.path {
        // The target of a plain CONNECT is its authority (RFC 9113 §8.5).
        None if method == b"CONNECT" => head.authority.unwrap_or_default(),
        path => path.unwrap_or_default(),
    };
    Request {
        origin,
        method: String::from_utf8_lossy(&method).into_owned(),
        target,
        version: Version::Http2,
        headers: head.headers,
        body: Body::default(),
        trailers: Headers::default(),
    }
}
