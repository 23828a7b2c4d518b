//! Where the connections of several boxes came from. Every box has ports of its own: a range does
//! not grow by the next box that has it too.

use super::parts::{add, distinct, either};
use crate::result::{PortsSummary, Report};

/// Says of all what is true of each, and otherwise that they differ.
pub(super) fn ports(reports: &[&Report]) -> PortsSummary {
    let all = || reports.iter().map(|report| &report.ports);
    let methods = distinct(all().map(|ports| &ports.method));
    let of_range = |ports: &PortsSummary| {
        (ports.low, ports.high, ports.usable, ports.left_to_others, ports.skipped_reserved)
    };
    let is_one_range = distinct(all().map(of_range)).len() == 1;
    let whys = distinct(all().map(|ports| ports.why.as_ref())).join("; ");
    let why = match methods.as_slice() {
        // As the end of "source ports: the kernel's choice, ...".
        [_, _, ..] => "on some of the boxes; others chose them in rotation".to_owned(),
        // As the end of "source ports: 14,116 of 1024-60999 in rotation, ...".
        [one] if one.as_ref() == "rotation" && !is_one_range => {
            format!("at most on one box, since these differ in it; {whys}")
        }
        _ => whys,
    };
    let most = |count: fn(&PortsSummary) -> u32| all().map(count).max().unwrap_or(0);
    PortsSummary {
        method: either(reports, |report| &report.ports.method),
        why: why.into(),
        sources: distinct(all().flat_map(|ports| ports.sources.clone())),
        low: all().map(|ports| ports.low).min().unwrap_or(0),
        high: all().map(|ports| ports.high).max().unwrap_or(0),
        usable: most(|ports| ports.usable),
        left_to_others: most(|ports| ports.left_to_others),
        skipped_reserved: most(|ports| ports.skipped_reserved),
        skipped_in_use: add(all().map(|ports| ports.skipped_in_use)),
        skipped_closing: add(all().map(|ports| ports.skipped_closing)),
    }
}
