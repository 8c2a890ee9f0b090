//! Where every source of an import ends: numbers exchanges, tells whose they are, writes them to the capture.
//!
//! A reader calls [`Recorder::begin`] when a request head is known, changes [`Draft::exchange`] as more is seen, and gives
//! the draft back with [`Recorder::finish`]. Knows nothing of where the traffic came from.

mod so_far;

use std::collections::BTreeMap;
use std::path::Path;

use crate::capture::{BodyWriter, CaptureError, Provenance, Summary, Writer};
use crate::model::{
    Body, Exchange, ExchangeId, Headers, Incomplete, Message, MessageKind, Nanos, Remark, Request, Response, SessionId,
    SessionInfo, Side, Timing, Transport,
};
use crate::wire::identity::{Sessions, Sighting};
use crate::wire::redact::{BodyEditor, Haste, Redactor, Tally};

use super::streams::UnixNanos;

/// An exchange under way. `exchange` may be changed freely but for `id`, `session` and the bodies of request and final
/// response, which [`Recorder::finish`] fills in.
#[derive(Debug)]
pub struct Draft {
    /// As known so far.
    pub exchange: Box<Exchange>,
    request_body: BodyWriter,
    response_body: BodyWriter,
    /// What stands between bodies and the capture when secrets are redacted.
    editors: [Option<Box<BodyEditor>>; 2],
    seen_bytes: [u64; 2],
    messages: u32,
    /// Bytes of its heads that are in memory.
    head_bytes: usize,
    /// Gaps that are told one by one, and bytes of those that are not.
    gaps: (usize, u64),
    /// Bytes of its bodies that were stored when it was last told before its end.
    told: Option<u64>,
    /// Why the capture does not hold all of it.
    damage: Option<String>,
    /// It does not go into the capture.
    left_out: bool,
}

impl Draft {
    /// Bytes of this side's body so far, without gaps.
    pub fn body_bytes(&self, side: Side) -> u64 {
        self.seen_bytes[index(side)]
    }

    /// The capture did not take part of it for this reason: the exchange is marked, and no more of its bodies is kept.
    pub(super) fn damage(&mut self, reason: String) {
        self.damage.get_or_insert(reason);
    }

    /// It does not go into the capture.
    pub(super) fn leave_out(&mut self) {
        self.left_out = true;
    }

    /// Whether it does not go into the capture.
    pub(super) fn is_left_out(&self) -> bool {
        self.left_out
    }

    /// Whether what comes of its bodies is forgotten.
    pub(super) fn takes_no_more(&self) -> bool {
        self.left_out || self.damage.is_some()
    }

    fn stored_body(&mut self, side: Side) -> &mut BodyWriter {
        match side {
            Side::Request => &mut self.request_body,
            Side::Response => &mut self.response_body,
        }
    }
}

/// Bytes of bodies under way that may wait for their chunks to fill; beyond it chunks are cut shorter.
const MOST_WAITING_BYTES: usize = 32 << 20;
/// A chunk is not cut shorter than this.
const LEAST_LET_GO_BYTES: usize = 1024;
/// Bytes of heads of exchanges under way that may be in memory where streams can be given up.
const MOST_HEAD_BYTES: usize = 32 << 20;
/// Sessions that wait for a disk that takes nothing.
const MOST_UNANNOUNCED: usize = 10_000;
/// Most gaps of an exchange that are told one by one.
const MOST_GAPS: usize = 10_000;
/// Most reasons that are counted apart.
const MOST_REASONS: usize = 50;

/// Writes one capture.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    sessions: Sessions,
    redactor: Option<Box<Redactor>>,
    anchor: UnixNanos,
    last_id: u64,
    /// Bytes of all drafts that wait for their chunks to fill.
    waiting: usize,
    /// Bytes of the heads of all drafts.
    head_bytes: usize,
    /// Connections of the sources before this one, and all so far.
    connections: (u64, u64),
    incomplete: BTreeMap<String, u64>,
    /// Sessions that the file did not take yet.
    unannounced: Vec<SessionInfo>,
    /// To which what begins belongs.
    transaction: Option<String>,
}

/// A capture that was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// What it holds.
    pub file: Summary,
    /// Incomplete exchanges by reason.
    pub incomplete: BTreeMap<String, u64>,
    /// What was redacted, when that was asked for.
    pub redacted: Option<Tally>,
}

impl Recorder {
    /// Creates the capture. `anchor` becomes its instant 0; `source` says where the traffic came from, such as `har shop.har`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path, source: &str, anchor: UnixNanos, sessions: Sessions) -> Result<Self, CaptureError> {
        let provenance = Provenance {
            anchor_unix_ns: anchor,
            source: source.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Self {
            writer: Writer::create(path, &provenance)?,
            sessions,
            redactor: None,
            anchor,
            last_id: 0,
            waiting: 0,
            head_bytes: 0,
            connections: (0, 0),
            incomplete: BTreeMap::new(),
            unannounced: Vec::new(),
            transaction: None,
        })
    }

    /// With a redactor, secrets are replaced before they reach the capture. Users are told apart by what was sent.
    #[must_use]
    pub fn redacting(mut self, redactor: Option<Redactor>) -> Self {
        self.redactor = redactor.map(Box::new);
        self
    }

    /// An instant of the capture; times before the anchor become 0.
    pub fn instant(&self, at: UnixNanos) -> Nanos {
        Nanos(at.saturating_sub(self.anchor))
    }

    /// The wall-clock time of an instant of the capture.
    pub fn moment(&self, at: Nanos) -> UnixNanos {
        self.anchor.saturating_add(at.0)
    }

    /// Another source follows, whose connections are numbered from 1 again.
    pub fn next_source(&mut self) {
        self.connections.0 = self.connections.1;
    }

    /// Begins an exchange: the request's head is known, its body is not (what `request.body` says is ignored).
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn begin(&mut self, request: Request, timing: Timing, transport: Transport) -> Result<Draft, CaptureError> {
        let draft = self.begin_anyway(request, timing, transport);
        self.announce()?;
        Ok(draft)
    }

    /// The same, whether the capture can be written or not; [`Recorder::announce`] writes whose it is.
    pub(super) fn begin_anyway(&mut self, request: Request, timing: Timing, mut transport: Transport) -> Draft {
        let before = self.connections.0;
        transport.client_connection = transport.client_connection.saturating_add(before);
        transport.upstream_connection = transport.upstream_connection.map(|number| number.saturating_add(before));
        self.connections.1 = self.connections.1.max(transport.client_connection);
        let seen = Sighting {
            client: transport.client.ip(),
            connection: transport.client_connection,
            origin: &request.origin,
            method: &request.method,
            target: &request.target,
            headers: &request.headers,
            now: timing.started,
        };
        let (session, new) = self.sessions.of_request(&seen);
        if let Some(redactor) = &mut self.redactor {
            redactor.saw_request(&request);
        }
        if let Some(mut info) = new {
            if let Some(redactor) = &mut self.redactor {
                redactor.session(&mut info);
            }
            self.unannounced.push(info);
        }
        self.draft(session, request, timing, transport)
    }

    /// Writes the sessions that are not in the file; what it does not take is tried again the next time.
    pub(super) fn announce(&mut self) -> Result<(), CaptureError> {
        while let Some(info) = self.unannounced.pop() {
            if let Err(error) = self.writer.session(&info) {
                if self.unannounced.len() < MOST_UNANNOUNCED {
                    self.unannounced.push(info);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn draft(&mut self, session: SessionId, request: Request, timing: Timing, transport: Transport) -> Draft {
        self.last_id += 1;
        let exchange = Box::new(Exchange {
            id: ExchangeId(self.last_id),
            session,
            transaction: self.transaction.clone(),
            request,
            interim: Vec::new(),
            response: None,
            timing,
            transport,
            incomplete: None,
            remarks: Vec::new(),
        });
        let bytes = exchange.request.target.len() + fields_bytes(&exchange.request.headers);
        let mut draft = Draft {
            exchange,
            request_body: BodyWriter::default(),
            response_body: BodyWriter::default(),
            editors: [None, None],
            seen_bytes: [0; 2],
            messages: 0,
            head_bytes: 0,
            gaps: (0, 0),
            told: None,
            damage: None,
            left_out: false,
        };
        self.hold(&mut draft, bytes);
        draft
    }

    /// So many bytes of the heads of a draft are in memory until it is over.
    fn hold(&mut self, draft: &mut Draft, bytes: usize) {
        draft.head_bytes += bytes;
        self.head_bytes += bytes;
    }

    /// Whether the heads of what is under way take more memory than they should: somebody has to be given up.
    pub(super) fn is_crowded(&self) -> bool {
        self.head_bytes > MOST_HEAD_BYTES
    }

    /// The next bytes of a body (less transfer coding, content coding kept).
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn body(&mut self, draft: &mut Draft, side: Side, bytes: &[u8]) -> Result<(), CaptureError> {
        draft.seen_bytes[index(side)] += bytes.len() as u64;
        let Some(redactor) = &mut self.redactor else { return self.store(draft, side, bytes) };
        let mut editor =
            draft.editors[index(side)].take().unwrap_or_else(|| Box::new(redactor.body(&draft.exchange, side)));
        let before = editor.waiting();
        let haste = if self.waiting > MOST_WAITING_BYTES { Haste::Memory } else { Haste::None };
        let mut redacted = Vec::new();
        editor.push(redactor, bytes, haste, &mut redacted);
        self.waiting = (self.waiting + editor.waiting()).saturating_sub(before);
        draft.editors[index(side)] = Some(editor);
        self.store(draft, side, &redacted)
    }

    /// Hands bytes of a body to the capture.
    fn store(&mut self, draft: &mut Draft, side: Side, bytes: &[u8]) -> Result<(), CaptureError> {
        let body = draft.stored_body(side);
        let before = body.waiting();
        let pushed = body.push(&mut self.writer, bytes);
        let mut after = body.waiting();
        if self.waiting + after > MOST_WAITING_BYTES + before && after >= LEAST_LET_GO_BYTES {
            body.let_go(&mut self.writer)?;
            after = 0;
        }
        self.waiting = (self.waiting + after).saturating_sub(before);
        pushed
    }

    /// Hands on what a redactor held back of a body that is over, and tells its length if that is another one now.
    fn end_editing(&mut self, draft: &mut Draft, side: Side) -> Result<(), CaptureError> {
        let Some((redactor, editor)) = self.redactor.as_mut().zip(draft.editors[index(side)].take()) else {
            return Ok(());
        };
        self.waiting = self.waiting.saturating_sub(editor.waiting());
        let last = redactor.last_of_body(*editor, &mut draft.exchange, side);
        let stored = self.store(draft, side, &last.rest);
        let body = draft.stored_body(side);
        let length = body.stored().len + body.waiting() as u64;
        let headers = match side {
            Side::Request => Some(&mut draft.exchange.request.headers),
            Side::Response => draft.exchange.response.as_mut().map(|response| &mut response.headers),
        };
        if let Some(headers) = headers {
            last.tell_length(headers, length);
        }
        if last.new_length {
            // Where bytes are missing of a body that is coded anew can only be said roughly.
            for remark in &mut draft.exchange.remarks {
                if let Remark::Gap { side: of, at, .. } = remark
                    && *of == side
                {
                    *at = (*at).min(length);
                }
            }
        }
        stored
    }

    /// The last bytes of a body.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn last_of_body(&mut self, draft: &mut Draft, side: Side, bytes: &[u8]) -> Result<(), CaptureError> {
        if self.redactor.is_some() || draft.stored_body(side).waiting() > 0 {
            return self.body(draft, side, bytes);
        }
        draft.seen_bytes[index(side)] += bytes.len() as u64;
        draft.stored_body(side).push_last(&mut self.writer, bytes)
    }

    /// So many bytes of a body were never seen: a remark says where.
    pub fn gap(&mut self, draft: &mut Draft, side: Side, bytes: u64) {
        let at = draft.body_bytes(side);
        let (told, untold) = &mut draft.gaps;
        if *told < MOST_GAPS {
            *told += 1;
            draft.exchange.remarks.push(Remark::Gap { side, at, bytes });
        } else {
            *untold = untold.saturating_add(bytes);
        }
        let who = match side {
            Side::Request => "request",
            Side::Response => "response",
        };
        draft
            .exchange
            .incomplete
            .get_or_insert_with(|| Incomplete::NotRecorded(format!("bytes of the {who} are missing from the source")));
    }

    /// The head of the final response is known; its body is not.
    pub fn response(&mut self, draft: &mut Draft, response: Response) {
        let exchange = &mut draft.exchange;
        let request = &exchange.request;
        let now = exchange.timing.started;
        self.sessions.saw_response(exchange.session, &request.origin, &request.target, &response.headers, now);
        if let Some(redactor) = &mut self.redactor {
            redactor.saw_response(&response);
        }
        let bytes = fields_bytes(&response.headers);
        exchange.response = Some(response);
        self.hold(draft, bytes);
    }

    /// A message inside the exchange, with its whole payload.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn message(&mut self, draft: &mut Draft, message: NewMessage<'_>) -> Result<(), CaptureError> {
        let redacted = match &mut self.redactor {
            Some(redactor) => redactor.message(message.payload, message.from, message.compressed),
            None => Some(Vec::new()),
        };
        if redacted.is_none() {
            let remark = Remark::Other("messages that cannot be decompressed were left out to redact them".to_owned());
            if !draft.exchange.remarks.contains(&remark) {
                draft.exchange.remarks.push(remark);
            }
        }
        let payload = match (&self.redactor, &redacted) {
            (None, _) => message.payload,
            (Some(_), redacted) => redacted.as_deref().unwrap_or_default(),
        };
        let mut body = BodyWriter::default();
        body.push_last(&mut self.writer, payload)?;
        let body = body.finish(&mut self.writer)?;
        draft.messages = draft.messages.saturating_add(1);
        self.writer.message(&Message {
            exchange: draft.exchange.id,
            number: draft.messages,
            from: message.from,
            kind: message.kind,
            started: message.started,
            ended: message.ended,
            frames: message.frames,
            body,
            compressed: message.compressed,
        })
    }

    /// The exchange is over; `timing`, trailers, remarks and `incomplete` stand in the draft.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn finish(&mut self, draft: Draft) -> Result<(), CaptureError> {
        self.write(draft).map(drop)
    }

    /// The same; gives back what was written.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn write(&mut self, draft: Draft) -> Result<Box<Exchange>, CaptureError> {
        let Put { exchange, trouble, .. } = self.put(draft);
        trouble.map_or(Ok(exchange), Err)
    }

    /// Lets go of it.
    pub(super) fn forget(&mut self, draft: Draft) {
        let Draft { request_body, response_body, editors, head_bytes, .. } = draft;
        self.head_bytes = self.head_bytes.saturating_sub(head_bytes);
        let edited: usize = editors.iter().flatten().map(|editor| editor.waiting()).sum();
        self.waiting = self.waiting.saturating_sub(request_body.waiting() + response_body.waiting() + edited);
    }

    /// Those who are told apart.
    pub fn sessions_mut(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    /// What begins from now on belongs to this transaction, or to none.
    pub fn begin_transaction(&mut self, name: Option<String>) {
        self.transaction = name;
    }

    /// Writes as much of it as the capture takes; what it did not take of the bodies is said in the exchange.
    pub(super) fn put(&mut self, mut draft: Draft) -> Put {
        let mut trouble = None;
        for side in [Side::Request, Side::Response] {
            if let Err(error) = self.end_editing(&mut draft, side) {
                draft.damage(sentence(&error));
                trouble.get_or_insert(error);
            }
        }
        if let Some(redactor) = &mut self.redactor {
            redactor.exchange(&mut draft.exchange);
        }
        let Draft { mut exchange, request_body, response_body, damage, gaps, head_bytes, .. } = draft;
        self.head_bytes = self.head_bytes.saturating_sub(head_bytes);
        if gaps.1 > 0 {
            let words = format!("{} more bytes are missing, in more places than are told", gaps.1);
            exchange.remarks.push(Remark::Other(words));
        }
        self.waiting = self.waiting.saturating_sub(request_body.waiting() + response_body.waiting());
        let mut damage = damage.map(Incomplete::NotRecorded);
        let bodies = [request_body, response_body].map(|body| {
            body.finish(&mut self.writer).unwrap_or_else(|error| {
                damage.get_or_insert(Incomplete::NotRecorded(sentence(&error)));
                trouble.get_or_insert(error);
                Body::default()
            })
        });
        let [request_body, response_body] = bodies;
        exchange.request.body = request_body;
        if let Some(response) = &mut exchange.response {
            response.body = response_body;
        }
        if damage.is_some() {
            exchange.incomplete = damage;
        }
        if let Some(reason) = &exchange.incomplete {
            let reason = reason.to_string();
            let full = self.incomplete.len() >= MOST_REASONS && !self.incomplete.contains_key(&reason);
            *self.incomplete.entry(if full { "other reasons".to_owned() } else { reason }).or_default() += 1;
        }
        let written = self.writer.exchange(&exchange);
        let whole = written.is_ok();
        if let Err(error) = written {
            trouble.get_or_insert(error);
        }
        Put { exchange, written: whole, trouble }
    }

    /// A client connection has closed.
    pub fn closed(&mut self, client_connection: u64) {
        self.sessions.closed(client_connection.saturating_add(self.connections.0));
    }

    /// Puts everything so far into the file.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        self.announce()?;
        self.writer.flush()
    }

    /// Closes the capture.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn close(self) -> Result<Finished, CaptureError> {
        self.close_keeping().map(|(finished, _)| finished)
    }

    /// The same; gives back the redactor, which knows what is secret in this traffic.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn close_keeping(mut self) -> Result<(Finished, Option<Redactor>), CaptureError> {
        let redactor = self.redactor.take();
        let redacted = redactor.as_ref().map(|redactor| redactor.tally());
        let (finished, closed) = self.close_anyway();
        closed.map(|()| (Finished { redacted, ..finished }, redactor.map(|redactor| *redactor)))
    }

    /// Closes the capture as well as can be: what it holds is known also when that fails.
    pub(super) fn close_anyway(mut self) -> (Finished, Result<(), CaptureError>) {
        let announced = self.announce();
        let so_far = self.writer.summary();
        let (file, closed) = match self.writer.finish() {
            Ok(file) => (file, announced),
            Err(error) => (so_far, Err(error)),
        };
        let redacted = self.redactor.as_ref().map(|redactor| redactor.tally());
        (Finished { file, incomplete: self.incomplete, redacted }, closed)
    }
}

/// What became of an exchange.
pub(super) struct Put {
    pub(super) exchange: Box<Exchange>,
    /// Whether the capture holds it.
    pub(super) written: bool,
    /// The first thing that went wrong.
    pub(super) trouble: Option<CaptureError>,
}

/// An error with its cause.
pub fn sentence(error: &CaptureError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A message to be recorded; fields as in [`Message`].
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// Who sent it.
    pub from: Side,
    /// What it is.
    pub kind: MessageKind,
    /// First byte seen.
    pub started: Nanos,
    /// Last byte seen.
    pub ended: Nanos,
    /// Frames it came in.
    pub frames: u32,
    /// Payload, unmasked and decompressed.
    pub payload: &'a [u8],
    /// Payload could not be decompressed.
    pub compressed: bool,
}

/// What the fields of a head take in memory.
fn fields_bytes(headers: &Headers) -> usize {
    headers.0.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<Vec<u8>>()).sum()
}

fn index(side: Side) -> usize {
    match side {
        Side::Request => 0,
        Side::Response => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Reader;
    use crate::model::{BodySource, Origin, Scheme, Version};

    fn request(number: u64) -> (Request, Timing, Transport) {
        let request = Request {
            origin: Origin::new(Scheme::Http, "shop.test", 80),
            method: "GET".into(),
            target: format!("/{number}").into_bytes(),
            version: Version::Http11,
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        };
        let transport = Transport {
            client: ([10, 0, 0, 1], 40000).into(),
            client_connection: number,
            upstream_connection: None,
            stream: None,
            tls: None,
            alpn: None,
            sni: None,
        };
        (request, Timing::default(), transport)
    }

    fn response() -> Response {
        Response {
            version: Version::Http11,
            status: 200,
            reason: b"OK".to_vec(),
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        }
    }

    #[test]
    fn very_many_bodies_under_way_take_little_memory_and_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("many.dub");
        let mut recorder = Recorder::create(&path, "test", 0, Sessions::default()).unwrap();
        let piece = |number: u64, turn: u64| vec![(number * 7 + turn) as u8; 5000];
        let mut drafts = Vec::new();
        for number in 1..=1000 {
            let (request, timing, transport) = request(number);
            let mut draft = recorder.begin(request, timing, transport).unwrap();
            recorder.response(&mut draft, response());
            drafts.push(draft);
        }
        for turn in 0..9 {
            for (draft, number) in drafts.iter_mut().zip(1..) {
                recorder.body(draft, Side::Response, &piece(number, turn)).unwrap();
                assert!(recorder.waiting <= MOST_WAITING_BYTES + 1000 * LEAST_LET_GO_BYTES, "{}", recorder.waiting);
            }
        }
        drafts.into_iter().for_each(|draft| recorder.finish(draft).unwrap());
        assert_eq!(recorder.waiting, 0);
        recorder.close().unwrap();
        let reader = Reader::open(&path).unwrap();
        let mut shorter = 0;
        for (exchange, number) in reader.exchanges().zip(1..) {
            let body = exchange.unwrap().response.unwrap().body;
            shorter += usize::from(body.chunks.len() > 1);
            let whole: Vec<u8> = (0..9).flat_map(|turn| piece(number, turn)).collect();
            assert!(reader.load(&body, u64::MAX).unwrap() == whole, "body {number}");
        }
        assert!(shorter > 0, "memory was let go of");
    }

    #[test]
    fn a_body_full_of_holes_takes_little_memory_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("holes.dub");
        let mut recorder = Recorder::create(&path, "test", 0, Sessions::default()).unwrap();
        let (request, timing, transport) = request(1);
        let mut draft = recorder.begin(request, timing, transport).unwrap();
        (0..MOST_GAPS + 3).for_each(|_| recorder.gap(&mut draft, Side::Response, 5));
        assert_eq!(draft.exchange.remarks.len(), MOST_GAPS);
        recorder.finish(draft).unwrap();
        recorder.close().unwrap();
        let found = Reader::open(&path).unwrap().exchanges().next().unwrap().unwrap();
        assert!(found.incomplete.is_some());
        let words = "15 more bytes are missing, in more places than are told".to_owned();
        assert_eq!(found.remarks.last(), Some(&Remark::Other(words)));
    }

    #[test]
    fn connections_of_several_sources_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("two.dub");
        let mut recorder = Recorder::create(&path, "test", 0, Sessions::default()).unwrap();
        for _ in 0..2 {
            for number in [1, 2, 1] {
                let (request, timing, transport) = request(number);
                let draft = recorder.begin(request, timing, transport).unwrap();
                recorder.finish(draft).unwrap();
            }
            recorder.next_source();
        }
        recorder.close().unwrap();
        let reader = Reader::open(&path).unwrap();
        let numbers: Vec<u64> = reader.exchanges().map(|e| e.unwrap().transport.client_connection).collect();
        assert_eq!(numbers, [1, 2, 1, 3, 4, 3]);
    }
}
