//! Turns pairs of readings, which count from boot or process start, into what happened between
//! them.
//!
//! A counter that goes backwards (an interface that was replaced, a CPU that came back) has counted
//! nothing. What is in only one of two readings is in no difference, except for processes and
//! threads: a new one started at 0. Readings need not have the threads: differences are taken
//! between those that do.

use super::own::{OwnReading, OwnSecond, OwnSums, Pressure, ratio};
use super::{CpuLoad, Description, NetworkLoad, ServerLoad, Usage, Watch};
use crate::engine::run::ThreadTime as WorkerUse;
use crate::engine::run::second::{HostSecond, ServerSecond};
use crate::kernel::cgroup::Throttling;
use crate::kernel::machine::{CpuTime, Machine, Traffic};
use crate::kernel::threads::{ThreadClock, ThreadTimes};

/// Between readings that are closer than this, ticks of 10 ms say little.
const APART_NS_MIN: u64 = 50_000_000;

/// All that is known at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// When it was taken.
    pub at_ns: u64,
    pub machine: Machine,
    /// The server, while it runs.
    pub server: Option<Usage>,
    pub own: OwnReading,
}

/// What happened since the first reading.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    first: Reading,
    latest: Reading,
    memory_available_min_bytes: Option<u64>,
    server: ServerSums,
    own: OwnSums,
    /// When the server was found, if that was after the latest reading.
    found_at_ns: Option<u64>,
}

/// What the server used while it ran.
#[derive(Clone, Debug, Default)]
struct ServerSums {
    /// Between how far apart readings it was there.
    watched_ns: u64,
    cpu_ns: u64,
    seen: ThreadsSeen,
    processes: usize,
    threads: u32,
    memory_peak_bytes: u64,
    descriptors_peak: Option<u64>,
}

/// What is known of the threads.
#[derive(Clone, Debug, Default)]
struct ThreadsSeen {
    /// The values at the start; those of a thread that came later, at its birth.
    first: ThreadTimes,
    /// The latest values, those of threads that have ended included.
    latest: ThreadTimes,
    /// Whether the latest reading covered all: one that is new at the next reading is young.
    all: bool,
    /// Whether a reading ever left some out.
    left_out: bool,
}

/// What a row of the series is to have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SecondRow {
    pub own: OwnSecond,
    pub host: Option<HostSecond>,
    pub server: Option<ServerSecond>,
}

impl Sums {
    /// From this reading on.
    pub(crate) fn new(first: Reading) -> Sums {
        let mut server = ServerSums::default();
        if let Some(usage) = &first.server {
            server.look_at(usage);
        }
        let memory_available_min_bytes = first.machine.memory_available_bytes;
        let own = OwnSums::new(first.own.clone());
        let latest = first.clone();
        Sums { latest, first, memory_available_min_bytes, server, own, found_at_ns: None }
    }

    /// The server is found at this moment: what it does from now on is known.
    pub(crate) fn find_server(&mut self, at_ns: u64, usage: Usage) {
        self.server.look_at(&usage);
        self.latest.server = Some(usage);
        self.found_at_ns = Some(at_ns);
    }

    /// What the last reading is to say of ringshot itself, whose workers have ended by then.
    pub(crate) fn own_at_end(
        &self,
        threads: &[WorkerUse],
        throttling: Option<Throttling>,
    ) -> OwnReading {
        self.own.at_end(threads, throttling)
    }

    /// What the latest reading would have said of ringshot itself, had the workers not ended.
    pub(crate) fn amend_own(&mut self, reading: &Reading) -> OwnSecond {
        let later_ns = reading.at_ns.saturating_sub(self.latest.at_ns);
        self.own.amend(reading.own.clone(), later_ns)
    }

    /// What ringshot itself had to put up with.
    pub(crate) fn pressure(&self) -> Pressure {
        self.own.pressure()
    }

    /// Takes the next reading: what happened since the one before, but nothing if that was but now.
    pub(crate) fn add(&mut self, reading: Reading) -> SecondRow {
        let before = std::mem::replace(&mut self.latest, reading);
        let apart_ns = self.latest.at_ns.saturating_sub(before.at_ns);
        let memory = self.latest.machine.memory_available_bytes;
        self.memory_available_min_bytes = match (self.memory_available_min_bytes, memory) {
            (Some(least), Some(now)) => Some(least.min(now)),
            (least, now) => least.or(now),
        };
        let server = match (&before.server, &self.latest.server) {
            (Some(server), Some(now)) => {
                let from_ns = self.found_at_ns.unwrap_or(before.at_ns);
                let apart_ns = self.latest.at_ns.saturating_sub(from_ns);
                Some(self.server.add(server, now, apart_ns))
            }
            _ => None,
        };
        let own = self.own.add(self.latest.own.clone(), apart_ns);
        self.found_at_ns = None;
        if apart_ns < APART_NS_MIN {
            return SecondRow::default();
        }
        SecondRow { own, host: self.host_second(&before.machine), server }
    }

    /// What the machine did since `before`.
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

    /// The whole; `answered` is how many requests were meanwhile.
    pub(crate) fn watch(&self, server: Option<&Description>, answered: u64) -> Option<Watch> {
        let (first, latest) = (&self.first.machine, &self.latest.machine);
        let took_ns = self.latest.at_ns.saturating_sub(self.first.at_ns);
        if took_ns < APART_NS_MIN {
            return None;
        }
        let all = all_cpus(first, latest).filter(|all| all.total > 0);
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
            server: server.and_then(|server| {
                self.server.load(server, answered, self.latest.server.is_none())
            }),
            ..Watch::default()
        })
    }
}

impl ServerSums {
    fn add(&mut self, before: &Usage, now: &Usage, apart_ns: u64) -> ServerSecond {
        let begun_ns = |pid: &i32| before.cpu_ns.get(pid).copied().unwrap_or(0);
        let cpu_ns = now.cpu_ns.iter().map(|(pid, to)| to.saturating_sub(begun_ns(pid))).sum();
        self.cpu_ns += cpu_ns;
        self.watched_ns += apart_ns;
        self.look_at(now);
        ServerSecond {
            cpu_ratio: ratio(cpu_ns, apart_ns),
            memory_bytes: now.memory_bytes,
            descriptors: now.descriptors,
        }
    }

    fn look_at(&mut self, usage: &Usage) {
        self.seen.look_at(usage);
        self.processes = self.processes.max(usage.cpu_ns.len());
        self.threads = usage.threads;
        self.memory_peak_bytes = self.memory_peak_bytes.max(usage.memory_bytes);
        self.descriptors_peak = self.descriptors_peak.max(usage.descriptors);
    }

    /// `None` of one that was not there at two readings.
    fn load(&self, server: &Description, answered: u64, is_gone: bool) -> Option<ServerLoad> {
        if self.watched_ns < APART_NS_MIN {
            return None;
        }
        // Of one that is gone it is not known what it used for the last answers.
        let is_known = answered > 0 && !is_gone;
        let per_request = is_known.then(|| self.cpu_ns as f64 / 1e3 / answered as f64);
        Some(ServerLoad {
            pid: server.pid,
            name: server.name.clone(),
            found_by: server.found_by.into(),
            processes: self.processes as u32,
            threads: self.threads,
            cpus: server.cpus,
            cpu_s: (self.cpu_ns as f64 / 1e3).round() / 1e6,
            cpu_ratio: ratio(self.cpu_ns, self.watched_ns),
            busiest_thread_ratio: ratio(self.seen.busiest_ns(), self.watched_ns),
            cpu_wait_ratio: self
                .seen
                .waited_ns()
                .map(|waited_ns| ratio(waited_ns, self.watched_ns)),
            cpu_us_per_request: per_request.map(|us| (us * 1e3).round() / 1e3),
            memory_peak_bytes: self.memory_peak_bytes,
            descriptors_peak: self.descriptors_peak,
            watched_s: (self.watched_ns as f64 / 1e6).round() / 1e3,
            ended: is_gone,
        })
    }
}

impl ThreadsSeen {
    fn look_at(&mut self, usage: &Usage) {
        if usage.thread_times.is_empty() {
            return;
        }
        for (&thread, &time) in &usage.thread_times {
            self.first.entry(thread).or_insert(if self.all { ThreadClock::BORN } else { time });
            self.latest.insert(thread, time);
        }
        self.all = usage.has_all_threads();
        self.left_out |= !self.all;
    }

    fn busiest_ns(&self) -> u64 {
        let ran = |(from, to): (ThreadClock, ThreadClock)| to.ran_ns.saturating_sub(from.ran_ns);
        self.spans().map(ran).max().unwrap_or(0)
    }

    /// How long all of them together waited for a CPU; `None` when it is not known of all.
    fn waited_ns(&self) -> Option<u64> {
        let waited = |(from, to): (ThreadClock, ThreadClock)| {
            Some(to.waited_ns?.saturating_sub(from.waited_ns?))
        };
        let sum = self.spans().filter_map(waited).reduce(u64::saturating_add);
        sum.filter(|_| !self.left_out)
    }

    fn spans(&self) -> impl Iterator<Item = (ThreadClock, ThreadClock)> {
        self.latest.iter().filter_map(|(thread, to)| Some((*self.first.get(thread)?, *to)))
    }
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
