//! Where events, lines of logs, and state are kept.
//!
//! Two traits: [`RecordStore`] (append, query, roll-ups, retention) and [`StateStore`] (everything
//! that is updated). [`Embedded`] implements both with SQLite as catalogue and hot tail and Parquet
//! segments for everything older; `docs/design/store.md` describes its files. Synchronous: callers
//! on an async runtime wrap calls in `spawn_blocking`. Time comes in as an argument.

mod alert;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod embedded;
pub mod query;
mod record;
mod state;

pub use alert::{
    Accompaniment, AlertAccess, AlertFilter, AlertGrouping, AlertPage, AlertQuery, AlertSort,
    AlertStore, AlertTop, AlertTrendPoint, AlertsWritten, Alone, Companion, ContainerSelection,
    Occurrence, OwnedStateChange,
};
pub use embedded::{Embedded, FileSink, FileSystem, OpenError, Options, OsFiles};
pub use record::{
    Appended, ContainerActivity, Cursor, EventPage, EventQuery, Facet, FacetQuery, FacetValue,
    Facets, Histogram, HistogramBucket, HistogramQuery, Kinds, LogRetention, LogStatistics,
    Maintenance, Order, PageCursor, QueryError, RecordStore, Retention, RuleActivity, SourceCursor,
    StoreError, StoreStatistics, TimeRange,
};
pub use state::{KeyRange, StateChange, StateStore};
