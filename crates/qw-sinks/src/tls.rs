//! Trust and identity of our TLS connections.

use std::{path::Path, sync::Arc};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::config::TlsConfig;

/// The configuration of connections; an error is a sentence that names the file.
pub(crate) fn client(config: &TlsConfig) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())
    };
    let builder = match &config.ca_file {
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| unusable(file, &error.to_string()))?;
            }
            builder()?.with_root_certificates(roots)
        }
        None => match builder()?.with_native_roots() {
            Ok(builder) => builder,
            // Without TLS they are not needed; with it, each attempt says that nobody is trusted.
            Err(error) => {
                tracing::warn!(%error, "the system has no certificate authorities");
                builder()?.with_root_certificates(RootCertStore::empty())
            }
        },
    };
    match identity(config)? {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable(key, &error.to_string()))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, secret)
                .map_err(|error| unusable(certificate, &error.to_string()))
        }
    }
}

/// Files of certificate and key, when both are given.
pub(crate) fn identity(config: &TlsConfig) -> Result<Option<(&Path, &Path)>, String> {
    match (&config.certificate, &config.key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        _ => Err(String::from(
            "wants both `certificate` and `key`, or neither",
        )),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unusable(file, "it holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(file, &error.to_string())),
    }
}

fn unusable(file: &Path, why: &str) -> String {
    format!("cannot use `{}`: {why}", file.display())
}
