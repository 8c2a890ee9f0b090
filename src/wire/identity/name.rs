//! Short names for things that are only compared, and the hashing of maps that are looked up by them.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use crate::model::Origin;

/// Anew in each process, so that nobody can send what is taken for something else, or what fills one place of a map. Nothing
/// that is put out depends on it.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0_u8));

/// Odd, and as many ones as zeros.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A short name, the same for equal things as long as the process lives.
pub(super) fn name_of(thing: impl Hash) -> u64 {
    Seeded.hash_one(thing)
}

/// Name of a URL.
pub(super) fn url_of(origin: &Origin, target: &[u8]) -> u64 {
    name_of((origin, target))
}

/// For maps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seeded;

impl BuildHasher for Seeded {
    type Hasher = Namer;

    fn build_hasher(&self) -> Namer {
        Namer(*SEED)
    }
}

/// Mixes one word after the other in by multiplying, as wyhash does; several times as quick as SipHash on short things.
#[derive(Debug)]
pub(super) struct Namer(u64);

impl Namer {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(word.rotate_left(32));
    }
}

impl Hasher for Namer {
    fn finish(&self) -> u64 {
        let product = u128::from(self.0) * u128::from(FACTOR);
        product as u64 ^ (product >> 64) as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        // The last word may reach back into the one before; the length tells what is in it.
        let last = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
            (Some(word), ..) => u64::from_le_bytes(*word),
            (_, Some(first), Some(last), _) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            (.., [first, middle @ .., last]) => {
                u64::from(*first) | u64::from(*last) << 8 | u64::from(middle.first().copied().unwrap_or(0)) << 16
            }
            (.., [only]) => u64::from(*only),
            (.., []) => 0,
        };
        self.mix(last ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.mix(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.mix(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::Scheme;

    #[test]
    fn things_that_differ_anywhere_have_different_names() {
        let text = b"a value that is somewhat longer than a few words of a machine";
        let places = (0..text.len()).flat_map(|start| (start..=text.len()).map(move |end| (start, end)));
        let mut pieces: HashSet<&[u8]> = places.map(|(start, end)| &text[start..end]).collect();
        pieces.extend((1..100).map(|zeros| &[0; 100][..zeros]));
        let mut names: HashSet<u64> = pieces.iter().map(name_of).collect();
        for number in 0..100_000_u64 {
            names.insert(name_of(number));
            names.insert(name_of((number, "a")));
        }
        assert_eq!(names.len(), pieces.len() + 200_000);
    }

    #[test]
    fn a_pair_is_not_taken_for_another_whose_parts_join_to_the_same() {
        assert_ne!(name_of(("ab", "c")), name_of(("a", "bc")));
        assert_ne!(name_of((&b"ab"[..], &b""[..])), name_of((&b""[..], &b"ab"[..])));
        let at = |host: &str, port| Origin::new(Scheme::Http, host, port);
        assert_eq!(url_of(&at("a", 80), b"/x"), url_of(&at("A", 80), b"/x"));
        assert_ne!(url_of(&at("a", 80), b"/x"), url_of(&at("a", 81), b"/x"));
    }
}
