//! Cutting one side's bytes into records, and finding records again behind a hole.
//!
//! Knows lengths, not meanings. Main types: [`Header`], [`Framer`].

/// Handshake, alert and other numbers of RFC 8446 §5.1.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Longest body: 2^14 and what TLS 1.2 allows compression and protection to add (RFC 5246 §6.2.3).
const MAX_BODY: usize = (1 << 14) + 2048;

/// The five bytes in front of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    /// Length of the body.
    pub(super) length: usize,
    pub(super) bytes: [u8; 5],
}

impl Header {
    /// `None` when this is no record header, or `bytes` is shorter than one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = *bytes.first_chunk::<5>()?;
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        let plausible = matches!(bytes[0], 20..=24) && bytes[1] == 3 && bytes[2] <= 4 && length <= MAX_BODY;
        plausible.then_some(Self { kind: bytes[0], length, bytes })
    }

    /// True for bytes that begin a header, as far as they go.
    pub(super) fn may_begin(bytes: &[u8]) -> bool {
        let plausible: [fn(u8) -> bool; 4] =
            [|kind| matches!(kind, 20..=24), |major| major == 3, |minor| minor <= 4, |length| length <= 0x48];
        bytes.iter().zip(plausible).all(|(&byte, plausible)| plausible(byte))
    }
}

/// Where the next byte of a side belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind what is in the buffer, which begins at a record's beginning.
    #[default]
    Aligned,
    /// In a record that a gap has hit, so many bytes before its end.
    Inside(usize),
    /// Nobody knows.
    Adrift,
}

/// Collects the bytes of one record. In [`Place::Adrift`] the buffer holds what may contain one.
#[derive(Default)]
pub(super) struct Framer {
    pub(super) buffer: Vec<u8>,
    pub(super) place: Place,
}

/// What [`Framer::fill`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Input is used up.
    More,
    /// The buffer holds one record.
    Record,
    /// What is in the buffer begins no record.
    Bad,
}

/// What a gap took.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hit {
    /// A record whose header was seen: its bytes are lost, its end is known.
    pub(super) record: Option<Header>,
    /// Bytes that belonged to nobody knows how many records.
    pub(super) unknown: u64,
}

impl Framer {
    /// Takes from `input` until the buffer holds a record. Not in [`Place::Adrift`].
    pub(super) fn fill(&mut self, input: &mut &[u8]) -> Fill {
        if let Place::Inside(left) = self.place {
            let skipped = left.min(input.len());
            *input = &input[skipped..];
            self.place = if skipped == left { Place::Aligned } else { Place::Inside(left - skipped) };
        }
        if self.buffer.len() < 5 {
            self.take(input, 5);
        }
        let Some(header) = Header::parse(&self.buffer) else {
            let more = self.buffer.len() < 5 && Header::may_begin(&self.buffer);
            return if more { Fill::More } else { Fill::Bad };
        };
        let whole = 5 + header.length;
        self.buffer.reserve_exact(whole - self.buffer.len());
        self.take(input, whole);
        if self.buffer.len() == whole { Fill::Record } else { Fill::More }
    }

    fn take(&mut self, input: &mut &[u8], until: usize) {
        let (taken, rest) = input.split_at((until - self.buffer.len()).min(input.len()));
        self.buffer.extend_from_slice(taken);
        *input = rest;
    }

    /// The next `bytes` bytes never come.
    pub(super) fn gap(&mut self, bytes: u64) -> Hit {
        let had = self.buffer.len();
        let header = Header::parse(&self.buffer);
        self.buffer = Vec::new();
        let (left, record) = match (self.place, header) {
            (Place::Aligned, Some(header)) => (5 + header.length - had, Some(header)),
            (Place::Inside(left), _) => (left, None),
            _ => {
                self.place = Place::Adrift;
                return Hit { record: None, unknown: bytes.saturating_add(had as u64) };
            }
        };
        let missing = (left as u64).saturating_sub(bytes) as usize;
        self.place = if missing > 0 { Place::Inside(missing) } else { Place::Aligned };
        let unknown = bytes.saturating_sub(left as u64);
        if unknown > 0 {
            self.place = Place::Adrift;
        }
        Hit { record, unknown }
    }

    /// In [`Place::Adrift`]: where a plausible header is or begins, at or behind `from`.
    pub(super) fn candidate(&self, from: usize) -> Option<usize> {
        let plausible =
            |rest: &[u8]| if rest.len() < 5 { Header::may_begin(rest) } else { Header::parse(rest).is_some() };
        (from..self.buffer.len()).find(|&at| plausible(&self.buffer[at..]))
    }

    /// True unless what follows the record at `at` is seen and cannot be a record.
    pub(super) fn chains(&self, at: usize, header: &Header) -> bool {
        self.buffer.get(at + 5 + header.length..).is_none_or(|next| Header::may_begin(&next[..next.len().min(5)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &[u8] = b"\x17\x03\x03\x00\x03abc";

    #[test]
    fn a_record_is_found_however_the_bytes_are_cut() {
        let stream = RECORD.repeat(3);
        for size in 1..=stream.len() {
            let mut framer = Framer::default();
            let mut records = 0;
            for mut piece in stream.chunks(size) {
                while framer.fill(&mut piece) == Fill::Record {
                    assert_eq!(framer.buffer, RECORD);
                    framer.buffer.clear();
                    records += 1;
                }
            }
            assert_eq!(records, 3, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_record_is_bad_at_its_first_wrong_byte() {
        for bad in [&b"\x19"[..], b"\x17\x02", b"\x17\x03\x05", b"\x17\x03\x03\x49", b"\x17\x03\x03\x48\x01"] {
            let mut framer = Framer::default();
            assert_eq!(framer.fill(&mut &bad[..]), Fill::Bad, "{bad:?}");
        }
        assert_eq!(Framer::default().fill(&mut &b"\x17\x03\x03\x48"[..]), Fill::More);
    }

    #[test]
    fn a_gap_says_what_it_hit() {
        let header = Header::parse(RECORD);
        let cases = [
            (&RECORD[..0], 2, None, 2, Place::Adrift),
            (&RECORD[..3], 2, None, 5, Place::Adrift),
            (&RECORD[..5], 2, header, 0, Place::Inside(1)),
            (&RECORD[..5], 3, header, 0, Place::Aligned),
            (&RECORD[..6], 9, header, 7, Place::Adrift),
        ];
        for (seen, gap, record, unknown, place) in cases {
            let mut framer = Framer::default();
            framer.fill(&mut &seen[..]);
            assert_eq!(framer.gap(gap), Hit { record, unknown }, "{seen:?} {gap}");
            assert_eq!(framer.place, place, "{seen:?} {gap}");
        }
    }
}
