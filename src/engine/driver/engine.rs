//! Which driver a run goes over: the ring where there is one, epoll where there is not.

use super::uring::{self, Features, Tier, Unavailable};

/// A driver that this box can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The ring, and what it can do.
    IoUring(Features),
    /// Readiness and system calls.
    Epoll,
}

impl Engine {
    /// The best that there could be.
    #[cfg(test)]
    pub(crate) fn best() -> Engine {
        Engine::IoUring(Features::best())
    }

    /// The word used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::IoUring(_) => EngineChoice::IoUring.name(),
            Engine::Epoll => EngineChoice::Epoll.name(),
        }
    }

    /// Whether slots share receive buffers; otherwise each has its own.
    pub const fn shares_buffers(self) -> bool {
        match self {
            Engine::IoUring(features) => features.buffer_ring,
            Engine::Epoll => true,
        }
    }

    /// The set of ring features in use.
    pub const fn tier(self) -> Option<Tier> {
        match self {
            Engine::IoUring(features) => Some(features.tier),
            Engine::Epoll => None,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineChoice {
    /// The ring if it works here.
    Auto,
    /// The ring or nothing.
    IoUring,
    /// Epoll, whether or not there is a ring.
    Epoll,
}

/// What was found for a choice.
#[derive(Debug)]
pub struct Found {
    /// What the run goes over.
    pub engine: Engine,
    /// Why it is not the ring, where that was preferred.
    pub no_ring: Option<Unavailable>,
}

impl EngineChoice {
    /// All of them, as they are listed.
    pub const ALL: [EngineChoice; 3] =
        [EngineChoice::Auto, EngineChoice::IoUring, EngineChoice::Epoll];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            EngineChoice::Auto => "auto",
            EngineChoice::IoUring => "io_uring",
            EngineChoice::Epoll => "epoll",
        }
    }

    /// Tries what was asked for, see [`Found::auto`].
    ///
    /// # Errors
    /// When the ring was asked for and cannot be used.
    pub fn find(self, ceiling: Tier, threads: u32, connections: u32) -> Result<Found, Unavailable> {
        match self {
            EngineChoice::Auto => Ok(Found::auto(ceiling, threads, connections)),
            EngineChoice::IoUring => {
                let engine = ring(ceiling, threads, connections)?;
                Ok(Found { engine, no_ring: None })
            }
            EngineChoice::Epoll => Ok(Found { engine: Engine::Epoll, no_ring: None }),
        }
    }
}

impl Found {
    /// Tries the ring up to a tier, with as many rings and slots as the run will have, and settles
    /// for epoll.
    pub fn auto(ceiling: Tier, threads: u32, connections: u32) -> Found {
        match ring(ceiling, threads, connections) {
            Ok(engine) => Found { engine, no_ring: None },
            Err(no_ring) => Found { engine: Engine::Epoll, no_ring: Some(no_ring) },
        }
    }
}

fn ring(ceiling: Tier, threads: u32, connections: u32) -> Result<Engine, Unavailable> {
    let features = uring::probe(ceiling)?;
    uring::rehearse(features, threads, connections.div_ceil(threads.max(1)))?;
    Ok(Engine::IoUring(features))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_is_found_where_it_is_asked_for_and_the_ring_where_it_works() {
        let find = |choice: EngineChoice| choice.find(Tier::Plain, 2, 65).expect("an engine");
        assert_eq!(find(EngineChoice::Epoll).engine, Engine::Epoll);
        for choice in [EngineChoice::Auto, EngineChoice::IoUring] {
            let found = find(choice);
            assert!(found.no_ring.is_none(), "these tests need io_uring: {found:?}");
            assert!(found.engine.tier() <= Some(Tier::Plain), "{found:?}");
        }
    }
}
