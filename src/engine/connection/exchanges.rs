//! The exchanges of all slots: each with its own times, in the place that its lane names.
//!
//! ```text
//!   Free ── taken from the pace ──► Waiting ── handed to the session ──► UnderWay
//!    ▲                                 ▲                                   │ │
//!    │                                 └── the peer has not processed it ──┘ │
//!    └──────────────────── answered, or failed ─────────────────────────────┘
//! ```

use crate::engine::session::Lane;
use crate::engine::tally::Part;

/// No time: not yet, or not at all.
pub(super) const NEVER: u64 = u64::MAX;

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// There is none in this lane.
    Free,
    /// It has been started, and the session does not know of it.
    Waiting,
    /// The session has it.
    UnderWay,
}

/// One request, and the answer to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) stand: Stand,
    /// What it belongs to.
    pub(super) part: Part,
    /// It has been handed over before, on another connection.
    pub(super) again: bool,
    /// How many were begun on its connection before it.
    pub(super) serial: u32,
    /// In an open loop, when it was due.
    pub(super) intended_ns: u64,
    /// When it began: the first ones of a connection have waited for that, and one that is sent
    /// again began when it was sent first.
    pub(super) begun_ns: u64,
    /// When it was handed over.
    pub(super) handed_ns: u64,
    /// When the first byte of its answer came.
    pub(super) first_byte_ns: u64,
}

const FREE: Exchange = Exchange {
    stand: Stand::Free,
    part: Part::Measured,
    again: false,
    serial: 0,
    intended_ns: NEVER,
    begun_ns: NEVER,
    handed_ns: NEVER,
    first_byte_ns: NEVER,
};

impl Exchange {
    /// One that has been taken and waits.
    pub(super) fn taken(part: Part, due_ns: Option<u64>) -> Exchange {
        Exchange { stand: Stand::Waiting, part, intended_ns: due_ns.unwrap_or(NEVER), ..FREE }
    }
}

/// The exchanges of all slots of a worker. A slot that has had no request yet has no memory here.
#[derive(Debug)]
pub struct Exchanges {
    all: Vec<Exchange>,
    lanes: usize,
}

impl Exchanges {
    /// None yet, for so many slots that have up to `lanes` at a time.
    pub fn new(slots: u32, lanes: Lane) -> Exchanges {
        let lanes = lanes as usize;
        // Memory that is not touched costs nothing.
        Exchanges { all: Vec::with_capacity(slots as usize * lanes), lanes }
    }

    /// A slot is about to have some.
    #[inline]
    pub(super) fn make_room(&mut self, slot: u32) {
        let end = (slot as usize + 1) * self.lanes;
        if self.all.len() < end {
            self.all.resize(end, FREE);
        }
    }

    /// Those of a slot, by their lanes.
    #[inline]
    pub(super) fn of(&self, slot: u32) -> &[Exchange] {
        let begin = slot as usize * self.lanes;
        self.all.get(begin..begin + self.lanes).unwrap_or_default()
    }

    /// See `of`.
    #[inline]
    pub(super) fn of_mut(&mut self, slot: u32) -> &mut [Exchange] {
        let begin = slot as usize * self.lanes;
        self.all.get_mut(begin..begin + self.lanes).unwrap_or_default()
    }
}

/// How many exchanges a connection has, and had.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flight {
    /// Those of the slot that wait for a connection, or for room on it.
    pub(super) waiting: Lane,
    /// Those that the session has.
    pub(super) under_way: Lane,
    /// Handed over on this connection.
    pub(super) begun: u64,
    /// Answers that have come on it.
    pub(super) answered: u64,
}

impl Flight {
    /// A connection begins; what waits for it waits on.
    pub(super) fn open(&mut self) {
        *self = Flight { waiting: self.waiting, ..Flight::default() };
    }

    /// An exchange leaves its lane.
    #[inline]
    pub(super) fn end(&mut self, exchange: &mut Exchange) {
        match exchange.stand {
            Stand::Free => {}
            Stand::Waiting => self.waiting -= 1,
            Stand::UnderWay => self.under_way -= 1,
        }
        exchange.stand = Stand::Free;
    }

    /// One that was handed over waits for another connection.
    pub(super) fn carry(&mut self, exchange: &mut Exchange) {
        exchange.stand = Stand::Waiting;
        exchange.again = true;
        exchange.first_byte_ns = NEVER;
        self.under_way -= 1;
        self.waiting += 1;
    }
}

/// Moves those that wait to the first lanes, in their order.
pub(super) fn close_ranks(lanes: &mut [Exchange]) {
    // As a rule they stand there.
    let in_place = lanes.iter().take_while(|one| one.stand == Stand::Waiting).count();
    let mut to = in_place;
    for from in in_place..lanes.len() {
        if lanes[from].stand == Stand::Waiting {
            lanes.swap(to, from);
            to += 1;
        }
    }
}
