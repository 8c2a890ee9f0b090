//! What passed over a WebSocket, as a flow lists it.

use super::tnetstring::Value;
use crate::model::{MessageKind, Side};
use crate::observe::streams::UnixNanos;

/// A WebSocket inside a flow, or beside it in a flow of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket<'a>(Value<'a>);

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) from: Side,
    pub(super) kind: MessageKind,
    pub(super) payload: &'a [u8],
    pub(super) at: Option<UnixNanos>,
    /// mitmproxy kept it from the other side.
    pub(super) dropped: bool,
    /// mitmproxy made it up.
    pub(super) injected: bool,
}

/// How a WebSocket was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It was open when the flow was written.
    Open,
    /// By a close frame with this payload.
    By(Side, Vec<u8>),
    /// Without one.
    Broken(Side),
}

impl<'a> Socket<'a> {
    /// The socket of a flow, or of the flow that an older version keeps beside it.
    pub(super) fn of(flow: Value<'a>, beside: Option<Value<'a>>) -> Option<Self> {
        flow.get("websocket").or(beside).map(Self)
    }

    /// The messages in order.
    pub(super) fn messages(self) -> impl Iterator<Item = Told<'a>> {
        self.0.get("messages").into_iter().flat_map(Value::items).filter_map(told)
    }

    /// When it was closed.
    pub(super) fn end(self) -> Option<UnixNanos> {
        let own = self.0.get("timestamp_end");
        own.or_else(|| self.0.get("server_conn")?.get("timestamp_end")).and_then(Value::moment)
    }

    /// How it was closed (RFC 6455 §7.4.1: 1005, 1006 and 1015 are never sent).
    pub(super) fn closed(self) -> Closed {
        let by = match (self.0.get("closed_by_client"), self.0.get("close_sender").and_then(Value::text)) {
            (Some(client), _) => Some(client.is_true()),
            (None, sender) => sender.map(|sender| sender == "client"),
        };
        let code = self.0.get("close_code").and_then(Value::integer).and_then(|code| u16::try_from(code).ok());
        let side = match by {
            None if code.is_none() => return Closed::Open,
            Some(true) => Side::Request,
            _ => Side::Response,
        };
        let reason = self.0.get("close_reason").and_then(Value::bytes).unwrap_or_default();
        match code {
            Some(1006 | 1015) => Closed::Broken(side),
            None | Some(1005) => Closed::By(side, Vec::new()),
            Some(code) => Closed::By(side, [&code.to_be_bytes(), reason].concat()),
        }
    }
}

/// `[opcode, from_client, content, timestamp, dropped, injected]`; the last came with version 15, the one before with 7.
fn told(message: Value<'_>) -> Option<Told<'_>> {
    let mut parts = message.items();
    let kind = match parts.next()?.integer()? {
        1 => MessageKind::Text,
        8 => MessageKind::Close,
        9 => MessageKind::Ping,
        10 => MessageKind::Pong,
        _ => MessageKind::Binary,
    };
    let from = if parts.next()?.is_true() { Side::Request } else { Side::Response };
    let payload = parts.next()?.bytes()?;
    let at = parts.next().and_then(Value::moment);
    let mut flag = || parts.next().is_some_and(Value::is_true);
    Some(Told { from, kind, payload, at, dropped: flag(), injected: flag() })
}
