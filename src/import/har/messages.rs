//! What passed inside an entry: WebSocket messages and server-sent events, as browsers and proxies list them.
//!
//! Main functions: [`socket`], [`event`].

use super::date;
use super::json::Value;
use super::text::{base64_bytes, unescaped};
use crate::model::{MessageKind, Side};
use crate::observe::streams::UnixNanos;

/// A message as the file holds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) from: Side,
    pub(super) kind: MessageKind,
    pub(super) at: Moment,
    pub(super) payload: Vec<u8>,
}

/// When a message passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// At this wall-clock time.
    Wall(UnixNanos),
    /// So many nanoseconds by a clock that starts anywhere.
    Clock(u64),
    /// Not said.
    Unknown,
}

/// The list of WebSocket messages of an entry; none when it has none.
pub(super) fn sockets(entry: Value<'_>) -> Option<Value<'_>> {
    const NAMES: [&str; 4] = ["_webSocketMessages", "_websocketMessages", "webSocketMessages", "websocketMessages"];
    entry.any(&NAMES).or_else(|| entry.get("response")?.any(&NAMES)).filter(|list| list.is_array())
}

/// A WebSocket message: `type` (`send`, `receive`), `time`, `opcode`, `data`, which is base64 unless the opcode is that of
/// text. None for what is no message.
pub(super) fn socket(message: Value<'_>) -> Option<Told> {
    let direction = message.any(&["type", "direction", "from"])?.text()?.to_ascii_lowercase();
    let from = match direction.as_str() {
        "send" | "sent" | "request" | "outgoing" | "out" | "client" => Side::Request,
        "receive" | "received" | "response" | "incoming" | "in" | "server" => Side::Response,
        _ => return None,
    };
    let opcode =
        message.any(&["opcode", "opCode", "dataType", "messageType"]).and_then(Value::text).unwrap_or_default();
    let kind = match opcode.to_ascii_lowercase().as_str() {
        "" | "1" | "text" => MessageKind::Text,
        "8" | "close" => MessageKind::Close,
        "9" | "ping" => MessageKind::Ping,
        "10" | "pong" => MessageKind::Pong,
        _ => MessageKind::Binary,
    };
    let data = message.any(&["data", "payload", "text", "content"]);
    let data = data.map_or(Vec::new(), |data| match data.is_string() {
        true => unescaped(data.inner()).into_owned().into_bytes(),
        false => data.written().to_vec(),
    });
    let mut payload = payload(kind, data);
    if let Some(code) = message.get("code").and_then(Value::count).and_then(|code| u16::try_from(code).ok())
        && kind == MessageKind::Close
        && payload.is_empty()
    {
        payload = code.to_be_bytes().to_vec();
    }
    Some(Told { from, kind, at: moment(message), payload })
}

/// The payload that this text stands for.
pub(super) fn payload(kind: MessageKind, text: Vec<u8>) -> Vec<u8> {
    match kind {
        MessageKind::Text => text,
        _ => base64_bytes(&text).unwrap_or(text),
    }
}

/// A server-sent event: `time`, `eventName`, `eventId`, `data`; its lines as a server writes them.
pub(super) fn event(message: Value<'_>) -> Option<Told> {
    let data = message.get("data")?.text()?;
    let mut lines = String::new();
    for (key, name) in [("eventId", "id"), ("eventName", "event")] {
        let value = message.get(key).and_then(Value::words).filter(|value| !(key == "eventName" && value == "message"));
        if let Some(value) = value.filter(|value| !value.contains(['\n', '\r'])) {
            lines.push_str(&format!("{name}: {value}\n"));
        }
    }
    for line in data.split('\n') {
        lines.push_str(&format!("data: {line}\n"));
    }
    lines.push('\n');
    Some(Told { from: Side::Response, kind: MessageKind::Event, at: moment(message), payload: lines.into_bytes() })
}

fn moment(message: Value<'_>) -> Moment {
    let Some(time) = message.any(&["time", "timestamp", "startedDateTime"]).and_then(Value::text) else {
        return Moment::Unknown;
    };
    match (date::parse(&time), time.trim().parse::<f64>()) {
        (Some(at), _) => Moment::Wall(at),
        (None, Ok(seconds)) => Moment::Clock(super::timing::nanos(seconds * 1000.0)),
        _ => Moment::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_their_writers_put_them() {
        let at = Moment::Wall(1_693_314_200_336_985_000);
        for (json, from, kind, payload, moment) in [
            (
                r#"{"type":"receive","time":1693314200.336985,"opcode":1,"data":"{\"a\":1}"}"#,
                Side::Response,
                MessageKind::Text,
                &b"{\"a\":1}"[..],
                at,
            ),
            (
                r#"{"type":"send","time":1693314200336.985,"opcode":2,"data":"AP8="}"#,
                Side::Request,
                MessageKind::Binary,
                &b"\x00\xff"[..],
                at,
            ),
            (
                r#"{"direction":"outgoing","timestamp":"2023-08-29T13:03:20.336985Z","opcode":"ping"}"#,
                Side::Request,
                MessageKind::Ping,
                b"",
                at,
            ),
            (
                r#"{"type":"receive","opcode":8,"data":"","code":1000}"#,
                Side::Response,
                MessageKind::Close,
                &b"\x03\xe8"[..],
                Moment::Unknown,
            ),
            (
                r#"{"type":"receive","time":1.5,"opcode":1,"data":{"x":1}}"#,
                Side::Response,
                MessageKind::Text,
                &b"{\"x\":1}"[..],
                Moment::Clock(1_500_000_000),
            ),
        ] {
            let told = socket(Value::first(json.as_bytes()).unwrap());
            assert_eq!(told, Some(Told { from, kind, at: moment, payload: payload.to_vec() }), "{json}");
        }
        assert_eq!(socket(Value::first(br#"{"type":"error","data":"x"}"#).unwrap()), None);
    }

    #[test]
    fn events_become_the_lines_that_a_server_sent() {
        let json = br#"{"time":1693314200,"eventName":"tick","eventId":"7","data":"a\nb"}"#;
        assert_eq!(event(Value::first(json).unwrap()).unwrap().payload, b"id: 7\nevent: tick\ndata: a\ndata: b\n\n");
        let json = br#"{"eventName":"message","eventId":"","data":"x"}"#;
        assert_eq!(event(Value::first(json).unwrap()).unwrap().payload, b"data: x\n\n");
    }
}
