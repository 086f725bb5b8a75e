//! What Linux' control groups and network namespaces say a container uses.
//!
//! [`Locator`] finds the groups of a container from the process that the engine started it with,
//! whatever driver and version of control groups the engine uses; [`Reader`] keeps their files open
//! and reads one [`Sample`] after the other from them. The roots of both file systems are
//! arguments: in a container they are mounted elsewhere, and tests bring their own.
//!
//! Reads only, and everything it reads is bounded. It knows no engine and no clock.
//!
//! Sources: the kernel's `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`, `cgroups(7)`,
//! `proc_pid_net(5)`; the working set is that of cAdvisor (`lib/container/libcontainer/handler.go`).

mod devices;
mod locate;
pub mod parse;
mod read;
mod reader;
mod sample;
#[cfg(test)]
mod tests;

pub use devices::DeviceNames;
pub use locate::{Groups, Locator, Roots, Unreadable, Version};
pub use reader::Reader;
pub use sample::{
    Cpu, Device, Interface, Limits, Memory, Sample, Tasks, Traffic, shares_of_weight,
};
