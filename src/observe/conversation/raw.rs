//! A tunnel that is not looked into: its bytes as they came, each piece a message of the exchange that opened it.

use crate::model::{MessageKind, Nanos, Side};
use crate::observe::recorder::NewMessage;
use crate::observe::streams::Ending;

use super::desk::{Context, Desk};
use super::open::{Open, index};
use super::reasons;

/// Both directions of a tunnel.
#[derive(Debug)]
pub(super) struct Raw {
    open: Option<Box<Open>>,
    ended: [bool; 2],
}

impl Raw {
    pub(super) fn new(open: Box<Open>) -> Self {
        Self { open: Some(open), ended: [false; 2] }
    }

    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) {
        let Some(open) = &mut self.open else { return };
        let message = NewMessage {
            from: side,
            kind: MessageKind::Bytes,
            started: at,
            ended: at,
            frames: 1,
            payload: bytes,
            compressed: false,
        };
        cx.desk.message(&mut open.draft, message);
        open.draft.exchange.timing.finished = at;
    }

    pub(super) fn tell_so_far(&mut self, desk: &mut Desk, now: Nanos) {
        if let Some(open) = &mut self.open {
            open.tell_so_far(desk, now);
        }
    }

    pub(super) fn gap(&mut self, cx: &mut Context<'_>, side: Side, bytes: u64) {
        if let Some(open) = &mut self.open {
            cx.desk.recorder.gap(&mut open.draft, side, bytes);
        }
    }

    pub(super) fn ended(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, how: Ending) {
        self.ended[index(side)] = true;
        if let (true, Some(open)) = (how == Ending::Reset, &mut self.open) {
            let reset = reasons::reset(side).to_string();
            open.remark(reset);
        }
        if self.ended == [true; 2]
            && let Some(open) = self.open.take()
        {
            open.finish(cx.desk, at);
        }
    }
}
