//! What a child process used, as the kernel charges it.
//!
//! The standard library waits for a child with waitpid(2), which has no numbers, and getrusage(2)
//! has only the sum over all children. wait4(2) reports exactly one child's: its own, and those of
//! the children that it has waited for itself.
//!
//! And a child that ends with us, however we end ([`ends_with_this_thread()`]).

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpid, getppid};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// What a child used from its start to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChildUsage {
    /// CPU time in its own code.
    pub cpu_user: Duration,
    /// CPU time in the kernel.
    pub cpu_sys: Duration,
    /// The most memory that was resident: its own, or what its parent had when it was born, as the
    /// kernel carries that number over the exec.
    pub resident_bytes_max: u64,
}

/// Has the kernel kill the child of this command as soon as the thread that starts it has ended:
/// also after a SIGKILL, which leaves no time to clean up. It does not cover what the child starts
/// itself.
#[allow(unsafe_code)]
pub(crate) fn ends_with_this_thread(command: &mut Command) {
    let parent = getpid();
    let bind = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before the kernel was asked.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: it runs between fork and exec, where other threads' locks are held for ever. It makes
    // two system calls and an error from a number: no lock, no memory from the heap.
    unsafe { command.pre_exec(bind) };
}

/// Whether a child has ended. It stays a zombie, so no other process gets its number.
///
/// # Errors
/// When it is no child of ours, or was waited for.
pub(crate) fn has_ended(child: &Child) -> io::Result<bool> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let status = waitid(Id::Pid(Pid::from_raw(child.id() as i32)), flags)?;
    Ok(status != WaitStatus::StillAlive)
}

/// Waits for the end of a child, and returns how it ended and what it used.
///
/// # Errors
/// When it was waited for before.
pub(crate) fn reap(child: Child) -> io::Result<(ExitStatus, ChildUsage)> {
    let (status, usage) = loop {
        match wait4(child.id() as libc::pid_t) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => break done?,
        }
    };
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec.max(0) as u64, time.tv_usec.clamp(0, 999_999) as u32 * 1000)
    };
    let usage = ChildUsage {
        cpu_user: time(usage.ru_utime),
        cpu_sys: time(usage.ru_stime),
        // In KiB, on Linux.
        resident_bytes_max: usage.ru_maxrss.max(0) as u64 * 1024,
    };
    Ok((ExitStatus::from_raw(status), usage))
}

#[allow(unsafe_code)]
fn wait4(pid: libc::pid_t) -> io::Result<(libc::c_int, libc::rusage)> {
    let mut status = 0;
    // SAFETY: an rusage is made of integers alone, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to variables of the right types that live through the call, and the
    // kernel keeps neither. The number is that of a `Child` that the caller owns and gives up, so
    // no other code waits for it and it has not been given to another process.
    let waited = unsafe { libc::wait4(pid, &mut status, 0, &mut usage) };
    match waited {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok((status, usage)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_child_is_known_to_run_until_it_has_ended() {
        let mut child = shell("read line; exit 7");
        assert!(!has_ended(&child).unwrap());
        drop(child.stdin.take());
        while !has_ended(&child).unwrap() {
            std::thread::yield_now();
        }
        assert!(has_ended(&child).unwrap(), "asking does not reap it");
        let (status, _) = reap(child).unwrap();
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let starter = std::thread::spawn(|| {
            let mut command = Command::new("sleep");
            command.arg("3600");
            ends_with_this_thread(&mut command);
            command.spawn().unwrap()
        });
        let (status, _) = reap(starter.join().unwrap()).unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn what_is_told_is_what_that_child_used() {
        let idle = reap(shell("exit 0")).unwrap().1;
        let busy = shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; kill -9 $$");
        let (status, usage) = reap(busy).unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(9)));
        assert!(usage.cpu_user > idle.cpu_user + Duration::from_millis(10), "{usage:?} {idle:?}");
        assert!(usage.resident_bytes_max > 100_000, "{usage:?}");
    }
}
