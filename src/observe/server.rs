//! Which process is the server: the bundled one, the one that was named, or the one that listens on
//! the target's port.

use super::search::ServerFound;
use super::{Description, Usage};
use crate::kernel::process::{Depth, ProcessGroup};
use crate::kernel::threads::Threads;
use crate::kernel::{self, Address, holders};
use crate::words::UsageError;
use std::io;

/// How the names of the bundled server's threads start.
const BUNDLED_THREAD: &str = "bench-server-";

/// Programs that listen for a server that is somewhere else: what they use is not what it uses.
const FORWARDERS: [&str; 2] = ["docker-proxy", "rootlessport"];

/// The server, as far as it can be watched.
#[derive(Debug)]
pub(crate) struct WatchedServer {
    source: Source,
    description: Description,
}

#[derive(Debug)]
enum Source {
    /// Threads of this process.
    Bundled(Threads),
    /// Processes of their own.
    Group(ProcessGroup),
}

impl WatchedServer {
    /// The bundled server, which runs by now; `None` where the kernel does not show threads.
    pub(crate) fn bundled() -> Option<WatchedServer> {
        let threads = Threads::named(BUNDLED_THREAD)?;
        let description = Description {
            pid: std::process::id(),
            name: "bench-server".into(),
            found_by: "bundled",
            cpus: threads.cpus(),
        };
        Some(WatchedServer { source: Source::Bundled(threads), description })
    }

    /// The process that was asked for, and its children.
    ///
    /// # Errors
    /// There is none, or it is this one.
    pub(crate) fn asked(pid: u32) -> Result<WatchedServer, UsageError> {
        let refuse = |why: &str| Err(UsageError(format!("--watch-pid {pid}: {why}")));
        if pid == std::process::id() {
            return refuse("that is ringshot itself; give the PID of the server's process");
        }
        match ProcessGroup::of_pid(pid) {
            Some(group) => Ok(WatchedServer::group(group, "--watch-pid")),
            None => refuse(
                "there is no such process here; `pgrep -a NAME` or, as root, `ss -ltnp` shows the \
                 server's",
            ),
        }
    }

    /// The process that listens where the load goes, searched for as long as `goes_on` says so.
    /// `None` if no process here does, or if it is hidden: another user's process from anyone but
    /// root, or one outside of this container.
    pub(super) fn listening(targets: &[Address], goes_on: impl Fn() -> bool) -> ServerFound {
        // A kernel that does not list its sockets has not said that no process listens.
        let inodes: io::Result<Vec<_>> = targets.iter().map(kernel::listener_inodes).collect();
        let Ok(inodes) = inodes else { return ServerFound::default() };
        let holders = holders::of_sockets(&inodes.concat(), goes_on);
        if !holders.complete {
            return ServerFound::default();
        }
        let group = ProcessGroup::of_pids(&holders.pids);
        let server = group.filter(|group| !FORWARDERS.contains(&group.name()));
        let server = server.map(|group| WatchedServer::group(group, "listener"));
        ServerFound { server, complete: true }
    }

    fn group(group: ProcessGroup, found_by: &'static str) -> WatchedServer {
        let description = Description {
            pid: group.pid(),
            name: group.name().to_owned(),
            found_by,
            cpus: group.cpus(),
        };
        WatchedServer { source: Source::Group(group), description }
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    /// What it has used; `None` when it has ended.
    pub(super) fn usage(&self, depth: Depth) -> Option<Usage> {
        match &self.source {
            Source::Bundled(threads) => threads.usage(depth),
            Source::Group(group) => group.usage(depth),
        }
    }
}
