//! Keys from secrets: the PRF of TLS 1.0–1.2 and the expansion of TLS 1.3.

use ring::hmac;

use super::md5::hmac_md5;
use super::suites::Hash;

impl Hash {
    /// The same, as ring names it.
    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        }
    }
}

/// Fills `out` from `secret` (RFC 5246 §5; RFC 2246 §5 when `version` is below TLS 1.2). `seed` is label and seed in parts.
pub(super) fn prf(version: u16, hash: Hash, secret: &[u8], seed: &[&[u8]], out: &mut [u8]) {
    out.fill(0);
    if version >= 0x0303 {
        let key = hmac::Key::new(hash.hmac(), secret);
        return p_hash(|parts| sign(&key, parts), seed, out);
    }
    let half = secret.len().div_ceil(2);
    let (first, second) = (&secret[..half], &secret[secret.len() - half..]);
    p_hash(|parts| hmac_md5(first, parts).to_vec(), seed, out);
    let key = hmac::Key::new(Hash::Sha1.hmac(), second);
    p_hash(|parts| sign(&key, parts), seed, out);
}

/// P_hash of RFC 5246 §5, added to `out` by XOR.
fn p_hash(mac: impl Fn(&[&[u8]]) -> Vec<u8>, seed: &[&[u8]], out: &mut [u8]) {
    let mut a = mac(seed);
    for chunk in out.chunks_mut(a.len()) {
        let parts: Vec<&[u8]> = std::iter::once(&a[..]).chain(seed.iter().copied()).collect();
        let block = mac(&parts);
        chunk.iter_mut().zip(&block).for_each(|(out, byte)| *out ^= byte);
        a = mac(&[&a]);
    }
}

fn sign(key: &hmac::Key, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().to_vec()
}

/// HKDF-Expand-Label with an empty context (RFC 8446 §7.1); `out` is at most one hash long, as all of TLS's are.
pub(super) fn expand_label(hash: Hash, secret: &[u8], label: &str, out: &mut [u8]) {
    let length = u8::try_from(out.len()).expect("keys of TLS are short");
    let label_length = u8::try_from(6 + label.len()).expect("labels of TLS are short");
    let key = hmac::Key::new(hash.hmac(), secret);
    let info: &[&[u8]] = &[&[0, length, label_length], b"tls13 ", label.as_bytes(), &[0, 1]];
    let length = out.len();
    out.copy_from_slice(&sign(&key, info)[..length]);
}
