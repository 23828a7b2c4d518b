//! What the rules want to know of this machine.

use crate::engine::ports::{Method, Ports};
use crate::kernel::cgroup::{CpuQuota, Groups, MemoryLimit};
use crate::kernel::{self, Address, Listener, Snapshot, machine, sysctl};
use socket2::{Domain, Socket, Type};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

/// How many ports of the rotation are tried.
const TRIED_MAX: usize = 64;

/// The machine, as far as it matters to a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HostFacts {
    /// Descriptors that this process may have.
    pub descriptors: u64,
    /// Open files of the whole system, and their limit.
    pub files: Option<(u64, u64)>,
    /// `tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub tw_reuse: u64,
    /// How old a TIME_WAIT must be for that.
    pub tw_reuse_delay_ms: u64,
    pub timestamps: bool,
    /// `somaxconn`: the longest accept queue that a listener can have.
    pub somaxconn: u64,
    /// The target's listener, when it is on this machine.
    pub listener: Option<Listener>,
    pub syncookies: u64,
    pub max_syn_backlog: Option<u64>,
    pub tw_buckets: Option<u64>,
    /// Tracked connections, and how many can be.
    pub conntrack: Option<(u64, u64)>,
    /// Whether this process is root's.
    pub root: bool,
    /// `MemAvailable`.
    pub memory_available_bytes: Option<u64>,
    /// How much CPU time ringshot's control group may use.
    pub cpu_quota: Option<CpuQuota>,
    /// How much memory it may have.
    pub memory_limit: Option<MemoryLimit>,
    /// How many ports of the rotation cannot be bound even with SO_REUSEADDR, and how many were
    /// tried.
    pub ports_held: (u32, u32),
}

impl HostFacts {
    /// Queries the machine. Takes a few milliseconds.
    pub(crate) fn detect(descriptors: u64, targets: &[Address], ports: &Ports) -> HostFacts {
        let (snapshot, groups) = (Snapshot::take(), Groups::own());
        let pair = |count, max| snapshot.gauge(count).zip(snapshot.gauge(max));
        HostFacts {
            descriptors,
            files: pair("FilesOpen", "FilesMax"),
            tw_reuse: sysctl::number("net.ipv4.tcp_tw_reuse").unwrap_or(2),
            // Kernels without the setting have waited for a second.
            tw_reuse_delay_ms: sysctl::number("net.ipv4.tcp_tw_reuse_delay").unwrap_or(1000),
            timestamps: sysctl::number("net.ipv4.tcp_timestamps").unwrap_or(1) != 0,
            somaxconn: sysctl::number("net.core.somaxconn").unwrap_or(4096),
            listener: targets.iter().find_map(|target| kernel::listener(target).ok()?),
            syncookies: sysctl::number("net.ipv4.tcp_syncookies").unwrap_or(1),
            max_syn_backlog: sysctl::number("net.ipv4.tcp_max_syn_backlog"),
            tw_buckets: sysctl::number("net.ipv4.tcp_max_tw_buckets"),
            conntrack: pair("ConntrackCount", "ConntrackMax"),
            root: nix::unistd::geteuid().is_root(),
            memory_available_bytes: machine::memory_available_bytes(),
            cpu_quota: groups.cpu_quota(),
            memory_limit: groups.memory_limit(),
            ports_held: ports_held(ports),
        }
    }
}

/// Tries a few ports of the rotation, evenly spread.
fn ports_held(ports: &Ports) -> (u32, u32) {
    let Some(&ip) = ports.sources.iter().flatten().next() else { return (0, 0) };
    if ports.method != Method::Rotation {
        return (0, 0);
    }
    let step = ports.usable.len().div_ceil(TRIED_MAX).max(1);
    let tried: Vec<u16> = ports.usable.iter().copied().step_by(step).collect();
    let held = tried.iter().filter(|&&port| is_held(ip, port)).count();
    (held as u32, tried.len() as u32)
}

/// Whether a socket that would share the port cannot have it.
fn is_held(ip: IpAddr, port: u16) -> bool {
    let address = SocketAddr::new(ip, port);
    let Ok(socket) = Socket::new(Domain::for_address(address), Type::STREAM, None) else {
        return false;
    };
    let _ = socket.set_reuse_address(true);
    socket.bind(&address.into()).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}
