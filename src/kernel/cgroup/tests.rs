use super::*;
use tempfile::TempDir;

/// A machine with these files.
fn machine(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn groups(root: &TempDir) -> Groups {
    Groups::of(root.path(), "self")
}

const TWO: &str =
    "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

const ONE: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                   32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                   35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                   41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

#[test]
fn a_quota_is_what_it_is_over_its_period() {
    for (text, expected) in [
        ("150000 100000\n", Some(1.5)),
        ("8000\n 100000\n", Some(0.08)),
        ("max 100000\n", None),
        ("-1\n 100000\n", None),
        ("0 100000", None),
        ("1000 0", None),
        ("1000", None),
        ("", None),
    ] {
        assert_eq!(cpus(text), expected, "{text:?}");
    }
}

#[test]
fn the_least_quota_on_the_way_to_the_root_counts() {
    let in_two = [
        ("proc/self/mountinfo", TWO),
        ("proc/self/cgroup", "0::/a/b/c\n"),
        ("sys/fs/cgroup/a/cpu.max", "250000 100000\n"),
        ("sys/fs/cgroup/a/b/cpu.max", "800000 100000\n"),
        ("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"),
    ];
    let root = machine(&in_two);
    let quota = groups(&root).cpu_quota().unwrap();
    let file = root.path().join("sys/fs/cgroup/a/cpu.max");
    assert_eq!((quota.cpus, &quota.file), (2.5, &file));
    assert_eq!(quota.lift(), format!("echo max > {}", file.display()));
    let in_one = [
        ("proc/self/mountinfo", ONE),
        ("proc/self/cgroup", "4:memory:/m\n1:cpu,cpuacct:/a/b\n0::/\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "25000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "50000\n"),
    ];
    let root = machine(&in_one);
    let quota = groups(&root).cpu_quota().unwrap();
    assert_eq!(quota.cpus, 0.5);
    // A comma is nothing to a shell, but quotes do no harm.
    let file = root.path().join("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us");
    assert_eq!(quota.lift(), format!("echo -1 > '{}'", file.display()));
}

#[test]
fn a_container_sees_its_own_group_as_the_root() {
    let name = "/kubepods/pod1/c2";
    let mounts = format!("32 31 0:29 {name} /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
    for (cgroup, expected) in [
        // The whole path in the tree, and a group below it.
        (format!("1:cpu:{name}\n"), Some(0.5)),
        (format!("1:cpu:{name}/inner\n"), Some(0.5)),
        // Another part of the tree.
        ("1:cpu:/kubepods/pod1\n".into(), None),
        (format!("1:cpu:{name}/../c3\n"), None),
        ("1:cpu:/../c3\n".into(), None),
    ] {
        let root = machine(&[
            ("proc/self/mountinfo", &mounts),
            ("proc/self/cgroup", &cgroup),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(groups(&root).cpu_quota().map(|quota| quota.cpus), expected, "{cgroup}");
    }
}

#[test]
fn the_limit_of_memory_that_leaves_the_least_counts() {
    let root = machine(&[
        ("proc/self/mountinfo", TWO),
        ("proc/self/cgroup", "0::/a/b\n"),
        ("sys/fs/cgroup/a/memory.max", "1000000\n"),
        ("sys/fs/cgroup/a/memory.current", "900000\n"),
        ("sys/fs/cgroup/a/memory.stat", "anon 5\nfile 9\ninactive_file 20000\nactive_file 30000\n"),
        ("sys/fs/cgroup/a/b/memory.max", "500000\n"),
        ("sys/fs/cgroup/a/b/memory.current", "100000\n"),
    ]);
    let limit = groups(&root).memory_limit().unwrap();
    assert_eq!((limit.bytes, limit.used_bytes, limit.left_bytes()), (1_000_000, 850_000, 150_000));
    let one = [
        ("proc/self/mountinfo", ONE),
        ("proc/self/cgroup", "4:memory:/m\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "67108864\n"),
        ("sys/fs/cgroup/memory/m/memory.usage_in_bytes", "7000000\n"),
        (
            "sys/fs/cgroup/memory/m/memory.stat",
            "inactive_file 1\ntotal_inactive_file 2000000\ntotal_active_file 1000000\n",
        ),
    ];
    let limit = groups(&machine(&one)).memory_limit().unwrap();
    assert_eq!((limit.bytes, limit.used_bytes), (64 << 20, 4_000_000));
    // Not expressed, and less than the root has.
    assert_eq!(groups(&machine(&one[..3])).memory_limit(), None);
}

#[test]
fn throttling_is_of_the_level_that_was_stopped_for_the_longest() {
    let stat = |one: u64, two: u64| {
        let level = |n: u64| {
            format!("usage_usec 9\nnr_periods {n}\nnr_throttled {n}\nthrottled_usec {}\n", n * 7)
        };
        let root = machine(&[
            ("proc/self/mountinfo", TWO),
            ("proc/self/cgroup", "0::/a/b\n"),
            // As the root of version 2 has it.
            ("sys/fs/cgroup/cpu.stat", "usage_usec 9\nuser_usec 9\n"),
            ("sys/fs/cgroup/a/cpu.stat", &level(one)),
            ("sys/fs/cgroup/a/b/cpu.stat", &level(two)),
        ]);
        groups(&root).throttling().unwrap()
    };
    let since = stat(15, 103).since(&stat(10, 100));
    assert_eq!(since, Throttled { periods: 5, throttled_periods: 5, throttled_ns: 35_000 });
    // A group that was recreated.
    assert_eq!(stat(1, 1).since(&stat(9, 9)), Throttled::default());
    let one = machine(&[
        ("proc/self/mountinfo", ONE),
        ("proc/self/cgroup", "1:cpu,cpuacct:/\n"),
        (
            "sys/fs/cgroup/cpu,cpuacct/cpu.stat",
            "nr_periods 49\nnr_throttled 46\nthrottled_time 2160000000\nnr_bursts 0\n",
        ),
    ]);
    let now = groups(&one).throttling().unwrap();
    assert_eq!(now.0[0].unwrap().throttled_ns, 2_160_000_000);
}

#[test]
fn what_is_not_shown_is_absent() {
    for files in [
        &[][..],
        &[("proc/self/cgroup", "0::/\n")],
        &[("proc/self/mountinfo", TWO)],
        &[("proc/self/mountinfo", TWO), ("proc/self/cgroup", "0::/../other\n")],
        // Version 2 without its controllers.
        &[
            ("proc/self/mountinfo", TWO),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 9\n"),
        ],
        &[("proc/self/mountinfo", "nonsense\n"), ("proc/self/cgroup", "more of it\n")],
    ] {
        let groups = groups(&machine(files));
        assert_eq!((groups.cpu_quota(), groups.memory_limit()), (None, None), "{files:?}");
        assert_eq!(groups.throttling(), None, "{files:?}");
    }
}
