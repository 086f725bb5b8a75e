//! Which records are forwarded and not stored.

use std::{fmt, sync::Arc};

use qw_event::{Detection, Event};
use qw_store::query::Filter;

use crate::{intake::Submission, transit::TransitLog};

/// Takes out of batches what is only forwarded.
pub(crate) struct Forwarding {
    pub(crate) log: Arc<TransitLog>,
    filters: Vec<Filter>,
    is_wanted: Box<dyn Fn() -> bool + Send>,
}

impl Forwarding {
    pub(crate) fn new(
        log: Arc<TransitLog>,
        filters: Vec<Filter>,
        is_wanted: Box<dyn Fn() -> bool + Send>,
    ) -> Self {
        Self {
            log,
            filters,
            is_wanted,
        }
    }

    /// Moves what is not to be stored from the events of `submission` to those that pass, and brings the
    /// indices of its detections in line.
    pub(crate) fn apply(&self, submission: &mut Submission) {
        if self.filters.is_empty() || !(self.is_wanted)() {
            return;
        }
        let events = std::mem::take(&mut submission.events);
        let mut detections = std::mem::take(&mut submission.detections)
            .into_iter()
            .peekable();
        submission.passing.reserve(events.len());
        for (index, event) in events.into_iter().enumerate() {
            let is_noticed = detections.peek().is_some_and(|next| next.event == index);
            while let Some(detection) = detections.next_if(|next| next.event == index) {
                submission.detections.push(Detection {
                    event: submission.events.len(),
                    ..detection
                });
            }
            // What was noticed is the evidence of an alert.
            if is_noticed || !self.is_passing(&event) {
                submission.events.push(event);
            } else {
                submission.passing.push(event);
            }
        }
    }

    fn is_passing(&self, event: &Event) -> bool {
        // As with what is excluded: a filter that does not say so is not about logs.
        let is_about = |filter: &&Filter| event.kind.is_event() || filter.names_kinds();
        let mut about = self.filters.iter().filter(is_about);
        about.any(|filter| filter.matches(event))
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding")
            .field("log", &self.log)
            .field("filters", &self.filters)
            .finish_non_exhaustive()
    }
}
