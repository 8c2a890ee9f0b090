//! What passes inside one exchange after its heads: WebSocket messages, server-sent events, gRPC messages, bytes of tunnels.

use super::{Body, ExchangeId, Nanos, Side};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// WebSocket text.
    Text,
    /// WebSocket binary.
    Binary,
    /// WebSocket close: code and reason as on the wire.
    Close,
    /// WebSocket ping.
    Ping,
    /// WebSocket pong.
    Pong,
    /// A server-sent event: its lines as on the wire, with the empty line.
    Event,
    /// A gRPC message without its five-byte prefix.
    Grpc,
    /// Bytes of a tunnel that is not looked into, as they came at once.
    Bytes,
}

/// One WebSocket message, server-sent event or gRPC message inside an exchange. Events and gRPC messages are also part of
/// the exchange's body; WebSocket messages and the bytes of tunnels are nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Inside which exchange.
    pub exchange: ExchangeId,
    /// From 1, in the order in which the messages of this exchange ended.
    pub number: u32,
    /// Who sent it.
    pub from: Side,
    /// What it is.
    pub kind: MessageKind,
    /// Its first byte was seen.
    pub started: Nanos,
    /// Its last byte was seen.
    pub ended: Nanos,
    /// WebSocket frames that it was sent in; else 1.
    pub frames: u32,
    /// Its payload, unmasked and decompressed.
    pub body: Body,
    /// True when the payload is still compressed, since it cannot be decompressed (joined in the middle, damaged).
    pub compressed: bool,
}
