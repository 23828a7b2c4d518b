//! What this kernel's ring can do, found by trying it, never by reading a version.
//!
//! | tier | since | descriptors | what is in the ring |
//! |---|---|---|---|
//! | `direct` | 6.13 | direct | socket, options, bind and connect together; send, receive, close |
//! | `plain` | 6.1 | plain | socket, connect, send, receive, close; options from 6.7 on, bind from 6.11 on |
//! | `basic` | 5.15 | plain | connect, send, receive, close; the socket is made by socket(2) |
//!
//! From `plain` on, slots share their receive buffers where that works, too.

#![allow(unsafe_code)]

use super::memory::{BufferRing, GROUP, ReceiveBuffers, Target};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A set of ring features that the driver knows how to use together, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The first useful ring.
    Basic,
    /// Deferred task work, which is the largest single gain, and sockets made in the ring.
    Plain,
    /// Direct descriptors, and the whole of opening a connection in one chain.
    Direct,
}

impl Tier {
    /// The word used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Basic => "basic",
            Tier::Plain => "plain",
            Tier::Direct => "direct",
        }
    }
}

/// What the trial found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// How the driver works.
    pub tier: Tier,
    /// `setsockopt` works in the ring (6.7).
    pub options_in_ring: bool,
    /// `bind` works in the ring (6.11).
    pub bind_in_ring: bool,
    /// A wait can ask for several completions and settle for one after a while (6.12).
    pub minimum_wait: bool,
    /// A receive takes its buffer, from a ring that all slots share, when bytes have come (5.19).
    pub buffer_ring: bool,
}

impl Features {
    /// These with plain descriptors: a unix socket is connected by connect(2), which takes no direct
    /// ones.
    pub fn for_unix_sockets(self) -> Features {
        Features { tier: self.tier.min(Tier::Plain), ..self }
    }

    /// Those of the newest kernels.
    #[cfg(test)]
    pub(crate) fn best() -> Features {
        Features {
            tier: Tier::Direct,
            options_in_ring: true,
            bind_in_ring: true,
            minimum_wait: true,
            buffer_ring: true,
        }
    }
}

/// Why there is no ring, and what would help.
#[derive(Debug)]
pub struct Unavailable {
    what: String,
    cure: String,
}

impl Unavailable {
    /// What is in the way.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What helps.
    pub fn cure(&self) -> &str {
        &self.cure
    }
}

/// As an error, for who insists on the ring.
impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unavailable { what, cure } = self;
        write!(
            f,
            "io_uring cannot be used: {what}\n  cure: {cure}\n  or go without it: --engine epoll"
        )
    }
}

impl std::error::Error for Unavailable {}

/// Finds the best tier up to `ceiling` by setting up small rings and using them.
///
/// # Errors
/// When not even [`Tier::Basic`] works: the reason, and the setting that is in the way.
pub fn probe(ceiling: Tier) -> Result<Features, Unavailable> {
    for tier in [Tier::Direct, Tier::Plain] {
        if tier > ceiling {
            continue;
        }
        if let Ok(features) = try_tier(tier) {
            return Ok(features);
        }
    }
    try_tier(Tier::Basic).map_err(|error| explain(&error))
}

/// Sets up a ring with the flags of a tier.
///
/// # Errors
/// The answer of `io_uring_setup(2)`.
pub fn build(tier: Tier, submissions: u32, completions: u32) -> io::Result<IoUring> {
    let configured = |no_array: bool| {
        let mut builder = IoUring::builder();
        // Sizes beyond the kernel's limits are cut instead of refused.
        builder.setup_cqsize(completions).setup_clamp();
        if tier >= Tier::Plain {
            builder
                // One thread submits: the kernel drops the locks for more (6.0).
                .setup_single_issuer()
                // Completions run when we ask for them and in one go, not by interrupting
                // whatever this thread is doing (6.1). Without it a ring loses to epoll.
                .setup_defer_taskrun()
                // Says in shared memory that completions wait to be run, so that a submit that
                // wants none still runs them (5.19).
                .setup_taskrun_flag()
                // One refused entry does not hold up the rest of the batch (5.18).
                .setup_submit_all();
        }
        if no_array {
            // Saves an indirection per entry (6.6).
            builder.setup_no_sqarray();
        }
        builder.build(submissions)
    };
    if tier >= Tier::Plain
        && let Ok(ring) = configured(true)
    {
        return Ok(ring);
    }
    configured(false)
}

fn try_tier(tier: Tier) -> io::Result<Features> {
    let mut ring = build(tier, 8, 16)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let mut needed = vec![
        opcode::Connect::CODE,
        opcode::Send::CODE,
        opcode::Recv::CODE,
        opcode::Close::CODE,
        opcode::AsyncCancel::CODE,
    ];
    if tier >= Tier::Plain {
        needed.push(opcode::Socket::CODE);
    }
    let skips = ring.params().is_feature_skip_cqe_on_success();
    let complete = needed.iter().all(|&code| probe.is_supported(code))
        && ring.params().is_feature_nodrop()
        && ring.params().is_feature_submit_stable()
        && ring.params().is_feature_ext_arg()
        && (skips || tier == Tier::Basic);
    let options_in_ring = tier >= Tier::Plain && options_work_in_ring(&mut ring);
    // A direct descriptor can be bound in the ring or not at all.
    let bind_in_ring = tier >= Tier::Plain && probe.is_supported(opcode::Bind::CODE);
    let direct_ready =
        || options_in_ring && bind_in_ring && direct_files_are_released_at_once().unwrap_or(false);
    if !complete || (tier == Tier::Direct && !direct_ready()) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    let minimum_wait = tier >= Tier::Plain && ring.params().is_feature_min_timeout();
    let buffer_ring = tier >= Tier::Plain && buffers_can_be_shared().unwrap_or(false);
    Ok(Features { tier, options_in_ring, bind_in_ring, minimum_wait, buffer_ring })
}

/// Sets an option of a real socket through the ring: the operation is a sub-command that the
/// kernel's probe does not list.
fn options_work_in_ring(ring: &mut IoUring) -> bool {
    let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) else { return false };
    static ON: libc::c_int = 1;
    let entry = opcode::SetSockOpt::new(
        types::Fd(listener.as_raw_fd()),
        libc::IPPROTO_TCP as u32,
        libc::TCP_NODELAY as u32,
        (&raw const ON).cast(),
        size_of::<libc::c_int>() as u32,
    )
    .build();
    run_one(ring, &entry).is_ok_and(|done| done.result() == 0)
}

/// Receives a byte into a shared buffer.
fn buffers_can_be_shared() -> io::Result<bool> {
    let (mut near, far) = UnixStream::pair()?;
    // The byte is there before it is asked for: the kernel writes it during the call or never.
    near.write_all(b"x")?;
    // Declared before the ring, the buffers outlive it.
    let mut buffers;
    let mut ring = build(Tier::Plain, 8, 16)?;
    buffers = ReceiveBuffers::Shared(BufferRing::new(&ring.submitter(), 1, 64)?);
    let Target { start, bytes, flags } = buffers.target(0);
    let receive = opcode::Recv::new(types::Fd(far.as_raw_fd()), start, bytes as u32);
    let done = run_one(&mut ring, &receive.buf_group(GROUP).build().flags(flags))?;
    let buffer = buffers.lend(done.flags());
    Ok(done.result() == 1 && buffers.received(0, buffer, 1) == b"x")
}

/// Submits one entry and returns its completion.
fn run_one(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<cqueue::Entry> {
    // SAFETY: the callers' entries point to statics, and to descriptors and buffers that outlive
    // this call.
    unsafe { ring.submission().push(entry).map_err(io::Error::other)? };
    ring.submit_and_wait(1)?;
    ring.completion().next().ok_or_else(|| io::Error::other("no answer"))
}

/// Below 6.13 a ring frees its direct files in the order in which they were retired, so that one
/// slow request keeps every file that is closed after it open, and its FIN back. Tries just that:
/// one receive pending, another file closed; does the other end see it?
fn direct_files_are_released_at_once() -> io::Result<bool> {
    let (slow, slow_peer) = UnixStream::pair()?;
    let (closed, mut closed_peer) = UnixStream::pair()?;
    closed_peer.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut ring = build(Tier::Direct, 8, 16)?;
    ring.submitter().register_files(&[slow.as_raw_fd(), closed.as_raw_fd()])?;
    drop((slow, closed));
    let mut byte = [0u8; 1];
    let pending = opcode::Recv::new(types::Fixed(0), byte.as_mut_ptr(), 1).build();
    // SAFETY: `byte` outlives the request: from here on nothing returns before it is awaited.
    unsafe { ring.submission().push(&pending).map_err(io::Error::other)? };
    let close = run_one(&mut ring, &opcode::Close::new(types::Fixed(1)).build());
    let released = matches!(closed_peer.read(&mut [0u8; 1]), Ok(0));
    drop(slow_peer);
    while ring.completion().next().is_none() {
        match ring.submit_and_wait(1) {
            Err(error) if error.raw_os_error() != Some(libc::EINTR) => {
                // The kernel may still write to `byte`: better a dead probe than a live pointer.
                std::process::abort();
            }
            _ => {}
        }
    }
    Ok(released && close.is_ok_and(|done| done.result() == 0))
}

/// Turns the answer of `io_uring_setup(2)` into the setting that is behind it.
pub(super) fn explain(error: &io::Error) -> Unavailable {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let disabled = read("/proc/sys/kernel/io_uring_disabled");
    let is_filtered = read("/proc/self/status")
        .lines()
        .any(|line| line.starts_with("Seccomp:") && !line.ends_with('0'));
    reason(error, disabled.trim(), is_filtered)
}

/// What an error means where `kernel.io_uring_disabled` is this (empty: there is no such setting,
/// for want of io_uring or before kernel 6.6), and system calls are filtered or not.
fn reason(error: &io::Error, disabled: &str, is_filtered: bool) -> Unavailable {
    const ALLOW: &str = "start the container with --security-opt seccomp=unconfined, or with a \
                         profile that allows io_uring_setup, io_uring_enter and io_uring_register";
    const NEW_KERNEL: &str = "use a kernel from 5.15 on with CONFIG_IO_URING=y";
    let (what, cure) = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if !["", "0"].contains(&disabled) => (
            format!("kernel.io_uring_disabled is {disabled}"),
            "sysctl -w kernel.io_uring_disabled=0".into(),
        ),
        Some(libc::EPERM | libc::EACCES) if is_filtered => (
            "a seccomp filter forbids it, as the default profiles of container engines do".into(),
            ALLOW.into(),
        ),
        // A kernel with the setting has what is said to be missing.
        Some(libc::ENOSYS) if !disabled.is_empty() => {
            ("a seccomp filter says that this kernel has none, and it has".into(), ALLOW.into())
        }
        Some(libc::ENOSYS) if is_filtered => (
            "this kernel is built without it, or a seccomp filter says so".into(),
            format!("{NEW_KERNEL}; or {ALLOW}"),
        ),
        Some(libc::ENOSYS) => ("this kernel is built without it".into(), NEW_KERNEL.into()),
        Some(libc::ENOMEM) => (
            "there is not enough memory for its rings".into(),
            "more memory for the container or control group, or fewer connections (-c); before \
             kernel 5.12 ulimit -l unlimited"
                .into(),
        ),
        Some(libc::EOPNOTSUPP) => (
            "this kernel lacks an operation that is needed".into(),
            "use a kernel from 5.15 on (6.13 and later are the fastest)".into(),
        ),
        Some(libc::EMFILE | libc::ENFILE) => {
            ("no file descriptor is free".into(), "ulimit -n 65536; sysctl fs.file-max".into())
        }
        _ => (error.to_string(), "see `man io_uring_setup` for this error".into()),
    };
    Unavailable { what, cure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_kept() {
        for ceiling in [Tier::Basic, Tier::Plain, Tier::Direct] {
            let found = probe(ceiling).expect("these tests need io_uring");
            assert!(found.tier <= ceiling, "{found:?} is above {ceiling:?}");
        }
    }

    #[test]
    fn an_errno_is_explained_with_a_cure() {
        let cases = [
            (libc::EPERM, "2", false, "io_uring_disabled is 2", "sysctl -w"),
            (libc::EPERM, "1", true, "io_uring_disabled is 1", "sysctl -w"),
            (libc::EPERM, "0", true, "seccomp filter forbids", "seccomp=unconfined"),
            (libc::EPERM, "", true, "seccomp filter forbids", "seccomp=unconfined"),
            (libc::EPERM, "0", false, "not permitted", "man io_uring_setup"),
            (libc::ENOSYS, "0", true, "seccomp filter says", "seccomp=unconfined"),
            (libc::ENOSYS, "", true, "built without it, or a seccomp", "CONFIG_IO_URING=y; or"),
            (libc::ENOSYS, "", false, "built without it", "CONFIG_IO_URING"),
            (libc::ENOMEM, "0", false, "memory", "fewer connections"),
            (libc::EMFILE, "0", false, "descriptor", "ulimit -n"),
            (libc::EINVAL, "0", false, "Invalid argument", "man io_uring_setup"),
        ];
        for (errno, disabled, is_filtered, what, cure) in cases {
            let error = io::Error::from_raw_os_error(errno);
            let Unavailable { what: said, cure: advised } = reason(&error, disabled, is_filtered);
            assert!(said.contains(what), "{said}");
            assert!(advised.contains(cure), "{advised}");
        }
    }
}
