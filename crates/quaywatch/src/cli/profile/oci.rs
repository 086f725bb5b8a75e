//! A profile as an artifact, so that it travels with its image; and such artifacts in a folder.
//!
//! ```text
//! oci-layout                 {"imageLayoutVersion":"1.0.0"}
//! index.json                 names the manifest and its tag
//! blobs/sha256/<manifest>    artifactType, one layer, the image as `subject` when given
//! blobs/sha256/<config>      {}
//! blobs/sha256/<layer>       the document, as `profile export` writes it to a file
//! ```
//!
//! By the image specification 1.1 (manifest.md, image-layout.md).

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use qw_event::Timestamp;
use qw_oci::{
    Descriptor, Digest, EMPTY, MANIFEST_TYPE, MAX_MANIFEST, Manifest, is_tag, media_type_of,
};
use qw_profile::{Document, FILE_SUFFIX, MAX_DOCUMENT};
use serde_json::{Value, json};

use super::read as read_bounded;
use crate::Usage;

/// Type of the artifact and of its layer.
pub(super) const ARTIFACT_TYPE: &str = "application/vnd.quaywatch.profile.v1+json";
/// Annotation with the profile's key.
pub(super) const KEY: &str = "quaywatch.profile.key";
/// Annotation with the time of the export.
pub(super) const CREATED: &str = "org.opencontainers.image.created";
const IMAGES: &str = "quaywatch.profile.images";
const TITLE: &str = "org.opencontainers.image.title";
const TAG: &str = "org.opencontainers.image.ref.name";

/// A profile as an artifact.
#[derive(Debug)]
pub(super) struct Artifact {
    /// Its manifest.
    pub(super) manifest: Vec<u8>,
    /// What lists say of it: digest, type and annotations.
    pub(super) listed: Descriptor,
}

impl Artifact {
    /// The artifact with `document` in it, which belongs to the image `subject` when given.
    pub(super) fn new(
        document: &[u8],
        subject: Option<&Descriptor>,
        created: Timestamp,
    ) -> Result<Self> {
        let profile = Document::parse(document).context("the server answered no profile")?;
        let text = |name: &str, value: String| (name.to_owned(), value);
        let mut layer = Descriptor::of(ARTIFACT_TYPE, document);
        layer.annotations = [text(TITLE, format!("profile{FILE_SUFFIX}"))].into();
        let images = profile.images().iter().map(|image| &*image.reference);
        let images: Vec<&str> = images.collect();
        let annotations: BTreeMap<String, String> = [
            text(CREATED, created.to_string()),
            text(TITLE, profile.key().to_owned()),
            text(KEY, profile.key().to_owned()),
            text(IMAGES, images.join(" ")),
        ]
        .into();
        let subject = subject
            .map(|image| Descriptor::new(&image.media_type, image.digest.clone(), image.size));
        let manifest =
            Manifest::artifact(ARTIFACT_TYPE, vec![layer], subject, annotations.clone()).to_json();
        let mut listed = Descriptor::of(MANIFEST_TYPE, &manifest);
        listed.artifact_type = Some(ARTIFACT_TYPE.to_owned());
        listed.annotations = annotations;
        Ok(Self { manifest, listed })
    }
}

/// The layer with the profile in it; `None` when the manifest is of something else.
///
/// By the layer, because tools that are older than the type of an artifact lose the latter.
pub(super) fn profile_layer<'m>(
    named: &str,
    manifest: &'m Manifest,
) -> Result<Option<&'m Descriptor>> {
    let layers = manifest.layers.as_deref().unwrap_or_default();
    let is_profile = |layer: &&Descriptor| layer.media_type == ARTIFACT_TYPE;
    let found: Vec<&Descriptor> = layers.iter().filter(is_profile).collect();
    match found.as_slice() {
        [layer] => Ok(Some(layer)),
        [] => {
            ensure!(
                manifest.artifact_type.as_deref() != Some(ARTIFACT_TYPE),
                "`{named}` says that it is a profile, but has no layer of the type `{ARTIFACT_TYPE}`"
            );
            Ok(None)
        }
        _ => bail!("`{named}` holds several profiles"),
    }
}

/// The image whose manifest lies in the file `named` (`-` is standard input), or whose digest it
/// is; then `size` says how long the manifest is.
pub(super) fn subject(named: &str, size: Option<u64>) -> Result<Descriptor> {
    if named.contains(':') && !Path::new(named).exists() {
        let digest = named.parse().map_err(|error| Usage(format!("{error}")))?;
        let size = size.ok_or_else(|| {
            Usage(
                "--subject-size says how long the image's manifest is; give the manifest itself \
                 to --subject to have it measured"
                    .to_owned(),
            )
        })?;
        return Ok(Descriptor::new(MANIFEST_TYPE, digest, size));
    }
    let manifest = read_bounded(Path::new(named), MAX_MANIFEST)?;
    let media_type = media_type_of(&format!("the manifest `{named}`"), &manifest)?;
    Ok(Descriptor::of(&media_type, &manifest))
}

/// Writes `document` as an artifact into the layout in `folder`, which is made when it is not there;
/// returns the digest of its manifest. What else the layout holds stays, except what had the tag.
pub(super) fn write(
    folder: &Path,
    document: &[u8],
    tag: &str,
    subject: Option<&Descriptor>,
    created: Timestamp,
) -> Result<Digest> {
    if !is_tag(tag) {
        return Err(Usage(format!("`{tag}` is no tag")).into());
    }
    let Artifact { manifest, listed } = Artifact::new(document, subject, created)?;
    let digest = listed.digest.clone();
    let mut named = listed;
    named.annotations = [(TAG.to_owned(), tag.to_owned())].into();

    let mut index = match fs_err::metadata(folder.join("index.json")) {
        Ok(_) => index_of(folder)?,
        Err(_) => json!(Manifest::list(Vec::new())),
    };
    let manifests = index["manifests"]
        .as_array_mut()
        .context("`index.json` lists no manifests")?;
    manifests.retain(|other| other["annotations"][TAG] != tag);
    manifests.push(json!(named));

    let blobs = folder.join("blobs").join("sha256");
    fs_err::create_dir_all(&blobs)?;
    for blob in [document, EMPTY, &manifest] {
        fs_err::write(blobs.join(Digest::of(blob).hexadecimal()), blob)?;
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
pub(super) fn read(folder: &Path, tag: Option<&str>) -> Result<Vec<u8>> {
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
        let named = format!("manifest `{}`", descriptor.digest);
        let manifest = Manifest::parse(&named, &blob(folder, &descriptor, MAX_MANIFEST)?)?;
        found.extend(profile_layer(descriptor.digest.as_str(), &manifest)?.cloned());
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

/// The blob that `descriptor` describes, checked against it.
fn blob(folder: &Path, descriptor: &Descriptor, most: usize) -> Result<Vec<u8>> {
    let digest = &descriptor.digest;
    let blobs = folder.join("blobs").join(digest.algorithm());
    let blob = read_bounded(&blobs.join(digest.hexadecimal()), most)?;
    ensure!(
        descriptor.is_of(&blob),
        "blob `{digest}` is not what its name says"
    );
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use qw_event::{ContainerRef, Event, EventId, RecordKind, Timestamp};
    use qw_oci::EMPTY_TYPE;
    use qw_profile::{Options, Profiles};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_100);

    fn document() -> Vec<u8> {
        let mut profiles = Profiles::new(Options::default());
        let event = Event {
            kind: RecordKind::Event,
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
        let image_there = subject(file.to_str().unwrap(), None).unwrap();
        let digest = write(&folder, &document, "v1", Some(&image_there), NOW).unwrap();
        assert_eq!(read(&folder, None).unwrap(), document);
        assert_eq!(read(&folder, Some("v1")).unwrap(), document);
        assert!(read(&folder, Some("v2")).is_err());

        // Fields and their values by the image specification.
        let index = index_of(&folder).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry["digest"], digest.as_str());
        assert_eq!(entry["annotations"][TAG], "v1");
        let name = digest.hexadecimal();
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
                "digest": Digest::of(image.as_bytes()),
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
            write(folder.path(), &document, tag, None, NOW).unwrap();
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
        write(folder.path(), &document, "a", None, NOW).unwrap();
        let name = Digest::of(&document);
        let blob = folder.path().join("blobs/sha256").join(name.hexadecimal());
        let mut damaged = document.clone();
        *damaged.last_mut().unwrap() = b' ';
        std::fs::write(&blob, &damaged).unwrap();
        let error = read(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("is not what its name says"), "{error}");
        std::fs::remove_file(&blob).unwrap();
        assert!(read(folder.path(), None).is_err());
    }

    #[test]
    fn subjects() {
        let digest = Digest::of(b"x").to_string();
        assert!(subject(&digest, Some(7)).is_ok());
        assert!(subject(&digest, None).unwrap_err().is::<Usage>());
        assert!(subject("sha256:12", Some(7)).unwrap_err().is::<Usage>());
        assert!(subject("/no/such/file", None).is_err());
    }
}
