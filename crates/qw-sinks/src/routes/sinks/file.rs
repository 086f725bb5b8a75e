//! Files that are rotated as Docker rotates its own.
//!
//! Exact across kills: a batch is on disk before the position moves, and with the position the length
//! that the file then has is stored. After a restart the file is cut to that length, and a rotation
//! that came after it is undone.

mod rotate;

use std::{io, path::PathBuf};

use async_trait::async_trait;
use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use super::line::LineWriter;
use crate::{
    receiver::Refusal,
    routes::{
        config::{ConfigError, FileConfig, FileFormat, RouteConfig},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
    runner::blocking,
};
use rotate::Rotated;

/// Writes to one file.
pub(crate) struct File {
    config: FileConfig,
    lines: LineWriter,
    /// What was stored with the position; of use until the file is opened.
    mark: Option<Mark>,
    open: Option<Rotated>,
}

/// Where a file ended when the position was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    inode: u64,
    length: u64,
}

impl File {
    /// Looks at the path, so that what is wrong with it is said at the start.
    pub(crate) fn new(
        route: &RouteConfig,
        config: &FileConfig,
        mark: Option<&str>,
    ) -> Result<Self, ConfigError> {
        if !config.path.is_absolute() || config.path.file_name().is_none() {
            return Err(route.wrong("to.path", "is an absolute path of a file"));
        }
        if !(1..=1_000).contains(&config.max_file) {
            return Err(route.wrong("to.max_file", "is from 1 to 1000"));
        }
        if !config.path.parent().is_some_and(std::path::Path::is_dir) {
            return Err(route.wrong("to.path", "lies in a folder that does not exist"));
        }
        Ok(Self {
            config: config.clone(),
            lines: LineWriter::new(),
            mark: mark.and_then(|text| serde_json::from_str(text).ok()),
            open: None,
        })
    }

    fn refusal(path: &std::path::Path, error: &io::Error) -> Refusal {
        Refusal::because(&format!("cannot write to `{}`", path.display()), error)
    }
}

#[async_trait]
impl Destination for File {
    fn place(&self) -> String {
        format!("file://{}", self.config.path.display())
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        let mut lines = Vec::with_capacity(2 * part.bytes());
        for record in part.records() {
            match self.config.format {
                FileFormat::Json => self.lines.json(&record, &mut lines),
                FileFormat::Text => self.lines.text(&record.outgoing, &mut lines),
            }
        }
        let bytes = lines.len() as u64;
        let (open, mark) = (self.open.take(), self.mark);
        let config = self.config.clone();
        let written = blocking(move || {
            let mut open = match open {
                Some(open) => open,
                None => Rotated::open(config, mark.map(|mark| (mark.inode, mark.length)))?,
            };
            open.append(&lines)?;
            io::Result::Ok(open)
        })
        .await;
        let path: PathBuf = self.config.path.clone();
        // After a failure it is opened anew, and cut to where the last batch ended.
        let open = written.map_err(|error| Self::refusal(&path, &error))?;
        let (inode, length) = open.end();
        self.mark = Some(Mark { inode, length });
        self.open = Some(open);
        Ok(Delivered {
            bytes,
            answer: String::from("written and synced"),
            ..Delivered::default()
        })
    }

    fn mark(&self) -> Option<String> {
        serde_json::to_string(&self.mark?).ok()
    }

    async fn probe(&mut self) -> Option<Result<String, Refusal>> {
        let path = self.config.path.clone();
        let found = blocking(move || {
            let existed = path.exists();
            let opened = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .map_err(|error| Self::refusal(&path, &error))?;
            drop(opened);
            if !existed {
                std::fs::remove_file(&path).map_err(|error| Self::refusal(&path, &error))?;
            }
            Ok(String::from("can be written; nothing was"))
        })
        .await;
        Some(found)
    }
}
