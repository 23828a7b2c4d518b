//! The monotonic clock, in nanoseconds that can be calculated with and handed to a timerfd.

use std::{ops::Add, time::Duration};

use rustix::time::{ClockId, clock_gettime};

pub(crate) const NS_PER_S: u64 = 1_000_000_000;

/// A time of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) ns: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        Moment { ns: now.tv_sec as u64 * NS_PER_S + now.tv_nsec as u64 }
    }

    /// The time that has passed since then.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(Moment::now().ns.saturating_sub(self.ns))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, wait: Duration) -> Moment {
        Moment { ns: self.ns + wait.as_nanos() as u64 }
    }
}
