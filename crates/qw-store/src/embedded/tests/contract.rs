//! The conformance suite on the embedded store.

use tempfile::TempDir;

use crate::{
    Embedded, EventPage, Options, RecordStore, StateStore, conformance,
    embedded::tests::{fast_directory, small},
};

/// A store that takes its directory with it.
struct Temporary<T> {
    store: T,
    _directory: TempDir,
}

fn temporary(options: Options) -> Temporary<Embedded> {
    let directory = fast_directory();
    let store = Embedded::open(directory.path(), options).unwrap();
    Temporary {
        store,
        _directory: directory,
    }
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> $result {
            self.store.$name($($argument),*)
        })*
    };
}

impl RecordStore for Temporary<Embedded> {
    forward! {
        append_with(batches: &mut Vec<qw_event::Batch>, companion: &mut dyn crate::Companion) -> Result<Vec<crate::Appended>, crate::StoreError>;
        cursor(source: &qw_event::SourceId) -> Result<Option<crate::SourceCursor>, crate::StoreError>;
        events(query: &crate::EventQuery) -> Result<EventPage, crate::QueryError>;
        event(id: qw_event::EventId) -> Result<Option<qw_event::StoredEvent>, crate::QueryError>;
        events_after(after: qw_event::EventId, limit: usize, kinds: crate::Kinds) -> Result<Vec<qw_event::StoredEvent>, crate::QueryError>;
        histogram(query: &crate::HistogramQuery) -> Result<crate::Histogram, crate::QueryError>;
        facets(query: &crate::FacetQuery) -> Result<crate::Facets, crate::QueryError>;
        container_activity(range: crate::TimeRange, kinds: crate::Kinds) -> Result<Vec<crate::ContainerActivity>, crate::QueryError>;
        rule_activity(range: crate::TimeRange, kinds: crate::Kinds) -> Result<Vec<crate::RuleActivity>, crate::QueryError>;
        maintain(now: qw_event::Timestamp, retention: &crate::Retention) -> Result<crate::Maintenance, crate::StoreError>;
        last_id() -> qw_event::EventId;
        statistics() -> crate::StoreStatistics;
    }
}

impl StateStore for Temporary<Embedded> {
    forward! {
        get(collection: &str, key: &str) -> Result<Option<String>, crate::StoreError>;
        list(collection: &str) -> Result<Vec<(String, String)>, crate::StoreError>;
        apply(changes: &[crate::StateChange<'_>]) -> Result<(), crate::StoreError>;
    }
}

#[test]
fn small_segments_keep_the_contract() {
    conformance::run(&|| Box::new(temporary(small())));
}

#[test]
fn hot_tail_alone_keeps_the_contract() {
    conformance::run(&|| Box::new(temporary(Options::default())));
}

#[test]
fn state_keeps_the_contract() {
    conformance::run_state(&|| Box::new(temporary(Options::default())));
}
