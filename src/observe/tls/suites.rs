//! The table of cipher suites: which cipher protects records and which hash derives keys.
//!
//! Numbers are IANA's "TLS Cipher Suites". How the secret was agreed (RSA, ECDHE, PSK, …) does not matter to a reader that is
//! given secrets, so a row is a protection and the suites that share it.

/// A hash function, as a PRF, an HKDF or a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
}

/// What protects a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    /// AES-CCM; key and tag length in bytes.
    Ccm {
        key: usize,
        tag: usize,
    },
    /// AES-CBC with HMAC; key length in bytes.
    Cbc {
        key: usize,
        mac: Hash,
    },
    /// HMAC alone.
    Null {
        mac: Hash,
    },
}

/// A suite as far as decryption is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) cipher: Cipher,
    /// PRF of TLS 1.2, HKDF of TLS 1.3.
    pub(super) hash: Hash,
}

use Cipher::{Aes128Gcm, Aes256Gcm, Cbc, Ccm, ChaCha20Poly1305, Null};
use Hash::{Sha1, Sha256, Sha384};

/// Suites of TLS 1.3 (RFC 8446 §B.4).
const TLS13: &[(Cipher, Hash, u16)] = &[
    (Aes128Gcm, Sha256, 0x1301),
    (Aes256Gcm, Sha384, 0x1302),
    (ChaCha20Poly1305, Sha256, 0x1303),
    (Ccm { key: 16, tag: 16 }, Sha256, 0x1304),
    (Ccm { key: 16, tag: 8 }, Sha256, 0x1305),
];

/// Suites up to TLS 1.2 (RFC 5246, 5288, 5289, 5487, 5489, 4785, 5054, 6655, 7251, 7905, 8442).
#[rustfmt::skip]
const TLS12: &[(Cipher, Hash, &[u16])] = &[
    (Aes128Gcm, Sha256, &[
        0x009C, 0x009E, 0x00A0, 0x00A2, 0x00A4, 0x00A6, 0x00A8, 0x00AA, 0x00AC, 0xC02B, 0xC02D, 0xC02F, 0xC031, 0xD001,
    ]),
    (Aes256Gcm, Sha384, &[
        0x009D, 0x009F, 0x00A1, 0x00A3, 0x00A5, 0x00A7, 0x00A9, 0x00AB, 0x00AD, 0xC02C, 0xC02E, 0xC030, 0xC032, 0xD002,
    ]),
    (ChaCha20Poly1305, Sha256, &[0xCCA8, 0xCCA9, 0xCCAA, 0xCCAB, 0xCCAC, 0xCCAD, 0xCCAE]),
    (Ccm { key: 16, tag: 16 }, Sha256, &[0xC09C, 0xC09E, 0xC0A4, 0xC0A6, 0xC0AC, 0xD005]),
    (Ccm { key: 32, tag: 16 }, Sha256, &[0xC09D, 0xC09F, 0xC0A5, 0xC0A7, 0xC0AD]),
    (Ccm { key: 16, tag: 8 }, Sha256, &[0xC0A0, 0xC0A2, 0xC0A8, 0xC0AA, 0xC0AE, 0xD003]),
    (Ccm { key: 32, tag: 8 }, Sha256, &[0xC0A1, 0xC0A3, 0xC0A9, 0xC0AB, 0xC0AF]),
    (Cbc { key: 16, mac: Sha1 }, Sha256, &[
        0x002F, 0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x008C, 0x0090, 0x0094, 0xC004, 0xC009, 0xC00E, 0xC013, 0xC018,
        0xC01D, 0xC01E, 0xC01F, 0xC035,
    ]),
    (Cbc { key: 32, mac: Sha1 }, Sha256, &[
        0x0035, 0x0036, 0x0037, 0x0038, 0x0039, 0x003A, 0x008D, 0x0091, 0x0095, 0xC005, 0xC00A, 0xC00F, 0xC014, 0xC019,
        0xC020, 0xC021, 0xC022, 0xC036,
    ]),
    (Cbc { key: 16, mac: Sha256 }, Sha256, &[
        0x003C, 0x003E, 0x003F, 0x0040, 0x0067, 0x006C, 0x00AE, 0x00B2, 0x00B6, 0xC023, 0xC025, 0xC027, 0xC029, 0xC037,
    ]),
    (Cbc { key: 32, mac: Sha256 }, Sha256, &[0x003D, 0x0068, 0x0069, 0x006A, 0x006B, 0x006D]),
    (Cbc { key: 32, mac: Sha384 }, Sha384, &[0x00AF, 0x00B3, 0x00B7, 0xC024, 0xC026, 0xC028, 0xC02A, 0xC038]),
    (Null { mac: Sha1 }, Sha256, &[
        0x0002, 0x002C, 0x002D, 0x002E, 0xC001, 0xC006, 0xC00B, 0xC010, 0xC015, 0xC039,
    ]),
    (Null { mac: Sha256 }, Sha256, &[0x003B, 0x00B0, 0x00B4, 0x00B8, 0xC03A]),
    (Null { mac: Sha384 }, Sha384, &[0x00B1, 0x00B5, 0x00B9, 0xC03B]),
];

/// The suite of this number, when it can be decrypted.
pub(super) fn suite(number: u16, tls13: bool) -> Option<Suite> {
    if tls13 {
        let row = TLS13.iter().find(|row| row.2 == number)?;
        return Some(Suite { cipher: row.0, hash: row.1 });
    }
    let row = TLS12.iter().find(|row| row.2.contains(&number))?;
    Some(Suite { cipher: row.0, hash: row.1 })
}

/// The TLS 1.3 suites whose secrets have this length, the usual first.
pub(super) fn suites_of_secret(length: usize) -> impl Iterator<Item = (u16, Suite)> {
    let of_length = move |row: &&(Cipher, Hash, u16)| row.1.length() == length;
    TLS13.iter().filter(of_length).map(|row| (row.2, Suite { cipher: row.0, hash: row.1 }))
}

impl Hash {
    /// Length of its output.
    pub(super) fn length(self) -> usize {
        match self {
            Sha1 => 20,
            Sha256 => 32,
            Sha384 => 48,
        }
    }
}

impl Cipher {
    /// Length of its key.
    pub(super) fn key_length(self) -> usize {
        match self {
            Aes128Gcm => 16,
            Aes256Gcm | ChaCha20Poly1305 => 32,
            Ccm { key, .. } | Cbc { key, .. } => key,
            Null { .. } => 0,
        }
    }

    /// Length of its MAC key; 0 for AEADs.
    pub(super) fn mac_length(self) -> usize {
        match self {
            Cbc { mac, .. } | Null { mac } => mac.length(),
            _ => 0,
        }
    }

    /// Length of the IV that TLS 1.2 takes from the key block.
    pub(super) fn iv_length(self) -> usize {
        match self {
            Aes128Gcm | Aes256Gcm | Ccm { .. } => 4,
            ChaCha20Poly1305 => 12,
            Cbc { .. } => 16,
            Null { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_suite_stands_in_two_rows() {
        let mut numbers: Vec<u16> = TLS12.iter().flat_map(|row| row.2).copied().collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }

    #[test]
    fn well_known_suites_are_what_their_names_say() {
        let cases = [
            (0xC02F, Aes128Gcm, Sha256),
            (0xC030, Aes256Gcm, Sha384),
            (0xC014, Cbc { key: 32, mac: Sha1 }, Sha256),
            (0xC028, Cbc { key: 32, mac: Sha384 }, Sha384),
            (0xC0AF, Ccm { key: 32, tag: 8 }, Sha256),
            (0xCCA8, ChaCha20Poly1305, Sha256),
        ];
        for (number, cipher, hash) in cases {
            assert_eq!(suite(number, false), Some(Suite { cipher, hash }), "{number:04x}");
        }
        assert_eq!(suite(0x000A, false), None);
        assert_eq!(suite(0xC02F, true), None);
    }
}
