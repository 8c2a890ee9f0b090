//! The interception root: kept in a private directory, or only in memory. Signs the leaves that clients see.
//!
//! Main type: [`CertificateAuthority`].

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::names::{Name, Names};
use crate::record::error::AuthorityError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Certificates begin a day ago, for clients whose clock is behind.
const BACKDATED: Duration = DAY;
const ROOT_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
const LEAF_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const CERTIFICATE_FILE: &str = "overdub-ca.pem";
const KEY_FILE: &str = "overdub-ca.key";

/// The root that signs the certificates shown to clients.
pub struct CertificateAuthority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// Last instant of validity.
    until: SystemTime,
    path: Option<PathBuf>,
}

/// What people want to know of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootDetails {
    /// Distinguished name.
    pub subject: String,
    /// SHA-256 of the certificate in hexadecimal, bytes separated by colons.
    pub fingerprint: String,
    /// First instant of validity, as text.
    pub not_before: String,
    /// Last instant of validity, as text.
    pub not_after: String,
}

impl CertificateAuthority {
    /// The root kept in `dir`, made on first use: directory 0700, key 0600.
    ///
    /// # Errors
    /// When the files cannot be read or made, do not belong together, or the key can be read by others.
    pub fn load_or_create(dir: &Path) -> Result<Self, AuthorityError> {
        let (certificate, key) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        match (certificate.exists(), key.exists()) {
            (true, true) => Self::load(certificate, &key),
            (true, false) => Err(AuthorityError::Half { missing: key, present: certificate }),
            (false, true) => Err(AuthorityError::Half { missing: certificate, present: key }),
            (false, false) => Self::create(dir, certificate, &key),
        }
    }

    /// A root that lives as long as this value.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn ephemeral() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Mint)?;
        let until = SystemTime::now() + ROOT_LIFE;
        let params = root_params(&key, until);
        let certificate = params.self_signed(&key).map_err(AuthorityError::Mint)?;
        let pem = certificate.pem();
        Ok(Self { certificate: certificate.into(), pem, issuer: Issuer::new(params, key), until, path: None })
    }

    /// The certificate for people's trust stores.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The same in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// SHA-256 of the root's public key (its SubjectPublicKeyInfo) in base64, as pins are written (RFC 7469 §2.4).
    pub fn public_key_pin(&self) -> String {
        STANDARD.encode(sha256(&self.issuer.key().subject_public_key_info()))
    }

    /// Where the certificate is, when it is in a file.
    pub fn certificate_path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What the certificate says.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn details(&self) -> Result<RootDetails, AuthorityError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate)
            .map_err(|_| AuthorityError::Damaged(self.path.clone().unwrap_or_default()))?;
        Ok(RootDetails {
            subject: parsed.subject().to_string(),
            fingerprint: hex(&sha256(&self.certificate), ":"),
            not_before: parsed.validity().not_before.to_string(),
            not_after: parsed.validity().not_after.to_string(),
        })
    }

    /// A certificate for these names with its chain, and its key. It is what RFC 5280 and browsers want of a TLS server's: the
    /// names stand in the alternative names, key identifiers link it to the root, the serial number is a hash of its new
    /// key, and it lives far less than 397 days, and not longer than the root.
    pub(in crate::record) fn mint(&self, names: &Names) -> Result<Minted, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Mint)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.common_name());
        params.subject_alt_names = names.all().iter().filter_map(subject_alt_name).collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        set_validity(&mut params, (SystemTime::now() + LEAF_LIFE).min(self.until));
        let leaf = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Mint)?;
        let chain = vec![leaf.into(), self.certificate.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Minted { chain, key })
    }

    fn load(certificate_path: PathBuf, key_path: &Path) -> Result<Self, AuthorityError> {
        let mode = fs::metadata(key_path).map_err(io_error(key_path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(AuthorityError::Exposed(key_path.to_owned()));
        }
        let key_pem = fs::read_to_string(key_path).map_err(io_error(key_path))?;
        let key = KeyPair::from_pem(&key_pem).map_err(|_| AuthorityError::Damaged(key_path.to_owned()))?;
        let pem = fs::read_to_string(&certificate_path).map_err(io_error(&certificate_path))?;
        let damaged = || AuthorityError::Damaged(certificate_path.clone());
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| damaged())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|_| damaged())?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(AuthorityError::Mismatch(key_path.to_owned()));
        }
        let until = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let until = UNIX_EPOCH + Duration::from_secs(until);
        if until < SystemTime::now() {
            return Err(AuthorityError::Expired(certificate_path));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| damaged())?;
        Ok(Self { certificate, pem, issuer, until, path: Some(certificate_path) })
    }

    fn create(dir: &Path, certificate: PathBuf, key: &Path) -> Result<Self, AuthorityError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))?;
        let root = Self::ephemeral()?;
        write_new(key, root.issuer.key().serialize_pem().as_bytes(), 0o600)?;
        write_new(&certificate, root.pem.as_bytes(), 0o644)?;
        Ok(Self { path: Some(certificate), ..root })
    }
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A leaf with its chain, and its key.
pub(in crate::record) struct Minted {
    pub(in crate::record) chain: Vec<CertificateDer<'static>>,
    pub(in crate::record) key: PrivateKeyDer<'static>,
}

fn root_params(key: &KeyPair, until: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    let tag = hex(&sha256(key.public_key_raw())[..4], "");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Overdub interception root {tag}"));
    params.distinguished_name.push(DnType::OrganizationName, "Overdub (made on this machine)");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, until);
    params
}

fn set_validity(params: &mut CertificateParams, until: SystemTime) {
    params.not_before = (SystemTime::now() - BACKDATED).into();
    params.not_after = until.into();
}

fn subject_alt_name(name: &Name) -> Option<SanType> {
    match name {
        Name::Dns(dns) => dns.clone().try_into().ok().map(SanType::DnsName),
        Name::Ip(ip) => Some(SanType::IpAddress(*ip)),
    }
}

/// Writes a file that appears whole or not at all, and never replaces one.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&draft)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    written.map_err(io_error(path))
}

fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> AuthorityError + '_ {
    move |source| AuthorityError::Io { path: path.to_owned(), source }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let provider = suite.tls13().map(|suite| suite.common.hash_provider);
    provider.map(|sha256| sha256.hash(bytes).as_ref().to_vec()).unwrap_or_else(|| vec![0; 32])
}

fn hex(bytes: &[u8], separator: &str) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_root_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deep/er");
        let made = CertificateAuthority::load_or_create(&dir).unwrap();
        let again = CertificateAuthority::load_or_create(&dir).unwrap();
        assert_eq!(made.certificate_pem(), again.certificate_pem());
        assert_eq!((mode(&dir), mode(&dir.join(KEY_FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        CertificateAuthority::load_or_create(dir.path()).unwrap();
        fs::set_permissions(dir.path().join(KEY_FILE), fs::Permissions::from_mode(0o640)).unwrap();
        let refused = CertificateAuthority::load_or_create(dir.path());
        assert!(matches!(refused, Err(AuthorityError::Exposed(_))), "{refused:?}");
    }

    #[test]
    fn halves_strangers_and_rubbish_are_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        CertificateAuthority::load_or_create(one.path()).unwrap();
        CertificateAuthority::load_or_create(two.path()).unwrap();
        fs::copy(two.path().join(CERTIFICATE_FILE), one.path().join(CERTIFICATE_FILE)).unwrap();
        let stranger = CertificateAuthority::load_or_create(one.path());
        assert!(matches!(stranger, Err(AuthorityError::Mismatch(_))), "{stranger:?}");
        fs::write(one.path().join(CERTIFICATE_FILE), "rubbish").unwrap();
        let rubbish = CertificateAuthority::load_or_create(one.path());
        assert!(matches!(rubbish, Err(AuthorityError::Damaged(_))), "{rubbish:?}");
        fs::remove_file(two.path().join(KEY_FILE)).unwrap();
        let half = CertificateAuthority::load_or_create(two.path());
        assert!(matches!(half, Err(AuthorityError::Half { .. })), "{half:?}");
    }

    #[test]
    fn the_fingerprint_is_the_one_everyone_computes() {
        assert_eq!(&hex(&sha256(b"abc"), ":")[..11], "BA:78:16:BF");
        let details = CertificateAuthority::ephemeral().unwrap().details().unwrap();
        assert!(details.subject.contains("Overdub interception root"), "{details:?}");
        assert_eq!(details.fingerprint.len(), 32 * 3 - 1);
    }

    #[test]
    fn an_expired_root_is_refused_and_leaves_end_with_a_dying_one() {
        let dir = tempfile::tempdir().unwrap();
        let write = |until: SystemTime| {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let certificate = root_params(&key, until).self_signed(&key).unwrap();
            fs::write(dir.path().join(CERTIFICATE_FILE), certificate.pem()).unwrap();
            fs::write(dir.path().join(KEY_FILE), key.serialize_pem()).unwrap();
            fs::set_permissions(dir.path().join(KEY_FILE), fs::Permissions::from_mode(0o600)).unwrap();
            CertificateAuthority::load_or_create(dir.path())
        };
        assert!(matches!(write(SystemTime::now() - Duration::from_secs(60)), Err(AuthorityError::Expired(_))));
        let root = write(SystemTime::now() + DAY).unwrap();
        let minted = root.mint(&Names::of_host("shop.test")).unwrap();
        let ends = |der| x509_parser::parse_x509_certificate(der).unwrap().1.validity().not_after;
        assert_eq!(ends(&minted.chain[0]), ends(&minted.chain[1]));
    }

    #[test]
    fn leaves_have_the_profile_that_browsers_want() {
        use x509_parser::extensions::ParsedExtension;
        let root = CertificateAuthority::ephemeral().unwrap();
        let names = Names::of_host("*.shop.test").covering("xn--bcher-kva.test").covering("::1");
        let minted = [(); 2].map(|()| root.mint(&names).unwrap());
        let [leaf, issuer] = [0, 1].map(|at| x509_parser::parse_x509_certificate(&minted[0].chain[at]).unwrap().1);
        assert_eq!(Names::of_certificate(&minted[0].chain[0]), Some(names));
        assert_eq!(leaf.version(), x509_parser::x509::X509Version::V3);
        assert_eq!(leaf.issuer().as_raw(), issuer.subject().as_raw());
        let usage = leaf.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature() && usage.value.flags == 1);
        let extended = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.server_auth && !extended.any && !extended.client_auth);
        assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
        assert!(issuer.basic_constraints().unwrap().unwrap().value.ca);
        let identifier = |certificate: &x509_parser::certificate::X509Certificate<'_>| {
            certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0.to_vec()),
                _ => None,
            })
        };
        let authority = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(key) => Some(key.key_identifier.as_ref().unwrap().0.to_vec()),
            _ => None,
        });
        assert_eq!(authority, identifier(&issuer));
        assert!(identifier(&leaf).is_some_and(|own| Some(own) != identifier(&issuer)));
        let again = x509_parser::parse_x509_certificate(&minted[1].chain[0]).unwrap().1;
        assert_ne!(leaf.raw_serial(), again.raw_serial());
        assert!(leaf.raw_serial().len() <= 20 && leaf.raw_serial()[0] < 0x80 && leaf.serial.bits() > 64);
    }

    #[test]
    fn leaves_carry_the_names_asked_for_and_last_ninety_days() {
        let root = CertificateAuthority::ephemeral().unwrap();
        let names = Names::of_host("127.0.0.1");
        let minted = root.mint(&names).unwrap();
        assert_eq!(Names::of_certificate(&minted.chain[0]), Some(names));
        let (_, leaf) = x509_parser::parse_x509_certificate(&minted.chain[0]).unwrap();
        let validity = leaf.validity();
        assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 91 * 24 * 60 * 60);
        let (_, issuer) = x509_parser::parse_x509_certificate(&minted.chain[1]).unwrap();
        assert!(leaf.verify_signature(Some(issuer.public_key())).is_ok());
    }
}
