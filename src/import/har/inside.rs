//! The messages inside an entry, with their times.
//!
//! Continues [`Import`].

use std::io::{Read, Seek};

use super::HarError;
use super::body::{self, Held};
use super::charset::Charset;
use super::entry::{Import, Seen};
use super::json::Value;
use super::messages::{self, Moment, Told};
use crate::model::{Incomplete, Nanos};
use crate::observe::Draft;
use crate::observe::recorder::NewMessage;

/// Longest WebSocket message.
const MESSAGE_BYTES: u64 = 64 << 20;

impl<R: Read + Seek> Import<'_, R> {
    pub(super) fn messages(&mut self, draft: &mut Draft, seen: Seen<'_>) -> Result<(), HarError> {
        let start = draft.exchange.timing.upstream_first.unwrap_or(draft.exchange.timing.started);
        let mut clock = Clock { first: None, last: start };
        let sockets = messages::sockets(seen.entry).into_iter().flat_map(Value::items);
        let sockets = sockets.map(|item| (item, item.any(&["data", "payload"]), messages::socket as fn(_) -> _));
        let events = seen.entry.get("_eventSourceMessages").into_iter().flat_map(Value::items);
        let events = events.map(|item| (item, None, messages::event as fn(_) -> _));
        for (item, data, read) in sockets.chain(events) {
            if let Some(data) = data.filter(|data| seen.text.is_long(*data)) {
                self.long_message(draft, seen, item, data, &mut clock)?;
            } else if let Some(told) = read(item) {
                self.message(draft, item, &told, &mut clock)?;
            }
        }
        let timing = &mut draft.exchange.timing;
        timing.finished = timing.finished.max(clock.last);
        Ok(())
    }

    fn long_message(
        &mut self,
        draft: &mut Draft,
        seen: Seen<'_>,
        item: Value<'_>,
        data: Value<'_>,
        clock: &mut Clock,
    ) -> Result<(), HarError> {
        let Some(mut told) = messages::socket(item) else { return Ok(()) };
        if seen.text.length(data) > MESSAGE_BYTES {
            let why = "a message is too long".to_owned();
            draft.exchange.incomplete.get_or_insert(Incomplete::NotRecorded(why));
            return Ok(());
        }
        let mut payload = Vec::new();
        body::copy(&mut self.loader, seen.text, data, Held::Text(Charset::Utf8), |bytes| {
            payload.extend_from_slice(bytes);
            Ok(())
        })?;
        told.payload = messages::payload(told.kind, payload);
        self.message(draft, item, &told, clock)
    }

    fn message(&mut self, draft: &mut Draft, item: Value<'_>, told: &Told, clock: &mut Clock) -> Result<(), HarError> {
        let ended = match told.at {
            Moment::Wall(at) => self.recorder.instant(at),
            Moment::Clock(at) => clock.instant(at),
            Moment::Unknown => clock.last,
        };
        clock.last = clock.last.max(ended);
        let count = |name: &str| item.get(name).and_then(Value::count);
        let message = NewMessage {
            from: told.from,
            kind: told.kind,
            started: Nanos(ended.0.saturating_sub(count("_overdub_took").unwrap_or(0))),
            ended,
            frames: count("_overdub_frames").and_then(|frames| u32::try_from(frames).ok()).unwrap_or(1),
            payload: &told.payload,
            compressed: item.get("_overdub_compressed").is_some_and(Value::is_true),
        };
        self.summary.messages += 1;
        Ok(self.recorder.message(draft, message)?)
    }
}

/// Times of messages that are told by a clock of their own: the first one is taken for the moment at which they could begin.
struct Clock {
    first: Option<(u64, Nanos)>,
    last: Nanos,
}

impl Clock {
    fn instant(&mut self, at: u64) -> Nanos {
        let (zero, start) = *self.first.get_or_insert((at, self.last));
        Nanos(start.0.saturating_add(at.saturating_sub(zero)))
    }
}
