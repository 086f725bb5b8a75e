//! Patterns of paths → the files that match, looked for within bounds.
//!
//! `*` and `?` stand for characters of one name, `**` for any number of folders. As in a shell, `*` at
//! the beginning of a name does not match a dot. Folders behind links are not entered where a pattern
//! would enter them, so that no link leads round in circles or out of where the operator pointed.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::choose::matches_glob;

/// Folders below each other, at most.
const MOST_DEPTH: usize = 32;
/// Most parts of a pattern.
const MOST_PARTS: usize = 64;

/// Selects files by their path. Text form: an absolute path with `*`, `?` and `**`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    /// A name as it is.
    Name(String),
    /// A name with `*` or `?`.
    Pattern(String),
    /// `**`: any number of folders.
    Folders,
}

/// A text that selects no files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` selects no files: {reason}")]
pub struct InvalidGlob {
    text: String,
    reason: &'static str,
}

impl FromStr for Glob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidGlob {
            text: text.chars().take(200).collect(),
            reason,
        };
        let Some(rest) = text.strip_prefix('/') else {
            return Err(invalid(
                "expected an absolute path, such as `/var/log/*.log`",
            ));
        };
        if text.contains(['[', ']', '{', '}']) {
            return Err(invalid(
                "`[…]` and `{…}` are not known; `*`, `?` and `**` are, and there may be several patterns",
            ));
        }
        if rest.is_empty() || rest.ends_with('/') {
            return Err(invalid("it names a folder; add `/*`"));
        }
        let parts: Vec<Part> = rest
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| match part {
                "**" => Part::Folders,
                part if part.contains(['*', '?']) => Part::Pattern(part.to_owned()),
                part => Part::Name(part.to_owned()),
            })
            .collect();
        if parts
            .iter()
            .any(|part| matches!(part, Part::Name(name) if name == "." || name == ".."))
        {
            return Err(invalid("`.` and `..` cannot be part of it"));
        }
        if parts.len() > MOST_PARTS {
            return Err(invalid("it has more than 64 parts"));
        }
        match parts.last() {
            Some(Part::Folders) => Err(invalid("it names folders; add `/*`")),
            _ => Ok(Self {
                text: text.to_owned(),
                parts,
            }),
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A search, and what may still be looked at.
#[derive(Debug)]
pub(super) struct Search {
    /// Entries of folders that may still be looked at.
    entries: usize,
    /// What was found: files, and links where a file was looked for.
    pub(super) found: Vec<PathBuf>,
    /// What could not be looked at, and why.
    pub(super) errors: Vec<String>,
}

impl Search {
    /// A search that looks at `entries` entries of folders at most.
    pub(super) fn new(entries: usize) -> Self {
        Self {
            entries,
            found: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Adds what `glob` selects.
    pub(super) fn run(&mut self, glob: &Glob) {
        self.enter(Path::new("/"), &glob.parts, 0);
    }

    fn enter(&mut self, folder: &Path, parts: &[Part], depth: usize) {
        let Some((part, rest)) = parts.split_first() else {
            return;
        };
        match part {
            Part::Name(name) => {
                let path = folder.join(name);
                if rest.is_empty() {
                    self.find(path);
                } else {
                    self.enter(&path, rest, depth + 1);
                }
            }
            Part::Pattern(pattern) => self.look(folder, |search, path, name, kind| {
                if !matches_name(pattern, name) {
                    return;
                }
                if !rest.is_empty() && kind.is_dir() {
                    search.enter(&path, rest, depth + 1);
                } else if rest.is_empty() && !kind.is_dir() {
                    search.found.push(path);
                }
            }),
            Part::Folders => {
                self.enter(folder, rest, depth);
                if depth >= MOST_DEPTH {
                    self.error(format!(
                        "`{}` lies more than {MOST_DEPTH} folders deep; those below are not looked at",
                        folder.display()
                    ));
                    return;
                }
                self.look(folder, |search, path, name, kind| {
                    if kind.is_dir() && !name.starts_with('.') {
                        search.enter(&path, parts, depth + 1);
                    }
                });
            }
        }
    }

    fn look(
        &mut self,
        folder: &Path,
        mut each: impl FnMut(&mut Self, PathBuf, &str, std::fs::FileType),
    ) {
        let entries = match fs_err::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return,
            Err(error) => return self.error(error.to_string()),
        };
        for entry in entries {
            let Some(left) = self.entries.checked_sub(1) else {
                return self.error(
                    "too many files to look through: give patterns that begin more exactly"
                        .to_owned(),
                );
            };
            self.entries = left;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.error(error.to_string()),
            };
            if let Ok(kind) = entry.file_type() {
                let name = entry.file_name();
                each(self, entry.path(), &name.to_string_lossy(), kind);
            }
        }
    }

    fn find(&mut self, path: PathBuf) {
        match fs_err::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => self.found.push(path),
            Err(error) if is_absent(&error) => {}
            Err(error) => self.error(error.to_string()),
        }
    }

    fn error(&mut self, text: String) {
        // One tells enough; a folder full of them would tell no more.
        if self.errors.is_empty() {
            self.errors.push(text);
        }
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    [NotFound, NotADirectory].contains(&error.kind())
}

impl Glob {
    /// The folder in which all lies that it selects, and whether the last part is a pattern; `None`
    /// when there is a pattern before that.
    pub(super) fn in_one_folder(&self) -> Option<(PathBuf, bool)> {
        let (last, before) = self.parts.split_last()?;
        let mut folder = PathBuf::from("/");
        for part in before {
            let Part::Name(name) = part else {
                return None;
            };
            folder.push(name);
        }
        Some((folder, matches!(last, Part::Pattern(_))))
    }

    /// Whether `path` is one of those that it selects.
    pub(super) fn matches(&self, path: &Path) -> bool {
        let names: Vec<_> = path
            .components()
            .skip(1)
            .map(|name| name.as_os_str().to_string_lossy())
            .collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        matches_parts(&self.parts, &names)
    }
}

/// Takes time in proportion to both lengths: which beginnings of `names` the parts so far match.
fn matches_parts(parts: &[Part], names: &[&str]) -> bool {
    let mut reached = vec![false; names.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for part in parts {
        let mut next = vec![false; names.len() + 1];
        let mut has_any = false;
        for (at, reaches) in next.iter_mut().enumerate() {
            let before = |at: usize| reached.get(at).copied().unwrap_or_default();
            let name = at.checked_sub(1).and_then(|at| names.get(at));
            *reaches = match (part, name) {
                (Part::Folders, _) => {
                    has_any |= before(at);
                    has_any
                }
                (_, None) => false,
                (Part::Name(expected), Some(name)) => before(at - 1) && expected == name,
                (Part::Pattern(pattern), Some(name)) => {
                    before(at - 1) && matches_name(pattern, name)
                }
            };
        }
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

fn matches_name(pattern: &str, name: &str) -> bool {
    (!name.starts_with('.') || pattern.starts_with('.')) && matches_glob(pattern, name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(folder: &Path, pattern: &str) -> Vec<String> {
        let glob: Glob = format!("{}/{pattern}", folder.display()).parse().unwrap();
        let mut search = Search::new(1000);
        search.run(&glob);
        assert_eq!(search.errors, Vec::<String>::new(), "{pattern}");
        let mut names: Vec<String> = search
            .found
            .iter()
            .inspect(|path| assert!(glob.matches(path), "{pattern} {}", path.display()))
            .map(|path| path.strip_prefix(folder).unwrap().display().to_string())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_found_by_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [
            "a.log",
            "b.log",
            ".c.log",
            "d.txt",
            "x/a.log",
            "x/y/a.log",
            "x/y/z/b.log",
        ] {
            let path = root.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        // Round in circles, if it were followed.
        fs_err::os::unix::fs::symlink(root, root.join("x/again")).unwrap();
        let check = |pattern: &str, expected: &[&str]| {
            assert_eq!(found(root, pattern), expected, "{pattern}");
        };
        check("*.log", &["a.log", "b.log"]);
        check(".*.log", &[".c.log"]);
        check("?.log", &["a.log", "b.log"]);
        check("a.log", &["a.log"]);
        check("none/a.log", &[]);
        check("*/a.log", &["x/a.log"]);
        check("**/a.log", &["a.log", "x/a.log", "x/y/a.log"]);
        check("x/**/b.log", &["x/y/z/b.log"]);
        check("**/y/**/*.log", &["x/y/a.log", "x/y/z/b.log"]);
        check("x/*", &["x/a.log", "x/again"]);
    }

    #[test]
    fn a_search_ends() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..20 {
            fs_err::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let glob: Glob = format!("{}/*", folder.path().display()).parse().unwrap();
        let mut search = Search::new(10);
        search.run(&glob);
        assert_eq!(search.found.len(), 10);
        assert_eq!(search.errors.len(), 1);
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Glob>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("var/log/*.log", "absolute");
        check("/var/log/", "folder");
        check("/var/log/**", "folders");
        check("/", "folder");
        check("/var/log/{a,b}.log", "are not known");
        check("/var/../etc/*.log", "`..`");
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error(text in "/[a*?/.]{0,40}", path in "/[a/.]{0,40}") {
            if let Ok(glob) = text.parse::<Glob>() {
                glob.matches(Path::new(&path));
                prop_assert_eq!(glob.to_string().parse(), Ok(glob));
            }
        }
    }
}
