//! What the driver knows of a slot, in as few bytes as it takes: there may be a million of them,
//! and all but a few have nothing to do.
//!
//! ```text
//!   0       4            8         12      16             20       22          23      24
//!   [  fd  ][ generation ][ address ][ block ][ failed_early ][ buffer ][ under_way ][ facts ]
//! ```

use super::memory::{NO_BLOCK, NO_BUFFER};
use crate::engine::driver::{Extent, Op, SlotId};
use std::os::fd::RawFd;

/// No descriptor.
pub(super) const NO_SOCKET: RawFd = -1;

/// In the place of a direct descriptor, whose number is the slot's.
pub(super) const DIRECT_SOCKET: RawFd = 0;

/// A step of `open` that failed before connect was reached, or a quiet send that failed before the
/// one behind it: the completion that is still to come tells of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EarlyFailure {
    errno: u16,
    pub(super) op: Op,
}

impl EarlyFailure {
    /// The kernel's numbers go up to 4095.
    pub(super) fn new(op: Op, errno: i32) -> EarlyFailure {
        EarlyFailure { errno: errno as u16, op }
    }

    pub(super) fn errno(self) -> i32 {
        self.errno.into()
    }
}

/// What the driver knows of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The descriptor, [`NO_SOCKET`], or for a direct one [`DIRECT_SOCKET`].
    pub(super) fd: RawFd,
    pub(super) generation: u32,
    pub(super) address: u32,
    /// The copy that is being sent.
    pub(super) block: u32,
    pub(super) failed_early: Option<EarlyFailure>,
    /// Where the latest receive has put its bytes.
    pub(super) buffer: u16,
    /// Operations whose completion will come, a [`bit`] for each.
    pub(super) under_way: u8,
    facts: u8,
}

/// What holds or does not hold, a bit each.
pub(super) mod fact {
    /// A source is to be bound.
    pub(in super::super) const BINDS: u8 = 1 << 0;
    /// The socket had more when it was last read: do not wait for a wake-up first.
    pub(in super::super) const MORE: u8 = 1 << 1;
    /// A send of which only a failure is told.
    pub(in super::super) const QUIET_SEND: u8 = 1 << 2;
    /// Nothing was sent, or bytes have come since the latest send: whoever answers has what was
    /// sent.
    pub(in super::super) const HEARD: u8 = 1 << 3;
    /// A receive found no buffer, and is to be asked for again.
    pub(in super::super) const STARVED: u8 = 1 << 4;
    /// The receive that is under way is to be cancelled.
    pub(in super::super) const CANCELLED: u8 = 1 << 5;
    /// The extent that was asked for last is what was sent, not what was acknowledged.
    pub(super) const UNTIL_SENT: u8 = 1 << 6;
}

impl Place {
    /// The place of a connection that is about to be opened.
    pub(super) fn new(slot: SlotId, address: usize) -> Place {
        Place {
            fd: NO_SOCKET,
            generation: slot.generation,
            address: address as u32,
            block: NO_BLOCK,
            failed_early: None,
            buffer: NO_BUFFER,
            under_way: 0,
            facts: fact::HEARD,
        }
    }

    pub(super) fn is(&self, fact: u8) -> bool {
        self.facts & fact != 0
    }

    pub(super) fn set(&mut self, fact: u8, holds: bool) {
        match holds {
            true => self.facts |= fact,
            false => self.facts &= !fact,
        }
    }

    /// Whether it held; afterwards it does not.
    pub(super) fn take(&mut self, fact: u8) -> bool {
        let held = self.is(fact);
        self.set(fact, false);
        held
    }

    pub(super) fn set_extent(&mut self, extent: Extent) {
        self.set(fact::UNTIL_SENT, extent == Extent::Sent);
    }

    /// What was asked for last.
    pub(super) fn extent(&self) -> Extent {
        match self.is(fact::UNTIL_SENT) {
            true => Extent::Sent,
            false => Extent::Acknowledged,
        }
    }
}

/// An operation in [`Place::under_way`]; an `open` is one, whichever of its steps completes it.
pub(super) fn bit(op: Op) -> u8 {
    match op {
        Op::Socket | Op::Option | Op::Bind | Op::Connect => 1,
        Op::Send => 2,
        Op::Receive => 4,
        Op::Extent | Op::Close | Op::Cancel => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<Place>(), 24);
    }

    #[test]
    fn facts_do_not_touch_each_other() {
        let mut place = Place::new(SlotId { index: 0, generation: 7 }, 3);
        assert!(place.is(fact::HEARD) && !place.is(fact::MORE));
        place.set(fact::MORE, true);
        place.set_extent(Extent::Sent);
        assert!(place.take(fact::HEARD) && !place.take(fact::HEARD));
        assert!(place.is(fact::MORE));
        assert_eq!(place.extent(), Extent::Sent);
        place.set_extent(Extent::Acknowledged);
        assert_eq!(place.extent(), Extent::Acknowledged);
    }
}
