//! What the tests over a scripted driver share: a task, a run of it with what holds for every run,
//! a server that answers blindly, and one that answers what it is asked, on the script's clock.
#![allow(dead_code)] // each test file uses a part of it

use proptest::prelude::*;
use ringshot::engine::connection::Route;
use ringshot::engine::driver::script::{Reply, ScriptDriver, Verb};
use ringshot::engine::driver::{Driver, Op, SlotId};
use ringshot::engine::failure::Failure;
use ringshot::engine::pace::{Model, Share};
use ringshot::engine::policy::{CloseMode, Policy};
use ringshot::engine::ports::Rotation;
use ringshot::engine::session::http1::{Http1, Request, RequestBlock, Reuse, Shared};
use ringshot::engine::tally::Tally;
use ringshot::engine::worker::{Outcome, Task, Worker};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// The last one of its connection.
pub const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;
pub const S: u64 = 1_000_000_000;

pub fn policy() -> Policy {
    Policy {
        requests_per_connection: Some(1),
        pipeline: 1,
        close: CloseMode::Client,
        timeout_ns: 100 * MS,
        holds: false,
        discard_from_bytes: 4096,
    }
}

pub fn task(slots: u32, quota: u64, policy: Policy) -> Task {
    Task {
        slots,
        connections: slots,
        share: Share::WHOLE,
        model: Model::default(),
        warmup_ns: 0,
        quota: Some(quota.into()),
        // Virtual time: an hour that only passes when nothing else happens.
        duration_ns: Some(3600 * S),
        route: Route::new(1),
        ports: Rotation::kernel(),
        policy,
        interval_ns: 3600 * S,
    }
}

/// The size of a request that does not ask to close.
pub const REQUEST_BYTES: usize = 56;

/// The requests of connections that behave like this.
pub fn shared(policy: &Policy) -> Shared {
    let request = Request {
        method: "GET".into(),
        target: "/".into(),
        host: "test".into(),
        headers: vec![("User-Agent".into(), b"0123456789ab".to_vec())],
        body: Arc::new([]),
    };
    let announces_close = policy.close == CloseMode::Server;
    let keeps = !announces_close || policy.requests_per_connection != Some(1);
    let reuse = Reuse { pipeline: policy.pipeline, keeps, announces_close };
    Shared::new(RequestBlock::new(&request, reuse))
}

pub fn run(task: Task, script: impl FnMut(SlotId, Verb<'_>, &mut Vec<Reply>)) -> Outcome {
    run_over(task.clone(), ScriptDriver::new(task.slots, script))
}

pub fn run_over(task: Task, driver: impl Driver) -> Outcome {
    run_until(task, driver, &AtomicBool::new(false))
}

/// As [`run_over`], and `stop` ends it early.
fn run_until(task: Task, driver: impl Driver, stop: &AtomicBool) -> Outcome {
    let shared = shared(&task.policy);
    let mut worker = Worker::<_, Http1>::new(driver, shared, task, stop);
    worker.warm_up(None).expect("a script does not break");
    let outcome = worker.measure(None).expect("a script does not break");
    assert_identity(&outcome.tallies.warmup);
    assert_identity(&outcome.tallies.measured);
    outcome
}

pub fn assert_identity(tally: &Tally) {
    let counters = &tally.counters;
    assert_eq!(counters.started, counters.ok + counters.failed + counters.in_flight());
    let entries: u64 = tally.errors.iter().map(|entry| entry.count).sum();
    assert_eq!(entries, counters.failed, "every failed request has exactly one entry");
}

/// All of the quota has been started and has ended.
pub fn assert_all_ended(outcome: &Outcome, quota: u64) {
    assert_eq!(outcome.tallies.measured.counters.started, quota);
    assert_eq!(outcome.tallies.measured.counters.in_flight(), 0);
}

pub fn only_failure(tally: &Tally) -> Failure {
    assert_eq!(tally.errors.len(), 1, "{:?}", tally.errors);
    tally.errors[0].failure
}

pub fn answer() -> Arc<[u8]> {
    ANSWER.into()
}

/// A server that does everything right.
pub fn healthy(_: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>) {
    match verb {
        Verb::Open(..) => replies.push(Reply::new(10 * US, Op::Connect, Ok(0))),
        Verb::Receive(_) => replies.push(Reply::bytes(20 * US, answer())),
        Verb::Send(_) | Verb::Extent(_) | Verb::Close | Verb::Cancel(_) => {}
    }
}

/// What may befall one operation.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Fine,
    Late(u64),
    Reset,
    Eof,
    Short(usize),
    Garbage,
    Silence,
    Refused,
    Stranger,
    SendFails,
    Last,
}

pub fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Fine),
        2 => (1..80 * MS).prop_map(Fate::Late),
        1 => Just(Fate::Reset),
        1 => Just(Fate::Eof),
        2 => (1..ANSWER.len()).prop_map(Fate::Short),
        1 => Just(Fate::Garbage),
        1 => Just(Fate::Silence),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Stranger),
        1 => Just(Fate::SendFails),
        1 => Just(Fate::Last),
    ]
}

/// The time on a driver's clock, for its script to look at, and a memory of what it has seen.
#[derive(Clone, Default)]
pub struct Watch {
    now_ns: Rc<Cell<u64>>,
    seen: Rc<RefCell<Seen>>,
}

/// What a [`served`] worker has done, each with when and in which slot.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections opened, with the number of the address.
    pub opened: Vec<(u64, u32, usize)>,
    /// Requests sent, and how many at once.
    pub asked: Vec<(u64, u32, usize)>,
    /// Answers that are to arrive at this time.
    pub answered: Vec<(u64, u32)>,
}

impl Watch {
    pub fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// The worker's thread is kept from its loop for so long.
    pub fn advance(&self, ns: u64) {
        self.now_ns.set(self.now_ns.get() + ns);
    }

    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }
}

impl Seen {
    /// When connections were opened.
    pub fn opens_ns(&self) -> Vec<u64> {
        self.opened.iter().map(|&(at_ns, ..)| at_ns).collect()
    }

    /// When requests were sent.
    pub fn asks_ns(&self) -> Vec<u64> {
        self.asked.iter().map(|&(at_ns, ..)| at_ns).collect()
    }

    /// How many were sent at once.
    pub fn batches(&self) -> Vec<usize> {
        self.asked.iter().map(|&(.., requests)| requests).collect()
    }
}

/// What a server decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A connection is opened to the address with this number.
    Connect(usize),
    /// So many requests have come and are to be answered.
    Answer(usize),
    /// The client listens although it has not asked for anything.
    Idle,
}

/// Runs a task against a server that answers a receive only after a send. `habit` is asked at each
/// turn for its reply, if there is one. Where it answers with a part of what is due, the rest
/// follows.
pub fn served(task: Task, watch: &Watch, habit: impl FnMut(Turn) -> Option<Reply>) -> Outcome {
    let slots = task.slots;
    run_over(task, watched(watch, slots, server(slots, watch.clone(), habit)))
}

/// As [`served`], and `stop` ends it early.
pub fn served_until(
    task: Task,
    watch: &Watch,
    stop: &AtomicBool,
    habit: impl FnMut(Turn) -> Option<Reply>,
) -> Outcome {
    let slots = task.slots;
    run_until(task, watched(watch, slots, server(slots, watch.clone(), habit)), stop)
}

/// As [`served`], and who waits is woken this much too late.
pub fn served_late(
    task: Task,
    watch: &Watch,
    late_ns: u64,
    habit: impl FnMut(Turn) -> Option<Reply>,
) -> Outcome {
    let slots = task.slots;
    let driver = watched(watch, slots, server(slots, watch.clone(), habit));
    run_over(task, driver.wake_late(late_ns))
}

/// As [`served`], and each send is told of.
pub fn served_confirming(
    task: Task,
    watch: &Watch,
    habit: impl FnMut(Turn) -> Option<Reply>,
) -> Outcome {
    let slots = task.slots;
    let mut script = server(slots, watch.clone(), habit);
    let confirming = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| {
        script(slot, verb, replies);
        if let Verb::Send(bytes) = verb {
            replies.push(Reply::new(US, Op::Send, Ok(bytes.len())));
        }
    };
    run_over(task, watched(watch, slots, confirming).confirm_sends())
}

/// A driver on a watch's clock. A run that takes so many turns never ends.
fn watched<F>(watch: &Watch, slots: u32, script: F) -> ScriptDriver<F>
where
    F: FnMut(SlotId, Verb<'_>, &mut Vec<Reply>),
{
    ScriptDriver::new(slots, script).on_clock(watch.now_ns.clone()).end_within(3_000_000)
}

/// One connection, as the server has it.
#[derive(Clone, Default)]
struct Side {
    /// Requests without an answer.
    owed: usize,
    /// The bytes of those that were answered.
    read: usize,
    /// What is left of an answer that was begun.
    rest: Vec<u8>,
    /// A receive is under way, and nothing on its way to it.
    listens: bool,
}

fn server(
    slots: u32,
    watch: Watch,
    mut habit: impl FnMut(Turn) -> Option<Reply>,
) -> impl FnMut(SlotId, Verb<'_>, &mut Vec<Reply>) {
    let mut sides = vec![Side::default(); slots as usize];
    move |slot, verb, replies| {
        let (now_ns, index) = (watch.now_ns(), slot.index);
        let side = &mut sides[index as usize];
        let mut seen = watch.seen.borrow_mut();
        match verb {
            Verb::Open(address, _) => {
                *side = Side::default();
                seen.opened.push((now_ns, index, address));
                replies.extend(habit(Turn::Connect(address)));
                return;
            }
            Verb::Send(bytes) => {
                let requests = bytes.windows(4).filter(|end| end == b"\r\n\r\n").count();
                seen.asked.push((now_ns, index, requests));
                side.owed += requests;
            }
            Verb::Receive(_) => side.listens = true,
            // Nothing has been read of what was not answered.
            Verb::Extent(_) => {
                replies.push(Reply::new(0, Op::Extent, Ok(side.read)));
                return;
            }
            Verb::Close | Verb::Cancel(_) => return,
        }
        if !side.listens {
            return;
        }
        let reply = if !side.rest.is_empty() {
            Some(Reply::bytes(US, std::mem::take(&mut side.rest).into()))
        } else if side.owed > 0 {
            let whole = ANSWER.repeat(side.owed);
            side.read += side.owed * REQUEST_BYTES;
            let reply = habit(Turn::Answer(std::mem::take(&mut side.owed)));
            let bytes = reply.as_ref().and_then(|reply| reply.bytes.clone());
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                side.rest = whole.strip_prefix(&*bytes).unwrap_or_default().to_vec();
            }
            seen.answered.extend(reply.as_ref().map(|reply| (now_ns + reply.after_ns, index)));
            reply
        } else if matches!(verb, Verb::Receive(_)) {
            habit(Turn::Idle)
        } else {
            None
        };
        side.listens = reply.is_none();
        replies.extend(reply);
    }
}

/// Opens in 10 us, answers everything after `service_ns`, and is silent otherwise.
pub fn steady(service_ns: u64) -> impl FnMut(Turn) -> Option<Reply> {
    move |turn| match turn {
        Turn::Connect(_) => Some(Reply::new(10 * US, Op::Connect, Ok(0))),
        Turn::Answer(requests) => Some(Reply::bytes(service_ns, ANSWER.repeat(requests).into())),
        Turn::Idle => None,
    }
}
