//! Numbers of a whole box, which every result from that box has seen: they are not added twice.
//!
//! Boxes are told apart by the names that they have for themselves. A result without a name may be
//! of any box: then such numbers are not known, rather than added or not.

use super::parts::{add, distinct};
use crate::kernel::{SystemCounters, TimeWait, TimeWaitGroup};
use crate::result::{Finding, Kernel, Report, TimeWaitCounts, TimeWaitSockets};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Whether each result is known to be of another box.
pub(super) fn are_all_different(reports: &[&Report]) -> bool {
    let names = distinct(reports.iter().map(|report| &report.host.name));
    are_known(reports) && names.len() == reports.len()
}

fn are_known(reports: &[&Report]) -> bool {
    reports.iter().all(|report| !report.host.name.is_empty())
}

/// What a sentence calls the box of a result.
pub(super) fn name(report: &Report) -> &str {
    Some(report.host.name.as_str())
        .filter(|name| !name.is_empty())
        .unwrap_or("a box without a name")
}

/// The largest of the results from one box, which saw the same thing, and the sum over the boxes;
/// `None` when a result does not have it, or is of an unknown box.
pub(super) fn over(reports: &[&Report], count: impl Fn(&Report) -> Option<u64>) -> Option<u64> {
    let counts: Option<Vec<u64>> = reports.iter().map(|report| count(report)).collect();
    let counts = counts.filter(|_| are_known(reports))?;
    let mut counts = counts.into_iter();
    Some(at_least(reports, |_| counts.next().unwrap_or(0)))
}

/// The same where all have it; the results of unknown boxes pass for those of one.
pub(super) fn at_least(reports: &[&Report], mut count: impl FnMut(&Report) -> u64) -> u64 {
    let mut boxes: BTreeMap<&str, u64> = BTreeMap::new();
    for report in reports {
        let largest = boxes.entry(&report.host.name).or_default();
        *largest = (*largest).max(count(report));
    }
    add(boxes.into_values())
}

pub(super) fn kernel(reports: &[&Report]) -> Kernel {
    let names: BTreeSet<&String> =
        reports.iter().flat_map(|report| report.kernel.counters.0.keys()).collect();
    let counter = |name: &String| {
        let sum = over(reports, |report| Some(report.kernel.counters.get(name)))?;
        Some((name.clone(), sum))
    };
    let sockets = |of: fn(&TimeWaitSockets) -> Option<&TimeWait>| {
        let all: Option<Vec<&TimeWait>> =
            reports.iter().map(|report| of(&report.kernel.time_wait_sockets)).collect();
        all.filter(|_| are_all_different(reports)).map(|all| add_time_wait(&all))
    };
    Kernel {
        counters: SystemCounters(names.into_iter().filter_map(counter).collect()),
        time_wait: TimeWaitCounts {
            before: over(reports, |report| report.kernel.time_wait.before),
            peak: over(reports, |report| report.kernel.time_wait.peak),
            after: over(reports, |report| report.kernel.time_wait.after),
        },
        time_wait_sockets: TimeWaitSockets {
            before: sockets(|sockets| sockets.before.as_ref()),
            after: sockets(|sockets| sockets.after.as_ref()),
        },
        findings: findings(reports),
    }
}

fn add_time_wait(all: &[&TimeWait]) -> TimeWait {
    let mut groups: Vec<TimeWaitGroup> = Vec::new();
    for group in all.iter().flat_map(|one| &one.by_destination) {
        let same = |known: &&mut TimeWaitGroup| {
            (known.destination, known.owner) == (group.destination, group.owner)
        };
        match groups.iter_mut().find(same) {
            Some(known) => known.count = known.count.saturating_add(group.count),
            None => groups.push(group.clone()),
        }
    }
    groups.sort_by_key(|group| Reverse(group.count));
    TimeWait { by_destination: groups, others: add(all.iter().map(|one| one.others)) }
}

/// Those of each box, with its name.
fn findings(reports: &[&Report]) -> Vec<Finding> {
    let of_one = |report: &&Report| {
        let name = name(report).to_owned();
        let named = move |finding: Finding| {
            let text = format!("{name}: {}", finding.text);
            Finding { text, ..finding }
        };
        report.kernel.findings.clone().into_iter().map(named)
    };
    reports.iter().flat_map(of_one).collect()
}
