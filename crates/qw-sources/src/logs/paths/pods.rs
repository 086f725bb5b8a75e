//! Logs of Kubernetes' pods: `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log`.
//!
//! The kubelet rotates `0.log` to `0.log.20261122-101500` and compresses the older ones. Each restart of
//! a container has a file of its own. Source: kubernetes/kubernetes, `pkg/kubelet/kuberuntime/helpers.go`
//! and `pkg/kubelet/logs/container_log_manager.go`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use qw_event::ContainerRef;
use qw_log::Multiline;
use serde_json::{Map, Value};

use super::{
    super::{
        choose::{Choice, Facts, Pattern},
        tail::{Format, Streams},
    },
    Found, MOST_ENTRIES, Search,
};
use crate::StartFrom;

/// Logs of Kubernetes' pods.
#[derive(Debug, Clone)]
pub struct Pods {
    /// The kubelet's folder of logs.
    pub path: PathBuf,
    /// Where to begin.
    pub from: StartFrom,
    /// Containers to read, by name or namespace; all when empty.
    pub include: Vec<Pattern>,
    /// Containers not to read.
    pub exclude: Vec<Pattern>,
    /// Standard output is read.
    pub stdout: bool,
    /// Standard error is read.
    pub stderr: bool,
    /// Which lines belong together.
    pub multiline: Option<Multiline>,
}

/// What the path of a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    namespace: String,
    pod: String,
    uid: String,
    container: String,
    restarts: u32,
}

impl Named {
    /// Reads the three last parts of a path. Neither namespaces nor names of pods hold a `_`.
    fn parse(pod: &str, container: &str, file: &str) -> Option<Self> {
        let mut parts = pod.splitn(3, '_');
        let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = file.strip_suffix(".log")?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_named = ![namespace, pod, uid, container].contains(&"");
        Some(Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: uid.to_owned(),
            container: container.to_owned(),
            restarts: digits.parse().ok().filter(|_| is_number && is_named)?,
        })
    }

    /// The name that the kubelet gives it below `/var/log/containers`.
    fn name(&self) -> String {
        format!("{}_{}_{}", self.pod, self.namespace, self.container)
    }
}

/// The logs below the folder of `pods`; `known` are read already.
pub(super) fn search(pods: &Pods, known: &BTreeSet<PathBuf>) -> Search {
    let mut search = Search::default();
    let choice = Choice {
        include: pods.include.clone(),
        exclude: pods.exclude.clone(),
    };
    let mut left = MOST_ENTRIES;
    let mut ids = None;
    let root = match fs_err::canonicalize(&pods.path) {
        Ok(root) => root,
        Err(error) => {
            search.errors.push(format!(
                "{error}; `logs.pods.path` says where the kubelet's logs are seen"
            ));
            return search;
        }
    };
    for pod in names(&root, &mut left, &mut search.errors) {
        let folder = root.join(&pod);
        for container in names(&folder, &mut left, &mut search.errors) {
            let folder = folder.join(&container);
            for file in names(&folder, &mut left, &mut search.errors) {
                let Some(named) = Named::parse(&pod, &container, &file) else {
                    continue;
                };
                let facts = Facts {
                    name: named.name(),
                    labels: [
                        (
                            "io.kubernetes.pod.namespace".to_owned(),
                            named.namespace.clone(),
                        ),
                        ("io.kubernetes.pod.name".to_owned(), named.pod.clone()),
                    ]
                    .into(),
                    ..Facts::default()
                };
                if !choice.wants(&facts) {
                    continue;
                }
                // With Docker as the runtime it is a link to the engine's own file.
                let path = folder.join(&file);
                let Ok(resolved) = fs_err::canonicalize(&path) else {
                    continue;
                };
                let id = if known.contains(&resolved) {
                    String::new()
                } else {
                    let ids = ids.get_or_insert_with(|| container_ids(&root, &mut left));
                    ids.get(&path).cloned().unwrap_or_default()
                };
                let found = found(pods, &named, id, path, resolved.clone());
                search.found.entry(resolved).or_insert(found);
            }
        }
    }
    search
}

fn found(pods: &Pods, named: &Named, id: String, path: PathBuf, resolved: PathBuf) -> Found {
    let is_engines = resolved
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.ends_with("-json.log"));
    // Names as in OpenTelemetry's semantic conventions, "Kubernetes" and "Log media".
    let attributes: Map<String, Value> = [
        ("k8s.container.name", Value::from(named.container.as_str())),
        ("k8s.container.restart_count", named.restarts.into()),
        ("k8s.pod.uid", named.uid.as_str().into()),
        ("log.file.path", path.display().to_string().into()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let name = named.name();
    Found {
        container: ContainerRef {
            id: id.into(),
            name: name.as_str().into(),
            k8s_namespace: named.namespace.as_str().into(),
            k8s_pod: named.pod.as_str().into(),
            ..ContainerRef::default()
        },
        name,
        attributes,
        format: if is_engines {
            Format::JsonFile
        } else {
            Format::Cri
        },
        multiline: pods.multiline.clone(),
        from: pods.from,
        with_older: true,
        streams: Streams {
            stdout: pods.stdout,
            stderr: pods.stderr,
        },
        why: format!("the kubelet keeps it at `{}`", path.display()),
        path: resolved,
    }
}

/// Names in `folder`, in order; nothing when it is gone meanwhile.
fn names(folder: &Path, left: &mut usize, errors: &mut Vec<String>) -> Vec<String> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            use std::io::ErrorKind::{NotADirectory, NotFound};
            if ![NotFound, NotADirectory].contains(&error.kind()) && errors.is_empty() {
                errors.push(error.to_string());
            }
            return Vec::new();
        }
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries.flatten() {
        let Some(fewer) = left.checked_sub(1) else {
            if errors.is_empty() {
                let shown = folder.display();
                errors.push(format!("too many files at `{shown}`; not all are read"));
            }
            break;
        };
        *left = fewer;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    names
}

/// Ids of containers by the paths of their logs: the kubelet makes a link `<name>-<id>.log` for each in
/// `/var/log/containers`.
fn container_ids(pods: &Path, left: &mut usize) -> BTreeMap<PathBuf, String> {
    let folder = pods.with_file_name("containers");
    let links = names(&folder, left, &mut Vec::new());
    let id = |link: &String| {
        let id = link.strip_suffix(".log")?.rsplit('-').next()?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let target = fs_err::read_link(folder.join(link)).ok()?;
        // Links lead to the folder by its usual name, wherever we see it.
        let mut parts = target.components().rev();
        let (file, container, pod) = (parts.next()?, parts.next()?, parts.next()?);
        is_id.then(|| (pods.join(pod).join(container).join(file), id.to_owned()))
    };
    links.iter().filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_whose_logs_they_are() {
        let named = |pod: &str, file: &str| {
            let named = Named::parse(pod, "web", file)?;
            let Named {
                namespace,
                pod,
                uid,
                restarts,
                ..
            } = &named;
            Some(format!(
                "{namespace} {pod} {uid} {restarts} {}",
                named.name()
            ))
        };
        assert_eq!(
            named("prod_shop-7d9_0a1b", "2.log").as_deref(),
            Some("prod shop-7d9 0a1b 2 shop-7d9_prod_web")
        );
        assert_eq!(named("prod_shop_0a1b", "0.log.20261122-101500"), None);
        assert_eq!(named("prod_shop_0a1b", "x.log"), None);
        assert_eq!(named("prod_shop_0a1b", ".log"), None);
        assert_eq!(named("prod_shop_0a1b", "+1.log"), None);
        assert_eq!(named("prod_shop_0a1b", "99999999999.log"), None);
        assert_eq!(named("prod_shop", "0.log"), None);
        assert_eq!(named("__", "0.log"), None);
    }
}
