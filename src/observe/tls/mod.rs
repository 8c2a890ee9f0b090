//! Passive decryption of TLS 1.0 to 1.3 with secrets from key logs.
//!
//! ```text
//! bytes of a side -> Framer -> record -> Opener -> Joiner -> handshake messages -> Negotiation, keys
//!                                              \-> plaintext, alerts
//! ```
//!
//! A pure state machine: bytes and secrets in, plaintext out. Every record is authenticated; what was not is never handed on.

mod decryptor;
mod direction;
mod hello;
mod keyring;
mod machine;
mod md5;
mod negotiation;
mod opener;
mod record;
mod recovery;
mod schedule;
mod secrets;
mod suites;
#[cfg(test)]
mod tests;

use std::fmt;

pub use decryptor::Decryptor;
pub use hello::{looks_like_hello, looks_like_record};
pub use keyring::Keyring;

/// What comes out of a [`Decryptor`], in order for each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Application data.
    Plaintext(&'a [u8]),
    /// Application data is missing here.
    Gap {
        /// How many bytes, if the records lost were of the form of those before; 0 when the number is not known.
        bytes: u64,
    },
    /// Both Finished were seen, or the first application data.
    HandshakeDone,
    /// close_notify.
    Closed,
    /// An alert other than close_notify: level and description (RFC 8446 §6).
    Alert(u8, u8),
    /// From here on this side cannot be decrypted. Said once for each side.
    Undecryptable(Reason),
}

/// Why a side cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The capture begins behind the ClientHello, which names the secrets.
    NoClientHello,
    /// The key log has no secret of this connection.
    NoSecrets,
    /// The same, and the ClientHello carries an encrypted one, under whose random the secrets may be.
    NoSecretsOfEncryptedHello,
    /// Records do not authenticate with the secrets of the key log.
    WrongSecrets,
    /// The cipher suite is not known here.
    UnsupportedCipher(u16),
    /// The version is not known here, such as SSL 3.0.
    UnsupportedVersion(u16),
    /// Records were lost that what follows depends on.
    LostRecords,
    /// This is no TLS.
    Malformed,
    /// Records are compressed (RFC 3749).
    Compression,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClientHello => f.write_str("joined behind the TLS handshake"),
            Self::NoSecrets => f.write_str("no secrets in the key log"),
            Self::NoSecretsOfEncryptedHello => {
                f.write_str("no secrets in the key log (client offered encrypted hello)")
            }
            Self::WrongSecrets => f.write_str("wrong secrets in the key log"),
            Self::UnsupportedCipher(suite) => write!(f, "cipher suite 0x{suite:04x} is not supported"),
            Self::UnsupportedVersion(0x0300) => f.write_str("SSL 3.0 is not supported"),
            Self::UnsupportedVersion(version) => write!(f, "TLS version 0x{version:04x} is not supported"),
            Self::LostRecords => f.write_str("TLS records were lost that the rest depends on"),
            Self::Malformed => f.write_str("malformed TLS"),
            Self::Compression => f.write_str("TLS compression is not supported"),
        }
    }
}

/// What is known of a connection from its handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Version agreed: 0x0303 for TLS 1.2, 0x0304 for TLS 1.3 and its drafts.
    pub version: Option<u16>,
    /// Cipher suite agreed, by its number.
    pub cipher: Option<u16>,
    /// Host the client asked for.
    pub sni: Option<String>,
    /// Application protocol agreed.
    pub alpn: Option<String>,
    /// Application protocols the client offered.
    pub offered_alpn: Vec<String>,
    /// An earlier session was resumed.
    pub resumed: bool,
    /// The server accepted early data (0-RTT).
    pub early_data: bool,
    /// The ClientHello was seen.
    pub client_hello_seen: bool,
    /// The ClientHello carries an encrypted ClientHello, or pretends to.
    pub ech: bool,
}
