//! Receiving, and receiving once more: where all shared buffers are lent, the kernel says ENOBUFS,
//! and nobody but the driver hears of it.
//!
//! ```text
//!   receive ──► the kernel waits for bytes ──► takes a buffer ──► completion
//!                        ▲                 └─► ENOBUFS ──► starved ─┐
//!                        └──────── a turn later, buffers are back ◄─┘
//! ```

use super::UringDriver;
use super::memory::{GROUP, Target};
use super::place::{bit, fact};
use super::tier::Tier;
use crate::engine::driver::{Completion, Demand, Op, SlotId, Token};
use io_uring::{opcode, squeue, types};
use std::io;

/// Wait for data before trying to receive (5.19); missing from the crate's exports.
const RECVSEND_POLL_FIRST: u16 = 1;

impl UringDriver {
    pub(super) fn push_receive(&mut self, slot: SlotId, demand: Demand) {
        let place = self.places[slot.index as usize];
        // Of what nobody reads TCP need not make a copy.
        let (target, message_flags) = match demand {
            Demand::Read => (self.memory.receive.target(slot.index as usize), 0),
            Demand::Discard(count) => {
                let (start, bytes) = self.memory.sink(count);
                (Target { start, bytes, flags: squeue::Flags::empty() }, libc::MSG_TRUNC)
            }
        };
        let (start, len) = (target.start, target.bytes as u32);
        let entry = match self.is_direct() {
            true => opcode::Recv::new(types::Fixed(slot.index), start, len),
            false => opcode::Recv::new(types::Fd(place.fd), start, len),
        };
        // Nothing is there yet as a rule: waiting first saves the attempt that would find that.
        let wait_first = !place.is(fact::MORE) && self.features.tier >= Tier::Plain;
        let priority = if wait_first { RECVSEND_POLL_FIRST } else { 0 };
        let entry = entry.flags(message_flags).ioprio(priority).buf_group(GROUP).build();
        let token = Token { op: Op::Receive, slot }.to_bits();
        self.push(&entry.user_data(token).flags(target.flags));
    }

    /// A receive found no buffer (a socket has no such error): it is to be asked for again, unless
    /// it has been cancelled meanwhile. Whether that is so.
    pub(super) fn starve(&mut self, slot: SlotId) -> bool {
        let place = &mut self.places[slot.index as usize];
        if place.generation != slot.generation || place.is(fact::CANCELLED) {
            return false;
        }
        place.set(fact::STARVED, true);
        // Bytes are there.
        place.set(fact::MORE, true);
        self.starved.push_back(slot);
        true
    }

    /// Gives the buffers back that the latest turn has brought, and asks again for as many receives
    /// as there may be buffers.
    pub(super) fn give_buffers_back(&mut self) {
        // Some of the buffers are those of completions that are still to be brought: rare enough to
        // let the others wait with them.
        if self.early.is_empty() {
            self.memory.receive.give_back();
        }
        if self.starved.is_empty() {
            return;
        }
        self.memory.receive.grow();
        let posted = self.ring.completion().len();
        let mut left = self.memory.receive.not_lent().saturating_sub(posted);
        while left > 0
            && let Some(slot) = self.starved.pop_front()
        {
            let place = &mut self.places[slot.index as usize];
            // It may have been cancelled, and the slot have gone to another connection.
            if place.generation == slot.generation && place.take(fact::STARVED) {
                self.push_receive(slot, Demand::Read);
                left -= 1;
            }
        }
    }

    /// Notes that a receive is cancelled; whether that has ended it, as it was only to be asked for
    /// again.
    pub(super) fn cancel_starved(&mut self, slot: SlotId) -> bool {
        let place = &mut self.places[slot.index as usize];
        if place.generation != slot.generation {
            return false;
        }
        place.set(fact::CANCELLED, true);
        if !place.take(fact::STARVED) {
            return false;
        }
        place.under_way &= !bit(Op::Receive);
        self.outstanding = self.outstanding.saturating_sub(1);
        let token = Token { op: Op::Receive, slot };
        let result = Err(io::Error::from_raw_os_error(libc::ECANCELED));
        self.early.push(Completion { token, result, more: false });
        true
    }
}
