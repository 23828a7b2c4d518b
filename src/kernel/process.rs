//! What the processes of a server use: CPU time, memory, descriptors.
//!
//! ```text
//!   ProcessGroup   a process and its relatives, e.g. nginx' master and its workers
//!     │       children that are born later join it: Node's cluster, gunicorn, Apache
//!     └─ Usage     at one moment, by process and by thread
//! ```
//!
//! CPU time is in nanoseconds: a process' own clock (`clock_getcpuclockid`) counts its ended
//! threads too. Where there is none it has ticks of 10 ms. A process that starts and ends between
//! two readings is not seen.
//!
//! A reading has bounds: 256 processes, and threads and descriptors only as far as its [`Depth`]
//! says.

use super::cgroup::Groups;
use super::machine::bytes_of;
use super::threads::{ThreadTimes, cpus_of, ticks_ns, times_of};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::process::{Process, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// More processes than this are not followed: one reading of one of them costs up to 0.1 ms.
const PROCESSES_MAX: usize = 256;

/// With more threads than this only a thorough reading goes thread by thread.
const THREADS_USUAL_MAX: u32 = 64;

/// A thorough reading goes no further than this: a thread costs about 10 µs.
const THREADS_MAX: usize = 1024;

/// How much a reading may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// CPU time and memory of each process; new children of the first one.
    Brief,
    /// And descriptors, which kernels before 6.2 count one by one, new children of all, and threads
    /// when there are few.
    Usual,
    /// And threads when there are many.
    Thorough,
}

/// What a group of processes, or of threads, has used at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time of each process in nanoseconds.
    pub cpu_ns: BTreeMap<i32, u64>,
    /// What each thread has used; empty if they were not read.
    pub thread_times: ThreadTimes,
    /// How many threads there are.
    pub threads: u32,
    pub memory_bytes: u64,
    /// Open descriptors; `None` if this process may not read them, or did not.
    pub descriptors: Option<u64>,
}

impl Usage {
    /// Whether a reading of its threads covers all of them.
    pub(crate) fn has_all_threads(&self) -> bool {
        self.threads as usize <= THREADS_MAX
    }

    /// Adds a process; whether it still runs.
    fn add(&mut self, process: &Process) -> bool {
        let Some(stat) = process.stat().ok().filter(runs) else { return false };
        let ticks = || ticks_ns(stat.utime.saturating_add(stat.stime));
        self.cpu_ns.insert(process.pid(), process_clock_ns(process.pid()).unwrap_or_else(ticks));
        self.threads += u32::try_from(stat.num_threads).unwrap_or(0);
        self.memory_bytes += stat.rss.saturating_mul(procfs::page_size());
        if let Some(sum) = self.descriptors {
            self.descriptors = process.fd_count().ok().map(|count| sum + count as u64);
        }
        true
    }
}

/// Processes that are one program.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    /// Those that have not ended. PIDs are reused; a handle that is open here keeps referring to
    /// the original process.
    processes: Mutex<Vec<Process>>,
    pid: u32,
    name: String,
    /// The first process of all has children that it adopted.
    follows_init: bool,
}

impl ProcessGroup {
    /// A process and its children, but for this process; `None` when there is none.
    pub(crate) fn of_pid(pid: u32) -> Option<ProcessGroup> {
        ProcessGroup::new(vec![alive(i32::try_from(pid).ok()?)?], true)
    }

    /// These processes and their children, as far as they are there. The first that was started
    /// gives its name; this is never the first process of all, which holds sockets for those that it
    /// starts.
    pub(crate) fn of_pids(pids: &[i32]) -> Option<ProcessGroup> {
        let init = |pid: i32| pid == 1 && pids.len() > 1;
        let mut found: Vec<(u64, Process)> = pids
            .iter()
            .filter(|&&pid| !init(pid))
            .filter_map(|&pid| alive(pid))
            .filter_map(|process| Some((process.stat().ok()?.starttime, process)))
            .collect();
        found.sort_by_key(|(started, process)| (*started, process.pid()));
        found.truncate(PROCESSES_MAX);
        ProcessGroup::new(found.into_iter().map(|(_, process)| process).collect(), false)
    }

    fn new(processes: Vec<Process>, follows_init: bool) -> Option<ProcessGroup> {
        let first = processes.first()?;
        let (pid, name) = (first.pid().unsigned_abs(), first.stat().ok()?.comm);
        let group = ProcessGroup { processes: Mutex::new(processes), pid, name, follows_init };
        group.find_children(Depth::Thorough);
        Some(group)
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().expect("nobody panics with the lock")
    }

    /// The number of the first process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its name, as the kernel has it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The CPUs that they may run on: those of all threads together, and no more than the first
    /// process' quota is worth.
    pub(crate) fn cpus(&self) -> u32 {
        let processes = self.processes();
        let tasks = processes.iter().filter_map(|process| process.tasks().ok());
        let cpus = cpus_of(tasks.flatten().flatten());
        let quota = Groups::of_process(self.pid).cpu_quota();
        quota.map_or(cpus, |quota| cpus.min(quota.cpus.ceil() as u32))
    }

    /// What they have used, with the children that are new; `None` when all of them have ended.
    pub(crate) fn usage(&self, depth: Depth) -> Option<Usage> {
        self.find_children(depth);
        let descriptors = (depth != Depth::Brief).then_some(0);
        let mut usage = Usage { descriptors, ..Usage::default() };
        let mut processes = self.processes();
        processes.retain(|process| usage.add(process));
        if processes.is_empty() {
            return None;
        }
        let by_thread = match depth {
            Depth::Brief => false,
            Depth::Usual => usage.threads <= THREADS_USUAL_MAX,
            Depth::Thorough => true,
        };
        if by_thread {
            let tasks = processes.iter().filter_map(|process| process.tasks().ok());
            usage.thread_times = times_of(tasks.flatten().flatten().take(THREADS_MAX));
        }
        Some(usage)
    }

    /// Lets children join, and theirs. Of ringshot itself, which may be one, there are none.
    fn find_children(&self, depth: Depth) {
        let mut processes = self.processes();
        let mut known: BTreeSet<i32> = processes.iter().map(Process::pid).collect();
        known.insert(std::process::id() as i32);
        let parents_max = if depth == Depth::Brief { 1 } else { PROCESSES_MAX };
        let mut at = 0;
        while at < processes.len().min(parents_max) {
            let parent = &processes[at];
            let adopts = parent.pid() == 1 && !self.follows_init;
            let children = if adopts { Vec::new() } else { children(parent, depth) };
            for pid in children {
                if processes.len() >= PROCESSES_MAX {
                    return;
                }
                if known.insert(pid) {
                    processes.extend(alive(pid));
                }
            }
            at += 1;
        }
    }
}

/// The children of its main thread, which are all as a rule; thoroughly those of the others too.
fn children(process: &Process, depth: Depth) -> Vec<i32> {
    let of = |task: Task| task.children().unwrap_or_default();
    let found: Vec<u32> = if depth == Depth::Thorough {
        let tasks = process.tasks().ok().into_iter().flatten().flatten();
        tasks.take(THREADS_MAX).flat_map(of).collect()
    } else {
        process.task_main_thread().map(of).unwrap_or_default()
    };
    found.into_iter().filter_map(|pid| i32::try_from(pid).ok()).collect()
}

/// A process that has not ended.
fn alive(pid: i32) -> Option<Process> {
    let process = Process::new(pid).ok()?;
    let runs = runs(&process.stat().ok()?);
    runs.then_some(process)
}

/// Whether it has not ended: one that its parent has not waited for is still there, and so is the
/// first thread of a process whose other threads go on.
fn runs(stat: &procfs::process::Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1
}

fn process_clock_ns(pid: i32) -> Option<u64> {
    let time = clock_gettime(clock_getcpuclockid(Pid::from_raw(pid)).ok()?).ok()?;
    u64::try_from(Duration::from(time).as_nanos()).ok()
}

/// `VmHWM` of a process: the most memory that it has had resident since its exec.
pub(crate) fn memory_peak_bytes(process: &str) -> Option<u64> {
    bytes_of("VmHWM:", &fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// Whether a signal was ignored when this process was started.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    mask(&status, "SigIgn:").is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn mask(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn spawned(program: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        command.spawn().expect("it starts")
    }

    /// What is there within a few seconds.
    fn soon<T>(look: impl Fn() -> Option<T>) -> T {
        let begin = std::time::Instant::now();
        loop {
            match look() {
                Some(found) => return found,
                None => assert!(begin.elapsed() < Duration::from_secs(5), "never"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_process_is_there_until_it_ends_waited_for_or_not() {
        let mut child = spawned("cat", &[]);
        let group = ProcessGroup::of_pid(child.id()).expect("it runs");
        let usage = group.usage(Depth::Usual).expect("it runs");
        assert_eq!((group.pid(), usage.cpu_ns.len()), (child.id(), 1));
        assert_eq!((usage.threads, usage.thread_times.len()), (1, 1));
        // The kernel counts memory by the CPU and tells only what exceeds a few pages.
        assert!(usage.descriptors.is_some_and(|count| count >= 3), "{usage:?}");
        assert!(group.cpus() >= 1);
        child.kill().expect("killed");
        soon(|| group.usage(Depth::Brief).is_none().then_some(()));
        assert!(ProcessGroup::of_pid(child.id()).is_none(), "a zombie");
        child.wait().expect("it has ended");
        assert!(ProcessGroup::of_pid(child.id()).is_none());
        assert!(group.usage(Depth::Thorough).is_none());
    }

    #[test]
    fn children_belong_to_it_and_are_counted_together() {
        let mut child = spawned("sh", &["-c", "sleep 100 & sleep 100 & wait"]);
        let look = || ProcessGroup::of_pid(child.id())?.usage(Depth::Brief);
        let usage = soon(|| look().filter(|usage| usage.cpu_ns.len() == 3));
        assert_eq!(usage.threads, 3);
        for pid in usage.cpu_ns.keys().rev() {
            let _ = nix::sys::signal::kill(Pid::from_raw(*pid), nix::sys::signal::SIGKILL);
        }
        child.wait().expect("it has ended");
    }

    #[test]
    fn the_first_process_of_all_gives_way_to_others() {
        let mut child = spawned("cat", &[]);
        let group = ProcessGroup::of_pids(&[1, child.id() as i32]).expect("it runs");
        assert_eq!((group.pid(), group.name()), (child.id(), "cat"));
        assert!(ProcessGroup::of_pids(&[]).is_none());
        child.kill().and_then(|()| child.wait()).expect("killed");
    }

    #[test]
    fn children_that_are_born_later_join() {
        let mut child = spawned("sh", &["-c", "read line; sleep 100 & sleep 100 & wait"]);
        for group in [
            ProcessGroup::of_pid(child.id()).expect("it runs"),
            ProcessGroup::of_pids(&[child.id() as i32]).expect("it runs"),
        ] {
            assert_eq!(group.usage(Depth::Usual).expect("it runs").cpu_ns.len(), 1);
        }
        let groups = [Depth::Brief, Depth::Usual, Depth::Thorough]
            .map(|depth| (depth, ProcessGroup::of_pids(&[child.id() as i32]).expect("it runs")));
        drop(child.stdin.take());
        let usages = groups.map(|(depth, group)| {
            soon(|| group.usage(depth).filter(|usage| usage.cpu_ns.len() == 3))
        });
        let [brief, usual, _] = &usages;
        assert!(brief.thread_times.is_empty() && brief.descriptors.is_none(), "{brief:?}");
        assert!(usual.thread_times.len() == 3 && usual.descriptors.is_some(), "{usual:?}");
        for pid in brief.cpu_ns.keys().rev() {
            let _ = nix::sys::signal::kill(Pid::from_raw(*pid), nix::sys::signal::SIGKILL);
        }
        child.wait().expect("it has ended");
    }

    #[test]
    fn a_mask_of_signals_is_hexadecimal() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_eq!(mask(status, "SigIgn:"), Some(0x1001), "SIGHUP and SIGPIPE");
        assert_eq!(mask(status, "SigBlk:"), None);
        assert!(!is_ignored(libc::SIGTERM));
    }
}
