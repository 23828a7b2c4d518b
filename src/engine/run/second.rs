//! A row of the series.

use serde::{Deserialize, Serialize};

/// One second of the run, or what was left of one at its end; of a long run several of them. A
/// percentile is then the highest of a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// The end of the second, after the start.
    pub t_s: f64,
    /// Requests that ended in it.
    pub requests: u64,
    /// Requests that ended well in it.
    pub ok: u64,
    /// Requests that failed in it.
    pub failed: u64,
    /// Connections established in it.
    pub connections: u64,
    /// The median of `total`; null, as the other two, when there was no answer.
    pub p50_us: Option<u64>,
    /// The 99th percentile of `total`.
    pub p99_us: Option<u64>,
    /// The longest `total`.
    pub max_us: Option<u64>,
    /// Requests under way at its end.
    pub in_flight: u64,
    /// How long opening a connection took on average; null when none was opened.
    pub connect_mean_us: Option<f64>,
    /// Sockets in TIME_WAIT at its end, in the whole network namespace; null when the kernel does
    /// not tell.
    pub time_wait: Option<u64>,
    /// CPU time of the worker threads over wall time: 1 is one CPU.
    #[serde(default)]
    pub generator_cpu_ratio: Option<f64>,
    /// Time for which a worker thread could have run and had no CPU, over wall time: of the one that
    /// waited the longest; null, as below, where the kernel does not tell.
    #[serde(default)]
    pub generator_cpu_wait_ratio: Option<f64>,
    /// How long a quota stopped ringshot's control group, summed over the CPUs that it ran on.
    #[serde(default)]
    pub generator_throttled_s: Option<f64>,
    /// What the whole box did.
    #[serde(default)]
    pub host: Option<HostSecond>,
    /// What the server's process did, where it is on this box and could be found.
    #[serde(default)]
    pub server: Option<ServerSecond>,
}

/// What the whole box did in one second, in this network namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSecond {
    /// The part of the time for which each CPU was busy, in the order of `watch.cpus`: those that
    /// were online at the begin.
    pub cpu_busy_ratio: Vec<f64>,
    /// The part of all CPUs' time that went into delivering packets (softirq).
    pub cpu_softirq_ratio: f64,
    /// The part of all CPUs' time that the hypervisor gave to somebody else.
    pub cpu_steal_ratio: f64,
    /// What was left of the memory at its end; null, as below, where the kernel does not tell.
    pub memory_available_bytes: Option<u64>,
    /// Bytes received, on all interfaces, the loopback included, bonds and bridges left out.
    pub receive_bytes: Option<u64>,
    /// Bytes sent; likewise.
    pub send_bytes: Option<u64>,
    /// Packets received; likewise.
    pub receive_packets: Option<u64>,
    /// Packets sent; likewise.
    pub send_packets: Option<u64>,
}

/// What the server's process did in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSecond {
    /// CPU time over wall time: 1 is one CPU.
    pub cpu_ratio: f64,
    /// Resident memory at its end.
    pub memory_bytes: u64,
    /// Open descriptors at its end; null when this process may not look, or when looking took too
    /// long a few seconds before.
    pub descriptors: Option<u64>,
}
