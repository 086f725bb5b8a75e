//! How each container is read, for the operator.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use qw_pipeline::Reader;

/// What is known of the reading of one container.
#[derive(Debug)]
pub(super) struct ReaderState {
    id: String,
    told: Mutex<Told>,
    /// `u64::MAX`: not known.
    lag: AtomicU64,
    gaps: AtomicU64,
    lines: AtomicU64,
}

#[derive(Debug)]
struct Told {
    name: String,
    way: &'static str,
    why: String,
    error: Option<String>,
}

impl ReaderState {
    pub(super) fn new(id: &str, name: &str, way: &'static str, why: String) -> Self {
        Self {
            id: id.to_owned(),
            told: Mutex::new(Told {
                name: name.to_owned(),
                way,
                why,
                error: None,
            }),
            lag: AtomicU64::new(u64::MAX),
            gaps: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        }
    }

    pub(super) fn rename(&self, name: &str) {
        let mut told = self.told.lock();
        if told.name != name {
            name.clone_into(&mut told.name);
        }
    }

    pub(super) fn set_why(&self, why: String) {
        self.told.lock().why = why;
    }

    /// Says one thing more about why it is read this way.
    pub(super) fn add_to_why(&self, more: &str) {
        let why = &mut self.told.lock().why;
        why.push_str("; ");
        why.push_str(more);
    }

    pub(super) fn set_way(&self, way: &'static str, why: String) {
        let mut told = self.told.lock();
        told.way = way;
        told.why = why;
    }

    pub(super) fn error(&self, text: String) {
        self.told.lock().error = Some(text);
    }

    pub(super) fn gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    pub(super) fn lines(&self, lines: u64) {
        self.lines.fetch_add(lines, Relaxed);
    }

    pub(super) fn set_lag(&self, bytes: u64) {
        self.lag.store(bytes, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Reader {
        let told = self.told.lock();
        let lag = self.lag.load(Relaxed);
        Reader {
            container_id: self.id.clone(),
            container_name: told.name.clone(),
            way: told.way,
            why: told.why.clone(),
            lag_bytes: (lag != u64::MAX).then_some(lag),
            gaps: self.gaps.load(Relaxed),
            lines: self.lines.load(Relaxed),
            last_error: told.error.clone(),
        }
    }
}
