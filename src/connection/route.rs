//! Which of the target's addresses to use.

/// Which of the target's addresses to use: the first that accepts.
#[derive(Debug)]
pub struct Route {
    addresses: usize,
    current: usize,
    settled: bool,
    /// A connection is under way that will tell whether the current address accepts.
    scouting: bool,
}

impl Route {
    /// All of a target's addresses are candidates, in this order.
    pub fn new(addresses: usize) -> Route {
        Route { addresses, current: 0, settled: addresses <= 1, scouting: false }
    }

    /// Whether a connection may be opened: always once an address has accepted, before that one
    /// at a time.
    pub fn may_open(&self) -> bool {
        self.settled || !self.scouting
    }

    /// An attempt begins: the number of the address that it goes to.
    pub(super) fn begin(&mut self) -> usize {
        self.scouting = !self.settled;
        self.current
    }

    pub(super) fn settle(&mut self, address: usize) {
        (self.settled, self.current) = (true, address);
    }

    /// Goes on to the next candidate; `false` when this was the last one, or none is needed.
    pub(super) fn advance(&mut self) -> bool {
        if self.settled {
            return false;
        }
        self.current = (self.current + 1) % self.addresses;
        self.scouting = false;
        self.current != 0
    }

    /// How long one attempt may take, so that every candidate gets its turn within the timeout.
    pub(super) fn attempt_ns(&self, timeout_ns: u64) -> u64 {
        if self.settled { timeout_ns } else { timeout_ns / self.addresses as u64 }
    }
}
