//! What the kernel still owes an answer for.

use crate::engine::driver::Op;

/// The operations that the kernel has not answered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outstanding(u8);

impl Outstanding {
    const OPS: [Op; 4] = [Op::Connect, Op::Send, Op::Receive, Op::Extent];

    fn bit(op: Op) -> u8 {
        match op {
            Op::Socket | Op::Option | Op::Bind | Op::Connect => 1,
            Op::Send => 2,
            Op::Receive => 4,
            Op::Extent => 8,
            Op::Close | Op::Cancel => 0,
        }
    }

    pub(super) fn insert(&mut self, op: Op) {
        self.0 |= Self::bit(op);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, op: Op) -> bool {
        let had = self.contains(op);
        self.0 &= !Self::bit(op);
        had
    }

    /// Whether this operation is one of them.
    pub fn contains(self, op: Op) -> bool {
        self.0 & Self::bit(op) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One by one; an `open` under way counts as its connect.
    pub fn iter(self) -> impl Iterator<Item = Op> {
        Self::OPS.into_iter().filter(move |&op| self.contains(op))
    }
}
