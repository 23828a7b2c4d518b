//! The port wall, and the slow-down before it.

use super::{Facts, Finding, Severity};
use crate::failure::{Kind, Phase};
use crate::ports::Method;
use crate::report::console::format::count;
use crate::tuning::catalogue::catalogue;

/// How much longer connecting takes, against the best second, before that is worth a sentence.
const SLOWER: f64 = 3.0;

/// And at least so long: on a quiet box the best second may be very good.
const SLOW_US: f64 = 500.0;

/// Requests failed for want of a source port.
pub(super) fn exhausted(facts: &Facts<'_>) -> Option<Finding> {
    let refused = [
        (Phase::Connect, libc::EADDRNOTAVAIL),
        (Phase::Bind, libc::EADDRNOTAVAIL),
        (Phase::Bind, libc::EADDRINUSE),
    ]
    .map(|(phase, errno)| facts.failed(phase, Kind::Errno(errno)));
    let failed: u64 = refused.iter().flatten().map(|(failed, _)| failed).sum();
    let first_s = refused.iter().flatten().map(|&(_, first_s)| first_s).reduce(f64::min)?;
    let ports = facts.ports;
    let from = match ports.sources.iter().map(Vec::len).max() {
        Some(n @ 2..) => format!("{n} source addresses"),
        _ => facts.source.clone().unwrap_or("this box".into()),
    };
    let held = match facts.time_wait_held {
        Some(held @ 1..) => format!(" ({} in TIME_WAIT on this side)", count(held)),
        _ => String::new(),
    };
    let in_use = refused[2].is_some();
    let why = match (ports.method, in_use) {
        (Method::Rotation, true) => {
            "sockets that do not share their port (SO_REUSEADDR) hold them: a run that left the \
             choice to the kernel does so for 60 s after its end"
        }
        (Method::Rotation, false) => {
            "their last connections were still closing, or TCP timestamps are off, without which \
             TIME_WAIT cannot be taken over"
        }
        _ => "the kernel does not give a port in TIME_WAIT away",
    };
    let text = format!(
        "no source port was left from {from} to {}, from {first_s:.1} s on: {} ports{held}, and \
         {why}. {} requests failed for it.",
        facts.target,
        count(facts.pairs),
        count(failed)
    );
    Some(Finding { id: "ports_exhausted", severity: Severity::Error, text, cure: cure(facts) })
}

/// Connecting took longer and longer while TIME_WAIT filled the ports: the kernel searches.
pub(super) fn slow_search(facts: &Facts<'_>) -> Option<Finding> {
    if facts.ports.method == Method::Rotation {
        return None;
    }
    let held = facts.time_wait_held?;
    // The even half of the ports is full: from here on each connect walks through it.
    if held < facts.pairs / 2 * 9 / 10 {
        return None;
    }
    let means = || facts.series.iter().filter_map(|row| Some((row.t_s, row.connect_mean_us?)));
    let best = means().map(|(_, us)| us).reduce(f64::min)?;
    let (slow_s, _) = means().find(|&(_, us)| us > SLOW_US && us > best * SLOWER)?;
    let worst = means().map(|(_, us)| us).fold(0.0, f64::max);
    Some(Finding {
        id: "port_search_slow",
        severity: Severity::Warning,
        text: format!(
            "the kernel searched for source ports: opening a connection took {best:.0} us on \
             average in the best second and {worst:.0} us in the worst, with {} of {} ports in \
             TIME_WAIT towards {} (noticed at {slow_s:.1} s).",
            count(held),
            count(facts.pairs),
            facts.target
        ),
        cure: cure(facts),
    })
}

fn cure(facts: &Facts<'_>) -> String {
    let more_addresses = match facts.loopback {
        true => "more source addresses: --source-ip 127.0.0.2,127.0.0.3,127.0.0.4",
        false => "more source addresses: `ip address add ADDRESS dev DEVICE`, then --source-ip",
    };
    let range = catalogue()
        .knob("net.ipv4.ip_local_port_range")
        .and_then(|knob| knob.recommended.as_deref())
        .unwrap_or("10240 65535");
    let more_ports = format!("more ports: `sysctl -w net.ipv4.ip_local_port_range='{range}'`");
    match facts.ports.method {
        Method::Rotation => format!(
            "`ss -tan state time-wait | wc -l` until it is low, up to 60 s; \
             `sysctl -w net.ipv4.tcp_timestamps=1` if it is 0; {more_addresses}; {more_ports}"
        ),
        _ => format!(
            "--source-ports auto (ringshot's rotation takes ports in TIME_WAIT over); or --close \
             server; {more_addresses}; {more_ports}"
        ),
    }
}
