//! Where the control groups of a container are.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::{
    parse,
    read::{Buffer, read_path},
};

/// Folders looked into when a container's group is searched by its id.
const MAX_FOLDERS: usize = 20_000;
/// Depth of the search; Kubernetes nests five deep.
const MAX_DEPTH: usize = 10;

/// Where the file systems are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Control groups, usually `/sys/fs/cgroup`.
    pub cgroup: PathBuf,
    /// Processes, usually `/proc`; in a container the host's, mounted elsewhere.
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            cgroup: PathBuf::from("/sys/fs/cgroup"),
            proc: PathBuf::from("/proc"),
        }
    }
}

/// Version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// One hierarchy per controller.
    V1,
    /// One hierarchy for all.
    V2,
}

impl Version {
    /// `cgroup_v1` or `cgroup_v2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "cgroup_v1",
            Self::V2 => "cgroup_v2",
        }
    }
}

/// Why a container's groups cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// No hierarchy is mounted where one is expected.
    #[error(
        "no control groups are mounted at `{root}`; in a container, mount the host's `/sys/fs/cgroup` read-only and name its place in `usage.cgroup_root`"
    )]
    NotMounted {
        /// Where.
        root: PathBuf,
    },
    /// Neither the process nor a search leads to a group with the container's id.
    #[error(
        "no control group below `{root}` belongs to the container; its engine may be on another host, or the host's `/proc` and `/sys/fs/cgroup` are not visible here"
    )]
    NotFound {
        /// Where it was searched.
        root: PathBuf,
    },
    /// The group is there, and has no numbers we know.
    #[error("the control group `{group}` has neither processor nor memory controller")]
    NoControllers {
        /// Which.
        group: PathBuf,
    },
    /// A file cannot be opened or read.
    #[error("cannot read `{path}`")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Folders of one container's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// Version of the hierarchy that has the controllers.
    pub version: Version,
    /// Path of the group from its hierarchy's root, as cAdvisor names containers:
    /// `/docker/0123…`.
    pub path: String,
    /// Version 1: folder of each controller, `None` for one that is not mounted or has no such
    /// group. Version 2: the same folder for all.
    pub(crate) folders: Folders,
    /// True when the process led here; false when it was found by its id.
    pub by_process: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Folders {
    pub(crate) cpu: Option<PathBuf>,
    pub(crate) cpuacct: Option<PathBuf>,
    pub(crate) memory: Option<PathBuf>,
    pub(crate) pids: Option<PathBuf>,
    pub(crate) blkio: Option<PathBuf>,
}

/// Finds groups below given roots.
#[derive(Debug, Clone)]
pub struct Locator {
    roots: Roots,
    mounts: Mounts,
}

/// What is mounted below the root of control groups.
#[derive(Debug, Clone)]
enum Mounts {
    /// Version 2 has the controllers.
    Unified(PathBuf),
    /// Version 1, alone or beside a version 2 without controllers (hybrid).
    Split(Folders),
}

impl Locator {
    /// Looks what is mounted below `roots.cgroup`.
    ///
    /// # Errors
    /// [`Unreadable::NotMounted`].
    pub fn new(roots: Roots) -> Result<Self, Unreadable> {
        let not_mounted = || Unreadable::NotMounted {
            root: roots.cgroup.clone(),
        };
        let mounts = if roots.cgroup.join("cgroup.controllers").is_file() {
            Mounts::Unified(roots.cgroup.clone())
        } else {
            let folders = split_mounts(&roots.cgroup).map_err(|_| not_mounted())?;
            if folders.cpuacct.is_some() || folders.memory.is_some() {
                Mounts::Split(folders)
            } else if roots.cgroup.join("unified/cgroup.controllers").is_file() {
                Mounts::Unified(roots.cgroup.join("unified"))
            } else {
                return Err(not_mounted());
            }
        };
        Ok(Self { roots, mounts })
    }

    /// The roots.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The version that has the controllers.
    pub fn version(&self) -> Version {
        match &self.mounts {
            Mounts::Unified(_) => Version::V2,
            Mounts::Split(_) => Version::V1,
        }
    }

    /// The groups of the container with this full id, whose first process is `pid`.
    ///
    /// The process' own word is taken when it names the container: its number could mean another
    /// process here than it does to the engine. A private namespace of control groups shows paths
    /// that begin at ourselves; then, and without a process, the tree is searched for a folder named
    /// after the id, which the names of all engines' drivers hold.
    ///
    /// # Errors
    /// [`Unreadable::NotFound`]; [`Unreadable::NoControllers`].
    pub fn find(&self, id: &str, pid: Option<u32>) -> Result<Groups, Unreadable> {
        let mut buffer = Buffer::default();
        let text = pid.and_then(|pid| {
            let path = self.roots.proc.join(pid.to_string()).join("cgroup");
            read_path(&path, &mut buffer).ok()
        });
        let by_process = text.and_then(|text| self.by_process(text, id));
        let groups = match by_process {
            Some(groups) => groups,
            None => self.by_search(id)?,
        };
        let folders = &groups.folders;
        if folders.cpuacct.is_none() && folders.memory.is_none() {
            let group = PathBuf::from(&groups.path);
            return Err(Unreadable::NoControllers { group });
        }
        Ok(groups)
    }

    fn by_process(&self, text: &[u8], id: &str) -> Option<Groups> {
        match &self.mounts {
            Mounts::Unified(root) => {
                let member = parse::memberships(text).find(|one| one.controllers.is_empty())?;
                let path = up_to(member.path, id)?;
                let folder = below(root, path)?;
                folder.is_dir().then(|| Groups {
                    version: Version::V2,
                    path: path.to_owned(),
                    folders: Folders::all(&folder),
                    by_process: true,
                })
            }
            Mounts::Split(mounts) => {
                let mut name = None;
                let mut folder_of = |controller: &str, mount: &Option<PathBuf>| {
                    let mount = mount.as_ref()?;
                    let member = parse::memberships(text)
                        .find(|one| one.controllers.split(',').any(|word| word == controller))?;
                    let path = up_to(member.path, id)?;
                    let folder = below(mount, path).filter(|folder| folder.is_dir())?;
                    name.get_or_insert_with(|| path.to_owned());
                    Some(folder)
                };
                // Memory first: cAdvisor names containers by any of them, and they are the same but
                // for hierarchies that an engine leaves alone.
                let folders = Folders {
                    memory: folder_of("memory", &mounts.memory),
                    cpuacct: folder_of("cpuacct", &mounts.cpuacct),
                    cpu: folder_of("cpu", &mounts.cpu),
                    pids: folder_of("pids", &mounts.pids),
                    blkio: folder_of("blkio", &mounts.blkio),
                };
                Some(Groups {
                    version: Version::V1,
                    path: name?,
                    folders,
                    by_process: true,
                })
            }
        }
    }

    fn by_search(&self, id: &str) -> Result<Groups, Unreadable> {
        let not_found = || Unreadable::NotFound {
            root: self.roots.cgroup.clone(),
        };
        let root = match &self.mounts {
            Mounts::Unified(root) => root,
            Mounts::Split(mounts) => mounts
                .memory
                .as_ref()
                .or(mounts.cpuacct.as_ref())
                .ok_or_else(not_found)?,
        };
        let folder = search(root, id).ok_or_else(not_found)?;
        let relative = folder.strip_prefix(root).map_err(|_| not_found())?;
        let path = format!("/{}", relative.display());
        let folders = match &self.mounts {
            Mounts::Unified(_) => Folders::all(&folder),
            Mounts::Split(mounts) => {
                let same = |mount: &Option<PathBuf>| {
                    let folder = mount.as_ref()?.join(relative);
                    folder.is_dir().then_some(folder)
                };
                Folders {
                    cpu: same(&mounts.cpu),
                    cpuacct: same(&mounts.cpuacct),
                    memory: same(&mounts.memory),
                    pids: same(&mounts.pids),
                    blkio: same(&mounts.blkio),
                }
            }
        };
        Ok(Groups {
            version: self.version(),
            path,
            folders,
            by_process: false,
        })
    }
}

impl Folders {
    fn all(folder: &Path) -> Self {
        let folder = || Some(folder.to_owned());
        Self {
            cpu: folder(),
            cpuacct: folder(),
            memory: folder(),
            pids: folder(),
            blkio: folder(),
        }
    }
}

/// Mounts of version 1: a folder per controller, or one for several (`cpu,cpuacct`).
fn split_mounts(root: &Path) -> io::Result<Folders> {
    let mut folders = Folders::default();
    let mut names: Vec<_> = fs::read_dir(root)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort_unstable();
    for folder in names.into_iter().filter(|folder| folder.is_dir()) {
        let name = folder.file_name().and_then(|name| name.to_str());
        for controller in name.unwrap_or_default().split(',') {
            let place = match controller {
                "cpu" => &mut folders.cpu,
                "cpuacct" => &mut folders.cpuacct,
                "memory" => &mut folders.memory,
                "pids" => &mut folders.pids,
                "blkio" => &mut folders.blkio,
                _ => continue,
            };
            place.get_or_insert_with(|| folder.clone());
        }
    }
    Ok(folders)
}

/// The beginning of `path` up to the part that holds the container's id: what runs in a container
/// may put its first process into a group below the container's.
fn up_to<'a>(path: &'a str, id: &str) -> Option<&'a str> {
    if id.is_empty() {
        return None;
    }
    // The innermost, for containers that run engines of their own.
    let at = path.rfind(id)?;
    let rest = path.get(at..)?;
    let end = rest.find('/').map_or(path.len(), |end| at + end);
    path.get(..end)
}

/// `path`, which begins at a hierarchy's root, below `mount`; `None` when it leads out of it.
fn below(mount: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let stays = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    stays.then(|| mount.join(relative))
}

/// The first folder, from the top, whose name holds `id`.
fn search(root: &Path, id: &str) -> Option<PathBuf> {
    // Short ids could be part of another name.
    if id.len() < 32 || id.contains('/') {
        return None;
    }
    let mut waiting = VecDeque::from([(root.to_owned(), 0)]);
    let mut looked = 0;
    while let Some((folder, depth)) = waiting.pop_front() {
        looked += 1;
        if looked > MAX_FOLDERS {
            return None;
        }
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            // Links are not followed: `cpu` beside `cpu,cpuacct` is one.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().contains(id) {
                return Some(entry.path());
            }
            if depth < MAX_DEPTH {
                waiting.push_back((entry.path(), depth + 1));
            }
        }
    }
    None
}
