//! Source addresses and source ports: who owns which 4-tuple, and the next one in O(1).
//!
//! A connection is (source address, source port, target address, target port). One source address
//! has about 28,000 ports towards one target, and whoever closes first keeps each of them in
//! TIME_WAIT for 60 s. Left to itself, `connect()` searches for a free port among them, one by
//! one, until it gives up with EADDRNOTAVAIL. With the port chosen here (SO_REUSEADDR and bind
//! before connect) there is no search, and the kernel takes a 4-tuple in TIME_WAIT over at once,
//! as long as TCP timestamps are on.
//!
//! A port that was bound explicitly, also one in TIME_WAIT, is one that the kernel never chooses by
//! itself, for anybody on the box and towards any target. Rotation through the whole range would
//! leave other programs without a port for a minute. `connect()` first looks at the ports with the
//! parity of the range's lower end (the even ones, by default), so the rotation takes the others,
//! and half of the range is far more than it needs. Who notices is a program that binds port 0,
//! which looks at the other half first (it finds an even port a little later), or a certain odd
//! port without SO_REUSEADDR.
//!
//! The socket option IP_LOCAL_PORT_RANGE, which steers the kernel's own choice, is deliberately not
//! used. Not for a given range: the kernel does not choose a port in TIME_WAIT that was bound
//! explicitly before, so after a run in rotation it would find the range full for a minute. Nor
//! for many held connections: rotation needs no search at all, on every kernel; and who asks for
//! the kernel's choice is to see what the kernel does.
//!
//! ```text
//!   all pairs      (40000, a) (40000, b) (40001, a) (40001, b) (40002, a) ...
//!   worker 0 of 2      ^                     ^                     ^
//!   worker 1 of 2                 ^                     ^
//! ```

mod addresses;
mod rotation;

use crate::engine::driver::SocketOption;
use crate::engine::policy::{CloseMode, Policy};
use crate::kernel::sysctl;
use crate::words::UsageError;
use addresses::same_family;
pub use addresses::{SourceList, route_source, towards};
pub use rotation::Rotation;
use std::io::ErrorKind::PermissionDenied;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What was asked for with `--source-ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// What is best for the plan.
    Auto,
    /// The kernel's own choice, whatever comes of it.
    Kernel,
    /// Only these.
    Within(RangeInclusive<u16>),
}

/// Who chooses the source port of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The kernel, when it connects.
    Kernel,
    /// Each worker, in turn, among the pairs of port and address that are its own.
    Rotation,
    /// Nobody: a unix socket has none.
    None,
}

impl Method {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Kernel => "kernel",
            Method::Rotation => "rotation",
            Method::None => "none",
        }
    }
}

/// What this box lets us choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpace {
    /// `net.ipv4.ip_local_port_range`.
    pub local_range: RangeInclusive<u16>,
    /// `net.ipv4.ip_local_reserved_ports`.
    pub reserved: Vec<RangeInclusive<u16>>,
    /// The first port that anybody may bind; below it a privilege is needed, and 0 means that this
    /// process has it.
    pub first_unprivileged: u16,
}

impl PortSpace {
    /// Asks the kernel.
    pub fn detect() -> PortSpace {
        let unprivileged = sysctl::number("net.ipv4.ip_unprivileged_port_start");
        // Asks for the privilege itself: root may lack it, and others may have it.
        let privileged = UdpSocket::bind((Ipv4Addr::LOCALHOST, 1));
        let privileged = !privileged.is_err_and(|error| error.kind() == PermissionDenied);
        PortSpace {
            local_range: sysctl::local_port_range(),
            reserved: sysctl::reserved_ports(),
            first_unprivileged: if privileged { 0 } else { unprivileged.unwrap_or(1024) as u16 },
        }
    }
}

/// Who connects from where: the decision for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Who chooses.
    pub method: Method,
    /// Why, as the end of a sentence.
    pub why: &'static str,
    /// Whether the range was named (`--source-ports LOW-HIGH`); else it is the kernel's.
    pub named: bool,
    /// The range from which ports are chosen.
    pub range: RangeInclusive<u16>,
    /// The ports of that range to choose from: neither reserved nor left to others.
    pub usable: Arc<[u16]>,
    /// How many of them are left to other programs.
    pub left_to_others: u32,
    /// How many are left out because they are reserved, or the target's own.
    pub reserved: u32,
    /// The source addresses that were asked for; none for the one that the route has.
    pub given: Vec<IpAddr>,
    /// The source addresses towards each of the target's addresses. Empty for an address that
    /// there is no route to.
    pub sources: Vec<Vec<IpAddr>>,
}

impl Ports {
    /// The kernel chooses everything.
    pub fn kernel(targets: usize) -> Ports {
        Ports {
            method: Method::Kernel,
            why: "as asked",
            named: false,
            range: 1..=u16::MAX,
            usable: Arc::new([]),
            left_to_others: 0,
            reserved: 0,
            given: Vec::new(),
            sources: vec![Vec::new(); targets],
        }
    }

    /// A unix socket has no ports.
    pub fn none() -> Ports {
        Ports {
            method: Method::None,
            why: "as a unix socket has none",
            range: 0..=0,
            ..Ports::kernel(1)
        }
    }

    /// Decides for a plan.
    ///
    /// # Errors
    /// A range without a port that can be used.
    pub fn decide(
        choice: &PortChoice,
        given: Vec<IpAddr>,
        targets: &[SocketAddr],
        policy: &Policy,
        connections: u32,
        space: &PortSpace,
    ) -> Result<Ports, UsageError> {
        let sources: Vec<Vec<IpAddr>> = targets
            .iter()
            .map(|target| match given.is_empty() {
                true => route_source(*target).into_iter().collect(),
                false => given.iter().copied().filter(|ip| same_family(*ip, *target)).collect(),
            })
            .collect();
        let range = match choice {
            PortChoice::Within(range) => range.clone(),
            _ => space.local_range.clone(),
        };
        // From the target's own address and port a connection would connect to itself.
        let own = |port: u16| {
            targets.iter().zip(&sources).any(|(target, from)| {
                let here = from.contains(&target.ip()) || target.ip().is_unspecified();
                target.port() == port && here
            })
        };
        let reserved = |port: u16| space.reserved.iter().any(|range| range.contains(&port));
        let all: Arc<[u16]> = range.clone().filter(|&port| !reserved(port) && !own(port)).collect();
        if let PortChoice::Within(range) = choice {
            check_range(range, &all, space)?;
        }
        let fewest = sources.iter().map(Vec::len).filter(|&n| n > 0).min().unwrap_or(1);
        let (method, why) = method(choice, policy, connections, all.len() * fewest);
        let usable = match (method, choice) {
            (Method::Rotation, PortChoice::Auto) => polite(&all, &range, connections, fewest),
            _ => all.clone(),
        };
        Ok(Ports {
            method,
            why,
            named: matches!(choice, PortChoice::Within(_)),
            left_to_others: (all.len() - usable.len()) as u32,
            reserved: (range.clone().count() - all.len()) as u32,
            range,
            usable,
            given,
            sources,
        })
    }

    /// What has to be set on every socket for it.
    pub fn socket_options(&self) -> Vec<SocketOption> {
        match self.method {
            // A port may be bound again while an earlier connection of it is in TIME_WAIT.
            Method::Rotation => {
                vec![SocketOption::int(libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)]
            }
            // Binding an address would reserve a port against every target; with this option the
            // port is chosen by connect, for this target only.
            Method::Kernel if !self.given.is_empty() => {
                vec![SocketOption::int(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)]
            }
            Method::Kernel | Method::None => Vec::new(),
        }
    }

    /// How many connections to the target's address number `address` can exist at a time; with the
    /// kernel's choice, at most as many.
    pub fn pairs(&self, address: usize) -> u64 {
        let sources = self.sources.get(address).map_or(1, |sources| sources.len().max(1));
        self.usable.len() as u64 * sources as u64
    }

    /// The pairs of one of `workers` workers.
    pub fn rotation(&self, worker: usize, workers: usize) -> Rotation {
        let sources = match (self.method, self.given.is_empty()) {
            (Method::None, _) | (Method::Kernel, true) => Vec::new(),
            _ => self.sources.clone(),
        };
        let ports = match self.method {
            Method::Rotation => self.usable.clone(),
            Method::Kernel | Method::None => Arc::new([]) as Arc<[u16]>,
        };
        Rotation::new(ports, sources, worker, workers)
    }
}

/// Who is to choose, and why.
fn method(
    choice: &PortChoice,
    policy: &Policy,
    connections: u32,
    pairs: usize,
) -> (Method, &'static str) {
    let churn = policy.requests_per_connection.is_some();
    let owns_time_wait = churn && policy.close == CloseMode::Client;
    // The kernel searches the odd half of the ports only when the even half is taken.
    let many = connections as usize * 2 > pairs;
    match choice {
        PortChoice::Kernel => (Method::Kernel, "as asked"),
        PortChoice::Within(_) => (Method::Rotation, "as asked"),
        PortChoice::Auto if owns_time_wait => (Method::Rotation, "as this side keeps TIME_WAIT"),
        PortChoice::Auto if many => {
            (Method::Rotation, "as the kernel would search long among so many")
        }
        PortChoice::Auto => (
            Method::Kernel,
            match policy.close {
                CloseMode::Rst => "as a reset leaves no TIME_WAIT",
                _ if !churn => "as connections are kept",
                _ => "as the server keeps TIME_WAIT",
            },
        ),
    }
}

/// The ports that `connect()` of other programs looks at last; all of them when the plan needs more.
fn polite(
    all: &Arc<[u16]>,
    range: &RangeInclusive<u16>,
    connections: u32,
    addresses: usize,
) -> Arc<[u16]> {
    /// A port comes round again after so many times the connections that exist at a time: by then
    /// its last one has closed.
    const ROOM: usize = 4;
    let half: Arc<[u16]> =
        all.iter().copied().filter(|port| port % 2 != range.start() % 2).collect();
    match half.len() * addresses >= connections as usize * ROOM {
        true => half,
        false => all.clone(),
    }
}

fn check_range(
    range: &RangeInclusive<u16>,
    usable: &[u16],
    space: &PortSpace,
) -> Result<(), UsageError> {
    let refuse = |why: &str| {
        Err(UsageError(format!("--source-ports {}-{}: {why}", range.start(), range.end())))
    };
    if usable.is_empty() {
        return refuse(
            "every port of it is reserved (sysctl net.ipv4.ip_local_reserved_ports) or the \
             target's own; give another range",
        );
    }
    if *range.start() < space.first_unprivileged {
        return refuse(&format!(
            "ports below {0} need a privilege (CAP_NET_BIND_SERVICE); give a range from {0} on",
            space.first_unprivileged
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
