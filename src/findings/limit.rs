//! What the limit was: the generator, the server, the machine (`box`), or none of them because all
//! waited.
//!
//! ```text
//!   a finding says that the machine ran out of something     ──► box
//!   the server ended, and requests failed after that         ──► server
//!   a quota stopped ringshot                                 ──► generator
//!   a thread of ringshot waited for a CPU                    ──► generator, box
//!   ringshot started requests late, and latencies include it ──► generator
//!   the rate of the plan was kept                            ──► schedule
//!   a thread of ringshot, of the server, or of each is busy  ──► generator, server, both
//!   the hypervisor took a part of the CPUs                   ──► box
//!   a CPU is busy, and most of that with delivering packets  ──► box
//!   CPUs are busy with other programs                        ──► box
//!   a thread of one of them is nearly busy                   ──► generator, server, both
//!   the server waits for a CPU longer than it runs           ──► box
//!   none was busy, and connections x latency is the rate     ──► connections
//!   no visible thread was busy                               ──► unseen
//! ```
//!
//! The first that fits is the answer. It is read from the finished document, so that every number in
//! the sentence is one of the document's.

use super::generator::{SATURATED_RATIO, demand_ratio, is_late};
use super::own;
use crate::observe::{ServerLoad, Watch};
use crate::result::{LimitedBy, Report};
use crate::words::quantities::{count, cpus_used, per_s, rate, seconds, share, time_us};

/// From this part of the time on a quota decides how fast anything is.
const THROTTLED_RATIO: f64 = 0.05;

/// Findings that say that the machine ran out of something.
const OF_THE_BOX: [&str; 5] = [
    "ports_exhausted",
    "port_search_slow",
    "source_address_gone",
    "conntrack_full",
    "descriptors_exhausted",
];

/// In shorter runs the kernel's ticks of 10 ms are too coarse to show how busy CPUs were.
const TICKS_S_MIN: f64 = 0.9;

/// From this on the hypervisor decides how fast anything is.
const STEAL_RATIO: f64 = 0.10;

/// From this on no CPU has time for more.
const ALL_BUSY_RATIO: f64 = 0.95;

/// A CPU that does more of this than anything else has no time for more packets.
const SOFTIRQ_RATIO_MIN: f64 = 0.50;

/// From here on a CPU is often not free when a thread wants it, if something else takes this much
/// of all CPUs.
const OFTEN_BUSY_RATIO: f64 = 0.80;
const OTHERS_RATIO: f64 = 0.10;

/// A thread that needs less than this gets it, whatever else runs.
const HUNGRY_RATIO: f64 = 0.25;

/// A thread that is busier than this has little left; below it, something else is the limit.
const NEARLY_RATIO: f64 = 0.80;

/// A server that waits for a CPU longer than it runs is being starved.
const WAITED_RATIO_MIN: f64 = 0.05;
const WAITED_TO_RAN_RATIO: f64 = 1.0;

/// A latency of which this part is ringshot's own lateness says more about ringshot.
const LATE_PART: f64 = 0.5;

/// By Little's law the connections give the rate, except for closing, retries and the ends of the
/// run.
const EXPLAINED_RATIO: f64 = 0.70;

/// Of a rate that the plan sets this much is all.
const KEPT_RATIO: f64 = 0.95;

/// What kept the numbers from being higher; `None` if nothing was measured, or if nothing explains
/// them.
pub(crate) fn limited_by(report: &Report) -> Option<LimitedBy> {
    if report.requests.ok == 0 {
        return None;
    }
    let rules = [
        shortage,
        ended,
        throttled,
        generator_starved,
        late,
        schedule,
        busy,
        steal,
        packets,
        crowded,
        nearly_busy,
        starved,
        connections,
        unseen,
    ];
    let (who, evidence) = rules.iter().find_map(|rule| rule(report))?;
    Some(LimitedBy { who: who.into(), evidence })
}

/// What the limit was, and the evidence.
type Verdict = Option<(&'static str, String)>;

/// Ports, tracked connections, descriptors.
fn shortage(report: &Report) -> Verdict {
    let findings = &report.kernel.findings;
    let found = findings.iter().find(|finding| OF_THE_BOX.contains(&finding.id.as_ref()))?;
    Some(("box", found.text.clone()))
}

/// A server that is not there any more, and is missed: one may also end after the load did.
fn ended(report: &Report) -> Verdict {
    let server = server(report).filter(|server| server.ended)?;
    let last_s = report.errors.iter().map(|error| error.last_s).reduce(f64::max)?;
    let lived = time_us(server.watched_s * 1e6);
    let failed = count(report.requests.failed);
    let text = format!(
        "its process ended after about {lived}, and {failed} requests failed, the last at {}.",
        seconds(last_s)
    );
    (last_s >= server.watched_s).then_some(("server", text))
}

/// ringshot's own quota.
fn throttled(report: &Report) -> Verdict {
    let generator = &report.generator;
    let cpus = report.watch.as_ref().map_or(usize::MAX, |watch| watch.cpus.len());
    let stopped = own::throttled_ratio(generator, report.duration_s, cpus)
        .filter(|&ratio| ratio >= THROTTLED_RATIO)?;
    let text = own::stopped_by(report.host.cpu_quota, generator, stopped);
    Some(("generator", format!("{text}; {}.", who_was_busy(report))))
}

/// Something else ran where ringshot was to run: on its CPUs, or on all that there are.
fn generator_starved(report: &Report) -> Verdict {
    if !own::is_starved(&report.generator) {
        return None;
    }
    let all = watch_by_ticks(report).and_then(|watch| watch.cpu_busy_ratio);
    let busy = who_was_busy(report);
    match all.filter(|&busy| busy >= ALL_BUSY_RATIO) {
        Some(all) => Some(("box", format!("its CPUs together were {} busy; {busy}.", share(all)))),
        None => Some(("generator", format!("it had too little CPU: {busy}."))),
    }
}

/// ringshot started requests late, and that is a good part of what they took.
fn late(report: &Report) -> Verdict {
    let slip = &report.schedule.as_ref()?.slip;
    let (late_us, total_us) = (slip.p99_us? as f64, report.latency.total.p99_us? as f64);
    (is_late(slip) && late_us >= total_us * LATE_PART).then(|| {
        let text = format!(
            "1% of the requests started {} or more after they were due, although a connection was \
             free, and 1% took {} or more in total; {}.",
            time_us(late_us),
            time_us(total_us),
            who_was_busy(report)
        );
        ("generator", text)
    })
}

/// As much as the plan asks for.
fn schedule(report: &Report) -> Verdict {
    let busy = who_was_busy(report);
    if let Some(schedule) = report.schedule.as_ref().filter(|schedule| schedule.kept_up) {
        let due = count(schedule.due);
        let per_s = per_s(report.rate.requests_per_s);
        return Some((
            "schedule",
            format!("{per_s} were answered, as fast as the {due} requests came due; {busy}."),
        ));
    }
    let most = report.plan.connect_rate?;
    let opened = report.rate.connections_per_s?;
    let kept = opened >= most * KEPT_RATIO;
    let text = format!(
        "{}/s connections were opened, of the {}/s that the plan allows; {busy}.",
        rate(opened),
        rate(most)
    );
    kept.then_some(("schedule", text))
}

/// The hypervisor ran other machines.
fn steal(report: &Report) -> Verdict {
    let steal = watch_by_ticks(report)?.cpu_steal_ratio.filter(|&steal| steal >= STEAL_RATIO)?;
    let busy = who_was_busy(report);
    Some(("box", format!("the hypervisor took {} of the CPU time; {busy}.", share(steal))))
}

/// A thread had no time left.
fn busy(report: &Report) -> Verdict {
    let who = at_least(report, SATURATED_RATIO)?;
    Some((who, format!("{}.", who_was_busy(report))))
}

/// A CPU had no time left for packets.
fn packets(report: &Report) -> Verdict {
    let full = watch_by_ticks(report)?.cpus.iter().filter(|cpu| {
        cpu.busy_ratio >= ALL_BUSY_RATIO && cpu.softirq_ratio > cpu.busy_ratio * SOFTIRQ_RATIO_MIN
    });
    let fullest = full.max_by(|a, b| a.softirq_ratio.total_cmp(&b.softirq_ratio))?;
    let text = format!(
        "CPU {} was {} busy, {} of the time delivering packets; {}.",
        fullest.cpu,
        share(fullest.busy_ratio),
        share(fullest.softirq_ratio),
        who_was_busy(report)
    );
    Some(("box", text))
}

/// The CPUs had no time left, and other programs took it.
fn crowded(report: &Report) -> Verdict {
    let watch = watch_by_ticks(report)?;
    let busy = watch.cpu_busy_ratio?;
    let (generator, server) = (&report.generator, server(report));
    let hungry = server.map_or(0.0, saturation).max(generator.busy_ratio) >= HUNGRY_RATIO;
    let generator_cpus = (generator.cpu_user_s + generator.cpu_sys_s) / report.duration_s.max(1e-9);
    let own_cpus = generator_cpus + server.map_or(0.0, |server| server.cpu_ratio);
    let cpus = watch.cpus.len().max(1) as f64;
    // Packets are delivered for any program, most likely for these two.
    let softirq = watch.cpus.iter().map(|cpu| cpu.softirq_ratio).sum::<f64>() / cpus;
    let others = busy - softirq - own_cpus / cpus;
    // A server that is not seen may be on this machine, in a container, and then it is among the
    // others.
    let crowded = server.is_some() && busy >= OFTEN_BUSY_RATIO && others >= OTHERS_RATIO;
    if !hungry || !(crowded || busy >= ALL_BUSY_RATIO) {
        return None;
    }
    let with = if crowded { ", a good part of it with other work" } else { "" };
    let busy = share(busy);
    Some(("box", format!("its CPUs together were {busy} busy{with}; {}.", who_was_busy(report))))
}

/// A thread had hardly any time left. Of a server that is not seen, a generator that has something
/// left says nothing.
fn nearly_busy(report: &Report) -> Verdict {
    server(report)?;
    let who = at_least(report, NEARLY_RATIO)?;
    Some((who, format!("{}.", who_was_busy(report))))
}

/// Answers were late because no thread could work on them.
fn starved(report: &Report) -> Verdict {
    let server = server(report)?;
    let busy = watch_by_ticks(report)?.cpu_busy_ratio.filter(|&busy| busy >= OFTEN_BUSY_RATIO)?;
    let waited = server.cpu_wait_ratio?;
    // A little waiting is no fault: a wake-up is never immediate.
    let starved = waited >= WAITED_RATIO_MIN && waited >= server.cpu_ratio * WAITED_TO_RAN_RATIO;
    let text = format!(
        "the server's threads waited for a CPU for {} of the time and ran for {}, while the CPUs \
         together were {} busy; ringshot's busiest thread was {} busy.",
        share(waited),
        share(server.cpu_ratio),
        share(busy),
        share(report.generator.busy_ratio),
    );
    starved.then_some(("box", text))
}

/// Which of the two was that busy.
fn at_least(report: &Report, ratio: f64) -> Option<&'static str> {
    let server = server(report).map_or(0.0, saturation);
    match (demand_ratio(&report.generator) >= ratio, server >= ratio) {
        (true, true) => Some("both"),
        (true, false) => Some("generator"),
        (false, true) => Some("server"),
        (false, false) => None,
    }
}

/// All of them waited: this many connections, each for this long, make this rate (Little's law). In
/// a closed loop that holds whatever the reason, so it only shows what may help.
fn connections(report: &Report) -> Verdict {
    let plan = &report.plan;
    let seen = server(report).is_some();
    let waited = report.schedule.as_ref().map(|schedule| schedule.waited * 2 > schedule.due);
    let latency = report.latency.uncorrected.as_ref().unwrap_or(&report.latency.total);
    let think_s = plan.think_s.map_or(0.0, |[from, to]| (from + to) / 2.0);
    let (mean_us, requests_per_s) = (latency.mean_us?, report.rate.requests_per_s?);
    let cycle_s = mean_us / 1e6 + think_s;
    let slots = f64::from(plan.connections) * f64::from(plan.pipeline);
    let explained = requests_per_s * cycle_s >= slots * EXPLAINED_RATIO;
    if !seen || waited == Some(false) || !explained {
        return None;
    }
    let thinking = match plan.think_s {
        Some(_) => " (and paused between requests)",
        None => "",
    };
    let text = format!(
        "no CPU was the limit: all {} connections waited for answers{thinking}, {} each on \
         average, which makes {}/s. More connections (-c) may bring more, unless the server itself \
         waits for something; {}.",
        count(plan.connections.into()),
        time_us(mean_us),
        rate(requests_per_s),
        who_was_busy(report)
    );
    Some(("connections", text))
}

/// The server, or what lies on the way to it.
fn unseen(report: &Report) -> Verdict {
    let why = match (report.target.local, server(report), &report.watch) {
        (false, None, _) => {
            "the server is not in this network namespace: it is on another machine, or in a \
             container (--watch-pid)"
        }
        (true, None, Some(watch)) if !watch.server_search_complete => {
            "the search for the server's process did not finish (--watch-pid names it)"
        }
        (true, None, Some(_)) => {
            "the server's process was not found (it is another user's, or in a container: \
             --watch-pid)"
        }
        _ => return None,
    };
    Some(("unseen", format!("{}; {why}.", who_was_busy(report))))
}

/// A value measured in ticks, if there were enough of them.
fn watch_by_ticks(report: &Report) -> Option<&Watch> {
    report.watch.as_ref().filter(|_| report.duration_s >= TICKS_S_MIN)
}

fn server(report: &Report) -> Option<&ServerLoad> {
    report.watch.as_ref()?.server.as_ref()
}

/// How near the server is to its most: of one thread, as many a server has but one that matters, or
/// of all CPUs that it has threads for.
pub(crate) fn saturation(server: &ServerLoad) -> f64 {
    let room = server.threads.min(server.cpus).max(1);
    server.busiest_thread_ratio.max(server.cpu_ratio / f64::from(room))
}

/// How much either had to do.
fn who_was_busy(report: &Report) -> String {
    let generator = &report.generator;
    let thread = if generator.threads == 1 { "thread" } else { "busiest thread" };
    let mut own = format!("ringshot's {thread} was {} busy", share(generator.busy_ratio));
    let demand = demand_ratio(generator);
    let waited = own::waited(generator).filter(|_| own::is_starved(generator));
    let was = if waited.is_some() { "was busy for " } else { "" };
    if let Some(waited) = &waited {
        own += &format!(" and {waited}");
    } else if demand >= SATURATED_RATIO && generator.busy_ratio < SATURATED_RATIO {
        own += &format!(" ({} in its worst second, waiting for a CPU included)", share(demand));
    }
    match server(report) {
        None => own,
        Some(server) if server.threads == 1 => {
            format!("{own}, the server's thread {was}{}", share(server.busiest_thread_ratio))
        }
        Some(server) => format!(
            "{own}, the server's busiest thread {was}{}, and all of it used {}",
            share(server.busiest_thread_ratio),
            cpus_used(server.cpu_ratio)
        ),
    }
}

#[cfg(test)]
mod tests;
