//! The sockets that the kernel holds: which side owns the TIME_WAITs, and how full a listener is.
//!
//! ```text
//!   client  10.0.0.1:40001  ──────►  10.0.0.2:80  server
//!           the side that closes first keeps the connection for a minute:
//!   local = 10.0.0.1:40001, remote = 10.0.0.2:80     the client's: a source port is not free
//!   local = 10.0.0.2:80,    remote = 10.0.0.1:40001  the server's: memory, no more
//! ```
//!
//! Only sockets of this network namespace are seen: a server on another machine, or in a container
//! of its own, has its TIME_WAITs and its listener there.

use super::diag::{self, SocketEnd, SocketRow, SocketState};
use super::{counters, sysctl};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::ControlFlow;

/// With fewer sockets in TIME_WAIT than this, the kernel lists all of them at once.
const MANY: u64 = 2_000;

/// How many of many are looked at for the group that most of them belong to: the order is that of a
/// hash table.
const SAMPLE: u64 = 64;

/// How many destinations that were not asked for are named.
const STRANGERS_MAX: usize = 8;

/// Which side of its connection a socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The side that connected: its source port is taken, for this destination.
    Client,
    /// The side that was connected to.
    Server,
    /// Unknown: a socket does not remember which side connected.
    Unknown,
}

/// The TIME_WAIT sockets of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeWaitGroup {
    /// The service: the address that the client connects to.
    pub destination: SocketAddr,
    /// Whose side they are on.
    pub owner: Owner,
    pub count: u64,
}

/// The TIME_WAIT sockets of this network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeWait {
    /// Largest first: all groups of the targets that have any, and the largest few others.
    pub by_destination: Vec<TimeWaitGroup>,
    /// Those in no group.
    pub others: u64,
}

impl TimeWait {
    /// Those that hold a source port for one of the targets.
    pub fn client_owned(&self) -> u64 {
        self.owned_by(Owner::Client)
    }

    /// Those that the targets themselves hold, where these are in this namespace.
    pub fn server_owned(&self) -> u64 {
        self.owned_by(Owner::Server)
    }

    pub fn total(&self) -> u64 {
        self.by_destination.iter().map(|group| group.count).sum::<u64>() + self.others
    }

    fn owned_by(&self, owner: Owner) -> u64 {
        let groups = self.by_destination.iter().filter(|group| group.owner == owner);
        groups.map(|group| group.count).sum()
    }
}

/// Which side owns the TIME_WAIT sockets.
///
/// A socket whose other end is a target is the client's, one whose own end is a target is the
/// server's. For the rest the end with the lower port passes for the service, which is a guess;
/// whose they are stays [`Owner::Unknown`].
///
/// The kernel walks through its whole table, for before and after a run. To list a socket costs it
/// several times what passing it over does: where there are many, and most of a sample are on one
/// side of one target, as a run leaves them, the kernel lists all but those, and the sum that it has
/// of all says how many they are. (That sum has sockets whose peer has not closed yet, too.) During a
/// run, `counters::time_wait` has the sum for nothing.
///
/// # Errors
/// Where sock_diag is not to be had: a kernel without `tcp_diag`, a filter on system calls.
pub fn time_wait(targets: &[SocketAddr]) -> io::Result<TimeWait> {
    let known = Targets(targets.iter().map(|&target| as_seen(target)).collect());
    let many = counters::time_wait().is_some_and(|all| all >= MANY);
    let mut tallied = known.tally(None, if many { SAMPLE } else { u64::MAX })?;
    if many && tallied.listed >= SAMPLE {
        let most = tallied.most();
        tallied = known.tally(most, u64::MAX)?;
        if let Some((number, owner)) = most {
            let all = counters::time_wait().unwrap_or(0);
            *tallied.of(number, owner) += all.saturating_sub(tallied.listed);
        }
    }
    let mut counts = tallied.strangers;
    for (&target, [client, server]) in targets.iter().zip(tallied.targets) {
        for (owner, count) in [(Owner::Client, client), (Owner::Server, server)] {
            if count > 0 {
                *counts.entry((target, owner)).or_default() += count;
            }
        }
    }
    Ok(largest(counts))
}

/// The targets, in the form that sockets have them in: a few. There may be very many sockets, so
/// they are compared with each, ports first, and only strangers go through a hash.
struct Targets(Vec<SocketAddr>);

/// Where a socket belongs.
#[derive(Debug, PartialEq, Eq)]
enum Group {
    /// To the target of this number.
    Target { number: usize, owner: Owner },
    /// To this service, as far as one can guess.
    Stranger(SocketAddr),
}

impl Targets {
    /// Lists up to this many sockets, except those `without`.
    fn tally(&self, without: Option<(usize, Owner)>, most: u64) -> io::Result<Tallied> {
        let without = without.map(|(number, owner)| {
            let end = if owner == Owner::Client { SocketEnd::Remote } else { SocketEnd::Local };
            (end, self.0[number])
        });
        diag::dump(SocketState::TimeWait, without, |tally: &mut Tallied, row| {
            match self.group_of(&row) {
                Group::Target { number, owner } => *tally.of(number, owner) += 1,
                Group::Stranger(service) => {
                    *tally.strangers.entry((service, Owner::Unknown)).or_default() += 1;
                }
            }
            tally.listed += 1;
            if tally.listed < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    }

    fn group_of(&self, row: &SocketRow) -> Group {
        let number = |end: SocketAddr| {
            self.0.iter().position(|own| own.port() == end.port() && own.ip() == end.ip())
        };
        if let Some(number) = number(row.remote) {
            Group::Target { number, owner: Owner::Client }
        } else if let Some(number) = number(row.local) {
            Group::Target { number, owner: Owner::Server }
        } else if row.local.port() < row.remote.port() {
            Group::Stranger(row.local)
        } else {
            Group::Stranger(row.remote)
        }
    }
}

type Counts = HashMap<(SocketAddr, Owner), u64>;

/// What a dump has shown up to now.
#[derive(Default)]
struct Tallied {
    /// For each target what the clients hold, and what it holds itself.
    targets: Vec<[u64; 2]>,
    strangers: Counts,
    listed: u64,
}

impl Tallied {
    /// What one side of a target holds.
    fn of(&mut self, number: usize, owner: Owner) -> &mut u64 {
        if self.targets.len() <= number {
            self.targets.resize(number + 1, [0; 2]);
        }
        &mut self.targets[number][usize::from(owner == Owner::Server)]
    }

    /// The side of a target that most of them are on, if there is one.
    fn most(&self) -> Option<(usize, Owner)> {
        let sides = self.targets.iter().enumerate().flat_map(|(number, &[client, server])| {
            [((number, Owner::Client), client), ((number, Owner::Server), server)]
        });
        sides.into_iter().find(|&(_, count)| 2 * count > self.listed).map(|(side, _)| side)
    }
}

fn largest(counts: Counts) -> TimeWait {
    let group = |((destination, owner), count)| TimeWaitGroup { destination, owner, count };
    let mut groups: Vec<TimeWaitGroup> = counts.into_iter().map(group).collect();
    // Equal ones by address, so that two reports can be compared.
    groups.sort_unstable_by(|a, b| {
        b.count.cmp(&a.count).then_with(|| (a.destination, a.owner).cmp(&(b.destination, b.owner)))
    });
    let (mut strangers, mut others) = (0, 0);
    groups.retain(|group| {
        strangers += usize::from(group.owner == Owner::Unknown);
        let kept = group.owner != Owner::Unknown || strangers <= STRANGERS_MAX;
        others += if kept { 0 } else { group.count };
        kept
    });
    TimeWait { by_destination: groups, others }
}

/// What listens on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    /// How many connections may wait to be accepted; of several listeners, the smallest.
    ///
    /// The kernel takes one more than that.
    pub backlog: u32,
    /// How many wait now; of several listeners, all.
    pub queued: u32,
    /// How many listeners share the address (`SO_REUSEPORT`).
    pub count: u32,
}

/// What would accept connections to this address; `None` if nothing in this network namespace does,
/// or if the address is another machine's.
///
/// As for the kernel, a listener on the very address comes before one on all addresses, and among
/// these one of IPv4 before one of IPv6 that takes IPv4 too.
///
/// # Errors
/// Where sock_diag is not to be had: a kernel without `tcp_diag`, a filter on system calls.
pub(crate) fn listener(address: SocketAddr) -> io::Result<Option<Listener>> {
    Ok(choose(&listening(address)?, address))
}

/// The numbers of the sockets that [`listener`] reports: `SO_REUSEPORT` allows for several.
///
/// # Errors
/// As [`listener`].
pub(crate) fn listener_inodes(address: SocketAddr) -> io::Result<Vec<u32>> {
    let rows = listening(address)?;
    Ok(fitting(&rows, address).map(|row| row.inode).collect())
}

/// The sockets that listen on this port, if the address is here.
fn listening(address: SocketAddr) -> io::Result<Vec<SocketRow>> {
    if !is_local(address) {
        return Ok(Vec::new());
    }
    diag::dump(SocketState::Listen, None, |rows: &mut Vec<SocketRow>, row| {
        if row.local.port() == address.port() {
            rows.push(row);
        }
        ControlFlow::Continue(())
    })
}

fn choose(rows: &[SocketRow], address: SocketAddr) -> Option<Listener> {
    fitting(rows, address)
        .map(|row| Listener { backlog: row.backlog, queued: row.queued, count: 1 })
        .reduce(|sum, one| Listener {
            backlog: sum.backlog.min(one.backlog),
            queued: sum.queued.saturating_add(one.queued),
            count: sum.count + 1,
        })
}

/// Those that the kernel would ask.
fn fitting(rows: &[SocketRow], address: SocketAddr) -> impl Iterator<Item = &SocketRow> {
    let wanted = as_seen(address);
    let scope = match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    // How well a listener fits; the best alone are asked by the kernel.
    let rank = move |row: &SocketRow| {
        let other_link = row.interface != 0 && scope != 0 && row.interface != scope;
        if row.local.port() != wanted.port() || other_link {
            return None;
        }
        match (row.local.ip(), wanted.ip()) {
            (own, wanted) if own == wanted => Some(3),
            (IpAddr::V4(own), IpAddr::V4(_)) if own.is_unspecified() => Some(2),
            (IpAddr::V6(own), IpAddr::V6(_)) if own.is_unspecified() => Some(2),
            (IpAddr::V6(own), IpAddr::V4(_)) if own.is_unspecified() && !row.only_v6 => Some(1),
            _ => None,
        }
    };
    let best = rows.iter().filter_map(rank).max();
    rows.iter().filter(move |row| best.is_some() && rank(row) == best)
}

/// An address in the form that a connection to it has: an IPv4 address inside an IPv6 one is an
/// IPv4 address, a connection to no address in particular goes to loopback, and the scope is the
/// interface's business.
fn as_seen(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether packets to this address stay here. Nothing is sent to find out.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    let seen = as_seen(address);
    let (any, foreign_too): (IpAddr, _) = match seen.ip() {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), "net.ipv4.ip_nonlocal_bind"),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), "net.ipv6.ip_nonlocal_bind"),
    };
    // An address of one link means nothing without its scope.
    let mut own = match address {
        SocketAddr::V6(scoped) if scoped.scope_id() != 0 => address,
        _ => seen,
    };
    // Towards an own address, that address is the source as well. The port does not matter.
    let is_own_source = || {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(own).ok()?;
        Some(socket.local_addr().ok()?.ip() == seen.ip())
    };
    if seen.ip().is_loopback() || is_own_source() == Some(true) {
        return true;
    }
    // A whole network routed to loopback has another source, but lets itself be bound to.
    own.set_port(0);
    sysctl::number(foreign_too) != Some(1) && UdpSocket::bind(own).is_ok()
}

#[cfg(test)]
mod tests;
