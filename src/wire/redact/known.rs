//! Values that were found to be secret, to be found again anywhere. Bounded: the oldest are forgotten first.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::Range;
use std::sync::Arc;

/// Shortest value that is looked for everywhere; shorter ones are secret only where they were found.
pub(super) const SHORTEST_BYTES: usize = 6;
/// Values from this length on are found inside words too.
const INSIDE_BYTES: usize = 12;
/// Longest value that is remembered. What is longer is redacted where it is found.
pub(super) const LONGEST_BYTES: usize = 8 * 1024;
/// Most values, and most bytes of them.
const MOST_VALUES: usize = 65_536;
const MOST_BYTES: usize = 16 << 20;
/// Most lengths of one start, and most values of one length, start and end.
const MOST_LENGTHS: usize = 64;
const MOST_ALIKE: usize = 16;
/// Bits of the filter of words that were left as they are.
const FILTER_BITS: u64 = 1 << 25;

/// A secret and what stands for it, of equal length.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) value: Box<[u8]>,
    pub(super) pseudonym: Box<[u8]>,
}

impl Known {
    /// Its first and last bytes.
    fn ends(&self) -> Option<(Start, Start)> {
        Some((*self.value.first_chunk()?, *self.value.last_chunk()?))
    }
}

type Start = [u8; SHORTEST_BYTES];

/// The values known so far.
///
/// Peers choose the values, so what one place of a text can cost is bounded: of one start there are few lengths, of one start,
/// length and end few values. What is beyond that is known where it was found, and looked for nowhere else.
#[derive(Debug, Default)]
pub(super) struct Vault {
    by_value: HashMap<Box<[u8]>, Arc<Known>>,
    /// Lengths of values that begin so, longest first, and how many values have each.
    lengths: HashMap<Start, Vec<(usize, usize)>>,
    by_ends: HashMap<(usize, Start, Start), Vec<Arc<Known>>>,
    /// Whether any value starts with these two bytes.
    starts: Starts,
    order: VecDeque<Arc<Known>>,
    bytes: usize,
    pub(super) forgotten: u64,
}

impl Vault {
    /// What stands for exactly this value.
    pub(super) fn exact(&self, value: &[u8]) -> Option<&Arc<Known>> {
        self.by_value.get(value)
    }

    /// Remembers a value; true when it is new.
    pub(super) fn add(&mut self, value: &[u8], pseudonym: &[u8]) -> bool {
        let known = Arc::new(Known { value: value.into(), pseudonym: pseudonym.into() });
        let Some((start, end)) = known.ends() else { return false };
        if value.len() > LONGEST_BYTES || value.len() != pseudonym.len() || self.by_value.contains_key(value) {
            return false;
        }
        self.by_value.insert(value.into(), Arc::clone(&known));
        self.bytes += value.len();
        self.order.push_back(Arc::clone(&known));
        self.index(known, start, end);
        while self.order.len() > MOST_VALUES || self.bytes > MOST_BYTES {
            self.forget_oldest();
        }
        true
    }

    fn index(&mut self, known: Arc<Known>, start: Start, end: Start) {
        let length = known.value.len();
        let lengths = self.lengths.entry(start).or_default();
        let place = lengths.partition_point(|(other, _)| *other > length);
        let is_new = lengths.get(place).is_none_or(|(other, _)| *other != length);
        let alike = self.by_ends.get(&(length, start, end)).map_or(0, Vec::len);
        if (is_new && lengths.len() >= MOST_LENGTHS) || alike >= MOST_ALIKE {
            self.forgotten += 1;
            return;
        }
        if is_new {
            lengths.insert(place, (length, 0));
        }
        lengths[place].1 += 1;
        self.by_ends.entry((length, start, end)).or_default().push(known);
        self.starts.add(start);
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.order.pop_front() else { return };
        self.bytes -= oldest.value.len();
        self.by_value.remove(&oldest.value);
        let Some((start, end)) = oldest.ends() else { return };
        let length = oldest.value.len();
        let Entry::Occupied(mut alike) = self.by_ends.entry((length, start, end)) else { return };
        let Some(place) = alike.get().iter().position(|other| Arc::ptr_eq(other, &oldest)) else { return };
        self.forgotten += 1;
        alike.get_mut().swap_remove(place);
        if alike.get().is_empty() {
            alike.remove();
        }
        let Entry::Occupied(mut lengths) = self.lengths.entry(start) else { return };
        lengths.get_mut().iter_mut().filter(|(other, _)| *other == length).for_each(|(_, count)| *count -= 1);
        lengths.get_mut().retain(|(_, count)| *count > 0);
        if lengths.get().is_empty() {
            lengths.remove();
        }
    }

    /// Known values in a text, from left to right, the longest at each place.
    pub(super) fn find(&self, text: &[u8]) -> Vec<(Range<usize>, Arc<Known>)> {
        let mut found = Vec::new();
        let mut at = 0;
        while !self.order.is_empty()
            && let Some(start) = text.get(at..).and_then(|rest| rest.first_chunk::<SHORTEST_BYTES>())
        {
            match self.starts.may_have(*start).then(|| self.longest_at(text, at, *start)).flatten() {
                Some(known) => {
                    found.push((at..at + known.value.len(), Arc::clone(known)));
                    at += known.value.len();
                }
                None => at += 1,
            }
        }
        found
    }

    fn longest_at(&self, text: &[u8], at: usize, start: Start) -> Option<&Arc<Known>> {
        self.lengths.get(&start)?.iter().find_map(|(length, _)| {
            let end = *text.get(at..at + length)?.last_chunk()?;
            self.by_ends.get(&(*length, start, end))?.iter().find(|known| stands_at(known, text, at))
        })
    }
}

fn stands_at(known: &Known, text: &[u8], at: usize) -> bool {
    let end = at + known.value.len();
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
    if text.get(at..end) != Some(&*known.value) {
        return false;
    }
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let joins_before = is_word(before) && is_word(known.value.first());
    let joins_behind = is_word(text.get(end)) && is_word(known.value.last());
    known.value.len() >= INSIDE_BYTES || !(joins_before || joins_behind)
}

/// Two-byte starts of known values, so that most places of a text need no look-up.
#[derive(Debug)]
struct Starts(Box<[u64; 1024]>);

impl Default for Starts {
    fn default() -> Self {
        Self(Box::new([0; 1024]))
    }
}

impl Starts {
    fn place(start: Start) -> (usize, u64) {
        // The third and fourth bytes vary more than the first two.
        let number = usize::from(u16::from_be_bytes([start[2] ^ start[0].rotate_left(3), start[3] ^ start[1]]));
        (number / 64, 1 << (number % 64))
    }

    fn add(&mut self, start: Start) {
        let (word, bit) = Self::place(start);
        self.0[word] |= bit;
    }

    fn may_have(&self, start: Start) -> bool {
        let (word, bit) = Self::place(start);
        self.0[word] & bit != 0
    }
}

/// Words that were left in the capture as they are: a value that turns out secret later may be among them. A Bloom filter: it
/// says `yes` of too much at times, never `no` of what was seen.
#[derive(Debug)]
pub(super) struct Left {
    bits: Vec<u64>,
}

impl Default for Left {
    fn default() -> Self {
        let words = usize::try_from(FILTER_BITS / 64).unwrap_or(1);
        Self { bits: vec![0; words] }
    }
}

impl Left {
    fn places(word: &[u8]) -> [u64; 2] {
        let hash = hash(word);
        [hash % FILTER_BITS, (hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) % FILTER_BITS]
    }

    fn bit(&mut self, place: u64) -> Option<(&mut u64, u64)> {
        let word = usize::try_from(place / 64).ok()?;
        self.bits.get_mut(word).map(|word| (word, 1 << (place % 64)))
    }

    /// Notes the words of a text.
    pub(super) fn note(&mut self, text: &[u8]) {
        for word in words(text) {
            for place in Self::places(word) {
                if let Some((word, bit)) = self.bit(place) {
                    *word |= bit;
                }
            }
        }
    }

    /// Whether the longest word of this value was noted.
    pub(super) fn may_have(&mut self, value: &[u8]) -> bool {
        let Some(word) = words(value).max_by_key(|word| word.len()) else { return false };
        Self::places(word).into_iter().all(|place| self.bit(place).is_some_and(|(word, bit)| *word & bit != 0))
    }
}

/// A number for a value, that stays in memory.
pub(super) fn hash(value: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || *byte >= 0x80))
        .filter(|word| (SHORTEST_BYTES..=LONGEST_BYTES).contains(&word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(vault: &Vault, text: &'a str) -> Vec<&'a str> {
        vault.find(text.as_bytes()).into_iter().map(|(range, _)| &text[range]).collect()
    }

    #[test]
    fn the_longest_known_value_is_found_and_short_ones_only_as_words() {
        let mut vault = Vault::default();
        for value in ["hunter2", "hunter2-and-more", "abcdef0123456789", "short"] {
            vault.add(value.as_bytes(), &vec![b'x'; value.len()]);
        }
        assert_eq!(texts(&vault, "a=hunter2&b=hunter2-and-more;"), ["hunter2", "hunter2-and-more"]);
        assert_eq!(texts(&vault, "hunter22 xhunter2 short"), [""; 0]);
        assert_eq!(texts(&vault, "xxabcdef0123456789xx"), ["abcdef0123456789"]);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let mut vault = Vault::default();
        for number in 0..MOST_VALUES + 10 {
            let value = format!("value-{number:09}");
            assert!(vault.add(value.as_bytes(), value.as_bytes()));
        }
        assert_eq!((vault.order.len(), vault.forgotten), (MOST_VALUES, 10));
        assert_eq!(texts(&vault, "value-000000009"), [""; 0]);
        assert_eq!(texts(&vault, "value-000000010"), ["value-000000010"]);
        assert_eq!((vault.by_value.len(), vault.lengths.len()), (MOST_VALUES, 1));
        let big = vec![b'a'; LONGEST_BYTES];
        for number in 0..3000_u32 {
            let mut value = big.clone();
            value[..4].copy_from_slice(&number.to_be_bytes());
            vault.add(&value, &value);
        }
        assert!(vault.bytes <= MOST_BYTES);
    }

    #[test]
    fn values_made_to_be_alike_cost_no_more_than_a_few() {
        let mut vault = Vault::default();
        for length in 20..220 {
            vault.add(&vec![b'a'; length], &vec![b'b'; length]);
        }
        for number in 0..100 {
            let value = format!("same-start-{number:03}-same-end");
            vault.add(value.as_bytes(), value.as_bytes());
        }
        assert_eq!(vault.lengths.values().map(Vec::len).max(), Some(MOST_LENGTHS));
        assert_eq!(vault.by_ends.values().map(Vec::len).max(), Some(MOST_ALIKE));
        assert_eq!(vault.forgotten, (200 - MOST_LENGTHS as u64) + (100 - MOST_ALIKE as u64));
        assert!(vault.exact(b"same-start-099-same-end").is_some());
        while !vault.order.is_empty() {
            vault.forget_oldest();
        }
        assert!(vault.by_ends.is_empty() && vault.lengths.is_empty() && vault.by_value.is_empty());
    }

    #[test]
    fn words_that_were_left_are_remembered() {
        let mut left = Left::default();
        left.note(b"<p data-x=\"k3J8sPq2\">plain</p>");
        assert!(left.may_have(b"k3J8sPq2") && left.may_have(b"k3J8sPq2.x") && !left.may_have(b"k3J8sPq3"));
    }
}
