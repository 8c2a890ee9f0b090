//! Whose certificates a replay accepts.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// TLS sessions a virtual user remembers.
const SESSIONS_OF_ONE_USER: usize = 8;

/// What makes a target's certificate acceptable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The system's roots.
    #[default]
    System,
    /// The system's roots and the certificates in this PEM text.
    Extra(Vec<u8>),
    /// Any certificate for any name.
    Insecure,
}

/// Why certificates cannot be used as roots.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No certificate in the text.
    #[error("there is no PEM certificate in it")]
    NoCertificate,
    /// Damaged text.
    #[error("its PEM text is damaged")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// A certificate that cannot be a root.
    #[error("a certificate in it cannot be used as a root")]
    Certificate(#[source] rustls::Error),
    /// The TLS library refused its settings.
    #[error("TLS cannot be configured")]
    Settings(#[source] rustls::Error),
}

impl Trust {
    /// TLS settings for HTTP/1.1 under this trust, shared by all users.
    ///
    /// # Errors
    /// When the extra certificates cannot be used.
    pub fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Settings)?;
        let mut config = match self {
            Self::Insecure => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAll { provider }))
                .with_no_client_auth(),
            Self::System => builder.with_root_certificates(system_roots()).with_no_client_auth(),
            Self::Extra(pem) => {
                let mut roots = system_roots();
                for certificate in certificates(pem)? {
                    roots.add(certificate).map_err(TrustError::Certificate)?;
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The same settings with a memory of TLS sessions that belongs to one user alone.
pub fn for_one_user(shared: &ClientConfig) -> Arc<ClientConfig> {
    let mut own = shared.clone();
    own.resumption = Resumption::in_memory_sessions(SESSIONS_OF_ONE_USER);
    Arc::new(own)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(TrustError::Pem)?;
    if found.is_empty() { Err(TrustError::NoCertificate) } else { Ok(found) }
}

/// Roots that cannot be read or parsed are left out: a certificate they signed is then refused, with its reason.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Takes every certificate; handshake signatures are still checked.
#[derive(Debug)]
struct AcceptAll {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_roots_must_be_certificates() {
        let settings = |text: &str| Trust::Extra(text.as_bytes().to_vec()).client_config();
        assert!(matches!(settings("hello"), Err(TrustError::NoCertificate)));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(settings(cut).is_err());
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(settings(nonsense), Err(TrustError::Certificate(_))));
    }

    #[test]
    fn every_trust_speaks_http_1_1_alone() {
        let key = rcgen::generate_simple_self_signed(["x.test".to_owned()]).unwrap();
        for trust in [Trust::System, Trust::Insecure, Trust::Extra(key.cert.pem().into_bytes())] {
            assert_eq!(trust.client_config().unwrap().alpn_protocols, [b"http/1.1".to_vec()]);
        }
    }
}
