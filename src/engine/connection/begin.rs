//! How exchanges begin on an open connection: those that wait for it, and those that are taken now.

use super::exchanges::Stand;
use super::{Connection, Step, Surroundings};
use crate::engine::pace::Wait;
use crate::engine::policy::Policy;
use crate::engine::session::{Lane, Session};

impl<S: Session> Connection<S> {
    /// Begins what waits, and what there is to begin beside it.
    pub(super) fn take_and_begin(&mut self, room: Lane, around: &mut Surroundings<S>) -> Step {
        let index = self.index();
        let wanted = room.min(self.batch_size(&around.policy));
        if self.flight.waiting > 0 {
            // What is sent again has begun at one time, and nothing new is sent with it.
            let lanes = around.exchanges.of(self.slot.index).iter();
            let again = lanes.clone().any(|one| one.stand == Stand::Waiting && one.again);
            let extra = wanted.saturating_sub(self.flight.waiting);
            if extra > 0 && !again {
                self.take(extra, Some(around.slots[index].part), around);
            }
        } else if wanted > 0 && around.slots[index].may_take(&around.pace) {
            self.take(wanted, None, around);
        }
        if self.flight.waiting == 0 {
            let slot = &mut around.slots[index];
            if wanted == 0 || slot.waits() {
                return Step::Go;
            }
            let rest_ns = slot.take_rest_ns(&mut around.pace);
            let until = rest_ns.map(|rest_ns| Wait::Until(around.now_ns + rest_ns));
            return Step::Rest(until.unwrap_or(Wait::InLine));
        }
        // It carries no further one; what waits here goes to the next connection.
        if wanted == 0 && self.flight.under_way == 0 {
            return self.close(around.now_ns);
        }
        self.begin(wanted, around);
        Step::Go
    }

    /// How many requests the connection takes at once now.
    fn batch_size(&self, policy: &Policy) -> Lane {
        let free = policy.pipeline - self.flight.under_way;
        match policy.requests_per_connection {
            None => free,
            Some(limit) => limit.saturating_sub(self.flight.begun).min(u64::from(free)) as Lane,
        }
    }

    /// Whether it carries no further request by the plan.
    pub(super) fn has_had_its_share(&self, policy: &Policy) -> bool {
        policy.requests_per_connection.is_some_and(|limit| self.flight.begun >= limit)
    }

    /// Hands the exchanges that wait to the session, as many as there is room for.
    fn begin(&mut self, room: Lane, around: &mut Surroundings<S>) {
        around.slots[self.slot.index as usize].begin();
        let (now_ns, timeout_ns) = (around.now_ns, around.policy.timeout_ns);
        // The first ones of a connection have waited for it.
        let begins_ns = if self.flight.begun == 0 { self.opened_ns } else { now_ns };
        if self.flight.under_way == 0 {
            self.deadline_ns = u64::MAX;
        }
        let mut left = room.min(self.flight.waiting);
        let mut lane = 0;
        while left > 0 {
            let lanes = around.exchanges.of_mut(self.slot.index);
            let begin = lane;
            while left > 0 && lanes.get(lane).is_some_and(|one| one.stand == Stand::Waiting) {
                let exchange = &mut lanes[lane];
                exchange.stand = Stand::UnderWay;
                exchange.handed_ns = now_ns;
                let before = self.flight.begun + (lane - begin) as u64;
                exchange.serial = u32::try_from(before).unwrap_or(u32::MAX);
                if std::mem::take(&mut exchange.again) {
                    around.tallies.of(exchange.part).counters.resent += 1;
                } else {
                    exchange.begun_ns = begins_ns;
                }
                self.deadline_ns =
                    self.deadline_ns.min(exchange.begun_ns.saturating_add(timeout_ns));
                lane += 1;
                left -= 1;
            }
            let count = (lane - begin) as Lane;
            if count > 0 {
                self.flight.waiting -= count;
                self.flight.under_way += count;
                self.flight.begun += u64::from(count);
                let last = left == 0 && self.has_had_its_share(&around.policy);
                self.session.begin(&mut around.shared, begin as Lane..lane as Lane, last);
            }
            lane += 1;
        }
    }
}
