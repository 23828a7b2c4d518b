//! What the kernel says about a run: its own counts, the sockets it still holds, its settings.
//!
//! ```text
//!   /proc/net/netstat, snmp, ...  ──►  counters  ──►  what happened between two snapshots
//!   sock_diag over netlink        ──►  sockets   ──►  who owns TIME_WAITs, how full a backlog is
//!                                      unix_sockets   the same of unix sockets, but TIME_WAIT
//!   /proc/sys                     ──►  sysctl    ──►  what is allowed; system: the same, to be changed
//!   /proc/stat, meminfo, net/dev  ──►  machine   ──►  how busy it is
//!   /proc/PID                     ──►  process   ──►  what a server uses; holders: which process it is
//!                                      threads   ──►  the same by thread
//!   /sys/fs/cgroup                ──►  cgroup    ──►  how much it may use, and how often it was stopped
//! ```
//!
//! The kernel counts the connections of the whole network namespace, not only ours: on a machine
//! that does other work, a count is an upper bound of what the run caused, and a sentence made from
//! it has to say so. A few numbers are of the whole machine, whatever the namespace: those of the
//! per-CPU backlog (`Softnet...`), memory, orphans and open files.
//!
//! Nothing here is needed to run. What a kernel or a container does not show is absent, never 0.

mod address;
pub(crate) mod cgroup;
pub(crate) mod child;
pub(crate) mod counters;
mod diag;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod holders;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod sockets;
pub(crate) mod sysctl;
pub(crate) mod system;
pub(crate) mod threads;
pub(crate) mod unix_sockets;

use std::io;
use std::net::SocketAddr;

pub use address::{Address, UnixSocket};
pub(crate) use counters::{Snapshot, SystemCounters};
pub use sockets::Owner;
pub(crate) use sockets::{Listener, TimeWait, TimeWaitGroup, is_local};

/// What the kernel says at one moment: before a run, and after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    /// All that it counts.
    pub counters: Snapshot,
    /// Sockets in TIME_WAIT, by where they lead; `None` if the kernel does not report it.
    pub time_wait: Option<TimeWait>,
    /// All sockets in TIME_WAIT; `None` if the kernel does not report it.
    pub time_wait_count: Option<u64>,
}

impl Moment {
    /// Asks the kernel. It takes about 2 ms, and longer with many thousands of TIME_WAITs.
    pub(crate) fn now(targets: &[SocketAddr]) -> Moment {
        Moment {
            counters: Snapshot::take(),
            time_wait_count: counters::time_wait(),
            time_wait: sockets::time_wait(targets).ok(),
        }
    }
}

/// What would accept connections to this address; `None` when nothing in this network namespace does.
///
/// # Errors
/// Where sock_diag is not to be had.
pub(crate) fn listener(address: &Address) -> io::Result<Option<Listener>> {
    match address {
        Address::Inet(address) => sockets::listener(*address),
        Address::Unix(socket) => unix_sockets::listener(socket),
    }
}

/// The numbers of the sockets that [`listener`] reports.
///
/// # Errors
/// As [`listener`].
pub(crate) fn listener_inodes(address: &Address) -> io::Result<Vec<u32>> {
    match address {
        Address::Inet(address) => sockets::listener_inodes(*address),
        Address::Unix(socket) => unix_sockets::listener_inodes(socket),
    }
}
