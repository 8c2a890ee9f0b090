//! What a connection speaks, layer by layer: which one it is now, and how it becomes another.
//!
//! ```text
//! Sniffing ─► Http1 ─101─► WebSocket | Http2 | Opaque
//!    │           └─CONNECT─► Sniffing
//!    ├─► Http2
//!    ├─► Tls ─ plaintext ─► a Talk of its own
//!    ├─► Socks ─► Sniffing
//!    └─► Opaque
//! ```

use crate::model::{Nanos, Side};
use crate::observe::streams::Ending;

use super::desk::{Context, Desk};
use super::http1::Http1;
use super::http2::Http2;
use super::open::index;
use super::raw::Raw;
use super::sniffing::Sniffing;
use super::socks::Socks;
use super::tls::Tls;
use super::websocket::WebSocket;

/// Most layers that one connection goes through, one after another, and most Talks inside each other.
const MOST_TURNS: u8 = 12;
const DEEPEST: u8 = 4;

/// One connection, or the plaintext inside another.
#[derive(Debug)]
pub(super) struct Talk {
    layer: Layer,
    turns: u8,
    depth: u8,
    /// The sides were taken for each other.
    turned_round: bool,
    ended: [Option<(Nanos, Ending)>; 2],
}

/// What it speaks now.
#[derive(Debug)]
pub(super) enum Layer {
    Sniffing(Box<Sniffing>),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Tls(Box<Tls>),
    Socks(Box<Socks>),
    WebSocket(Box<WebSocket>),
    /// Something that is not looked into, and recorded as it is.
    Raw(Box<Raw>),
    /// Something that is not looked into.
    Opaque(&'static str),
}

/// A layer gives way to another.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) to: Layer,
    /// What came before and belongs to the new layer, in order.
    pub(super) left: Vec<(Side, Nanos, Vec<u8>)>,
    /// So many of the bytes just given are used up or in `left`.
    pub(super) used: usize,
    /// Client and server were taken for each other.
    pub(super) round: bool,
}

impl Turn {
    pub(super) fn to(to: Layer) -> Self {
        Self { to, left: Vec::new(), used: 0, round: false }
    }

    pub(super) fn leave(&mut self, side: Side, at: Nanos, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.left.push((side, at, bytes));
        }
    }
}

impl Layer {
    /// At the first byte of something.
    pub(super) fn sniffing(cx: &Context<'_>) -> Self {
        Self::Sniffing(Box::new(Sniffing::new(cx.path.midway, cx.path.server.port())))
    }
}

impl Talk {
    pub(super) fn new(layer: Layer, depth: u8) -> Self {
        let layer = if depth > DEEPEST { Layer::Opaque("too deep") } else { layer };
        Self { layer, turns: 0, depth, turned_round: false, ended: [None, None] }
    }

    /// The next bytes of a side.
    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) {
        self.feed(cx, self.facing(side), at, bytes);
    }

    /// So many bytes of a side were not seen.
    pub(super) fn gap(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: u64) {
        let sender = side;
        let side = self.facing(sender);
        let turn = match &mut self.layer {
            Layer::Sniffing(layer) => {
                if let Some(turn) = layer.gap(cx, side) {
                    self.turn(cx, side, at, &[], turn);
                    return self.gap(cx, sender, at, bytes);
                }
                None
            }
            Layer::Http1(layer) => layer.gap(cx, side, at, bytes),
            Layer::Http2(layer) => {
                layer.gap(cx, side, at, bytes);
                None
            }
            Layer::Tls(layer) => {
                layer.gap(cx, self.depth, side, at, bytes);
                None
            }
            Layer::Socks(_) => Some(Turn::to(Layer::Opaque("SOCKS"))),
            Layer::WebSocket(layer) => {
                layer.gap(cx, side, bytes);
                None
            }
            Layer::Raw(layer) => {
                layer.gap(cx, side, bytes);
                None
            }
            Layer::Opaque(_) => None,
        };
        if let Some(turn) = turn {
            self.turn(cx, side, at, &[], turn);
        }
    }

    /// A side sends no more.
    pub(super) fn ended(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, how: Ending) {
        if let Layer::Sniffing(layer) = &mut self.layer
            && let Some(turn) = layer.look(cx)
        {
            self.turn(cx, self.facing(side), at, &[], turn);
        }
        let side = self.facing(side);
        if self.ended[index(side)].is_none() {
            self.ended[index(side)] = Some((at, how));
            self.end(cx, side, at, how);
        }
    }

    /// Tells what goes on for long. Of the layers that a live proxy hands over.
    pub(super) fn tell_so_far(&mut self, desk: &mut Desk, now: Nanos) {
        match &mut self.layer {
            Layer::Http2(layer) => layer.tell_so_far(desk, now),
            Layer::WebSocket(layer) => layer.tell_so_far(desk, now),
            Layer::Raw(layer) => layer.tell_so_far(desk, now),
            Layer::Sniffing(_) | Layer::Http1(_) | Layer::Tls(_) | Layer::Socks(_) | Layer::Opaque(_) => {}
        }
    }

    /// What it is called in the tally.
    pub(super) fn label(&self) -> &'static str {
        match &self.layer {
            Layer::Sniffing(layer) if layer.is_silent() => "silent",
            Layer::Sniffing(_) | Layer::Opaque(_) => "not HTTP",
            Layer::Http1(_) => "HTTP/1",
            Layer::Http2(_) => "HTTP/2",
            Layer::Tls(layer) => layer.label(),
            Layer::Socks(_) => "SOCKS",
            Layer::WebSocket(_) => "WebSocket",
            Layer::Raw(_) => "not HTTP",
        }
    }

    /// Counts what was not looked into. Once, at the end.
    pub(super) fn count(&self, cx: &mut Context<'_>) {
        match &self.layer {
            Layer::Opaque(protocol) => cx.desk.tally.opaque(protocol, cx.path.server, cx.path.bytes),
            Layer::Sniffing(layer) if !layer.is_silent() => {
                cx.desk.tally.opaque(layer.guess(), cx.path.server, cx.path.bytes);
            }
            Layer::Socks(_) => cx.desk.tally.opaque("SOCKS", cx.path.server, cx.path.bytes),
            Layer::Tls(layer) => layer.count(cx),
            _ => {}
        }
    }

    fn facing(&self, side: Side) -> Side {
        if self.turned_round { side.other() } else { side }
    }

    fn feed(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) {
        let turn = match &mut self.layer {
            Layer::Sniffing(layer) => layer.bytes(cx, side, at, bytes),
            Layer::Http1(layer) => layer.bytes(cx, side, at, bytes),
            Layer::Http2(layer) => {
                layer.bytes(cx, side, at, bytes);
                None
            }
            Layer::Tls(layer) => {
                layer.bytes(cx, self.depth, side, at, bytes);
                None
            }
            Layer::Socks(layer) => layer.bytes(cx, side, at, bytes),
            Layer::WebSocket(layer) => {
                layer.bytes(cx, side, at, bytes);
                None
            }
            Layer::Raw(layer) => {
                layer.bytes(cx, side, at, bytes);
                None
            }
            Layer::Opaque(_) => None,
        };
        if let Some(turn) = turn {
            self.turn(cx, side, at, bytes, turn);
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8], turn: Turn) {
        self.turns = self.turns.saturating_add(1);
        self.layer = if self.turns > MOST_TURNS { Layer::Opaque("too many protocols") } else { turn.to };
        let face = |side: Side| if turn.round { side.other() } else { side };
        if turn.round {
            self.turned_round = !self.turned_round;
            self.ended.swap(0, 1);
            cx.path.turn_round();
        }
        for (side, at, bytes) in turn.left {
            self.feed(cx, face(side), at, &bytes);
        }
        if let Some(rest) = bytes.get(turn.used..).filter(|rest| !rest.is_empty()) {
            self.feed(cx, face(side), at, rest);
        }
        for side in [Side::Request, Side::Response] {
            if let Some((at, how)) = self.ended[index(side)] {
                self.end(cx, side, at, how);
            }
        }
    }

    fn end(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, how: Ending) {
        match &mut self.layer {
            Layer::Http1(layer) => layer.ended(cx, side, at, how),
            Layer::Http2(layer) => layer.ended(cx, side, at, how),
            Layer::Tls(layer) => layer.ended(cx, self.depth, side, at, how),
            Layer::WebSocket(layer) => layer.ended(cx, side, at, how),
            Layer::Raw(layer) => layer.ended(cx, side, at, how),
            Layer::Sniffing(_) | Layer::Socks(_) | Layer::Opaque(_) => {}
        }
    }
}
