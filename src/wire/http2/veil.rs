//! Takes the hints at HTTP/3 out of what a server sends over HTTP/2, byte for byte in place: a client that followed them would
//! leave the proxy.
//!
//! The field `alt-svc` (RFC 7838 §3) gets a name that means nothing and has the same letters, so that it is as long in plain
//! and in Huffman code and takes as much room in the table that later header blocks refer to. A frame ALTSVC (§4) gets a type
//! that nobody knows. Everything else stays as it is. What is no HTTP/2 passes unchanged. Main type: [`Veil`].

use super::frame::{END_HEADERS, HEADER_BYTES, Header, Kind, PADDED, PRIORITY};
use super::hpack::huffman_code;

const NAME: &[u8; 7] = b"alt-svc";
/// The same letters.
const VEILED: &[u8; 7] = b"svc-alt";
/// Of no registered frame.
const UNKNOWN_TYPE: u8 = 0xfa;
/// Most bytes held back while a name comes in pieces.
const MOST_HELD: usize = 64;
/// Where in a frame header its type stands.
const TYPE_AT: usize = 3;

/// Passes on what a server sends from its first byte on.
#[derive(Debug)]
pub struct Veil {
    names: [Name; 2],
    frame: Frame,
    field: Field,
    /// A header block goes on in the next frame.
    inside: bool,
    /// What may have to be changed yet.
    held: Vec<u8>,
    found: u64,
}

/// The name as it may be written, and what becomes of it.
#[derive(Debug)]
struct Name {
    from: Vec<u8>,
    to: Vec<u8>,
}

#[derive(Debug)]
enum Frame {
    /// So much of its header is there.
    Header([u8; HEADER_BYTES], usize),
    /// Header fields: bytes before them to pass over, fields, padding. With whether the block ends here.
    Fields { pad_length: bool, before: u32, fields: u32, padding: u32, last: bool },
    /// Anything else.
    Other(u32),
}

/// Where in a header block (RFC 7541 §6).
#[derive(Debug)]
enum Field {
    /// At the first byte of a representation.
    Start,
    /// In an integer that goes on.
    Integer { value: u32, shift: u32, of: Of },
    /// At the length of a string.
    Length { name: bool },
    /// In a name. The bytes so far are held and may be one of ours; where in what is held they stand.
    Name { coded: bool, left: u32, places: Vec<usize> },
    /// In a string that does not matter. Whether it is a name.
    Passed { left: u32, name: bool },
}

/// What an integer says.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// A whole representation.
    Representation,
    /// The index of a name; 0 when the name follows.
    NameIndex,
    /// The length of a string.
    String { name: bool, coded: bool },
}

impl Default for Veil {
    fn default() -> Self {
        let plain = Name { from: NAME.to_vec(), to: VEILED.to_vec() };
        let coded = Name { from: huffman_code(NAME), to: huffman_code(VEILED) };
        Self {
            names: [plain, coded],
            frame: Frame::Header([0; HEADER_BYTES], 0),
            field: Field::Start,
            inside: false,
            held: Vec::new(),
            found: 0,
        }
    }
}

impl Veil {
    /// Appends to `out` what is to be passed on of `input`. A few bytes of a name may be kept back until the rest of it comes.
    pub fn pass(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            let used = self.step(input, out);
            input = &input[used..];
            if self.held.len() > MOST_HELD {
                self.let_go(out);
                if let Field::Name { left, .. } = self.field {
                    self.field = Field::Passed { left, name: true };
                }
            }
        }
    }

    /// Hints taken out so far.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Takes a bit of the input, which is not empty.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match &mut self.frame {
            Frame::Header(bytes, there) => {
                bytes[*there] = input[0];
                *there += 1;
                let mut byte = input[0];
                if *there == TYPE_AT + 1 && Kind::of(byte) == Kind::AltSvc {
                    byte = UNKNOWN_TYPE;
                    self.found += 1;
                }
                if *there == HEADER_BYTES {
                    let header = Header::parse(bytes);
                    self.begin(&header);
                }
                self.put(byte, out);
                1
            }
            Frame::Other(left) => {
                let count = (*left as usize).min(input.len());
                *left -= count as u32;
                out.extend_from_slice(&input[..count]);
                if *left == 0 {
                    self.frame = Frame::Header([0; HEADER_BYTES], 0);
                }
                count
            }
            Frame::Fields { pad_length, before, fields, padding, .. } => {
                let byte = input[0];
                if std::mem::take(pad_length) {
                    *padding = u32::from(byte);
                    *fields = fields.saturating_sub(*padding);
                    self.put(byte, out);
                } else if *before > 0 {
                    *before -= 1;
                    self.put(byte, out);
                } else if *fields > 0 {
                    *fields -= 1;
                    self.field_byte(byte, out);
                } else {
                    *padding = padding.saturating_sub(1);
                    self.put(byte, out);
                }
                self.end_of_fields(out);
                1
            }
        }
    }

    /// Behind the header of a frame.
    fn begin(&mut self, header: &Header) {
        let padded = header.has(PADDED) && header.kind != Kind::Continuation;
        let mut before = match header.kind {
            Kind::Headers if header.has(PRIORITY) => 5,
            Kind::Promise => 4,
            _ => 0,
        };
        let goes_on = header.kind == Kind::Continuation && self.inside;
        if !header.kind.has_fields() || (header.kind == Kind::Continuation && !goes_on) {
            self.frame = Frame::Other(header.length);
        } else {
            if !goes_on {
                self.field = Field::Start;
            }
            let rest = header.length.saturating_sub(u32::from(padded));
            before = before.min(rest);
            let last = header.has(END_HEADERS);
            self.inside = !last;
            self.frame = Frame::Fields {
                pad_length: padded && header.length > 0,
                before,
                fields: rest - before,
                padding: 0,
                last,
            };
        }
        if header.length == 0 {
            self.frame = Frame::Header([0; HEADER_BYTES], 0);
        }
    }

    fn end_of_fields(&mut self, out: &mut Vec<u8>) {
        let Frame::Fields { pad_length: false, before: 0, fields: 0, padding: 0, last } = self.frame else { return };
        self.frame = Frame::Header([0; HEADER_BYTES], 0);
        if last {
            // A name that does not end in its block is none.
            self.let_go(out);
            self.field = Field::Start;
        }
    }

    fn field_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.put(byte, out);
        let next = match std::mem::replace(&mut self.field, Field::Start) {
            Field::Start => match byte {
                0x80.. => integer(byte, 7, Of::Representation),
                0x40.. => integer(byte, 6, Of::NameIndex),
                0x20.. => integer(byte, 5, Of::Representation),
                _ => integer(byte, 4, Of::NameIndex),
            },
            Field::Integer { value, shift, of } => {
                // What is beyond any length ends the search for its sense, not the passing on.
                let value = value.saturating_add(u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(u32::MAX));
                if byte & 0x80 == 0 {
                    Next::Number(value, of)
                } else {
                    Next::Is(Field::Integer { value, shift: shift + 7, of })
                }
            }
            Field::Length { name } => integer(byte, 7, Of::String { name, coded: byte & 0x80 != 0 }),
            Field::Passed { left, name } => passed(left - 1, name),
            Field::Name { coded, left, mut places } => {
                if self.held.is_empty() {
                    // The byte went out already: hold it from the first on.
                    out.pop();
                    self.held.push(byte);
                }
                places.push(self.held.len() - 1);
                self.name_byte(byte, coded, left - 1, places, out)
            }
        };
        self.field = match next {
            Next::Is(field) => field,
            Next::Number(value, of) => self.after(value, of),
        };
    }

    fn name_byte(&mut self, byte: u8, coded: bool, left: u32, places: Vec<usize>, out: &mut Vec<u8>) -> Next {
        let name = &self.names[usize::from(coded)];
        if name.from.get(places.len() - 1) != Some(&byte) {
            self.let_go(out);
            return passed(left, true);
        }
        if left > 0 {
            return Next::Is(Field::Name { coded, left, places });
        }
        for (place, to) in places.into_iter().zip(&name.to) {
            self.held[place] = *to;
        }
        self.found += 1;
        self.let_go(out);
        Next::Is(Field::Length { name: false })
    }

    /// What follows an integer.
    fn after(&self, value: u32, of: Of) -> Field {
        match of {
            Of::Representation => Field::Start,
            Of::NameIndex => Field::Length { name: value == 0 },
            Of::String { name, .. } if value == 0 => behind(name),
            Of::String { name: true, coded } if value as usize == self.names[usize::from(coded)].from.len() => {
                Field::Name { coded, left: value, places: Vec::new() }
            }
            Of::String { name, .. } => Field::Passed { left: value, name },
        }
    }

    fn put(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.held.is_empty() { out.push(byte) } else { self.held.push(byte) }
    }

    fn let_go(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

/// Where a byte leads.
enum Next {
    Is(Field),
    /// An integer is whole.
    Number(u32, Of),
}

/// The first byte of an integer with a prefix of so many bits (RFC 7541 §5.1).
fn integer(byte: u8, bits: u32, of: Of) -> Next {
    let most = (1_u32 << bits) - 1;
    match u32::from(byte) & most {
        value if value == most => Next::Is(Field::Integer { value, shift: 0, of }),
        value => Next::Number(value, of),
    }
}

fn passed(left: u32, name: bool) -> Next {
    Next::Is(if left == 0 { behind(name) } else { Field::Passed { left, name } })
}

/// Behind a string.
fn behind(name: bool) -> Field {
    if name { Field::Length { name: false } } else { Field::Start }
}

#[cfg(test)]
mod tests {
    use super::super::hpack::{Encoder, Strings};
    use super::super::{Event, Frames, Observer, Start};
    use super::*;
    use crate::model::Side;

    const FIELDS: &[(&[u8], &[u8])] = &[
        (b":status", b"200"),
        (b"alt-svc", b"h3=\":443\""),
        (b"server", b"x"),
        (b"alt-svx", b"no"),
        (b"date", b"today"),
    ];

    /// What a server sends: two responses, the second of which refers to the table.
    fn said(strings: Strings, piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(strings);
        let mut frames = Frames::new();
        frames.settings(&[(3, 100)]);
        for stream in [1, 3] {
            frames.headers_in_pieces(stream, &encoder.block(FIELDS), false, piece).data(stream, b"alt-svc", true);
        }
        frames.frame(0xa, 0, 0, b"\0\x0bhttps://a.bh3=\":1\"").ping([7; 8]);
        frames.bytes
    }

    fn heads(bytes: &[u8]) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        let mut observer = Observer::new(Start::Preface);
        observer
            .read(Side::Response, bytes, &mut |event| {
                if let Event::Head { fields, .. } = event {
                    let pair = |f: super::super::Field| (f.name.unwrap(), f.value.unwrap());
                    found.push(fields.into_iter().map(pair).collect());
                }
            })
            .unwrap();
        found
    }

    #[test]
    fn the_hint_loses_its_name_and_nothing_else_changes_wherever_the_bytes_are_cut() {
        for strings in [Strings::Plain, Strings::Huffman] {
            for piece in [1, 2, 3, 5, 1000] {
                let said = said(strings, piece);
                for cut in [1, 2, 3, 7, 64, 100_000] {
                    let (mut veil, mut out) = (Veil::default(), Vec::new());
                    said.chunks(cut).for_each(|chunk| veil.pass(chunk, &mut out));
                    assert_eq!(out.len(), said.len());
                    let expected: Vec<(Vec<u8>, Vec<u8>)> = FIELDS
                        .iter()
                        .map(|(name, value)| {
                            (if name == NAME { VEILED.as_slice() } else { name }.to_vec(), value.to_vec())
                        })
                        .collect();
                    assert_eq!(heads(&out), [expected.clone(), expected], "{strings:?} {piece} {cut}");
                    // In the table the name stands once.
                    assert_eq!(veil.found(), 2, "a field and a frame");
                    let changed = out.iter().zip(&said).filter(|(now, before)| now != before).count();
                    assert!(changed <= 8, "{changed}");
                }
            }
        }
    }

    #[test]
    fn without_a_hint_every_byte_passes_as_it_is_and_so_does_rubbish() {
        let mut encoder = Encoder::new(Strings::Huffman);
        let mut frames = Frames::new();
        let block = encoder.block(&[(b":status", b"200"), (b"x-svc-alt", b"alt-svc"), (b"alt-sv", b"c")]);
        frames.headers(1, &block, true).go_away(1, 0, b"alt-svc");
        let mut random = 1_u64;
        let rubbish: Vec<u8> = (0..20_000)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            })
            .collect();
        for said in [frames.bytes, rubbish] {
            let (mut veil, mut out) = (Veil::default(), Vec::new());
            said.chunks(5).for_each(|chunk| veil.pass(chunk, &mut out));
            out.append(&mut veil.held);
            assert!(out.len() == said.len() && (out == said || veil.found() > 0));
        }
    }

    #[test]
    fn frames_without_end_inside_a_name_are_not_held() {
        let mut frames = Frames::new();
        frames.frame(1, 0, 1, b"\0\x07alt");
        for _ in 0..1000 {
            frames.frame(9, 0, 1, b"");
        }
        let (mut veil, mut out) = (Veil::default(), Vec::new());
        veil.pass(&frames.bytes, &mut out);
        assert!(frames.bytes.len() - out.len() <= MOST_HELD);
        assert_eq!(out[..], frames.bytes[..out.len()]);
    }
}
