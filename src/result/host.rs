//! The box, as a report describes it: what a reader needs to tell whether a number can be compared
//! with theirs.

use super::Host;
use crate::kernel::cgroup::Groups;
use crate::kernel::sysctl;
use crate::preflight::cpus::Cpus;
use crate::preflight::host::HostFacts;
use crate::statistics::rounded;

/// Settings that decide how far a load generator gets, or what a server takes.
const SYSCTLS: [&str; 13] = [
    "fs.file-max",
    "kernel.io_uring_disabled",
    "net.core.netdev_max_backlog",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_tw_reuse_delay",
    "net.netfilter.nf_conntrack_max",
];

impl Host {
    /// Asks the box.
    pub(crate) fn detect(cpus: &Cpus, facts: &HostFacts) -> Host {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let model = |line: &str| {
            line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
        };
        let first = cpus.allowed.first().copied().unwrap_or(0);
        let governor =
            read(&format!("/sys/devices/system/cpu/cpu{first}/cpufreq/scaling_governor"));
        let value = |name: &str| Some((name.to_owned(), one_line(&sysctl::read(name)?)));
        Host {
            name: sysctl::read("kernel.hostname").unwrap_or_default(),
            kernel: sysctl::read("kernel.osrelease").unwrap_or_default(),
            cpu_model: read("/proc/cpuinfo").lines().find_map(model).unwrap_or_default(),
            cpus: cpus.parallelism,
            governor: Some(governor.trim().to_owned()).filter(|name| !name.is_empty()),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            cpu_quota: cpus.quota.as_ref().map(|quota| rounded(quota.cpus, 3)),
            memory_limit_bytes: Groups::own().memory_limit().map(|limit| limit.bytes),
            descriptors: Some(facts.descriptors),
            sysctls: SYSCTLS.into_iter().filter_map(value).collect(),
        }
    }
}

/// Values of several numbers have tabs between them.
fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_settings_are_read_as_the_kernel_prints_them() {
        assert_eq!(memory_bytes("MemTotal:       24000 kB\nMemFree: 1 kB\n"), Some(24_576_000));
        assert_eq!(memory_bytes("nothing of that kind"), None);
        assert_eq!(one_line("32768\t60999"), "32768 60999");
    }

    #[test]
    fn this_box_has_a_kernel_and_settings() {
        let host = Host::detect(&Cpus::detect(), &HostFacts::default());
        assert!(!host.kernel.is_empty() && host.memory_bytes.is_some());
        assert!(host.sysctls.contains_key("net.ipv4.ip_local_port_range"), "{:?}", host.sysctls);
    }
}
