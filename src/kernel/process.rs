//! What processes and threads use: CPU time, memory, descriptors.
//!
//! ```text
//!   Group   a process and its relatives, e.g. nginx' master and its workers
//!     └─ Usage     at one moment, by process and by thread
//!   Threads some threads of this very process, by the begin of their names
//! ```
//!
//! CPU time is in nanoseconds: a process' own clock (`clock_getcpuclockid`) counts its ended threads
//! too, a thread has `schedstat`. Where the kernel was built without that it has ticks of 10 ms.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::process::{Process, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// More processes than this are not followed: one look at one of them costs about 0.1 ms.
const PROCESSES_MAX: usize = 256;

/// With more threads than this only the first and the last look at them goes thread by thread.
const THREADS_MAX: usize = 64;

/// CPU time of threads by their number.
pub type ThreadTimes = BTreeMap<i32, u64>;

/// What a group of processes, or of threads, has used at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of each process in nanoseconds.
    pub cpu_ns: BTreeMap<i32, u64>,
    /// CPU time of each thread in nanoseconds; empty when it was not looked at.
    pub threads_ns: ThreadTimes,
    /// How long these threads could have run and had no CPU, in nanoseconds, all together; 0 where
    /// the kernel does not tell.
    pub waited_ns: u64,
    /// How many threads there are.
    pub threads: u32,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Open descriptors; `None` when this process may not look.
    pub descriptors: Option<u64>,
}

/// Processes that are one program.
#[derive(Debug)]
pub struct Group {
    /// The first to be started comes first. A number may be given to another process later, what is
    /// open here stays the one that it was.
    processes: Vec<Process>,
    name: String,
}

impl Group {
    /// A process and its children, but for this process; `None` when there is none.
    pub fn of_pid(pid: u32) -> Option<Group> {
        let mut found = vec![alive(i32::try_from(pid).ok()?)?];
        let own = std::process::id() as i32;
        let mut at = 0;
        while at < found.len() && found.len() < PROCESSES_MAX {
            let tasks = found[at].tasks().ok().into_iter().flatten().flatten();
            let children: Vec<u32> =
                tasks.flat_map(|task| task.children().unwrap_or_default()).collect();
            let children = children.into_iter().filter_map(|pid| i32::try_from(pid).ok());
            found.extend(children.filter(|&pid| pid != own).filter_map(alive));
            at += 1;
        }
        Group::new(found)
    }

    /// These processes, as far as they are there. The first that was started gives its name; this
    /// is never the first process of all, which holds sockets for those that it starts.
    pub fn of_pids(pids: &[i32]) -> Option<Group> {
        let init = |pid: i32| pid == 1 && pids.len() > 1;
        let mut found: Vec<(u64, Process)> = pids
            .iter()
            .filter(|&&pid| !init(pid))
            .filter_map(|&pid| alive(pid))
            .filter_map(|process| Some((process.stat().ok()?.starttime, process)))
            .collect();
        found.sort_by_key(|(started, process)| (*started, process.pid()));
        found.truncate(PROCESSES_MAX);
        Group::new(found.into_iter().map(|(_, process)| process).collect())
    }

    fn new(processes: Vec<Process>) -> Option<Group> {
        let name = processes.first()?.stat().ok()?.comm;
        Some(Group { processes, name })
    }

    /// The number of the first process.
    pub fn pid(&self) -> u32 {
        self.processes.first().map_or(0, |process| process.pid().unsigned_abs())
    }

    /// Its name, as the kernel has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many processes there are.
    pub fn processes(&self) -> u32 {
        self.processes.len() as u32
    }

    /// The CPUs that they may run on: those of all threads together.
    pub fn cpus(&self) -> u32 {
        let tasks = self.processes.iter().filter_map(|process| process.tasks().ok());
        cpus_of(tasks.flatten().flatten())
    }

    /// What they have used; `None` when all of them have ended. `thoroughly` looks at each thread,
    /// however many there are.
    pub fn usage(&self, thoroughly: bool) -> Option<Usage> {
        let mut usage = Usage { descriptors: Some(0), ..Usage::default() };
        for process in &self.processes {
            let Some(stat) = process.stat().ok().filter(runs) else { continue };
            let ticks = || ticks_ns(stat.utime.saturating_add(stat.stime));
            usage
                .cpu_ns
                .insert(process.pid(), process_clock_ns(process.pid()).unwrap_or_else(ticks));
            usage.threads += u32::try_from(stat.num_threads).unwrap_or(0);
            usage.memory_bytes += stat.rss.saturating_mul(procfs::page_size());
            let count = process.fd_count().ok().map(|count| count as u64);
            usage.descriptors = usage.descriptors.zip(count).map(|(sum, count)| sum + count);
        }
        if usage.cpu_ns.is_empty() {
            return None;
        }
        if thoroughly || usage.threads as usize <= THREADS_MAX {
            let tasks = self.processes.iter().filter_map(|process| process.tasks().ok());
            (usage.threads_ns, usage.waited_ns) = times_of(tasks.flatten().flatten());
        }
        Some(usage)
    }
}

/// Threads of this process that are one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threads(Vec<i32>);

impl Threads {
    /// Those whose names begin like this; `None` when there are none.
    pub fn named(prefix: &str) -> Option<Threads> {
        let tasks = Process::myself().ok()?.tasks().ok()?.flatten();
        let named = |task: &Task| task.stat().is_ok_and(|stat| stat.comm.starts_with(prefix));
        let found: Vec<i32> = tasks.filter(named).map(|task| task.tid).collect();
        (!found.is_empty()).then_some(Threads(found))
    }

    /// The CPUs that they may run on.
    pub fn cpus(&self) -> u32 {
        cpus_of(self.tasks().into_iter())
    }

    /// The CPU time of each; `None` when one of them has ended.
    pub fn times(&self) -> Option<ThreadTimes> {
        self.times_and_waits().map(|(times, _)| times)
    }

    fn times_and_waits(&self) -> Option<(ThreadTimes, u64)> {
        let (times, waited_ns) = times_of(self.tasks().into_iter());
        (times.len() == self.0.len()).then_some((times, waited_ns))
    }

    /// What they have used; memory and descriptors are those of the whole process.
    pub fn usage(&self) -> Option<Usage> {
        let ((times, waited_ns), own) = (self.times_and_waits()?, Process::myself().ok()?);
        let stat = own.stat().ok()?;
        Some(Usage {
            cpu_ns: [(own.pid(), times.values().sum())].into(),
            threads: times.len() as u32,
            threads_ns: times,
            waited_ns,
            memory_bytes: stat.rss.saturating_mul(procfs::page_size()),
            descriptors: own.fd_count().ok().map(|count| count as u64),
        })
    }

    fn tasks(&self) -> Vec<Task> {
        let Ok(own) = Process::myself() else { return Vec::new() };
        self.0.iter().filter_map(|&tid| own.task_from_tid(tid).ok()).collect()
    }
}

/// A process that has not ended.
fn alive(pid: i32) -> Option<Process> {
    let process = Process::new(pid).ok()?;
    let runs = runs(&process.stat().ok()?);
    runs.then_some(process)
}

/// Whether it has not ended: one that nobody has waited for is still there, and so is the first
/// thread of a process whose other threads go on.
fn runs(stat: &procfs::process::Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1
}

fn process_clock_ns(pid: i32) -> Option<u64> {
    let time = clock_gettime(clock_getcpuclockid(Pid::from_raw(pid)).ok()?).ok()?;
    u64::try_from(Duration::from(time).as_nanos()).ok()
}

/// The CPU time of each, and how long all of them waited for a CPU.
fn times_of(tasks: impl Iterator<Item = Task>) -> (ThreadTimes, u64) {
    let (mut times, mut waited_ns) = (ThreadTimes::new(), 0u64);
    for task in tasks {
        // A kernel that keeps no statistics of this kind has zeros there, or no such file.
        let precise = task.schedstat().ok().filter(|times| times.sum_exec_runtime > 0);
        let ticks = || task.stat().ok().map(|stat| stat.utime.saturating_add(stat.stime));
        let ran_ns = precise.as_ref().map(|times| times.sum_exec_runtime);
        if let Some(ns) = ran_ns.or_else(|| ticks().map(ticks_ns)) {
            times.insert(task.tid, ns);
        }
        waited_ns = waited_ns.saturating_add(precise.map_or(0, |times| times.run_delay));
    }
    (times, waited_ns)
}

fn ticks_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second().max(1))
}

fn cpus_of(tasks: impl Iterator<Item = Task>) -> u32 {
    let mut cpus = BTreeSet::new();
    for task in tasks.take(THREADS_MAX) {
        let allowed = task.status().ok().and_then(|status| status.cpus_allowed_list);
        for (first, last) in allowed.into_iter().flatten() {
            cpus.extend(first..=last);
        }
    }
    cpus.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc;

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
        let group = Group::of_pid(child.id()).expect("it runs");
        assert_eq!((group.pid(), group.processes()), (child.id(), 1));
        let usage = group.usage(false).expect("it runs");
        assert_eq!((usage.threads, usage.threads_ns.len()), (1, 1));
        // The kernel counts memory by the CPU and tells only what exceeds a few pages.
        assert!(usage.descriptors.is_some_and(|count| count >= 3), "{usage:?}");
        assert!(group.cpus() >= 1);
        child.kill().expect("killed");
        soon(|| group.usage(false).is_none().then_some(()));
        assert!(Group::of_pid(child.id()).is_none(), "a zombie");
        child.wait().expect("it has ended");
        assert!(Group::of_pid(child.id()).is_none());
        assert!(group.usage(true).is_none());
    }

    #[test]
    fn children_belong_to_it_and_are_counted_together() {
        let mut child = spawned("sh", &["-c", "sleep 100 & sleep 100 & wait"]);
        let group = soon(|| Group::of_pid(child.id()).filter(|group| group.processes() == 3));
        let usage = group.usage(true).expect("they run");
        assert_eq!((usage.cpu_ns.len(), usage.threads), (3, 3));
        for pid in usage.cpu_ns.keys().rev() {
            let _ = nix::sys::signal::kill(Pid::from_raw(*pid), nix::sys::signal::SIGKILL);
        }
        child.wait().expect("it has ended");
    }

    #[test]
    fn the_first_process_of_all_gives_way_to_others() {
        let mut child = spawned("cat", &[]);
        let group = Group::of_pids(&[1, child.id() as i32]).expect("it runs");
        assert_eq!((group.pid(), group.name()), (child.id(), "cat"));
        assert!(Group::of_pids(&[]).is_none());
        child.kill().and_then(|()| child.wait()).expect("killed");
    }

    #[test]
    fn threads_are_found_by_name_while_they_last() {
        assert_eq!(Threads::named("no-such-thread"), None);
        let (sender, receiver) = mpsc::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let wait = move || {
            let _ = ready.send(());
            let _ = receiver.recv();
        };
        let thread = std::thread::Builder::new().name("watched-7".into()).spawn(wait).unwrap();
        is_ready.recv().unwrap();
        let threads = Threads::named("watched-").expect("one");
        let usage = threads.usage().expect("it is there");
        assert_eq!((usage.threads, usage.threads_ns.len(), usage.cpu_ns.len()), (1, 1, 1));
        drop(sender);
        thread.join().unwrap();
        soon(|| threads.times().is_none().then_some(()));
    }
}
