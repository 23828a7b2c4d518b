//! Numbers become sentences with a cure. A clean run has none.
//!
//! ```text
//!   tally, errors, series ─┐
//!   kernel counters        ├──► Facts ──► generator, ports, network, server ──► worst first
//!   plan, ports            ─┘       own: whether ringshot itself had the CPU time that it needed
//! ```

mod addresses;
mod advice;
mod generator;
pub(crate) mod limit;
mod nagle;
mod network;
mod own;
mod ports;
mod server;
mod unix_socket;

use crate::engine::driver::uring::Unavailable;
use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::policy::Policy;
use crate::engine::ports::Ports;
use crate::engine::run::answer::AddressAnswer;
use crate::engine::tally::{Counters, ErrorEntry};
use crate::kernel;
use crate::kernel::cgroup::CpuQuota;
use crate::preflight::host::HostFacts;
use crate::result::{Finding, Generator, ScheduleSummary, Second, TargetAddress};
pub(crate) use advice::advice;
pub(crate) use generator::{SATURATED_RATIO, demand_ratio};
use hdrhistogram::Histogram;
pub(crate) use limit::limited_by;
pub(crate) use own::{THROTTLED_RATIO, WAIT_RATIO, waited};
use std::net::{IpAddr, SocketAddr};

/// The facts that findings are made from.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    /// The counts of the measurement.
    pub counters: &'a Counters,
    /// The same with those of the warm-up.
    pub whole: Counters,
    /// Connections that the kernel opened meanwhile for any program, warm-up included.
    pub active_opens: Option<u64>,
    /// How an open loop kept its schedule.
    pub schedule: Option<&'a ScheduleSummary>,
    /// The failures of the whole run, and the start that their times count from.
    pub errors: &'a [ErrorEntry],
    /// See `errors`.
    pub begin_ns: u64,
    /// Answers of the whole run with a length that did not count, as they came in chunks.
    pub overruled_lengths: u64,
    /// `connect` of the whole run.
    pub connect: &'a Histogram<u64>,
    /// `first_byte` and `service` of the measurement, and `service` of the warm-up.
    pub first_byte: &'a Histogram<u64>,
    /// See `first_byte`.
    pub service: &'a Histogram<u64>,
    /// See `first_byte`.
    pub warm_service: Option<&'a Histogram<u64>>,
    /// A row a second, or a longer one in a long run.
    pub series: &'a [Second],
    /// What the generator used, and what it waited for.
    pub generator: Generator,
    /// How long the measurement took.
    pub duration_s: f64,
    /// The CPUs that this process may run on, whatever its quota.
    pub allowed_cpus: usize,
    /// Those of them that had time left, and no worker.
    pub free_cpus: Vec<usize>,
    /// The least quota of CPU time of its control groups.
    pub quota: Option<&'a CpuQuota>,
    /// How many worker threads there were.
    pub threads: u32,
    /// How many connections at a time.
    pub connections: u32,
    /// How many processors this process may use.
    pub cpus: usize,
    /// Whether the server runs inside this process.
    pub bundled: bool,
    /// Why the run did not go over a ring, although that was preferred.
    pub no_ring: Option<&'a Unavailable>,
    pub policy: &'a Policy,
    pub ports: &'a Ports,
    /// The pairs of source address and port towards the target.
    pub pairs: u64,
    /// The first source address towards the target.
    pub source: Option<IpAddr>,
    /// The target; `None` for a unix socket, to which no rule about ports or counters of TCP applies.
    pub target: Option<SocketAddr>,
    /// All its addresses, and what each answered before the run.
    pub addresses: &'a [TargetAddress],
    /// See `addresses`.
    pub answers: &'a [AddressAnswer],
    /// Whether connections went to all of them in turn.
    pub spreads: bool,
    /// Whether the target is on this machine.
    pub local: bool,
    /// The machine before the run.
    pub host: &'a HostFacts,
    /// What the kernel counted meanwhile.
    pub kernel: &'a kernel::SystemCounters,
    /// Sockets in TIME_WAIT towards the target on our side, before the run.
    pub time_wait_before: Option<u64>,
    /// And after it.
    pub time_wait_held: Option<u64>,
    /// Sockets that were added to TIME_WAIT towards the target, on our side and on the server's, as
    /// far as the server is on this machine. `None` if the kernel did not report it.
    pub time_wait_entered: Option<(u64, u64)>,
    /// Entries in the table of connection tracking, and its limit.
    pub conntrack: Option<(u64, u64)>,
}

impl Facts<'_> {
    /// How many requests failed like this, and how many seconds after the start the first one did.
    fn failed(&self, phase: Phase, kind: Kind) -> Option<(u64, f64)> {
        let entry = self.errors.iter().find(|entry| entry.failure == Failure { phase, kind })?;
        Some((entry.count, entry.first_ns.saturating_sub(self.begin_ns) as f64 / 1e9))
    }
}

/// All that is worth saying, worst first.
pub(crate) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let rules = [
        ports::exhausted,
        ports::no_source,
        ports::source_gone,
        ports::slow_search,
        addresses::lost,
        addresses::unanswered,
        network::conntrack,
        network::accept_queue,
        unix_socket::accept_queue,
        network::syn_cookies,
        network::syn_retries,
        own::throttled,
        own::starved,
        generator::dropped,
        generator::not_kept_up,
        generator::slip,
        generator::descriptors,
        generator::overflows,
        generator::saturated,
        generator::no_ring,
        server::resets,
        server::lost,
        server::not_closed,
        nagle::delayed,
        server::time_wait_other_side,
        server::surplus,
        server::closed_idle,
        server::cut_short,
        server::both_framings,
        generator::other_connections,
    ];
    let mut findings: Vec<Finding> = rules.iter().filter_map(|rule| rule(facts)).collect();
    // A thread that is busy with searching for ports is not short of CPU, and one that was not let
    // run is not too slow.
    let others =
        ["ports_exhausted", "port_search_slow", "generator_throttled", "generator_starved"];
    if findings.iter().any(|finding| others.contains(&finding.id.as_ref())) {
        findings.retain(|finding| finding.id != "generator_saturated");
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

#[cfg(test)]
mod tests;
