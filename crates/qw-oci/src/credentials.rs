//! Credentials as `docker login`, `podman login` and `skopeo login` leave them.
//!
//! Format: docker's `config.json` and containers-auth.json(5), which are the same but for keys with
//! a path in the latter.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::{OciError, Reference};

/// Longest file of credentials, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Longest wait for the program that keeps credentials.
const HELPER_PATIENCE: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A name and what proves it.
    Password {
        /// The user.
        user: String,
        /// The password, or an access token that stands for it.
        password: String,
    },
    /// A token that is exchanged for access tokens.
    Identity(String),
}

impl Credentials {
    /// The user, for messages.
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } => user,
            Self::Identity(_) => "the stored identity token",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    username: String,
    secret: String,
}

/// The files in which credentials lie, as those programs have them; the first that knows the
/// registry counts.
pub(crate) fn usual_files() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file.into()];
    }
    let mut files = Vec::new();
    if let Some(folder) = variable("XDG_RUNTIME_DIR") {
        files.push(PathBuf::from(folder).join("containers/auth.json"));
    }
    let home = variable("HOME").map(PathBuf::from);
    if let Some(home) = &home {
        files.push(home.join(".config/containers/auth.json"));
    }
    match (variable("DOCKER_CONFIG"), home) {
        (Some(folder), _) => files.push(PathBuf::from(folder).join("config.json")),
        (None, Some(home)) => files.push(home.join(".docker/config.json")),
        (None, None) => {}
    }
    files
}

/// The credentials for the repository of `reference`; `None` when no file knows any.
///
/// # Errors
/// When a file is damaged, or the program it names does not answer as it should.
pub(crate) async fn find(
    files: &[PathBuf],
    reference: &Reference,
) -> Result<Option<Credentials>, OciError> {
    for path in files {
        let Some(file) = read(path)? else { continue };
        if let Some(found) = of_file(path, &file, reference).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<File>, OciError> {
    let unusable = |why: String| OciError::CredentialFile {
        path: path.to_owned(),
        why,
    };
    let file = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
        Ok(file) => file,
    };
    if file.len() > MAX_FILE {
        return Err(unusable(format!("it is longer than {MAX_FILE} bytes")));
    }
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    // The message of the parser could quote a password.
    let file = serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unusable(format!("line {line}, column {column} is not as expected"))
    })?;
    Ok(Some(file))
}

async fn of_file(
    path: &Path,
    file: &File,
    reference: &Reference,
) -> Result<Option<Credentials>, OciError> {
    let registry = reference.registry();
    if let Some(helper) = file
        .cred_helpers
        .get(registry)
        .or(file.creds_store.as_ref())
        && let Some(kept) = ask(helper, server_of(registry)).await?
    {
        return Ok(Some(kept));
    }
    let found = keys(reference)
        .into_iter()
        .find_map(|key| file.auths.get_key_value(&key));
    let Some((key, entry)) = found else {
        return Ok(None);
    };
    if !entry.identitytoken.is_empty() {
        return Ok(Some(Credentials::Identity(entry.identitytoken.clone())));
    }
    if entry.auth.is_empty() {
        return Ok(None);
    }
    let decoded = STANDARD.decode(entry.auth.trim()).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) = parts.ok_or_else(|| OciError::CredentialFile {
        path: path.to_owned(),
        why: format!("`auth` of `{key}` is not `user:password` in base64"),
    })?;
    Ok(Some(Credentials::Password {
        user: user.to_owned(),
        password: password.trim_end_matches('\0').to_owned(),
    }))
}

/// What an entry for the repository can go by, the most special first.
fn keys(reference: &Reference) -> Vec<String> {
    let registry = reference.registry();
    let mut keys = Vec::new();
    let mut path = reference.repository();
    loop {
        keys.push(format!("{registry}/{path}"));
        match path.rsplit_once('/') {
            Some((parent, _)) => path = parent,
            None => break,
        }
    }
    keys.push(registry.to_owned());
    for form in [
        "https://REGISTRY",
        "https://REGISTRY/",
        "https://REGISTRY/v1/",
        "https://REGISTRY/v2/",
    ] {
        keys.push(form.replace("REGISTRY", registry));
    }
    if registry == "docker.io" {
        keys.push(server_of(registry).to_owned());
        keys.push("index.docker.io".to_owned());
    }
    keys
}

/// The name under which programs keep the credentials of a registry.
fn server_of(registry: &str) -> &str {
    match registry {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

/// Asks the program `docker-credential-{helper}`; `None` when it has none.
async fn ask(helper: &str, server: &str) -> Result<Option<Credentials>, OciError> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| OciError::CredentialHelper {
        program: program.clone(),
        registry: server.to_owned(),
        why,
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if helper.is_empty() || !helper.bytes().all(is_part) {
        return Err(failed("it is no name of a program".to_owned()));
    }
    let exchange = async {
        let mut child = tokio::process::Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(server.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(HELPER_PATIENCE, exchange)
        .await
        .map_err(|_| failed(format!("no answer within {} s", HELPER_PATIENCE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        // By the helpers' protocol the reason stands in the output.
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!("it ended with {}", output.status)));
    }
    let kept: Kept = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer is not as expected".to_owned()))?;
    Ok(Some(match kept.username.as_str() {
        "<token>" => Credentials::Identity(kept.secret),
        user => Credentials::Password {
            user: user.to_owned(),
            password: kept.secret,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str], reference: &str) -> Result<Option<Credentials>, OciError> {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = vec![folder.path().join("absent")];
        for (number, text) in files.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, text).unwrap();
            paths.push(path);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(find(&paths, &reference.parse().unwrap()))
    }

    #[track_caller]
    fn check(files: &[&str], reference: &str, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(user, password)| Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        });
        assert!(found(files, reference).unwrap() == expected, "{reference}");
    }

    #[test]
    fn the_most_special_entry_counts() {
        // `a:b`, `c:d` and `e:f:g`.
        let file = r#"{"auths":{
            "r.example":{"auth":"YTpi"},
            "r.example/shop":{"auth":"Yzpk"},
            "https://index.docker.io/v1/":{"auth":"ZTpmOmc="},
            "empty.example":{}
        }}"#;
        check(&[file], "r.example/other/api", Some(("a", "b")));
        check(&[file], "r.example/shop/api:1", Some(("c", "d")));
        check(&[file], "r.example/shopping/api", Some(("a", "b")));
        check(&[file], "nginx", Some(("e", "f:g")));
        check(&[file], "other.example/api", None);
        check(&[file], "empty.example/api", None);
        check(&["{}", file], "r.example/api", Some(("a", "b")));
        check(&[], "r.example/api", None);
    }

    #[test]
    fn identity_tokens_are_found() {
        let file = r#"{"auths":{"r.example":{"auth":"YTo=","identitytoken":"t"}}}"#;
        let found = found(&[file], "r.example/api").unwrap();
        assert!(found == Some(Credentials::Identity("t".to_owned())));
    }

    #[test]
    fn damage_is_told_without_the_secret() {
        for text in [
            r#"{"auths":{"r.example":{"auth":"aHVudGVyMg=="}}}"#,
            r#"{"auths":{"r.example":{"auth":"hunter2 and more"}}}"#,
            r#"{"auths":{"r.example":"hunter2"}}"#,
            r#"{"credHelpers":{"r.example":"../hunter"}}"#,
        ] {
            let error = found(&[text], "r.example/api").err().expect("an error");
            let told = error.to_string();
            assert!(
                !told.contains("hunter2") && !told.contains("aHVudGVy"),
                "{told}"
            );
        }
    }

    #[test]
    fn programs_that_are_not_there_are_named() {
        let text = r#"{"credsStore":"quaywatch-absent"}"#;
        let error = found(&[text], "r.example/api").err().expect("an error");
        assert!(
            error
                .to_string()
                .contains("docker-credential-quaywatch-absent"),
            "{error}"
        );
    }
}
