//! Opening one protected record with one key: AEADs, CBC with HMAC, HMAC alone.
//!
//! Knows no secrets' names, no streams, no order: the sequence number is an argument. Main type: [`Opener`].

use std::ops::Range;

use aes::cipher::{Array, BlockModeDecrypt, InnerIvInit, KeyInit};
use aes::{Aes128, Aes128Dec, Aes256, Aes256Dec};
use ccm::Ccm;
use ccm::aead::AeadInOut;
use ccm::consts::{U8, U12, U16};
use ring::{aead, hmac};

use super::record::Header;
use super::schedule::expand_label;
use super::suites::{Cipher, Hash, Suite};

/// Opens the records of one side under one key.
pub(super) struct Opener {
    kind: Kind,
    iv: [u8; 12],
    form: Form,
}

/// How nonce, additional data and content type are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// RFC 8446 §5.2.
    Tls13,
    /// Drafts of TLS 1.3 before the 25th: no additional data.
    Tls13Draft,
    /// RFC 5288, RFC 6655: four bytes of the nonce agreed, eight in the record.
    Explicit,
    /// RFC 7905.
    Implicit,
    /// RFC 5246 §6.2.3.1 and §6.2.3.2.
    Mac,
}

#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
enum Kind {
    Ring(aead::LessSafeKey),
    Ccm(Box<dyn InPlace + Send + Sync>),
    Cbc(Cbc),
    Null(hmac::Key),
}

struct Cbc {
    block: Block,
    mac: hmac::Key,
    mac_length: usize,
    /// The MAC is over the ciphertext (RFC 7366).
    encrypt_then_mac: bool,
    /// TLS 1.0 alone: later versions send the IV.
    chained: Option<Chain>,
}

/// The last block before a record, which is the record's IV, when that was seen.
#[derive(Default)]
struct Chain {
    iv: Option<[u8; 16]>,
    /// The sequence number it is for; unknown when the block was seen but not authenticated.
    seq: Option<u64>,
}

enum Block {
    Aes128(Box<Aes128Dec>),
    Aes256(Box<Aes256Dec>),
}

/// AES-CCM of any key and tag length.
trait InPlace {
    /// Decrypts and verifies; the length of the plaintext, at the front of `body`.
    fn open(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8]) -> Option<usize>;
    fn tag(&self) -> usize;
}

/// What stood in a record: content type and where its plaintext is in the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) kind: u8,
    pub(super) plaintext: Range<usize>,
    /// TLS 1.3: zeros followed the content.
    pub(super) padded: bool,
}

/// What a TLS 1.2 key block gives one side (RFC 5246 §6.3).
pub(super) struct SessionKeys<'a> {
    pub(super) mac: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) iv: &'a [u8],
}

impl Opener {
    /// Keys of TLS 1.3 from a traffic secret; `draft` is the number of the draft, when it was one.
    pub(super) fn tls13(suite: Suite, secret: &[u8], draft: Option<u8>) -> Option<Self> {
        if secret.len() != suite.hash.length() {
            return None;
        }
        let mut key = [0; 32];
        let key = &mut key[..suite.cipher.key_length()];
        expand_label(suite.hash, secret, "key", key);
        let mut iv = [0; 12];
        expand_label(suite.hash, secret, "iv", &mut iv);
        let form = if draft.is_some_and(|draft| draft < 25) { Form::Tls13Draft } else { Form::Tls13 };
        Some(Self { kind: aead(suite.cipher, key)?, iv, form })
    }

    /// Keys of TLS 1.2 or older from its key block.
    pub(super) fn session(suite: Suite, version: u16, encrypt_then_mac: bool, keys: &SessionKeys<'_>) -> Option<Self> {
        let mut iv = [0; 12];
        let (kind, form) = match suite.cipher {
            Cipher::Cbc { mac, .. } => (Kind::Cbc(Cbc::new(version, encrypt_then_mac, mac, keys)?), Form::Mac),
            Cipher::Null { mac } => (Kind::Null(hmac::Key::new(mac.hmac(), keys.mac)), Form::Mac),
            cipher => {
                iv[..keys.iv.len()].copy_from_slice(keys.iv);
                let form = if cipher == Cipher::ChaCha20Poly1305 { Form::Implicit } else { Form::Explicit };
                (aead(cipher, keys.key)?, form)
            }
        };
        Some(Self { kind, iv, form })
    }

    /// Decrypts and verifies a record's body in place; `None` when it was not made with this key and sequence number (the
    /// body is then spoiled).
    pub(super) fn open(&mut self, seq: u64, header: &Header, body: &mut [u8]) -> Option<Opened> {
        let overhead = self.overhead();
        if body.len() < overhead {
            return None;
        }
        let (nonce, skip) = self.nonce(seq, body)?;
        let aad = additional_data(seq, header, body.len() - overhead);
        let aad = match self.form {
            Form::Tls13 => &header.bytes[..],
            Form::Tls13Draft => &[],
            _ => &aad[..],
        };
        let content = match &mut self.kind {
            Kind::Ring(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(nonce);
                let length = key.open_in_place(nonce, aead::Aad::from(aad), &mut body[skip..]).ok()?.len();
                skip..skip + length
            }
            Kind::Ccm(key) => skip..skip + key.open(&nonce, aad, &mut body[skip..])?,
            Kind::Cbc(cbc) => cbc.open(seq, header, body)?,
            Kind::Null(mac) => {
                let (content, tag) = body.split_at(body.len() - mac.algorithm().digest_algorithm().output_len());
                let aad = additional_data(seq, header, content.len());
                verify(mac, &[&aad, content], tag).then_some(0..content.len())?
            }
        };
        if !matches!(self.form, Form::Tls13 | Form::Tls13Draft) {
            return Some(Opened { kind: header.kind, plaintext: content, padded: false });
        }
        // RFC 8446 §5.4: the content type is the last byte that is not zero.
        let last = body[content.clone()].iter().rposition(|&byte| byte != 0)?;
        let padded = last + 1 != content.len();
        Some(Opened { kind: body[content.start + last], plaintext: content.start..content.start + last, padded })
    }

    /// Nonce of a record and how many bytes of it stand in front of the ciphertext.
    fn nonce(&self, seq: u64, body: &[u8]) -> Option<([u8; 12], usize)> {
        let mut nonce = self.iv;
        match self.form {
            Form::Mac => Some((nonce, 0)),
            Form::Explicit => {
                nonce[4..].copy_from_slice(body.get(..8)?);
                Some((nonce, 8))
            }
            _ => {
                nonce[4..].iter_mut().zip(seq.to_be_bytes()).for_each(|(iv, byte)| *iv ^= byte);
                Some((nonce, 0))
            }
        }
    }

    /// The nonce that stands in a record: nearly every sender counts it up by one for each record.
    pub(super) fn explicit_nonce(&self, body: &[u8]) -> Option<u64> {
        if self.form != Form::Explicit {
            return None;
        }
        body.first_chunk().map(|nonce| u64::from_be_bytes(*nonce))
    }

    /// The fewest bytes that a body has beyond its plaintext.
    pub(super) fn overhead(&self) -> usize {
        let explicit = if self.form == Form::Explicit { 8 } else { 0 };
        let inner_type = usize::from(matches!(self.form, Form::Tls13 | Form::Tls13Draft));
        let tag = match &self.kind {
            Kind::Ring(_) => 16,
            Kind::Ccm(key) => key.tag(),
            Kind::Cbc(cbc) => return cbc.mac_length + 1 + if cbc.chained.is_some() { 0 } else { 16 },
            Kind::Null(mac) => mac.algorithm().digest_algorithm().output_len(),
        };
        explicit + tag + inner_type
    }

    /// True when every body has exactly [`Self::overhead`] bytes beyond its plaintext, padding of TLS 1.3 aside.
    pub(super) fn exact(&self) -> bool {
        !matches!(self.kind, Kind::Cbc(_))
    }

    /// The last bytes before the next record, for ciphers that chain on them; `None` when they were lost. A MAC over the
    /// ciphertext does not cover them: there, a record that authenticates is the only proof.
    pub(super) fn chain(&mut self, before: Option<&[u8]>) {
        if let Kind::Cbc(Cbc { chained: Some(chain), encrypt_then_mac: false, .. }) = &mut self.kind {
            *chain = Chain { iv: before.and_then(|before| before.last_chunk().copied()), seq: None };
        }
    }
}

/// RFC 5246 §6.2.3.3.
fn additional_data(seq: u64, header: &Header, length: usize) -> [u8; 13] {
    let mut data = [0; 13];
    data[..8].copy_from_slice(&seq.to_be_bytes());
    data[8..11].copy_from_slice(&header.bytes[..3]);
    data[11..].copy_from_slice(&(length as u16).to_be_bytes());
    data
}

fn aead(cipher: Cipher, key: &[u8]) -> Option<Kind> {
    let algorithm = match cipher {
        Cipher::Aes128Gcm => &aead::AES_128_GCM,
        Cipher::Aes256Gcm => &aead::AES_256_GCM,
        Cipher::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        Cipher::Ccm { key: 16, tag: 16 } => return ccm::<Ccm<Aes128, U16, U12>>(key),
        Cipher::Ccm { key: 16, .. } => return ccm::<Ccm<Aes128, U8, U12>>(key),
        Cipher::Ccm { tag: 16, .. } => return ccm::<Ccm<Aes256, U16, U12>>(key),
        Cipher::Ccm { .. } => return ccm::<Ccm<Aes256, U8, U12>>(key),
        Cipher::Cbc { .. } | Cipher::Null { .. } => return None,
    };
    Some(Kind::Ring(aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key).ok()?)))
}

fn ccm<C: KeyInit + InPlace + Send + Sync + 'static>(key: &[u8]) -> Option<Kind> {
    Some(Kind::Ccm(Box::new(C::new_from_slice(key).ok()?)))
}

macro_rules! ccm_in_place {
    ($cipher:ty, $tag:ty, $tag_length:literal) => {
        impl InPlace for Ccm<$cipher, $tag, U12> {
            fn open(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8]) -> Option<usize> {
                let length = body.len().checked_sub($tag_length)?;
                let (body, tag) = body.split_at_mut(length);
                let (nonce, tag) = (Array(*nonce), Array::try_from(&*tag).ok()?);
                self.decrypt_inout_detached(&nonce, aad, body.into(), &tag).ok()?;
                Some(length)
            }

            fn tag(&self) -> usize {
                $tag_length
            }
        }
    };
}
ccm_in_place!(Aes128, U16, 16);
ccm_in_place!(Aes128, U8, 8);
ccm_in_place!(Aes256, U16, 16);
ccm_in_place!(Aes256, U8, 8);

impl Cbc {
    fn new(version: u16, encrypt_then_mac: bool, mac: Hash, keys: &SessionKeys<'_>) -> Option<Self> {
        let block = match keys.key.len() {
            16 => Block::Aes128(Box::new(Aes128Dec::new_from_slice(keys.key).ok()?)),
            _ => Block::Aes256(Box::new(Aes256Dec::new_from_slice(keys.key).ok()?)),
        };
        let chained = (version < 0x0302).then(|| Chain { iv: keys.iv.first_chunk().copied(), seq: Some(0) });
        let mac_length = mac.length();
        Some(Self { block, mac: hmac::Key::new(mac.hmac(), keys.mac), mac_length, encrypt_then_mac, chained })
    }

    fn open(&mut self, seq: u64, header: &Header, body: &mut [u8]) -> Option<Range<usize>> {
        let mut end = body.len();
        if self.encrypt_then_mac {
            end = end.checked_sub(self.mac_length)?;
            let aad = additional_data(seq, header, end);
            if !verify(&self.mac, &[&aad, &body[..end]], &body[end..]) {
                return None;
            }
        }
        let last = body[..end].last_chunk().copied();
        let (iv, start) = match &mut self.chained {
            None => (*body.first_chunk()?, 16),
            Some(chain) if self.encrypt_then_mac => {
                // This record is proved already. Without its IV its first block is lost, but not the next record's.
                let next = Chain { iv: last, seq: Some(seq.wrapping_add(1)) };
                let chain = std::mem::replace(chain, next);
                (chain.iv.filter(|_| chain.seq == Some(seq))?, 0)
            }
            Some(chain) => (chain.iv?, 0),
        };
        decrypt(&self.block, iv, body.get_mut(start..end)?)?;
        end = unpad(body, start, end)?;
        if !self.encrypt_then_mac {
            let length = end.checked_sub(start)?.checked_sub(self.mac_length)?;
            let (content, tag) = body[start..end].split_at(length);
            let aad = additional_data(seq, header, length);
            if !verify(&self.mac, &[&aad, content], tag) {
                return None;
            }
            end = start + length;
        }
        if let Some(chain) = &mut self.chained {
            *chain = Chain { iv: last, seq: Some(seq.wrapping_add(1)) };
        }
        Some(start..end)
    }
}

fn decrypt(block: &Block, iv: [u8; 16], body: &mut [u8]) -> Option<()> {
    let (blocks, rest) = Array::slice_as_chunks_mut(body);
    if blocks.is_empty() || !rest.is_empty() {
        return None;
    }
    match block {
        Block::Aes128(key) => {
            cbc::Decryptor::<Aes128Dec>::inner_iv_init((**key).clone(), &iv.into()).decrypt_blocks(blocks);
        }
        Block::Aes256(key) => {
            cbc::Decryptor::<Aes256Dec>::inner_iv_init((**key).clone(), &iv.into()).decrypt_blocks(blocks);
        }
    }
    Some(())
}

/// The end of what is in front of the padding: `n + 1` bytes of value `n`.
fn unpad(body: &[u8], start: usize, end: usize) -> Option<usize> {
    let padding = body.get(start..end)?.last()?;
    let unpadded = end.checked_sub(usize::from(*padding) + 1).filter(|&end| end >= start)?;
    body[unpadded..end].iter().all(|byte| byte == padding).then_some(unpadded)
}

fn verify(key: &hmac::Key, parts: &[&[u8]], tag: &[u8]) -> bool {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref() == tag
}
