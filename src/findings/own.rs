//! Whether ringshot got the CPU time that it needed. Every latency includes its waiting, and no
//! server can do anything about that: so this is checked before anything else is called the limit.
//!
//! ```text
//!   run delay of the workers (schedstat)   ──► starved      something else ran on their CPUs
//!   cpu.stat of the own control groups     ──► throttled    the quota was used up
//! ```

use super::Facts;
use crate::result::{Finding, Generator, Severity};
use crate::words::quantities::{cpu_list, seconds, share};

/// A thread that waits for this part of a second, or for this part of all the time, is late far more
/// often than a wake-up takes.
const WAIT_PEAK_RATIO: f64 = 0.20;
pub(crate) const WAIT_RATIO: f64 = 0.10;

/// From this part of the time on, stops are in the 99th percentile of every latency.
pub(crate) const THROTTLED_RATIO: f64 = 0.01;

/// Whether a thread waited for a CPU so much that it shows.
pub(super) fn is_starved(generator: &Generator) -> bool {
    let (mean, peak) = (generator.cpu_wait_ratio, generator.cpu_wait_peak_ratio);
    mean.is_some_and(|ratio| ratio >= WAIT_RATIO)
        || peak.is_some_and(|ratio| ratio >= WAIT_PEAK_RATIO)
}

/// For which part of the time a quota stopped the workers. The kernel adds up over the CPUs, and
/// each worker is on one.
pub(super) fn throttled_ratio(generator: &Generator, duration_s: f64, cpus: usize) -> Option<f64> {
    let cpus = (generator.threads as usize).min(cpus).max(1) as f64;
    let ratio = generator.throttled_s? / (duration_s * cpus).max(1e-9);
    Some(ratio.min(1.0)).filter(|&ratio| ratio >= THROTTLED_RATIO)
}

/// How long a thread waited, as the end of a sentence about it.
pub(crate) fn waited(generator: &Generator) -> Option<String> {
    let mean = generator.cpu_wait_ratio?;
    let peak = generator.cpu_wait_peak_ratio.unwrap_or(mean);
    let worst =
        if peak > mean { format!(" ({} of its worst second)", share(peak)) } else { "".into() };
    Some(format!("waited for a CPU for {} of the time{worst}", share(mean)))
}

/// Something else ran where a worker was to run.
pub(super) fn starved(facts: &Facts<'_>) -> Option<Finding> {
    let generator = &facts.generator;
    if !is_starved(generator) || is_explained(facts) {
        return None;
    }
    let free = cpu_list(&facts.free_cpus);
    let elsewhere = match (facts.free_cpus.is_empty(), facts.bundled) {
        (false, _) => format!("use CPUs that had time left: --cpus {free}"),
        (true, true) => "fewer programs on this machine, or another machine for the server".into(),
        (true, false) => {
            "CPUs that nothing else uses: --cpus for ringshot, `taskset -acp 0 PID` for what runs \
             there (`top -H` shows it), or another machine for the server"
                .into()
        }
    };
    Some(Finding {
        id: "generator_starved".into(),
        severity: Severity::Warning,
        text: format!(
            "ringshot had too little CPU: a worker thread {}, because something else ran there, \
             and the busiest one ran for {}. The latencies include all of this waiting.",
            waited(generator)?,
            share(generator.busy_ratio)
        ),
        cure: elsewhere,
    })
}

/// Kernels count a stop by a quota as waiting for a CPU, but for some.
fn is_explained(facts: &Facts<'_>) -> bool {
    let generator = &facts.generator;
    let stopped = throttled_ratio(generator, facts.duration_s, facts.allowed_cpus);
    stopped.is_some_and(|stopped| stopped * 2.0 >= generator.cpu_wait_ratio.unwrap_or(0.0))
}

/// A quota stopped the workers.
pub(super) fn throttled(facts: &Facts<'_>) -> Option<Finding> {
    let generator = &facts.generator;
    let stopped = throttled_ratio(generator, facts.duration_s, facts.allowed_cpus)?;
    let quota = facts.quota.map(|quota| (quota.cpus, quota.lift()));
    let cure = match &quota {
        Some((_, lift)) => format!(
            "a larger quota: `{lift}` as root on the host, `docker update --cpus=N CONTAINER`, \
             limits.cpu in Kubernetes; or a lower load"
        ),
        None => "a larger quota for ringshot's control group; or a lower load".into(),
    };
    Some(Finding {
        id: "generator_throttled".into(),
        severity: Severity::Warning,
        text: format!(
            "{}. The latencies include all of this waiting.",
            stopped_by(quota.map(|(cpus, _)| cpus), generator, stopped)
        ),
        cure,
    })
}

/// As a sentence without its end.
pub(super) fn stopped_by(quota: Option<f64>, generator: &Generator, stopped: f64) -> String {
    let of = quota.map_or(String::new(), |cpus| format!(" of {cpus} CPUs"));
    let summed = seconds(generator.throttled_s.unwrap_or(0.0));
    format!(
        "ringshot had used up its own CPU quota{of} for {} of the time ({summed} in all)",
        share(stopped)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    #[test]
    fn who_waits_much_in_a_second_or_all_the_time_is_starved() {
        for (mean, peak, expected) in [
            (Some(0.02), Some(0.05), false),
            (Some(0.02), Some(0.25), true),
            (Some(0.12), Some(0.15), true),
            (Some(0.12), None, true),
            (None, None, false),
        ] {
            let mut generator = sample::clean().generator;
            (generator.cpu_wait_ratio, generator.cpu_wait_peak_ratio) = (mean, peak);
            assert_eq!(is_starved(&generator), expected, "{mean:?} {peak:?}");
        }
    }

    #[test]
    fn throttling_is_a_share_of_the_time_of_the_workers() {
        let ratio = |threads, throttled_s, cpus| {
            let generator = Generator { threads, throttled_s, ..sample::clean().generator };
            throttled_ratio(&generator, 10.0, cpus)
        };
        assert_eq!(ratio(1, Some(2.5), 2), Some(0.25));
        assert_eq!(ratio(4, Some(2.5), 2), Some(0.125));
        assert_eq!(ratio(1, Some(25.0), 8), Some(1.0), "others of the group were stopped too");
        assert_eq!(ratio(1, Some(0.05), 1), None);
        assert_eq!(ratio(1, None, 1), None);
    }
}
