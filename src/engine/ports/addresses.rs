//! Source addresses: what `--source-ip` names, and what the route would choose.

use crate::words::UsageError;
use ipnet::IpNet;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Each is tried before the start, and more than these are a typing error.
const ADDRESSES_MAX: u128 = 4096;

/// What was asked for with `--source-ip`: addresses, and prefixes of which all that are on the box
/// are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceList(Vec<IpNet>);

impl SourceList {
    /// Reads `ADDRESS[,ADDRESS...]`, each with or without a `/PREFIX`.
    ///
    /// # Errors
    /// The part that is neither an address nor a prefix, or cannot be a source; too many of them.
    pub fn parse(text: &str) -> Result<SourceList, UsageError> {
        let refuse = |part: &str, why: &str| {
            Err(UsageError(format!("--source-ip {}: {why}", part.escape_debug())))
        };
        let mut nets = Vec::new();
        let mut total = 0u128;
        for part in text.split(',').map(str::trim) {
            let net = match (part.parse::<IpAddr>(), part.parse::<IpNet>()) {
                (Ok(ip), _) => IpNet::from(ip),
                (_, Ok(net)) => net.trunc(),
                _ => {
                    return refuse(part, "give addresses such as 10.0.0.2,10.0.0.3 or 10.0.0.0/28");
                }
            };
            let bits = net.max_prefix_len() - net.prefix_len();
            if bits == 0 && net.addr().is_unspecified() {
                return refuse(part, "any address is what you get without this flag; name one");
            }
            if net.addr().is_multicast() {
                return refuse(part, "a multicast address is nobody's; name one of this box");
            }
            // An address of one link is only one together with its interface.
            if matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local()) {
                return refuse(part, "link-local addresses are chosen by the route; leave it out");
            }
            total = total.saturating_add(1u128.checked_shl(bits.into()).unwrap_or(u128::MAX));
            if total > ADDRESSES_MAX {
                let longest = net.max_prefix_len() - ADDRESSES_MAX.ilog2() as u8;
                let why = format!("at most {ADDRESSES_MAX} addresses, which is one /{longest}");
                return refuse(part, &why);
            }
            nets.push(net);
        }
        Ok(SourceList(nets))
    }

    /// The addresses of it that are on this box, each once, in the order given.
    ///
    /// # Errors
    /// An address that is not on this box, or a prefix of which none is.
    pub fn resolve(&self) -> Result<Vec<IpAddr>, UsageError> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for net in &self.0 {
            let here: Vec<IpAddr> = every_address(net).filter(|&ip| is_here(ip)).collect();
            if here.is_empty() {
                let (name, what) = match net.prefix_len() == net.max_prefix_len() {
                    true => (net.addr().to_string(), "not an address of this box"),
                    false => (net.to_string(), "no address of it is on this box"),
                };
                return Err(UsageError(format!(
                    "--source-ip {name}: {what}; `ip -brief address` lists what is there, \
                     `ip address add {} dev DEVICE` adds one",
                    net.addr()
                )));
            }
            found.extend(here.into_iter().filter(|&ip| seen.insert(ip)));
        }
        Ok(found)
    }

    /// As it was typed, more or less.
    pub fn names(&self) -> Vec<String> {
        let name = |net: &IpNet| match net.prefix_len() == net.max_prefix_len() {
            true => net.addr().to_string(),
            false => net.to_string(),
        };
        self.0.iter().map(name).collect()
    }
}

/// All of a prefix: which of them are not for hosts, the kernel knows.
fn every_address(net: &IpNet) -> impl Iterator<Item = IpAddr> {
    let bits = net.max_prefix_len() - net.prefix_len();
    let first = net.network();
    (0..1u128 << bits).map(move |offset| match first {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() + offset as u32).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() + offset).into(),
    })
}

/// Whether an address is one of this box. A datagram socket is bound to it and connected to it: the
/// first fails for a foreign address, the second for a broadcast address, and where foreign ones
/// may be bound (`ip_nonlocal_bind`) for those too. Ports of datagrams are not those of TCP, which
/// may all be in TIME_WAIT.
fn is_here(ip: IpAddr) -> bool {
    /// Discard (RFC 863); nothing is sent to it.
    const ANY_PORT: u16 = 9;
    UdpSocket::bind((ip, 0)).and_then(|socket| socket.connect((ip, ANY_PORT))).is_ok()
}

/// The address that the routing table would send from. No packet leaves: connecting a datagram
/// socket only looks the route up.
pub fn route_source(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

pub(super) fn same_family(ip: IpAddr, target: SocketAddr) -> bool {
    ip.is_ipv4() == target.is_ipv4()
}

/// The addresses of the target that can be reached from the source addresses given: all of them
/// when none is.
///
/// # Errors
/// When target and sources are of different families.
pub fn towards(targets: Vec<SocketAddr>, given: &[IpAddr]) -> Result<Vec<SocketAddr>, UsageError> {
    let reachable = |target: &SocketAddr| given.iter().any(|&ip| same_family(ip, *target));
    if given.is_empty() || targets.iter().all(reachable) {
        return Ok(targets);
    }
    let left: Vec<SocketAddr> = targets.iter().copied().filter(reachable).collect();
    match (left.is_empty(), targets.first(), given.first()) {
        (true, Some(target), Some(ip)) => Err(UsageError(format!(
            "--source-ip {ip}: the target is {}, of the other address family; give an {} address",
            target.ip(),
            if target.is_ipv4() { "IPv4" } else { "IPv6" }
        ))),
        _ => Ok(left),
    }
}
