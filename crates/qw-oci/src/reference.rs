//! Names of images.

use std::{fmt, str::FromStr};

use crate::{Digest, OciError};

/// An image or artifact in a registry, such as `registry.example/shop/api:1.7`.
///
/// A name without a registry is one of Docker Hub, as everywhere; one with neither tag nor digest
/// has the tag `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What a name without a registry means.
const DOCKER_HUB: &str = "docker.io";

/// Longest repository, by the distribution specification's advice.
const MAX_REPOSITORY: usize = 255;

impl Reference {
    /// The registry: host and, when given, port.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Where the registry's API is: the registry itself, except for Docker Hub.
    pub fn host(&self) -> &str {
        match self.registry.as_str() {
            DOCKER_HUB => "registry-1.docker.io",
            other => other,
        }
    }

    /// The repository, such as `shop/api`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, when one is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when one is given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What names the manifest in its repository: the digest, else the tag.
    pub fn name(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }

    /// The same repository with `digest` in place of tag and digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }
}

impl FromStr for Reference {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let refused = |why: &'static str| OciError::Reference {
            text: text.chars().take(300).collect(),
            why,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it, a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains(['/', ']']) && !name.is_empty() => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refused("its tag has characters that tags have not"));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first.to_owned(), rest.to_owned()),
            Some(_) => (DOCKER_HUB.to_owned(), name.to_owned()),
            None => (DOCKER_HUB.to_owned(), format!("library/{name}")),
        };
        if !is_host(&registry) {
            return Err(refused("its registry is no host"));
        }
        let registry = match registry.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
            _ => registry,
        };
        if repository.len() > MAX_REPOSITORY || !repository.split('/').all(is_component) {
            return Err(refused(
                "its repository is to be of lower-case letters, digits, `.`, `_`, `-` and `/`",
            ));
        }
        Ok(Self {
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

/// True for what can be a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`, by the distribution
/// specification.
pub fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte))
}

/// True when the first part of a name is a registry and not a part of the repository.
fn is_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

/// A host name, IPv4 address or IPv6 address in brackets, with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return false;
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match port {
                "" => return true,
                port => ("", port.strip_prefix(':')),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => return is_name(text),
        },
    };
    (host.is_empty() || is_name(host)) && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn is_name(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, by the distribution specification.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = |byte: Option<u8>| byte.is_some_and(is_word);
    let mut separators = text
        .split(|each: char| each.is_ascii_lowercase() || each.is_ascii_digit())
        .filter(|separator| !separator.is_empty());
    ends_well(text.bytes().next())
        && ends_well(text.bytes().last())
        && separators.all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn names_are_read() {
        for (text, registry, repository, name) in [
            ("nginx", "docker.io", "library/nginx", "latest"),
            ("nginx:1.27", "docker.io", "library/nginx", "1.27"),
            ("shop/api", "docker.io", "shop/api", "latest"),
            ("docker.io/shop/api:1", "docker.io", "shop/api", "1"),
            (
                "index.docker.io/shop/api",
                "docker.io",
                "shop/api",
                "latest",
            ),
            ("localhost/api", "localhost", "api", "latest"),
            ("localhost:5000/api", "localhost:5000", "api", "latest"),
            (
                "registry.example/a/b/c:1.7",
                "registry.example",
                "a/b/c",
                "1.7",
            ),
            (
                "127.0.0.1:5000/a-b__c.d:v_1",
                "127.0.0.1:5000",
                "a-b__c.d",
                "v_1",
            ),
            ("[::1]:5000/api:2", "[::1]:5000", "api", "2"),
            ("[::1]/api", "[::1]", "api", "latest"),
        ] {
            let read: Reference = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (read.registry(), read.repository(), read.name()),
                (registry, repository, name),
                "{text}"
            );
            assert_eq!(
                read.to_string().parse::<Reference>().unwrap(),
                read,
                "{text}"
            );
        }
        let both: Reference = format!("r.example/a:1@{DIGEST}").parse().unwrap();
        assert_eq!((both.tag(), both.name()), (Some("1"), DIGEST));
        assert_eq!(both.to_string(), format!("r.example/a:1@{DIGEST}"));
        assert_eq!(
            "a".parse::<Reference>().unwrap().host(),
            "registry-1.docker.io"
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("r.example/{}", "a".repeat(256));
        for text in [
            "",
            ":tag",
            "A",
            "r.example/",
            "r.example/A",
            "r.example/a//b",
            "r.example/../b",
            "r.example/a:",
            "r.example/a:b c",
            "r.example/a@sha256:12",
            "r.example/a___b",
            "r.example/-a",
            "user:word@r.example/a",
            "r.example:port/a",
            "[::zz]:5000/a",
            "http://r.example/a",
            "r.example/a?x=y",
            long.as_str(),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            if let Ok(read) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(read.to_string().parse::<Reference>().unwrap(), read);
            }
        }
    }
}
