//! One thread's numbers: counters, errors and latency histograms. Owned by its worker, never
//! shared; merged when the run is over.
//!
//! `started = ok + failed + in_flight` holds at every moment: `in_flight` is not counted but
//! follows from the other three, and the worker checks it against its slots.
//!
//! With a warm-up there are two sets of numbers ([`Tallies`]). A request belongs to the part of the
//! run in which it was due, whenever it ends: so the identity holds in each part, and nothing that
//! began in the warm-up is in a number of the measurement.

mod pending;

use crate::engine::failure::Failure;
use crate::engine::session::Stage;
use crate::statistics::LATENCY_US_MAX;
pub use crate::statistics::{LatencyCounts, latency_histogram};
use hdrhistogram::Histogram;
use pending::Pending;
use std::collections::BTreeMap;

/// Nanoseconds to the microseconds of a histogram, to the nearest, and no more than it takes.
#[inline]
fn to_us(latency_ns: u64) -> u32 {
    ((latency_ns + 500) / 1000).min(LATENCY_US_MAX) as u32
}

fn record(histogram: &mut Histogram<u64>, latency_us: u32, count: u64) {
    histogram.saturating_record_n(latency_us.into(), count);
}

/// What only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// In an open loop, requests that have come due: started, dropped, or waiting in line.
    pub due: u64,
    /// Due requests that found no room in line.
    pub dropped: u64,
    /// Requests that had to wait in line for a free slot.
    pub waited: u64,
    /// Requests started.
    pub started: u64,
    /// Requests with a complete response that passed verification.
    pub ok: u64,
    /// Requests that ended in any other way.
    pub failed: u64,
    /// Connections established.
    pub connections_opened: u64,
    /// Attempts at a connection that did not get that far.
    pub connections_failed: u64,
    /// Bytes received, heads included.
    pub bytes_read: u64,
    /// Bytes handed to the kernel.
    pub bytes_written: u64,
    /// Requests that were sent again on another connection, as the one before had ended and they
    /// were not processed there; each as often as it was.
    pub resent: u64,
    /// Kept connections that the peer closed without a word while it owed nothing, or nothing that
    /// it can have read.
    pub closed_idle: u64,
    /// Requests on kept connections that the peer had whole, and closed without a byte of an answer.
    pub lost: u64,
    /// Connections whose end the peer announced while further requests were under way.
    pub cut_short: u64,
    /// The answers on those connections, up to the announcement.
    pub cut_short_answers: u64,
    /// Requests in flight at the end that had waited for longer than any answer took.
    pub overdue: u64,
    /// Connections ended because bytes came that no request had asked for.
    pub surplus: u64,
    /// Answers to requests that had failed by then.
    pub late: u64,
    /// What peers have sent without being asked, where the protocol allows that.
    pub messages: u64,
    /// Connections that the peer was asked to close and did not.
    pub not_closed_by_peer: u64,
    /// Times that a source port was passed over because somebody listens or is bound there.
    pub ports_in_use: u64,
    /// Times that one was passed over because its last connection was open, or not in TIME_WAIT yet.
    pub ports_closing: u64,
    /// Time from open to established, summed over all connections.
    pub connect_ns: u64,
    /// Completions of connections that were gone already.
    pub stale: u64,
    /// Times that the completion queue was full.
    pub overflows: u64,
    /// Times that the worker went to the kernel.
    pub turns: u64,
    /// What the kernel has completed.
    pub completions: u64,
    /// Time between two turns: what the loop did with completions, and for new requests.
    pub dispatch_ns: u64,
    /// The part of it in which the kernel took over what had no more room in the queue.
    pub submit_ns: u64,
}

impl Counters {
    /// Requests that have started and not ended.
    pub fn in_flight(&self) -> u64 {
        self.started - self.ok - self.failed
    }

    /// In an open loop, requests that have come due and neither ended nor been dropped.
    pub fn unanswered(&self) -> u64 {
        (self.due - self.dropped).saturating_sub(self.ok + self.failed)
    }

    fn fields(&mut self) -> [&mut u64; 29] {
        let Counters {
            due,
            dropped,
            waited,
            started,
            ok,
            failed,
            connections_opened,
            connections_failed,
            bytes_read,
            bytes_written,
            resent,
            closed_idle,
            lost,
            cut_short,
            cut_short_answers,
            overdue,
            surplus,
            late,
            messages,
            not_closed_by_peer,
            ports_in_use,
            ports_closing,
            connect_ns,
            stale,
            overflows,
            turns,
            completions,
            dispatch_ns,
            submit_ns,
        } = self;
        [
            due,
            dropped,
            waited,
            started,
            ok,
            failed,
            connections_opened,
            connections_failed,
            bytes_read,
            bytes_written,
            resent,
            closed_idle,
            lost,
            cut_short,
            cut_short_answers,
            overdue,
            surplus,
            late,
            messages,
            not_closed_by_peer,
            ports_in_use,
            ports_closing,
            connect_ns,
            stale,
            overflows,
            turns,
            completions,
            dispatch_ns,
            submit_ns,
        ]
    }

    /// Adds another's counts.
    pub fn add(&mut self, mut other: Counters) {
        for (sum, more) in self.fields().into_iter().zip(other.fields()) {
            *sum += *more;
        }
    }

    /// What has come since an earlier state.
    pub fn since(&self, mut earlier: Counters) -> Counters {
        let mut delta = *self;
        for (left, before) in delta.fields().into_iter().zip(earlier.fields()) {
            *left -= *before;
        }
        delta
    }
}

/// All failures of one kind in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Phase and kind.
    pub failure: Failure,
    /// How many requests.
    pub count: u64,
    /// When the first and the last one happened, on the driver's clock.
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
}

/// Adds an entry to those that there are.
fn note(entries: &mut Vec<ErrorEntry>, entry: ErrorEntry) {
    match entries.iter_mut().find(|known| known.failure == entry.failure) {
        Some(known) => {
            known.count += entry.count;
            known.first_ns = known.first_ns.min(entry.first_ns);
            known.last_ns = known.last_ns.max(entry.last_ns);
        }
        None => entries.push(entry),
    }
}

/// An address that accepts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What connections to it came to.
    pub failure: Failure,
    /// Since when, on the driver's clock.
    pub at_ns: u64,
}

/// The times of one complete response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Request handed to the kernel to first byte.
    pub first_byte_ns: u64,
    /// Request handed to the kernel to last byte.
    pub service_ns: u64,
    /// When it was due to last byte. In a closed loop a request is due when its connection is
    /// opened, or on a reused one when it is handed over.
    pub total_ns: u64,
    /// In an open loop, the same from when it was actually begun.
    pub uncorrected_ns: Option<u64>,
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// What is excluded from the result, and shown apart.
    Warmup,
    /// The result.
    #[default]
    Measured,
}

impl Part {
    /// What a moment belongs to, when the measurement begins at `measure_from_ns`.
    pub fn at(now_ns: u64, measure_from_ns: u64) -> Part {
        if now_ns < measure_from_ns { Part::Warmup } else { Part::Measured }
    }
}

/// One thread's numbers, of each part of the run.
#[derive(Debug)]
pub struct Tallies {
    /// Of the warm-up.
    pub warmup: Tally,
    /// Of the measurement.
    pub measured: Tally,
    /// The part that is under way.
    pub now: Part,
}

impl Tallies {
    /// Nothing counted yet, for a target with so many addresses.
    pub fn new(addresses: usize) -> Tallies {
        let [warmup, measured] = [Tally::new(addresses), Tally::new(addresses)];
        Tallies { warmup, measured, now: Part::Measured }
    }

    /// The numbers of a part.
    #[inline]
    pub fn of(&mut self, part: Part) -> &mut Tally {
        match part {
            Part::Warmup => &mut self.warmup,
            Part::Measured => &mut self.measured,
        }
    }

    /// Where what belongs to no request is counted.
    #[inline]
    pub fn current(&mut self) -> &mut Tally {
        self.of(self.now)
    }

    /// Requests of either part that have started and not ended.
    pub fn in_flight(&self) -> u64 {
        self.warmup.counters.in_flight() + self.measured.counters.in_flight()
    }

    /// Requests of either part that have come due and not ended.
    pub fn unanswered(&self) -> u64 {
        self.warmup.counters.unanswered() + self.measured.counters.unanswered()
    }
}

/// One thread's numbers.
#[derive(Debug)]
pub struct Tally {
    /// What only grows.
    pub counters: Counters,
    /// Responses by status code, 0 to 999.
    pub statuses: Box<[u64; 1000]>,
    /// Answers by the code of what is spoken over HTTP, or instead of it.
    pub codes: BTreeMap<u16, u64>,
    /// Failures, each kind once, in the order of their first appearance.
    pub errors: Vec<ErrorEntry>,
    /// The same of connections that failed while nothing was asked on them.
    pub broken: Vec<ErrorEntry>,
    /// Established connections by the number of the address they went to.
    pub opened_by_address: Vec<u64>,
    /// Attempts at one that failed; likewise.
    pub failed_by_address: Vec<u64>,
    /// When an address among others accepted no more, the first time; likewise.
    pub lost_by_address: Vec<Option<Loss>>,
    /// Open to established.
    pub connect: Histogram<u64>,
    /// Established, or the end of the stage before, to the end of a stage ([`Stage`], in its order);
    /// `None` for those that no connection has been through.
    pub stages: [Option<Box<Histogram<u64>>>; 2],
    /// Request handed over to first response byte; also of answers that ran out of time behind it,
    /// by which it has more samples than `service`.
    pub first_byte: Histogram<u64>,
    /// Request handed over to last response byte.
    pub service: Histogram<u64>,
    /// Whole request: empty until [`Tally::finish`].
    pub total: Histogram<u64>,
    /// In an open loop, the whole request from its actual begin.
    pub uncorrected: Histogram<u64>,
    /// In an open loop, how late requests were begun for which a slot was free.
    pub slip: Histogram<u64>,
    /// Whole request, up to the last [`Tally::close_interval`], and since.
    closed: LatencyCounts,
    /// See `closed`.
    interval: LatencyCounts,
    pending: Pending,
    /// When the last request ended.
    pub last_end_ns: u64,
}

impl Tally {
    /// Nothing counted yet, for a target with so many addresses.
    pub fn new(addresses: usize) -> Tally {
        Tally {
            counters: Counters::default(),
            statuses: vec![0; 1000].try_into().expect("the length is the array's"),
            codes: BTreeMap::new(),
            errors: Vec::with_capacity(64),
            broken: Vec::new(),
            opened_by_address: vec![0; addresses],
            failed_by_address: vec![0; addresses],
            lost_by_address: vec![None; addresses],
            connect: latency_histogram(),
            stages: [None, None],
            first_byte: latency_histogram(),
            service: latency_histogram(),
            total: latency_histogram(),
            uncorrected: latency_histogram(),
            slip: latency_histogram(),
            closed: LatencyCounts::default(),
            interval: LatencyCounts::default(),
            pending: Pending::default(),
            last_end_ns: 0,
        }
    }

    /// Requests have started.
    pub fn start(&mut self, requests: u32) {
        self.counters.started += u64::from(requests);
    }

    /// A request that was due at `intended_ns` begins now, on a slot that has been free since
    /// `free_ns`.
    pub fn begin(&mut self, intended_ns: u64, free_ns: u64, now_ns: u64) {
        self.counters.waited += u64::from(intended_ns < free_ns);
        record(&mut self.slip, to_us(now_ns - intended_ns.max(free_ns)), 1);
    }

    /// A connection to the target's address number `address` is established.
    pub fn connected(&mut self, address: usize, connect_ns: u64) {
        self.counters.connections_opened += 1;
        self.counters.connect_ns += connect_ns;
        self.opened_by_address[address] += 1;
        if self.pending.connected(connect_ns) {
            self.record_pending();
        }
    }

    /// A connection has been through a stage.
    pub fn passed(&mut self, stage: Stage, took_ns: u64) {
        let histogram =
            self.stages[stage as usize].get_or_insert_with(|| Box::new(latency_histogram()));
        record(histogram, to_us(took_ns), 1);
    }

    /// A connection to the target's address number `address` was not established.
    pub fn not_connected(&mut self, address: usize) {
        self.counters.connections_failed += 1;
        self.failed_by_address[address] += 1;
    }

    /// An address accepts no more: other addresses take what would go there.
    pub fn lose(&mut self, address: usize, failure: Failure, at_ns: u64) {
        self.lost_by_address[address].get_or_insert(Loss { failure, at_ns });
    }

    /// A complete response has come; whether it is the one that was wanted is told apart.
    #[inline]
    pub fn respond(&mut self, status: u16, latencies: Latencies) {
        if let Some(count) = self.statuses.get_mut(usize::from(status)) {
            *count += 1;
        }
        if self.pending.respond(latencies) {
            self.record_pending();
        }
    }

    /// An answer has this code.
    pub fn note_code(&mut self, code: u16) {
        *self.codes.entry(code).or_default() += 1;
    }

    fn record_pending(&mut self) {
        for &connect_us in &self.pending.connects {
            record(&mut self.connect, connect_us, 1);
        }
        // One histogram after the other: the lines that a few hundred latencies share come into the
        // cache once.
        let responses = &self.pending.responses;
        responses.iter().for_each(|at| record(&mut self.first_byte, at.first_byte_us, at.count));
        responses.iter().for_each(|at| record(&mut self.service, at.service_us, at.count));
        responses.iter().for_each(|at| self.interval.record(at.total_us.into(), at.count));
        for at in responses {
            if let Some(uncorrected_us) = at.uncorrected_us {
                record(&mut self.uncorrected, uncorrected_us, at.count);
            }
        }
        self.pending.clear();
    }

    /// The first byte of an answer had come, and its last one did not in time.
    pub fn stall(&mut self, first_byte_ns: u64) {
        record(&mut self.first_byte, to_us(first_byte_ns), 1);
    }

    /// A request has ended well.
    #[inline]
    pub fn succeed(&mut self, now_ns: u64) {
        self.counters.ok += 1;
        self.last_end_ns = now_ns;
    }

    /// Requests have ended with a failure.
    pub fn fail(&mut self, failure: Failure, requests: u32, now_ns: u64) {
        if requests == 0 {
            return;
        }
        let count = u64::from(requests);
        self.counters.failed += count;
        self.last_end_ns = now_ns;
        note(&mut self.errors, ErrorEntry { failure, count, first_ns: now_ns, last_ns: now_ns });
    }

    /// A connection has failed on which nothing was asked.
    pub fn break_off(&mut self, failure: Failure, now_ns: u64) {
        let entry = ErrorEntry { failure, count: 1, first_ns: now_ns, last_ns: now_ns };
        note(&mut self.broken, entry);
    }

    /// Ends an interval: its counts of `total` are handed out, and `spare`, which is empty, takes
    /// their place.
    pub fn close_interval(&mut self, spare: LatencyCounts) -> LatencyCounts {
        debug_assert!(spare.is_empty(), "what was counted before would count twice");
        self.record_pending();
        let interval = std::mem::replace(&mut self.interval, spare);
        self.closed.add(&interval);
        interval
    }

    /// The run is over: ends the last interval, whose counts are handed out, and fills in `total`.
    pub fn finish(&mut self) -> LatencyCounts {
        let last = self.close_interval(LatencyCounts::default());
        std::mem::take(&mut self.closed).add_to(&mut self.total);
        last
    }

    /// Adds another thread's numbers to these; both are finished.
    pub fn merge(&mut self, other: &Tally) {
        self.counters.add(other.counters);
        for (sum, more) in self.statuses.iter_mut().zip(other.statuses.iter()) {
            *sum += more;
        }
        for (&code, count) in &other.codes {
            *self.codes.entry(code).or_default() += count;
        }
        for (entries, more) in
            [(&mut self.errors, &other.errors), (&mut self.broken, &other.broken)]
        {
            more.iter().for_each(|&entry| note(entries, entry));
        }
        for (sums, more) in [
            (&mut self.opened_by_address, &other.opened_by_address),
            (&mut self.failed_by_address, &other.failed_by_address),
        ] {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        for (first, other) in self.lost_by_address.iter_mut().zip(&other.lost_by_address) {
            let both = [*first, *other].into_iter().flatten();
            *first = both.min_by_key(|loss| loss.at_ns);
        }
        for (sum, more) in self.stages.iter_mut().zip(&other.stages) {
            let Some(more) = more else { continue };
            let sum = sum.get_or_insert_with(|| Box::new(latency_histogram()));
            sum.add(&**more).expect("all histograms have the same bounds");
        }
        for (sum, more) in [
            (&mut self.connect, &other.connect),
            (&mut self.first_byte, &other.first_byte),
            (&mut self.service, &other.service),
            (&mut self.total, &other.total),
            (&mut self.uncorrected, &other.uncorrected),
            (&mut self.slip, &other.slip),
        ] {
            sum.add(more).expect("all histograms have the same bounds");
        }
        self.last_end_ns = self.last_end_ns.max(other.last_end_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::failure::{Kind, Phase};

    const LATENCIES: Latencies = Latencies {
        first_byte_ns: 10_000,
        service_ns: 20_000,
        total_ns: 30_000,
        uncorrected_ns: None,
    };

    fn busy_tally() -> Tally {
        let mut tally = Tally::new(2);
        tally.start(4);
        tally.connected(1, 5_000);
        tally.respond(200, LATENCIES);
        tally.succeed(100);
        tally.fail(Failure::errno(Phase::Connect, libc::ECONNREFUSED), 2, 200);
        tally
    }

    #[test]
    fn every_failure_has_exactly_one_entry() {
        let mut tally = busy_tally();
        tally.fail(Failure::response(Kind::Eof), 1, 300);
        let entries: u64 = tally.errors.iter().map(|entry| entry.count).sum();
        assert_eq!(entries, tally.counters.failed);
        assert_eq!(tally.counters.in_flight(), 0);
    }

    #[test]
    fn a_merge_counts_both() {
        let (mut one, mut two) = (busy_tally(), busy_tally());
        one.finish();
        two.finish();
        one.merge(&two);
        assert_eq!(one.counters.started, 8);
        assert_eq!(one.errors.len(), 1);
        assert_eq!(one.errors[0].count, 4);
        assert_eq!(one.statuses[200], 2);
        assert_eq!(one.opened_by_address, [0, 2]);
        assert_eq!((one.total.len(), one.service.len(), one.connect.len()), (2, 2, 2));
    }

    #[test]
    fn intervals_add_up_to_the_total() {
        let mut tally = busy_tally();
        let first = tally.close_interval(LatencyCounts::default());
        tally.respond(404, LATENCIES);
        let second = tally.close_interval(LatencyCounts::default());
        tally.respond(200, LATENCIES);
        let last = tally.finish();
        assert_eq!((first.len(), second.len(), last.len(), tally.total.len()), (1, 1, 1, 3));
    }

    #[test]
    fn slip_is_the_generators_lateness_and_waiting_is_not() {
        let mut tally = Tally::new(1);
        tally.begin(10_000, 5_000, 12_000);
        tally.begin(10_000, 40_000, 40_000);
        assert_eq!((tally.slip.min(), tally.slip.max(), tally.counters.waited), (0, 2, 1));
    }

    #[test]
    fn counters_since_an_earlier_state_are_the_difference() {
        let earlier = busy_tally().counters;
        let mut later = earlier;
        later.add(earlier);
        assert_eq!(later.since(earlier), earlier);
    }
}
