//! What is known of a wave besides its traces.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{Attack, ContainerFacts, Stage, Wave, fields, now};

/// Writes down what a wave is besides its traces, of which it reads only what is new.
pub(super) struct Notes {
    folder: PathBuf,
    /// Bytes of each trace that were read.
    read: BTreeMap<PathBuf, u64>,
    /// Every path that was executed.
    executed: BTreeSet<String>,
    /// What was last known of each container: one that ended can be looked at no more.
    known: BTreeMap<usize, ContainerFacts>,
}

impl Notes {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            read: BTreeMap::new(),
            executed: BTreeSet::new(),
            known: BTreeMap::new(),
        }
    }

    /// Writes what is known now; attacks are numbered as `stages` are.
    pub(super) fn write(&mut self, stages: &[Stage], attacks: Vec<Attack>) -> Result<()> {
        self.read_on()?;
        let mut wave = Wave {
            containers: Vec::new(),
            runs: Vec::new(),
            attacks,
        };
        let now = now();
        for (container, stage) in stages.iter().enumerate() {
            let root = PathBuf::from(format!("/proc/{}/root", stage.pid));
            if root.join("etc").exists() || !self.known.contains_key(&container) {
                let mut facts = stage.facts.clone();
                facts.look(&root, &self.executed);
                self.known.insert(container, facts);
            }
            wave.containers.extend(self.known.get(&container).cloned());
            let mut run = stage.run.clone();
            run.container = container;
            run.end = run.end.min(now);
            wave.runs.push(run);
        }
        let new = self.folder.join("wave.json.new");
        fs_err::write(&new, serde_json::to_vec_pretty(&wave)?)?;
        fs_err::rename(new, self.folder.join("wave.json"))?;
        Ok(())
    }

    fn read_on(&mut self) -> Result<()> {
        for entry in fs_err::read_dir(self.folder.join("traces"))? {
            let path = entry?.path();
            let mut file = BufReader::new(fs_err::File::open(&path)?);
            let read = self.read.entry(path).or_default();
            file.seek(SeekFrom::Start(*read))?;
            let mut line = Vec::new();
            while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                *read += line.len() as u64;
                let text = String::from_utf8_lossy(&line);
                if let Some((_, rest)) = text.split_once(" execve(\"")
                    && let Some(path) = rest.split('"').next()
                    && path.starts_with('/')
                {
                    self.executed.insert(fields::join("/", path));
                }
                line.clear();
            }
        }
        Ok(())
    }
}

impl ContainerFacts {
    /// Reads users, and which file each of `paths` stands for, from the container's root.
    fn look(&mut self, root: &Path, paths: &BTreeSet<String>) {
        let users = fs_err::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        for line in users.lines() {
            let mut parts = line.split(':');
            if let (Some(name), Some(number)) = (
                parts.next(),
                parts.nth(1).and_then(|number| number.parse().ok()),
            ) {
                self.users.entry(number).or_insert_with(|| name.to_owned());
            }
        }
        for path in paths {
            if let Some(program) = resolve(root, path, 0) {
                self.programs.insert(path.clone(), program);
            }
        }
    }
}

/// Follows links within `root` and the first line of a script; `None` when there is no such file.
fn resolve(root: &Path, path: &str, depth: u32) -> Option<String> {
    if depth > 20 {
        return None;
    }
    let mut sofar = String::new();
    let mut rest = path.split('/').filter(|part| !part.is_empty());
    while let Some(part) = rest.next() {
        let next = format!("{sofar}/{part}");
        if let Ok(target) = fs_err::read_link(root.join(next.trim_start_matches('/'))) {
            let target = fields::join(
                &format!("/{}", sofar.trim_start_matches('/')),
                &target.to_string_lossy(),
            );
            let remaining: Vec<&str> = rest.collect();
            return resolve(
                root,
                &format!("{target}/{}", remaining.join("/")),
                depth + 1,
            );
        }
        sofar = next;
    }
    let bytes = fs_err::read(root.join(sofar.trim_start_matches('/'))).ok()?;
    if let Some(script) = bytes.strip_prefix(b"#!") {
        let line = script
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let interpreter = line.split_whitespace().next()?;
        return resolve(root, interpreter, depth + 1);
    }
    Some(sofar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_read_whole_lines_once() {
        let folder = std::env::temp_dir().join(format!("quaywatch-notes-{}", std::process::id()));
        fs_err::create_dir_all(&folder).unwrap();
        let trace = folder.join("traces/5-7");
        fs_err::create_dir_all(folder.join("traces")).unwrap();
        let whole = "7 1.5 execve(\"/usr/bin/../bin/ls\", [\"ls\"], 0x1) = 0 <0.1>\n";
        fs_err::write(&trace, format!("{whole}8 1.6 execve(\"/bin/ca")).unwrap();
        let mut notes = Notes::new(&folder);
        notes.read_on().unwrap();
        assert_eq!(notes.read.get(&trace), Some(&(whole.len() as u64)));
        assert_eq!(notes.executed, BTreeSet::from(["/usr/bin/ls".to_owned()]));
        let rest = "8 1.6 execve(\"/bin/cat\", [\"cat\"], 0x1) = 0 <0.1>\n";
        fs_err::write(&trace, format!("{whole}{rest}")).unwrap();
        notes.read_on().unwrap();
        let both = (whole.len() + rest.len()) as u64;
        assert_eq!(notes.read.get(&trace), Some(&both));
        assert!(notes.executed.contains("/bin/cat"), "{:?}", notes.executed);
        fs_err::remove_dir_all(folder).unwrap();
    }
}
