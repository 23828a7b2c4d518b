//! Part by part: what adds up, what is the largest, and what is only known of each box.

use super::boxes::{self, kernel};
use super::each;
use crate::report::assemble::rounded;
use crate::report::*;
use crate::slo::{Limit, Numbers, Outcome};
use hdrhistogram::Histogram;

/// Which result, and what is wrong with it.
type Unusable = (usize, String);

/// In what two results are not of one test, if they are not.
pub(super) fn difference(one: &Report, other: &Report) -> Option<String> {
    let of_plan = |report: &Report| {
        let plan = &report.plan;
        [
            ("method", plan.method.clone()),
            ("path", path(&report.target.url)),
            ("body", format!("{} bytes", plan.body_bytes)),
            ("requests per connection", format!("{:?}", plan.requests_per_connection)),
            ("pipeline", plan.pipeline.to_string()),
            ("close", plan.close.to_string()),
            (
                "load model",
                if plan.arrivals.is_some() { "open loop" } else { "closed loop" }.into(),
            ),
            ("limits", limits(report)),
        ]
    };
    of_plan(one).into_iter().zip(of_plan(other)).find_map(|((name, one), (_, other))| {
        (one != other).then(|| {
            format!(
                "{name}: {} and {}",
                console::format::escape(&one),
                console::format::escape(&other)
            )
        })
    })
}

/// The host may have another name from each box.
fn path(url: &str) -> String {
    url::Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.path().to_owned())
}

fn limits(report: &Report) -> String {
    report.slo.iter().map(|outcome| outcome.limit.as_str()).collect::<Vec<_>>().join(" ")
}

/// All results as one, but for what names it.
pub(super) fn sum(reports: &[&Report]) -> Result<Report, Unusable> {
    let first = reports[0];
    let histograms = Histograms::of(reports)?;
    let add = |count: fn(&Report) -> u64| reports.iter().map(|report| count(report)).sum::<u64>();
    let requests = add_requests(reports.iter().map(|report| report.requests));
    let connections = Connections {
        opened: add(|report| report.connections.opened),
        failed: add(|report| report.connections.failed),
        time_wait_owner: first.connections.time_wait_owner.clone(),
    };
    let duration_s = reports.iter().map(|report| report.duration_s).fold(0.0, f64::max);
    let per_s = |rate: fn(&Report) -> f64| reports.iter().map(|report| rate(report)).sum::<f64>();
    let schedule = schedule(reports, &histograms);
    Ok(Report {
        target: Target {
            bundled: false,
            local: reports.iter().all(|report| report.target.local),
            ..first.target.clone()
        },
        plan: plan(reports),
        host: host(reports),
        engine: either(reports, |report| &report.engine),
        ring_tier: either(reports, |report| &report.ring_tier),
        interrupted: reports.iter().any(|report| report.interrupted),
        begun_at: reports.iter().map(|report| report.begun_at.clone()).min().unwrap_or_default(),
        duration_s,
        warmup: warmup(reports),
        ports: ports(reports),
        bytes: Bytes {
            read: add(|report| report.bytes.read),
            written: add(|report| report.bytes.written),
        },
        rate: Rate::of(
            &requests,
            connections.opened,
            connections.failed,
            [
                per_s(|report| report.rate.requests_per_s),
                per_s(|report| report.rate.connections_per_s),
            ],
        ),
        slo: check(reports, &histograms, &requests, schedule.as_ref()),
        // Batches of several boxes are not those of one run.
        confidence: None,
        steadiness: None,
        status: statuses(reports),
        errors: errors(reports),
        latency: histograms.latencies(),
        generator: generator(reports, &requests),
        kernel: kernel(reports),
        watch: None,
        limited_by: limited_by(reports),
        series: series(reports),
        requests,
        schedule,
        connections,
        ..first.clone()
    })
}

/// The latencies of all results together.
struct Histograms {
    connect: Histogram<u64>,
    first_byte: Histogram<u64>,
    service: Histogram<u64>,
    total: Histogram<u64>,
    uncorrected: Option<Histogram<u64>>,
    slip: Option<Histogram<u64>>,
}

impl Histograms {
    fn of(reports: &[&Report]) -> Result<Histograms, Unusable> {
        let all = |name, of: fn(&Report) -> Option<&Latency>| together(reports, name, of);
        let some = |merged: Option<Histogram<u64>>| merged.ok_or((0, "has no latencies".into()));
        Ok(Histograms {
            connect: some(all("connect", |report| Some(&report.latency.connect))?)?,
            first_byte: some(all("first_byte", |report| Some(&report.latency.first_byte))?)?,
            service: some(all("service", |report| Some(&report.latency.service))?)?,
            total: some(all("total", |report| Some(&report.latency.total))?)?,
            uncorrected: all("uncorrected", |report| report.latency.uncorrected.as_ref())?,
            slip: all("slip", |report| report.schedule.as_ref().map(|kept| &kept.slip))?,
        })
    }

    fn latencies(&self) -> LatencySet {
        LatencySet {
            connect: Latency::of(&self.connect),
            first_byte: Latency::of(&self.first_byte),
            service: Latency::of(&self.service),
            total: Latency::of(&self.total),
            uncorrected: self.uncorrected.as_ref().map(Latency::of),
        }
    }
}

/// One latency of all results; `None` where the first has none.
fn together(
    reports: &[&Report],
    name: &str,
    of: fn(&Report) -> Option<&Latency>,
) -> Result<Option<Histogram<u64>>, Unusable> {
    let mut merged: Option<Histogram<u64>> = None;
    for (at, report) in reports.iter().enumerate() {
        let Some(latency) = of(report) else { continue };
        let wrong = |why: &str| (at, format!("its histogram of {name}: {why}"));
        let histogram = hdr::decode(&latency.hdr).map_err(|why| wrong(&why))?;
        if histogram.len() != latency.count {
            return Err(wrong("it has not as many samples as its count says"));
        }
        merged = Some(match merged {
            None => histogram,
            // With other buckets the sum would be an estimate.
            Some(sum) if (sum.low(), sum.sigfig()) != (histogram.low(), histogram.sigfig()) => {
                return Err(wrong("it is of another precision than the first"));
            }
            Some(mut sum) => {
                sum.auto(true);
                sum.add(&histogram).map_err(|error| wrong(&error.to_string()))?;
                sum
            }
        });
    }
    Ok(merged)
}

fn add_requests(all: impl Iterator<Item = Requests>) -> Requests {
    all.fold(Requests::default(), |sum, more| Requests {
        started: sum.started + more.started,
        ok: sum.ok + more.ok,
        failed: sum.failed + more.failed,
        in_flight: sum.in_flight + more.in_flight,
    })
}

fn plan(reports: &[&Report]) -> PlanSummary {
    let plans = || reports.iter().map(|report| &report.plan);
    let sum = |part: fn(&PlanSummary) -> Option<f64>| plans().map(part).sum::<Option<f64>>();
    let first = &reports[0].plan;
    let alike = plans().all(|plan| {
        let times = |plan: &PlanSummary| -> Vec<Option<f64>> {
            plan.stages.iter().map(|stage| stage.duration_s).collect()
        };
        times(plan) == times(first)
    });
    let mut stages = if alike { first.stages.clone() } else { Vec::new() };
    for plan in plans().skip(1) {
        for (stage, more) in stages.iter_mut().zip(&plan.stages) {
            stage.from_per_s += more.from_per_s;
            stage.to_per_s += more.to_per_s;
        }
    }
    PlanSummary {
        connections: plans().map(|plan| plan.connections).sum(),
        threads: plans().map(|plan| plan.threads).sum(),
        duration_s: plans().map(|plan| plan.duration_s).fold(None, |a, b| a.max_of(b)),
        requests: plans().map(|plan| plan.requests).sum(),
        cpus: plans().flat_map(|plan| plan.cpus.clone()).collect(),
        source_ip: plans().flat_map(|plan| plan.source_ip.clone()).collect(),
        rate: sum(|plan| plan.rate),
        stages,
        seed: None,
        backlog: plans().map(|plan| plan.backlog).sum(),
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
        let mut names: Vec<&str> = hosts().map(|host| name(host).as_str()).collect();
        names.dedup();
        names.join(", ")
    };
    let common = |(name, value): &(&String, &String)| {
        hosts().all(|host| host.sysctls.get(*name) == Some(*value))
    };
    let owned = |(name, value): (&String, &String)| (name.clone(), value.clone());
    Host {
        name: names(|host| &host.name),
        kernel: names(|host| &host.kernel),
        cpu_model: names(|host| &host.cpu_model),
        cpus: boxes::over(reports, |report| Some(report.host.cpus as u64)).unwrap_or(0) as usize,
        governor: first.governor.clone().filter(|_| hosts().all(|h| h.governor == first.governor)),
        memory_bytes: boxes::over(reports, |report| report.host.memory_bytes),
        descriptors: hosts().map(|host| host.descriptors).min().flatten(),
        sysctls: first.sysctls.iter().filter(common).map(owned).collect(),
    }
}

/// A word that is the same everywhere, or all of them.
fn either(reports: &[&Report], word: fn(&Report) -> &Word) -> Word {
    let mut words: Vec<&str> = reports.iter().map(|report| word(report).as_ref()).collect();
    words.sort_unstable();
    words.dedup();
    words.join(", ").into()
}

fn warmup(reports: &[&Report]) -> Option<Warmup> {
    let all: Vec<&Warmup> = reports.iter().filter_map(|report| report.warmup.as_ref()).collect();
    let highest = |us: fn(&Warmup) -> u64| all.iter().map(|warmup| us(warmup)).max().unwrap_or(0);
    (!all.is_empty()).then(|| Warmup {
        duration_s: all.iter().map(|warmup| warmup.duration_s).fold(0.0, f64::max),
        requests: add_requests(all.iter().map(|warmup| warmup.requests)),
        connections_opened: all.iter().map(|warmup| warmup.connections_opened).sum(),
        // Their histograms are not in the documents: none of the boxes had more than this.
        p50_us: highest(|warmup| warmup.p50_us),
        p99_us: highest(|warmup| warmup.p99_us),
        max_us: highest(|warmup| warmup.max_us),
    })
}

fn schedule(reports: &[&Report], histograms: &Histograms) -> Option<ScheduleSummary> {
    let all: Vec<&ScheduleSummary> =
        reports.iter().filter_map(|report| report.schedule.as_ref()).collect();
    let add = |count: fn(&ScheduleSummary) -> u64| all.iter().map(|kept| count(kept)).sum();
    Some(ScheduleSummary {
        due: add(|kept| kept.due),
        dropped: add(|kept| kept.dropped),
        waiting: add(|kept| kept.waiting),
        waited: add(|kept| kept.waited),
        unanswered_before: add(|kept| kept.unanswered_before),
        unanswered_after: add(|kept| kept.unanswered_after),
        kept_up: all.iter().all(|kept| kept.kept_up),
        slip: Latency::of(histograms.slip.as_ref()?),
    })
}

fn ports(reports: &[&Report]) -> PortsSummary {
    let all = || reports.iter().map(|report| &report.ports);
    PortsSummary {
        method: either(reports, |report| &report.ports.method),
        sources: all().flat_map(|ports| ports.sources.clone()).collect(),
        usable: all().map(|ports| ports.usable).sum(),
        left_to_others: all().map(|ports| ports.left_to_others).sum(),
        skipped_reserved: all().map(|ports| ports.skipped_reserved).sum(),
        skipped_in_use: all().map(|ports| ports.skipped_in_use).sum(),
        skipped_closing: all().map(|ports| ports.skipped_closing).sum(),
        ..reports[0].ports.clone()
    }
}

/// The limits anew, against the numbers of all.
fn check(
    reports: &[&Report],
    histograms: &Histograms,
    requests: &Requests,
    schedule: Option<&ScheduleSummary>,
) -> Vec<Outcome> {
    let behind = schedule.filter(|schedule| !schedule.kept_up);
    let per_s: f64 = reports.iter().map(|report| report.rate.requests_per_s).sum();
    let numbers = Numbers {
        connect: &histograms.connect,
        first_byte: &histograms.first_byte,
        service: &histograms.service,
        total: &histograms.total,
        uncorrected: histograms.uncorrected.as_ref(),
        ok: requests.ok,
        failed: requests.failed,
        dropped: schedule.map_or(0, |schedule| schedule.dropped),
        unanswered: behind.map_or(0, |schedule| {
            schedule.unanswered_after.saturating_sub(schedule.unanswered_before)
        }),
        connections: reports.iter().map(|report| report.connections.opened).sum(),
        // So that limits of rates are checked against the sum of the rates.
        duration_s: if per_s > 0.0 { requests.ok as f64 / per_s } else { 0.0 },
    };
    // A limit that this version cannot read is none that it can check.
    let limits = reports[0].slo.iter().filter_map(|outcome| Limit::parse(&outcome.limit).ok());
    limits.map(|limit| limit.check(&numbers)).collect()
}

fn statuses(reports: &[&Report]) -> BTreeMap<u16, u64> {
    let mut sum = BTreeMap::new();
    for (code, count) in reports.iter().flat_map(|report| &report.status) {
        *sum.entry(*code).or_default() += count;
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
                known.count += error.count;
                known.first_s = known.first_s.min(error.first_s);
                known.last_s = known.last_s.max(error.last_s);
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
    let ended = requests.ok + requests.failed;
    let per_request = if ended > 0 { (user_s + sys_s) * 1e6 / ended as f64 } else { 0.0 };
    Generator {
        threads: all().map(|generator| generator.threads).sum(),
        cpu_user_s: rounded(user_s, 6),
        cpu_sys_s: rounded(sys_s, 6),
        cpu_us_per_request: rounded(per_request, 3),
        busy_ratio: all().map(|generator| generator.busy_ratio).fold(0.0, f64::max),
        saturated: all().any(|generator| generator.saturated),
    }
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

/// Second by second after each one's begin. A percentile of one second cannot be merged without its
/// histogram: it is the highest of the boxes', which that of all does not exceed.
fn series(reports: &[&Report]) -> Vec<Second> {
    let mut rows: BTreeMap<u64, Second> = BTreeMap::new();
    let boxes_differ = boxes::are_all_different(reports);
    for (at, report) in reports.iter().enumerate() {
        for row in &report.series {
            // The last one may be shorter than a second.
            let sum =
                rows.entry((row.t_s - 0.05).ceil().max(0.0) as u64).or_insert_with(|| Second {
                    time_wait: Some(0).filter(|_| at == 0 && boxes_differ),
                    ..Second::default()
                });
            let opening_us =
                |row: &Second| row.connect_mean_us.unwrap_or(0.0) * row.connections as f64;
            let opened = sum.connections + row.connections;
            let opening_us = opening_us(sum) + opening_us(row);
            sum.connect_mean_us = (opened > 0).then(|| rounded(opening_us / opened as f64, 1));
            sum.t_s = sum.t_s.max(row.t_s);
            sum.requests += row.requests;
            sum.ok += row.ok;
            sum.failed += row.failed;
            sum.connections = opened;
            sum.p50_us = sum.p50_us.max(row.p50_us);
            sum.p99_us = sum.p99_us.max(row.p99_us);
            sum.max_us = sum.max_us.max(row.max_us);
            sum.in_flight += row.in_flight;
            sum.time_wait = sum.time_wait.zip(row.time_wait).map(|(sum, more)| sum + more);
        }
    }
    rows.into_values().collect()
}
