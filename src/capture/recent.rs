//! Chunks stored a moment ago, with their bytes: comparing costs far less than naming, and much traffic repeats itself.

use crate::model::ChunkId;

/// Most chunks held, each in a place that its bytes decide.
const PLACES: usize = 4096;

/// Most bytes held.
const HELD_BYTES: usize = 8 << 20;

/// What was stored lately. Whoever takes a place drives out the one before.
#[derive(Debug)]
pub(super) struct Recent {
    places: Vec<Option<(ChunkId, Box<[u8]>)>>,
    held_bytes: usize,
    /// The place that is emptied next when there are too many bytes.
    hand: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self { places: std::iter::repeat_with(|| None).take(PLACES).collect(), held_bytes: 0, hand: 0 }
    }
}

impl Recent {
    /// The name of a chunk that is held.
    pub(super) fn name(&self, bytes: &[u8]) -> Option<ChunkId> {
        self.places[place(bytes)].as_ref().filter(|(_, held)| **held == *bytes).map(|(id, _)| *id)
    }

    /// Holds a chunk that was stored.
    pub(super) fn hold(&mut self, id: ChunkId, bytes: &[u8]) {
        let at = place(bytes);
        self.empty(at);
        while self.held_bytes + bytes.len() > HELD_BYTES {
            self.empty(self.hand);
            self.hand = (self.hand + 1) % PLACES;
        }
        self.held_bytes += bytes.len();
        self.places[at] = Some((id, bytes.into()));
    }

    fn empty(&mut self, at: usize) {
        if let Some((_, gone)) = self.places[at].take() {
            self.held_bytes -= gone.len();
        }
    }
}

/// Where a chunk is held: by its length and a few words of it, which tell most chunks apart. Versions of one page that
/// differ elsewhere drive each other out, so that they do not fill the room.
fn place(bytes: &[u8]) -> usize {
    const WORDS: usize = 8;
    let last = bytes.len().saturating_sub(8);
    let mut mixed = bytes.len() as u64;
    for step in 0..WORDS {
        let piece = &bytes[last * step / (WORDS - 1)..];
        let word = match piece.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => piece.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        mixed = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 32;
    }
    mixed as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_bytes_have_the_name_whatever_place_they_fall_on() {
        let mut recent = Recent::default();
        let mut chunk = vec![7; 1000];
        recent.hold(ChunkId([1; 16]), &chunk);
        assert_eq!(recent.name(&chunk), Some(ChunkId([1; 16])));
        for at in 0..chunk.len() {
            chunk[at] ^= 1;
            assert_eq!(recent.name(&chunk), None, "byte {at}");
            chunk[at] ^= 1;
        }
        for len in 0..20 {
            assert_eq!(recent.name(&chunk[..len]), None);
            recent.hold(ChunkId([2; 16]), &chunk[..len]);
            assert_eq!(recent.name(&chunk[..len]), Some(ChunkId([2; 16])));
        }
    }

    #[test]
    fn what_is_held_stays_within_its_bound() {
        let mut recent = Recent::default();
        for n in 0..10_000_u32 {
            let mut chunk = vec![0; (n % 64 + 1) as usize * 1024];
            chunk[..4].copy_from_slice(&n.to_le_bytes());
            recent.hold(ChunkId([3; 16]), &chunk);
            let held: usize = recent.places.iter().flatten().map(|(_, bytes)| bytes.len()).sum();
            assert!(n % 500 != 0 || (held == recent.held_bytes && held <= HELD_BYTES));
            assert!(recent.name(&chunk).is_some());
        }
    }
}
