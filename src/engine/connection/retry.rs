//! Whether a connection that could not be opened is tried again from another source port.

use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::pace;
use crate::engine::tally::Counters;

/// How many ports are tried at once after a pause, when a whole lap of them was taken.
const TRIES_AFTER_PAUSE: usize = 16;

/// What one connection has tried: ports in rotation that turn out to be taken are passed over, at
/// once, or after a pause when a whole lap was still closing, which is a matter of milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PortRetry {
    /// Ports passed over since the latest pause.
    skipped: u32,
    /// Pauses up to now.
    pauses: u16,
    /// The latest one is still to be made.
    pauses_next: bool,
}

impl PortRetry {
    /// Nothing has been tried yet: the connection begins now.
    pub fn is_first(&self) -> bool {
        self.skipped == 0 && self.pauses == 0
    }

    /// How long to wait before the next try. Said once.
    pub fn take_pause_ns(&mut self) -> Option<u64> {
        std::mem::take(&mut self.pauses_next).then(|| pause_ns(self.pauses))
    }

    /// Whether to try another port after a failure, when a lap of them has `lap` ports (0 when the
    /// choice is the kernel's) and `left_ns` are left for the request. Counts what is passed over.
    pub fn goes_on(
        &mut self,
        failure: Failure,
        lap: usize,
        left_ns: u64,
        counters: &mut Counters,
    ) -> bool {
        let closing = match (failure.phase, failure.kind) {
            _ if lap == 0 => return false,
            // Somebody listens or is bound there, and may be for long.
            (Phase::Bind, Kind::Errno(libc::EADDRINUSE)) => {
                counters.ports_in_use += 1;
                false
            }
            // Its last connection is open, or not in TIME_WAIT yet.
            (Phase::Connect, Kind::Errno(libc::EADDRNOTAVAIL | libc::EADDRINUSE)) => {
                counters.ports_closing += 1;
                true
            }
            _ => return false,
        };
        let tries = if self.pauses == 0 { lap } else { lap.min(TRIES_AFTER_PAUSE) };
        if (self.skipped as usize) < tries {
            self.skipped += 1;
            return true;
        }
        let pauses = self.pauses.saturating_add(1);
        if !closing || pause_ns(pauses) >= left_ns {
            return false;
        }
        *self = PortRetry { skipped: 0, pauses, pauses_next: true };
        true
    }
}

/// How long the latest of so many pauses is.
fn pause_ns(pauses: u16) -> u64 {
    pace::rest_ns(pauses.into(), true)
}
