//! Reports what will stop a plan before it starts.
//!
//! ```text
//!   Plan ──► Ground: driver, cpus, descriptors ──► Load: addresses, ports
//!                                                   │
//!   HostFacts: what the kernel says ────────────────┼──► checks: what limits it, and the cure
//!                                                   └──► candidates: which addresses accept
//! ```

pub(crate) mod candidates;
pub(crate) mod checks;
pub(crate) mod cpus;
pub(crate) mod descriptors;
pub(crate) mod ground;
pub(crate) mod host;
pub(crate) mod unix_socket;
mod zone;

use crate::kernel::Address;
use crate::plan::Endpoint;
use crate::words::Refusal;
use std::net::{SocketAddr, ToSocketAddrs};

/// Where connections to a target may go: to its unix socket, or to one of its addresses, in the order
/// in which they are tried.
///
/// # Errors
/// A name without an address; a socket that cannot be connected to.
pub(crate) fn addresses(endpoint: &Endpoint) -> Result<Vec<Address>, Refusal> {
    match &endpoint.socket {
        Some(socket) => {
            unix_socket::check(socket)?;
            Ok(vec![socket.clone().into()])
        }
        None => Ok(resolve(endpoint)?.into_iter().map(Address::from).collect()),
    }
}

/// All addresses of a target, in the order in which they are tried.
///
/// # Errors
/// A name that has none.
pub(crate) fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Refusal> {
    let failed = |why: String| Refusal {
        what: format!("cannot resolve {:?}: {why}", endpoint.host),
        cure: "check the name, /etc/hosts and /etc/resolv.conf, or give an address".into(),
    };
    if let Some(address) = zone::address(&endpoint.host, endpoint.port) {
        return Ok(vec![address?]);
    }
    let mut addresses: Vec<SocketAddr> = (endpoint.host.as_str(), endpoint.port)
        .to_socket_addrs()
        .map_err(|error| failed(error.to_string()))?
        .collect();
    // The resolver repeats an address for every kind of socket it knows.
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|&address| seen.insert(address));
    if addresses.is_empty() {
        return Err(failed("it has no address".into()));
    }
    Ok(candidates::interleaved(addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_resolves_to_itself_and_what_cannot_be_a_name_is_refused() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8080/").unwrap();
        assert_eq!(resolve(&endpoint).unwrap(), ["127.0.0.1:8080".parse().unwrap()]);
        // Refused without a question to a name server: who knows what this machine's would answer.
        let endpoint = Endpoint { host: "no-such\0host".into(), ..endpoint };
        let refusal = resolve(&endpoint).unwrap_err().to_string();
        assert!(refusal.contains("no-such") && refusal.contains("cure:"), "{refusal}");
    }
}
