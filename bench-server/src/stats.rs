//! What the server counted, kept so that counting costs next to nothing.
//!
//! ```text
//! Board    [ Counters | Counters | ... ]   one per thread, each on cache lines of its own
//!              ^ only its thread writes       summed by whoever asks
//! Lane     one thread's place on the board
//! Meter    one connection's place in a lane: does it count as load, or does it read /stats?
//! ```
//!
//! A counter has one writer, so that adding is a plain load and store, never a locked instruction.
//! Everything is counted *before* the client can see the effect: whoever has received an answer
//! finds its request, its connection and its bytes in the numbers.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;

use crate::{
    delays::{self, Delays},
    faults::{Fault, FaultCounts},
};

/// A sum over all threads of a server since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Accepted connections, except `stats_connections`.
    pub connections: u64,
    /// Requests whose head was read and valid, except those for `/stats`. Whether the answer was
    /// delivered does not matter, nor does its status.
    pub requests: u64,
    /// Bytes read from the sockets of `connections`: heads, bodies and framing.
    pub bytes_in: u64,
    /// Bytes written to the sockets of `connections`: heads, bodies and framing.
    pub bytes_out: u64,
    /// Accepted connections whose first request was for `/stats`. Nothing about them is in
    /// `connections`, `bytes_in` or `bytes_out`.
    pub stats_connections: u64,
    /// Requests for `/stats`, on whatever connection.
    pub stats_requests: u64,
    /// Calls of `accept` that failed, for example for want of file descriptors.
    pub accept_errors: u64,
    /// What was done wrong on purpose; all zero but for the backend `faulty`.
    pub faults: FaultCounts,
}

impl Stats {
    /// One JSON object, keys named like the fields. `/stats` answers the same with `delays` added.
    pub fn to_json(&self) -> String {
        format!("{{{}}}\n", self.members())
    }

    fn members(&self) -> String {
        format!(
            "\"connections\": {}, \"requests\": {}, \"bytes_in\": {}, \"bytes_out\": {}, \
             \"stats_connections\": {}, \"stats_requests\": {}, \"accept_errors\": {}, \
             \"faults\": {}",
            self.connections,
            self.requests,
            self.bytes_in,
            self.bytes_out,
            self.stats_connections,
            self.stats_requests,
            self.accept_errors,
            self.faults.to_json(),
        )
    }
}

/// One thread's counters. Two cache lines apart, since processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counters {
    connections: AtomicU64,
    requests: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    stats_connections: AtomicU64,
    stats_requests: AtomicU64,
    accept_errors: AtomicU64,
    faults: [AtomicU64; Fault::ALL.len()],
    /// Of all accepted connections, those for `/stats` included.
    closed: AtomicU64,
}

/// Adds to a counter that only the calling thread writes.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// Takes back from a counter that only the calling thread writes.
fn take_back(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_sub(n), Relaxed);
}

/// The counters and the records of delays of all threads.
#[derive(Debug)]
pub(crate) struct Board {
    threads: Box<[Counters]>,
    delays: Delays,
    accept_error_told: AtomicBool,
}

impl Board {
    pub(crate) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Board {
            threads: (0..threads).map(|_| Counters::default()).collect(),
            delays: Delays::new(threads),
            accept_error_told: AtomicBool::new(false),
        })
    }

    pub(crate) fn sum(&self) -> Stats {
        let mut sum = Stats::default();
        for thread in &self.threads {
            sum.connections += thread.connections.load(Relaxed);
            sum.requests += thread.requests.load(Relaxed);
            sum.bytes_in += thread.bytes_in.load(Relaxed);
            sum.bytes_out += thread.bytes_out.load(Relaxed);
            sum.stats_connections += thread.stats_connections.load(Relaxed);
            sum.stats_requests += thread.stats_requests.load(Relaxed);
            sum.accept_errors += thread.accept_errors.load(Relaxed);
            for (sum, count) in sum.faults.0.iter_mut().zip(&thread.faults) {
                *sum += count.load(Relaxed);
            }
        }
        sum
    }

    /// How many connections are open, those for `/stats` included.
    pub(crate) fn open(&self) -> u64 {
        let all = |thread: &Counters| {
            thread.connections.load(Relaxed) + thread.stats_connections.load(Relaxed)
        };
        let open = |thread: &Counters| {
            // First, so that a connection that is both opened and closed meanwhile takes none away.
            let closed = thread.closed.load(Relaxed);
            all(thread).saturating_sub(closed)
        };
        self.threads.iter().map(open).sum()
    }

    pub(crate) fn delays(&self) -> Histogram<u64> {
        self.delays.sum()
    }

    /// The document that `/stats` answers.
    fn document(&self) -> String {
        let (counters, delays) = (self.sum().members(), delays::to_json(&self.delays()));
        format!("{{{counters}, \"delays\": {delays}}}\n")
    }
}

/// One thread's place on the board. Only that thread may call its methods and its meters'.
pub(crate) struct Lane {
    board: Arc<Board>,
    index: usize,
}

impl Lane {
    pub(crate) fn new(board: Arc<Board>, index: usize) -> Arc<Self> {
        Arc::new(Lane { board, index })
    }

    fn counters(&self) -> &Counters {
        &self.board.threads[self.index]
    }

    /// Counts a failed accept, and says so on standard error the first time.
    pub(crate) fn accept_failed(&self, error: &io::Error) {
        add(&self.counters().accept_errors, 1);
        if !self.board.accept_error_told.swap(true, Relaxed) {
            // Not `eprintln`, which panics when nobody reads any more.
            let _ = writeln!(
                io::stderr(),
                "bench-server: accept failed: {error}; retrying, further failures are only counted"
            );
        }
    }
}

/// Nothing was asked yet; `early_in` keeps what was read so far.
const FRESH: u8 = 0;
/// The first request was for something other than `/stats`.
const LOAD: u8 = 1;
/// The first request was for `/stats`.
const WATCHER: u8 = 2;

/// Counts what one connection does.
///
/// The fields are atomic only because a connection is a `Send` task; it never leaves its thread.
pub(crate) struct Meter {
    lane: Arc<Lane>,
    kind: AtomicU8,
    early_in: AtomicU64,
}

impl Meter {
    /// Counts an accepted connection.
    pub(crate) fn open(lane: &Arc<Lane>) -> Self {
        add(&lane.counters().connections, 1);
        Meter { lane: lane.clone(), kind: AtomicU8::new(FRESH), early_in: AtomicU64::new(0) }
    }

    /// Counts bytes that were read.
    pub(crate) fn read(&self, n: usize) {
        match self.kind.load(Relaxed) {
            WATCHER => return,
            FRESH => add(&self.early_in, n as u64),
            _ => {}
        }
        add(&self.lane.counters().bytes_in, n as u64);
    }

    /// Counts bytes that are about to be written; what was not, goes to `unwritten`.
    pub(crate) fn write(&self, n: usize) {
        if self.kind.load(Relaxed) != WATCHER {
            add(&self.lane.counters().bytes_out, n as u64);
        }
    }

    /// Takes back what `write` announced and the socket did not take.
    pub(crate) fn unwritten(&self, n: usize) {
        if n > 0 && self.kind.load(Relaxed) != WATCHER {
            take_back(&self.lane.counters().bytes_out, n as u64);
        }
    }

    /// Counts a request for anything but `/stats`.
    pub(crate) fn request(&self) {
        if self.kind.load(Relaxed) == FRESH {
            self.kind.store(LOAD, Relaxed);
        }
        add(&self.lane.counters().requests, 1);
    }

    /// Counts a fault that is about to be made.
    pub(crate) fn fault(&self, fault: Fault) {
        add(&self.lane.counters().faults[fault as usize], 1);
    }

    /// Records how long an answer that is about to be sent was held back.
    pub(crate) fn held(&self, held: Duration) {
        self.lane.board.delays.record(self.lane.index, held);
    }

    /// Counts a request for `/stats` and returns the document it asks for.
    pub(crate) fn stats_request(&self) -> String {
        let counters = self.lane.counters();
        if self.kind.load(Relaxed) == FRESH {
            self.kind.store(WATCHER, Relaxed);
            take_back(&counters.connections, 1);
            take_back(&counters.bytes_in, self.early_in.load(Relaxed));
            add(&counters.stats_connections, 1);
        }
        add(&counters.stats_requests, 1);
        self.lane.board.document()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        add(&self.lane.counters().closed, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_what_its_first_request_is() {
        let board = Board::new(2);
        let load = Meter::open(&Lane::new(board.clone(), 0));
        load.read(100);
        load.request();
        load.write(50);
        load.unwritten(20);
        load.stats_request();
        load.write(5);

        let watcher = Meter::open(&Lane::new(board.clone(), 1));
        watcher.read(70);
        watcher.stats_request();
        watcher.write(300);
        watcher.read(70);
        watcher.request();

        let expected = Stats {
            connections: 1,
            requests: 2,
            bytes_in: 100,
            bytes_out: 35,
            stats_connections: 1,
            stats_requests: 2,
            accept_errors: 0,
            faults: FaultCounts::default(),
        };
        assert_eq!(board.sum(), expected);
        assert_eq!(board.open(), 2);
        drop(load);
        assert_eq!(board.open(), 1);
        drop(watcher);
        assert_eq!(board.open(), 0);
    }
}
