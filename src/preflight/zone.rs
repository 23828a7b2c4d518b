//! An address that means something on one link only, with the interface that leads there.

use crate::words::Refusal;
use rustix::net::netdevice::{index_to_name, name_to_index};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

/// What `fe80::1%eth0` or `fe80::1%2` stand for; `None` where no interface is named.
///
/// # Errors
/// There is no such interface.
pub(super) fn address(host: &str, port: u16) -> Option<Result<SocketAddr, Refusal>> {
    let (ip, interface) = host.split_once('%')?;
    let ip: Ipv6Addr = ip.parse().ok()?;
    let address = |scope| SocketAddrV6::new(ip, port, 0, scope).into();
    Some(index(interface).map(address).ok_or_else(|| Refusal {
        what: format!("{ip}%{}: there is no such interface", interface.escape_debug()),
        cure: "`ip -brief link` lists the interfaces".into(),
    }))
}

/// The number of an interface, given by its name or its number.
fn index(interface: &str) -> Option<u32> {
    // Any socket of this network namespace can be asked.
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    let named = name_to_index(&socket, interface).ok();
    named.or_else(|| interface.parse().ok().filter(|&index| index_to_name(&socket, index).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_its_name_or_its_number() {
        for host in ["fe80::1%lo", "fe80::1%1"] {
            let found = address(host, 80).expect("an interface").expect("loopback is the first");
            assert_eq!(found, "[fe80::1%1]:80".parse().unwrap());
        }
        for host in
            ["fe80::1%no\u{1b}ne", "fe80::1%4000000000", "fe80::1%", "fe80::1%longer-than-any"]
        {
            let refusal = address(host, 80).expect("an interface").expect_err(host).to_string();
            assert!(
                refusal.starts_with("fe80::1%") && refusal.contains("ip -brief link"),
                "{refusal}"
            );
            assert!(!refusal.contains('\u{1b}'));
        }
        assert_eq!(address("a.example", 80), None);
    }
}
