//! The control groups of a process: how much CPU time and memory they leave it, and for how long
//! they stopped it. Containers and services get their limits this way.
//!
//! ```text
//!   /proc/self/cgroup        1:cpu:/a/b          version 1: a path for each controller
//!                            0::/a/b             version 2: one path for all other controllers
//!   /proc/self/mountinfo     / /sys/fs/cgroup/cpu ... - cgroup cgroup rw,cpu     where the tree is
//!
//!   /sys/fs/cgroup/cpu/a/b   cpu.cfs_quota_us, cpu.cfs_period_us, cpu.stat       its own level
//!   /sys/fs/cgroup/cpu/a     ...                                                 and each above it
//! ```
//!
//! The least limit on the way to the root counts. Levels above the root that this process sees are
//! not shown to it: a limit there is unknown. What a kernel does not say is absent, never 0.

use procfs::process::MountInfo;
use procfs::{FromBufRead, ProcessCGroups};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Version 1 cannot express "no limit of memory": it shows the highest multiple of a page.
const MEMORY_UNLIMITED: u64 = 1 << 62;

/// The two interfaces of control groups. A controller is in a tree of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The groups that a controller has a process in: its own first, then each above it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Levels {
    version: Version,
    folders: Vec<PathBuf>,
}

/// The control groups of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    cpu: Option<Levels>,
    memory: Option<Levels>,
}

/// A limit of CPU time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CpuQuota {
    /// How many CPUs' time a group may use: 1.5 is 150 ms of each 100 ms.
    pub cpus: f64,
    /// The file that sets it.
    pub file: PathBuf,
    /// What lifts it when it is written there.
    unlimited: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    /// What the group may have. The kernel kills a process of it to keep this limit.
    pub bytes: u64,
    /// What it has, without the files in the page cache, which the kernel gives up first.
    pub used_bytes: u64,
    /// The file that sets it.
    pub file: PathBuf,
}

/// How often, and for how long, a quota of CPU time stopped a group, since the group was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Throttled {
    /// Periods in which the group had something to run.
    pub periods: u64,
    /// Those in which it used up its quota.
    pub throttled_periods: u64,
    /// For how long it then stood still, summed over the CPUs that it ran on.
    pub throttled_ns: u64,
}

/// The same of each level, own group first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Throttling(Vec<Option<Throttled>>);

impl Groups {
    /// Those of this process.
    pub(crate) fn own() -> Groups {
        Groups::of(Path::new("/"), "self")
    }

    /// Those of another process, as far as this one sees them.
    pub(crate) fn of_process(pid: u32) -> Groups {
        Groups::of(Path::new("/"), &pid.to_string())
    }

    /// Those of a process, with `/proc` and the mounts below `root`.
    pub(crate) fn of(root: &Path, process: &str) -> Groups {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let mounts = read("proc/self/mountinfo");
        let mounts: Vec<MountInfo> =
            mounts.lines().filter_map(|line| MountInfo::from_line(line).ok()).collect();
        let groups = read(&format!("proc/{process}/cgroup"));
        let Ok(groups) = ProcessCGroups::from_buf_read(groups.as_bytes()) else {
            return Groups::default();
        };
        let levels = |controller| levels(root, &mounts, &groups, controller);
        Groups { cpu: levels("cpu"), memory: levels("memory") }
    }

    /// The least quota of CPU time; `None` without one, or where the kernel does not show it.
    pub(crate) fn cpu_quota(&self) -> Option<CpuQuota> {
        let Levels { version, folders } = self.cpu.as_ref()?;
        let quota = |folder: &PathBuf| {
            let (name, unlimited) = match version {
                Version::One => ("cpu.cfs_quota_us", "-1"),
                Version::Two => ("cpu.max", "max"),
            };
            let file = folder.join(name);
            let quota = fs::read_to_string(&file).ok()?;
            let period = match version {
                Version::One => fs::read_to_string(folder.join("cpu.cfs_period_us")).ok()?,
                Version::Two => String::new(),
            };
            Some(CpuQuota { cpus: cpus(&format!("{quota} {period}"))?, file, unlimited })
        };
        folders.iter().filter_map(quota).min_by(|a, b| a.cpus.total_cmp(&b.cpus))
    }

    /// The limit of memory that leaves the least; `None` without one, or where the kernel does not
    /// show it.
    pub(crate) fn memory_limit(&self) -> Option<MemoryLimit> {
        let Levels { version, folders } = self.memory.as_ref()?;
        let (name, usage, files) = match version {
            Version::One => (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ["total_inactive_file", "total_active_file"],
            ),
            Version::Two => ("memory.max", "memory.current", ["inactive_file", "active_file"]),
        };
        let limit = |folder: &PathBuf| {
            let number =
                |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
            let bytes = number(name).filter(|&bytes| bytes < MEMORY_UNLIMITED)?;
            let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let cached: u64 = files.iter().filter_map(|name| value(&stat, name)).sum();
            let used_bytes = number(usage).unwrap_or(0).saturating_sub(cached);
            Some(MemoryLimit { bytes, used_bytes, file: folder.join(name) })
        };
        folders.iter().filter_map(limit).min_by_key(MemoryLimit::left_bytes)
    }

    /// How much its quotas have stopped it so far; `None` where the kernel does not say.
    pub(crate) fn throttling(&self) -> Option<Throttling> {
        let folders = &self.cpu.as_ref()?.folders;
        let stat = |folder: &PathBuf| throttled(&fs::read_to_string(folder.join("cpu.stat")).ok()?);
        let levels: Vec<Option<Throttled>> = folders.iter().map(stat).collect();
        levels.iter().any(Option::is_some).then_some(Throttling(levels))
    }
}

impl CpuQuota {
    /// A command that lifts it, for a shell.
    pub(crate) fn lift(&self) -> String {
        format!("echo {} > {}", self.unlimited, quoted(&self.file))
    }
}

impl MemoryLimit {
    pub(crate) fn left_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.used_bytes)
    }

    /// A command that sets it, for a shell.
    pub(crate) fn set(&self, bytes: u64) -> String {
        format!("echo {bytes} > {}", quoted(&self.file))
    }
}

impl Throttled {
    /// For how long the group stood still.
    pub(crate) fn seconds(self) -> f64 {
        (self.throttled_ns as f64 / 1e3).round() / 1e6
    }
}

impl Throttling {
    /// What happened since an earlier reading of the same groups, at the level that was stopped for
    /// the longest: levels stop a process at the same time, so they do not add up.
    pub(crate) fn since(&self, before: &Throttling) -> Throttled {
        let both = self.0.iter().zip(&before.0).filter_map(|(now, before)| {
            let (now, before) = ((*now)?, (*before)?);
            Some(Throttled {
                periods: now.periods.saturating_sub(before.periods),
                throttled_periods: now.throttled_periods.saturating_sub(before.throttled_periods),
                throttled_ns: now.throttled_ns.saturating_sub(before.throttled_ns),
            })
        });
        both.max_by_key(|level| level.throttled_ns).unwrap_or_default()
    }
}

/// For a shell.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    shlex::try_quote(&path).map_or(path.to_string(), |quoted| quoted.to_string())
}

/// Where a controller has a process; `None` where this process does not see it.
fn levels(
    root: &Path,
    mounts: &[MountInfo],
    groups: &ProcessCGroups,
    controller: &str,
) -> Option<Levels> {
    let has = |names: &[String]| names.iter().any(|name| name == controller);
    let (version, group) = match groups.0.iter().find(|group| has(&group.controllers)) {
        Some(group) => (Version::One, group),
        None => (Version::Two, groups.0.iter().find(|group| group.hierarchy == 0)?),
    };
    let is_tree = |mount: &&MountInfo| match version {
        Version::One => mount.fs_type == "cgroup" && mount.super_options.contains_key(controller),
        Version::Two => mount.fs_type == "cgroup2",
    };
    let path = Path::new(&group.pathname);
    let mut trees = mounts.iter().filter(is_tree);
    let folders = trees.find_map(|mount| folders(root, mount, path))?;
    Some(Levels { version, folders })
}

/// The folder of a group, and those above it up to where the tree is mounted; `None` of a group that
/// is not in this part of the tree.
fn folders(root: &Path, mount: &MountInfo, group: &Path) -> Option<Vec<PathBuf>> {
    let below = group.strip_prefix(&mount.root).ok()?;
    // A group outside of the root that this process sees has `..` in its path.
    let is_below = below.components().all(|part| matches!(part, Component::Normal(_)));
    let top = root.join(mount.mount_point.strip_prefix("/").ok()?);
    // Without a slash at the end of the topmost one.
    let folder = |below: &Path| match below.as_os_str().is_empty() {
        true => top.clone(),
        false => top.join(below),
    };
    is_below.then(|| below.ancestors().map(folder).collect())
}

/// `QUOTA PERIOD`, both in microseconds.
fn cpus(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>().ok());
    let (quota_us, period_us) = (numbers.next()??, numbers.next()??);
    (quota_us > 0 && period_us > 0).then(|| quota_us as f64 / period_us as f64)
}

fn throttled(stat: &str) -> Option<Throttled> {
    let in_us = value(stat, "throttled_usec").map(|us| us.saturating_mul(1000));
    Some(Throttled {
        periods: value(stat, "nr_periods")?,
        throttled_periods: value(stat, "nr_throttled")?,
        throttled_ns: in_us.or_else(|| value(stat, "throttled_time"))?,
    })
}

/// The number after a name that has a line of its own.
fn value(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
