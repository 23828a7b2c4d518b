//! Source addresses: what `--source-ip` names, and what the route would choose.

use crate::plan::UsageError;
use ipnet::IpNet;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// A connection takes one address at a time: more than these are a typing error, and each is tried
/// before the start.
const ADDRESSES_MAX: u128 = 4096;

/// What was asked for with `--source-ip`: addresses, and prefixes of which all that are on the box
/// are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceList(Vec<IpNet>);

impl SourceList {
    /// Reads `ADDRESS[,ADDRESS...]`, each with or without a `/PREFIX`.
    ///
    /// # Errors
    /// The part that is neither an address nor a prefix, or is too large.
    pub fn parse(text: &str) -> Result<SourceList, UsageError> {
        let refuse = |part: &str, why: &str| {
            Err(UsageError(format!("--source-ip {}: {why}", part.escape_debug())))
        };
        let mut nets = Vec::new();
        for part in text.split(',').map(str::trim) {
            let net = match (part.parse::<IpAddr>(), part.parse::<IpNet>()) {
                (Ok(ip), _) => IpNet::from(ip),
                (_, Ok(net)) => net.trunc(),
                _ => {
                    return refuse(part, "give addresses such as 10.0.0.2,10.0.0.3 or 10.0.0.0/28");
                }
            };
            if net.addr().is_unspecified() && net.prefix_len() == net.max_prefix_len() {
                return refuse(part, "any address is what you get without this flag; name one");
            }
            let bits = net.max_prefix_len() - net.prefix_len();
            if 1u128.checked_shl(bits.into()).is_none_or(|size| size > ADDRESSES_MAX) {
                let longest = net.max_prefix_len() - ADDRESSES_MAX.ilog2() as u8;
                return refuse(part, &format!("too many addresses; give /{longest} or longer"));
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
            let before = found.len();
            let mut reason = None;
            let mut all: Vec<IpAddr> = net.hosts().collect();
            if all.is_empty() {
                all.push(net.addr());
            }
            for ip in all {
                match check(ip) {
                    Ok(()) if seen.insert(ip) => found.push(ip),
                    Ok(()) => {}
                    Err(error) => reason = Some(error),
                }
            }
            if let (Some(reason), true) = (reason, found.len() == before) {
                let single = net.prefix_len() == net.max_prefix_len();
                let name = if single { net.addr().to_string() } else { net.to_string() };
                let what = match reason.raw_os_error() {
                    Some(libc::EADDRNOTAVAIL) if single => "not an address of this box".into(),
                    Some(libc::EADDRNOTAVAIL) => "no address of it is on this box".into(),
                    _ => reason.to_string(),
                };
                return Err(UsageError(format!(
                    "--source-ip {name}: {what}; `ip -brief address` lists what is there, \
                     `ip address add {} dev DEVICE` adds one",
                    net.addr()
                )));
            }
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

/// Whether a connection can come from there: asks the kernel, with a port of its choice.
fn check(ip: IpAddr) -> io::Result<()> {
    TcpListener::bind((ip, 0)).map(|_| ())
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
