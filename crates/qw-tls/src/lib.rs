//! Certificate and key files → what the listener encrypts with, kept up to date.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

/// Files of a listener that speaks TLS, PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Authorities of client certificates; when given, a client must have one.
    pub client_ca: Option<PathBuf>,
}

/// Why a listener cannot encrypt.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of its kind.
    #[error("cannot read `{path}`: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Certificate and key do not go together, or one is not good.
    #[error("cannot use certificate `{certificate}` with key `{key}`")]
    Pair {
        /// Certificate chain.
        certificate: PathBuf,
        /// Key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The authorities cannot be used.
    #[error("cannot use the client authorities in `{path}`: {what}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The configuration in force, and the files it was read from.
pub struct Tls {
    files: TlsFiles,
    protocols: Vec<Vec<u8>>,
    config: ArcSwap<ServerConfig>,
    /// Times of change of the files when they were last read, whether they were good or not.
    seen: Mutex<Vec<Option<SystemTime>>>,
}

impl Tls {
    /// Reads `files`. `protocols` are what is offered by ALPN (RFC 7301), the preferred first; none
    /// when the protocol inside has no name.
    pub fn load(files: TlsFiles, protocols: &[&str]) -> Result<Self, TlsError> {
        let seen = changed(&files);
        let protocols: Vec<Vec<u8>> = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        let config = read(&files, &protocols)?;
        Ok(Self {
            files,
            protocols,
            config: ArcSwap::from_pointee(config),
            seen: Mutex::new(seen),
        })
    }

    /// Does the handshakes of connections accepted now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reads the files again when they have changed; bad ones leave what is in force.
    pub fn reload(&self) {
        let now = changed(&self.files);
        {
            let mut seen = self.seen.lock();
            if *seen == now {
                return;
            }
            *seen = now;
        }
        match read(&self.files, &self.protocols) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!(certificate = %self.files.certificate.display(), "certificate read again");
            }
            Err(error) => tracing::error!(
                error = %with_cause(&error),
                "the changed certificate is not used; the earlier one stays"
            ),
        }
    }
}

fn changed(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    [
        Some(&files.certificate),
        Some(&files.key),
        files.client_ca.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|path| {
        std::fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    })
    .collect()
}

/// An error with what caused it.
fn with_cause(error: &TlsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn read(files: &TlsFiles, protocols: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
    let certificates = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::File {
        path: files.key.clone(),
        what: error.to_string(),
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| pair_error(files, source))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |what: String| TlsError::Authorities {
                path: path.clone(),
                what,
            };
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|source| pair_error(files, source))?;
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}

fn pair_error(files: &TlsFiles, source: rustls::Error) -> TlsError {
    TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |what: String| TlsError::File {
        path: path.to_owned(),
        what,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    /// Writes a fresh pair, as if `age` ago.
    fn write_pair(files: &TlsFiles, age: Duration) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        write(&files.certificate, &certificate.pem(), age);
        write(&files.key, &key.serialize_pem(), age);
    }

    fn write(path: &Path, text: &str, age: Duration) {
        std::fs::write(path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn changed_files_count_and_bad_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
            client_ca: None,
        };
        write_pair(&files, Duration::from_secs(30));
        let tls = Tls::load(files.clone(), &[]).unwrap();
        let first = tls.config.load_full();

        tls.reload();
        assert!(
            Arc::ptr_eq(&first, &tls.config.load_full()),
            "nothing has changed"
        );

        write(
            &files.certificate,
            "not a certificate",
            Duration::from_secs(20),
        );
        tls.reload();
        assert!(
            Arc::ptr_eq(&first, &tls.config.load_full()),
            "a bad file is not used"
        );

        write_pair(&files, Duration::from_secs(10));
        tls.reload();
        assert!(
            !Arc::ptr_eq(&first, &tls.config.load_full()),
            "a good one is"
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let pair = |name: &str| TlsFiles {
            certificate: path(&format!("{name}.pem")),
            key: path(&format!("{name}.key")),
            client_ca: None,
        };
        let (one, other) = (pair("one"), pair("other"));
        write_pair(&one, Duration::ZERO);
        write_pair(&other, Duration::ZERO);
        let files = TlsFiles {
            key: other.key,
            ..one
        };
        let error = Tls::load(files, &[]).err().unwrap();
        assert!(matches!(error, TlsError::Pair { .. }), "{error}");
    }
}
