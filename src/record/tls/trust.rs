//! Whose certificates are believed of servers. Main type: [`UpstreamTrust`].

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::distrust::Distrust;

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub struct UpstreamTrust {
    /// The system's roots.
    pub system: bool,
    /// More roots, or servers' own certificates.
    pub extra: Vec<CertificateDer<'static>>,
    /// Every certificate, whoever signed it.
    pub insecure: bool,
}

impl Default for UpstreamTrust {
    fn default() -> Self {
        Self { system: true, extra: Vec::new(), insecure: false }
    }
}

impl UpstreamTrust {
    /// Adds all certificates of a PEM text; says how many there were.
    ///
    /// # Errors
    /// When the text is not PEM.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<usize, rustls::pki_types::pem::Error> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
        let count = certificates.len();
        self.extra.extend(certificates);
        Ok(count)
    }
}

/// Believes the roots, the very certificates that were named, or everyone.
#[derive(Debug)]
pub(in crate::record) struct Verifier {
    roots: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<CertificateDer<'static>>,
    insecure: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// With this trust. What it refuses is a [`Distrust`] inside the error.
    pub(in crate::record) fn new(trust: &UpstreamTrust, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        if trust.system && !trust.insecure {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for certificate in &trust.extra {
            roots.add(certificate.clone())?;
        }
        let roots = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            Some(builder.build().map_err(|error| Error::General(error.to_string()))?)
        };
        Ok(Self { roots, pinned: trust.extra.clone(), insecure: trust.insecure, provider: provider.clone() })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.insecure || self.pinned.iter().any(|pinned| pinned == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = match &self.roots {
            Some(roots) => roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        verified.map_err(|error| match error {
            Error::InvalidCertificate(error) => {
                let distrust = Distrust::of(error, end_entity, intermediates, server_name);
                CertificateError::Other(OtherError(Arc::new(distrust))).into()
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
