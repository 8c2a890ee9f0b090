//! Who we are to servers that ask for a client certificate. Main type: [`ClientIdentity`].

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::record::host_pattern::HostPattern;

/// A certificate with its chain and its key, and the servers it is for.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// None: all servers that no other identity is for.
    hosts: Option<HostPattern>,
    key: CertifiedKey,
}

/// Why a PEM text is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Something in it is no PEM.
    #[error("it is no PEM")]
    Pem(#[source] pem::Error),
    /// There is no certificate in it.
    #[error("it holds no certificate")]
    NoCertificate,
    /// There is no key in it that could be read.
    #[error("it holds no private key, or one with a passphrase (`openssl pkey` takes that off)")]
    NoKey,
    /// The first certificate is none.
    #[error("its first certificate is damaged")]
    Damaged,
    /// The key is of a kind that is not supported.
    #[error("its key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// The key belongs to another certificate.
    #[error("its key does not belong to its first certificate")]
    Mismatch,
}

impl ClientIdentity {
    /// Reads certificate, chain and key of one PEM text; `hosts` says which servers see it.
    ///
    /// # Errors
    /// When something of it is missing, or the parts do not belong together.
    pub fn from_pem(pem: &[u8], hosts: Option<HostPattern>) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(IdentityError::Pem)?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            pem::Error::NoItemsFound => IdentityError::NoKey,
            other => IdentityError::Pem(other),
        })?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(IdentityError::Unusable)?;
        // Compared here and not by rustls, which knows no certificates of version 1; servers take those.
        let (_, certificate) = x509_parser::parse_x509_certificate(&chain[0]).map_err(|_| IdentityError::Damaged)?;
        if key.public_key().is_some_and(|own| own.as_ref() != certificate.public_key().raw) {
            return Err(IdentityError::Mismatch);
        }
        Ok(Self { hosts, key: CertifiedKey::new(chain, key) })
    }

    /// The servers it is for; none: all that no other is for.
    pub(in crate::record) fn hosts(&self) -> Option<&HostPattern> {
        self.hosts.as_ref()
    }

    /// What is shown to servers.
    pub(in crate::record) fn key(&self) -> CertifiedKey {
        self.key.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certified() -> (String, String) {
        let certified = rcgen::generate_simple_self_signed(vec!["client.test".into()]).unwrap();
        (certified.cert.pem(), certified.signing_key.serialize_pem())
    }

    #[test]
    fn certificate_and_key_are_found_in_any_order() {
        let (certificate, key) = certified();
        for pem in [format!("{certificate}{key}"), format!("Bag Attributes\n{key}\n{certificate}")] {
            assert!(ClientIdentity::from_pem(pem.as_bytes(), None).is_ok());
        }
    }

    #[test]
    fn what_is_no_identity_is_refused_with_its_reason() {
        let (certificate, key) = certified();
        let (_, other) = certified();
        let refused = |pem: &str| ClientIdentity::from_pem(pem.as_bytes(), None).unwrap_err();
        assert!(matches!(refused("notes"), IdentityError::NoCertificate));
        assert!(matches!(refused(&key), IdentityError::NoCertificate));
        assert!(matches!(refused(&certificate), IdentityError::NoKey));
        assert!(matches!(refused(&format!("{certificate}{other}")), IdentityError::Mismatch));
        let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(matches!(refused(&format!("{certificate}{locked}")), IdentityError::NoKey));
        let torn = certificate.replace("-----END", "-----");
        assert!(matches!(refused(&format!("{torn}{key}")), IdentityError::Pem(_)));
    }
}
