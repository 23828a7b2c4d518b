//! One worker's turn through its pairs of source port and source address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How many pairs in a row may turn out to be taken before a request fails for want of a port:
/// enough to get past any listener or burst, and bounded.
const TRIES_MAX: usize = 4096;

/// Where the connections of one worker come from.
///
/// Pair number `i` is port `i / sources` from address `i % sources`; a worker has every pair whose
/// number leaves its own number as the remainder of a division by the number of workers.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Empty when the kernel chooses the port.
    ports: Arc<[u16]>,
    /// By the number of the target's address; empty when the kernel chooses.
    sources: Vec<Vec<IpAddr>>,
    worker: usize,
    workers: usize,
    /// The next pair.
    at: usize,
}

impl Rotation {
    /// A turn that begins somewhere in its pairs: after an earlier run the first of them may still
    /// be closing, and two runs at a time do not walk in step.
    pub(super) fn new(
        ports: Arc<[u16]>,
        sources: Vec<Vec<IpAddr>>,
        worker: usize,
        workers: usize,
    ) -> Rotation {
        // Spread by a large odd factor: process numbers are neighbours.
        let start = std::process::id() as usize * 7919 % ports.len().max(1);
        Rotation { ports, sources, worker, workers, at: start / workers * workers + worker }
    }

    /// The kernel chooses.
    pub fn kernel() -> Rotation {
        Rotation::new(Arc::new([]), Vec::new(), 0, 1)
    }

    fn sources(&self, address: usize) -> &[IpAddr] {
        self.sources.get(address).map_or(&[], Vec::as_slice)
    }

    /// Where the next connection to the target's address number `address` is to come from: port 0
    /// leaves the port to the kernel, `None` the address too.
    #[inline]
    pub fn next(&mut self, address: usize) -> Option<SocketAddr> {
        let addresses = self.sources(address).len();
        if addresses == 0 {
            return None;
        }
        // Without ports of our own every worker takes all addresses in turn.
        let (pairs, first, step) = match self.ports.len() {
            0 => (addresses, 0, 1),
            ports => (ports * addresses, self.worker, self.workers),
        };
        if self.at >= pairs {
            self.at = first;
        }
        let number = self.at;
        self.at += step;
        let port = self.ports.get(number / addresses).copied().unwrap_or(0);
        Some(SocketAddr::new(self.sources(address)[number % addresses], port))
    }

    /// How many further pairs a request may try when the one before was taken; 0 when the choice
    /// is the kernel's, whose word is final.
    pub fn tries(&self, address: usize) -> usize {
        let pairs = self.ports.len() * self.sources(address).len();
        (pairs / self.workers).min(TRIES_MAX)
    }
}
