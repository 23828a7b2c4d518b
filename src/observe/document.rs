//! What the machine and the server did meanwhile, as the document has it.

use crate::words::Word;
use serde::{Deserialize, Serialize};

/// What the machine and the server did during the measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The part of the time for which all CPUs together were busy; null where the kernel does not
    /// report it.
    pub cpu_busy_ratio: Option<f64>,
    /// The part of all CPUs' time that the hypervisor gave to other machines.
    pub cpu_steal_ratio: Option<f64>,
    /// Every CPU of the machine that was online all the time.
    pub cpus: Vec<CpuLoad>,
    /// The least memory that was left at the end of a second.
    pub memory_available_min_bytes: Option<u64>,
    /// What went through its interfaces.
    pub network: Option<NetworkLoad>,
    /// The server's process, if it is on this machine and was found.
    pub server: Option<ServerLoad>,
    /// Whether all processes were searched for it. On a machine with very many there is no time for
    /// that, and then there is no server.
    #[serde(default = "complete")]
    pub server_search_complete: bool,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            cpu_busy_ratio: None,
            cpu_steal_ratio: None,
            cpus: Vec::new(),
            memory_available_min_bytes: None,
            network: None,
            server: None,
            server_search_complete: complete(),
        }
    }
}

/// What documents without this key mean.
fn complete() -> bool {
    true
}

/// One CPU of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuLoad {
    /// Its number.
    pub cpu: usize,
    /// The part of the time for which it was busy, with anything.
    pub busy_ratio: f64,
    /// The part that went into delivering packets (softirq).
    pub softirq_ratio: f64,
    /// The part that the hypervisor gave to other machines.
    pub steal_ratio: f64,
}

/// All interfaces of this network namespace together, the loopback included. Bonds and bridges are
/// left out, as what they carry goes through others too. A packet that is forwarded from one
/// interface to another, or goes through a VLAN's, counts on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkLoad {
    /// Bytes received.
    pub receive_bytes: u64,
    /// Bytes sent.
    pub send_bytes: u64,
    /// Packets received.
    pub receive_packets: u64,
    /// Packets sent.
    pub send_packets: u64,
    /// The same per second.
    pub receive_bytes_per_s: f64,
    /// The same per second.
    pub send_bytes_per_s: f64,
    /// The same per second.
    pub receive_packets_per_s: f64,
    /// The same per second.
    pub send_packets_per_s: f64,
}

/// The server: a process with its children, all those that hold its listening socket, or the threads
/// of the bundled one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerLoad {
    /// The number of its first process; of the bundled server that of ringshot.
    pub pid: u32,
    /// The name of that process, as the kernel has it; of the bundled server `bench-server`.
    pub name: String,
    /// How it was found: `bundled`, `listener` (it listens on the target's port) or `--watch-pid`.
    pub found_by: Word,
    /// Its processes: the most that there were at a time.
    pub processes: u32,
    /// Its threads when it was last looked at.
    pub threads: u32,
    /// The CPUs that these may run on, or that its control group's quota is worth (rounded up), if
    /// those are fewer.
    pub cpus: u32,
    /// Its CPU time, user and system.
    pub cpu_s: f64,
    /// The same over wall time: 1 is one CPU.
    pub cpu_ratio: f64,
    /// CPU time over wall time of its busiest thread.
    pub busiest_thread_ratio: f64,
    /// For how long its threads could have run and had no CPU, over wall time: 1 is one thread all
    /// the time; null where the kernel does not report it, and for more than 1,024 threads.
    #[serde(default)]
    pub cpu_wait_ratio: Option<f64>,
    /// Its CPU time per request that was answered, with whatever status; null when none was, or when
    /// it had ended before the run did.
    pub cpu_us_per_request: Option<f64>,
    /// Its most resident memory at the end of a second; of the bundled server that of this process.
    pub memory_peak_bytes: u64,
    /// Its most open descriptors, likewise; null when this process may not look.
    pub descriptors_peak: Option<u64>,
    /// For how long it was watched: the ratios are of that time.
    pub watched_s: f64,
    /// Whether it had ended before the run did.
    pub ended: bool,
}
