//! TLS of connections: keys from files, and who is believed.
//!
//! What: [`KeyFiles`] says where the private key, the certificate and the certificate of the authority (CA) are. A [`Keyring`]
//! reads them when they are needed first, and again after one of them changed. Both sides of a connection show a certificate.
//!
//! A peer is believed whose certificate the authority signed, whatever name is in it, as Open vSwitch does: names of switches are
//! nobody's to look up. With `bootstrap` and without a CA file, the first peer's authority is written there and believed from
//! then on.
//!
//! Source: ovs-vswitchd.conf.db(5), table SSL; ovsdb-server(1), "Public Key Infrastructure Options". TLS 1.2 (RFC 5246) and
//! 1.3 (RFC 8446).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Where keys and certificates are: files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// The private key.
    pub private_key: PathBuf,
    /// The certificate that peers are shown, and those that lead from it to its authority.
    pub certificate: PathBuf,
    /// The certificate of the authority that peers must have theirs from.
    pub authority: PathBuf,
    /// Whether the authority of the first peer is written to `authority` when that is not there.
    pub bootstrap: bool,
}

/// Keys can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsError {
    /// Nobody said which.
    #[error(
        "a private key, a certificate and a CA certificate must be configured to use SSL (ovs-vsctl set-ssl)"
    )]
    Unset,
    /// One is not there, or is none.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// They don't fit together.
    #[error("the keys can't be used: {0}")]
    Unfit(String),
}

/// Keys, ready for both roles.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) server: Option<Arc<ServerConfig>>,
    pub(crate) client: Arc<ClientConfig>,
}

/// When files were changed last, and how long they were.
type Stamp = [Option<(SystemTime, u64)>; 3];

/// Keys as they are in files.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    files: Option<KeyFiles>,
    read: Option<(Stamp, Result<Arc<Keys>, TlsError>)>,
}

impl Keyring {
    /// Has the keys be those of other files, or of none.
    pub(crate) fn set(&mut self, files: Option<KeyFiles>) {
        if self.files != files {
            self.files = files;
            self.read = None;
        }
    }

    /// The keys.
    ///
    /// # Errors
    /// When they are not there, or are none.
    pub(crate) fn keys(&mut self) -> Result<Arc<Keys>, TlsError> {
        let files = self.files.as_ref().ok_or(TlsError::Unset)?;
        let stamp = stamp(files);
        match &self.read {
            Some((known, keys)) if *known == stamp => keys.clone(),
            _ => {
                let keys = read(files).map(Arc::new);
                self.read = Some((stamp, keys.clone()));
                keys
            }
        }
    }
}

fn stamp(files: &KeyFiles) -> Stamp {
    [&files.private_key, &files.certificate, &files.authority].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| wrong(error.to_string()))?;
    if all.is_empty() { Err(wrong("no certificate is in it".to_owned())) } else { Ok(all) }
}

fn read(files: &KeyFiles) -> Result<Keys, TlsError> {
    let unfit = |error: &dyn std::fmt::Display| TlsError::Unfit(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|error| TlsError::File { path: files.private_key.clone(), reason: error.to_string() })?;
    let chain = certificates(&files.certificate)?;
    let bootstrap = files.bootstrap && !files.authority.exists();
    let mut roots = RootCertStore::empty();
    if !bootstrap {
        for certificate in certificates(&files.authority)? {
            roots.add(certificate).map_err(|error| TlsError::File {
                path: files.authority.clone(),
                reason: error.to_string(),
            })?;
        }
    }
    let roots = Arc::new(roots);
    let server = if bootstrap {
        // Whoever comes first could be anybody: only who is sought out is believed unseen.
        None
    } else {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| unfit(&error))?;
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unfit(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| unfit(&error))?;
        Some(Arc::new(config))
    };
    let verifier = Authority {
        roots,
        provider: provider.clone(),
        bootstrap: bootstrap.then(|| files.authority.clone()),
    };
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key)
        .map_err(|error| unfit(&error))?;
    Ok(Keys { server, client: Arc::new(client) })
}

/// Believes whomever the authority believes.
#[derive(Debug)]
struct Authority {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// Where the first peer's authority is to be written.
    bootstrap: Option<PathBuf>,
}

impl Authority {
    /// Writes the authority that a peer shows, if it is one for the peer's certificate.
    fn learn(
        &self,
        path: &Path,
        certificate: &ParsedCertificate<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let refused = |reason: String| Error::General(format!("the CA can't be learned: {reason}"));
        let last = chain.last().ok_or_else(|| refused("the peer shows none (--peer-ca-cert)".to_owned()))?;
        let mut roots = RootCertStore::empty();
        roots.add(last.clone().into_owned())?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(certificate, &roots, chain, now, algorithms)?;
        let text = pem(last);
        // Nobody's file is overwritten: it may have come about meanwhile.
        let mut file = std::fs::File::create_new(path)
            .map_err(|error| refused(format!("{}: {error}", path.display())))?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| refused(error.to_string()))?;
        tracing::info!(target: "stream_ssl", "successfully bootstrapped CA cert to {}", path.display());
        Ok(())
    }
}

/// A certificate as text (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    let digits = BASE64_STANDARD.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in digits.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

impl ServerCertVerifier for Authority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if let Some(path) = &self.bootstrap {
            self.learn(path, &certificate, intermediates, now)?;
            // The next try is with what was learned.
            return Err(Error::General("the CA was learned: connecting again".to_owned()));
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
