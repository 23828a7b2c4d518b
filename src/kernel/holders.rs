//! Which processes hold a socket: those that listen on the target's port.
//!
//! ```text
//!   sock_diag    0.0.0.0:80 LISTEN, inode 4711
//!   /proc/812/fd/6 -> socket:[4711]     nginx: master
//!   /proc/813/fd/6 -> socket:[4711]     nginx: worker
//! ```
//!
//! The kernel does not report a socket's owner, so all descriptors of all processes are searched,
//! once. Only root sees those of other users. Measured: 4 ms of CPU time with 80 processes.

use std::fs;
use std::os::unix::ffi::OsStrExt;

/// The processes that hold a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holders {
    /// The processes, as far as they can be seen and were searched.
    pub pids: Vec<i32>,
    /// Whether all processes were searched. If not, the missing ones may be the busy ones.
    pub complete: bool,
}

/// The processes that hold one of these sockets, searched for as long as `goes_on` says so.
pub(crate) fn of_sockets(inodes: &[u32], goes_on: impl Fn() -> bool) -> Holders {
    let mut holders = Holders { pids: Vec::new(), complete: true };
    if inodes.is_empty() {
        return holders;
    }
    let names: Vec<Vec<u8>> =
        inodes.iter().map(|inode| format!("socket:[{inode}]").into_bytes()).collect();
    let own = std::process::id() as i32;
    let mut pids: Vec<i32> = entries("/proc").filter_map(|name| name.parse().ok()).collect();
    // A server under test is among the latest that were started.
    pids.sort_unstable_by(|a, b| b.cmp(a));
    for pid in pids.into_iter().filter(|&pid| pid != own) {
        match holds(pid, &names, &goes_on) {
            Some(true) => holders.pids.push(pid),
            Some(false) => {}
            None => return Holders { complete: false, ..holders },
        }
    }
    holders
}

/// `None` when it did not go on to the last descriptor.
fn holds(pid: i32, names: &[Vec<u8>], goes_on: &impl Fn() -> bool) -> Option<bool> {
    let folder = format!("/proc/{pid}/fd");
    let mut descriptors = entries(&folder);
    loop {
        if !goes_on() {
            return None;
        }
        let Some(descriptor) = descriptors.next() else { return Some(false) };
        let link = fs::read_link(format!("{folder}/{descriptor}"));
        if link.is_ok_and(|link| names.iter().any(|name| name == link.as_os_str().as_bytes())) {
            return Some(true);
        }
    }
}

/// The names in a folder; none when it cannot be read.
fn entries(folder: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::sockets;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    #[test]
    fn a_listener_is_found_in_the_process_that_holds_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inodes = sockets::listener_inodes(listener.local_addr().unwrap()).unwrap();
        assert_eq!(inodes.len(), 1);
        let found = of_sockets(&inodes, || true);
        // A neighbour's child may hold everything until it has become its program.
        let own = std::process::id() as i32;
        assert!(found.complete && !found.pids.contains(&own), "this process is not looked at");
        let held = Stdio::from(OwnedFd::from(listener));
        let mut child = Command::new("sleep").arg("100").stdin(held).spawn().unwrap();
        // The program has begun when it holds the socket and no other of this process.
        let (found, in_no_time) = (of_sockets(&inodes, || true), of_sockets(&inodes, || false));
        child.kill().and_then(|()| child.wait()).unwrap();
        assert!(found.pids.contains(&(child.id() as i32)) && found.complete, "{found:?}");
        assert_eq!(in_no_time, Holders { pids: Vec::new(), complete: false });
    }

    #[test]
    fn no_socket_is_held_by_nobody() {
        let nobody = Holders { pids: Vec::new(), complete: true };
        assert_eq!(of_sockets(&[], || false), nobody);
        assert_eq!(of_sockets(&[u32::MAX], || true), nobody);
    }
}
