//! `/faulty`: some requests meet a fault, in a share that is met exactly, one kind after the other.
//!
//! ```text
//! request for /faulty/PERCENT/QUIET_S/FAULTY_S
//!    |- quiet now?            -> answer             by the time since the first of them
//!    |- not in the share?     -> answer             never more than half a request off
//!    '- the next kind in turn -> fault, counted     all kinds equally often, but that a
//!                                                    close stands in for a stall too many
//! ```
//!
//! Nothing is drawn by lot: a client that has counted its failures by kind can be held against the
//! counts in `/stats`, one by one.

use std::{
    ops::Index,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{clock::Moment, few::Few, mix::Spread};

/// What a server does wrong on purpose, once it has read the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer: a FIN.
    Close,
    /// No answer: a reset.
    Reset,
    /// A part of the head, then a reset.
    ResetInHead,
    /// The head and a part of the body, then a reset.
    ResetInBody,
    /// No answer, for a minute or until the client leaves.
    Stall,
    /// The answer byte by byte, a millisecond apart. It is whole.
    Drip,
    /// Bytes that are not HTTP, then a FIN.
    Garbage,
    /// Two lengths of the body that contradict each other.
    Lengths,
    /// A body shorter than its length, then a FIN.
    Short,
    /// A whole answer, more bytes behind it, and a FIN.
    Surplus,
}

impl Fault {
    /// All of them, in the order in which they come.
    pub const ALL: [Fault; 10] = [
        Fault::Close,
        Fault::Reset,
        Fault::ResetInHead,
        Fault::ResetInBody,
        Fault::Stall,
        Fault::Drip,
        Fault::Garbage,
        Fault::Lengths,
        Fault::Short,
        Fault::Surplus,
    ];

    /// Its key in `/stats`.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Close => "close",
            Fault::Reset => "reset",
            Fault::ResetInHead => "reset_in_head",
            Fault::ResetInBody => "reset_in_body",
            Fault::Stall => "stall",
            Fault::Drip => "drip",
            Fault::Garbage => "garbage",
            Fault::Lengths => "lengths",
            Fault::Short => "short",
            Fault::Surplus => "surplus",
        }
    }
}

/// How often each fault was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts(pub(crate) [u64; Fault::ALL.len()]);

impl FaultCounts {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn to_json(self) -> String {
        let members = Fault::ALL.map(|fault| format!("\"{}\": {}", fault.name(), self[fault]));
        format!("{{{}}}", members.join(", "))
    }
}

impl From<[u64; Fault::ALL.len()]> for FaultCounts {
    /// In the order of [`Fault::ALL`].
    fn from(counts: [u64; Fault::ALL.len()]) -> Self {
        FaultCounts(counts)
    }
}

impl Index<Fault> for FaultCounts {
    type Output = u64;

    fn index(&self, fault: Fault) -> &u64 {
        &self.0[fault as usize]
    }
}

/// What `/faulty/PERCENT[/QUIET_S/FAULTY_S]` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Faulty {
    /// How many of a hundred requests meet a fault.
    pub(crate) percent: f64,
    /// For how long none does, and then for how long some do; `None` for always.
    pub(crate) times: Option<[Duration; 2]>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is answered.
    Answer,
    /// It meets this.
    Fault(Fault),
    /// It is refused, with what could be asked for.
    Bad(&'static str),
}

/// What the other backends say to `/faulty`.
pub(crate) const ELSEWHERE: &str = "only with --backend faulty\n";

const TOO_MANY: &str = "expected at most 64 different kinds of /faulty\n";

/// So many clients are stalled at a time: they would be all that there are before long.
pub(crate) const STALLED_MAX: usize = 16;

/// What the threads of a server share in order to know who meets a fault.
#[derive(Debug)]
pub(crate) struct Faults {
    turns: Few<Faulty, Turns>,
    stalled: Arc<AtomicUsize>,
}

/// Where in its share a server is.
#[derive(Debug)]
struct Turns {
    begin: Moment,
    spread: Spread,
    faults: usize,
}

impl Turns {
    fn next(&mut self, what: &Faulty, now: Moment) -> Option<Fault> {
        if what.times.is_some_and(|times| is_quiet(times, self.begin, now)) {
            return None;
        }
        if !self.spread.takes_next(what.percent) {
            return None;
        }
        let fault = Fault::ALL[self.faults % Fault::ALL.len()];
        self.faults += 1;
        Some(fault)
    }
}

fn is_quiet([quiet, faulty]: [Duration; 2], begin: Moment, now: Moment) -> bool {
    let since = u128::from(now.ns.saturating_sub(begin.ns));
    since % (quiet + faulty).as_nanos() < quiet.as_nanos()
}

impl Faults {
    pub(crate) fn new() -> Self {
        Faults { turns: Few::new(), stalled: Arc::default() }
    }

    /// What becomes of a request that came in `now`.
    pub(crate) fn turn(&self, what: Faulty, now: Moment) -> Turn {
        let begin = || Turns { begin: now, spread: Spread::new(), faults: 0 };
        match self.turns.with(what, begin, |turns| turns.next(&what, now)) {
            None => Turn::Bad(TOO_MANY),
            Some(None) => Turn::Answer,
            // Enough are stalled.
            Some(Some(Fault::Stall)) if self.stalled.load(Relaxed) >= STALLED_MAX => {
                Turn::Fault(Fault::Close)
            }
            Some(Some(fault)) => Turn::Fault(fault),
        }
    }

    /// Counts a client as stalled until what is returned is dropped.
    pub(crate) fn stall(&self) -> Stalled {
        self.stalled.fetch_add(1, Relaxed);
        Stalled(self.stalled.clone())
    }
}

/// A client that is stalled.
pub(crate) struct Stalled(Arc<AtomicUsize>);

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment { ns: 1_000_000_000 };

    fn always(percent: f64) -> Faulty {
        Faulty { percent, times: None }
    }

    #[test]
    fn kinds_come_in_turn_and_at_even_distances() {
        let faults = Faults::new();
        let turns: Vec<Turn> = (0..2_000).map(|_| faults.turn(always(1.0), START)).collect();
        let met: Vec<(usize, Turn)> =
            (0..).zip(turns).filter(|(_, turn)| *turn != Turn::Answer).collect();
        assert_eq!(met.len(), 20);
        for (nth, &(at, turn)) in met.iter().enumerate() {
            assert_eq!(turn, Turn::Fault(Fault::ALL[nth % 10]), "{nth}");
            assert_eq!(at, met[0].0 + 100 * nth, "{nth}");
        }
    }

    #[test]
    fn quiet_times_alternate_with_faulty_ones() {
        let faults = Faults::new();
        let seconds = Duration::from_secs;
        let what = Faulty { percent: 100.0, times: Some([seconds(2), seconds(3)]) };
        let met: Vec<bool> =
            (0..12).map(|at| faults.turn(what, START + seconds(at)) != Turn::Answer).collect();
        let [o, x] = [false, true];
        assert_eq!(met, [o, o, x, x, x, o, o, x, x, x, o, o]);
    }

    #[test]
    fn no_more_are_stalled_than_that() {
        let faults = Faults::new();
        let mut stalled = Vec::new();
        let next_stall = || loop {
            let next = faults.turn(always(100.0), START);
            if faults.turns.with(always(100.0), || unreachable!(), |turns| turns.faults % 10)
                == Some(5)
            {
                break next;
            }
        };
        for _ in 0..STALLED_MAX {
            assert_eq!(next_stall(), Turn::Fault(Fault::Stall));
            stalled.push(faults.stall());
        }
        assert_eq!(next_stall(), Turn::Fault(Fault::Close));
        stalled.pop();
        assert_eq!(next_stall(), Turn::Fault(Fault::Stall));
    }

    #[test]
    fn the_counts_are_in_the_order_of_the_kinds() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, place);
        }
        let mut counts = FaultCounts::default();
        counts.0[Fault::Drip as usize] = 3;
        assert_eq!((counts[Fault::Drip], counts[Fault::Close], counts.total()), (3, 0, 3));
        assert!(counts.to_json().contains("\"drip\": 3, \"garbage\": 0"), "{}", counts.to_json());
    }
}
