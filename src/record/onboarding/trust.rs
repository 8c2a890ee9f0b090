//! The system's roots and ours in the files that runtimes read whose own store cannot be added to: PEM for most, a Java
//! keystore for Java.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// Password of the keystore: everybody's, as it protects nothing that is secret.
const PASSWORD: &str = "changeit";
/// Salt of a keystore's digest, fixed by its format.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const JKS_MAGIC: u32 = 0xfeed_feed;
const JKS_VERSION: u32 = 2;
const JKS_TRUSTED_CERTIFICATE: u32 = 2;
const PEM_LINE: usize = 64;

/// Roots for clients of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    roots: Vec<Vec<u8>>,
}

impl TrustBundle {
    /// Our root (DER) and all that the system trusts; a system without a store adds none.
    pub fn with_system(root: &[u8]) -> Self {
        let system = rustls_native_certs::load_native_certs().certs;
        Self::new(root, system.iter().map(|certificate| certificate.to_vec()))
    }

    /// Our root and these.
    fn new(root: &[u8], others: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { roots: std::iter::once(root.to_vec()).chain(others).collect() }
    }

    /// As OpenSSL reads them (RFC 7468).
    pub fn pem(&self) -> String {
        let mut out = String::new();
        for root in &self.roots {
            let text = STANDARD.encode(root);
            out.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in text.as_bytes().chunks(PEM_LINE) {
                out.extend(line.iter().map(|&b| char::from(b)));
                out.push('\n');
            }
            out.push_str("-----END CERTIFICATE-----\n");
        }
        out
    }

    /// As every Java reads them: the JKS format of `sun.security.provider.JavaKeyStore`, and the password to open it with.
    pub fn keystore(&self) -> (Vec<u8>, &'static str) {
        let mut out = Vec::new();
        out.extend_from_slice(&JKS_MAGIC.to_be_bytes());
        out.extend_from_slice(&JKS_VERSION.to_be_bytes());
        out.extend_from_slice(&u32::try_from(self.roots.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (number, root) in self.roots.iter().enumerate() {
            out.extend_from_slice(&JKS_TRUSTED_CERTIFICATE.to_be_bytes());
            utf(&mut out, &format!("overdub-{number}"));
            out.extend_from_slice(&0_u64.to_be_bytes()); // when it was added: no fact of ours
            utf(&mut out, "X.509");
            out.extend_from_slice(&u32::try_from(root.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(root);
        }
        let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        digest.update(&PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
        digest.update(WHITENER);
        digest.update(&out);
        out.extend_from_slice(digest.finish().as_ref());
        (out, PASSWORD)
    }
}

/// A short ASCII text as `java.io.DataOutput::writeUTF` writes it.
fn utf(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn a_bundle_begins_with_our_root_and_keeps_all_others() {
        let roots = [vec![1; 100], vec![2; 48], vec![3]];
        let bundle = TrustBundle::new(&roots[0], roots[1..].iter().cloned());
        let pem = bundle.pem();
        assert!(pem.lines().all(|line| line.len() <= PEM_LINE), "{pem}");
        let read = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|one| one.unwrap().to_vec());
        assert_eq!(read.collect::<Vec<_>>(), roots);
    }

    #[test]
    fn a_keystore_has_the_layout_and_the_digest_that_java_checks() {
        let (store, password) = TrustBundle::new(b"der", [b"more".to_vec()]).keystore();
        let mut expected = b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x02".to_vec();
        expected.extend_from_slice(b"\0\0\0\x02\0\x09overdub-0\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x03der");
        expected.extend_from_slice(b"\0\0\0\x02\0\x09overdub-1\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x04more");
        let salted = [&b"\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite"[..], &expected].concat();
        expected.extend_from_slice(ring::digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, &salted).as_ref());
        assert_eq!((store, password), (expected, "changeit"));
    }
}
