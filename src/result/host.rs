//! The box, as a report describes it: what a reader needs to tell whether a number can be compared
//! with theirs.

use super::Host;
use crate::kernel::cgroup::Groups;
use crate::kernel::{machine, sysctl};
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
    pub(crate) fn detect(cpus: &Cpus, facts: &HostFacts) -> Host {
        let first = cpus.allowed.first().copied().unwrap_or(0);
        let value = |name: &str| Some((name.to_owned(), one_line(&sysctl::read(name)?)));
        Host {
            name: sysctl::read("kernel.hostname").unwrap_or_default(),
            kernel: sysctl::read("kernel.osrelease").unwrap_or_default(),
            cpu_model: machine::cpu_model().unwrap_or_default(),
            cpus: cpus.parallelism,
            governor: machine::governor(first),
            memory_bytes: machine::memory_bytes(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_several_numbers_is_one_line() {
        assert_eq!(one_line("32768\t60999"), "32768 60999");
    }

    #[test]
    fn this_box_has_a_kernel_and_settings() {
        let host = Host::detect(&Cpus::detect(), &HostFacts::default());
        assert!(!host.kernel.is_empty() && host.memory_bytes.is_some());
        assert!(host.sysctls.contains_key("net.ipv4.ip_local_port_range"), "{:?}", host.sysctls);
    }
}
