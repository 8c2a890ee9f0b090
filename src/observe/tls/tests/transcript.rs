//! A connection's bytes on the wire with what should come out, and the ways to put them in.

use crate::model::Side;

use super::super::{Decryptor, Keyring, Output, Reason};

/// Wire bytes of both sides in order, the key log, and the plaintext.
#[derive(Clone, Default)]
pub(super) struct Transcript {
    pub(super) wire: Vec<(Side, Vec<u8>)>,
    pub(super) keys: Vec<u8>,
    pub(super) plain: [Vec<u8>; 2],
}

/// What came out of a side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) plain: Vec<u8>,
    /// Offset in `plain` and bytes missing.
    pub(super) gaps: Vec<(usize, u64)>,
    pub(super) closed: bool,
    pub(super) alerts: Vec<(u8, u8)>,
    pub(super) reason: Option<Reason>,
    pub(super) done: usize,
}

/// Collects what comes out.
#[derive(Default)]
pub(super) struct Collector(pub(super) [Seen; 2]);

impl Collector {
    pub(super) fn take(&mut self, side: Side, output: Output<'_>) {
        let seen = &mut self.0[side as usize];
        assert!(seen.reason.is_none(), "{output:?} behind {:?}", seen.reason);
        match output {
            Output::Plaintext(bytes) => {
                assert!(!bytes.is_empty());
                seen.plain.extend(bytes);
            }
            Output::Gap { bytes } => seen.gaps.push((seen.plain.len(), bytes)),
            Output::HandshakeDone => seen.done += 1,
            Output::Closed => seen.closed = true,
            Output::Alert(level, description) => seen.alerts.push((level, description)),
            Output::Undecryptable(reason) => seen.reason = Some(reason),
        }
    }
}

/// One thing put in.
pub(super) enum Step<'a> {
    Bytes(Side, &'a [u8]),
    Gap(Side, u64),
}

impl Transcript {
    /// The format of fixtures/tls/README.md.
    pub(super) fn parse(mut file: &[u8]) -> Self {
        let mut found = Self::default();
        while let Some((&[tag, a, b, c, d], rest)) = file.split_first_chunk::<5>() {
            let (data, rest) = rest.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
            file = rest;
            match tag {
                b'C' => found.wire.push((Side::Request, data.to_vec())),
                b'S' => found.wire.push((Side::Response, data.to_vec())),
                b'K' => found.keys.extend(data),
                b'c' => found.plain[0].extend(data),
                b's' => found.plain[1].extend(data),
                _ => panic!("tag {tag}"),
            }
        }
        found
    }

    pub(super) fn keyring(&self) -> Keyring {
        let mut keys = Keyring::default();
        keys.add(&self.keys);
        keys
    }

    /// The whole connection in pieces of so many bytes.
    pub(super) fn steps(&self, size: usize) -> Vec<Step<'_>> {
        let pieces = self.wire.iter().flat_map(|(side, bytes)| bytes.chunks(size).map(|piece| (*side, piece)));
        pieces.map(|(side, piece)| Step::Bytes(side, piece)).collect()
    }

    /// The whole connection without `length` bytes of a side from `start`.
    pub(super) fn holed(&self, holed: Side, start: usize, length: usize) -> Vec<Step<'_>> {
        let mut at = 0;
        let mut steps = Vec::new();
        for (side, bytes) in &self.wire {
            if *side != holed {
                steps.push(Step::Bytes(*side, bytes));
                continue;
            }
            let cut = |offset: usize| offset.saturating_sub(at).min(bytes.len());
            let (from, to) = (cut(start), cut(start + length));
            steps.push(Step::Bytes(*side, &bytes[..from]));
            if to > from {
                steps.push(Step::Gap(*side, (to - from) as u64));
            }
            steps.push(Step::Bytes(*side, &bytes[to..]));
            at += bytes.len();
        }
        steps
    }

    /// A side's bytes, joined.
    pub(super) fn bytes(&self, side: Side) -> Vec<u8> {
        self.wire.iter().filter(|(of, _)| *of == side).flat_map(|(_, bytes)| bytes).copied().collect()
    }

    /// Puts everything in with all keys at hand, and checks that everything comes out.
    pub(super) fn check(&self, size: usize) -> Decryptor {
        let (decryptor, seen) = run(&self.keyring(), &self.steps(size));
        for (seen, plain) in seen.iter().zip(&self.plain) {
            assert_eq!(seen.reason, None);
            assert_eq!(seen.plain.len(), plain.len());
            assert!(seen.plain == *plain, "plaintext differs");
            assert_eq!(seen.gaps, []);
        }
        assert_eq!(seen[0].done + seen[1].done, 1);
        decryptor
    }
}

/// Puts steps in and ends both sides.
pub(super) fn run(keys: &Keyring, steps: &[Step<'_>]) -> (Decryptor, [Seen; 2]) {
    let mut decryptor = Decryptor::new();
    let mut seen = Collector::default();
    let mut out = |side: Side, output: Output<'_>| seen.take(side, output);
    for step in steps {
        match *step {
            Step::Bytes(side, bytes) => decryptor.read(keys, side, bytes, &mut out),
            Step::Gap(side, bytes) => decryptor.gap(keys, side, bytes, &mut out),
        }
    }
    decryptor.end(keys, Side::Request, &mut out);
    decryptor.end(keys, Side::Response, &mut out);
    (decryptor, seen.0)
}

/// A small generator of numbers (xorshift), the same each time.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
