//! A profile as an artifact in an OCI image layout, so that it travels with its image.
//!
//! ```text
//! oci-layout                 {"imageLayoutVersion":"1.0.0"}
//! index.json                 names the manifest and its tag
//! blobs/sha256/<manifest>    artifactType, one layer, the image as `subject` when given
//! blobs/sha256/<config>      {}
//! blobs/sha256/<layer>       the document, as `profile export` writes it to a file
//! ```
//!
//! By the image specification 1.1 (manifest.md, image-layout.md): a registry lists the artifact
//! among the referrers of its subject.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use qw_profile::{Document, FILE_SUFFIX, MAX_DOCUMENT};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::read as read_bounded;
use crate::Usage;

/// Type of the artifact and of its layer.
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.quaywatch.profile.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const TAG: &str = "org.opencontainers.image.ref.name";
const EMPTY: &[u8] = b"{}";

/// Longest manifest or index that is read, in bytes; registries take no longer ones.
const MAX_MANIFEST: usize = 4 << 20;

/// What a blob is and where it lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    annotations: Value,
}

/// The image that an artifact refers to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subject(Descriptor);

impl Subject {
    /// The image whose manifest lies in the file `named` (`-` is standard input), or whose digest it
    /// is; then `size` says how long the manifest is.
    pub(crate) fn read(named: &str, size: Option<u64>) -> Result<Self> {
        if named.contains(':') && !Path::new(named).exists() {
            if !is_digest(named) {
                return Err(Usage(format!(
                    "`{named}` is no digest; it is `sha256:` and 64 hexadecimal digits"
                ))
                .into());
            }
            let size = size.ok_or_else(|| {
                Usage(
                    "--subject-size says how long the image's manifest is; give the manifest \
                     itself to --subject to have it measured"
                        .to_owned(),
                )
            })?;
            return Ok(Self(Descriptor::new(MANIFEST_TYPE, named.to_owned(), size)));
        }
        let manifest = read_bounded(Path::new(named), MAX_MANIFEST)?;
        let parsed: Value = serde_json::from_slice(&manifest)
            .with_context(|| format!("`{named}` is no manifest of an image"))?;
        let is_index = parsed["manifests"].is_array();
        let is_image = parsed["layers"].is_array();
        ensure!(
            is_index || is_image,
            "`{named}` is no manifest of an image: it has neither layers nor manifests"
        );
        let assumed = if is_index { INDEX_TYPE } else { MANIFEST_TYPE };
        let media_type = parsed["mediaType"].as_str().unwrap_or(assumed);
        Ok(Self(Descriptor::of(media_type, &manifest)))
    }
}

impl Descriptor {
    fn new(media_type: &str, digest: String, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            annotations: Value::Null,
        }
    }

    fn of(media_type: &str, blob: &[u8]) -> Self {
        Self::new(media_type, digest(blob), blob.len() as u64)
    }
}

/// Writes `document` as an artifact into the layout in `folder`, which is made when it is not there;
/// returns the digest of its manifest. What else the layout holds stays, except what had the tag.
pub(crate) fn write(
    folder: &Path,
    document: &[u8],
    tag: &str,
    subject: Option<&Subject>,
) -> Result<String> {
    if !is_tag(tag) {
        return Err(Usage(format!("`{tag}` is no tag")).into());
    }
    let profile = Document::parse(document).context("the server answered no profile")?;
    let mut layer = Descriptor::of(ARTIFACT_TYPE, document);
    layer.annotations =
        json!({ "org.opencontainers.image.title": format!("profile{FILE_SUFFIX}") });
    let images: Vec<&str> = profile
        .images()
        .iter()
        .map(|image| &*image.reference)
        .collect();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": Descriptor::of(EMPTY_TYPE, EMPTY),
        "layers": [layer],
        "annotations": {
            "org.opencontainers.image.created": profile.last_seen(),
            "org.opencontainers.image.title": profile.key(),
            "quaywatch.profile.key": profile.key(),
            "quaywatch.profile.images": images.join(" "),
        },
    });
    if let Some(Subject(image)) = subject {
        manifest["subject"] = json!(image);
    }
    let manifest = manifest.to_string().into_bytes();
    let mut named = Descriptor::of(MANIFEST_TYPE, &manifest);
    named.artifact_type = Some(ARTIFACT_TYPE.to_owned());
    named.annotations = json!({ TAG: tag });

    let mut index = match fs_err::metadata(folder.join("index.json")) {
        Ok(_) => index_of(folder)?,
        Err(_) => json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [] }),
    };
    let digest = named.digest.clone();
    let manifests = index["manifests"]
        .as_array_mut()
        .context("`index.json` lists no manifests")?;
    manifests.retain(|other| other["annotations"][TAG] != tag);
    manifests.push(json!(named));

    let blobs = folder.join("blobs").join("sha256");
    fs_err::create_dir_all(&blobs)?;
    for blob in [document, EMPTY, &manifest] {
        let digest = self::digest(blob);
        let name = digest.strip_prefix("sha256:").unwrap_or(&digest);
        fs_err::write(blobs.join(name), blob)?;
    }
    fs_err::write(
        folder.join("oci-layout"),
        json!({ "imageLayoutVersion": "1.0.0" }).to_string(),
    )?;
    // Last, so that what the index names is there.
    fs_err::write(folder.join("index.json"), index.to_string())?;
    Ok(digest)
}

/// The document of the profile in the layout in `folder`; of the one with the tag `tag` when given.
pub(crate) fn read(folder: &Path, tag: Option<&str>) -> Result<Vec<u8>> {
    let layout: Value = json_of(&folder.join("oci-layout"))?;
    let version = layout["imageLayoutVersion"].as_str().unwrap_or_default();
    ensure!(
        version.starts_with("1."),
        "`{}` is no OCI image layout of version 1",
        folder.display()
    );
    let index = index_of(folder)?;
    let mut found = Vec::new();
    for descriptor in index["manifests"].as_array().into_iter().flatten() {
        let is_wanted = tag.is_none_or(|tag| descriptor["annotations"][TAG] == tag);
        let descriptor: Descriptor = serde_json::from_value(descriptor.clone())
            .context("`index.json` has an entry that is no descriptor")?;
        if !is_wanted || descriptor.media_type != MANIFEST_TYPE {
            continue;
        }
        let manifest = blob(folder, &descriptor, MAX_MANIFEST)?;
        let manifest: Value = serde_json::from_slice(&manifest)
            .with_context(|| format!("manifest `{}`", descriptor.digest))?;
        // By the layer, because tools that are older than the type of an artifact lose it.
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for layer in layers.filter(|layer| layer["mediaType"] == ARTIFACT_TYPE) {
            let layer: Descriptor = serde_json::from_value(layer.clone())
                .with_context(|| format!("manifest `{}`", descriptor.digest))?;
            found.push(layer);
        }
    }
    match found.as_slice() {
        [layer] => blob(folder, layer, MAX_DOCUMENT),
        [] => bail!("`{}` holds no such profile", folder.display()),
        several => Err(Usage(format!(
            "`{}` holds {} profiles; say which one with --tag",
            folder.display(),
            several.len()
        ))
        .into()),
    }
}

fn index_of(folder: &Path) -> Result<Value> {
    json_of(&folder.join("index.json"))
}

fn json_of(file: &Path) -> Result<Value> {
    serde_json::from_slice(&read_bounded(file, MAX_MANIFEST)?)
        .with_context(|| format!("`{}` is damaged", file.display()))
}

/// The blob that `descriptor` names, checked against it.
fn blob(folder: &Path, descriptor: &Descriptor, most: usize) -> Result<Vec<u8>> {
    let digest = &descriptor.digest;
    ensure!(is_digest(digest), "`{digest}` is no digest of SHA-256");
    let name = digest.strip_prefix("sha256:").unwrap_or(digest);
    let blob = read_bounded(&folder.join("blobs").join("sha256").join(name), most)?;
    ensure!(
        blob.len() as u64 == descriptor.size && self::digest(&blob) == *digest,
        "blob `{digest}` is not what its name says"
    );
    Ok(blob)
}

fn digest(blob: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(blob) {
        write!(text, "{byte:02x}").expect("writing into a string does not fail");
    }
    text
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64
            && digits
                .bytes()
                .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
    })
}

/// As the distribution specification has it: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use qw_event::{ContainerRef, Event, EventId, Timestamp};
    use qw_profile::{Options, Profiles};

    use super::*;

    fn document() -> Vec<u8> {
        let mut profiles = Profiles::new(Options::default());
        let event = Event {
            time: Timestamp::from_seconds(1_800_000_000),
            source: "syscall".into(),
            rule: "A".into(),
            priority: qw_event::Priority::Debug,
            category: qw_event::Category::Process,
            hostname: "host".into(),
            container: ContainerRef {
                id: "c1".into(),
                name: "web".into(),
                image: "shop/web:1".into(),
                image_repository: "shop/web".into(),
                ..ContainerRef::default()
            }
            .into(),
            process_name: "nginx".into(),
            tags: [].into(),
            output: "".into(),
            output_fields: serde_json::value::to_raw_value(&json!({
                "evt.type": "execve", "proc.name": "nginx", "proc.pname": "sh"
            }))
            .unwrap(),
        };
        profiles.observe(&event, event.time);
        let key = profiles.find("c1").unwrap();
        profiles.snapshot(&key, EventId(1)).unwrap().to_json()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("layout");
        let document = document();
        let image = json!({ "schemaVersion": 2, "layers": [] }).to_string();
        let file = folder.with_extension("json");
        std::fs::write(&file, &image).unwrap();
        let subject = Subject::read(file.to_str().unwrap(), None).unwrap();
        let digest = write(&folder, &document, "v1", Some(&subject)).unwrap();
        assert_eq!(read(&folder, None).unwrap(), document);
        assert_eq!(read(&folder, Some("v1")).unwrap(), document);
        assert!(read(&folder, Some("v2")).is_err());

        // Fields and their values by the image specification.
        let index = index_of(&folder).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry["digest"], digest.as_str());
        assert_eq!(entry["annotations"][TAG], "v1");
        let name = digest.strip_prefix("sha256:").unwrap();
        let manifest = json_of(&folder.join("blobs/sha256").join(name)).unwrap();
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["artifactType"], ARTIFACT_TYPE);
        assert_eq!(manifest["config"]["mediaType"], EMPTY_TYPE);
        assert_eq!(
            manifest["config"]["digest"],
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(manifest["config"]["size"], 2);
        assert_eq!(
            manifest["subject"],
            json!({
                "mediaType": MANIFEST_TYPE,
                "digest": self::digest(image.as_bytes()),
                "size": image.len(),
            })
        );
        assert_eq!(
            manifest["annotations"]["quaywatch.profile.key"],
            "shop/web/web"
        );
        assert_eq!(
            manifest["annotations"]["quaywatch.profile.images"],
            "shop/web:1"
        );
    }

    #[test]
    fn same_tag_is_replaced_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let document = document();
        for tag in ["a", "b", "a"] {
            write(folder.path(), &document, tag, None).unwrap();
        }
        let index = index_of(folder.path()).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        let several = read(folder.path(), None).unwrap_err();
        assert!(several.is::<Usage>(), "{several}");
        assert_eq!(read(folder.path(), Some("b")).unwrap(), document);
    }

    #[test]
    fn damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let document = document();
        write(folder.path(), &document, "a", None).unwrap();
        let name = digest(&document);
        let blob = folder
            .path()
            .join("blobs/sha256")
            .join(name.strip_prefix("sha256:").unwrap());
        let mut damaged = document.clone();
        *damaged.last_mut().unwrap() = b' ';
        std::fs::write(&blob, &damaged).unwrap();
        let error = read(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("is not what its name says"), "{error}");
        std::fs::remove_file(&blob).unwrap();
        assert!(read(folder.path(), None).is_err());
    }

    #[test]
    fn paths_do_not_come_out_of_digests() {
        let folder = tempfile::tempdir().unwrap();
        let descriptor = Descriptor::new(ARTIFACT_TYPE, "sha256:../../../etc/passwd".into(), 1);
        let error = blob(folder.path(), &descriptor, 10).unwrap_err();
        assert!(error.to_string().contains("no digest"), "{error}");
    }

    #[test]
    fn subjects() {
        let digest = digest(b"x");
        assert!(Subject::read(&digest, Some(7)).is_ok());
        assert!(Subject::read(&digest, None).unwrap_err().is::<Usage>());
        assert!(
            Subject::read("sha256:12", Some(7))
                .unwrap_err()
                .is::<Usage>()
        );
        assert!(Subject::read("/no/such/file", None).is_err());
    }

    #[test]
    fn tags() {
        for (tag, expected) in [
            ("latest", true),
            ("_1.2-x", true),
            ("", false),
            (".a", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(is_tag(tag), expected, "{tag}");
        }
    }
}
