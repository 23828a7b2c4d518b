//! Latencies that have been measured and are not in their histograms yet.
//!
//! A histogram is 188 kB, and between two answers the kernel's network stack goes through the caches:
//! nearly every record would wait for a line of it to come from far away. Here a latency is written
//! behind the one before, and a few hundred of them go to their histograms in one go.

use super::{Latencies, to_us};

/// So many at a time, of each kind.
const PENDING_MAX: usize = 256;

/// The latencies of a few hundred connections and answers.
#[derive(Debug)]
pub(super) struct Pending {
    /// Open to established.
    pub(super) connects: Vec<u32>,
    pub(super) responses: Vec<Response>,
}

/// The times of one answer, or of several in a row that have the same: those of a pipelined batch
/// come in one receive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response {
    pub(super) first_byte_us: u32,
    pub(super) service_us: u32,
    pub(super) total_us: u32,
    pub(super) uncorrected_us: Option<u32>,
    pub(super) count: u64,
}

impl Default for Pending {
    fn default() -> Pending {
        Pending {
            connects: Vec::with_capacity(PENDING_MAX),
            responses: Vec::with_capacity(PENDING_MAX),
        }
    }
}

impl Pending {
    /// Takes a connection's time; whether they are to be recorded now.
    #[inline]
    pub(super) fn connected(&mut self, connect_ns: u64) -> bool {
        self.connects.push(to_us(connect_ns));
        self.connects.len() == PENDING_MAX
    }

    /// Takes an answer's times; whether they are to be recorded now.
    #[inline]
    pub(super) fn respond(&mut self, latencies: Latencies) -> bool {
        let Latencies { first_byte_ns, service_ns, total_ns, uncorrected_ns } = latencies;
        let new = Response {
            first_byte_us: to_us(first_byte_ns),
            service_us: to_us(service_ns),
            total_us: to_us(total_ns),
            uncorrected_us: uncorrected_ns.map(to_us),
            count: 1,
        };
        match self.responses.last_mut() {
            Some(last) if last.has_times_of(&new) => last.count += 1,
            _ => self.responses.push(new),
        }
        self.responses.len() == PENDING_MAX
    }

    pub(super) fn clear(&mut self) {
        self.connects.clear();
        self.responses.clear();
    }
}

impl Response {
    fn has_times_of(&self, other: &Response) -> bool {
        (self.first_byte_us, self.service_us) == (other.first_byte_us, other.service_us)
            && (self.total_us, self.uncorrected_us) == (other.total_us, other.uncorrected_us)
    }
}
