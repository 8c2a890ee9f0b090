//! The words of the product as plain data: exchanges, sessions, bodies, timing.
//!
//! No I/O, no serialization format, no async runtime. Every other room speaks in these types.

mod body;
mod data;
mod exchange;
mod message;
mod session;
mod time;
mod url;

pub use body::{Body, BodyError, BodySource, CHUNK_BYTES, ChunkId, MemoryBodies};
pub use data::DataTable;
pub use exchange::{
    Aside, Exchange, ExchangeId, Headers, Incomplete, Remark, Request, Response, Side, Timing, Transport, Version,
};
pub use message::{Message, MessageKind};
pub use session::{Session, SessionId, SessionInfo};
pub use time::{Nanos, Span};
pub use url::{Origin, OriginError, Scheme};
