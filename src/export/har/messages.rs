//! Messages inside an exchange as browsers list them: `_webSocketMessages` and `_eventSourceMessages`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{ExportError, Options};
use crate::capture::Reader;
use crate::model::{BodyError, BodySource as _, Message, MessageKind, Side};

/// The messages of an exchange as HAR has them.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) sockets: Vec<Value>,
    pub(super) events: Vec<Value>,
    /// Those that are too long or lost.
    pub(super) left_out: u64,
}

/// Lists messages; those of gRPC stand in the body alone.
pub(super) fn list(
    reader: &Reader,
    messages: &[Message],
    anchor: u64,
    options: &Options,
) -> Result<Listed, ExportError> {
    let mut listed = Listed::default();
    for message in messages {
        if matches!(message.kind, MessageKind::Grpc | MessageKind::Bytes) {
            continue;
        }
        let payload = match reader.load(&message.body, options.body_limit) {
            Ok(payload) => payload,
            Err(BodyError::Missing(_) | BodyError::TooLarge { .. }) => {
                listed.left_out += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let ended = anchor.saturating_add(message.ended.0);
        let time = json!(ended as f64 / 1e9);
        if message.kind == MessageKind::Event {
            listed.events.push(event(&payload, time));
        } else {
            listed.sockets.push(socket(message, payload, time));
        }
    }
    Ok(listed)
}

fn socket(message: &Message, payload: Vec<u8>, time: Value) -> Value {
    let opcode = match message.kind {
        MessageKind::Text => 1,
        MessageKind::Close => 8,
        MessageKind::Ping => 9,
        MessageKind::Pong => 10,
        MessageKind::Binary | MessageKind::Event | MessageKind::Grpc | MessageKind::Bytes => 2,
    };
    let data = if opcode == 1 && !message.compressed {
        String::from_utf8_lossy(&payload).into_owned()
    } else {
        STANDARD.encode(payload)
    };
    let from = if message.from == Side::Request { "send" } else { "receive" };
    let mut all = Map::new();
    for (key, value) in [("type", json!(from)), ("time", time), ("opcode", json!(opcode)), ("data", json!(data))] {
        all.insert(key.to_owned(), value);
    }
    if message.frames != 1 {
        all.insert("_overdub_frames".to_owned(), json!(message.frames));
    }
    if message.compressed {
        all.insert("_overdub_compressed".to_owned(), json!(true));
    }
    let took = message.ended.0.saturating_sub(message.started.0);
    if took > 0 {
        all.insert("_overdub_took".to_owned(), json!(took));
    }
    Value::Object(all)
}

/// The fields of a server-sent event (WHATWG HTML §9.2.6).
fn event(payload: &[u8], time: Value) -> Value {
    let text = String::from_utf8_lossy(payload);
    let (mut name, mut id, mut data) = ("message".to_owned(), String::new(), Vec::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "id" => id = value.to_owned(),
            "data" => data.push(value.to_owned()),
            _ => {}
        }
    }
    json!({"time": time, "eventName": name, "eventId": id, "data": data.join("\n")})
}
