//! Profiles beside their images in a registry.
//!
//! By the distribution specification 1.1: the artifact's `subject` is the image, and the registry, or
//! a list under a tag where it keeps none, tells from the image which artifacts there are.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use qw_event::Timestamp;
use qw_oci::{
    Attached, Descriptor, Digest, EMPTY, EMPTY_TYPE, Manifest, OciError, Options, Reference,
    Registry,
};
use qw_profile::MAX_DOCUMENT;

use super::oci::{self, Artifact};
use crate::{Usage, arguments::RegistryAccess, cli::say};

/// Most artifacts of one image that are looked at, the newest first.
const MAX_CANDIDATES: usize = 64;
/// Most platforms of one image whose artifacts are looked for.
const MAX_PLATFORMS: usize = 64;

/// A profile that was found in a registry.
struct Candidate {
    digest: Digest,
    key: String,
    created: Timestamp,
    layer: Descriptor,
}

/// Brings `document` to the repository of `image` and attaches it to the image; returns the whole
/// name of the artifact.
pub(super) async fn push(
    image: &Reference,
    access: &RegistryAccess,
    document: &[u8],
    now: Timestamp,
) -> Result<String> {
    let registry = open(image, access)?;
    let subject = registry.manifest(image.name()).await.map_err(told)?;
    if oci::profile_layer(&image.to_string(), &subject.manifest)?.is_some() {
        return Err(Usage(format!("`{image}` is a profile, not an image")).into());
    }
    let subject = subject.descriptor;
    let artifact = Artifact::new(document, Some(&subject), now)?;
    for (media_type, blob) in [(EMPTY_TYPE, EMPTY), (oci::ARTIFACT_TYPE, document)] {
        registry.push_blob(media_type, blob).await.map_err(told)?;
    }
    let attached = registry
        .attach(&artifact.manifest, &subject.digest, &artifact.listed)
        .await
        .map_err(told)?;
    say(&format!(
        "attached to `{}`",
        image.with_digest(&subject.digest)
    ));
    if let Attached::Tagged(tag) = attached {
        say(&format!(
            "the registry keeps no list of what is attached to images; the tag `{tag}` does"
        ));
    }
    Ok(image.with_digest(&artifact.listed.digest).to_string())
}

/// The document of the profile that `named` names: an artifact by its digest or tag, or an image,
/// whose newest profile it is.
pub(super) async fn pull(named: &Reference, access: &RegistryAccess) -> Result<Vec<u8>> {
    let registry = open(named, access)?;
    let there = registry.manifest(named.name()).await.map_err(told)?;
    let layer = match oci::profile_layer(&named.to_string(), &there.manifest)? {
        Some(layer) => layer.clone(),
        None => {
            let digest = &there.descriptor.digest;
            let mut found = attached(&registry, named, digest).await?;
            // What was attached to the image of one platform only.
            let platforms = there.manifest.manifests.iter().flatten();
            for platform in platforms.take(MAX_PLATFORMS) {
                if found.is_empty() {
                    found = attached(&registry, named, &platform.digest).await?;
                }
            }
            newest(named, found)?
        }
    };
    let document = registry.blob(&layer, MAX_DOCUMENT).await.map_err(told)?;
    Ok(document.to_vec())
}

fn open(reference: &Reference, access: &RegistryAccess) -> Result<Registry> {
    let options = Options {
        plain_http: access.plain_http,
        ca_file: access.ca_file.clone(),
        auth_file: access.auth_file.clone(),
    };
    Registry::new(reference, &options).map_err(told)
}

/// The profiles that are attached to the manifest with the digest `subject`.
async fn attached(
    registry: &Registry,
    named: &Reference,
    subject: &Digest,
) -> Result<Vec<Candidate>> {
    let mut listed = registry
        .referrers(subject, oci::ARTIFACT_TYPE)
        .await
        .map_err(told)?;
    listed.sort_by_key(|entry| std::cmp::Reverse(created(&entry.annotations)));
    let mut found = Vec::new();
    for entry in listed.iter().take(MAX_CANDIDATES) {
        let document = match registry.manifest(entry.digest.as_str()).await {
            Ok(document) => document,
            // Lists under tags outlive what they list.
            Err(OciError::Absent(_)) => continue,
            Err(error) => return Err(told(error)),
        };
        let name = named.with_digest(&entry.digest).to_string();
        let layer = oci::profile_layer(&name, &document.manifest)?;
        if let Some(candidate) = candidate(&entry.digest, subject, &document.manifest, layer) {
            found.push(candidate);
        }
    }
    Ok(found)
}

/// The profile that `manifest` is, when it says itself that it belongs to `subject`.
fn candidate(
    digest: &Digest,
    subject: &Digest,
    manifest: &Manifest,
    layer: Option<&Descriptor>,
) -> Option<Candidate> {
    let belongs = manifest.subject.as_ref()?.digest == *subject;
    let annotations = &manifest.annotations;
    belongs.then_some(Candidate {
        digest: digest.clone(),
        key: annotations.get(oci::KEY).cloned().unwrap_or_default(),
        created: created(annotations),
        layer: layer?.clone(),
    })
}

/// The newest of `found`, which all are of one profile; an error when they are not.
fn newest(named: &Reference, found: Vec<Candidate>) -> Result<Descriptor> {
    let mut profiles: BTreeMap<String, Candidate> = BTreeMap::new();
    for candidate in found {
        let known = profiles.get(&candidate.key);
        if known.is_none_or(|known| known.created < candidate.created) {
            profiles.insert(candidate.key.clone(), candidate);
        }
    }
    let mut profiles = profiles.into_values();
    match (profiles.next(), profiles.next()) {
        (None, _) => bail!("no profile is attached to `{named}`"),
        (Some(only), None) => Ok(only.layer),
        (Some(first), Some(second)) => {
            let mut text = format!("several profiles are attached to `{named}`; name one of them:");
            for each in [first, second].into_iter().chain(profiles) {
                let name = named.with_digest(&each.digest);
                text.push_str(&format!(
                    "\n  oci://{name}  {}",
                    crate::cli::plain(&each.key)
                ));
            }
            Err(Usage(text).into())
        }
    }
}

fn created(annotations: &BTreeMap<String, String>) -> Timestamp {
    let text = annotations.get(oci::CREATED);
    text.and_then(|text| text.parse().ok())
        .unwrap_or(Timestamp::EPOCH)
}

/// Adds to an error what to type against it.
fn told(error: OciError) -> anyhow::Error {
    match error {
        OciError::Plain(_) => {
            anyhow::Error::from(error).context("add --plain-http if that is meant")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(key: &str, seconds: i64) -> Candidate {
        Candidate {
            digest: Digest::of(format!("{key} {seconds}").as_bytes()),
            key: key.to_owned(),
            created: Timestamp::from_seconds(seconds),
            layer: Descriptor::of(oci::ARTIFACT_TYPE, seconds.to_string().as_bytes()),
        }
    }

    #[test]
    fn the_newest_of_one_profile_counts() {
        let named: Reference = "r.example/shop/api:1".parse().unwrap();
        let found = [3, 7, 5].map(|seconds| candidate("api", seconds)).into();
        let expected = Descriptor::of(oci::ARTIFACT_TYPE, b"7");
        assert_eq!(newest(&named, found).unwrap(), expected);

        let none = newest(&named, Vec::new()).unwrap_err();
        assert!(
            none.to_string().contains("no profile is attached"),
            "{none}"
        );

        let two = vec![candidate("api", 3), candidate("worker", 3)];
        let error = newest(&named, two).unwrap_err();
        assert!(error.is::<Usage>(), "{error}");
        assert!(error.to_string().contains("@sha256:"), "{error}");
    }

    #[test]
    fn what_belongs_to_another_image_is_left_out() {
        let (own, other) = (Digest::of(b"own"), Digest::of(b"other"));
        let layer = Descriptor::of(oci::ARTIFACT_TYPE, b"x");
        let subject = |digest: &Digest| Descriptor::new("application/x", digest.clone(), 1);
        for (subject, expected) in [
            (Some(subject(&own)), true),
            (Some(subject(&other)), false),
            (None, false),
        ] {
            let layers = vec![layer.clone()];
            let manifest = Manifest::artifact(oci::ARTIFACT_TYPE, layers, subject, BTreeMap::new());
            let found = super::candidate(&own, &own, &manifest, Some(&layer));
            assert_eq!(found.is_some(), expected, "{manifest:?}");
        }
    }
}
