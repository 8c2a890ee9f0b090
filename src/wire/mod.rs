//! Bytes to model and back, without sockets, files or clocks.
//!
//! One HTTP/1 core serves the proxy, import and replay; the lenses see every value inside a message and can put
//! another in its place without touching the bytes around it.

pub mod content;
pub mod content_stream;
pub mod cookie;
pub mod grpc;
pub mod html;
pub mod http1;
pub mod http2;
pub mod identity;
pub mod json;
pub mod leaf;
pub mod multipart;
pub mod redact;
pub mod rows;
pub mod sniff;
pub mod socks5;
pub mod sse;
pub mod text;
pub mod url;
pub mod websocket;
