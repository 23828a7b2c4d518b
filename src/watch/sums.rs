//! From readings, which count since boot or the begin of a process, to what happened between them.
//!
//! A counter that goes backwards (an interface that was replaced, a CPU that came back) has counted
//! nothing. What is in one of two readings only is in neither's difference, but for threads: a new
//! one began at 0.

use super::{Description, Row, Usage};
use crate::kernel::machine::{CpuTime, Machine, Traffic};
use crate::kernel::process::ThreadTimes;
use crate::report::watch::{CpuLoad, NetworkLoad, ServerLoad};
use crate::report::{HostSecond, ServerSecond, Watch};

/// Between readings that are closer than this, ticks of 10 ms say little.
const APART_NS_MIN: u64 = 50_000_000;

/// All that is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// When it was taken.
    pub at_ns: u64,
    /// The box.
    pub machine: Machine,
    /// The server, while it runs.
    pub server: Option<Usage>,
    /// CPU time of the workers.
    pub generator_ns: Option<u64>,
}

/// What happened since the first reading.
#[derive(Clone, Debug)]
pub struct Sums {
    first: Reading,
    latest: Reading,
    memory_available_min_bytes: Option<u64>,
    server: ServerSums,
}

/// What the server used while it ran.
#[derive(Clone, Debug, Default)]
struct ServerSums {
    /// Between how far apart readings it was there.
    watched_ns: u64,
    cpu_ns: u64,
    waited_ns: u64,
    /// The latest times of all threads that there were, and the first of those of the begin.
    threads_ns: ThreadTimes,
    threads_begin_ns: ThreadTimes,
    threads: u32,
    memory_peak_bytes: u64,
    descriptors_peak: Option<u64>,
}

impl Sums {
    /// From this reading on.
    pub fn new(first: Reading) -> Sums {
        let mut server = ServerSums::default();
        if let Some(usage) = &first.server {
            server.threads_begin_ns = usage.threads_ns.clone();
            server.look_at(usage);
        }
        let memory_available_min_bytes = first.machine.memory_available_bytes;
        Sums { latest: first.clone(), first, memory_available_min_bytes, server }
    }

    /// The CPU time of the workers in the first reading.
    pub fn generator_begin_ns(&self) -> Option<u64> {
        self.first.generator_ns
    }

    /// Takes the next reading: what happened since the one before, but nothing if that was but now.
    pub fn add(&mut self, reading: Reading) -> Row {
        let before = std::mem::replace(&mut self.latest, reading);
        let apart_ns = self.latest.at_ns.saturating_sub(before.at_ns);
        let memory = self.latest.machine.memory_available_bytes;
        self.memory_available_min_bytes = match (self.memory_available_min_bytes, memory) {
            (Some(least), Some(now)) => Some(least.min(now)),
            (least, now) => least.or(now),
        };
        let server = match (&before.server, &self.latest.server) {
            (Some(before), Some(now)) => Some(self.server.add(before, now, apart_ns)),
            _ => None,
        };
        if apart_ns < APART_NS_MIN {
            return (None, None, None);
        }
        let generator = before.generator_ns.zip(self.latest.generator_ns);
        let generator = generator.map(|(from, to)| ratio(to.saturating_sub(from), apart_ns));
        let host = self.host_second(&before.machine);
        (generator, host, server)
    }

    /// What the box did since `before`.
    fn host_second(&self, before: &Machine) -> Option<HostSecond> {
        let now = &self.latest.machine;
        let all = all_cpus(before, now).filter(|all| all.total > 0)?;
        let of = |cpu: &usize| before.cpus.get(cpu).zip(now.cpus.get(cpu));
        let traffic = before.traffic.zip(now.traffic).map(|(from, to)| since(from, to));
        Some(HostSecond {
            // A CPU that is offline is not busy.
            cpu_busy_ratio: self
                .first
                .machine
                .cpus
                .keys()
                .map(|cpu| of(cpu).map(|(from, to)| spent(*from, *to)))
                .map(|time| time.map_or(0.0, |time| ratio(time.busy, time.total)))
                .collect(),
            cpu_softirq_ratio: ratio(all.softirq, all.total),
            cpu_steal_ratio: ratio(all.steal, all.total),
            memory_available_bytes: now.memory_available_bytes,
            receive_bytes: traffic.map(|traffic| traffic.receive_bytes),
            send_bytes: traffic.map(|traffic| traffic.send_bytes),
            receive_packets: traffic.map(|traffic| traffic.receive_packets),
            send_packets: traffic.map(|traffic| traffic.send_packets),
        })
    }

    /// The whole; `ended` is how many requests ended meanwhile.
    pub fn watch(&self, server: Option<&Description>, ended: u64) -> Option<Watch> {
        let (first, latest) = (&self.first.machine, &self.latest.machine);
        let took_ns = self.latest.at_ns.saturating_sub(self.first.at_ns);
        if took_ns < APART_NS_MIN {
            return None;
        }
        let all = all_cpus(first, latest);
        let traffic = first.traffic.zip(latest.traffic).map(|(from, to)| since(from, to));
        Some(Watch {
            cpu_busy_ratio: all.map(|all| ratio(all.busy, all.total)),
            cpu_steal_ratio: all.map(|all| ratio(all.steal, all.total)),
            cpus: first
                .cpus
                .iter()
                .filter_map(|(&cpu, from)| {
                    let time = spent(*from, *latest.cpus.get(&cpu)?);
                    Some(CpuLoad {
                        cpu,
                        busy_ratio: ratio(time.busy, time.total),
                        softirq_ratio: ratio(time.softirq, time.total),
                        steal_ratio: ratio(time.steal, time.total),
                    })
                })
                .collect(),
            memory_available_min_bytes: self.memory_available_min_bytes,
            network: traffic.map(|traffic| network(traffic, took_ns)),
            server: server
                .and_then(|server| self.server.load(server, ended, self.latest.server.is_none())),
        })
    }
}

impl ServerSums {
    fn add(&mut self, before: &Usage, now: &Usage, apart_ns: u64) -> ServerSecond {
        let of = |(pid, to): (&i32, &u64)| Some(to.saturating_sub(*before.cpu_ns.get(pid)?));
        let cpu_ns = now.cpu_ns.iter().filter_map(of).sum();
        self.cpu_ns += cpu_ns;
        // Threads that have ended take their waiting with them.
        self.waited_ns += now.waited_ns.saturating_sub(before.waited_ns);
        self.watched_ns += apart_ns;
        self.look_at(now);
        ServerSecond {
            cpu_ratio: ratio(cpu_ns, apart_ns),
            memory_bytes: now.memory_bytes,
            descriptors: now.descriptors,
        }
    }

    fn look_at(&mut self, usage: &Usage) {
        self.threads_ns.extend(&usage.threads_ns);
        self.threads = usage.threads;
        self.memory_peak_bytes = self.memory_peak_bytes.max(usage.memory_bytes);
        self.descriptors_peak = self.descriptors_peak.max(usage.descriptors);
    }

    /// `None` of one that was not there at two readings.
    fn load(&self, server: &Description, ended: u64, is_gone: bool) -> Option<ServerLoad> {
        if self.watched_ns < APART_NS_MIN {
            return None;
        }
        let used = |(thread, to): (&i32, &u64)| {
            to.saturating_sub(self.threads_begin_ns.get(thread).copied().unwrap_or(0))
        };
        let busiest_ns = self.threads_ns.iter().map(used).max().unwrap_or(0);
        let per_request = if ended > 0 { self.cpu_ns as f64 / 1e3 / ended as f64 } else { 0.0 };
        Some(ServerLoad {
            pid: server.pid,
            name: server.name.clone(),
            found_by: server.found_by.into(),
            processes: server.processes,
            threads: self.threads,
            cpus: server.cpus,
            cpu_s: (self.cpu_ns as f64 / 1e3).round() / 1e6,
            cpu_ratio: ratio(self.cpu_ns, self.watched_ns),
            busiest_thread_ratio: ratio(busiest_ns, self.watched_ns),
            cpu_wait_ratio: ratio(self.waited_ns, self.watched_ns),
            cpu_us_per_request: (per_request * 1e3).round() / 1e3,
            memory_peak_bytes: self.memory_peak_bytes,
            descriptors_peak: self.descriptors_peak,
            watched_s: (self.watched_ns as f64 / 1e6).round() / 1e3,
            ended: is_gone,
        })
    }
}

/// Digits beyond a thousandth are noise of the ticks.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e3).round() / 1e3 }
}

fn spent(from: CpuTime, to: CpuTime) -> CpuTime {
    CpuTime {
        busy: to.busy.saturating_sub(from.busy),
        softirq: to.softirq.saturating_sub(from.softirq),
        steal: to.steal.saturating_sub(from.steal),
        total: to.total.saturating_sub(from.total),
    }
}

/// All CPUs together that are in both; `None` when there are none.
fn all_cpus(from: &Machine, to: &Machine) -> Option<CpuTime> {
    let both = from.cpus.iter().filter_map(|(cpu, from)| Some(spent(*from, *to.cpus.get(cpu)?)));
    both.reduce(|sum, one| CpuTime {
        busy: sum.busy + one.busy,
        softirq: sum.softirq + one.softirq,
        steal: sum.steal + one.steal,
        total: sum.total + one.total,
    })
}

fn since(from: Traffic, to: Traffic) -> Traffic {
    Traffic {
        receive_bytes: to.receive_bytes.saturating_sub(from.receive_bytes),
        send_bytes: to.send_bytes.saturating_sub(from.send_bytes),
        receive_packets: to.receive_packets.saturating_sub(from.receive_packets),
        send_packets: to.send_packets.saturating_sub(from.send_packets),
    }
}

fn network(traffic: Traffic, took_ns: u64) -> NetworkLoad {
    let per_s = |count: u64| (count as f64 / took_ns as f64 * 1e12).round() / 1e3;
    NetworkLoad {
        receive_bytes: traffic.receive_bytes,
        send_bytes: traffic.send_bytes,
        receive_packets: traffic.receive_packets,
        send_packets: traffic.send_packets,
        receive_bytes_per_s: per_s(traffic.receive_bytes),
        send_bytes_per_s: per_s(traffic.send_bytes),
        receive_packets_per_s: per_s(traffic.receive_packets),
        send_packets_per_s: per_s(traffic.send_packets),
    }
}
