//! Descriptors: what the plan needs, and what this process may have.
//!
//! Direct descriptors take no descriptor number, but each ring's table of them may not be larger
//! than the limit; plain ones count, all rings together.

use crate::engine::driver::Engine;
use crate::engine::driver::uring::Tier;
use crate::words::Refusal;
use crate::words::quantities::{count, counted};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Standard streams, one ring or epoll instance a thread, the bundled server's own, files being written.
const BESIDE_CONNECTIONS: u64 = 32;

/// Raises the soft limit to the hard one; returns the limit that then holds.
pub(crate) fn raise_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        true => hard,
        false => soft,
    }
}

/// What a plan needs of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    connections: u32,
    threads: u32,
    /// The largest table of direct descriptors, which the limit bounds by itself; 0 without one.
    table: u64,
    /// How many plain descriptors are open at once.
    plain: u64,
}

impl Needed {
    /// What these connections need. The bundled server has the other end of every one of them, in
    /// the same process.
    pub(crate) fn by(
        connections: u32,
        threads: u32,
        engine: Engine,
        bundled_server: bool,
    ) -> Needed {
        let direct = engine.tier() == Some(Tier::Direct);
        let ends = u64::from(!direct) + u64::from(bundled_server);
        Needed {
            connections,
            threads,
            table: if direct { u64::from(connections.div_ceil(threads.max(1))) } else { 0 },
            plain: u64::from(connections) * ends + u64::from(threads) + BESIDE_CONNECTIONS,
        }
    }

    /// The limit that suffices.
    pub(crate) fn limit(self) -> u64 {
        self.table.max(self.plain)
    }

    /// Where the number comes from.
    fn how(self) -> String {
        let Needed { connections, threads, table, plain } = self;
        let of_each = plain - u64::from(threads) - BESIDE_CONNECTIONS;
        let threads = counted(threads.into(), "thread");
        if table >= plain {
            return format!(
                "each of {threads} has a table of {} for its share of the connections",
                count(table)
            );
        }
        let ends = match of_each > connections.into() {
            true => "both ends of every connection, because the server is the bundled one",
            false if table > 0 => "the bundled server's end of every connection",
            false => "every connection",
        };
        format!("one for {ends}, one for each of {threads} and {BESIDE_CONNECTIONS} for files")
    }
}

/// Refuses what does not fit.
///
/// # Errors
/// The number needed, the number allowed and the cure.
pub(crate) fn check(needed: Needed, allowed: u64) -> Result<(), Refusal> {
    let limit = needed.limit();
    if limit <= allowed {
        return Ok(());
    }
    Err(Refusal {
        what: format!(
            "{} connections need {} file descriptors, and {} are allowed: {}",
            count(needed.connections.into()),
            count(limit),
            count(allowed),
            needed.how()
        ),
        cure: format!(
            "ulimit -Hn {limit} as root (or LimitNOFILE= in a unit, nofile in limits.conf), or \
             fewer connections (-c)"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::driver::uring::Features;

    fn ring(tier: Tier) -> Engine {
        Engine::IoUring(Features { tier, ..Features::best() })
    }

    #[test]
    fn direct_descriptors_count_for_each_ring_and_plain_ones_in_all() {
        let limit = |threads, engine, bundled| Needed::by(10_000, threads, engine, bundled).limit();
        assert_eq!(limit(2, ring(Tier::Direct), false), 5_000);
        assert_eq!(limit(2, ring(Tier::Plain), false), 10_002 + 32);
        assert_eq!(limit(2, Engine::Epoll, false), 10_002 + 32);
        assert_eq!(limit(2, ring(Tier::Direct), true), 10_002 + 32);
        assert_eq!(limit(1, ring(Tier::Basic), true), 20_001 + 32);
        assert_eq!(limit(1, Engine::Epoll, true), 20_001 + 32);
        // A few connections need no less than the rest does.
        assert_eq!(Needed::by(1, 1, ring(Tier::Direct), false).limit(), 33);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_numbers_that_can_be_followed() {
        let refused = |engine, bundled| {
            let needed = Needed::by(100_000, 2, engine, bundled);
            assert_eq!(check(needed, needed.limit()), Ok(()));
            check(needed, 20_000).unwrap_err().to_string()
        };
        for (text, number, how) in [
            (
                refused(ring(Tier::Direct), false),
                "50,000",
                "each of 2 threads has a table of 50,000 for its share of the connections",
            ),
            (
                refused(Engine::Epoll, false),
                "100,034",
                "one for every connection, one for each of 2 threads and 32 for files",
            ),
            (
                refused(ring(Tier::Direct), true),
                "100,034",
                "one for the bundled server's end of every connection, one for each",
            ),
            (refused(Engine::Epoll, true), "200,034", "one for both ends of every connection"),
        ] {
            let what = format!(
                "100,000 connections need {number} file descriptors, and 20,000 are allowed: {how}"
            );
            assert!(text.starts_with(&what), "{text}");
            assert!(text.contains(&format!("ulimit -Hn {}", number.replace(',', ""))), "{text}");
        }
    }
}
