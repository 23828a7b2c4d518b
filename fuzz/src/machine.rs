//! The whole loop (worker, connection, session, pace, tally) over a scripted driver, in virtual
//! time: the bytes choose what a run is to be, then what becomes of each operation. When they are
//! used up the server is well.
//!
//! The driver itself asserts what a kernel would punish: no slot is opened or closed while an
//! operation is under way on it, and there is one receive and one send at a time. The worker
//! asserts at its end that it has lost no request.
//!
//! ```text
//! bytes   what the run is to be (see Run)  │  a fate for each operation, in order  │ all is well
//! ```

mod peer;
mod settings;

use super::transcript::request;
use peer::Peer;
use ringshot::engine::driver::script::ScriptDriver;
use ringshot::engine::policy::CloseMode;
use ringshot::engine::session::http1::{Http1, RequestBlock, Reuse, Shared};
use ringshot::engine::tally::Tally;
use ringshot::engine::worker::{Outcome, Worker};
use settings::{Run, Until};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// A run of so many turns has no end.
const TURNS_MAX: u64 = 300_000;

/// What is left of the input; when nothing is, all is well.
struct Fates<'a> {
    bytes: &'a [u8],
    dealt: u64,
}

impl Fates<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        self.dealt += 1;
        Some(first)
    }
}

/// What the script, its driver and the judge have in common.
struct Common {
    now_ns: Rc<Cell<u64>>,
    /// When the last fate was dealt.
    well_from_ns: Cell<Option<u64>>,
    dealt: Cell<u64>,
    stop: AtomicBool,
}

/// Plays a run.
pub fn run(data: &[u8]) {
    let mut fates = Fates { bytes: data, dealt: 0 };
    let run = Run::of(&mut fates);
    fates.dealt = 0;
    let common = Common {
        now_ns: Rc::default(),
        well_from_ns: Cell::new(None),
        dealt: Cell::new(0),
        stop: AtomicBool::new(false),
    };
    let slots = run.task.slots;
    let mut peer = Peer::new(fates, &run, &common);
    // Places for strangers beside those of the worker.
    let driver = ScriptDriver::new(slots + 2, |slot, verb, replies: &mut Vec<_>| {
        peer.answer(slot, verb, replies);
    });
    let driver = driver.on_clock(common.now_ns.clone()).end_within(TURNS_MAX);
    let driver = if run.confirms { driver.confirm_sends() } else { driver };
    let shared = shared(&run);
    let mut worker = Worker::<_, Http1>::new(driver, shared, run.task.clone(), &common.stop);
    worker.warm_up(None).expect("a script does not break");
    let outcome = worker.measure(None).expect("a script does not break");
    judge(&run, &common, &outcome);
    if let Until::Well = run.until {
        assert!(peer.served_when_well.iter().all(|&served| served), "a slot is lost");
    }
}

fn shared(run: &Run) -> Shared {
    let policy = &run.task.policy;
    let announces_close = policy.close == CloseMode::Server;
    let keeps = !announces_close || policy.requests_per_connection != Some(1);
    let reuse = Reuse { pipeline: policy.pipeline, keeps, announces_close };
    Shared::new(RequestBlock::new(&request("GET"), reuse))
}

/// What holds for every run.
fn judge(run: &Run, common: &Common, outcome: &Outcome) {
    let task = &run.task;
    let faults = common.dealt.get() * u64::from(task.policy.pipeline);
    let room = u64::from(task.slots) * u64::from(task.policy.pipeline);
    for tally in [&outcome.tallies.warmup, &outcome.tallies.measured] {
        identity(tally, room);
        assert!(tally.counters.failed <= faults, "{:?} after {faults}", tally.counters);
        if let Some(open_loop) = &task.model.open_loop {
            let counters = &tally.counters;
            let waiting = counters.due.checked_sub(counters.dropped + counters.started);
            let waiting = waiting.expect("due are the most");
            let line = open_loop.backlog.div_ceil(task.share.of.into()) + u64::from(task.slots);
            assert!(waiting <= line, "{waiting} wait where there is room for {line}");
        }
    }
    let measured = &outcome.tallies.measured.counters;
    match run.until {
        Until::Quota(quota) => {
            assert_eq!(measured.started + measured.dropped, quota, "{measured:?}");
            assert_eq!(outcome.tallies.in_flight(), 0, "{measured:?}");
            assert!(measured.ok + faults + measured.dropped >= quota, "{measured:?}, {faults}");
        }
        Until::Time(end_ns) => {
            assert!(outcome.end_ns <= end_ns + US, "{} instead of {end_ns}", outcome.end_ns);
        }
        Until::Well => {}
    }
}

/// `started = ok + failed + in_flight`, where no more is in flight than there is room for, and every
/// failed request has one entry.
fn identity(tally: &Tally, room: u64) {
    let counters = &tally.counters;
    let in_flight = counters.started.checked_sub(counters.ok + counters.failed);
    assert!(in_flight.is_some_and(|requests| requests <= room), "{counters:?}");
    let entries: u64 = tally.errors.iter().map(|entry| entry.count).sum();
    assert_eq!(entries, counters.failed, "{:?}", tally.errors);
}
