//! A small client of the Docker engine API: containers, images, events, log streams.
//!
//! Speaks HTTP/1.1 over the engine's unix socket, TCP, or TLS; negotiates the API version; bounds
//! every answer in size and time. It reads only the fields that are used and ignores the rest, so
//! it also reads engines newer and older than itself. It never changes the engine's state by
//! itself; [`Docker::send`] is there for callers that do.
//!
//! Source: Docker Engine API, versions 1.24 to 1.51.

mod archive;
mod client;
mod endpoint;
mod error;
mod events;
mod logs;
mod model;
mod stats;
mod transport;

pub use archive::{ArchiveStream, PathStat};
pub use client::{ContainerFilter, Docker, Limits, LogsQuery};
pub use endpoint::{Endpoint, TlsFiles};
pub use error::{Error, Result};
pub use events::{EngineEvent, EngineEvents};
pub use logs::{LogDecoder, LogFault, LogFormat, LogPiece, LogStream, StreamKind};
pub use model::{
    ContainerDetails, ContainerState, ContainerSummary, EngineInfo, EngineVersion, HealthState,
    HostConfig, ImageDetails, ImageSummary, Mount, Network, Port,
};
pub use stats::{
    BlkioEntry, BlkioStats, ContainerStats, CpuStats, CpuUsage, InterfaceStats, MemoryStats,
    PidsStats, ThrottlingData,
};
