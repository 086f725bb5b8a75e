//! The spine: what passes between sources, store and everyone who watches.
//!
//! The way of a batch:
//!
//! 1. **A source sends it** through its [`Intake`], which waits while the pipeline is full.
//! 2. **The pipeline numbers it**, so that a repetition can be told from news.
//! 3. **Events are filtered and enriched** with what the [`ContainerIndex`] knows.
//! 4. **Detectors look at them** and say what they notice.
//! 5. **Events that need not be kept** are counted and profiled only; see [`Observe`].
//! 6. **Records that are only forwarded** go into the disk buffer of routes; see [`TransitLog`].
//! 7. **The store commits** events, alerts and the source's position in one transaction.
//! 8. **Observers see what was committed**: metrics, live streams, notices.
//! 9. **The source is told** through its [`Receipt`], and may forget its input.

mod detect;
mod enrich;
mod forward;
mod index;
mod intake;
mod keep;
mod notices;
mod pipeline;
mod profile;
mod source;
mod status;
mod transit;

pub use detect::{Detector, ENGINE_EVENTS, FalcoRules};
pub use enrich::Enrich;
pub use index::{ContainerIndex, SharedContainerIndex};
pub use intake::{Intake, NotAccepted, NotStored, Receipt};
pub use keep::Observe;
pub use notices::{Notice, NoticeLevel, Notices};
pub use pipeline::{Observer, Options, Pipeline, PipelineStatistics};
pub use profile::{
    ProfileDetector, ProfileLearner, ProfileSnapshot, SharedProfiles, SnapshotKind, open_profiles,
    profile_snapshots, save_profile, save_profiles,
};
pub use source::{Source, SourceError};
pub use status::{Reader, SourceSnapshot, SourceState, SourceStatus, SourceStatuses};
pub use tokio_util::sync::CancellationToken;
pub use transit::{FIRST_ID as FIRST_TRANSIT_ID, TransitError, TransitLog, TransitPage};
