//! The current set of containers and images, and who runs what.
//!
//! The engine's list first, then its stream of events; containers that are gone stay known for a
//! while and over restarts, so that events of theirs that come late still resolve. Publishes a
//! [`qw_pipeline::ContainerIndex`] after every change. Works without an engine: it then knows what
//! it knew before, and tries again.

mod container;
mod image;
mod inventory;
mod watch;

pub use container::{Container, Mount, Network, Port, REMOVED, UNKNOWN};
pub use image::{Image, ImageReference};
pub use inventory::{Inventory, Options, Status};
