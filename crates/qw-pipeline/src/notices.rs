//! Things the operator should see though nobody asked: drops, faults, gaps.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use qw_event::{SourceId, StoredEvent, Timestamp};

use crate::Observer;

const KEPT: usize = 200;

/// The newest notices; the oldest make room.
#[derive(Debug, Clone, Default)]
pub struct Notices {
    notices: Arc<Mutex<VecDeque<Notice>>>,
}

/// One thing the operator should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// When it was raised.
    pub time: Timestamp,
    /// How bad it is.
    pub level: NoticeLevel,
    /// Part or source it comes from.
    pub origin: String,
    /// What happened, where, and what can be done.
    pub text: String,
}

/// How bad a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Something is lost or degraded.
    Warning,
    /// Something does not work.
    Error,
}

impl NoticeLevel {
    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Notices {
    /// Adds a notice. One with the origin and text of the newest only moves that one's time.
    pub fn raise(&self, time: Timestamp, level: NoticeLevel, origin: &str, text: &str) {
        let mut notices = self.notices.lock();
        if let Some(newest) = notices.back_mut()
            && newest.origin == origin
            && newest.text == text
        {
            newest.time = time;
            return;
        }
        if notices.len() == KEPT {
            notices.pop_front();
        }
        notices.push_back(Notice {
            time,
            level,
            origin: origin.to_owned(),
            text: text.to_owned(),
        });
    }

    /// Raises a notice for each event that Falco reports about itself: drops, time-outs, failures.
    ///
    /// Its regular snapshots of metrics are no news and raise none.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(AboutFalco {
            notices: self.clone(),
        })
    }

    /// The notices, newest first.
    pub fn newest_first(&self) -> Vec<Notice> {
        self.notices.lock().iter().rev().cloned().collect()
    }
}

/// Watches for events of Falco's source `internal`.
struct AboutFalco {
    notices: Notices,
}

impl Observer for AboutFalco {
    fn committed(&mut self, source: &SourceId, events: &Arc<[StoredEvent]>, _: Timestamp) {
        for StoredEvent { event, .. } in events.iter().filter(|stored| is_news(stored)) {
            let text = if event.output.is_empty() {
                &*event.rule
            } else {
                &*event.output
            };
            let text: String = text.chars().take(500).collect();
            self.notices
                .raise(event.time, NoticeLevel::Warning, source.as_str(), &text);
        }
    }
}

fn is_news(StoredEvent { event, .. }: &StoredEvent) -> bool {
    event.kind.is_event()
        && &*event.source == "internal"
        && event.rule.starts_with("Falco internal:")
        && !event.rule.contains("metrics snapshot")
}
