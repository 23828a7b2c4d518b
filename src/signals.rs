//! How a run is ended from outside.

use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A shell's convention for a process that a signal has ended.
const SIGNALLED: u8 = 128;

/// The first signal ends the run and leaves a report, the second one ends the process.
pub struct Signals {
    /// Set by the first signal.
    pub stop: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
}

impl Signals {
    /// From now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn catch() -> io::Result<Signals> {
        let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for signal in [SIGINT, SIGTERM] {
            let code = i32::from(SIGNALLED) + signal;
            // Looks at `stop` before the next line sets it, so it acts on the second signal.
            signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone())?;
            signal_hook::flag::register(signal, stop.clone())?;
            signal_hook::flag::register_usize(signal, number.clone(), signal as usize)?;
        }
        Ok(Signals { stop, number })
    }

    /// The exit code that the signal asks for, once there was one.
    pub fn exit_code(&self) -> Option<u8> {
        match self.number.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(SIGNALLED + signal as u8),
        }
    }
}
