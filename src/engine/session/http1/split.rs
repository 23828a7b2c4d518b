//! Heads that come in pieces. A slot has memory for one only while a piece is there: the others
//! have none, and what one slot gives back the next one uses.

use std::num::NonZeroU32;

/// Memory that was used is kept up to here, so that it is not allocated again.
pub(super) const KEPT_BYTES: usize = 4 << 10;

/// A slot's head so far, if it has one: its number, counted from 1.
#[derive(Debug, Default)]
pub(super) struct Split(Option<NonZeroU32>);

/// The heads so far of all the slots of a worker.
#[derive(Debug, Default)]
pub(super) struct Splits {
    /// By their number; those that nobody has are empty.
    heads: Vec<Vec<u8>>,
    free: Vec<NonZeroU32>,
}

impl Splits {
    /// The first piece of a head.
    pub(super) fn begin(&mut self, split: &mut Split, bytes: &[u8]) {
        debug_assert!(split.0.is_none(), "a head is under way");
        let number = self.free.pop().unwrap_or_else(|| {
            self.heads.push(Vec::new());
            NonZeroU32::new(self.heads.len() as u32).expect("it is not empty")
        });
        self.of(number).extend_from_slice(bytes);
        split.0 = Some(number);
    }

    /// Takes out the pieces so far, `None` where there are none. They are put back or forgotten.
    pub(super) fn take(&mut self, split: &Split) -> Option<Vec<u8>> {
        split.0.map(|number| std::mem::take(self.of(number)))
    }

    /// Puts back what was taken out.
    pub(super) fn put(&mut self, split: &Split, head: Vec<u8>) {
        if let Some(number) = split.0 {
            *self.of(number) = head;
        }
    }

    /// The head is whole, or nobody waits for the rest of it.
    pub(super) fn forget(&mut self, split: &mut Split) {
        let Some(number) = split.0.take() else { return };
        let head = self.of(number);
        head.clear();
        head.shrink_to(KEPT_BYTES);
        self.free.push(number);
    }

    fn of(&mut self, number: NonZeroU32) -> &mut Vec<u8> {
        &mut self.heads[number.get() as usize - 1]
    }

    /// How much memory the heads have, and how many there are.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> (usize, usize) {
        (self.heads.iter().map(Vec::capacity).sum(), self.heads.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_slot_gives_back_the_next_one_uses() {
        let mut splits = Splits::default();
        let [mut one, mut two] = [Split::default(), Split::default()];
        assert_eq!(splits.take(&one), None);
        splits.begin(&mut one, b"HTTP");
        splits.begin(&mut two, b"HT");
        let mut head = splits.take(&one).expect("it has begun");
        assert_eq!(head, b"HTTP");
        head.resize(10 * KEPT_BYTES, b'x');
        splits.put(&one, head);
        splits.forget(&mut one);
        splits.begin(&mut one, b"H");
        assert_eq!(splits.take(&one).as_deref(), Some(b"H".as_slice()));
        assert_eq!(splits.take(&two).as_deref(), Some(b"HT".as_slice()));
        let (bytes, heads) = splits.capacity();
        assert_eq!(heads, 2);
        assert!(bytes <= heads * KEPT_BYTES, "{bytes} bytes are kept");
    }
}
