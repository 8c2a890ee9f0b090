//! Cuts a gRPC body into its length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message"; gRPC-Web frames).
//!
//! Sans-io: bytes of one direction's body in, messages out. What a message says is not looked at.

use crate::model::Nanos;

/// Longest message that is held, in bytes.
pub const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// A buffer larger than this is given back after its message, in bytes.
const KEPT_BYTES: usize = 16 * 1024;
/// Flags and length.
const PREFIX_BYTES: usize = 5;
const COMPRESSED: u8 = 0x01;
/// gRPC-Web: the "message" holds trailer fields as text.
const TRAILERS: u8 = 0x80;

/// Whether a `Content-Type` value names gRPC: `application/grpc`, alone or with a subtype behind `+`.
pub fn is_grpc(content_type: &str) -> bool {
    is_type_or_kind_of(content_type, "application/grpc")
}

/// Whether a `Content-Type` value names gRPC-Web in bytes (not in base64), whose messages [`Reader`] reads, too.
pub fn is_grpc_web(content_type: &str) -> bool {
    is_type_or_kind_of(content_type, "application/grpc-web")
}

fn is_type_or_kind_of(content_type: &str, name: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim_ascii();
    match essence.split_at_checked(name.len()) {
        Some((start, rest)) => start.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.starts_with('+')),
        None => false,
    }
}

/// A message that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// First byte of its prefix seen.
    pub started: Nanos,
    /// Last byte seen.
    pub ended: Nanos,
    /// It is compressed as the `grpc-encoding` field says.
    pub compressed: bool,
    /// It is the trailer fields of gRPC-Web.
    pub trailers: bool,
    /// Without the prefix.
    pub payload: &'a [u8],
    /// The end of the message was not seen, or it was longer than [`MESSAGE_BYTES`]: this is its beginning.
    pub cut: bool,
}

/// Why bytes are not gRPC messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrpcError {
    /// Flags that no message has.
    #[error("a message with the flags {0:#04x} cannot be")]
    Flags(u8),
}

/// Reads the body of one direction.
#[derive(Debug, Default)]
pub struct Reader {
    place: Place,
    message: Message,
    held: Vec<u8>,
    /// When the last byte was seen.
    seen: Nanos,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a prefix, of which so many bytes are there, or between two messages.
    Prefix([u8; PREFIX_BYTES], usize),
    /// So many bytes of the message follow.
    Payload(u64),
    /// Bytes were lost: a message is looked for where a piece of input begins.
    Lost,
}

impl Default for Place {
    fn default() -> Self {
        Self::Prefix([0; PREFIX_BYTES], 0)
    }
}

/// The message under way.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    started: Nanos,
    flags: u8,
    cut: bool,
    /// Begun, and lost in a gap: to be given before anything else.
    broken: bool,
}

impl Reader {
    /// Reads what came at `at`; gives every message that ends in it.
    ///
    /// # Errors
    /// When it cannot be gRPC. The rest is then passed over up to a piece of input that looks like messages.
    pub fn read(&mut self, at: Nanos, input: &[u8], out: &mut dyn FnMut(Found<'_>)) -> Result<(), GrpcError> {
        self.settle(out);
        if matches!(self.place, Place::Lost) {
            if !looks_like_messages(input) {
                return Ok(());
            }
            self.place = Place::default();
        }
        let mut rest = input;
        while let Some((&first, behind)) = rest.split_first() {
            self.seen = at;
            match &mut self.place {
                Place::Prefix(bytes, len) => {
                    if *len == 0 {
                        self.message = Message { started: at, ..Message::default() };
                    }
                    bytes[*len] = first;
                    *len += 1;
                    rest = behind;
                    let (bytes, whole) = (*bytes, *len == PREFIX_BYTES);
                    if bytes[0] & !(COMPRESSED | TRAILERS) != 0 {
                        self.place = Place::Lost;
                        return Err(GrpcError::Flags(bytes[0]));
                    }
                    if whole {
                        let [flags, a, b, c, d] = bytes;
                        self.message.flags = flags;
                        self.payload(u64::from(u32::from_be_bytes([a, b, c, d])), &mut rest, out);
                    }
                }
                Place::Payload(left) => {
                    let left = *left;
                    self.payload(left, &mut rest, out);
                }
                Place::Lost => return Ok(()),
            }
        }
        Ok(())
    }

    /// So many bytes were never seen (0: nobody knows how many).
    pub fn gap(&mut self, bytes: u64) {
        match &mut self.place {
            Place::Payload(left) if bytes > 0 && bytes <= *left => {
                *left -= bytes;
                self.message.cut = true;
            }
            Place::Prefix(_, 0) | Place::Lost => self.place = Place::Lost,
            Place::Prefix(..) | Place::Payload(_) => {
                self.message.broken = matches!(self.place, Place::Payload(_));
                self.place = Place::Lost;
            }
        }
    }

    /// Nothing follows, at `at`: gives a message that was begun and not ended.
    pub fn end(&mut self, at: Nanos, out: &mut dyn FnMut(Found<'_>)) {
        self.settle(out);
        if matches!(self.place, Place::Payload(_)) {
            self.seen = at;
            self.message.cut = true;
            self.emit(&[], out);
        }
        *self = Self::default();
    }

    /// Gives what a gap left behind.
    fn settle(&mut self, out: &mut dyn FnMut(Found<'_>)) {
        if self.message.broken {
            self.message.cut = true;
            self.emit(&[], out);
            self.place = Place::Lost;
        } else if matches!(self.place, Place::Payload(0)) {
            self.emit(&[], out);
        }
    }

    /// Takes what there is of `left` payload bytes.
    fn payload(&mut self, left: u64, rest: &mut &[u8], out: &mut dyn FnMut(Found<'_>)) {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at(here);
        *rest = behind;
        if here as u64 == left {
            self.emit(piece, out);
        } else {
            self.hold(piece);
            self.place = Place::Payload(left - here as u64);
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.message.cut {
            return;
        }
        let room = MESSAGE_BYTES.saturating_sub(self.held.len());
        self.message.cut = piece.len() > room;
        self.held.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn emit(&mut self, piece: &[u8], out: &mut dyn FnMut(Found<'_>)) {
        let whole = self.held.is_empty() && !self.message.cut && piece.len() <= MESSAGE_BYTES;
        if !whole {
            self.hold(piece);
        }
        let Message { started, flags, cut, .. } = self.message;
        out(Found {
            started,
            ended: self.seen,
            compressed: flags & COMPRESSED != 0,
            trailers: flags & TRAILERS != 0,
            payload: if whole { piece } else { &self.held },
            cut,
        });
        self.held.clear();
        self.held.shrink_to(KEPT_BYTES);
        self.message = Message::default();
        self.place = Place::default();
    }
}

/// Whether this begins with messages that fill it or go on behind it believably.
fn looks_like_messages(input: &[u8]) -> bool {
    let mut rest = input;
    let mut seen = 0;
    while let [flags, a, b, c, d, behind @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if flags & !(COMPRESSED | TRAILERS) != 0 || length > MESSAGE_BYTES {
            return false;
        }
        seen += 1;
        match behind.get(length..) {
            Some(next) => rest = next,
            // One alone that goes on could be of any length by chance.
            None => return seen > 1,
        }
    }
    seen > 0 && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Message = (u64, u64, bool, bool, Vec<u8>);

    enum Step<'a> {
        Bytes(u64, &'a [u8]),
        Gap(u64),
    }
    use Step::{Bytes, Gap};

    /// Messages as start, end, compressed, cut, payload; and whether anything was an error.
    fn messages(steps: &[Step<'_>]) -> (Vec<Message>, Option<GrpcError>) {
        let mut found = Vec::new();
        let mut error = None;
        let mut out = |f: Found<'_>| found.push((f.started.0, f.ended.0, f.compressed, f.cut, f.payload.to_vec()));
        let mut reader = Reader::default();
        for step in steps {
            match step {
                Bytes(at, bytes) => error = reader.read(Nanos(*at), bytes, &mut out).err().or(error),
                Gap(bytes) => reader.gap(*bytes),
            }
        }
        reader.end(Nanos(99), &mut out);
        (found, error)
    }

    fn message(flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&[flags][..], &length.to_be_bytes(), payload].concat()
    }

    #[test]
    fn content_types_of_grpc_are_known() {
        for (name, grpc, web) in [
            ("application/grpc", true, false),
            ("Application/gRPC+proto", true, false),
            ("application/grpc; charset=utf-8", true, false),
            ("application/grpc-web", false, true),
            ("application/grpc-web+proto", false, true),
            ("application/grpc-web-text", false, false),
            ("application/grpcx", false, false),
            ("application/json", false, false),
            ("applicatioñ/grpc", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_grpc(name), is_grpc_web(name)), (grpc, web), "{name}");
        }
    }

    #[test]
    fn messages_are_cut_out_wherever_the_input_is_cut() {
        let stream =
            [message(0, b"hello"), message(1, b""), message(0, b"w"), message(0x80, b"grpc-status: 0\r\n")].concat();
        let (whole, error) = messages(&[Bytes(7, &stream)]);
        assert_eq!(error, None);
        assert_eq!(whole[0], (7, 7, false, false, b"hello".to_vec()));
        assert_eq!(whole[1], (7, 7, true, false, Vec::new()));
        assert_eq!(whole[3].4, b"grpc-status: 0\r\n");
        for cut in 0..=stream.len() {
            let steps = [Bytes(7, &stream[..cut]), Bytes(7, &stream[cut..])];
            assert_eq!(messages(&steps), (whole.clone(), None), "cut at {cut}");
            let (found, _) = messages(&[Bytes(7, &stream[..cut])]);
            assert!(found.iter().zip(&whole).all(|(f, w)| f.3 || f == w), "nothing behind {cut}");
        }
        let single: Vec<Step<'_>> = (7..).zip(stream.chunks(1)).map(|(at, byte)| Bytes(at, byte)).collect();
        assert_eq!(messages(&single).0[0], (7, 16, false, false, b"hello".to_vec()));
    }

    #[test]
    fn a_gap_costs_one_message_when_its_length_is_known() {
        let (a, b, c) = (message(0, b"first-message"), message(0, b"second"), message(0, b"third"));
        let behind = [&b[..], &c].concat();
        let ok = |payload: &[u8]| (1, 1, false, false, payload.to_vec());
        for (what, steps, expected) in [
            (
                "inside",
                vec![Bytes(1, &a[..10]), Gap(3), Bytes(1, &a[13..]), Bytes(1, &b)],
                vec![(1, 1, false, true, b"first".to_vec()), ok(b"second")],
            ),
            (
                "to the end",
                vec![Bytes(1, &a[..10]), Gap(8), Bytes(2, &b)],
                vec![(1, 1, false, true, b"first".to_vec()), (2, 2, false, false, b"second".to_vec())],
            ),
            (
                "over the end",
                vec![Bytes(1, &a[..10]), Gap(9), Bytes(1, &b[1..]), Bytes(1, &c)],
                vec![(1, 1, false, true, b"first".to_vec()), ok(b"third")],
            ),
            ("between", vec![Gap(18), Bytes(1, &behind)], vec![ok(b"second"), ok(b"third")]),
            ("in a prefix", vec![Bytes(1, &a[..3]), Gap(2), Bytes(1, b"first"), Bytes(1, &c)], vec![ok(b"third")]),
            (
                "unknown",
                vec![Bytes(1, &a[..10]), Gap(0), Bytes(1, &c)],
                vec![(1, 1, false, true, b"first".to_vec()), ok(b"third")],
            ),
        ] {
            assert_eq!(messages(&steps), (expected, None), "{what}");
        }
    }

    #[test]
    fn what_is_no_grpc_is_told() {
        let (found, error) = messages(&[Bytes(1, b"{\"error\": 1}"), Bytes(1, b"more")]);
        assert_eq!((found, error), (vec![], Some(GrpcError::Flags(b'{'))));
    }

    #[test]
    fn a_message_over_the_limit_is_cut_and_the_next_one_is_whole() {
        let mut long = message(0, &[]);
        long[1..5].copy_from_slice(&(MESSAGE_BYTES as u32 + 10).to_be_bytes());
        let zeros = vec![0; MESSAGE_BYTES + 10];
        let next = message(0, b"next");
        let (found, _) = messages(&[Bytes(1, &long), Bytes(2, &zeros), Bytes(3, &next)]);
        assert_eq!(found.iter().map(|f| (f.3, f.4.len())).collect::<Vec<_>>(), [(true, MESSAGE_BYTES), (false, 4)]);
    }

    #[test]
    fn mutated_bodies_are_read_within_bounds() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let stream = [message(0, b"hello"), message(1, &[7; 40]), message(0, b"w"), message(0, &[0; 9])].concat();
        for _ in 0..3000 {
            let mut bytes = stream.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let cut = random(bytes.len());
            let (found, _) = messages(&[Bytes(1, &bytes[..cut]), Gap(random(30) as u64), Bytes(2, &bytes[cut..])]);
            assert!(found.iter().map(|f| f.4.len()).sum::<usize>() <= bytes.len());
        }
    }
}
