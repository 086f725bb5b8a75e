//! A real registry, and what `skopeo` does with it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    free_port, http,
    part::{Part, find, wait_until_free},
};

/// User of a registry with [`Access::Password`].
pub const USER: &str = "robot";
/// Password of [`USER`].
pub const PASSWORD: &str = "hunter2 of the tests";

/// [`PASSWORD`] by bcrypt, with the least work, as `htpasswd` writes it.
const HASHED: &str = "$2b$04$RGV3N1VT6OCgD3VwFNAmAO12q01yR04yq1KWgPFLJoZ4nIXgvkzlO";

/// Who may use the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// [`USER`] with [`PASSWORD`].
    Password,
}

/// A running registry; killed when dropped.
#[derive(Debug)]
pub struct Registry {
    part: Option<Part>,
    address: SocketAddr,
    folder: TempDir,
}

impl Registry {
    /// True when the programs are installed (Debian packages `docker-registry` and `skopeo`).
    pub fn is_installed() -> bool {
        find("docker-registry").is_some() && find("skopeo").is_some()
    }

    /// Starts one on a free loopback port. With `tls`, the PEM texts of a certificate and its key,
    /// it speaks TLS alone.
    ///
    /// # Panics
    /// When it is not installed or not ready within a minute.
    #[track_caller]
    pub fn start(access: Access, tls: Option<(&str, &str)>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            fs_err::write(path(name), text).expect("the folder can be written");
            path(name)
        };
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut configuration = json!({
            "version": 0.1,
            "log": { "level": "error", "accesslog": { "disabled": true } },
            "storage": {
                "filesystem": { "rootdirectory": path("data") },
                "delete": { "enabled": true },
            },
            "http": { "addr": address.to_string() },
        });
        if access == Access::Password {
            let users = write("htpasswd", &format!("{USER}:{HASHED}\n"));
            configuration["auth"] = json!({ "htpasswd": { "realm": "tests", "path": users } });
        }
        if let Some((certificate, key)) = tls {
            configuration["http"]["tls"] = json!({
                "certificate": write("certificate.pem", certificate),
                "key": write("key.pem", key),
            });
        }
        // JSON is YAML.
        write("config.yml", &configuration.to_string());
        let mut registry = Self {
            part: None,
            address,
            folder,
        };
        registry.launch(tls.is_some());
        registry
    }

    #[track_caller]
    fn launch(&mut self, tls: bool) {
        let address = self.address;
        wait_until_free(address);
        let configuration = self.folder.path().join("config.yml");
        self.part = Some(Part::start(
            "docker-registry",
            &find("docker-registry").expect("`docker-registry` is installed"),
            [Path::new("serve"), &configuration],
            &self.folder.path().join("log"),
            || match http::request(address, "GET", "/v2/", &[], b"") {
                // Over TLS, plain HTTP is answered with 400.
                Ok(answer) => matches!(answer.status, 200 | 401) || tls && answer.status == 400,
                Err(_) => false,
            },
        ));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file in which it keeps the blob with the digest `digest`.
    pub fn file_of(&self, digest: &str) -> PathBuf {
        let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
        let first = digits.get(..2).unwrap_or(digits);
        let blobs = self.folder.path().join("data/docker/registry/v2/blobs");
        blobs.join("sha256").join(first).join(digits).join("data")
    }

    /// Pushes a small image as `repository:tag`; returns the digest of its manifest.
    ///
    /// # Panics
    /// When it cannot be made or pushed.
    #[track_caller]
    pub fn push_image(&self, repository: &str, tag: &str) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = folder.path().join("root");
        fs_err::create_dir(&root).expect("a folder can be made");
        fs_err::write(root.join("file"), repository).expect("a file can be written");
        let layout = folder.path().join("layout");
        let archive = folder.path().join("root.tar");
        run(Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&archive)
            .arg("."));
        write_layout(
            &layout,
            &fs_err::read(&archive).expect("the archive is there"),
        );
        let target = format!("docker://{}/{repository}:{tag}", self.address);
        self.skopeo(&[
            "copy",
            "--preserve-digests",
            &format!("oci:{}:latest", layout.display()),
            &target,
        ]);
        let digest = self.skopeo(&["inspect", "--format", "{{.Digest}}", &target]);
        digest.trim().to_owned()
    }

    /// Runs `skopeo` with the credentials of this registry, without checking TLS; returns what it
    /// printed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn skopeo(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(find("skopeo").expect("`skopeo` is installed"));
        command
            .args(["--insecure-policy", "--override-os", "linux"])
            .args(arguments)
            .env("HOME", self.folder.path())
            .env("REGISTRY_AUTH_FILE", self.auth_file());
        for (index, argument) in arguments.iter().enumerate() {
            let is_copy = arguments.first() == Some(&"copy");
            if argument.starts_with("docker://") {
                let option = match (is_copy, index + 1 == arguments.len()) {
                    (true, true) => "--dest-tls-verify=false",
                    (true, false) => "--src-tls-verify=false",
                    (false, _) => "--tls-verify=false",
                };
                command.arg(option);
            }
        }
        run(&mut command)
    }

    /// A file with the credentials of this registry, as `docker login` writes it; it names none
    /// when everybody may use the registry.
    pub fn auth_file(&self) -> PathBuf {
        let path = self.folder.path().join("auth.json");
        let configuration = fs_err::read_to_string(self.folder.path().join("config.yml"));
        let wants = configuration.is_ok_and(|text| text.contains("htpasswd"));
        let mut auths = json!({});
        if wants {
            // `robot:hunter2 of the tests` in base64.
            auths[self.address.to_string()] =
                json!({ "auth": "cm9ib3Q6aHVudGVyMiBvZiB0aGUgdGVzdHM=" });
        }
        fs_err::write(&path, json!({ "auths": auths }).to_string())
            .expect("the credentials can be written");
        path
    }
}

/// Writes an image with one layer as an OCI image layout.
fn write_layout(folder: &Path, layer: &[u8]) {
    let blobs = folder.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).expect("a folder can be made");
    let blob = |media_type: &str, bytes: &[u8]| -> Value {
        let staging = folder.join("staging");
        fs_err::write(&staging, bytes).expect("a blob can be written");
        let sum = run(Command::new("sha256sum").arg(&staging));
        let digits = sum.split(' ').next().unwrap_or_default();
        fs_err::rename(&staging, blobs.join(digits)).expect("a blob can be moved");
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{digits}"),
            "size": bytes.len(),
        })
    };
    let of = |kind: &str| format!("application/vnd.oci.image.{kind}");
    let layer = blob(&of("layer.v1.tar"), layer);
    let configuration = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": ["/file"] },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let configuration = blob(&of("config.v1+json"), configuration.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": of("manifest.v1+json"),
        "config": configuration,
        "layers": [layer],
    });
    let mut manifest = blob(&of("manifest.v1+json"), manifest.to_string().as_bytes());
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    for (name, text) in [
        ("index.json", index),
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
    ] {
        fs_err::write(folder.join(name), text.to_string()).expect("a layout can be written");
    }
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
