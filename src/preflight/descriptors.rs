//! Descriptors: what the plan needs, what this process may have.
//!
//! Direct descriptors take no descriptor number, but each ring's table of them may not be larger
//! than the limit; plain ones count, all rings together.

use super::Refusal;
use crate::driver::Engine;
use crate::driver::uring::Tier;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Standard streams, one ring or epoll instance a thread, the bundled server's own, files being written.
const BESIDE_CONNECTIONS: u64 = 32;

/// Raises the soft limit to the hard one; returns what is allowed then.
pub fn raise_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        true => hard,
        false => soft,
    }
}

/// How many descriptors a plan needs at once, in the sense of the limit.
pub fn needed(connections: u32, threads: u32, engine: Engine, bundled_server: bool) -> u64 {
    let direct = engine.tier() == Some(Tier::Direct);
    let own = match direct {
        true => u64::from(connections.div_ceil(threads.max(1))),
        false => u64::from(connections) + u64::from(threads),
    };
    // The bundled server has the other end of every connection, in the same process.
    let served = if bundled_server { u64::from(connections) } else { 0 };
    match direct {
        true => own.max(served) + BESIDE_CONNECTIONS,
        false => own + served + BESIDE_CONNECTIONS,
    }
}

/// Refuses what does not fit.
///
/// # Errors
/// The number needed, the number allowed and the cure.
pub fn check(needed: u64, allowed: u64, connections: u32) -> Result<(), Refusal> {
    if needed <= allowed {
        return Ok(());
    }
    Err(Refusal {
        what: format!(
            "{connections} connections need {needed} file descriptors, and {allowed} are allowed"
        ),
        cure: format!(
            "ulimit -Hn {needed} as root (or LimitNOFILE= in a unit, nofile in limits.conf), or \
             fewer connections (-c)"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::uring::Features;

    #[test]
    fn direct_descriptors_count_for_each_ring_and_plain_ones_in_all() {
        let ring = |tier| Engine::IoUring(Features { tier, ..Features::best() });
        assert_eq!(needed(10_000, 2, ring(Tier::Direct), false), 5_000 + 32);
        assert_eq!(needed(10_000, 2, ring(Tier::Plain), false), 10_002 + 32);
        assert_eq!(needed(10_000, 2, Engine::Epoll, false), 10_002 + 32);
        assert_eq!(needed(10_000, 2, ring(Tier::Direct), true), 10_000 + 32);
        assert_eq!(needed(10_000, 1, ring(Tier::Basic), true), 20_001 + 32);
        assert_eq!(needed(10_000, 1, Engine::Epoll, true), 20_001 + 32);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers_and_the_cure() {
        assert_eq!(check(100, 100, 60), Ok(()));
        let refusal = check(101, 100, 60).unwrap_err().to_string();
        assert!(refusal.contains("need 101") && refusal.contains("100 are allowed"), "{refusal}");
        assert!(refusal.contains("ulimit -Hn 101"), "{refusal}");
    }
}
