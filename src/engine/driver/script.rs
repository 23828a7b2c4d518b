//! A driver without a kernel, for tests and benches: a script answers every verb, and time is what
//! the script makes of it.
//!
//! The driver keeps the kernel's promises where the script says nothing: an operation that was
//! never answered is answered by its cancellation, and a completion comes once.

use super::{
    COMPLETIONS_MAX, Completion, Demand, Driver, Extent, Handover, Op, Patience, SlotId, Token,
};
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// What the worker has asked for.
#[derive(Clone, Copy, Debug)]
pub enum Verb<'a> {
    /// Open a connection to this address, from there.
    Open(usize, Option<SocketAddr>),
    /// Send these bytes.
    Send(&'a [u8]),
    /// Receive.
    Receive(Demand),
    /// Say how far the bytes have come. Where the script does not, the answer is that the kernel
    /// cannot tell.
    Extent(Extent),
    /// Close.
    Close,
    /// Cancel.
    Cancel(Op),
}

/// A completion that the script wants.
#[derive(Clone, Debug)]
pub struct Reply {
    /// When, from now on.
    pub after_ns: u64,
    /// Of which operation.
    pub op: Op,
    /// How many bytes, or which errno.
    pub result: Result<usize, i32>,
    /// What a receive brings; its length is the result.
    pub bytes: Option<Arc<[u8]>>,
    /// The socket has more.
    pub more: bool,
    /// Whose completion it is, if not the slot's that was asked.
    pub slot: Option<SlotId>,
}

impl Reply {
    /// An operation ends with a number of bytes or an errno.
    pub fn new(after_ns: u64, op: Op, result: Result<usize, i32>) -> Reply {
        Reply { after_ns, op, result, bytes: None, more: false, slot: None }
    }

    /// A receive brings bytes; none for the end of the stream.
    pub fn bytes(after_ns: u64, bytes: Arc<[u8]>) -> Reply {
        let result = Ok(bytes.len());
        Reply { after_ns, op: Op::Receive, result, bytes: Some(bytes), more: false, slot: None }
    }
}

/// Due time and order of arrival; the reply lies in its place.
type Due = Reverse<(u64, u64, usize)>;

/// The driver over a script.
pub struct ScriptDriver<F> {
    script: F,
    now_ns: Rc<Cell<u64>>,
    due: BinaryHeap<Due>,
    /// Replies that are under way, by place, and the free places.
    replies: Vec<Option<(SlotId, Reply)>>,
    free: Vec<usize>,
    sequence: u64,
    /// For each slot, the operations that wait for a completion, and of which generation.
    outstanding: Vec<Vec<(u32, Op)>>,
    received: Vec<Arc<[u8]>>,
    /// Whether sends are told of.
    confirm_sends: bool,
    /// How much later than asked for a turn ends in which nothing happens.
    late_ns: u64,
    turns_left: u64,
    asked: Vec<Reply>,
}

/// An `open` is one operation, whichever of its steps completes it.
fn kind(op: Op) -> Op {
    match op {
        Op::Socket | Op::Option | Op::Bind => Op::Connect,
        other => other,
    }
}

impl<F: FnMut(SlotId, Verb<'_>, &mut Vec<Reply>)> ScriptDriver<F> {
    /// A driver for so many slots. The script appends its replies to the list it is given.
    pub fn new(slots: u32, script: F) -> Self {
        ScriptDriver {
            script,
            now_ns: Rc::default(),
            due: BinaryHeap::new(),
            replies: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            outstanding: vec![Vec::with_capacity(4); slots as usize],
            received: (0..slots).map(|_| Arc::new([]) as Arc<[u8]>).collect(),
            confirm_sends: false,
            late_ns: 0,
            turns_left: u64::MAX,
            asked: Vec::new(),
        }
    }

    /// Every send is told of, as for bytes that are not constant.
    pub fn confirm_sends(mut self) -> Self {
        self.confirm_sends = true;
        self
    }

    /// Runs on this clock, in nanoseconds, which the script can look at, too.
    pub fn on_clock(mut self, now_ns: Rc<Cell<u64>>) -> Self {
        self.now_ns = now_ns;
        self
    }

    /// Who waits in vain is woken so much too late.
    pub fn wake_late(mut self, late_ns: u64) -> Self {
        self.late_ns = late_ns;
        self
    }

    /// Takes a loop of more turns for one without an end, and panics.
    pub fn end_within(mut self, turns: u64) -> Self {
        self.turns_left = turns;
        self
    }

    fn ask(&mut self, slot: SlotId, verb: Verb<'_>) {
        (self.script)(slot, verb, &mut self.asked);
        let mut asked = std::mem::take(&mut self.asked);
        for reply in asked.drain(..) {
            self.schedule(slot, reply);
        }
        self.asked = asked;
    }

    fn schedule(&mut self, slot: SlotId, reply: Reply) {
        let due_ns = self.now_ns.get() + reply.after_ns;
        let entry = Some((reply.slot.unwrap_or(slot), reply));
        let place = match self.free.pop() {
            Some(place) => {
                self.replies[place] = entry;
                place
            }
            None => {
                self.replies.push(entry);
                self.replies.len() - 1
            }
        };
        self.sequence += 1;
        self.due.push(Reverse((due_ns, self.sequence, place)));
    }

    fn begin(&mut self, slot: SlotId, op: Op) {
        let outstanding = &mut self.outstanding[slot.index as usize];
        assert!(
            outstanding.iter().all(|&(_, known)| known != op),
            "slot {} has two of {op:?} at a time",
            slot.index
        );
        outstanding.push((slot.generation, op));
    }

    fn assert_quiet(&self, slot: SlotId) {
        let outstanding = &self.outstanding[slot.index as usize];
        assert!(outstanding.is_empty(), "slot {} still has {outstanding:?}", slot.index);
    }

    fn deliver(&mut self, slot: SlotId, reply: Reply, completions: &mut Vec<Completion>) {
        let done = (slot.generation, kind(reply.op));
        self.outstanding[slot.index as usize].retain(|&known| known != done);
        if let Some(bytes) = reply.bytes {
            self.received[slot.index as usize] = bytes;
        }
        completions.push(Completion {
            token: Token { op: reply.op, slot },
            result: reply.result.map_err(io::Error::from_raw_os_error),
            more: reply.more,
        });
    }
}

impl<F: FnMut(SlotId, Verb<'_>, &mut Vec<Reply>)> Driver for ScriptDriver<F> {
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn open(&mut self, slot: SlotId, address: usize, source: Option<SocketAddr>) {
        self.assert_quiet(slot);
        self.begin(slot, Op::Connect);
        self.ask(slot, Verb::Open(address, source));
    }

    fn send(&mut self, slot: SlotId, bytes: &[u8]) -> Handover {
        if self.confirm_sends {
            self.begin(slot, Op::Send);
        }
        self.ask(slot, Verb::Send(bytes));
        Handover { taken: bytes.len(), confirmed: self.confirm_sends }
    }

    fn receive(&mut self, slot: SlotId, demand: Demand) {
        self.begin(slot, Op::Receive);
        self.ask(slot, Verb::Receive(demand));
    }

    fn received(&self, slot: SlotId, count: usize) -> &[u8] {
        let bytes = &self.received[slot.index as usize];
        &bytes[..count.min(bytes.len())]
    }

    fn extent(&mut self, slot: SlotId, extent: Extent) {
        self.begin(slot, Op::Extent);
        let before = self.sequence;
        self.ask(slot, Verb::Extent(extent));
        if self.sequence == before {
            self.schedule(slot, Reply::new(0, Op::Extent, Err(libc::EOPNOTSUPP)));
        }
    }

    fn close(&mut self, slot: SlotId) {
        self.assert_quiet(slot);
        self.ask(slot, Verb::Close);
    }

    fn cancel(&mut self, slot: SlotId, op: Op) {
        // What is still to come is replaced by the cancellation.
        for place in 0..self.replies.len() {
            let cancelled = self.replies[place]
                .as_ref()
                .is_some_and(|(whose, reply)| *whose == slot && kind(reply.op) == op);
            if cancelled {
                self.replies[place] = None;
            }
        }
        if self.outstanding[slot.index as usize].contains(&(slot.generation, op)) {
            self.schedule(slot, Reply::new(0, op, Err(libc::ECANCELED)));
        }
        self.ask(slot, Verb::Cancel(op));
    }

    fn has_more(&self) -> bool {
        self.due.peek().is_some_and(|Reverse((due_ns, ..))| *due_ns <= self.now_ns.get())
    }

    fn turn(&mut self, patience: Patience, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.turns_left = self.turns_left.checked_sub(1).expect("the loop ends");
        let now_ns = self.now_ns.get();
        // A look takes its time, too.
        let timeout_ns = match patience.timeout_ns {
            0 => now_ns + 100,
            timeout_ns => now_ns + timeout_ns.max(100) + self.late_ns,
        };
        let next_ns = self.due.peek().map_or(timeout_ns, |Reverse((due_ns, ..))| *due_ns);
        let now_ns = now_ns.max(next_ns.min(timeout_ns));
        self.now_ns.set(now_ns);
        let most = completions.len() + COMPLETIONS_MAX;
        while completions.len() < most
            && let Some(&Reverse((due_ns, _, place))) = self.due.peek()
            && due_ns <= now_ns
        {
            self.due.pop();
            self.free.push(place);
            if let Some((slot, reply)) = self.replies[place].take() {
                self.deliver(slot, reply, completions);
            }
        }
        Ok(())
    }
}
