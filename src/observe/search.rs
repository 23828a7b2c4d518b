//! The search for the server's process, beside the run.
//!
//! ```text
//!   prepare ──► helper thread, nice 10:  listening sockets ──► /proc/*/fd ──► processes
//!      │                                                                         │
//!      └──► the run begins at once ... row ... row ◄── the server, and a first look at it
//! ```
//!
//! Searching all descriptors of all processes takes milliseconds of CPU time, or seconds on a busy
//! machine. The run does not wait for it, and its measurement comes first. What a server did before
//! it was found is unknown, and the document says for how long it was watched.

use super::{Usage, WatchedServer};
use crate::kernel::Address;
use crate::kernel::process::Depth;
use crate::kernel::threads::own_cpu_time;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// CPU time for the search: enough for hundreds of thousands of descriptors.
const CPU_TIME_MAX: Duration = Duration::from_secs(1);

/// The priority of the helper thread: a tenth of what a worker gets beside it. A process ends when all
/// its threads have, and with the lowest priority of all that took 0.2 s on a busy machine.
const NICE: i32 = 10;

/// After this much CPU time the helper sleeps for a while, so that its debt stays small.
const PIECE: Duration = Duration::from_micros(200);
const PAUSE: Duration = Duration::from_millis(1);

/// A search for the server, which may be under way.
#[derive(Debug)]
pub(crate) struct ServerSearch {
    outcome: OnceLock<ServerFound>,
    helper: Option<Helper>,
}

/// The outcome of a search.
#[derive(Debug, Default)]
pub(super) struct ServerFound {
    /// The server, if it was found.
    pub(super) server: Option<WatchedServer>,
    /// Whether everything was searched. What was found of a server before that may be its idle
    /// half, so then there is none.
    pub(super) complete: bool,
}

/// The first reading of a server, when it was found.
#[derive(Debug)]
pub(super) struct FirstLook {
    pub(super) at: Instant,
    pub(super) usage: Usage,
}

#[derive(Debug)]
struct Helper {
    /// One thread searches at a time; which one depends on the run.
    outcome: Mutex<Receiver<(ServerFound, Option<FirstLook>)>>,
    stop: Arc<AtomicBool>,
}

impl From<Option<WatchedServer>> for ServerSearch {
    /// One that has come to its end.
    fn from(server: Option<WatchedServer>) -> ServerSearch {
        ServerSearch { outcome: ServerFound { server, complete: true }.into(), helper: None }
    }
}

impl ServerSearch {
    /// Searches for the process that listens where the load goes, while the caller goes on.
    pub(crate) fn begin(targets: Vec<Address>) -> ServerSearch {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, outcome) = mpsc::sync_channel(1);
        let is_over = stop.clone();
        let look = move || {
            // Without the right to yield a thread still finds.
            let _ = rustix::process::setpriority_process(None, NICE);
            let begin = Instant::now();
            let worked = Cell::new(Duration::ZERO);
            let goes_on = || {
                let spent = own_cpu_time().unwrap_or_else(|| begin.elapsed());
                if spent > worked.get() + PIECE {
                    worked.set(spent);
                    thread::sleep(PAUSE);
                }
                spent < CPU_TIME_MAX && !is_over.load(Ordering::Relaxed)
            };
            let outcome = WatchedServer::listening(&targets, goes_on);
            let usage = outcome.server.as_ref().and_then(|server| server.usage(Depth::Thorough));
            let look = usage.map(|usage| FirstLook { at: Instant::now(), usage });
            let _ = sender.send((outcome, look));
        };
        match thread::Builder::new().name("server-search".into()).spawn(look) {
            Ok(_) => {
                let helper = Helper { outcome: Mutex::new(outcome), stop };
                ServerSearch { outcome: OnceLock::new(), helper: Some(helper) }
            }
            Err(_) => ServerSearch { outcome: ServerFound::default().into(), helper: None },
        }
    }

    /// Takes note of what was found meanwhile: the first reading of the server, reported once.
    pub(super) fn look(&self) -> Option<FirstLook> {
        let (outcome, look) = self.helper.as_ref()?.outcome.lock().ok()?.try_recv().ok()?;
        let _ = self.outcome.set(outcome);
        look
    }

    /// The server, once it is found.
    pub(super) fn server(&self) -> Option<&WatchedServer> {
        self.outcome.get()?.server.as_ref()
    }

    /// Whether everything was searched.
    pub(super) fn is_complete(&self) -> bool {
        self.outcome.get().is_some_and(|outcome| outcome.complete)
    }
}

impl Drop for ServerSearch {
    fn drop(&mut self) {
        if let Some(helper) = &self.helper {
            helper.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    /// Waits for a search to come to its end.
    fn ended(search: &ServerSearch) -> Option<FirstLook> {
        let begin = Instant::now();
        loop {
            let look = search.look();
            if look.is_some() || search.is_complete() {
                return look;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn it_finds_who_listens_while_the_caller_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let held = Stdio::from(OwnedFd::from(listener));
        let mut child = Command::new("sleep").arg("100").stdin(held).spawn().unwrap();
        let search = ServerSearch::begin(vec![target.into()]);
        let look = ended(&search);
        let server = search.server().map(|server| server.description().pid);
        child.kill().and_then(|()| child.wait()).unwrap();
        assert_eq!(server, Some(child.id()));
        assert!(search.is_complete() && look.expect("it runs").usage.threads == 1);
        assert!(search.look().is_none(), "told once");
    }

    #[test]
    fn nobody_is_found_when_all_was_looked_at() {
        // An address for documentation: it is nobody's.
        let search = ServerSearch::begin(vec![Address::Inet("192.0.2.1:80".parse().unwrap())]);
        assert!(ended(&search).is_none());
        assert!(search.server().is_none() && search.is_complete());
        let given_up = ServerSearch { outcome: ServerFound::default().into(), helper: None };
        assert!(given_up.server().is_none() && !given_up.is_complete());
    }
}
