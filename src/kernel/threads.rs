//! What threads use: CPU time, and the time for which they waited for a CPU.
//!
//! ```text
//!   /proc/812/task/815/schedstat    61238 815 27      ran, waited (both in ns), how often
//! ```
//!
//! Where the kernel was built without that, the time that they ran is known in ticks of 10 ms, and
//! for how long they waited is not.

use super::process::{Depth, Usage};
use nix::time::{ClockId, clock_gettime};
use procfs::process::{Process, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// More threads than this are not asked where they may run.
const THREADS_ASKED_MAX: usize = 64;

/// What a thread has used since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadClock {
    pub ran_ns: u64,
    /// How long it could have run and had no CPU; `None` where the kernel does not report it.
    pub waited_ns: Option<u64>,
}

impl ThreadClock {
    /// Of one that has just started.
    pub(crate) const BORN: ThreadClock = ThreadClock { ran_ns: 0, waited_ns: Some(0) };
}

/// The times of threads by their number.
pub(crate) type ThreadTimes = BTreeMap<i32, ThreadClock>;

/// Threads of this process that are one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Threads(Vec<i32>);

impl Threads {
    /// Those whose names start like this, in the order of the numbers that the names end with;
    /// `None` if there are none.
    pub(crate) fn named(prefix: &str) -> Option<Threads> {
        let tasks = Process::myself().ok()?.tasks().ok()?.flatten();
        let named = |task: Task| {
            let name = task.stat().ok()?.comm;
            name.starts_with(prefix).then_some(((name.len(), name), task.tid))
        };
        let mut found: Vec<_> = tasks.filter_map(named).collect();
        found.sort();
        let found: Vec<i32> = found.into_iter().map(|(_, tid)| tid).collect();
        (!found.is_empty()).then_some(Threads(found))
    }

    /// The CPUs that they may run on.
    pub(crate) fn cpus(&self) -> u32 {
        cpus_of(self.tasks().into_iter())
    }

    /// What each has used; `None` when one of them has ended.
    pub(crate) fn times(&self) -> Option<ThreadTimes> {
        let times = times_of(self.tasks().into_iter());
        (times.len() == self.0.len()).then_some(times)
    }

    /// What each has used, in their order; `None` for one that has ended.
    pub(crate) fn each(&self) -> Vec<Option<ThreadClock>> {
        let times = times_of(self.tasks().into_iter());
        self.0.iter().map(|tid| times.get(tid).copied()).collect()
    }

    /// What they have used; memory and descriptors are those of the whole process.
    pub(crate) fn usage(&self, depth: Depth) -> Option<Usage> {
        let (times, own) = (self.times()?, Process::myself().ok()?);
        let stat = own.stat().ok()?;
        let descriptors = (depth != Depth::Brief).then(|| own.fd_count().ok()).flatten();
        Some(Usage {
            cpu_ns: [(own.pid(), times.values().map(|time| time.ran_ns).sum())].into(),
            threads: times.len() as u32,
            thread_times: times,
            memory_bytes: stat.rss.saturating_mul(procfs::page_size()),
            descriptors: descriptors.map(|count| count as u64),
        })
    }

    fn tasks(&self) -> Vec<Task> {
        let Ok(own) = Process::myself() else { return Vec::new() };
        self.0.iter().filter_map(|&tid| own.task_from_tid(tid).ok()).collect()
    }
}

/// The CPU time of the calling thread; `None` where the kernel does not report it.
pub(crate) fn own_cpu_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}

/// For how long the calling thread could have run and had no CPU; `None` where the kernel does not
/// report it.
pub(crate) fn own_wait() -> Option<Duration> {
    let own = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut numbers = own.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    // A kernel that keeps no statistics of this kind has zeros there.
    let (_, waited_ns) = (numbers.next().filter(|&ran_ns| ran_ns > 0)?, numbers.next()?);
    Some(Duration::from_nanos(waited_ns))
}

/// What the threads of another process have used, of those that are there.
pub(crate) fn times_of_process(pid: u32) -> ThreadTimes {
    let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
    let tasks = process.and_then(|process| process.tasks().ok());
    times_of(tasks.into_iter().flatten().flatten())
}

/// What each of these has used.
pub(super) fn times_of(tasks: impl Iterator<Item = Task>) -> ThreadTimes {
    tasks.filter_map(|task| Some((task.tid, time_of(&task)?))).collect()
}

fn time_of(task: &Task) -> Option<ThreadClock> {
    // A kernel that keeps no statistics of this kind has zeros there, or no such file.
    if let Some(precise) = task.schedstat().ok().filter(|times| times.sum_exec_runtime > 0) {
        let waited_ns = Some(precise.run_delay);
        return Some(ThreadClock { ran_ns: precise.sum_exec_runtime, waited_ns });
    }
    let stat = task.stat().ok()?;
    let ran_ns = ticks_ns(stat.utime.saturating_add(stat.stime));
    Some(ThreadClock { ran_ns, waited_ns: None })
}

/// Of the ticks that the kernel counts in.
pub(super) fn ticks_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second().max(1))
}

/// The CPUs that these may run on, each once.
pub(super) fn cpus_of(tasks: impl Iterator<Item = Task>) -> u32 {
    let mut cpus = BTreeSet::new();
    for task in tasks.take(THREADS_ASKED_MAX) {
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
    use std::sync::mpsc;
    use std::time::Instant;

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
        let usage = threads.usage(Depth::Usual).expect("it is there");
        assert_eq!((usage.threads, usage.thread_times.len(), usage.cpu_ns.len()), (1, 1, 1));
        assert!(matches!(threads.each()[..], [Some(_)]));
        drop(sender);
        thread.join().unwrap();
        let begin = Instant::now();
        while threads.times().is_some() {
            assert!(begin.elapsed() < Duration::from_secs(5), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(threads.each(), [None]);
    }

    #[test]
    fn threads_are_in_the_order_of_their_numbers() {
        let (sender, receiver) = mpsc::channel::<()>();
        let receiver = std::sync::Mutex::new(receiver);
        let number_of = |tid| {
            let name = std::fs::read_to_string(format!("/proc/self/task/{tid}/comm")).unwrap();
            name.trim().strip_prefix("ordered-").unwrap().parse::<usize>().unwrap()
        };
        std::thread::scope(|scope| {
            let (ready, is_ready) = mpsc::channel();
            for number in [10, 9, 2, 0] {
                let (ready, receiver) = (ready.clone(), &receiver);
                let thread = std::thread::Builder::new().name(format!("ordered-{number}"));
                let wait = move || {
                    let _ = ready.send(());
                    let _ = receiver.lock().map(|receiver| receiver.recv());
                };
                thread.spawn_scoped(scope, wait).unwrap();
            }
            (0..4).for_each(|_| is_ready.recv().unwrap());
            let threads = Threads::named("ordered-").unwrap();
            let numbers: Vec<usize> = threads.0.iter().map(|&tid| number_of(tid)).collect();
            assert_eq!(numbers, [0, 2, 9, 10]);
            drop(sender);
        });
    }

    #[test]
    fn this_thread_knows_how_long_it_waited() {
        let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let keeps = told.split_whitespace().next().is_some_and(|ran_ns| ran_ns != "0");
        assert_eq!(own_wait().is_some(), keeps, "{told:?}");
    }
}
