//! What can be seen of a run from outside, once a second.

use bench_server::Server;
use procfs::process::Process;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// From one sample to the next.
const EVERY: Duration = Duration::from_secs(1);

/// How soon the end is noticed.
const LOOK: Duration = Duration::from_millis(20);

/// One look. The counts are sums since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// When, from the start of the child.
    pub t_s: f64,
    /// Its resident memory.
    pub resident_bytes: u64,
    /// Its open descriptors; direct ones of a ring are not among them.
    pub descriptors: u64,
    /// Its threads.
    pub threads: u64,
    /// Connections that the server has open.
    pub open: u64,
    /// Requests that the server has seen.
    pub requests: u64,
    /// Faults that it has made.
    pub faults: u64,
}

/// All that was seen.
#[derive(Clone, Debug)]
pub struct Watched {
    /// From the first second to the last.
    pub samples: Vec<Sample>,
    /// How it ended; `None` for a signal, ours included.
    pub exit_code: Option<i32>,
}

impl Watched {
    /// How it ended, in words.
    pub fn end(&self) -> String {
        self.exit_code.map_or("by a signal".into(), |code| format!("with exit code {code}"))
    }
}

/// Ends the child with us, whatever becomes of us.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It has ended as a rule; then there is nothing to kill, and nothing to wait for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, or kills it after `limit`.
pub fn watch(command: &mut Command, server: &Server, limit: Duration) -> io::Result<Watched> {
    let begin = Instant::now();
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    let mut child = Guard(child);
    let mut samples = Vec::new();
    let mut next = begin + EVERY;
    let ended: Option<ExitStatus> = loop {
        if let Some(status) = child.0.try_wait()? {
            break Some(status);
        }
        if begin.elapsed() > limit {
            eprintln!("soak: killed after {limit:?}, as it did not end");
            break None;
        }
        if Instant::now() >= next {
            samples.extend(look(child.0.id(), begin, server));
            next += EVERY;
        }
        thread::sleep(LOOK);
    };
    Ok(Watched { samples, exit_code: ended.and_then(|status| status.code()) })
}

/// `None` when it has just ended.
fn look(pid: u32, begin: Instant, server: &Server) -> Option<Sample> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let stats = server.stats();
    Some(Sample {
        t_s: begin.elapsed().as_secs_f64(),
        resident_bytes: stat.rss * procfs::page_size(),
        descriptors: process.fd_count().ok()? as u64,
        threads: u64::try_from(stat.num_threads).ok()?,
        open: server.connections_open(),
        requests: stats.requests,
        faults: stats.faults.total(),
    })
}
