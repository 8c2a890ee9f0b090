//! Random numbers that depend on the seed and on who asks, never on when.

/// A small generator (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator for whoever is described by `path`. Equal seed and path give equal numbers.
    pub fn new(seed: u64, path: &[u64]) -> Self {
        let mut random = Self { state: seed };
        for part in path {
            random.state = random.next() ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93);
        }
        random
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A UUID of version 4 (RFC 9562 §5.4), lower case.
    pub fn uuid4(&mut self) -> String {
        let high = (self.next() & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (self.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        let (d, e) = (low >> 48, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_paths_give_equal_numbers_and_others_do_not() {
        let first = |seed, path: &[u64]| Random::new(seed, path).uuid4();
        assert_eq!(first(1, &[1, 2, 3]), first(1, &[1, 2, 3]));
        assert_ne!(first(1, &[1, 2, 3]), first(2, &[1, 2, 3]));
        assert_ne!(first(1, &[1, 2, 3]), first(1, &[2, 1, 3]));
        assert_ne!(first(1, &[1]), first(1, &[1, 0]));
    }

    #[test]
    fn a_uuid_says_its_version_and_variant() {
        let mut random = Random::new(7, &[]);
        for _ in 0..100 {
            let uuid = random.uuid4();
            let shape: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(shape, [8, 4, 4, 4, 12]);
            assert_eq!(uuid.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        }
    }
}
