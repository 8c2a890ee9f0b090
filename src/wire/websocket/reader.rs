//! Reads one direction of a WebSocket connection: frames in any pieces in, messages out.

use crate::model::{MessageKind, Nanos, Side};

use super::frame::{HEAD_BYTES, Head, Opcode, mask};
use super::inflate::Inflater;
use super::seek::Seeker;
use super::{Deflate, WebSocketError};

/// Longest message that is held, in bytes, before and after it is decompressed.
pub const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Longest control frame that is held; the standard allows 125 bytes.
const CONTROL_BYTES: usize = 64 * 1024;
/// A buffer larger than this is given back after its message, in bytes.
const KEPT_BYTES: usize = 16 * 1024;

/// A message or control frame that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// What it is.
    pub kind: MessageKind,
    /// First byte of its first frame seen.
    pub started: Nanos,
    /// Last byte of its last frame seen.
    pub ended: Nanos,
    /// Frames it came in.
    pub frames: u32,
    /// Payload, unmasked, and decompressed unless `compressed`.
    pub payload: &'a [u8],
    /// The payload is still compressed: what it looks back at was not seen, it is damaged, or nothing was agreed on.
    pub compressed: bool,
    /// The end of the message was not seen, or it was longer than the limit: this is its beginning.
    pub cut: bool,
}

/// Reads one direction.
#[derive(Debug)]
pub struct Reader {
    from: Side,
    inflater: Option<Inflater>,
    limit: usize,
    place: Place,
    /// The message under way, and the control frame under way.
    message: Assembly,
    control: Assembly,
    /// Bytes were lost: what is under way will not be ended.
    broken: bool,
    /// The start of a frame was found by evidence, which a frame that nobody sends refutes.
    found: bool,
    /// When the last byte was seen.
    seen: Nanos,
}

/// Where the next byte stands.
#[derive(Debug)]
enum Place {
    /// In a frame's head, or between two frames.
    Head(PartOfHead),
    /// In a frame's payload.
    Payload(Payload),
    /// Nobody knows.
    Lost(Box<Seeker>),
}

/// What is there of a frame's head.
#[derive(Clone, Copy, Debug, Default)]
struct PartOfHead {
    bytes: [u8; HEAD_BYTES],
    len: usize,
    started: Nanos,
}

/// How a message came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Here,
    /// The rest of it was not seen.
    Off,
}

/// A frame's payload under way.
#[derive(Clone, Copy, Debug)]
struct Payload {
    into: Into,
    fin: bool,
    mask: Option<[u8; 4]>,
    /// Bytes that are behind us.
    done: u64,
    /// Bytes that follow.
    left: u64,
}

/// Where a payload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Into {
    Message,
    Control,
    /// It has no meaning, or its message began before the reader did.
    Nothing,
}

/// A message that is put together.
#[derive(Debug, Default)]
struct Assembly {
    /// `None` between messages.
    kind: Option<MessageKind>,
    compressed: bool,
    started: Nanos,
    frames: u32,
    payload: Vec<u8>,
    cut: bool,
}

impl Reader {
    /// From the first byte after the handshake on. `deflate` is what the heads agreed on.
    pub fn new(from: Side, deflate: Option<Deflate>) -> Self {
        Self::at(from, deflate, Place::Head(PartOfHead::default()))
    }

    /// Joined in the middle: looks for the next plausible start of a frame. Without `deflate` nobody knows what was
    /// agreed on, and messages that say so are taken for compressed. They stay so until one looks back at nothing that was not seen.
    pub fn midway(from: Side, deflate: Option<Deflate>) -> Self {
        let lost = Place::Lost(Box::new(Seeker::new(from, true)));
        Self::at(from, Some(deflate.unwrap_or_default()), lost)
    }

    fn at(from: Side, deflate: Option<Deflate>, place: Place) -> Self {
        let forgets = |deflate: Deflate| match from {
            Side::Request => deflate.client_no_context_takeover,
            Side::Response => deflate.server_no_context_takeover,
        };
        Self {
            from,
            inflater: deflate.map(|deflate| Inflater::new(!forgets(deflate))),
            limit: MESSAGE_BYTES,
            place,
            message: Assembly::default(),
            control: Assembly::default(),
            broken: false,
            found: false,
            seen: Nanos(0),
        }
    }

    /// The same, and messages longer than `bytes` are cut instead of those longer than [`MESSAGE_BYTES`].
    #[must_use]
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Reads what came at `at`; gives every message that ends in it to `out`.
    ///
    /// # Errors
    /// When it cannot be WebSocket; see [`WebSocketError`].
    pub fn read(&mut self, at: Nanos, input: &[u8], out: &mut dyn FnMut(Found<'_>)) -> Result<(), WebSocketError> {
        self.settle(out);
        let Place::Lost(seeker) = &mut self.place else { return self.frames(at, input, out) };
        let Some(place) = seeker.piece(at, input) else { return Ok(()) };
        self.place = Place::Head(PartOfHead::default());
        self.found = true;
        for (at, piece) in place.pieces() {
            // Once lost again the rest is passed over rather than searched a second time: what was found was no frame.
            if matches!(self.place, Place::Lost(_)) {
                break;
            }
            self.frames(at, piece, out)?;
        }
        Ok(())
    }

    /// So many bytes were never seen (0: nobody knows how many). Inside of a payload the end of the frame is still known;
    /// elsewhere the next frame is looked for.
    pub fn gap(&mut self, bytes: u64) {
        if bytes > 0
            && let Place::Payload(payload) = &mut self.place
            && bytes <= payload.left
        {
            payload.left -= bytes;
            payload.done = payload.done.wrapping_add(bytes);
            match payload.into {
                Into::Message => self.message.cut = true,
                Into::Control => self.control.cut = true,
                Into::Nothing => {}
            }
        } else if let Place::Lost(seeker) = &mut self.place {
            seeker.gap();
        } else {
            self.lose();
        }
    }

    /// Nothing follows, at `at`: gives what was begun and not ended.
    pub fn end(&mut self, at: Nanos, out: &mut dyn FnMut(Found<'_>)) {
        self.settle(out);
        self.seen = at;
        self.broken = true;
        self.settle(out);
        self.place = Place::Lost(Box::new(Seeker::new(self.from, true)));
    }

    /// Gives what a gap left behind.
    fn settle(&mut self, out: &mut dyn FnMut(Found<'_>)) {
        if let Place::Payload(payload @ Payload { left: 0, .. }) = self.place {
            self.frame_ended(payload, out);
        }
        if std::mem::take(&mut self.broken) {
            self.emit(Into::Control, None, Ended::Off, out);
            self.emit(Into::Message, None, Ended::Off, out);
            if let Some(inflater) = &mut self.inflater {
                inflater.forget();
            }
        }
    }

    fn lose(&mut self) {
        self.broken = true;
        self.place = Place::Lost(Box::new(Seeker::new(self.from, self.inflater.is_some())));
    }

    fn frames(&mut self, at: Nanos, input: &[u8], out: &mut dyn FnMut(Found<'_>)) -> Result<(), WebSocketError> {
        let mut rest = input;
        while !rest.is_empty() {
            self.seen = at;
            match &mut self.place {
                Place::Head(part) => match part.read(at, rest) {
                    Ok(Some((head, read))) => {
                        let started = part.started;
                        rest = rest.get(read..).unwrap_or_default();
                        self.frame_began(&head, started, out);
                    }
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        self.lose();
                        return if self.found { Ok(()) } else { Err(error) };
                    }
                },
                Place::Payload(payload) => {
                    let before = *payload;
                    let here = usize::try_from(before.left).unwrap_or(usize::MAX).min(rest.len());
                    let (piece, behind) = rest.split_at(here);
                    rest = behind;
                    payload.left -= here as u64;
                    payload.done = payload.done.wrapping_add(here as u64);
                    let ends = payload.left == 0;
                    if ends && before.done == 0 && before.fin && before.mask.is_none() && self.is_empty(before.into) {
                        // All of it in one piece as it was sent: nothing to put together.
                        self.place = Place::Head(PartOfHead::default());
                        self.emit(before.into, Some(piece), Ended::Here, out);
                        continue;
                    }
                    self.take(&before, piece);
                    if ends {
                        self.frame_ended(before, out);
                    }
                }
                Place::Lost(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// A frame's head is there.
    fn frame_began(&mut self, head: &Head, started: Nanos, out: &mut dyn FnMut(Found<'_>)) {
        if self.found && !head.is_sent() {
            self.lose();
            return;
        }
        let into = match head.opcode {
            Opcode::Continuation if self.message.kind.is_some() => {
                self.message.frames = self.message.frames.saturating_add(1);
                Into::Message
            }
            Opcode::Continuation | Opcode::Reserved => Into::Nothing,
            Opcode::Data(kind) => {
                // One that was never ended.
                self.emit(Into::Message, None, Ended::Off, out);
                self.message.begin(kind, head.rsv1, started);
                Into::Message
            }
            Opcode::Control(kind) => {
                self.control.begin(kind, false, started);
                Into::Control
            }
        };
        let fin = head.fin || into == Into::Control;
        let payload = Payload { into, fin, mask: head.mask, done: 0, left: head.len };
        self.place = Place::Payload(payload);
        if payload.left == 0 {
            self.frame_ended(payload, out);
        }
    }

    fn frame_ended(&mut self, payload: Payload, out: &mut dyn FnMut(Found<'_>)) {
        self.place = Place::Head(PartOfHead::default());
        if payload.fin {
            self.emit(payload.into, None, Ended::Here, out);
        }
    }

    fn is_empty(&self, into: Into) -> bool {
        match into {
            Into::Message => self.message.payload.is_empty() && !self.message.cut,
            Into::Control => self.control.payload.is_empty() && !self.control.cut,
            Into::Nothing => true,
        }
    }

    /// Puts a piece of a payload behind what is there of its message.
    fn take(&mut self, payload: &Payload, piece: &[u8]) {
        let (assembly, limit) = match payload.into {
            Into::Message => (&mut self.message, self.limit),
            Into::Control => (&mut self.control, CONTROL_BYTES),
            Into::Nothing => return,
        };
        if assembly.cut {
            return;
        }
        let room = limit.saturating_sub(assembly.payload.len());
        let fits = &piece[..piece.len().min(room)];
        assembly.cut = fits.len() < piece.len();
        let before = assembly.payload.len();
        assembly.payload.extend_from_slice(fits);
        if let Some(key) = payload.mask {
            mask(&mut assembly.payload[before..], key, payload.done);
        }
    }

    /// Gives the message under way, if any. `whole` is its payload when nothing of it was put together.
    fn emit(&mut self, into: Into, whole: Option<&[u8]>, ended: Ended, out: &mut dyn FnMut(Found<'_>)) {
        let (assembly, limit) = match into {
            Into::Message => (&mut self.message, self.limit),
            Into::Control => (&mut self.control, CONTROL_BYTES),
            Into::Nothing => return,
        };
        let Some(kind) = assembly.kind.take() else { return };
        let payload = whole.unwrap_or(&assembly.payload);
        let sent = &payload[..payload.len().min(limit)];
        let cut = assembly.cut || ended == Ended::Off || sent.len() < payload.len();
        let mut found = Found {
            kind,
            started: assembly.started,
            ended: self.seen,
            frames: assembly.frames,
            payload: sent,
            compressed: assembly.compressed,
            cut,
        };
        if let (true, Some(inflater)) = (assembly.compressed, &mut self.inflater) {
            let plain = if cut {
                inflater.beginning(sent, limit).map(|plain| (plain, true))
            } else {
                inflater.message(sent, limit)
            };
            // Of a beginning too short to tell anything, the bytes as they are say more.
            if let Ok((plain, cut)) = plain.map_err(drop)
                && (!plain.is_empty() || sent.is_empty() || !cut)
            {
                found = Found { payload: plain, compressed: false, cut, ..found };
            }
        }
        out(found);
        assembly.payload.clear();
        assembly.payload.shrink_to(KEPT_BYTES);
    }
}

impl Assembly {
    fn begin(&mut self, kind: MessageKind, compressed: bool, started: Nanos) {
        self.payload.clear();
        *self = Self {
            kind: Some(kind),
            compressed,
            started,
            frames: 1,
            payload: std::mem::take(&mut self.payload),
            cut: false,
        };
    }
}

impl PartOfHead {
    /// Takes bytes until the head is whole; returns it and how many were taken.
    fn read(&mut self, at: Nanos, input: &[u8]) -> Result<Option<(Head, usize)>, WebSocketError> {
        if self.len == 0 {
            self.started = at;
            if let Some(whole) = Head::parse(input)? {
                return Ok(Some(whole));
            }
        }
        for (taken, byte) in (1..).zip(input) {
            let Some(room) = self.bytes.get_mut(self.len) else { break };
            *room = *byte;
            self.len += 1;
            if let Some((head, _)) = Head::parse(&self.bytes[..self.len])? {
                return Ok(Some((head, taken)));
            }
        }
        Ok(None)
    }
}
