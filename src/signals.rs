//! How a run is ended from outside.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if signal == SIGHUP && is_ignored(signal) {
                continue;
            }
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

/// Whether a signal was ignored when this process was started, as by `nohup`, whose wish stands.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    mask(&status, "SigIgn:").is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn mask(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_of_signals_is_hexadecimal() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_eq!(mask(status, "SigIgn:"), Some(0x1001), "SIGHUP and SIGPIPE");
        assert_eq!(mask(status, "SigBlk:"), None);
        assert!(!is_ignored(SIGTERM));
    }
}
