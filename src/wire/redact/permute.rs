//! Values exchanged for others of the same shape, one to one.
//!
//! An alternating Feistel network over the positions of a value (as FF1 of NIST SP 800-38G, but each position with a radix of
//! its own): every round adds to one half of the positions what HMAC-SHA256 makes of the other half, so it can be undone, so
//! different values of one shape stay different whatever their length.

use std::ops::Range;

use super::key::Key;

/// Rounds of the network; FF1 has ten.
const ROUNDS: u8 = 10;
/// A run of letters and digits of this length is exchanged on its own, so that it stays equal to itself inside other values.
const WORD_BYTES: usize = 8;
/// Tries until a value that does not look hexadecimal gives one that does not either; the chance of a miss is below 0.7 each.
const WALKS: usize = 200;

/// What one position may become: `radix` bytes from `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: usize,
    base: u8,
    radix: u8,
}

/// The pseudonym of a value: digits become digits, small letters small letters, capitals capitals, hexadecimal stays
/// hexadecimal, letters beyond ASCII stay in their block of Unicode, all else stays.
pub(super) fn pseudonym(key: &Key, value: &[u8]) -> Vec<u8> {
    let mut out = value.to_vec();
    if is_uuid(value) {
        // Version and variant say what the rest means.
        let places = places(value, true).into_iter().filter(|place| place.at != 14 && place.at != 19);
        exchange(key, &mut out, &places.collect::<Vec<_>>());
        return out;
    }
    for unit in units(value) {
        let part = &mut out[unit];
        let hex = looks_hex(part);
        let places = places(part, hex);
        exchange(key, part, &places);
        // One to one also between the two kinds: whoever was not hexadecimal goes on until it is not (cycle walking).
        let mut walks = 0;
        while !hex && looks_hex(part) && walks < WALKS {
            exchange(key, part, &places);
            walks += 1;
        }
    }
    out
}

/// Exchanges digits for digits in these positions.
pub(super) fn digits(key: &Key, value: &mut [u8], at: &[usize]) {
    let places: Vec<Place> = at.iter().map(|&at| Place { at, base: b'0', radix: 10 }).collect();
    exchange(key, value, &places);
}

/// Exchanges letters and digits within a range.
pub(super) fn within(key: &Key, value: &mut [u8], range: Range<usize>) {
    if let Some(part) = value.get_mut(range) {
        let changed = pseudonym(key, part);
        part.copy_from_slice(&changed);
    }
}

/// Parts of a value that are exchanged on their own: long words, and whatever stands between two of them.
pub(super) fn units(value: &[u8]) -> Vec<Range<usize>> {
    let mut units: Vec<Range<usize>> = Vec::new();
    let mut between: Option<Range<usize>> = None;
    let mut at = 0;
    while at < value.len() {
        if !is_word(value[at]) {
            at += 1;
            continue;
        }
        let length = value[at..].iter().take_while(|byte| is_word(**byte)).count();
        let word = at..at + length;
        at = word.end;
        if length >= WORD_BYTES {
            units.extend(between.take());
            units.push(word);
        } else {
            between = Some(between.map_or(word.clone(), |before| before.start..word.end));
        }
    }
    units.extend(between);
    units
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
        && !(value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase))
}

/// Digits and letters to F of one case, some of both.
fn looks_hex(part: &[u8]) -> bool {
    let (mut digits, mut lower, mut upper) = (0, 0, 0);
    for byte in part {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'f' => lower += 1,
            b'A'..=b'F' => upper += 1,
            _ if is_word(*byte) => return false,
            _ => {}
        }
    }
    digits > 0 && (lower > 0) != (upper > 0) && digits + lower + upper >= WORD_BYTES
}

fn places(part: &[u8], hex: bool) -> Vec<Place> {
    let letters = if hex { 6 } else { 26 };
    let number = part.iter().all(u8::is_ascii_digit);
    let mut places = Vec::with_capacity(part.len());
    for (at, byte) in part.iter().enumerate() {
        let (base, radix) = match byte {
            // A number has no zero in front that it did not have.
            b'0' if number && at == 0 => continue,
            b'1'..=b'9' if number && at == 0 => (b'1', 9),
            b'0'..=b'9' => (b'0', 10),
            b'a'..=b'z' => (b'a', letters),
            b'A'..=b'Z' => (b'A', letters),
            // The last byte of a character: its block of 64 is its script, mostly.
            0x80..=0xbf if part.get(at + 1).is_none_or(|next| !(0x80..=0xbf).contains(next)) => (0x80, 64),
            _ => continue,
        };
        places.push(Place { at, base, radix });
    }
    places
}

fn exchange(key: &Key, value: &mut [u8], places: &[Place]) {
    let mut input = Vec::with_capacity(8 + places.len() * 2);
    for round in 0..ROUNDS {
        let active = usize::from(round % 2);
        input.clear();
        input.push(round);
        for (number, place) in places.iter().enumerate() {
            // The shape is part of the question, and so are the positions that stay as they are in this round.
            input.push(place.radix);
            input.push(if number % 2 == active { 0 } else { value[place.at] - place.base });
        }
        let mut stream = Stream { key, seed: key.mac(&input), block: [0; 32], used: 32, number: 0 };
        for place in places.iter().skip(active).step_by(2) {
            let shift = stream.below(u16::from(place.radix));
            let digit = (u16::from(value[place.at] - place.base) + shift) % u16::from(place.radix);
            value[place.at] = place.base + u8::try_from(digit).unwrap_or(0);
        }
    }
}

/// Numbers drawn from HMACs of a seed and a counter.
struct Stream<'a> {
    key: &'a Key,
    seed: [u8; 32],
    block: [u8; 32],
    used: usize,
    number: u32,
}

impl Stream<'_> {
    /// A number below `radix`; four bytes for each, so that no number is likelier than another by more than a hair.
    fn below(&mut self, radix: u16) -> u16 {
        if self.used == self.block.len() {
            let mut input = [0; 36];
            input[..32].copy_from_slice(&self.seed);
            input[32..].copy_from_slice(&self.number.to_be_bytes());
            self.number = self.number.wrapping_add(1);
            self.block = self.key.mac(&input);
            self.used = 0;
        }
        let mut four = [0; 4];
        four.copy_from_slice(&self.block[self.used..self.used + 4]);
        self.used += 4;
        u16::try_from(u32::from_be_bytes(four) % u32::from(radix)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn key() -> Key {
        Key::new(&[7; 32])
    }

    fn of(value: &str) -> String {
        String::from_utf8(pseudonym(&key(), value.as_bytes())).unwrap()
    }

    fn shape(value: &str) -> String {
        value
            .chars()
            .map(|c| match c {
                '0'..='9' => '9',
                'a'..='z' => 'a',
                'A'..='Z' => 'A',
                c => c,
            })
            .collect()
    }

    #[test]
    fn length_and_classes_of_positions_stay() {
        for value in ["hunter2", "S3cr3t!Pass", "c_9-zZ", "550e8400e29b41d4a716446655440000", "a+b/c==", "x", ""] {
            let other = of(value);
            assert_eq!(shape(&other), shape(value), "{value}");
            assert_eq!(other, of(value), "the same each time");
            assert_ne!(Key::new(&[8; 32]).mac(b""), key().mac(b""));
        }
        assert_ne!(of("S3cr3t!Pass"), "S3cr3t!Pass");
        assert!(of("550e8400e29b41d4").bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(of("DEADBEEF01").bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn letters_of_other_scripts_stay_letters_of_as_many_bytes() {
        for value in ["Müllerin", "пароль", "密码一二"] {
            let other = of(value);
            assert_eq!(other.len(), value.len());
            assert_ne!(other, value);
        }
    }

    #[test]
    fn short_values_are_exchanged_one_to_one() {
        let three: HashSet<String> = (0..1000).map(|n| of(&format!("{n:03}x"))).collect();
        assert_eq!(three.len(), 1000);
        let pins: HashSet<String> = (1000..10_000).map(|n| of(&n.to_string())).collect();
        assert_eq!(pins.len(), 9000);
        assert!(pins.iter().all(|pin| !pin.starts_with('0')), "numbers stay numbers");
        let letters: HashSet<String> = ('a'..='z').map(|c| of(&c.to_string())).collect();
        assert_eq!(letters.len(), 26);
    }

    #[test]
    fn hexadecimal_and_other_values_do_not_meet() {
        let mut seen = HashSet::new();
        for n in 0..3000_u32 {
            assert!(seen.insert(of(&format!("{n:07}a"))), "hexadecimal {n}");
            assert!(seen.insert(of(&format!("{n:07}g"))), "other {n}");
        }
    }

    #[test]
    fn a_long_word_is_equal_to_itself_inside_other_values() {
        let word = of("k3J8sPq2Lm9x");
        assert_eq!(
            of("s:k3J8sPq2Lm9x.sig"),
            format!("{}{word}{}", &of("s:k3J8sPq2Lm9x.sig")[..2], &of("s:k3J8sPq2Lm9x.sig")[14..])
        );
        let uuid = of("abcdefab-cdef-4abc-8def-abcdefabcdef");
        assert!(uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') && &uuid[14..15] == "4");
    }
}
