//! How many CPUs' time a process may use at most: the quota of the control groups that it is in, as
//! containers get one.
//!
//! ```text
//!   /proc/812/cgroup                        0::/system.slice/docker-4711.scope
//!   /sys/fs/cgroup/system.slice/docker-4711.scope/cpu.max    150000 100000     1.5 CPUs
//!   /sys/fs/cgroup/system.slice/cpu.max                      max 100000        no limit
//! ```
//!
//! The least one on the way to the root counts. Only version 2 of control groups is read, and only
//! as far as this process sees them: of a container beside the one that ringshot is in there is none.

use std::fs;
use std::path::{Component, Path};

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// The CPUs that it may fill, rounded up; `None` without a limit, or when it is not shown.
pub fn cpus(pid: u32) -> Option<u32> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    least_cpus(Path::new(ROOT), group(&groups)?)
}

/// The path of the process in the one tree of version 2, without the slash in front.
fn group(groups: &str) -> Option<&Path> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).map(Path::new)?;
    // One that is not below the root that this process sees begins with `..`.
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}

fn least_cpus(root: &Path, group: &Path) -> Option<u32> {
    let quotas = group.ancestors().filter_map(|folder| {
        quota_cpus(&fs::read_to_string(root.join(folder).join("cpu.max")).ok()?)
    });
    quotas.min()
}

/// `QUOTA PERIOD`, both in microseconds.
fn quota_cpus(text: &str) -> Option<u32> {
    let (quota_us, period_us) = text.trim().split_once(' ')?;
    let (quota_us, period_us): (u64, u64) = (quota_us.parse().ok()?, period_us.parse().ok()?);
    let cpus = quota_us.checked_add(period_us.checked_sub(1)?)? / period_us;
    u32::try_from(cpus.max(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_rounded_up() {
        for (text, cpus) in [
            ("150000 100000\n", Some(2)),
            ("200000 100000\n", Some(2)),
            ("1000 100000\n", Some(1)),
            ("max 100000\n", None),
            ("1000 0", None),
            ("1000", None),
            ("-1 100000", None),
            ("18446744073709551615 100000", None),
            ("", None),
        ] {
            assert_eq!(quota_cpus(text), cpus, "{text:?}");
        }
    }

    #[test]
    fn the_group_is_that_of_version_2_and_below_the_root() {
        for (groups, path) in [
            ("0::/system.slice/nginx.service\n", Some("system.slice/nginx.service")),
            ("4:memory:/a\n1:cpu:/b\n0::/\n", Some("")),
            ("0::/../other\n", None),
            ("1:cpu:/b\n", None),
            ("", None),
        ] {
            assert_eq!(group(groups), path.map(Path::new), "{groups:?}");
        }
    }

    #[test]
    fn the_least_quota_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let path = Path::new("a/b/c");
        fs::create_dir_all(root.path().join(path)).unwrap();
        let write = |folder: &str, text| {
            fs::write(root.path().join(folder).join("cpu.max"), text).unwrap();
        };
        assert_eq!(least_cpus(root.path(), path), None);
        write("a/b/c", "max 100000\n");
        assert_eq!(least_cpus(root.path(), path), None);
        write("a", "250000 100000\n");
        write("a/b", "800000 100000\n");
        assert_eq!(least_cpus(root.path(), path), Some(3));
    }
}
