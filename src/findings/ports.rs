//! The port wall, and the slow-down before it.

use super::Facts;
use crate::engine::failure::{Kind, Phase};
use crate::engine::policy::CloseMode;
use crate::engine::ports::Method;
use crate::result::{Finding, Severity};
use crate::tuning::cure;
use crate::words::quantities::{count, time_us};
use std::net::SocketAddr;

/// How much longer connecting takes, against the fastest, before that is worth a sentence.
const SLOWER: f64 = 3.0;

/// And at least this long: on a quiet machine the fastest may be very fast.
const SLOW_US: f64 = 500.0;

/// Whether no connection could be opened because the route to an address of the target has no
/// source address: the kernel's error is then the same as if no port were left.
fn lacks_source(facts: &Facts<'_>) -> bool {
    let ports = facts.ports;
    let opened = facts.whole.connections_opened;
    opened == 0 && ports.method == Method::Kernel && ports.sources.iter().any(Vec::is_empty)
}

/// The target has an address of a family in which this machine has none.
pub(super) fn no_source(facts: &Facts<'_>) -> Option<Finding> {
    let (requests, _) = facts.failed(Phase::Connect, Kind::Errno(libc::EADDRNOTAVAIL))?;
    lacks_source(facts).then(|| Finding {
        id: "no_source_address".into(),
        severity: Severity::Error,
        text: format!(
            "this machine has no source address to reach the target from: {} requests failed.",
            count(requests)
        ),
        cure: "`ip -brief address` shows the addresses; if IPv6 is disabled, `sysctl -w \
               net.ipv6.conf.all.disable_ipv6=0`, or an IPv4 address in the URL"
            .into(),
    })
}

/// Requests failed for want of a source port.
pub(super) fn exhausted(facts: &Facts<'_>) -> Option<Finding> {
    let target = facts.target?;
    if lacks_source(facts) {
        return None;
    }
    let failed = |phase, errno| facts.failed(phase, Kind::Errno(errno));
    let (taken, in_use) =
        (failed(Phase::Connect, libc::EADDRNOTAVAIL), failed(Phase::Bind, libc::EADDRINUSE));
    let requests: u64 = [taken, in_use].iter().flatten().map(|(requests, _)| requests).sum();
    let first_s = [taken, in_use].iter().flatten().map(|&(_, first_s)| first_s).reduce(f64::min)?;
    let ports = facts.ports;
    let from = match ports.sources.iter().map(Vec::len).max() {
        Some(n @ 2..) => format!("{n} source addresses"),
        _ => facts.source.map_or("this machine".into(), |source| source.to_string()),
    };
    let held = facts.time_wait_held.unwrap_or(0);
    let why = match (ports.method, in_use) {
        (Method::Rotation, Some(_)) => {
            "sockets that do not share their port (SO_REUSEADDR) hold them: a run with \
             --source-ports kernel does so until 60 s after its end"
        }
        (Method::Rotation, None) if !facts.host.timestamps => {
            "without TCP timestamps a port in TIME_WAIT cannot be reused"
        }
        (Method::Rotation, None) => "their last connections were still closing",
        (Method::Kernel | Method::None, _) if held * 2 > facts.pairs => {
            "the kernel does not reuse a port in TIME_WAIT"
        }
        (Method::Kernel | Method::None, _) => {
            "other connections, or sockets bound to them, hold the rest"
        }
    };
    let text = format!(
        "no source port was left from {from} to {}, from {first_s:.1} s on: of {} ports {} were in \
         TIME_WAIT on this side, and {why}. {} requests failed.",
        target,
        count(facts.pairs),
        count(held),
        count(requests)
    );
    Some(Finding {
        id: "ports_exhausted".into(),
        severity: Severity::Error,
        text,
        cure: way_past(facts, target),
    })
}

/// The source address went away in the run.
pub(super) fn source_gone(facts: &Facts<'_>) -> Option<Finding> {
    let (requests, first_s) = facts.failed(Phase::Bind, Kind::Errno(libc::EADDRNOTAVAIL))?;
    Some(Finding {
        id: "source_address_gone".into(),
        severity: Severity::Error,
        text: format!(
            "a source address has left this machine, from {first_s:.1} s on: {} requests failed.",
            count(requests)
        ),
        cure: "`ip -brief address` shows the addresses; a virtual address may have moved to \
               another machine"
            .into(),
    })
}

/// Connecting took longer and longer while TIME_WAIT filled the ports: the kernel searches.
pub(super) fn slow_search(facts: &Facts<'_>) -> Option<Finding> {
    let target = facts.target?;
    // From here on the even half of the ports is full, and each connect walks through it.
    let full = facts.pairs / 2 * 9 / 10;
    let (held, before) = (facts.time_wait_held?, facts.time_wait_before.unwrap_or(0));
    if facts.ports.method == Method::Rotation || held < full {
        return None;
    }
    // The fastest connections show how long connecting takes without a search, if any did without.
    let best_us = facts.connect.value_at_percentile(1.0) as f64;
    let means = || facts.series.iter().filter_map(|row| Some((row.t_s, row.connect_mean_us?)));
    let slow = |us: f64| us > SLOW_US && (before >= full || us > best_us * SLOWER);
    let (slow_s, _) = means().find(|&(_, us)| slow(us))?;
    let worst_us = means().map(|(_, us)| us).fold(0.0, f64::max);
    let since = match before >= full {
        true => "from the start: an earlier run had filled them".to_owned(),
        false => format!("seen in the row of the series that ends at {slow_s:.1} s"),
    };
    Some(Finding {
        id: "port_search_slow".into(),
        severity: Severity::Warning,
        text: format!(
            "the kernel searched for source ports: opening a connection took {} at best and {} on \
             average where it was slowest, with {} of {} ports in TIME_WAIT towards {} ({since}).",
            time_us(best_us),
            time_us(worst_us),
            count(held),
            count(facts.pairs),
            target
        ),
        cure: way_past(facts, target),
    })
}

/// The ways past it, except those that are already in force.
fn way_past(facts: &Facts<'_>, target: SocketAddr) -> String {
    let mut cures: Vec<String> = Vec::new();
    match (facts.ports.method, facts.policy.close) {
        (Method::Kernel, CloseMode::Client) => {
            cures.push("--source-ports auto: rotation reuses ports in TIME_WAIT".into());
            cures.push("--close server".into());
        }
        (Method::Kernel, CloseMode::Server) if facts.counters.not_closed_by_peer > 0 => {
            cures.push("--close client: rotation reuses ports in TIME_WAIT".into());
        }
        (Method::Kernel | Method::None, _) => {}
        (Method::Rotation, _) => {
            if !facts.host.timestamps {
                cures.push("`sysctl -w net.ipv4.tcp_timestamps=1` on both ends".into());
            }
            cures.push("wait until `ss -Htan state time-wait | wc -l` is low, up to 60 s".into());
        }
    }
    cures.push(cure::more_ports(facts.ports, target));
    cures.join("; or ")
}
