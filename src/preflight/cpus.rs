//! Which CPUs the workers, and the bundled server, run on.

use super::Refusal;
use crate::plan::CpuChoice;
use crate::report::console::format::counted;

/// The processors of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Those that its affinity mask allows.
    pub allowed: Vec<usize>,
    /// How many of them it may keep busy: fewer under a cgroup quota.
    pub parallelism: usize,
}

/// Who runs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// How many workers.
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
    /// Asks the kernel.
    pub fn detect() -> Cpus {
        let allowed: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
        Cpus { allowed, parallelism }
    }

    /// Shares the processors out.
    ///
    /// # Errors
    /// A listed CPU that this process may not use.
    pub fn place(
        &self,
        threads: Option<u32>,
        connections: u32,
        choice: &CpuChoice,
        bundled_server: bool,
    ) -> Result<Placement, Refusal> {
        let usable = self.parallelism.min(self.allowed.len().max(1));
        let server_threads = if bundled_server { (usable / 2).max(1) } else { 0 };
        let share = usable.saturating_sub(server_threads).max(1);
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
        // The bundled server gets the first CPUs and the workers those behind, so that with one
        // CPU both share it.
        let first = if usable > server_threads { server_threads } else { 0 };
        let (workers, server) = match choice {
            CpuChoice::Unpinned => (Vec::new(), None),
            CpuChoice::Auto => {
                let own = &self.allowed[first.min(self.allowed.len())..];
                let own = &own[..share.min(own.len())];
                (own.to_vec(), bundled_server.then(|| self.server_cpus(own, server_threads)))
            }
            CpuChoice::List(list) => {
                self.check(list)?;
                (list.clone(), bundled_server.then(|| self.server_cpus(list, server_threads)))
            }
        };
        let workers = match workers.is_empty() {
            true => workers,
            false => (0..threads as usize).map(|thread| workers[thread % workers.len()]).collect(),
        };
        Ok(Placement { threads, workers, server_threads, server, notes })
    }

    /// The CPUs that the workers leave free, or all of them when they leave none.
    fn server_cpus(&self, workers: &[usize], server_threads: usize) -> Vec<usize> {
        let free: Vec<usize> =
            self.allowed.iter().copied().filter(|cpu| !workers.contains(cpu)).collect();
        let mut cpus = if free.is_empty() { self.allowed.clone() } else { free };
        cpus.truncate(server_threads);
        cpus
    }

    fn check(&self, list: &[usize]) -> Result<(), Refusal> {
        match list.iter().find(|cpu| !self.allowed.contains(cpu)) {
            None => Ok(()),
            Some(cpu) => Err(Refusal {
                what: format!("--cpus: CPU {cpu} is not one that this process may use"),
                cure: format!("choose from {}", self.describe()),
            }),
        }
    }

    fn describe(&self) -> String {
        let names: Vec<String> = self.allowed.iter().map(usize::to_string).collect();
        names.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(count: usize, parallelism: usize) -> Cpus {
        Cpus { allowed: (0..count).collect(), parallelism }
    }

    #[test]
    fn one_worker_a_core_each_on_its_own() {
        let placement = cpus(4, 4).place(None, 64, &CpuChoice::Auto, false).unwrap();
        assert_eq!((placement.threads, placement.workers), (4, vec![0, 1, 2, 3]));
        assert_eq!(placement.server, None);
    }

    #[test]
    fn the_bundled_server_gets_the_other_half() {
        let placement = cpus(4, 4).place(None, 64, &CpuChoice::Auto, true).unwrap();
        assert_eq!((placement.threads, placement.workers), (2, vec![2, 3]));
        assert_eq!((placement.server_threads, placement.server), (2, Some(vec![0, 1])));
    }

    #[test]
    fn a_single_core_is_shared() {
        let placement = cpus(1, 1).place(None, 64, &CpuChoice::Auto, true).unwrap();
        assert_eq!((placement.threads, placement.workers), (1, vec![0]));
        assert_eq!((placement.server_threads, placement.server), (1, Some(vec![0])));
    }

    #[test]
    fn a_quota_limits_the_threads() {
        let placement = cpus(8, 2).place(None, 64, &CpuChoice::Auto, false).unwrap();
        assert_eq!((placement.threads, placement.workers), (2, vec![0, 1]));
    }

    #[test]
    fn no_more_threads_than_connections_and_it_is_said() {
        let placement = cpus(8, 8).place(Some(4), 3, &CpuChoice::Auto, false).unwrap();
        assert_eq!(placement.threads, 3);
        assert_eq!(placement.notes, ["3 connections: 3 threads instead of 4"]);
        let placement = cpus(8, 8).place(None, 1, &CpuChoice::Auto, false).unwrap();
        assert_eq!((placement.threads, placement.notes.len()), (1, 0), "nobody asked for eight");
    }

    #[test]
    fn a_list_is_followed_and_checked() {
        let list = CpuChoice::List(vec![1]);
        let placement = cpus(2, 2).place(None, 64, &list, true).unwrap();
        assert_eq!((placement.workers, placement.server), (vec![1], Some(vec![0])));
        let refusal = cpus(2, 2).place(None, 64, &CpuChoice::List(vec![7]), false).unwrap_err();
        assert!(refusal.what.contains("CPU 7") && refusal.cure.contains("0,1"));
    }

    #[test]
    fn more_threads_than_cpus_share_them_in_turn() {
        let placement = cpus(2, 2).place(Some(3), 64, &CpuChoice::Auto, false).unwrap();
        assert_eq!(placement.workers, [0, 1, 0]);
    }
}
