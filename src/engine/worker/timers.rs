//! When each slot is looked at next by the clock; the worker has one of these for rests and one for
//! deadlines.
//!
//! A slot has one entry, in a binary heap that knows where each slot stands. What is due earlier
//! moves the entry forward; what is due later leaves it where it is, and whoever is looked at too
//! early is put back. So a kept connection, whose deadline moves with every request, costs the heap
//! one look in the time of a timeout, and nothing here grows with the number of slots but the depth
//! of the heap.

/// A slot without an entry.
const NOWHERE: u32 = u32::MAX;

/// When, and whose. Packed, as there is one for each of perhaps a million slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
struct Entry {
    due_ns: u64,
    slot: u32,
}

/// The slots' entries.
#[derive(Debug)]
pub(super) struct Timers {
    heap: Vec<Entry>,
    /// Where each slot stands in the heap; those that never did are not in here.
    place: Vec<u32>,
}

impl Timers {
    /// None yet, of so many slots.
    pub(super) fn new(slots: u32) -> Timers {
        // Memory that is not touched costs nothing.
        let slots = slots as usize;
        Timers { heap: Vec::with_capacity(slots), place: Vec::with_capacity(slots) }
    }

    /// Looks at a slot at `due_ns` at the latest.
    #[inline]
    pub(super) fn set(&mut self, slot: u32, due_ns: u64) {
        let at = self.place.get(slot as usize).copied().unwrap_or(NOWHERE);
        // As a rule it is due later than its entry says.
        if self.heap.get(at as usize).map_or(u64::MAX, |known| known.due_ns) > due_ns {
            self.bring_forward(slot, at, due_ns);
        }
    }

    fn bring_forward(&mut self, slot: u32, at: u32, due_ns: u64) {
        if at != NOWHERE {
            self.heap[at as usize].due_ns = due_ns;
            return self.rise(at as usize);
        }
        if self.place.len() <= slot as usize {
            self.place.resize(slot as usize + 1, NOWHERE);
        }
        self.heap.push(Entry { due_ns, slot });
        self.rise(self.heap.len() - 1);
    }

    /// When there is something to look at.
    #[inline]
    pub(super) fn next_ns(&self) -> u64 {
        self.heap.first().map_or(u64::MAX, |first| first.due_ns)
    }

    /// The slot that is due first, if it is due.
    #[inline]
    pub(super) fn due(&self, now_ns: u64) -> Option<u32> {
        self.heap.first().filter(|first| first.due_ns <= now_ns).map(|first| first.slot)
    }

    /// Takes away the entry of the slot that is due first.
    pub(super) fn pop(&mut self) {
        let Some(last) = self.heap.pop() else { return };
        let first = match self.heap.first_mut() {
            Some(first) => std::mem::replace(first, last),
            None => last,
        };
        self.place[first.slot as usize] = NOWHERE;
        if !self.heap.is_empty() {
            self.sink(0);
        }
    }

    /// Takes away the entry of a slot, if it has one.
    pub(super) fn forget(&mut self, slot: u32) {
        let mut at = self.place.get(slot as usize).map_or(usize::MAX, |&at| at as usize);
        if at >= self.heap.len() {
            return;
        }
        let entry = self.heap[at];
        while at > 0 {
            self.settle(at, self.heap[(at - 1) / 2]);
            at = (at - 1) / 2;
        }
        self.settle(0, entry);
        self.pop();
    }

    /// Moves an entry forward until what stands before it is due no later.
    fn rise(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 && entry < self.heap[(at - 1) / 2] {
            self.settle(at, self.heap[(at - 1) / 2]);
            at = (at - 1) / 2;
        }
        self.settle(at, entry);
    }

    /// Moves an entry back until what stands behind it is due no earlier.
    fn sink(&mut self, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = match right < self.heap.len() && self.heap[right] < self.heap[left] {
                true => right,
                false => left,
            };
            if child >= self.heap.len() || entry <= self.heap[child] {
                break;
            }
            self.settle(at, self.heap[child]);
            at = child;
        }
        self.settle(at, entry);
    }

    fn settle(&mut self, at: usize, entry: Entry) {
        self.heap[at] = entry;
        self.place[entry.slot as usize] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn take_due(timers: &mut Timers, now_ns: u64) -> Option<u32> {
        let slot = timers.due(now_ns)?;
        timers.pop();
        Some(slot)
    }

    #[test]
    fn the_soonest_comes_first_and_nobody_comes_early() {
        let mut timers = Timers::new(3);
        assert_eq!(timers.next_ns(), u64::MAX);
        timers.set(0, 30);
        timers.set(1, 10);
        timers.set(2, 20);
        assert_eq!((timers.next_ns(), take_due(&mut timers, 9)), (10, None));
        let order: Vec<u32> = std::iter::from_fn(|| take_due(&mut timers, 30)).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn an_entry_is_brought_forward_and_never_put_off() {
        let mut timers = Timers::new(1);
        timers.set(0, 30);
        timers.set(0, 50);
        assert_eq!(timers.next_ns(), 30);
        timers.set(0, 20);
        timers.set(0, u64::MAX);
        assert_eq!(take_due(&mut timers, 20), Some(0));
        assert_eq!(take_due(&mut timers, u64::MAX), None);
        timers.set(0, u64::MAX);
        assert_eq!(timers.next_ns(), u64::MAX);
    }

    proptest! {
        /// Against a map that is searched for its smallest.
        #[test]
        fn it_is_a_queue_of_the_earliest_time_of_each(
            steps in proptest::collection::vec((0u32..20, 0u64..100, 0..4), 0..300),
        ) {
            let mut timers = Timers::new(20);
            let mut plain: BTreeMap<u32, u64> = BTreeMap::new();
            for (slot, due_ns, step) in steps {
                if step == 0 {
                    timers.forget(slot);
                    plain.remove(&slot);
                } else if step == 1 {
                    let first = plain.iter().map(|(&slot, &due_ns)| (due_ns, slot)).min();
                    prop_assert_eq!(timers.next_ns(), first.map_or(u64::MAX, |(ns, _)| ns));
                    prop_assert_eq!(timers.due(u64::MAX), first.map(|(_, slot)| slot));
                    timers.pop();
                    if let Some((_, slot)) = first {
                        plain.remove(&slot);
                    }
                } else {
                    timers.set(slot, due_ns);
                    plain.entry(slot).and_modify(|ns| *ns = due_ns.min(*ns)).or_insert(due_ns);
                }
            }
        }
    }
}
