//! Part by part: what adds up, what is the largest, and what is only known of each box.

use super::boxes::{self, kernel};
use super::each;
use super::histograms::{Histograms, Unusable};
use super::ports::ports;
use super::series::series;
use crate::plan::Description;
use crate::plan::limit::Limit;
use crate::result::slo::{self, LimitOutcome, Numbers, Recorded};
use crate::result::*;
use crate::statistics::rounded;
use crate::words::Word;
use std::collections::BTreeMap;

/// The sum of counts, which in a document from elsewhere can be any: beyond all numbers it is the
/// highest there is.
pub(super) fn add(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// See [`add`].
pub(super) fn add_small(counts: impl Iterator<Item = u32>) -> u32 {
    counts.fold(0, u32::saturating_add)
}

/// Those that are not the same as one before, in their order.
pub(super) fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut distinct, one| {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
        distinct
    })
}

/// All results as one, but for what names it.
pub(super) fn sum(reports: &[&Report]) -> Result<Report, Unusable> {
    let first = reports[0];
    let histograms = Histograms::of(reports)?;
    let count = |of: fn(&Report) -> u64| add(reports.iter().map(|report| of(report)));
    let requests = add_requests(reports.iter().map(|report| report.requests));
    let connections = Connections {
        opened: count(|report| report.connections.opened),
        failed: count(|report| report.connections.failed),
        time_wait_owner: first.connections.time_wait_owner.clone(),
    };
    let duration_s = reports.iter().map(|report| report.duration_s).fold(0.0, f64::max);
    let schedule = schedule(reports, &histograms);
    let errors = errors(reports);
    let series = series(reports);
    let addresses = addresses::merged(reports.iter().flat_map(|report| &report.target.addresses));
    Ok(Report {
        target: Target {
            bundled: false,
            local: reports.iter().all(|report| report.target.local),
            addresses_used: addresses::addresses_used(&addresses),
            addresses,
            ..first.target.clone()
        },
        plan: plan(reports),
        host: host(reports),
        engine: either(reports, |report| report.engine.as_ref()),
        ring_tier: reports
            .iter()
            .any(|report| report.ring_tier.is_some())
            .then(|| either(reports, |report| report.ring_tier.as_deref().unwrap_or_default())),
        interrupted: reports.iter().any(|report| report.interrupted),
        begun_at: reports.iter().map(|report| report.begun_at.clone()).min().unwrap_or_default(),
        duration_s,
        warmup: warmup(reports),
        ports: ports(reports),
        bytes: Bytes {
            read: count(|report| report.bytes.read),
            written: count(|report| report.bytes.written),
        },
        rate: Rate::of(
            &requests,
            connections.opened,
            connections.failed,
            [
                per_s(reports, |report| report.rate.requests_per_s),
                per_s(reports, |report| report.rate.connections_per_s),
            ],
        ),
        slo: check(reports, &histograms, &requests, schedule.as_ref(), &errors),
        // Batches of several boxes are not those of one run.
        confidence: None,
        steadiness: None,
        status: statuses(reports),
        errors,
        latency: histograms.latencies(),
        generator: generator(reports, &requests),
        kernel: kernel(reports),
        watch: None,
        limited_by: limited_by(reports),
        series_interval_s: series.interval_s(),
        series: series.rows().to_vec(),
        requests,
        schedule,
        connections,
        ..first.clone()
    })
}

/// The sum of rates. Of a run that took no time there is none, and nothing ended in it.
fn per_s(reports: &[&Report], rate: fn(&Report) -> Option<f64>) -> Option<f64> {
    reports.iter().filter_map(|report| rate(report)).reduce(|sum, more| sum + more)
}

fn add_requests(all: impl Iterator<Item = Requests>) -> Requests {
    all.fold(Requests::default(), |sum, more| Requests {
        started: sum.started.saturating_add(more.started),
        ok: sum.ok.saturating_add(more.ok),
        failed: sum.failed.saturating_add(more.failed),
        in_flight: sum.in_flight.saturating_add(more.in_flight),
        resent: sum.resent.saturating_add(more.resent),
        overdue: sum.overdue.saturating_add(more.overdue),
    })
}

fn plan(reports: &[&Report]) -> Description {
    let plans = || reports.iter().map(|report| &report.plan);
    let sum = |part: fn(&Description) -> Option<f64>| plans().map(part).sum::<Option<f64>>();
    let counts = |part: fn(&Description) -> Option<u64>| {
        plans().map(part).collect::<Option<Vec<u64>>>().map(|all| add(all.into_iter()))
    };
    let first = &reports[0].plan;
    // Each has as many, of the same lengths: others are not of one test.
    let mut stages = first.stages.clone();
    for plan in plans().skip(1) {
        for (stage, more) in stages.iter_mut().zip(&plan.stages) {
            stage.from_per_s += more.from_per_s;
            stage.to_per_s += more.to_per_s;
        }
    }
    // Of threads of which some are pinned and some are not, a list would be read as that of all.
    let pinned = plans().all(|plan| !plan.cpus.is_empty());
    Description {
        connections: add_small(plans().map(|plan| plan.connections)),
        threads: add_small(plans().map(|plan| plan.threads)),
        duration_s: plans().map(|plan| plan.duration_s).fold(None, |a, b| a.max_of(b)),
        requests: counts(|plan| plan.requests),
        cpus: plans().filter(|_| pinned).flat_map(|plan| plan.cpus.clone()).collect(),
        source_ip: distinct(plans().flat_map(|plan| plan.source_ip.clone())),
        rate: sum(|plan| plan.rate),
        stages,
        seed: None,
        watch_pid: None,
        backlog: counts(|plan| plan.backlog),
        connect_rate: sum(|plan| plan.connect_rate),
        ..first.clone()
    }
}

/// The larger of two numbers of which one may be missing.
trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}

impl MaxOf for Option<f64> {
    fn max_of(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        }
    }
}

fn host(reports: &[&Report]) -> Host {
    let hosts = || reports.iter().map(|report| &report.host);
    let first = &reports[0].host;
    let names = |name: fn(&Host) -> &String| {
        let known = |name: &&str| !name.is_empty();
        distinct(hosts().map(|host| name(host).as_str()).filter(known)).join(", ")
    };
    let common = |(name, value): &(&String, &String)| {
        hosts().all(|host| host.sysctls.get(*name) == Some(*value))
    };
    let owned = |(name, value): (&String, &String)| (name.clone(), value.clone());
    Host {
        name: names(|host| &host.name),
        kernel: names(|host| &host.kernel),
        cpu_model: names(|host| &host.cpu_model),
        cpus: boxes::at_least(reports, |report| report.host.cpus as u64) as usize,
        governor: first.governor.clone().filter(|_| hosts().all(|h| h.governor == first.governor)),
        cpu_quota: first.cpu_quota.filter(|_| hosts().all(|h| h.cpu_quota == first.cpu_quota)),
        memory_limit_bytes: first
            .memory_limit_bytes
            .filter(|_| hosts().all(|h| h.memory_limit_bytes == first.memory_limit_bytes)),
        memory_bytes: boxes::over(reports, |report| report.host.memory_bytes),
        descriptors: hosts().map(|host| host.descriptors).min().flatten(),
        sysctls: first.sysctls.iter().filter(common).map(owned).collect(),
    }
}

/// A word that is the same everywhere, or all of them.
pub(super) fn either(reports: &[&Report], word: fn(&Report) -> &str) -> Word {
    let mut words: Vec<&str> = reports.iter().map(|report| word(report)).collect();
    words.retain(|word| !word.is_empty());
    words.sort_unstable();
    words.dedup();
    words.join(", ").into()
}

fn warmup(reports: &[&Report]) -> Option<Warmup> {
    let all: Vec<&Warmup> = reports.iter().filter_map(|report| report.warmup.as_ref()).collect();
    let highest = |us: fn(&Warmup) -> Option<u64>| all.iter().filter_map(|warmup| us(warmup)).max();
    (!all.is_empty()).then(|| Warmup {
        duration_s: all.iter().map(|warmup| warmup.duration_s).fold(0.0, f64::max),
        requests: add_requests(all.iter().map(|warmup| warmup.requests)),
        connections_opened: add(all.iter().map(|warmup| warmup.connections_opened)),
        // Their histograms are not in the documents: none of the boxes had more than this.
        p50_us: highest(|warmup| warmup.p50_us),
        p99_us: highest(|warmup| warmup.p99_us),
        max_us: highest(|warmup| warmup.max_us),
    })
}

fn schedule(reports: &[&Report], histograms: &Histograms) -> Option<ScheduleSummary> {
    let all: Vec<&ScheduleSummary> =
        reports.iter().filter_map(|report| report.schedule.as_ref()).collect();
    let sum = |count: fn(&ScheduleSummary) -> u64| add(all.iter().map(|kept| count(kept)));
    Some(ScheduleSummary {
        due: sum(|kept| kept.due),
        dropped: sum(|kept| kept.dropped),
        waiting: sum(|kept| kept.waiting),
        waited: sum(|kept| kept.waited),
        unanswered_before: sum(|kept| kept.unanswered_before),
        unanswered_after: sum(|kept| kept.unanswered_after),
        kept_up: all.iter().all(|kept| kept.kept_up),
        slip: Latency::of(histograms.slip.as_ref()?),
    })
}

/// The limits anew, against the numbers of all.
fn check(
    reports: &[&Report],
    histograms: &Histograms,
    requests: &Requests,
    schedule: Option<&ScheduleSummary>,
    errors: &[Error],
) -> Vec<LimitOutcome> {
    let recorded = Recorded {
        connect: &histograms.connect,
        first_byte: &histograms.first_byte,
        service: &histograms.service,
        total: &histograms.total,
        uncorrected: histograms.uncorrected.as_ref(),
    };
    let numbers = Numbers {
        requests_per_s: per_s(reports, |report| report.rate.requests_per_s),
        connections_per_s: per_s(reports, |report| report.rate.connections_per_s),
        ..slo::numbers(recorded, requests, schedule, errors)
    };
    // A limit that this version cannot read is none that it can check.
    let limits = reports[0].slo.iter().filter_map(|outcome| Limit::parse(&outcome.limit).ok());
    limits.map(|limit| limit.check(&numbers)).collect()
}

fn statuses(reports: &[&Report]) -> BTreeMap<u16, u64> {
    let mut sum: BTreeMap<u16, u64> = BTreeMap::new();
    for (code, count) in reports.iter().flat_map(|report| &report.status) {
        let all = sum.entry(*code).or_default();
        *all = all.saturating_add(*count);
    }
    sum
}

/// Times count from the begin of each run.
fn errors(reports: &[&Report]) -> Vec<Error> {
    let mut sum: Vec<Error> = Vec::new();
    for error in reports.iter().flat_map(|report| &report.errors) {
        let same = |known: &&mut Error| (&known.phase, &known.kind) == (&error.phase, &error.kind);
        match sum.iter_mut().find(same) {
            Some(known) => {
                known.count = known.count.saturating_add(error.count);
                known.first_s = known.first_s.min(error.first_s);
                known.last_s = known.last_s.max(error.last_s);
                known.detail = known.detail.take().or_else(|| error.detail.clone());
            }
            None => sum.push(error.clone()),
        }
    }
    sum.sort_by_key(|error| std::cmp::Reverse(error.count));
    sum
}

fn generator(reports: &[&Report], requests: &Requests) -> Generator {
    let all = || reports.iter().map(|report| report.generator);
    let (user_s, sys_s) = (all().map(|g| g.cpu_user_s).sum(), all().map(|g| g.cpu_sys_s).sum());
    let ended = requests.ok.saturating_add(requests.failed);
    let per_request = (ended > 0).then(|| (user_s + sys_s) * 1e6 / ended as f64);
    Generator {
        threads: add_small(all().map(|generator| generator.threads)),
        cpu_user_s: rounded(user_s, 6),
        cpu_sys_s: rounded(sys_s, 6),
        cpu_us_per_request: per_request.map(|us| rounded(us, 3)),
        busy_ratio: all().map(|generator| generator.busy_ratio).fold(0.0, f64::max),
        cpu_wait_ratio: all().filter_map(|generator| generator.cpu_wait_ratio).reduce(f64::max),
        cpu_wait_peak_ratio: all()
            .filter_map(|generator| generator.cpu_wait_peak_ratio)
            .reduce(f64::max),
        demand_peak_ratio: all()
            .filter_map(|generator| generator.demand_peak_ratio)
            .reduce(f64::max),
        // Results of one box may be of one control group.
        throttled_s: all().filter_map(|generator| generator.throttled_s).reduce(f64::max),
        saturated: all().any(|generator| generator.saturated),
        turns: all().map(|generator| generator.turns).reduce(add_turns).flatten(),
    }
}

/// Both; nobody knows where one of them does not say.
fn add_turns(one: Option<Turns>, other: Option<Turns>) -> Option<Turns> {
    let (one, other) = (one?, other?);
    Some(Turns {
        turns: one.turns.saturating_add(other.turns),
        completions: one.completions.saturating_add(other.completions),
        dispatch_s: rounded(one.dispatch_s + other.dispatch_s, 6),
        submit_s: rounded(one.submit_s + other.submit_s, 6),
        kernel_s: rounded(one.kernel_s + other.kernel_s, 6),
        idle_s: rounded(one.idle_s + other.idle_s, 6),
    })
}

/// What all boxes agree on; otherwise nobody knows.
fn limited_by(reports: &[&Report]) -> Option<LimitedBy> {
    let who = &reports[0].limited_by.as_ref()?.who;
    let agreed = reports
        .iter()
        .all(|report| report.limited_by.as_ref().is_some_and(|limit| limit.who == *who));
    agreed.then(|| LimitedBy {
        who: who.clone(),
        evidence: format!("each box says so: {}", each(reports)),
    })
}
