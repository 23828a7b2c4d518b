//! What ringshot's control group leaves it: limits that the machine as a whole does not have.

use super::{Check, CheckVerdict, Need};
use crate::preflight::host::HostFacts;
use crate::words::quantities::{bytes, count, cpus_used};

/// The quota of CPU time.
pub(super) fn cpu(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    let quota = host.cpu_quota.as_ref()?;
    let needed = need.cpus();
    let fits = quota.cpus >= needed;
    Some(Check {
        knob: "CPU quota",
        current: format!("{} ({})", cpus_used(quota.cpus), quota.file.display()),
        needed: format!("up to {}", cpus_used(needed)),
        verdict: if fits { CheckVerdict::Fits } else { CheckVerdict::Limits },
        why: match fits {
            true => "ringshot's control group may use this much CPU time".into(),
            false => {
                "when ringshot's control group has used up its quota, all of its threads stop \
                 until the next period, and latencies include that"
                    .into()
            }
        },
        cure: match fits {
            true => String::new(),
            false => format!(
                "a larger quota: `{}` as root on the host, `docker update --cpus={} CONTAINER`, \
                 limits.cpu in Kubernetes; or a lower rate (-R)",
                quota.lift(),
                needed.ceil()
            ),
        },
    })
}

/// The limit of memory: the kernel kills a process that exceeds it, however much the machine has
/// left.
pub(super) fn memory(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    let limit = host.memory_limit.as_ref()?;
    // The other ends are in the group of the server.
    let needed = need.memory_bytes(if need.bundled() { 2 } else { 1 });
    let (left, allowed) = (limit.left_bytes(), bytes(limit.bytes));
    let fits = needed < left;
    Some(Check {
        knob: "memory limit",
        current: format!("{} left of {allowed} ({})", bytes(left), limit.file.display()),
        needed: bytes(needed),
        verdict: if fits { CheckVerdict::Fits } else { CheckVerdict::Prevents },
        why: match fits {
            true => "ringshot's control group may use this much memory".into(),
            false => format!(
                "{} connections take {} of memory, kernel and buffers; ringshot's control group \
                 has {} left of {allowed}, and the kernel kills a process that exceeds it",
                count(need.load.connections.into()),
                bytes(needed),
                bytes(left)
            ),
        },
        cure: match fits {
            true => String::new(),
            false => format!(
                "fewer connections (-c); or a higher limit: `{}` as root on the host, `docker \
                 update --memory={} CONTAINER`, limits.memory in Kubernetes",
                limit.set(limit.used_bytes + 2 * needed),
                limit.used_bytes + 2 * needed
            ),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{host, load, need, open_loop, ports};
    use super::*;
    use crate::engine::pace::Model;
    use crate::engine::policy::CloseMode;
    use crate::engine::ports::Method;
    use crate::engine::run::Load;
    use crate::kernel::cgroup::{Groups, MemoryLimit};

    /// A machine whose root group has this quota, in microseconds of each 100,000.
    fn under_quota(quota: &str) -> HostFacts {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        write("proc/self/cgroup", "0::/\n");
        write("sys/fs/cgroup/cpu.max", &format!("{quota} 100000\n"));
        HostFacts { cpu_quota: Groups::of(root.path(), "self").cpu_quota(), ..host() }
    }

    #[test]
    fn a_quota_has_to_be_enough_for_the_threads_or_for_the_rate() {
        let with = |threads, rate_per_s: Option<f64>| Load {
            threads,
            model: Model { open_loop: rate_per_s.map(open_loop), ..Model::default() },
            ..load(CloseMode::Server, ports(Method::Kernel, 28_000, 1))
        };
        for (quota, load, server_threads, expected) in [
            ("200000", with(2, None), 0, CheckVerdict::Fits),
            ("200000", with(2, None), 1, CheckVerdict::Limits),
            ("8000", with(1, None), 0, CheckVerdict::Limits),
            // A new connection for each: 0.04 CPUs.
            ("8000", with(1, Some(1000.0)), 0, CheckVerdict::Fits),
            ("8000", with(1, Some(1500.0)), 1, CheckVerdict::Limits),
        ] {
            let need = Need { server_threads, ..need(&load) };
            let check = cpu(&need, &under_quota(quota)).unwrap();
            assert_eq!(check.verdict, expected, "{quota} {check:?}");
            assert_eq!(check.cure.contains("`echo max > "), expected == CheckVerdict::Limits);
        }
        assert_eq!(cpu(&need(&with(8, None)), &under_quota("max")), None);
    }

    #[test]
    fn memory_beyond_the_limit_of_the_group_is_refused() {
        let load = load(CloseMode::Server, ports(Method::Kernel, 28_000, 1));
        let load = Load { connections: 10_000, ..load };
        let limited = |bytes, used_bytes| {
            let file = "/sys/fs/cgroup/memory.max".into();
            HostFacts { memory_limit: Some(MemoryLimit { bytes, used_bytes, file }), ..host() }
        };
        // 10,000 connections with one end here: about 30 MB.
        let need = Need { local: true, ..need(&load) };
        let check = memory(&need, &limited(512 << 20, 100 << 20)).unwrap();
        assert_eq!(check.verdict, CheckVerdict::Fits);
        let check = memory(&need, &limited(512 << 20, 490 << 20)).unwrap();
        assert_eq!(check.verdict, CheckVerdict::Prevents);
        assert!(check.why.contains("23.1 MB left of 537 MB"), "{}", check.why);
        assert!(check.cure.contains("> /sys/fs/cgroup/memory.max`"), "{}", check.cure);
        let both = Need { server_threads: 1, ..need };
        assert_eq!(memory(&both, &limited(50 << 20, 0)).unwrap().verdict, CheckVerdict::Prevents);
        assert_eq!(memory(&need, &host()), None);
    }
}
