//! Images: references and their parts, repository digests.

use qw_docker::ImageSummary;
use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

/// An image the engine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Id, `sha256:…`: the digest of its configuration.
    pub id: String,
    /// References, such as `nginx:1.27`.
    pub references: Vec<String>,
    /// Repository digests, such as `nginx@sha256:…`.
    pub digests: Vec<String>,
    /// When it was built.
    pub created: Option<Timestamp>,
    /// Bytes on disk.
    pub size_bytes: u64,
}

impl From<ImageSummary> for Image {
    fn from(image: ImageSummary) -> Self {
        let is_named = |reference: &String| !reference.starts_with("<none>");
        Self {
            id: image.id,
            references: image.repo_tags.into_iter().filter(is_named).collect(),
            digests: image.repo_digests.into_iter().filter(is_named).collect(),
            created: (image.created > 0).then(|| Timestamp::from_seconds(image.created)),
            size_bytes: u64::try_from(image.size_bytes).unwrap_or(0),
        }
    }
}

impl Image {
    /// The digest, `sha256:…`, under which the registry of `reference` knows the image; that of
    /// another repository when there is none; empty for an image that was built here.
    pub fn digest_for(&self, reference: &str) -> &str {
        let wanted = ImageReference::parse(reference).familiar_repository();
        let mut digests = self
            .digests
            .iter()
            .filter_map(|digest| digest.split_once('@'))
            .map(|(repository, digest)| (familiar(repository), digest));
        let first = digests.clone().next();
        digests
            .find(|(repository, _)| *repository == wanted)
            .or(first)
            .map_or("", |(_, digest)| digest)
    }
}

/// The parts of an image reference. A reference that is an id has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageReference<'a> {
    /// Repository with its registry, as written.
    pub repository: &'a str,
    /// Tag; empty when not written.
    pub tag: &'a str,
    /// Digest, `sha256:…`; empty when not written.
    pub digest: &'a str,
}

impl<'a> ImageReference<'a> {
    /// The parts of `reference`, such as `registry:5000/app:1.4@sha256:…`.
    pub fn parse(reference: &'a str) -> Self {
        let is_id = reference.starts_with("sha256:")
            || (reference.len() == 64 && reference.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if is_id {
            return Self::default();
        }
        let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
        // A colon before a slash belongs to the registry's port.
        match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Self {
                repository,
                tag,
                digest,
            },
            _ => Self {
                repository: name,
                tag: "",
                digest,
            },
        }
    }

    fn familiar_repository(&self) -> &'a str {
        familiar(self.repository)
    }
}

/// The repository without what Docker adds to names of its own hub.
fn familiar(repository: &str) -> &str {
    let hub = ["docker.io/", "index.docker.io/"];
    let short = hub
        .iter()
        .find_map(|prefix| repository.strip_prefix(prefix))
        .unwrap_or(repository);
    short.strip_prefix("library/").unwrap_or(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reference: &str, repository: &str, tag: &str, digest: &str) {
        let expected = ImageReference {
            repository,
            tag,
            digest,
        };
        assert_eq!(ImageReference::parse(reference), expected, "{reference}");
    }

    #[test]
    fn references_have_parts() {
        check("nginx", "nginx", "", "");
        check("nginx:1.27", "nginx", "1.27", "");
        check("registry:5000/team/app", "registry:5000/team/app", "", "");
        check(
            "registry:5000/app:1.4@sha256:ab",
            "registry:5000/app",
            "1.4",
            "sha256:ab",
        );
        check("nginx@sha256:ab", "nginx", "", "sha256:ab");
        check("sha256:0123", "", "", "");
        check(&"a".repeat(64), "", "", "");
    }

    #[test]
    fn the_digest_is_the_one_of_the_same_repository() {
        let image = Image {
            id: String::new(),
            references: Vec::new(),
            digests: vec![
                "mirror/nginx@sha256:aa".to_owned(),
                "nginx@sha256:bb".to_owned(),
            ],
            created: None,
            size_bytes: 0,
        };
        assert_eq!(
            image.digest_for("docker.io/library/nginx:1.27"),
            "sha256:bb"
        );
        assert_eq!(image.digest_for("other"), "sha256:aa");
        assert_eq!(
            Image {
                digests: Vec::new(),
                ..image
            }
            .digest_for("nginx"),
            ""
        );
    }
}
