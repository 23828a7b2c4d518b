//! Numbers of a whole box, which every result from that box has seen: they are not added twice.

use crate::findings::Finding;
use crate::kernel::{Counters, TimeWait, TimeWaitGroup};
use crate::report::{Kernel, Report, TimeWaitCounts, TimeWaitSockets};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Whether no two results are from one box, going by the boxes' names.
pub(super) fn are_all_different(reports: &[&Report]) -> bool {
    let names: BTreeSet<&str> = reports.iter().map(|report| report.host.name.as_str()).collect();
    names.len() == reports.len()
}

/// Numbers of a whole box: the largest of the results from one box, which saw the same thing, and
/// the sum over the boxes. Boxes are told apart by their names.
pub(super) fn over(reports: &[&Report], count: impl Fn(&Report) -> Option<u64>) -> Option<u64> {
    let mut boxes: BTreeMap<&str, u64> = BTreeMap::new();
    for report in reports {
        let largest = boxes.entry(&report.host.name).or_default();
        *largest = (*largest).max(count(report)?);
    }
    Some(boxes.values().sum())
}

pub(super) fn kernel(reports: &[&Report]) -> Kernel {
    let names: BTreeSet<&String> =
        reports.iter().flat_map(|report| report.kernel.counters.0.keys()).collect();
    let counter =
        |name: &String| over(reports, |report| Some(report.kernel.counters.get(name))).unwrap_or(0);
    let sockets = |of: fn(&TimeWaitSockets) -> Option<&TimeWait>| {
        let all: Option<Vec<&TimeWait>> =
            reports.iter().map(|report| of(&report.kernel.time_wait_sockets)).collect();
        all.map(|all| add_time_wait(&all))
    };
    Kernel {
        counters: Counters(names.into_iter().map(|name| (name.clone(), counter(name))).collect()),
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
            Some(known) => known.count += group.count,
            None => groups.push(group.clone()),
        }
    }
    groups.sort_by_key(|group| Reverse(group.count));
    TimeWait { by_destination: groups, others: all.iter().map(|one| one.others).sum() }
}

/// Those of each box, with its name.
fn findings(reports: &[&Report]) -> Vec<Finding> {
    let of_one = |report: &&Report| {
        let name = report.host.name.clone();
        let named = move |finding: Finding| {
            let text = format!("{name}: {}", finding.text);
            Finding { text, ..finding }
        };
        report.kernel.findings.clone().into_iter().map(named)
    };
    reports.iter().flat_map(of_one).collect()
}
