//! What can go wrong with a registry.

use std::path::PathBuf;

use crate::Digest;

/// Why something could not be had from, or brought to, a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// The text is no name of an image.
    #[error("`{text}` names no image: {why}")]
    Reference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The text is no digest.
    #[error("`{0}` is no digest; it is `sha256:` and 64 hexadecimal digits")]
    Digest(String),
    /// The file of certificate authorities cannot be used.
    #[error("cannot use the certificate authorities of `{path}`: {why}")]
    Trust {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file of credentials cannot be used.
    #[error("cannot use the credentials in `{path}`: {why}")]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The program that keeps credentials did not give them.
    #[error("cannot ask `{program}` for the credentials of `{registry}`: {why}")]
    CredentialHelper {
        /// The program.
        program: String,
        /// The registry.
        registry: String,
        /// What went wrong.
        why: String,
    },
    /// The registry cannot be reached.
    #[error("cannot reach `{place}`: {why}")]
    Unreachable {
        /// Scheme, host and port.
        place: String,
        /// The chain of causes.
        why: String,
    },
    /// The registry speaks HTTP without TLS, and that was not asked for.
    #[error("`{0}` does not speak TLS; plain HTTP has to be asked for")]
    Plain(String),
    /// The registry did not answer in time.
    #[error("`{place}` did not answer within {seconds} s")]
    Slow {
        /// Scheme, host and port.
        place: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The registry wants credentials, and there are none for it.
    #[error(
        "`{0}` wants credentials, and none are stored for it (`docker login` or `skopeo login` does)"
    )]
    NoCredentials(String),
    /// The registry does not take the credentials.
    #[error("`{registry}` does not take the credentials of `{user}`")]
    BadCredentials {
        /// The registry.
        registry: String,
        /// The user.
        user: String,
    },
    /// The user may not do this.
    #[error("`{registry}` does not allow this: {said}")]
    Denied {
        /// The registry.
        registry: String,
        /// What it answered.
        said: String,
    },
    /// The registry has no such thing.
    #[error("there is no {0}")]
    Absent(String),
    /// An answer, blob or manifest is longer than what is taken.
    #[error("{what} is longer than {most} bytes")]
    TooLong {
        /// What it is.
        what: String,
        /// The bound.
        most: usize,
    },
    /// Content is not what its digest or size says.
    #[error("{what} is not what its digest and its size say")]
    Mismatch {
        /// What it is.
        what: String,
        /// The digest.
        digest: Digest,
    },
    /// An answer cannot be understood.
    #[error("{what} cannot be understood: {why}")]
    Malformed {
        /// What it is.
        what: String,
        /// Why not.
        why: String,
    },
    /// Any other answer that is no success.
    #[error("`{place}` answered {status} to {what}: {said}")]
    Answer {
        /// Scheme, host and port.
        place: String,
        /// Status code.
        status: u16,
        /// What was asked.
        what: String,
        /// What it said.
        said: String,
    },
}

/// An error and its causes, one behind the other.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
