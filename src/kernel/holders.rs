//! Which processes hold a socket: who listens on the target's port.
//!
//! ```text
//!   sock_diag    0.0.0.0:80 LISTEN, inode 4711
//!   /proc/812/fd/6 -> socket:[4711]     nginx: master
//!   /proc/813/fd/6 -> socket:[4711]     nginx: worker
//! ```
//!
//! The kernel does not tell a socket's owner, so all descriptors of all processes are looked at,
//! once, before a run. Those of other users are not shown to anybody but root. Measured: 4 ms with
//! 80 processes.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// A box with very many processes is not worth a longer wait before every run.
const PATIENCE: Duration = Duration::from_millis(20);

/// The processes, as far as they can be seen and were found in time, that hold one of these sockets.
pub fn of_sockets(inodes: &[u32]) -> Vec<i32> {
    if inodes.is_empty() {
        return Vec::new();
    }
    let names: Vec<Vec<u8>> =
        inodes.iter().map(|inode| format!("socket:[{inode}]").into_bytes()).collect();
    let own = std::process::id() as i32;
    let mut pids: Vec<i32> = entries("/proc").filter_map(|name| name.parse().ok()).collect();
    // A server under test is among the latest that were started.
    pids.sort_unstable_by(|a, b| b.cmp(a));
    let end = Instant::now() + PATIENCE;
    pids.into_iter()
        .filter(|&pid| pid != own)
        .take_while(|_| Instant::now() < end)
        .filter(|pid| holds(*pid, &names, end))
        .collect()
}

fn holds(pid: i32, names: &[Vec<u8>], end: Instant) -> bool {
    let folder = format!("/proc/{pid}/fd");
    entries(&folder).take_while(|_| Instant::now() < end).any(|descriptor| {
        let link = fs::read_link(format!("{folder}/{descriptor}"));
        link.is_ok_and(|link| names.iter().any(|name| name == link.as_os_str().as_bytes()))
    })
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
        assert_eq!(of_sockets(&inodes), [0; 0], "this process is not looked at");
        let held = Stdio::from(OwnedFd::from(listener));
        let mut child = Command::new("sleep").arg("100").stdin(held).spawn().unwrap();
        // The program has begun when it holds the socket and no other of this process.
        let found = of_sockets(&inodes);
        child.kill().and_then(|()| child.wait()).unwrap();
        assert!(found.contains(&(child.id() as i32)), "{found:?}");
    }

    #[test]
    fn no_socket_is_held_by_nobody() {
        assert_eq!(of_sockets(&[]), [0; 0]);
        assert_eq!(of_sockets(&[u32::MAX]), [0; 0]);
    }
}
