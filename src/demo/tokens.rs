//! Values that are different every time: random ids, masked form tokens, signed links.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes that nobody can guess; the same seed gives the same bytes.
#[derive(Debug)]
pub(super) struct Chance {
    key: [u8; 32],
    used: u64,
}

impl Chance {
    /// From this seed.
    pub(super) fn seeded(seed: u64) -> Self {
        Self { key: blake3::derive_key("overdub sample shop chance", &seed.to_le_bytes()), used: 0 }
    }

    /// From the operating system's randomness.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(super) fn from_system() -> Result<Self, rustls::Error> {
        let mut key = [0; 32];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut key)
            .map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        Ok(Self { key, used: 0 })
    }

    /// The next 32 bytes.
    pub(super) fn bytes(&mut self) -> [u8; 32] {
        self.used += 1;
        *blake3::keyed_hash(&self.key, &self.used.to_le_bytes()).as_bytes()
    }

    /// So many hexadecimal digits (64 at most).
    pub(super) fn hex(&mut self, digits: usize) -> String {
        blake3::Hash::from(self.bytes()).to_hex().chars().take(digits).collect()
    }

    /// A number below `bound` (which is not 0).
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let bytes = self.bytes();
        let mut low = [0; 8];
        low.copy_from_slice(&bytes[..8]);
        u64::from_le_bytes(low) % bound
    }
}

/// One rendering of a form token: a mask and the secret under it. No two renderings are alike.
pub(super) fn masked(secret: &[u8; 32], mask: [u8; 32]) -> String {
    let mut token = mask.to_vec();
    token.extend(mask.iter().zip(secret).map(|(m, s)| m ^ s));
    URL_SAFE_NO_PAD.encode(token)
}

/// Whether this is a rendering of the secret.
pub(super) fn unmasks_to(token: &str, secret: &[u8; 32]) -> bool {
    if token.len() != 86 {
        return false;
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
    bytes.len() == 64 && (0..32).all(|i| bytes[i] ^ bytes[i + 32] == secret[i])
}

/// A signature of `text` under `key`, as it stands in a link.
pub(super) fn signature(key: &[u8; 32], text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&blake3::keyed_hash(key, text.as_bytes()).as_bytes()[..18])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_looks_different_each_time_and_means_the_same() {
        let mut chance = Chance::seeded(1);
        let (secret, other) = (chance.bytes(), chance.bytes());
        let (first, second) = (masked(&secret, chance.bytes()), masked(&secret, chance.bytes()));
        assert_ne!(first, second);
        assert!(unmasks_to(&first, &secret) && unmasks_to(&second, &secret));
        assert!(!unmasks_to(&first, &other));
        for wrong in ["", "AAAA", &first[1..], &format!("{first}A")] {
            assert!(!unmasks_to(wrong, &secret), "{wrong}");
        }
    }

    #[test]
    fn chance_repeats_only_with_its_seed() {
        assert_eq!(Chance::seeded(7).hex(20), Chance::seeded(7).hex(20));
        assert_ne!(Chance::seeded(7).hex(20), Chance::seeded(8).hex(20));
        assert!(Chance::seeded(3).below(10) < 10);
    }
}
