//! State by what a path asked for, shared by the threads of a server.

use std::sync::{Mutex, PoisonError};

/// What is found in a few steps, and more than a measurement asks for.
pub(crate) const FEW: usize = 64;

/// Up to `FEW` states, each made when it is first asked for and kept as long as the server.
///
/// One lock for all of them: it is held for a few comparisons and sums.
#[derive(Debug)]
pub(crate) struct Few<K, S>(Mutex<Vec<(K, S)>>);

impl<K: PartialEq, S> Few<K, S> {
    pub(crate) fn new() -> Self {
        Few(Mutex::new(Vec::new()))
    }

    /// Calls `act` on the state of `key`; `None` if there are too many others.
    pub(crate) fn with<T>(
        &self,
        key: K,
        make: impl FnOnce() -> S,
        act: impl FnOnce(&mut S) -> T,
    ) -> Option<T> {
        let mut few = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match few.iter().position(|(k, _)| *k == key) {
            Some(at) => at,
            None if few.len() < FEW => {
                few.push((key, make()));
                few.len() - 1
            }
            None => return None,
        };
        Some(act(&mut few[at].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_state_until_there_are_too_many() {
        let few = Few::new();
        let replace = |key: usize, state| few.with(key, || 0, |old| std::mem::replace(old, state));
        for round in 0..3 {
            for key in 0..FEW {
                assert_eq!(replace(key, round + 1), Some(round));
            }
            assert_eq!(replace(FEW, round + 1), None);
        }
    }
}
