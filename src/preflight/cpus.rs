//! Which CPUs the workers, and the bundled server, run on.
//!
//! ```text
//!   cores        0,4   1,5   2,6   3,7      thread_siblings_list: two CPUs that share a core
//!   server       0,4   1,5                  whole cores, as what one CPU of a core does slows the other
//!   workers                  2,6   3,7      in the order 2 3 6 7: a core each, as long as there are any
//! ```
//!
//! Under a quota of CPU time that is smaller than the mask, no thread is pinned: the kernel grants
//! the quota per CPU, and a thread that cannot move waits for what another CPU was given.

use crate::kernel::cgroup::{CpuQuota, Groups};
use crate::kernel::machine;
use crate::plan::CpuChoice;
use crate::words::Refusal;
use crate::words::quantities::{counted, cpus_used};
use std::path::Path;

/// The processors of this process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cpus {
    /// Those that its affinity mask allows.
    pub allowed: Vec<usize>,
    /// The same by the core that they are on.
    pub cores: Vec<Vec<usize>>,
    /// How many of them it may keep busy: fewer under a quota.
    pub parallelism: usize,
    /// The least quota of CPU time of its control groups.
    pub quota: Option<CpuQuota>,
}

/// Which thread runs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub threads: u32,
    /// The CPU of each worker; empty when they are not pinned.
    pub workers: Vec<usize>,
    /// How many threads the bundled server has.
    pub server_threads: usize,
    /// The CPUs of the bundled server; `None` when it is not pinned.
    pub server: Option<Vec<usize>>,
    /// What to say about it.
    pub notes: Vec<String>,
}

impl Cpus {
    pub(crate) fn detect() -> Cpus {
        let allowed =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        Cpus::new(allowed, Groups::own().cpu_quota(), Path::new(machine::CPUS))
    }

    /// These CPUs under a quota, with the kernel's files about each in a folder below `sys`.
    fn new(allowed: Vec<usize>, quota: Option<CpuQuota>, sys: &Path) -> Cpus {
        let most = quota.as_ref().map_or(usize::MAX, |quota| quota.cpus as usize);
        Cpus {
            cores: machine::cores(sys, &allowed),
            parallelism: allowed.len().min(most).max(1),
            allowed,
            quota,
        }
    }

    /// Shares the processors out.
    ///
    /// # Errors
    /// A listed CPU that this process may not use.
    pub(crate) fn place(
        &self,
        threads: Option<u32>,
        connections: u32,
        choice: &CpuChoice,
        bundled_server: bool,
    ) -> Result<Placement, Refusal> {
        let (for_server, for_workers) = match choice {
            CpuChoice::List(list) => {
                self.check(list)?;
                (self.beside(list), list.clone())
            }
            _ => self.halves(bundled_server),
        };
        let server_threads = match bundled_server {
            true => (self.parallelism / 2).clamp(1, for_server.len().max(1)),
            false => 0,
        };
        let share = self.parallelism.saturating_sub(server_threads);
        let share = share.clamp(1, for_workers.len().max(1));
        let asked = threads.is_some();
        let wanted = threads.unwrap_or(match choice {
            CpuChoice::List(list) => list.len() as u32,
            _ => share as u32,
        });
        let threads = wanted.min(connections);
        let mut notes = Vec::new();
        if threads < wanted && asked {
            let (few, most) =
                (counted(threads.into(), "thread"), counted(connections.into(), "connection"));
            notes.push(format!("{most}: {few} instead of {wanted}"));
        }
        let short = self.quota.as_ref().filter(|quota| quota.cpus < self.allowed.len() as f64);
        let pinned = match (choice, short) {
            (CpuChoice::Unpinned, _) => &[],
            (CpuChoice::Auto, Some(quota)) => {
                notes.push(format!(
                    "the CPU quota of this control group ({}) is less than the {} CPUs that this \
                     process may run on: threads are not pinned (--cpus pins them)",
                    cpus_used(quota.cpus),
                    self.allowed.len()
                ));
                &[]
            }
            (CpuChoice::Auto, None) => &for_workers[..share.min(for_workers.len())],
            (CpuChoice::List(_), _) => &for_workers[..],
        };
        let is_pinned = !pinned.is_empty();
        let workers = match is_pinned {
            true => (0..threads as usize).map(|thread| pinned[thread % pinned.len()]).collect(),
            false => Vec::new(),
        };
        let server = for_server.into_iter().take(server_threads);
        let server = (bundled_server && is_pinned).then(|| server.collect());
        Ok(Placement { threads, workers, server_threads, server, notes })
    }

    /// The CPUs of a bundled server, and those of the workers. With a single core they share it, and
    /// with a single CPU that.
    fn halves(&self, bundled_server: bool) -> (Vec<usize>, Vec<usize>) {
        let all = || (self.allowed.clone(), self.allowed.clone());
        match (bundled_server, self.cores.len(), self.allowed.len()) {
            (false, ..) => (Vec::new(), spread(&self.cores)),
            (true, 2.., _) => {
                let (server, workers) = self.cores.split_at(self.cores.len() / 2);
                (spread(server), spread(workers))
            }
            (true, _, 2..) => {
                let (server, workers) = self.allowed.split_at(self.allowed.len() / 2);
                (server.to_vec(), workers.to_vec())
            }
            (true, ..) => all(),
        }
    }

    /// The CPUs that these workers leave free: those of other cores, else of theirs; all of them
    /// when they leave none.
    fn beside(&self, workers: &[usize]) -> Vec<usize> {
        let has_worker = |cpu: &usize| workers.contains(cpu);
        let others = self.cores.iter().filter(|core| !core.iter().any(has_worker));
        let others: Vec<Vec<usize>> = others.cloned().collect();
        let free = self.allowed.iter().copied().filter(|cpu| !workers.contains(cpu));
        [spread(&others), free.collect()]
            .into_iter()
            .find(|cpus| !cpus.is_empty())
            .unwrap_or_else(|| self.allowed.clone())
    }

    fn check(&self, list: &[usize]) -> Result<(), Refusal> {
        match list.iter().find(|cpu| !self.allowed.contains(cpu)) {
            None => Ok(()),
            Some(cpu) => Err(Refusal {
                what: format!("--cpus: this process may not use CPU {cpu}"),
                cure: format!("choose from {}", self.describe()),
            }),
        }
    }

    fn describe(&self) -> String {
        let names: Vec<String> = self.allowed.iter().map(usize::to_string).collect();
        names.join(",")
    }
}

/// One CPU of each core, then the second of each, and so on.
fn spread(cores: &[Vec<usize>]) -> Vec<usize> {
    let most = cores.iter().map(Vec::len).max().unwrap_or(0);
    (0..most).flat_map(|at| cores.iter().filter_map(move |core| core.get(at).copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CPUs that are a core each.
    fn cpus(count: usize) -> Cpus {
        Cpus::new((0..count).collect(), None, Path::new("/nowhere"))
    }

    /// As many cores of two CPUs each, which are far from each other or side by side.
    fn threaded(cores: usize, far: bool) -> Cpus {
        let sys = tempfile::tempdir().unwrap();
        for cpu in 0..2 * cores {
            let folder = sys.path().join(format!("cpu{cpu}/topology"));
            std::fs::create_dir_all(&folder).unwrap();
            let siblings = match far {
                true => format!("{},{}\n", cpu % cores, cpu % cores + cores),
                false => format!("{}-{}\n", cpu & !1, cpu | 1),
            };
            std::fs::write(folder.join("thread_siblings_list"), siblings).unwrap();
        }
        Cpus::new((0..2 * cores).collect(), None, sys.path())
    }

    /// So many CPUs, and a quota that is worth fewer.
    fn under_quota(count: usize, worth: &str) -> Cpus {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let mounts = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        std::fs::write(root.path().join("proc/self/mountinfo"), mounts).unwrap();
        std::fs::write(root.path().join("proc/self/cgroup"), "0::/\n").unwrap();
        std::fs::write(group.join("cpu.max"), worth).unwrap();
        let quota = Groups::of(root.path(), "self").cpu_quota();
        Cpus::new((0..count).collect(), Some(quota.unwrap()), Path::new("/nowhere"))
    }

    #[test]
    fn one_worker_a_core_each_on_its_own() {
        let placement = cpus(4).place(None, 64, &CpuChoice::Auto, false).unwrap();
        assert_eq!((placement.threads, placement.workers), (4, vec![0, 1, 2, 3]));
        assert_eq!(placement.server, None);
    }

    #[test]
    fn the_bundled_server_gets_the_other_half() {
        let placement = cpus(4).place(None, 64, &CpuChoice::Auto, true).unwrap();
        assert_eq!((placement.threads, placement.workers), (2, vec![2, 3]));
        assert_eq!((placement.server_threads, placement.server), (2, Some(vec![0, 1])));
    }

    #[test]
    fn a_single_core_is_shared() {
        let placement = cpus(1).place(None, 64, &CpuChoice::Auto, true).unwrap();
        assert_eq!((placement.threads, placement.workers), (1, vec![0]));
        assert_eq!((placement.server_threads, placement.server), (1, Some(vec![0])));
    }

    #[test]
    fn a_quota_limits_the_threads_and_pins_none() {
        for (worth, bundled, threads, server_threads) in [
            ("250000 100000", false, 2, 0),
            ("250000 100000", true, 1, 1),
            ("8000 100000", false, 1, 0),
        ] {
            let placement =
                under_quota(8, worth).place(None, 64, &CpuChoice::Auto, bundled).unwrap();
            assert_eq!((placement.threads, placement.server_threads), (threads, server_threads));
            assert_eq!((placement.workers, placement.server), (vec![], None), "{worth}");
            let note = &placement.notes[0];
            assert!(note.contains("less than the 8 CPUs") && note.contains("--cpus"), "{note}");
        }
        // One that is as large as the mask limits nothing, and who asks to be pinned is.
        let placement = under_quota(2, "200000 100000").place(None, 64, &CpuChoice::Auto, false);
        assert_eq!(placement.unwrap().workers, [0, 1]);
        let list = CpuChoice::List(vec![3]);
        let placement = under_quota(8, "100000 100000").place(None, 64, &list, false).unwrap();
        assert_eq!((placement.workers, placement.notes), (vec![3], vec![]));
    }

    #[test]
    fn server_and_workers_have_cores_of_their_own() {
        for (cores, far, server, workers) in [
            (2, true, vec![0, 2], vec![1, 3]),
            (2, false, vec![0, 1], vec![2, 3]),
            (3, false, vec![0, 1], vec![2, 4, 3, 5]),
            (4, true, vec![0, 1, 4, 5], vec![2, 3, 6, 7]),
            // There is no other core.
            (1, false, vec![0], vec![1]),
        ] {
            let cpus = threaded(cores, far);
            let placement = cpus.place(None, 64, &CpuChoice::Auto, true).unwrap();
            assert_eq!((placement.server.as_ref(), &placement.workers), (Some(&server), &workers));
            assert_eq!(placement.server_threads, server.len());
        }
        let list = |list: &[usize]| {
            let choice = CpuChoice::List(list.to_vec());
            threaded(2, false).place(None, 64, &choice, true).unwrap().server.unwrap()
        };
        assert_eq!(list(&[1]), [2, 3]);
        assert_eq!(list(&[1, 2]), [0, 3], "none of the cores is free");
        assert_eq!(list(&[0, 1, 2, 3]), [0, 1]);
    }

    #[test]
    fn workers_get_a_core_each_while_there_are_any() {
        let cpus = threaded(2, false);
        let placement = cpus.place(Some(2), 64, &CpuChoice::Auto, false).unwrap();
        assert_eq!(placement.workers, [0, 2]);
    }

    #[test]
    fn no_more_threads_than_connections_and_it_is_said() {
        let placement = cpus(8).place(Some(4), 3, &CpuChoice::Auto, false).unwrap();
        assert_eq!(placement.threads, 3);
        assert_eq!(placement.notes, ["3 connections: 3 threads instead of 4"]);
        let placement = cpus(8).place(None, 1, &CpuChoice::Auto, false).unwrap();
        assert_eq!((placement.threads, placement.notes.len()), (1, 0), "nobody asked for eight");
    }

    #[test]
    fn a_list_is_followed_and_checked() {
        let list = CpuChoice::List(vec![1]);
        let placement = cpus(2).place(None, 64, &list, true).unwrap();
        assert_eq!((placement.workers, placement.server), (vec![1], Some(vec![0])));
        let refusal = cpus(2).place(None, 64, &CpuChoice::List(vec![7]), false).unwrap_err();
        assert!(refusal.what.contains("CPU 7") && refusal.cure.contains("0,1"));
    }

    #[test]
    fn more_threads_than_cpus_share_them_in_turn() {
        let placement = cpus(2).place(Some(3), 64, &CpuChoice::Auto, false).unwrap();
        assert_eq!(placement.workers, [0, 1, 0]);
    }
}
