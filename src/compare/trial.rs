//! One run of one tool: a child process that is pinned, watched and ended, whatever it does.
//!
//! ```text
//!   affinity of this thread ──► spawn (inherits it) ──► affinity back
//!                                 │
//!         stdout, stderr  ◄───────┤  a thread for each, so that no pipe is ever full
//!         VmHWM, schedstat ◄──────┤  every 100 ms
//!         the deadline, Ctrl-C ──►│  the whole process group is killed
//!         a second Ctrl-C      ──►│  the same, from another thread: see `Leash`
//!         our own end          ──►│  the kernel kills the child
//!                                 ▼
//!                               wait4: how it ended, and what it used
//! ```

use crate::kernel::cgroup::Groups;
use crate::kernel::child::{self, ChildUsage};
use crate::kernel::process;
use crate::kernel::threads::{self, ThreadTimes};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How soon the end of a child is noticed.
const LOOK: Duration = Duration::from_millis(10);

/// How many looks there are from one reading of its memory to the next.
const LOOKS_PER_READING: u32 = 10;

/// How long to wait for what is still in the pipes when the child and its group are gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// More than any tool prints; what comes after it is read and dropped.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// It took too long, and was killed.
    TimedOut,
    /// The comparison was interrupted, and it was killed.
    Interrupted,
}

/// What a child left behind.
#[derive(Clone, Debug)]
pub(crate) struct ChildRun {
    pub end: ChildEnd,
    pub stdout: String,
    pub stderr: String,
    /// From its start to its end.
    pub wall: Duration,
    /// CPU time in its own code.
    pub cpu_user: Duration,
    /// CPU time in the kernel.
    pub cpu_sys: Duration,
    /// How long its threads could have run and had no CPU, in all, up to the last look at each;
    /// `None` where the kernel does not tell.
    pub cpu_wait: Option<Duration>,
    /// How long a quota stopped the control group that it shares with this process, summed over the
    /// CPUs that it ran on; `None` where the kernel does not tell.
    pub throttled: Option<Duration>,
    /// The most memory that it had resident; `None` when it was too short to be looked at.
    pub memory_peak_bytes: Option<u64>,
}

/// The process group of the child that runs, for another thread that has to end it.
#[derive(Debug, Default)]
pub(crate) struct Leash(Mutex<Held>);

/// What is on the leash.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    /// A group whose leader has not been waited for, so that its number is nobody else's.
    Group(Pid),
    /// It was cut.
    Over,
}

impl Leash {
    /// Kills what runs; nothing is started any more.
    pub(crate) fn cut(&self) {
        let mut held = self.held();
        if let Held::Group(group) = *held {
            let _ = killpg(group, Signal::SIGKILL);
        }
        *held = Held::Over;
    }

    /// Starts a child that leads a group of its own.
    fn spawn_on(&self, cpus: &[usize], command: &mut Command) -> io::Result<Child> {
        let mut held = self.held();
        if matches!(*held, Held::Over) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = spawn_on(cpus, command)?;
        *held = Held::Group(group_of(&child));
        Ok(child)
    }

    /// Kills what the child may have left running: it would hold the pipes open, and the processors.
    /// Before the child is reaped.
    fn release(&self, child: &Child) {
        let mut held = self.held();
        let _ = killpg(group_of(child), Signal::SIGKILL);
        if matches!(*held, Held::Group(_)) {
            *held = Held::Nothing;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn group_of(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

/// Runs a command on these CPUs (anywhere when there are none) until it ends, `limit` is over, `stop`
/// is set or the leash is cut.
///
/// # Errors
/// When it cannot be started, or its end cannot be waited for; the text says which.
pub(crate) fn run(
    mut command: Command,
    cpus: &[usize],
    limit: Duration,
    stop: &AtomicBool,
    leash: &Leash,
) -> io::Result<ChildRun> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Numbers with a decimal point, messages that can be read by whoever reads ours.
        .env("LC_ALL", "C")
        // Ctrl-C in a terminal goes to our group: who is to be killed is decided here.
        .process_group(0);
    child::ends_with_this_thread(&mut command);
    let groups = Groups::own();
    let (begin, throttling) = (Instant::now(), groups.throttling());
    let mut child =
        leash.spawn_on(cpus, &mut command).map_err(|error| told("it cannot be started", error))?;
    let pipes = Collected::from(child.stdout.take())
        .and_then(|stdout| Ok((stdout, Collected::from(child.stderr.take())?)));
    let watched = match pipes.is_ok() {
        true => watch(&child, begin, limit, stop),
        false => Ok((None, Polled::default())),
    };
    let wall = begin.elapsed();
    leash.release(&child);
    let lost = |error| told("its end cannot be waited for", error);
    let (status, usage) = child::reap(child).map_err(lost)?;
    let (stdout, stderr) = pipes.map_err(|error| told("its output cannot be read", error))?;
    let (ended_by_us, seen) = watched.map_err(lost)?;
    let throttled = groups.throttling().zip(throttling).map(|(now, before)| now.since(&before));
    let give_up = Instant::now() + LAST_WORDS;
    Ok(ChildRun {
        end: ended_by_us.unwrap_or_else(|| by_itself(status)),
        stdout: stdout.text(give_up),
        stderr: stderr.text(give_up),
        wall,
        cpu_user: usage.cpu_user,
        cpu_sys: usage.cpu_sys,
        cpu_wait: seen.cpu_wait(),
        throttled: throttled.map(|stopped| Duration::from_nanos(stopped.throttled_ns)),
        memory_peak_bytes: memory_peak_bytes(
            &usage,
            seen.memory_bytes,
            process::memory_peak_bytes("self"),
        ),
    })
}

fn told(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// What was seen of a child while it ran.
#[derive(Debug, Default)]
struct Polled {
    memory_bytes: Option<u64>,
    /// What each thread had used when it was there the last time.
    threads: ThreadTimes,
}

impl Polled {
    fn look(&mut self, pid: u32) {
        self.memory_bytes = self.memory_bytes.max(process::memory_peak_bytes(&pid.to_string()));
        self.threads.extend(threads::times_of_process(pid));
    }

    fn cpu_wait(&self) -> Option<Duration> {
        let waited = self.threads.values().filter_map(|time| time.waited_ns);
        waited.reduce(u64::saturating_add).map(Duration::from_nanos)
    }
}

/// Waits for the end; returns who ended it, if it was us, and what was seen of it.
fn watch(
    child: &Child,
    begin: Instant,
    limit: Duration,
    stop: &AtomicBool,
) -> io::Result<(Option<ChildEnd>, Polled)> {
    let (mut looks, mut seen) = (0, Polled::default());
    loop {
        if child::has_ended(child)? {
            return Ok((None, seen));
        }
        if stop.load(Ordering::Relaxed) {
            return Ok((Some(ChildEnd::Interrupted), seen));
        }
        if begin.elapsed() >= limit {
            return Ok((Some(ChildEnd::TimedOut), seen));
        }
        thread::sleep(LOOK);
        looks += 1;
        if looks % LOOKS_PER_READING == 0 {
            seen.look(child.id());
        }
    }
}

fn by_itself(status: ExitStatus) -> ChildEnd {
    match status.code() {
        Some(code) => ChildEnd::Exited(code),
        None => ChildEnd::Signalled(status.signal().unwrap_or_default()),
    }
}

/// The kernel carries the peak of the parent into the child's over the exec, so the child's rusage
/// is its own only where it is above that. Below, the last look at `VmHWM` has to do: it may miss
/// what happened in the last tenth of a second.
fn memory_peak_bytes(usage: &ChildUsage, polled: Option<u64>, own: Option<u64>) -> Option<u64> {
    match own {
        Some(own) if usage.resident_bytes_max > own => Some(usage.resident_bytes_max),
        _ => polled,
    }
}

/// Starts a child on these CPUs, and puts this thread back to where it was.
fn spawn_on(cpus: &[usize], command: &mut Command) -> io::Result<Child> {
    if cpus.is_empty() {
        return command.spawn();
    }
    let this_thread = Pid::from_raw(0);
    let before = sched_getaffinity(this_thread)?;
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|&cpu| set.set(cpu))?;
    sched_setaffinity(this_thread, &set)?;
    let child = command.spawn();
    if let Err(error) = sched_setaffinity(this_thread, &before) {
        // Nobody would watch it.
        if let Ok(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
        return Err(error.into());
    }
    child
}

/// What comes out of a pipe, there to be taken also while somebody holds the pipe open.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Disconnected when the pipe has ended.
    end: Receiver<()>,
}

impl Collected {
    fn from(pipe: Option<impl Read + Send + 'static>) -> io::Result<Collected> {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, end) = mpsc::channel();
        let kept = bytes.clone();
        thread::Builder::new().spawn(move || {
            if let Some(pipe) = pipe {
                // When it fails, what there is up to then is all that can be had.
                let _ = keep(pipe, &kept);
            }
            drop(sender);
        })?;
        Ok(Collected { bytes, end })
    }

    /// All of it, or what there is when it is time to give up: something that got away may hold the
    /// pipe open for as long as it lives.
    fn text(self, give_up: Instant) -> String {
        let _ = self.end.recv_timeout(give_up.saturating_duration_since(Instant::now()));
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Reads to the end, whatever there is, so that no pipe is ever full.
fn keep(mut pipe: impl Read, kept: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    loop {
        match pipe.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT_BYTES_MAX - kept.len();
                kept.extend_from_slice(&chunk[..length.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn shell(script: &str, cpus: &[usize], limit: Duration, stop: bool) -> ChildRun {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, cpus, limit, &AtomicBool::new(stop), &Leash::default()).unwrap()
    }

    #[test]
    fn what_a_child_says_and_how_it_ends_is_kept() {
        let trial = shell("echo one; echo two >&2; exit 3", &[], PATIENCE, false);
        assert_eq!(
            (trial.end, &*trial.stdout, &*trial.stderr),
            (ChildEnd::Exited(3), "one\n", "two\n")
        );
        assert_eq!(shell("kill -11 $$", &[], PATIENCE, false).end, ChildEnd::Signalled(11));
    }

    #[test]
    fn a_child_that_hangs_is_killed_with_all_that_it_started() {
        // Both would keep the pipes open for an hour.
        let trial = shell("sleep 3600 & sleep 3600", &[], Duration::from_millis(50), false);
        assert_eq!(trial.end, ChildEnd::TimedOut);
        assert_eq!(shell("sleep 3600", &[], PATIENCE, true).end, ChildEnd::Interrupted);
        let left = shell("sleep 3600 & echo done", &[], PATIENCE, false);
        assert_eq!((left.end, &*left.stdout), (ChildEnd::Exited(0), "done\n"));
    }

    #[test]
    fn what_was_said_is_kept_although_something_that_got_away_holds_the_pipe() {
        let scratch = tempfile::tempdir().unwrap();
        let away = scratch.path().join("away");
        // In a session of its own it is in no group that is killed.
        let script = format!(
            "setsid sh -c 'echo $$; : >{away}; exec sleep 30' & \
             while [ ! -e {away} ]; do sleep 0.01; done; echo done",
            away = away.display()
        );
        let trial = shell(&script, &[], PATIENCE, false);
        let (pid, rest) = trial.stdout.split_once('\n').unwrap();
        killpg(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
        assert_eq!((trial.end, rest), (ChildEnd::Exited(0), "done\n"));
    }

    #[test]
    fn an_error_says_what_could_not_be_done() {
        let command = Command::new("/nowhere/to/be/found");
        let stop = AtomicBool::new(false);
        let error = run(command, &[], PATIENCE, &stop, &Leash::default()).unwrap_err();
        assert!(error.to_string().starts_with("it cannot be started: No such file"), "{error}");
    }

    #[test]
    fn a_leash_that_is_cut_kills_the_group_and_lets_nothing_start() {
        let leash = Leash::default();
        let (stop, scratch) = (AtomicBool::new(false), tempfile::tempdir().unwrap());
        let begun = scratch.path().join("begun");
        let mut command = Command::new("sh");
        let script = format!("sleep 3600 & : >{}; sleep 3600", begun.display());
        command.args(["-c", &script]);
        let trial = thread::scope(|scope| {
            let trial = scope.spawn(|| run(command, &[], PATIENCE, &stop, &leash));
            while !begun.exists() {
                thread::yield_now();
            }
            leash.cut();
            trial.join().unwrap()
        });
        // The pipes end with the last of the group.
        assert_eq!(trial.unwrap().end, ChildEnd::Signalled(9));
        let error = run(Command::new("true"), &[], PATIENCE, &stop, &leash).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn more_output_than_anybody_reads_blocks_nobody() {
        let trial = shell("head -c 9000000 /dev/zero; echo end >&2", &[], PATIENCE, false);
        assert_eq!((trial.end, trial.stdout.len()), (ChildEnd::Exited(0), 4 << 20));
        assert_eq!(trial.stderr, "end\n");
    }

    #[test]
    fn a_child_runs_where_it_is_told_to_and_this_thread_stays_where_it_was() {
        let mask = || sched_getaffinity(Pid::from_raw(0)).unwrap();
        let before = mask();
        let last = (0..CpuSet::count()).rfind(|&cpu| before.is_set(cpu).unwrap()).unwrap();
        let script = "grep Cpus_allowed_list /proc/self/status";
        let trial = shell(script, &[last], PATIENCE, false);
        assert_eq!(trial.stdout, format!("Cpus_allowed_list:\t{last}\n"));
        assert_eq!(mask(), before);
    }

    #[test]
    fn memory_is_the_child_s_own() {
        let usage = ChildUsage { resident_bytes_max: 50, ..ChildUsage::default() };
        assert_eq!(memory_peak_bytes(&usage, Some(30), Some(40)), Some(50));
        assert_eq!(memory_peak_bytes(&usage, Some(30), Some(50)), Some(30), "the parent's");
        assert_eq!(memory_peak_bytes(&usage, None, None), None);
    }
}
