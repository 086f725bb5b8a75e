//! Files of programs, selected by patterns.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use qw_event::ContainerRef;
use qw_log::Multiline;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    super::{
        generation::{Age, rotated},
        glob::{self, Glob},
        tail::{Format, Streams},
    },
    Found, MOST_ENTRIES, Search,
};
use crate::StartFrom;

/// Names that compressed files have.
const COMPRESSED: [&str; 6] = ["gz", "bz2", "xz", "zst", "zip", "lz4"];

/// Files that are read alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileGroup {
    /// What writes them, or the container that does; the path of each file when empty.
    #[serde(default)]
    pub name: String,
    /// Which files; their rotated ones are theirs, and not files of their own.
    pub paths: Vec<Glob>,
    /// Of these, which not.
    #[serde(default)]
    pub exclude: Vec<Glob>,
    /// What else each record says, such as `team: web`.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Which lines belong together, as [`Multiline::parse`] reads it.
    #[serde(default)]
    pub multiline: String,
    /// Where to begin.
    #[serde(default)]
    pub from: StartFrom,
    /// Files behind symbolic links are read, too. Whoever may write to a folder that is looked through
    /// can then have any file read.
    #[serde(default)]
    pub follow_symlinks: bool,
    /// Files that are read at most.
    #[serde(default = "default_max_files")]
    pub max_files: usize,
}

fn default_max_files() -> usize {
    1000
}

impl FileGroup {
    /// What cannot be used.
    ///
    /// # Errors
    /// In words, with the key.
    pub fn check(&self) -> Result<(), String> {
        if self.paths.is_empty() {
            return Err(
                "`paths` is empty; name at least one file, such as `/var/log/*.log`".into(),
            );
        }
        if self.max_files == 0 {
            return Err("`max_files` is 0; leave the entry out instead".into());
        }
        Multiline::parse(&self.multiline)
            .map(drop)
            .map_err(|error| format!("`multiline`: {error}"))
    }

    fn selects(&self, path: &Path) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
        any(&self.paths) && !any(&self.exclude)
    }

    /// Whether `path` is a rotated file of another that is selected, too.
    fn is_rotated(&self, path: &Path, known: &BTreeSet<PathBuf>) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return false;
        };
        let Some((owner, age)) = rotated(name) else {
            return false;
        };
        let owner = path.with_file_name(owner);
        if !self.selects(&owner) {
            return false;
        }
        match age {
            // It may be about to be made anew.
            Age::Number(_) => true,
            // Some programs write to names with a date in them.
            Age::Date(_) | Age::Current => {
                known.contains(&owner) || fs_err::symlink_metadata(&owner).is_ok()
            }
        }
    }
}

/// The files of `groups`; `known` are read already.
pub(super) fn search(groups: &[FileGroup], known: &BTreeSet<PathBuf>) -> Search {
    let mut search = Search::default();
    for group in groups {
        let mut looked = glob::Search::new(MOST_ENTRIES);
        for glob in &group.paths {
            looked.run(glob);
        }
        search.errors.append(&mut looked.errors);
        let mut files: Vec<PathBuf> = looked.found;
        files.sort_unstable();
        files.dedup();
        // Those that are read go on being read when there are too many.
        files.sort_by_key(|path| !known.contains(path));
        let (mut count, mut left_out) = (0, 0_u64);
        for path in files {
            if !group.selects(&path) || is_compressed(&path) || group.is_rotated(&path, known) {
                continue;
            }
            if count >= group.max_files {
                left_out += 1;
                continue;
            }
            count += usize::from(add(group, &path, &mut search));
        }
        if left_out > 0 {
            search.errors.push(format!(
                "{left_out} files more than `max_files` ({}) match `{}`, and are not read",
                group.max_files,
                group
                    .paths
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ));
        }
    }
    search
}

/// Adds the file at `path`, or why it is not read; false when there is no such file.
fn add(group: &FileGroup, path: &Path, search: &mut Search) -> bool {
    let Ok(metadata) = fs_err::symlink_metadata(path) else {
        return false;
    };
    let name = match &*group.name {
        // No container can have such a name: whoever may make files is not to speak for one.
        "" => path.display().to_string(),
        name => name.to_owned(),
    };
    if metadata.is_symlink() && !group.follow_symlinks {
        let why = "it is a symbolic link; `follow_symlinks: true` reads what it leads to";
        search
            .refused
            .insert(path.to_owned(), (name, why.to_owned()));
        return true;
    }
    let resolved = match fs_err::canonicalize(path) {
        Ok(resolved) => resolved,
        // A link that leads nowhere, or round in circles.
        Err(error) => {
            let why = format!("it cannot be resolved: {error}");
            search.refused.insert(path.to_owned(), (name, why));
            return true;
        }
    };
    if !fs_err::metadata(&resolved).is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let matched = group.paths.iter().find(|glob| glob.matches(path));
    let matched = matched.map(ToString::to_string).unwrap_or_default();
    let shown = path.display();
    let why = if path == resolved {
        format!("`{shown}` matches `{matched}`")
    } else {
        format!(
            "`{shown}` matches `{matched}` and leads to `{}`",
            resolved.display()
        )
    };
    let found = Found {
        container: ContainerRef {
            name: name.as_str().into(),
            ..ContainerRef::default()
        },
        name,
        attributes: attributes(group, path, &resolved),
        format: Format::Plain,
        // It was read when the configuration was checked.
        multiline: Multiline::parse(&group.multiline).ok().flatten(),
        from: group.from,
        with_older: false,
        streams: Streams {
            stdout: true,
            stderr: true,
        },
        why,
        path: resolved.clone(),
    };
    search.found.entry(resolved).or_insert(found);
    true
}

/// Fields by their names in OpenTelemetry's semantic conventions, "Log media" and "Service".
fn attributes(group: &FileGroup, path: &Path, resolved: &Path) -> Map<String, Value> {
    let text = |path: &Path| Value::from(path.display().to_string());
    let mut attributes = Map::new();
    if !group.name.is_empty() {
        attributes.insert("service.name".to_owned(), group.name.as_str().into());
    }
    if let Some(name) = path.file_name() {
        attributes.insert("log.file.name".to_owned(), text(Path::new(name)));
    }
    attributes.insert("log.file.path".to_owned(), text(path));
    if path != resolved {
        attributes.insert("log.file.path_resolved".to_owned(), text(resolved));
    }
    for (name, value) in &group.fields {
        attributes.insert(name.clone(), value.as_str().into());
    }
    attributes
}

fn is_compressed(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| COMPRESSED.contains(&extension))
}
