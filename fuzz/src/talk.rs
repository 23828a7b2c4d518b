//! The loop under a protocol that uses all that a session may do (`examples/greeting.rs`: the server
//! speaks first, answers in any order, sends what nobody asked, takes back what it did not process,
//! and the session has a clock), over a scripted driver, in virtual time. The bytes choose what a run
//! is to be, then what the server says at each receive. When they are used up the server is well.
//!
//! ```text
//! bytes   lanes, slots, what ends the run, how sends end  │  a word of the server each  │ all is well
//! ```

#[path = "../../examples/greeting.rs"]
#[allow(dead_code)]
mod greeting;

use greeting::{Greeting, Manners};
use ringshot::engine::connection::Route;
use ringshot::engine::driver::script::{Reply, ScriptDriver, Verb};
use ringshot::engine::driver::{Op, SlotId};
use ringshot::engine::pace::{Model, Share};
use ringshot::engine::policy::{CloseMode, Policy};
use ringshot::engine::ports::Rotation;
use ringshot::engine::worker::{Task, Worker};
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// A run of so many turns has no end.
const TURNS_MAX: u64 = 300_000;

/// One connection, as the server has it.
#[derive(Clone, Default)]
struct Side {
    /// What was asked and not answered, in its order.
    asked: VecDeque<u64>,
    /// What was said and not received.
    said: Vec<u8>,
    greeted: bool,
    paused: bool,
    receiving: bool,
    sending: usize,
}

/// What is left of the input; 0 when nothing is.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }
}

/// Plays a run.
pub fn run(data: &[u8]) {
    let mut choices = Choices(data);
    let mut choose = |of: u8| choices.next().unwrap_or(0) % of;
    let (lanes, slots) = (u32::from(choose(4)), 1 + u32::from(choose(3)));
    let (confirms, thinks) = (choose(2) == 1, choose(2) == 1);
    let requests_per_connection = match choose(3) {
        0 => None,
        few => Some(u64::from(few)),
    };
    let quota = u64::from(choose(40)) + 1;
    let holds = lanes == 0;
    let task = Task {
        slots,
        connections: slots,
        share: Share::WHOLE,
        model: Model { think_ns: thinks.then_some(0..=2 * MS), ..Model::default() },
        warmup_ns: 0,
        quota: (!holds).then(|| quota.into()),
        duration_ns: Some(if holds { 500 * MS } else { 3_600_000 * MS }),
        route: Route::new(1),
        ports: Rotation::kernel(),
        policy: Policy {
            requests_per_connection,
            pipeline: lanes,
            holds,
            close: CloseMode::Client,
            timeout_ns: 20 * MS,
            discard_from_bytes: u64::MAX,
        },
        interval_ns: 3_600_000 * MS,
    };
    let mut sides = vec![Side::default(); slots as usize];
    let mut faults = 0_u64;
    let script = |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| {
        let side = &mut sides[slot.index as usize];
        match verb {
            Verb::Open(..) => {
                *side = Side::default();
                let refused = choices.next().is_some_and(|byte| byte % 16 == 15);
                faults += u64::from(refused);
                let result = if refused { Err(libc::ECONNREFUSED) } else { Ok(0) };
                replies.push(Reply::new(10 * US, Op::Connect, result));
                return;
            }
            Verb::Send(bytes) => {
                side.take(bytes);
                if confirms {
                    side.sending = bytes.len();
                    replies.push(Reply::new(5 * US, Op::Send, Ok(bytes.len())));
                }
            }
            Verb::Receive(_) => side.receiving = true,
            Verb::Cancel(Op::Receive) => side.receiving = false,
            Verb::Extent(_) | Verb::Close | Verb::Cancel(_) => return,
        }
        if side.receiving
            && let Some(reply) = side.answer(&mut choices, &mut faults)
        {
            side.receiving = false;
            replies.push(reply);
        }
    };
    let driver = ScriptDriver::new(slots, script).end_within(TURNS_MAX);
    let driver = if confirms { driver.confirm_sends() } else { driver };
    let manners = Manners { lanes, heartbeat_ns: 5 * MS };
    let stop = AtomicBool::new(false);
    let mut worker = Worker::<_, Greeting>::new(driver, manners, task, &stop);
    worker.warm_up(None).expect("a script does not break");
    let outcome = worker.measure(None).expect("a script does not break");
    let tally = &outcome.tallies.measured;
    let counters = &tally.counters;
    let entries: u64 = tally.errors.iter().map(|entry| entry.count).sum();
    assert_eq!(entries, counters.failed, "{:?}", tally.errors);
    if holds {
        assert_eq!(counters.started, 0, "nothing is asked on a connection that is held");
        assert_eq!((outcome.end_ns - outcome.begin_ns) / MS, 500);
    } else {
        assert_eq!(counters.started, quota);
        assert_eq!(counters.ok + counters.failed, quota, "{counters:?}");
        let most = faults * u64::from(lanes);
        assert!(counters.failed <= most, "{counters:?} after {faults} faults");
    }
}

impl Side {
    /// Reads what the client says.
    fn take(&mut self, bytes: &[u8]) {
        for line in bytes.split(|&byte| byte == b'\n') {
            if let Some(number) = line.strip_prefix(b"ASK ") {
                let number = std::str::from_utf8(number).expect("a number").parse();
                self.asked.push_back(number.expect("a number"));
                assert!(self.greeted, "nothing is asked before the server has spoken");
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.said.extend_from_slice(line.as_bytes());
        self.said.push(b'\n');
    }

    /// What the server does while the client receives; `None` for nothing now.
    fn answer(&mut self, choices: &mut Choices<'_>, faults: &mut u64) -> Option<Reply> {
        if self.said.is_empty() {
            let word = choices.next();
            // With each word there may be a fault: a client that waits in vain fails what it asked.
            *faults += u64::from(word.is_some());
            match word.map(|byte| byte % 14) {
                // All is well.
                None if !self.greeted => self.greet(),
                None if self.paused => self.resume(),
                None => {
                    let number = self.asked.pop_front()?;
                    self.say(&format!("ANSWER {number}"));
                }
                Some(0) => self.greet(),
                Some(1) => {
                    let number = self.asked.pop_front()?;
                    self.say(&format!("ANSWER {number}"));
                }
                Some(2) => {
                    let number = self.asked.pop_back()?;
                    self.say(&format!("ANSWER {number}"));
                }
                Some(3) => {
                    let both: Vec<u64> = self.asked.drain(..).rev().collect();
                    both.iter().for_each(|number| self.say(&format!("ANSWER {number}")));
                }
                Some(4) => self.say("PING 1"),
                Some(5) => self.say("NEWS of the day"),
                Some(6) if self.greeted => {
                    self.paused = true;
                    self.say("PAUSE");
                }
                Some(7) => self.resume(),
                Some(8) => self.say("BYE"),
                // What was answered, or given up, before.
                Some(9) if self.greeted => self.say("ANSWER 0"),
                Some(10) => self.say("what is this"),
                Some(11) => return Some(Reply::new(US, Op::Receive, Ok(0))),
                Some(12) => return Some(Reply::new(US, Op::Receive, Err(libc::ECONNRESET))),
                // It is silent until the client does something.
                _ => return None,
            }
        }
        // The network cuts it where it likes.
        let all = self.said.len();
        let count = choices.next().map_or(all, |byte| 1 + usize::from(byte) % all.max(1)).min(all);
        let bytes: Vec<u8> = self.said.drain(..count).collect();
        if bytes.is_empty() {
            return None;
        }
        let mut reply = Reply::bytes(20 * US, bytes.into());
        reply.more = !self.said.is_empty();
        Some(reply)
    }

    fn greet(&mut self) {
        self.greeted = true;
        self.say("HELLO");
    }

    fn resume(&mut self) {
        self.paused = false;
        self.say("RESUME");
    }
}
