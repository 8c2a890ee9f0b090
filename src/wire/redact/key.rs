//! The secret that pseudonyms depend on. It is given, never made or kept here, and never printed.

use ring::hmac;

/// 32 bytes; pseudonyms made with one key are equal, those of different keys have nothing to do with each other.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// A key of these bytes, which should be random.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A key written as 64 hexadecimal digits; white space around them is passed over. `None` when it is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
        }
        Some(Self::new(&bytes))
    }

    /// HMAC-SHA256 (RFC 2104) of these bytes.
    pub(super) fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.0, bytes).as_ref());
        out
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The value of a hexadecimal digit.
pub(super) fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        let hex = "00".repeat(31) + "fF";
        let mut bytes = [0; 32];
        bytes[31] = 0xff;
        assert_eq!(Key::from_hex(&format!(" {hex}\n")).unwrap().mac(b"x"), Key::new(&bytes).mac(b"x"));
        for wrong in ["", "00", &("00".repeat(31) + "0g"), &"00".repeat(33), &"é".repeat(32)] {
            assert!(Key::from_hex(wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{:?}", Key::new(&bytes)), "Key(…)");
    }
}
