//! How signals end a run.
//!
//! ```text
//!   SIGINT, SIGTERM   the first ends the run and leaves its results,
//!                     a later one ends the process at once
//!   SIGHUP            ends the run and leaves its results, however often it comes
//! ```
//!
//! A terminal that closes sends SIGHUP twice, from the kernel and from the shell, and a session
//! that ends sends SIGTERM as well. With the terminal gone, only the results are left, so SIGHUP
//! never costs them.

use crate::kernel::process;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals as Incoming};
use signal_hook::{flag, low_level};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

/// A shell's convention for a process that a signal has ended.
const SIGNALLED: u8 = 128;

/// Signals closer together than this are one wish: timeout(1) sends each twice, to its child and to
/// the child's group, and wrappers pass on a Ctrl-C that the terminal has sent to every process.
const ONE_WISH: Duration = Duration::from_millis(200);

/// The signals that end a run, from the moment when they are caught.
pub(crate) struct Signals {
    /// Set by the first signal.
    pub stop: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
    last_acts: LastActs,
    listener: Handle,
}

/// What happens before the process is ended at once, in this order.
type LastActs = Arc<Mutex<Vec<Box<dyn FnOnce() + Send>>>>;

impl Signals {
    /// From now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed, or there can be no thread for them.
    pub(crate) fn catch() -> io::Result<Signals> {
        // A file beyond `ulimit -f` is then one result that cannot be written, not the end of all.
        flag::register(libc::SIGXFSZ, Arc::default())?;
        let caught = [SIGINT, SIGTERM, SIGHUP].into_iter();
        let incoming = Incoming::new(caught.filter(|&signal| {
            // As by `nohup`, whose wish stands.
            signal != SIGHUP || !process::is_ignored(signal)
        }))?;
        let signals = Signals {
            stop: Arc::default(),
            number: Arc::default(),
            last_acts: LastActs::default(),
            listener: incoming.handle(),
        };
        let (stop, number) = (signals.stop.clone(), signals.number.clone());
        let last_acts = signals.last_acts.clone();
        let listen = move || listen(incoming, &stop, &number, &last_acts);
        thread::Builder::new().name("signals".into()).spawn(listen)?;
        Ok(signals)
    }

    /// Does this too before a second signal ends the process, so that nothing outlives it: neither
    /// children nor files with secrets.
    pub(crate) fn at_once(&self, act: impl FnOnce() + Send + 'static) {
        self.last_acts.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(act));
    }

    /// The exit code that the first signal asks for, once there was one.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.number.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(SIGNALLED + signal as u8),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.listener.close();
    }
}

/// A thread's life: one signal after the other.
fn listen(mut incoming: Incoming, stop: &AtomicBool, number: &AtomicUsize, last_acts: &LastActs) {
    let mut wishes = Wishes::default();
    for signal in incoming.forever() {
        // The first is the one to report; this thread alone writes the number.
        if number.load(Ordering::Relaxed) == 0 {
            number.store(signal as usize, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Release);
        if wishes.end_at_once(signal, Instant::now()) {
            let mut acts = last_acts.lock().unwrap_or_else(PoisonError::into_inner);
            acts.drain(..).for_each(|act| act());
            // No destructors and no buffers: another thread may be stuck in one of them.
            low_level::exit(i32::from(SIGNALLED) + signal);
        }
    }
}

/// What the signals up to now have asked for.
#[derive(Default)]
struct Wishes {
    /// When the first SIGINT or SIGTERM came.
    asked: Option<Instant>,
}

impl Wishes {
    /// Whether this signal means the process, and not only the run.
    fn end_at_once(&mut self, signal: i32, now: Instant) -> bool {
        signal != SIGHUP && now.duration_since(*self.asked.get_or_insert(now)) >= ONE_WISH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_wish_ends_the_process_and_a_hangup_never_does() {
        let begin = Instant::now();
        // Signals and the milliseconds at which they come; which of them ends the process.
        for (signals, ending) in [
            (&[(SIGINT, 0), (SIGINT, 500)][..], Some(1)),
            (&[(SIGTERM, 0), (SIGTERM, 1), (SIGTERM, 199), (SIGTERM, 200)], Some(3)),
            (&[(SIGINT, 0), (SIGTERM, 1000)], Some(1)),
            (&[(SIGHUP, 0), (SIGHUP, 500), (SIGHUP, 5000)], None),
            (&[(SIGHUP, 0), (SIGTERM, 500), (SIGHUP, 1000)], None),
            (&[(SIGHUP, 0), (SIGTERM, 500), (SIGTERM, 1000)], Some(2)),
            (&[(SIGINT, 0), (SIGHUP, 1000)], None),
        ] {
            let mut wishes = Wishes::default();
            let ended = signals.iter().position(|&(signal, ms)| {
                wishes.end_at_once(signal, begin + Duration::from_millis(ms))
            });
            assert_eq!(ended, ending, "{signals:?}");
        }
    }
}
