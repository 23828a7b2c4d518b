//! What must not drift, and what must add up. Pure: samples and counts in, verdicts out.

use super::watch::Sample;
use bench_server::{Fault, FaultCounts};
use ringshot::result::Requests;
use std::ops::RangeInclusive;

/// How much memory may be added after the first minute.
pub const MEMORY_DRIFT_BYTES_MAX: u64 = 2 << 20;

/// The least that may be left of the rate. Machines are noisy; what drifts goes on falling.
pub const RATE_RATIO_MIN: f64 = 0.7;

/// How many slots fewer may be in use: one may rest whenever somebody looks.
const SLOTS_RESTING_MAX: u64 = 1;

/// How many seconds in a row may be without a request.
const SILENCE_SECONDS_MAX: usize = 5;

/// A part without faults that is shorter says little about the rate.
const QUIET_S_MIN: f64 = 2.0;

/// What the judge calls the first minute; of a short run it is the first third.
const MINUTE_S: f64 = 60.0;

/// What ringshot and the server say at the end.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// ringshot's exit code; `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// How many requests were asked for, when it was a number.
    pub wanted: Option<u64>,
    /// Slots.
    pub connections: u64,
    /// Whether connections are reused.
    pub kept: bool,
    /// How long the run took.
    pub duration_s: f64,
    /// ringshot's counts.
    pub requests: Requests,
    /// Its failures by `phase/kind`.
    pub errors: Vec<(String, u64)>,
    /// Its slots in use at the end of each second.
    pub in_flight: Vec<(f64, u64)>,
    /// Requests that the server has seen.
    pub server_requests: u64,
    /// Faults that it has made.
    pub faults: FaultCounts,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub pass: bool,
    /// The numbers.
    pub text: String,
}

impl Check {
    /// In a word.
    pub fn verdict(&self) -> &'static str {
        if self.pass { "pass" } else { "FAILED" }
    }
}

/// A stretch of seconds in which there were faults, or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Whether there were faults.
    pub faulty: bool,
    /// The samples at its ends are among these; counts of the first one are from its second on.
    pub samples: Vec<Sample>,
    /// Requests per second.
    pub rate_per_s: f64,
    /// Faults that were made.
    pub faults: u64,
}

/// What a fault has to be called, and by which kinds of faults; the others are answered.
pub const NAMED: [(&str, &[Fault]); 4] = [
    ("response/eof", &[Fault::Close, Fault::Short]),
    ("receive/ECONNRESET", &[Fault::Reset, Fault::ResetInHead, Fault::ResetInBody]),
    ("response/timeout", &[Fault::Stall]),
    ("response/malformed", &[Fault::Garbage, Fault::Lengths]),
];

/// All verdicts.
pub fn judge(samples: &[Sample], outcome: &Outcome) -> Vec<Check> {
    let samples = under_load(samples);
    let mut checks = vec![answered(samples, outcome), identity(outcome), agreement(outcome)];
    checks.extend(NAMED.iter().map(|(name, kinds)| failures(name, kinds, outcome)));
    checks.push(other_failures(outcome));
    let Some((first, last)) = windows(samples) else {
        checks.push(Check {
            name: "drift",
            pass: false,
            text: format!("{} samples are too few to tell", samples.len()),
        });
        return checks;
    };
    checks.push(memory(samples));
    checks.push(steady("descriptors", samples, |sample| sample.descriptors));
    checks.push(steady("threads", samples, |sample| sample.threads));
    checks.push(slots(samples, outcome, &first, &last));
    checks.push(rate(samples, &first, &last));
    checks
}

/// The samples up to the end of the load: while ringshot writes its reports nothing is asked.
pub fn under_load(samples: &[Sample]) -> &[Sample] {
    let last = samples.last().map_or(0, |sample| sample.requests);
    let end = samples.iter().position(|sample| sample.requests == last);
    &samples[..end.unwrap_or(0)]
}

/// Stretches with and without faults, in order.
pub fn parts(samples: &[Sample]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for pair in samples.windows(2) {
        let faulty = pair[1].faults > pair[0].faults;
        match parts.last_mut().filter(|part| part.faulty == faulty) {
            Some(part) => part.samples.push(pair[1]),
            None => parts.push(Part { faulty, samples: pair.to_vec(), rate_per_s: 0.0, faults: 0 }),
        }
    }
    for part in &mut parts {
        let (Some(first), Some(last)) = (part.samples.first(), part.samples.last()) else {
            continue;
        };
        part.rate_per_s = (last.requests - first.requests) as f64 / (last.t_s - first.t_s);
        part.faults = last.faults - first.faults;
    }
    parts
}

/// What is compared: the first and the last part without faults, or the first and the last third of a
/// run that had faults all the time, or no such part that is long enough. A second at each end is left out, as the clocks of those
/// who look differ, and two at the start.
fn windows(samples: &[Sample]) -> Option<(RangeInclusive<f64>, RangeInclusive<f64>)> {
    let (begin, end) = (samples.first()?.t_s, samples.last()?.t_s);
    let inner = |part: &Part| {
        let (from, to) = (part.samples.first()?.t_s, part.samples.last()?.t_s);
        let from = if from <= begin { from + 2.0 } else { from + 1.0 };
        (to - 1.0 >= from + QUIET_S_MIN).then_some(from..=to - 1.0)
    };
    let parts = parts(samples);
    let quiet: Vec<_> = parts.iter().filter(|part| !part.faulty).filter_map(inner).collect();
    if let [first, .., last] = &quiet[..] {
        return Some((first.clone(), last.clone()));
    }
    let third = (end - begin - 2.0) / 3.0;
    (third > 1.0).then_some((begin + 2.0..=begin + 2.0 + third, end - third..=end))
}

fn answered(samples: &[Sample], outcome: &Outcome) -> Check {
    let silence = samples
        .windows(2)
        .map(|pair| pair[0].requests == pair[1].requests)
        .fold((0, 0), |(most, now), silent| {
            let now = if silent { now + 1 } else { 0 };
            (most.max(now), now)
        })
        .0;
    let Requests { started, ok, .. } = outcome.requests;
    let whole = outcome.wanted.is_none_or(|wanted| wanted == started);
    let exit = outcome.exit_code.map_or("killed".into(), |code| code.to_string());
    let wanted = outcome.wanted.map_or(String::new(), |wanted| format!(" of {wanted}"));
    Check {
        name: "answered",
        pass: outcome.exit_code == Some(0) && ok > 0 && whole && silence < SILENCE_SECONDS_MAX,
        text: format!(
            "exit code {exit}, {started} started{wanted}, {ok} ok; the longest time without a \
             request was {silence} s"
        ),
    }
}

fn identity(outcome: &Outcome) -> Check {
    let Requests { started, ok, failed, in_flight, .. } = outcome.requests;
    let named: u64 = outcome.errors.iter().map(|(_, count)| count).sum();
    Check {
        name: "identity",
        pass: started == ok + failed + in_flight && failed == named,
        text: format!(
            "{started} started = {ok} ok + {failed} failed + {in_flight} in flight; {named} \
             failures have a name"
        ),
    }
}

fn agreement(outcome: &Outcome) -> Check {
    let Requests { started, ok, failed, resent, .. } = outcome.requests;
    let seen = outcome.server_requests;
    Check {
        name: "agreement",
        pass: (ok + failed..=started + resent).contains(&seen),
        text: format!("the server has seen {seen} requests, {} of them ended", ok + failed),
    }
}

/// Failures of one name are the faults of its kinds, but for those that were under way at the end.
fn failures(name: &'static str, kinds: &[Fault], outcome: &Outcome) -> Check {
    let made: u64 = kinds.iter().map(|&kind| outcome.faults[kind]).sum();
    let least = made.saturating_sub(outcome.requests.in_flight);
    let failed = outcome.errors.iter().find(|(error, _)| error == name).map_or(0, |(_, n)| *n);
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    Check {
        name,
        pass: (least..=made).contains(&failed),
        text: format!("{failed} failures; faults ({}): {made}", kinds.join(", ")),
    }
}

fn other_failures(outcome: &Outcome) -> Check {
    let known = |name: &str| NAMED.iter().any(|(known, _)| *known == name);
    let others: Vec<String> = (outcome.errors.iter())
        .filter(|(name, _)| !known(name))
        .map(|(name, count)| format!("{name}: {count}"))
        .collect();
    let text = if others.is_empty() { "none".into() } else { others.join(", ") };
    Check { name: "other", pass: others.is_empty(), text: format!("other failures: {text}") }
}

/// Where the first minute ends.
fn minute_end_s(samples: &[Sample]) -> f64 {
    let (begin, end) = (samples[0].t_s, samples[samples.len() - 1].t_s);
    begin + MINUTE_S.min((end - begin) / 3.0)
}

fn memory(samples: &[Sample]) -> Check {
    let minute_s = minute_end_s(samples);
    let most = |later: bool| {
        let these = samples.iter().filter(|sample| (sample.t_s > minute_s) == later);
        these.map(|sample| sample.resident_bytes).max().unwrap_or(0)
    };
    let (first, later) = (most(false), most(true));
    let kib = |bytes: u64| bytes >> 10;
    Check {
        name: "memory",
        pass: later <= first + MEMORY_DRIFT_BYTES_MAX,
        text: format!(
            "at most {} KiB resident in the first {:.0} s, {} KiB after it",
            kib(first),
            minute_s - samples[0].t_s,
            kib(later)
        ),
    }
}

/// The median of the last third is one of the values of the first minute, but for its first
/// second.
fn steady(name: &'static str, samples: &[Sample], of: impl Fn(&Sample) -> u64) -> Check {
    let minute_s = minute_end_s(samples);
    let early = samples[1..].iter().filter(|sample| sample.t_s <= minute_s).map(&of);
    let (low, high) = early.fold((u64::MAX, 0), |(low, high), n| (low.min(n), high.max(n)));
    let mut late: Vec<u64> = samples[samples.len() * 2 / 3..].iter().map(&of).collect();
    late.sort_unstable();
    let late = late[late.len() / 2];
    Check {
        name,
        pass: (low..=high).contains(&late),
        text: format!("{low} to {high} in the first minute, {late} in the last third"),
    }
}

fn slots(
    samples: &[Sample],
    outcome: &Outcome,
    first: &RangeInclusive<f64>,
    last: &RangeInclusive<f64>,
) -> Check {
    let most = |window: &RangeInclusive<f64>| {
        let rows = outcome.in_flight.iter().filter(|(t_s, _)| window.contains(t_s));
        rows.map(|(_, in_flight)| *in_flight).max().unwrap_or(0)
    };
    let open = |window: &RangeInclusive<f64>| {
        let these = samples.iter().filter(|sample| window.contains(&sample.t_s));
        these.map(|sample| sample.open).max().unwrap_or(0)
    };
    let (early, late, held) = (most(first), most(last), open(last));
    // Kept connections are there all the time, also while nothing is asked.
    let all_held = !outcome.kept || held == outcome.connections;
    Check {
        name: "slots",
        pass: early > 0 && late + SLOTS_RESTING_MAX >= early && all_held,
        text: format!(
            "{} connections; at most {early} in use at first, {late} at last; at most {held} held \
             by the server at last",
            outcome.connections
        ),
    }
}

fn rate(samples: &[Sample], first: &RangeInclusive<f64>, last: &RangeInclusive<f64>) -> Check {
    let rate = |window: &RangeInclusive<f64>| {
        let mut inside = samples.iter().filter(|sample| window.contains(&sample.t_s));
        let begin = inside.next()?;
        let end = inside.next_back()?;
        Some((end.requests - begin.requests) as f64 / (end.t_s - begin.t_s))
    };
    let (Some(early), Some(late)) = (rate(first), rate(last)) else {
        return Check { name: "rate", pass: false, text: "too few samples to tell".into() };
    };
    Check {
        name: "rate",
        pass: late >= early * RATE_RATIO_MIN,
        text: format!(
            "{early:.0} requests/s at first, {late:.0} at last: {:.2} of it",
            late / early.max(1.0)
        ),
    }
}
