//! Which of the target's addresses the next connection goes to.
//!
//! ```text
//!   before the run  10.9.0.1 silent    10.9.0.2 accepts    10.9.0.3 accepts
//!   first           left out           all of them         when 10.9.0.2 stops to accept
//!   all             left out           in turn             in turn
//! ```
//!
//! What did not accept before the run gets nothing in it, as long as any address did: a connection
//! there would only wait. In the run an address that accepts no more is passed over for a second at
//! a time, and a request that met it goes on to the next one.

use crate::engine::failure::{Failure, Kind, Phase};

/// After so many refusals in a row an address is passed over.
const REFUSALS_MAX: u32 = 3;

/// And after this time without an accepted connection, while attempts wait: by then the kernel has
/// sent their SYN once more, after 1 s.
const SILENCE_NS: u64 = 1_500_000_000;

/// For how long it is passed over. After that one more refusal is enough.
const DOWN_NS: u64 = 1_000_000_000;

/// Which of the target's addresses the next connection goes to. With one address that is no question.
#[derive(Clone, Debug)]
pub struct Route {
    /// By the number of the address.
    places: Vec<AddressState>,
    /// The address in use; of all in turn, the latest.
    at: usize,
    /// New connections go to all addresses in turn.
    spread: bool,
}

/// One address.
#[derive(Clone, Copy, Debug, Default)]
struct AddressState {
    /// When it accepted a connection last.
    accepted_ns: u64,
    /// Refusals since then.
    refusals: u32,
    /// Until when it is passed over; the highest number when it is left out.
    down_until_ns: u64,
}

impl Route {
    /// A target with so many addresses, of which the first is used as long as it accepts.
    pub fn new(addresses: usize) -> Route {
        Route { places: vec![AddressState::default(); addresses.max(1)], at: 0, spread: false }
    }

    /// Another address is the one to begin with.
    pub fn starting_at(self, address: usize) -> Route {
        Route { at: address, ..self }
    }

    /// No connection goes to this address, as long as there are others.
    pub fn without(mut self, address: usize) -> Route {
        self.places[address].down_until_ns = u64::MAX;
        self
    }

    /// New connections go to all addresses in turn.
    pub fn spread(self) -> Route {
        Route { spread: true, ..self }
    }

    /// The route of one of several workers: with all addresses in turn, each begins with another one.
    pub fn of_worker(&self, worker: usize) -> Route {
        let used: Vec<usize> =
            (0..self.places.len()).filter(|&at| self.places[at].down_until_ns == 0).collect();
        let mut route = self.clone();
        if self.spread && !used.is_empty() {
            // Before each connection it takes a step.
            route.at = used[(worker + used.len() - 1) % used.len()];
        }
        route
    }

    /// How many addresses the target has.
    pub fn addresses(&self) -> usize {
        self.places.len()
    }

    /// Whether new connections go to all addresses in turn.
    pub fn is_spread(&self) -> bool {
        self.spread
    }

    /// A connection begins: the number of the address that it goes to.
    #[inline]
    pub(super) fn next(&mut self, now_ns: u64) -> usize {
        if self.places.len() > 1 {
            self.at = self.choose(now_ns);
        }
        self.at
    }

    fn choose(&self, now_ns: u64) -> usize {
        let first = if self.spread { self.at + 1 } else { self.at };
        let is_up = |&at: &usize| self.places[at].down_until_ns <= now_ns;
        let longest_down = || self.around(first).min_by_key(|&at| self.places[at].down_until_ns);
        self.around(first).find(is_up).or_else(longest_down).unwrap_or(self.at)
    }

    /// All addresses, from this one on.
    fn around(&self, first: usize) -> impl Iterator<Item = usize> {
        let all = self.places.len();
        (0..all).map(move |step| (first + step) % all)
    }

    /// Where to try instead, when a connection to `address` did not come about and `tried` other
    /// addresses were tried before; `None` when no other is known to be any better.
    pub(super) fn instead_of(&self, address: usize, tried: u16, now_ns: u64) -> Option<usize> {
        let others = self.places.len() - 1;
        let mut after = self.around(address + 1).take(others);
        let up = after.find(|&at| self.places[at].down_until_ns <= now_ns);
        up.filter(|_| usize::from(tried) < others)
    }

    /// How long an attempt may wait before it is looked whether another address is to be tried.
    pub(super) fn attempt_ns(&self, timeout_ns: u64) -> u64 {
        if self.places.len() > 1 { timeout_ns.min(SILENCE_NS) } else { timeout_ns }
    }

    /// Whether an address has accepted nothing for so long that one should not wait for it.
    pub(super) fn is_silent(&self, address: usize, now_ns: u64) -> bool {
        self.places[address].accepted_ns + SILENCE_NS <= now_ns
    }

    /// A connection is established.
    #[inline]
    pub(super) fn accepted(&mut self, address: usize, now_ns: u64) {
        if self.places.len() > 1 {
            self.places[address] = AddressState { accepted_ns: now_ns, ..AddressState::default() };
        }
    }

    /// An attempt has failed; whether the address is passed over from now on.
    pub(super) fn refused(&mut self, address: usize, failure: Failure, now_ns: u64) -> bool {
        if self.places.len() == 1 || !is_of_the_address(failure) {
            return false;
        }
        let is_silent = self.is_silent(address, now_ns);
        let place = &mut self.places[address];
        place.refusals = match failure.kind {
            Kind::Timeout if is_silent => REFUSALS_MAX,
            // Others got through meanwhile: it is slow, and not gone.
            Kind::Timeout => return false,
            _ => (place.refusals + 1).min(REFUSALS_MAX),
        };
        let is_down = place.refusals == REFUSALS_MAX;
        if is_down {
            place.down_until_ns = now_ns + DOWN_NS;
        }
        is_down
    }
}

/// Whether a connection to another address may fare better. A lack of ports, descriptors or memory is
/// of this side.
pub(super) fn is_of_the_address(failure: Failure) -> bool {
    use libc::{EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ENFILE, ENOBUFS, ENOMEM};
    let Failure { phase: Phase::Connect, kind } = failure else { return false };
    !matches!(kind, Kind::Errno(EADDRNOTAVAIL | EADDRINUSE | EAGAIN | ENOBUFS | ENOMEM | ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const REFUSED: Failure =
        Failure { phase: Phase::Connect, kind: Kind::Errno(libc::ECONNREFUSED) };
    const TIMEOUT: Failure = Failure { phase: Phase::Connect, kind: Kind::Timeout };

    fn next(route: &mut Route, now_ns: u64, times: usize) -> Vec<usize> {
        (0..times).map(|_| route.next(now_ns)).collect()
    }

    #[test]
    fn one_address_is_used_until_it_refuses() {
        let mut route = Route::new(3).without(0).starting_at(1);
        assert_eq!(next(&mut route, 0, 3), [1, 1, 1]);
        assert!(!route.refused(1, REFUSED, S) && !route.refused(1, REFUSED, S));
        assert_eq!(next(&mut route, S, 1), [1], "two may be chance");
        route.accepted(1, S);
        for down in [false, false, true] {
            assert_eq!(route.refused(1, REFUSED, 2 * S), down);
        }
        assert_eq!(next(&mut route, 2 * S, 2), [2, 2]);
        // It stays with the other one.
        assert_eq!(next(&mut route, 9 * S, 2), [2, 2]);
    }

    #[test]
    fn what_did_not_accept_before_the_run_gets_nothing_in_it() {
        let mut route = Route::new(2).without(0).starting_at(1);
        for second in 0..9 {
            assert_eq!(route.next(second * S), 1);
            route.refused(1, REFUSED, second * S);
            assert_eq!(route.instead_of(1, 0, second * S), None);
        }
    }

    #[test]
    fn when_none_accepts_each_gets_its_turn() {
        let mut route = Route::new(2);
        for _ in 0..3 {
            assert_eq!(route.instead_of(0, 0, 0), Some(1));
            assert_eq!(route.instead_of(1, 1, 0), None, "all were tried");
            route.refused(0, REFUSED, 0);
            route.refused(1, REFUSED, 1);
        }
        assert_eq!((route.next(2), route.instead_of(0, 0, 2)), (0, None));
        route.refused(0, REFUSED, 3);
        assert_eq!(route.next(4), 1, "the one that is passed over for longer");
        assert_eq!(route.instead_of(1, 0, 2 * S), Some(0));
    }

    #[test]
    fn silence_counts_only_while_nobody_gets_through() {
        let mut route = Route::new(2);
        route.accepted(0, 5 * S);
        assert!(!route.is_silent(0, 6 * S) && !route.refused(0, TIMEOUT, 6 * S));
        assert_eq!(route.next(6 * S), 0);
        assert!(route.is_silent(0, 7 * S) && route.refused(0, TIMEOUT, 7 * S));
        assert_eq!(route.next(7 * S), 1);
    }

    #[test]
    fn a_lack_on_this_side_says_nothing_of_the_address() {
        let mut route = Route::new(2);
        let of = |phase, errno| Failure::errno(phase, errno);
        for failure in [
            of(Phase::Connect, libc::EADDRNOTAVAIL),
            of(Phase::Bind, libc::EADDRINUSE),
            of(Phase::Socket, libc::EMFILE),
        ] {
            assert!((0..9).all(|_| !route.refused(0, failure, S)), "{failure}");
        }
        assert_eq!(route.next(S), 0);
    }

    #[test]
    fn all_addresses_have_their_turn_and_workers_begin_with_different_ones() {
        let route = Route::new(4).without(1).spread();
        let turns = |worker| next(&mut route.of_worker(worker), 0, 6);
        assert_eq!(turns(0), [0, 2, 3, 0, 2, 3]);
        assert_eq!(turns(1), [2, 3, 0, 2, 3, 0]);
        assert_eq!(turns(2), [3, 0, 2, 3, 0, 2]);
        assert_eq!(turns(3), turns(0));
    }

    #[test]
    fn one_that_is_down_is_passed_over_for_a_second_and_asked_again() {
        let mut route = Route::new(3).spread().of_worker(0);
        assert!((0..3).map(|_| route.refused(1, REFUSED, S)).eq([false, false, true]));
        assert_eq!(next(&mut route, S, 4), [0, 2, 0, 2]);
        assert_eq!(next(&mut route, 2 * S, 3), [0, 1, 2]);
        assert!(route.refused(1, REFUSED, 2 * S), "one more is enough");
        assert_eq!(next(&mut route, 2 * S, 3), [0, 2, 0]);
        assert_eq!(next(&mut route, 3 * S, 1), [1]);
        route.accepted(1, 3 * S);
        assert!(!route.refused(1, REFUSED, 3 * S));
    }

    #[test]
    fn a_single_address_is_no_question() {
        let mut route = Route::new(1);
        assert!((0..9).all(|_| !route.refused(0, REFUSED, S)));
        assert_eq!((route.next(S), route.instead_of(0, 0, S)), (0, None));
        assert_eq!(route.attempt_ns(10 * S), 10 * S);
    }
}
