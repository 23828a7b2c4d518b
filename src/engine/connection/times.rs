//! What a connection does by the clock.

use super::exchanges::Stand;
use super::{Connection, State, Step, Surroundings, Told, listener};
use crate::engine::driver::Op;
use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::session::{Lane, Session};

impl<S: Session> Connection<S> {
    /// The deadline has passed.
    pub fn expire(&mut self, around: &mut Surroundings<S>) -> Step {
        match self.state {
            State::Idle => Step::Wait,
            State::Opening => {
                let end_ns = self.carried_end_ns(around);
                if around.now_ns < end_ns && !self.is_in_vain(around) {
                    self.deadline_ns = end_ns;
                    return Step::Wait;
                }
                self.not_opened(Failure { phase: Phase::Connect, kind: Kind::Timeout }, around)
            }
            State::Open => self.look_at_times(around),
            State::Asking => self.time_out(around),
            State::Lingering => {
                around.tallies.current().counters.not_closed_by_peer += 1;
                self.close(around.now_ns)
            }
            // The kernel has not answered the cancellation: ask again.
            State::Closing => self.close(around.now_ns),
        }
    }

    /// An open connection has something to do by the clock.
    fn look_at_times(&mut self, around: &mut Surroundings<S>) -> Step {
        let now_ns = around.now_ns;
        if self.session.wake_ns() <= now_ns {
            let mut told = listener!(self, around);
            if let Err(failure) = self.session.wake(&mut around.shared, &mut told) {
                return self.fail(failure, around);
            }
            if self.deadline_ns > now_ns {
                return match self.settling {
                    true => Step::Go,
                    false => self.proceed(false, around),
                };
            }
        }
        if self.in_flight() == 0 {
            return match self.settling {
                true => self.close(around.now_ns),
                false if self.stage_end_ns(around) <= now_ns => {
                    self.set_up_failed(Kind::Timeout, around)
                }
                false => self.proceed(false, around),
            };
        }
        if self.flight.begun == 0 {
            // Nothing could be handed over in all that time.
            return self.set_up_failed(Kind::Timeout, around);
        }
        for lane in 0..around.exchanges.of(self.slot.index).len() {
            let exchange = &around.exchanges.of(self.slot.index)[lane];
            let stand = exchange.stand;
            if stand == Stand::Free || self.end_ns(exchange, around) > now_ns {
                continue;
            }
            if stand == Stand::UnderWay && !self.session.abandon(&mut around.shared, lane as Lane) {
                return self.time_out(around);
            }
            self.lose_lane(lane, self.timeout(), around);
            around.slots[self.slot.index as usize].fail(self.timeout());
        }
        self.note_times(around);
        self.proceed(false, around)
    }

    /// What has taken too long.
    fn timeout(&self) -> Failure {
        let sending = self.outstanding.contains(Op::Send);
        let phase = if sending { Phase::Send } else { Phase::Response };
        Failure { phase, kind: Kind::Timeout }
    }

    /// All that is under way has failed, as its time is over.
    fn time_out(&mut self, around: &mut Surroundings<S>) -> Step {
        self.fail(self.fault.failure().unwrap_or(self.timeout()), around)
    }

    /// The deadline is that of the exchange that began first.
    fn note_times(&mut self, around: &Surroundings<S>) {
        let lanes = around.exchanges.of(self.slot.index).iter();
        let begun = lanes.filter(|exchange| exchange.stand != Stand::Free);
        let first_ns = begun.map(|exchange| self.end_ns(exchange, around)).min();
        self.deadline_ns = first_ns.unwrap_or(u64::MAX);
    }
}
