//! Descriptors, manifests and indexes, by the image specification 1.1.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Digest, OciError};

/// Media type of an image's or artifact's manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of a list of manifests.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of [`EMPTY`].
pub const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The blob that stands where an artifact has no configuration.
pub const EMPTY: &[u8] = b"{}";

/// Longest manifest or index that is read, in bytes; registries take no longer ones.
pub const MAX_MANIFEST: usize = 4 << 20;

/// What a blob is and which one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Type of the artifact, when the blob is an artifact's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What else is said about it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What is neither of these, such as `platform`; kept as it was.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

impl Descriptor {
    /// Describes `blob`.
    pub fn of(media_type: &str, blob: &[u8]) -> Self {
        Self::new(media_type, Digest::of(blob), blob.len() as u64)
    }

    /// Describes a blob that is elsewhere.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
            others: BTreeMap::new(),
        }
    }

    /// True when `blob` is what this describes.
    pub fn is_of(&self, blob: &[u8]) -> bool {
        blob.len() as u64 == self.size && self.digest.is_of(blob)
    }
}

/// A manifest: of an image or artifact (with `layers`), or a list of others (with `manifests`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Descriptor>,
    /// The blobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Descriptor>>,
    /// The manifests of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<Descriptor>>,
    /// The image it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What else is said about it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`OciError::Malformed`] with `what` when it is none.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self, OciError> {
        let malformed = |why: String| OciError::Malformed {
            what: what.to_owned(),
            why,
        };
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        // One that is both could mean one thing here and another thing elsewhere.
        match (&manifest.layers, &manifest.manifests) {
            (Some(_), Some(_)) => Err(malformed("it has layers and manifests".to_owned())),
            (None, None) => Err(malformed("it has neither layers nor manifests".to_owned())),
            _ => Ok(manifest),
        }
    }

    /// A list of manifests.
    pub fn list(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX_TYPE.to_owned()),
            artifact_type: None,
            config: None,
            layers: None,
            manifests: Some(manifests),
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The manifest of an artifact without a configuration.
    pub fn artifact(
        artifact_type: &str,
        layers: Vec<Descriptor>,
        subject: Option<Descriptor>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            artifact_type: Some(artifact_type.to_owned()),
            config: Some(Descriptor::of(EMPTY_TYPE, EMPTY)),
            layers: Some(layers),
            manifests: None,
            subject,
            annotations,
        }
    }

    /// The manifest as it is sent.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers can be written")
    }
}

/// Media type of a manifest, by what it says and holds.
///
/// # Errors
/// [`OciError::Malformed`] with `what` when it is none.
pub fn media_type_of(what: &str, manifest: &[u8]) -> Result<String, OciError> {
    let parsed = Manifest::parse(what, manifest)?;
    let assumed = match parsed.manifests {
        Some(_) => INDEX_TYPE,
        None => MANIFEST_TYPE,
    };
    Ok(parsed.media_type.unwrap_or_else(|| assumed.to_owned()))
}

fn null_is_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn descriptors_keep_what_they_do_not_know() {
        let text = json!({
            "mediaType": MANIFEST_TYPE,
            "digest": Digest::of(b"x"),
            "size": 1,
            "platform": { "os": "linux", "architecture": "amd64" },
        });
        let read: Descriptor = serde_json::from_value(text.clone()).unwrap();
        assert!(read.is_of(b"x"));
        assert!(!read.is_of(b"y"));
        assert_eq!(serde_json::to_value(read).unwrap(), text);
    }

    #[test]
    fn manifests_are_one_thing() {
        let empty = json!([]);
        for (document, expected) in [
            (
                json!({ "schemaVersion": 2, "layers": empty }),
                Some(MANIFEST_TYPE),
            ),
            (
                json!({ "schemaVersion": 2, "manifests": empty }),
                Some(INDEX_TYPE),
            ),
            (
                json!({ "schemaVersion": 2, "mediaType": "application/x", "layers": empty, "annotations": null }),
                Some("application/x"),
            ),
            (
                json!({ "schemaVersion": 2, "layers": empty, "manifests": empty }),
                None,
            ),
            (json!({ "schemaVersion": 2 }), None),
            (json!([]), None),
        ] {
            let bytes = document.to_string();
            let read = media_type_of("x", bytes.as_bytes());
            assert_eq!(read.ok().as_deref(), expected, "{document}");
        }
    }
}
