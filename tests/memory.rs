//! What an idle connection costs: counted in the allocator, over the scripted driver, whose own
//! memory is left out.

#[path = "support/scripted.rs"]
mod scripted;

use ringshot::engine::driver::script::{Reply, ScriptDriver, Verb};
use ringshot::engine::driver::{
    Completion, Demand, Driver, Extent, Handover, Op, Patience, SlotId,
};
use ringshot::engine::pace::Model;
use ringshot::engine::policy::Policy;
use ringshot::engine::session::http1::Http1;
use ringshot::engine::worker::{Task, Worker};
use scripted::{ANSWER, S, US, policy, shared, task};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

/// The system's memory, with a count of the bytes that a thread has and has not given back.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    /// What the script's own memory comes to is not counted.
    static COUNTS: Cell<bool> = const { Cell::new(true) };
}

fn count(bytes: isize) {
    // A thread that ends gives memory back when its own is gone.
    let _ = COUNTS.try_with(|counts| {
        if counts.get() {
            BYTES.with(|sum| sum.set(sum.get() + bytes));
        }
    });
}

// SAFETY: everything is the system's allocator's, which keeps the rules.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A driver whose own memory is not counted, and that keeps the most that all else had in a turn.
struct Uncounted<D> {
    driver: D,
    most_bytes: Rc<Cell<isize>>,
}

/// What the ring and epoll keep for a slot that is idle, as their own tests assert.
const PLACE_BYTES: f64 = 24.0;

/// Does something that is not counted.
fn uncounted<T>(f: impl FnOnce() -> T) -> T {
    COUNTS.set(false);
    let result = f();
    COUNTS.set(true);
    result
}

impl<D: Driver> Driver for Uncounted<D> {
    fn now_ns(&self) -> u64 {
        self.driver.now_ns()
    }

    fn open(&mut self, slot: SlotId, address: usize, source: Option<SocketAddr>) {
        uncounted(|| self.driver.open(slot, address, source));
    }

    fn send(&mut self, slot: SlotId, bytes: &[u8]) -> Handover {
        uncounted(|| self.driver.send(slot, bytes))
    }

    fn receive(&mut self, slot: SlotId, demand: Demand) {
        uncounted(|| self.driver.receive(slot, demand));
    }

    fn received(&self, slot: SlotId, count: usize) -> &[u8] {
        self.driver.received(slot, count)
    }

    fn extent(&mut self, slot: SlotId, extent: Extent) {
        uncounted(|| self.driver.extent(slot, extent));
    }

    fn close(&mut self, slot: SlotId) {
        uncounted(|| self.driver.close(slot));
    }

    fn cancel(&mut self, slot: SlotId, op: Op) {
        uncounted(|| self.driver.cancel(slot, op));
    }

    fn has_more(&self) -> bool {
        self.driver.has_more()
    }

    fn turn(&mut self, patience: Patience, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.most_bytes.set(self.most_bytes.get().max(BYTES.get()));
        uncounted(|| self.driver.turn(patience, completions))
    }
}

/// The most bytes that a worker has, each of whose connections has an answer, and is idle then.
fn bytes_with(slots: u32) -> isize {
    // The head comes in two pieces, each of which is kept until the other is there.
    let pieces = [&ANSWER[..20], &ANSWER[20..]];
    let mut received = vec![0; slots as usize];
    let script = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        Verb::Open(..) => replies.push(Reply::new(US, Op::Connect, Ok(0))),
        Verb::Receive(_) => {
            let piece = pieces.get(received[slot.index as usize]);
            received[slot.index as usize] += 1;
            replies.extend(piece.map(|&piece| Reply::bytes(US, piece.into())));
        }
        _ => {}
    };
    let policy = Policy { requests_per_connection: None, ..policy() };
    // They think for an hour after their first request, of which a second is waited for.
    let think_ns = Some(3600 * S..=3600 * S);
    let task = Task {
        model: Model { think_ns, ..Model::default() },
        quota: None,
        duration_ns: Some(S),
        ..task(slots, 0, policy)
    };
    let shared = shared(&policy);
    let stop = AtomicBool::new(false);
    let most_bytes = Rc::new(Cell::new(0));
    let driver =
        Uncounted { driver: ScriptDriver::new(slots, script), most_bytes: most_bytes.clone() };
    let before = BYTES.get();
    let mut worker = Worker::<_, Http1>::new(driver, shared, task, &stop);
    worker.warm_up(None).expect("a script");
    let outcome = worker.measure(None).expect("a script");
    let counters = outcome.tallies.measured.counters;
    assert_eq!(counters.connections_opened, u64::from(slots));
    assert_eq!(counters.ok, u64::from(slots), "each has had its answer");
    assert_eq!(counters.surplus + counters.closed_idle, 0, "each is still there");
    most_bytes.get() - before
}

#[test]
fn an_idle_connection_costs_at_most_256_bytes() {
    let [fewer, more] = [10_000, 110_000].map(bytes_with);
    let each = (more - fewer) as f64 / 100_000.0;
    println!("{each:.1} bytes a connection");
    assert!(each + PLACE_BYTES <= 256.0, "{each} bytes");
}
