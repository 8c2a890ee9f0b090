//! Messages inside a body: server-sent events and gRPC. They are told from the body as it passes; the body stays whole.

use crate::model::{Headers, MessageKind, Nanos, Remark, Side};
use crate::observe::recorder::{Draft, NewMessage};
use crate::wire::content_stream::Decoder;
use crate::wire::{grpc, sse};

use super::desk::Desk;

/// Reads the messages of one body.
#[derive(Debug)]
pub(super) struct Inside {
    messages: Messages,
    /// Undoes the content coding of the body.
    decoder: Option<Decoder>,
    /// When the last bytes came.
    last: Nanos,
}

/// The reader, apart from the decoder before it.
#[derive(Debug)]
struct Messages {
    from: Side,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Events(sse::Reader),
    Grpc(grpc::Reader),
    /// Lost its way.
    Over,
}

impl Inside {
    /// When the fields say that the body holds messages.
    pub(super) fn of(from: Side, headers: &Headers) -> Option<Box<Self>> {
        let content_type = headers.text("content-type").filter(|value| may_hold_messages(value))?;
        let kind = if from == Side::Response && is_event_stream(content_type) {
            Kind::Events(sse::Reader::default())
        } else if grpc::is_grpc(content_type) || grpc::is_grpc_web(content_type) {
            Kind::Grpc(grpc::Reader::default())
        } else {
            return None;
        };
        let decoder = match headers.text("content-encoding") {
            None => None,
            Some(coding) => Some(Decoder::new(coding)?),
        };
        Some(Box::new(Self { messages: Messages { from, kind }, decoder, last: Nanos(0) }))
    }

    /// The next bytes of the body.
    pub(super) fn read(&mut self, desk: &mut Desk, draft: &mut Draft, at: Nanos, bytes: &[u8]) {
        self.last = at;
        let messages = &mut self.messages;
        match &mut self.decoder {
            None => messages.read(desk, draft, at, bytes),
            Some(decoder) => {
                if let Err(error) = decoder.push(bytes, &mut |plain| messages.read(desk, draft, at, plain))
                    && !matches!(messages.kind, Kind::Over)
                {
                    messages.kind = Kind::Over;
                    let words = format!("messages are not told apart from here on: {error}");
                    draft.exchange.remarks.push(Remark::Other(words));
                }
            }
        }
    }

    /// So many bytes of the body were not seen.
    pub(super) fn gap(&mut self, desk: &mut Desk, draft: &mut Draft, bytes: u64) {
        let last = self.last;
        match &mut self.messages.kind {
            _ if self.decoder.is_some() => self.messages.kind = Kind::Over,
            Kind::Events(_) => self.messages.end(desk, draft, last),
            Kind::Grpc(reader) => reader.gap(bytes),
            Kind::Over => {}
        }
    }

    /// The body is over.
    pub(super) fn end(&mut self, desk: &mut Desk, draft: &mut Draft, at: Nanos) {
        self.messages.end(desk, draft, at);
    }
}

impl Messages {
    fn read(&mut self, desk: &mut Desk, draft: &mut Draft, at: Nanos, bytes: &[u8]) {
        let from = self.from;
        match &mut self.kind {
            Kind::Events(reader) => {
                reader.read(at, bytes, &mut |started, ended, lines| event(desk, draft, from, started, ended, lines));
            }
            Kind::Grpc(reader) => {
                // What is no gRPC is passed over; the body holds it.
                let _ = reader.read(at, bytes, &mut |found| grpc_message(desk, draft, from, &found));
            }
            Kind::Over => {}
        }
    }

    fn end(&mut self, desk: &mut Desk, draft: &mut Draft, at: Nanos) {
        let from = self.from;
        match &mut self.kind {
            Kind::Events(reader) => {
                reader.end(at, &mut |started, ended, lines| event(desk, draft, from, started, ended, lines));
            }
            Kind::Grpc(reader) => reader.end(at, &mut |found| grpc_message(desk, draft, from, &found)),
            Kind::Over => {}
        }
    }
}

fn event(desk: &mut Desk, draft: &mut Draft, from: Side, started: Nanos, ended: Nanos, lines: &[u8]) {
    let kind = MessageKind::Event;
    desk.message(draft, NewMessage { from, kind, started, ended, frames: 1, payload: lines, compressed: false });
}

fn grpc_message(desk: &mut Desk, draft: &mut Draft, from: Side, found: &grpc::Found<'_>) {
    let grpc::Found { started, ended, compressed, payload, .. } = *found;
    let kind = MessageKind::Grpc;
    desk.message(draft, NewMessage { from, kind, started, ended, frames: 1, payload, compressed });
}

/// Most bodies hold none; how the type begins shows it at once.
fn may_hold_messages(content_type: &str) -> bool {
    let begins =
        |with: &str| content_type.trim_start().get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins("text/event-stream") || begins("application/grpc")
}

fn is_event_stream(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}
