//! Heads of which only the beginning was seen: cut off by a gap, a short snapshot length, or the end of the capture.

use super::lenient::Belief;
use super::reader::{Direction, State};
use super::{Event, Framing, Reader, RequestHead, lenient, seek};
use crate::model::{Headers, Version};

/// A head of which only the beginning was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutHead {
    /// The head, with the fields that are whole.
    pub event: Event,
    /// The start line is whole; otherwise more of the target may follow.
    pub target: bool,
}

/// For observers.
impl Reader {
    /// What is known of the message whose head `held` begins, the bytes not consumed, when the rest of the head cannot be
    /// seen any more. None when they begin no message. The reader looks for the next message then.
    pub fn cut_head(&mut self, held: &[u8]) -> Option<CutHead> {
        let lines = memchr::memrchr(b'\n', held).map_or(0, |at| at + 1);
        match self.state {
            State::Head { begun: true, .. } => {}
            State::Seek { body: false, .. } if lines == 0 => {}
            _ => return None,
        }
        let event = match (self.direction, lines) {
            (Direction::Requests, 0) => cut_request_line(held)?,
            (Direction::Requests, _) => {
                let raw = [&held[..lines], b"\r\n"].concat();
                let head = lenient::request(&raw, &self.limits, self.believed(), &mut self.told).ok()?;
                Event::Request(head, Framing::None)
            }
            (Direction::Responses, _) => {
                let (start, belief) = if lines == 0 { (held, Belief::Form) } else { (&held[..lines], self.believed()) };
                let raw = [start, b"\r\n\r\n"].concat();
                let head = lenient::response(&raw, &self.limits, belief, &mut self.told).ok()?;
                Event::Response(head, Framing::None)
            }
        };
        self.seek();
        Some(CutHead { event, target: self.direction == Direction::Responses || lines > 0 })
    }
}

fn cut_request_line(held: &[u8]) -> Option<Event> {
    let (method, target) = seek::cut_request_line(held)?;
    let head = RequestHead {
        raw: Vec::new(),
        method: String::from_utf8_lossy(method).into_owned(),
        target: target.to_vec(),
        version: Version::Http11,
        headers: Headers::default(),
    };
    Some(Event::Request(head, Framing::None))
}
