//! What will stop this plan, said before it starts.

pub mod cpus;
pub mod descriptors;

use crate::plan::Endpoint;
use std::net::{SocketAddr, ToSocketAddrs};

/// A plan that cannot run here: what is missing, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is in the way.
    pub what: String,
    /// What helps.
    pub cure: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n  cure: {}", self.what, self.cure)
    }
}

impl std::error::Error for Refusal {}

/// All addresses of a target, in the resolver's order; the run uses the first one that accepts.
///
/// # Errors
/// A name that has none.
pub fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Refusal> {
    let failed = |why: String| Refusal {
        what: format!("cannot resolve {:?}: {why}", endpoint.host),
        cure: "check the name, /etc/hosts and /etc/resolv.conf, or give an address".into(),
    };
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
    Ok(addresses)
}
