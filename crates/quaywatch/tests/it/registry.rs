//! Profiles beside their images in real registries.

use std::process::Output;

use qw_oci::{Descriptor, Digest, EMPTY, EMPTY_TYPE, MANIFEST_TYPE, Manifest, Options};
use qw_testkit::{
    quaywatch::Quaywatch,
    registry::{Access, Registry},
    skip_without,
};
use serde_json::Value;

use crate::{
    alerts::{KEY, SLOW_LEARNING, alerts, break_in, cli, cli_ok, habits, live, only, post},
    server,
};

const PROFILE_TYPE: &str = "application/vnd.quaywatch.profile.v1+json";

fn import(quaywatch: &Quaywatch, from: &str, options: &[&str]) -> Output {
    let command = ["profile", "import", from, "-o", "json"];
    cli(quaywatch, &[&command, options].concat())
}

/// The command ends with this exit code and a reason that contains `reason`.
#[track_caller]
fn refused(output: &Output, code: i32, reason: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(reason), "`{reason}` is not in: {told}");
    assert!(!told.contains("hunter2"), "{told}");
}

/// A server that knows nothing imports the profile and detects at once.
#[track_caller]
fn detects_after_import(from: &str, options: &[&str]) {
    let quaywatch = server().configuration(SLOW_LEARNING).start();
    let output = import(&quaywatch, from, options);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{from}: {told}");
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(imported["key"], KEY);
    assert_eq!(imported["state"], "detecting");
    post(&quaywatch, &habits("web"));
    assert_eq!(alerts(&quaywatch, ""), [] as [Value; 0], "it knows");
    post(&quaywatch, &break_in("web"));
    assert_eq!(only(&alerts(&quaywatch, ""))["count"], 3, "it detects");
}

#[test]
fn profile_travels_with_its_image() {
    if !Registry::is_installed() && skip_without("docker-registry") {
        return;
    }
    let registry = Registry::start(Access::Password, None);
    let digest = registry.push_image("shop/web", "1.7");
    let repository = format!("oci://{}/shop/web", registry.address());
    let image = format!("{repository}:1.7");
    let credentials = registry.auth_file();
    let credentials = credentials.to_str().unwrap();
    let options = ["--plain-http", "--auth-file", credentials];

    let first = server().configuration(SLOW_LEARNING).start();
    live(&first, "web");
    refused(
        &import(&first, &image, &options),
        3,
        "no profile is attached",
    );
    let export = [&["profile", "export", KEY, &image], &options[..]].concat();
    let artifact = cli_ok(&first, &export);
    let artifact = artifact.trim();
    assert!(artifact.starts_with(repository.strip_prefix("oci://").unwrap()));

    detects_after_import(&image, &options);
    detects_after_import(&format!("{repository}@{digest}"), &options);
    detects_after_import(&format!("oci://{artifact}"), &options);

    // The newest counts, and is another artifact.
    live(&first, "web");
    let second = cli_ok(&first, &export);
    assert_ne!(second.trim(), artifact);
    let output = import(&first, &image, &options);
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(imported["key"], KEY);

    // What was changed in the registry is not taken.
    let layer = skopeo_raw(&registry, second.trim())["layers"][0]["digest"].clone();
    let file = registry.file_of(layer.as_str().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    refused(
        &import(&first, &image, &options),
        3,
        "is not what its digest",
    );

    // Who is nobody, or speaks otherwise than the registry, is told what to do.
    let none = first.data_dir().join("none.json");
    std::fs::write(&none, "{}").unwrap();
    let none = ["--plain-http", "--auth-file", none.to_str().unwrap()];
    refused(&import(&first, &image, &none), 3, "wants credentials");
    refused(&import(&first, &image, &options[1..]), 3, "--plain-http");
    let absent = format!("{repository}:absent");
    refused(
        &import(&first, &absent, &options),
        3,
        "there is no manifest",
    );
    refused(
        &import(&first, "oci://shop/web:/", &options),
        2,
        "names no image",
    );
}

fn skopeo_raw(registry: &Registry, name: &str) -> Value {
    let raw = registry.skopeo(&["inspect", "--raw", &format!("docker://{name}")]);
    serde_json::from_str(&raw).unwrap()
}

#[test]
fn artifacts_that_are_no_profiles_are_refused() {
    if !Registry::is_installed() && skip_without("docker-registry") {
        return;
    }
    let registry = Registry::start(Access::Open, None);
    registry.push_image("shop/web", "1.7");
    let quaywatch = server().start();
    let name = format!("{}/shop/web:1.7", registry.address());
    // What the artifact holds: its layer's type, its bytes, and the size that is told of it.
    let check = |layer_type: &str, content: &[u8], size: Option<u64>, reason: &str| {
        let digest = block_on(push(&name, layer_type, content, size));
        let artifact = format!("oci://{}@{digest}", name.rsplit_once(':').unwrap().0);
        let output = import(&quaywatch, &artifact, &["--plain-http"]);
        refused(&output, 3, reason);
    };
    check("text/plain", b"{}", None, "has no layer of the type");
    check(PROFILE_TYPE, b"[]", None, "no profile that can be imported");
    check(
        PROFILE_TYPE,
        b"{}",
        Some(17 << 20),
        "is longer than 16777216 bytes",
    );
    check(PROFILE_TYPE, b"{ }", Some(2), "is not what its digest");
}

/// Attaches an artifact of the type of profiles to the image; returns its digest.
async fn push(image: &str, layer_type: &str, content: &[u8], size: Option<u64>) -> Digest {
    let options = Options {
        plain_http: true,
        ..Options::default()
    };
    let registry = qw_oci::Registry::new(&image.parse().unwrap(), &options).unwrap();
    let subject = registry.manifest("1.7").await.unwrap().descriptor;
    registry.push_blob(EMPTY_TYPE, EMPTY).await.unwrap();
    let mut layer = registry.push_blob(layer_type, content).await.unwrap();
    layer.size = size.unwrap_or(layer.size);
    let annotations = std::collections::BTreeMap::new();
    let manifest = Manifest::artifact(
        PROFILE_TYPE,
        vec![layer],
        Some(subject.clone()),
        annotations,
    )
    .to_json();
    let listed = Descriptor::of(MANIFEST_TYPE, &manifest);
    let attached = registry.attach(&manifest, &subject.digest, &listed).await;
    attached.unwrap();
    listed.digest
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn profile_is_copied_between_registries() {
    if !Registry::is_installed() && skip_without("docker-registry") {
        return;
    }
    let [from, to] = [(); 2].map(|()| Registry::start(Access::Open, None));
    let digest = from.push_image("shop/web", "1.7");
    let quaywatch = server().configuration(SLOW_LEARNING).start();
    live(&quaywatch, "web");
    let [from_image, to_image] =
        [&from, &to].map(|registry| format!("{}/shop/web:1.7", registry.address()));
    let oci = |image: &str| format!("oci://{image}");
    let export = ["profile", "export", KEY, &oci(&from_image), "--plain-http"];
    cli_ok(&quaywatch, &export);

    // A copy of the image leaves behind what is attached to it.
    let copy = |source: &str, target: &str, option: &str| {
        let [source, target] = [source, target].map(|name| format!("docker://{name}"));
        from.skopeo(&["copy", option, &source, &target]);
    };
    copy(&from_image, &to_image, "--preserve-digests");
    let output = import(&quaywatch, &oci(&to_image), &["--plain-http"]);
    refused(&output, 3, "no profile is attached");

    // The list under its tag brings it along, although the copy does not tell the artifact's type.
    let list = digest.replace(':', "-");
    let listed = |image: &str| image.replace("1.7", &list);
    copy(&listed(&from_image), &listed(&to_image), "--all");
    detects_after_import(&oci(&to_image), &["--plain-http"]);

    // And so do we, wherever the list is.
    let third = Registry::start(Access::Open, None);
    let third_image = format!("{}/mirror/web:1.7", third.address());
    copy(&from_image, &third_image, "--preserve-digests");
    let arguments = [
        "profile",
        "copy",
        &oci(&from_image),
        &oci(&third_image),
        "--plain-http",
    ];
    let copied = cli_ok(&quaywatch, &arguments);
    assert!(copied.contains("/mirror/web@sha256:"), "{copied}");
    detects_after_import(&oci(&third_image), &["--plain-http"]);
    let without_scheme = ["profile", "copy", &from_image, &oci(&to_image)];
    refused(&cli(&quaywatch, &without_scheme), 2, "copies go from one");
}
