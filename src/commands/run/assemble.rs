//! From the numbers of a run to its [`Report`].

use crate::engine::driver::uring::Unavailable;
use crate::engine::failure::Phase;
use crate::engine::pace::curve::RateStage;
use crate::engine::run::{Load, Measured, ThreadTime};
use crate::engine::tally;
use crate::findings::{self, Facts};
use crate::kernel::cgroup::Throttled;
use crate::kernel::{self, Address, Moment, SystemCounters, TimeWait};
use crate::observe::Pressure;
use crate::plan::{self, Description, Pacing, Plan};
use crate::preflight::cpus::Cpus;
use crate::preflight::host::HostFacts;
use crate::result::slo::{self, Recorded};
use crate::result::{self, *};
use crate::statistics::{longest_us, percentile_us, rounded};
use std::time::Duration;

/// Everything in a report that is not a measured number.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances<'a> {
    pub plan: &'a Plan,
    /// The URL, as it may be shown.
    pub url: &'a str,
    /// The plan as it was carried out.
    pub load: &'a Load,
    pub cpus: &'a Cpus,
    /// Whether a signal ended the run.
    pub interrupted: bool,
    /// The kernel before the run.
    pub before: &'a Moment,
    /// The kernel after the run.
    pub after: &'a Moment,
    /// The machine before the run.
    pub host: &'a HostFacts,
    /// Why the run did not use a ring, although that was preferred.
    pub no_ring: Option<&'a Unavailable>,
    /// The machine and the server during the measurement.
    pub watch: Option<Watch>,
    /// The CPU time that ringshot itself got, waited for, and lost to quotas.
    pub pressure: Pressure,
}

impl Report {
    pub(crate) fn new(around: &Circumstances<'_>, measured: &Measured) -> Report {
        let (plan, load, tally) = (around.plan, around.load, &measured.tally);
        let counters = &tally.counters;
        let duration_s = measured.duration.as_secs_f64();
        let bundled = plan.endpoint.is_none();
        let generator = generator(measured, &around.pressure);
        let before = measured.counters_before.as_ref().unwrap_or(&around.before.counters);
        let kernel = around.after.counters.since(before);
        let schedule = schedule(plan, measured);
        let addresses = result::addresses(load, measured);
        let facts = facts(around, measured, &kernel, generator, schedule.as_ref(), &addresses);
        let (local, found) = (facts.local, findings::find(&facts));
        let target = &load.addresses[most_used(measured)];
        let errors = errors(measured, target);
        let report = Report {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            command: plan.command.clone(),
            target: Target {
                url: around.url.to_owned(),
                address: target.to_string(),
                bundled,
                local,
                addresses_used: result::addresses_used(&addresses),
                addresses,
            },
            plan: Description::of(plan, load.threads, &load.cpus),
            host: Host::detect(around.cpus, around.host),
            engine: load.engine.name().into(),
            ring_tier: load.engine.tier().map(|tier| tier.name().into()),
            interrupted: around.interrupted,
            begun_at: humantime::format_rfc3339_millis(measured.begun_at).to_string(),
            duration_s: rounded(duration_s, 6),
            warmup: measured.warmup.as_ref().map(|(tally, duration)| Warmup {
                duration_s: rounded(duration.as_secs_f64(), 6),
                requests: Requests::of(tally),
                connections_opened: tally.counters.connections_opened,
                p50_us: percentile_us(&tally.total, 50.0),
                p99_us: percentile_us(&tally.total, 99.0),
                max_us: longest_us(&tally.total),
            }),
            requests: Requests::of(tally),
            connections: Connections {
                opened: counters.connections_opened,
                failed: counters.connections_failed,
                time_wait_owner: match target {
                    Address::Inet(_) => plan::time_wait_owner(&plan.policy).into(),
                    Address::Unix(_) => "nobody".into(),
                },
            },
            ports: ports(load, measured),
            bytes: Bytes { read: counters.bytes_read, written: counters.bytes_written },
            rate: Rate::of(
                &Requests::of(tally),
                counters.connections_opened,
                counters.connections_failed,
                [measured.rates.requests_per_s, measured.rates.connections_per_s],
            ),
            slo: limits(plan, measured, schedule.as_ref(), &errors),
            confidence: measured.batches.confidence(),
            steadiness: measured.batches.steadiness().filter(|_| is_even(&plan.pacing)),
            // 0 stands for an answer without a status.
            status: (0u16..)
                .zip(tally.statuses.iter().copied())
                .filter(|&(code, count)| code > 0 && count > 0)
                .collect(),
            errors,
            latency: LatencySet {
                connect: Latency::of(&tally.connect),
                first_byte: Latency::of(&tally.first_byte),
                service: Latency::of(&tally.service),
                total: Latency::of(&tally.total),
                uncorrected: schedule.is_some().then(|| Latency::of(&tally.uncorrected)),
            },
            schedule,
            generator,
            kernel: Kernel {
                counters: kernel,
                time_wait: time_wait(around, measured),
                time_wait_sockets: TimeWaitSockets {
                    before: around.before.time_wait.clone(),
                    after: around.after.time_wait.clone(),
                },
                findings: found,
            },
            watch: around.watch.clone(),
            limited_by: None,
            merged: None,
            series_interval_s: measured.series.interval_s(),
            series: measured.series.rows().to_vec(),
        };
        Report { limited_by: findings::limited_by(&report), ..report }
    }
}

/// The number of the address with the most connections, also of a warm-up; the first candidate when
/// there is none.
fn most_used(measured: &Measured) -> usize {
    let opened = |index: &usize| {
        let warmup =
            measured.warmup.as_ref().map_or(0, |(tally, _)| tally.opened_by_address[*index]);
        measured.tally.opened_by_address[*index] + warmup
    };
    (0..measured.tally.opened_by_address.len()).rev().max_by_key(opened).unwrap_or(0)
}

/// The facts that findings are made from.
fn facts<'a>(
    around: &'a Circumstances<'_>,
    measured: &'a Measured,
    kernel: &'a SystemCounters,
    generator: Generator,
    schedule: Option<&'a ScheduleSummary>,
    addresses: &'a [TargetAddress],
) -> Facts<'a> {
    let (load, tally) = (around.load, &measured.tally);
    let most_used = most_used(measured);
    // There is one: a name without an address is refused.
    let target = load.addresses[most_used].inet();
    let entered = |owned: fn(&TimeWait) -> u64| {
        let (before, after) = (around.before.time_wait.as_ref()?, around.after.time_wait.as_ref()?);
        Some(owned(after).saturating_sub(owned(before)))
    };
    let client = entered(TimeWait::client_owned);
    let gauge = |name| around.after.counters.gauge(name);
    let mut whole = tally.counters;
    if let Some((warmup, _)) = &measured.warmup {
        whole.add(warmup.counters);
    }
    let active_opens = around.after.counters.since(&around.before.counters);
    Facts {
        counters: &tally.counters,
        whole,
        active_opens: active_opens.0.get("TcpActiveOpens").copied(),
        schedule,
        errors: &tally.errors,
        begin_ns: measured.begin_ns,
        overruled_lengths: measured.remarks.overruled_lengths,
        connect: &tally.connect,
        first_byte: &tally.first_byte,
        service: &tally.service,
        warm_service: measured.warmup.as_ref().map(|(warmup, _)| &warmup.service),
        series: measured.series.rows(),
        generator,
        duration_s: measured.duration.as_secs_f64(),
        allowed_cpus: around.cpus.allowed.len(),
        free_cpus: free_cpus(around),
        quota: around.cpus.quota.as_ref(),
        threads: load.threads,
        connections: load.connections,
        cpus: around.cpus.parallelism,
        bundled: around.plan.endpoint.is_none(),
        no_ring: around.no_ring,
        policy: &load.policy,
        ports: &load.ports,
        pairs: load.ports.pairs(most_used),
        source: load.ports.sources[most_used].first().copied(),
        target,
        addresses,
        answers: &load.answers,
        spreads: load.route.is_spread(),
        local: target.is_none_or(kernel::is_local),
        host: around.host,
        kernel,
        time_wait_before: around.before.time_wait.as_ref().map(TimeWait::client_owned),
        time_wait_held: around.after.time_wait.as_ref().map(TimeWait::client_owned),
        time_wait_entered: client.zip(entered(TimeWait::server_owned)),
        conntrack: gauge("ConntrackCount").zip(gauge("ConntrackMax")),
    }
}

fn ports(load: &Load, measured: &Measured) -> PortsSummary {
    let (ports, counters) = (&load.ports, &measured.tally.counters);
    let sources = &ports.sources[most_used(measured)];
    PortsSummary {
        method: ports.method.name().into(),
        why: ports.why.into(),
        sources: sources.iter().map(ToString::to_string).collect(),
        low: *ports.range.start(),
        high: *ports.range.end(),
        usable: ports.usable.len() as u32,
        left_to_others: ports.left_to_others,
        skipped_reserved: ports.reserved,
        skipped_in_use: counters.ports_in_use,
        skipped_closing: counters.ports_closing,
    }
}

fn time_wait(around: &Circumstances<'_>, measured: &Measured) -> TimeWaitCounts {
    let (before, after) = (around.before.time_wait_count, around.after.time_wait_count);
    let peak = measured.series.time_wait_peak().max(before).max(after);
    TimeWaitCounts { before, peak, after }
}

/// Whether requests were answered as fast as they came due, going by how many were unanswered
/// before and after.
///
/// At any moment as many are in flight as come in the time of one (Little's law, with the median,
/// because a mean would include the very backlog in question). Without a warm-up there were none
/// before. An excess may be chance: 1% of all, what one connection has, and three standard
/// deviations of the difference of two Poisson counts.
fn kept_up(due: u64, (before, after): (u64, u64), under_way: f64, pipeline: u32) -> bool {
    let level = under_way.max(before as f64);
    let growth = after as f64 - level;
    let chance = 3.0 * (2.0 * level).sqrt();
    growth <= (due as f64 / 100.0).max(f64::from(pipeline) + 1.0).max(chance)
}

fn schedule(plan: &Plan, measured: &Measured) -> Option<ScheduleSummary> {
    let counters = &measured.tally.counters;
    let (before, after) = measured.unanswered;
    let took_s = measured.duration.as_secs_f64();
    let median_us = percentile_us(&measured.tally.uncorrected, 50.0).filter(|_| took_s > 0.0);
    let under_way = median_us.map_or(0.0, |us| counters.ok as f64 / took_s * us as f64 / 1e6);
    plan.pacing.is_open_loop().then(|| ScheduleSummary {
        due: counters.due,
        dropped: counters.dropped,
        waiting: (counters.due - counters.dropped).saturating_sub(counters.started),
        waited: counters.waited,
        unanswered_before: before,
        unanswered_after: after,
        kept_up: counters.dropped == 0
            && kept_up(counters.due, (before, after), under_way, plan.policy.pipeline),
        slip: Latency::of(&measured.tally.slip),
    })
}

fn limits(
    plan: &Plan,
    measured: &Measured,
    schedule: Option<&ScheduleSummary>,
    errors: &[Error],
) -> Vec<slo::LimitOutcome> {
    let tally = &measured.tally;
    let recorded = Recorded {
        connect: &tally.connect,
        first_byte: &tally.first_byte,
        service: &tally.service,
        total: &tally.total,
        uncorrected: plan.pacing.is_open_loop().then_some(&tally.uncorrected),
    };
    let numbers = slo::Numbers {
        requests_per_s: measured.rates.requests_per_s,
        connections_per_s: measured.rates.connections_per_s,
        ..slo::numbers(recorded, &Requests::of(tally), schedule, errors)
    };
    plan.slos.iter().map(|limit| limit.check(&numbers)).collect()
}

/// Whether the load is meant to be constant during the measurement.
fn is_even(pacing: &Pacing) -> bool {
    let same = |stage: &RateStage| stage.from_per_s == stage.to_per_s;
    pacing.stages.len() <= 1
        && pacing.stages.iter().all(same)
        && pacing.ramp_connections <= pacing.warmup
}

fn errors(measured: &Measured, target: &Address) -> Vec<Error> {
    let seconds = |ns: u64| rounded(ns.saturating_sub(measured.begin_ns) as f64 / 1e9, 3);
    let mut errors: Vec<Error> = measured
        .tally
        .errors
        .iter()
        .map(|entry| Error {
            phase: entry.failure.phase.name().into(),
            kind: entry.failure.kind.to_string(),
            count: entry.count,
            first_s: seconds(entry.first_ns),
            last_s: seconds(entry.last_ns),
            detail: match entry.failure.phase {
                Phase::Response => measured.remarks.detail(entry.failure.kind).map(String::from),
                _ => None,
            },
            advice: findings::advice(entry.failure, target).to_owned(),
        })
        .collect();
    errors.sort_by_key(|error| std::cmp::Reverse(error.count));
    errors
}

/// From this share of a CPU's time on, another program needs it.
const TAKEN_RATIO: f64 = 0.5;

/// CPUs that had time left and no worker, if they are enough for all workers.
fn free_cpus(around: &Circumstances<'_>) -> Vec<usize> {
    let cpus = around.watch.iter().flat_map(|watch| &watch.cpus);
    let is_free =
        |cpu: &usize| around.cpus.allowed.contains(cpu) && !around.load.cpus.contains(cpu);
    let free = cpus.filter(|cpu| cpu.busy_ratio < TAKEN_RATIO).map(|cpu| cpu.cpu).filter(is_free);
    let mut free: Vec<usize> = free.collect();
    free.truncate(around.load.threads as usize);
    if free.len() < around.load.threads as usize { Vec::new() } else { free }
}

fn generator(measured: &Measured, pressure: &Pressure) -> Generator {
    let threads = &measured.threads;
    let user_s: f64 = threads.iter().map(|time| time.user.as_secs_f64()).sum();
    let sys_s: f64 = threads.iter().map(|time| time.sys.as_secs_f64()).sum();
    let ended = measured.tally.counters.ok + measured.tally.counters.failed;
    let per_request = (ended > 0).then(|| (user_s + sys_s) * 1e6 / ended as f64);
    let wait = threads.iter().filter_map(ThreadTime::wait_ratio).reduce(f64::max);
    let demand = threads.iter().map(ThreadTime::demand_ratio).reduce(f64::max);
    // The worst second is no better than the mean; a run of less than a second has only the mean.
    let peak = |mean: Option<f64>, peak: Option<f64>| {
        mean.into_iter().chain(peak).reduce(f64::max).map(|ratio| rounded(ratio, 3))
    };
    let generator = Generator {
        threads: threads.len() as u32,
        cpu_user_s: rounded(user_s, 6),
        cpu_sys_s: rounded(sys_s, 6),
        cpu_us_per_request: per_request.map(|us| rounded(us, 3)),
        busy_ratio: rounded(threads.iter().map(ThreadTime::busy_ratio).fold(0.0, f64::max), 3),
        cpu_wait_ratio: wait.map(|ratio| rounded(ratio, 3)),
        cpu_wait_peak_ratio: peak(wait, pressure.wait_peak_ratio),
        demand_peak_ratio: peak(demand, pressure.demand_peak_ratio),
        throttled_s: pressure.throttled.map(Throttled::seconds),
        saturated: false,
        turns: Some(turns(threads, &measured.tally.counters)),
    };
    let saturated = findings::demand_ratio(&generator) >= findings::SATURATED_RATIO;
    Generator { saturated, ..generator }
}

/// Where the threads' time went. Waiting for a CPU is not in it, except between two turns, where it
/// looks like time of the loop.
fn turns(threads: &[ThreadTime], counters: &tally::Counters) -> Turns {
    let sum = |of: fn(&ThreadTime) -> Duration| -> f64 {
        threads.iter().map(|time| of(time).as_secs_f64()).sum()
    };
    let (wall_s, cpu_s) = (sum(|time| time.wall), sum(ThreadTime::cpu));
    let waited_s = sum(|time| time.waited.unwrap_or_default());
    let looked_s = sum(|time| time.looked);
    let dispatch_s = counters.dispatch_ns as f64 / 1e9;
    Turns {
        turns: counters.turns,
        completions: counters.completions,
        dispatch_s: rounded(dispatch_s, 6),
        submit_s: rounded(counters.submit_ns as f64 / 1e9, 6),
        kernel_s: rounded((cpu_s - looked_s - dispatch_s).max(0.0), 6),
        idle_s: rounded((wall_s - cpu_s + looked_s - waited_s).max(0.0), 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_when_no_more_are_unanswered_than_are_under_way() {
        for (due, unanswered, under_way, kept) in [
            // An idle server, and one that answers 1,000/s after 200 ms: without a warm-up there
            // was nothing before, with a short one less than later.
            (10_000, (0, 1), 0.1, true),
            (10_000, (0, 200), 200.0, true),
            (10_000, (100, 205), 200.0, true),
            // 2% too slow for ten seconds.
            (10_000, (0, 201), 1.0, false),
            (10_000, (64, 264), 64.0, false),
            // At 100/s and 100 ms there are ten under way, give or take three at random.
            (250, (7, 14), 10.0, true),
            (250, (10, 40), 10.0, false),
            (0, (0, 0), 0.0, true),
        ] {
            assert_eq!(kept_up(due, unanswered, under_way, 1), kept, "{due} {unanswered:?}");
        }
    }
}
