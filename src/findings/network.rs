//! What the kernel's counters say about handshakes: queues, retries, cookies, tracking.
//!
//! The counters are of the whole network namespace. Those of listeners only matter when the server
//! is in it.

use super::Facts;
use crate::engine::failure::{Kind, Phase};
use crate::result::{Finding, Severity};
use crate::tuning::cure;
use crate::words::quantities::count;

/// When a SYN is sent again: after 1, 3 and 7 s with doubling waits; from Linux 6.5 on
/// (`net.ipv4.tcp_syn_linear_timeouts`, 4 by default) after 1, 2, 3, 4, 5 and 7 s. What the
/// handshake itself takes comes on top.
const SYN_RETRY_S: [u64; 6] = [1, 2, 3, 4, 5, 7];
const SYN_RETRY_WIDTH_S: f64 = 0.25;

/// A connection that needed a second SYN took at least this long.
const SYN_RETRY_FIRST_US: f64 = 980_000.0;

/// From this share of its limit on, the table of connection tracking is full.
const CONNTRACK_FULL: f64 = 0.9;

/// The server did not accept as fast as connections came.
pub(super) fn accept_queue(facts: &Facts<'_>) -> Option<Finding> {
    facts.target?;
    let overflows = facts.kernel.get("TcpExtListenOverflows");
    if overflows == 0 || !facts.local {
        return None;
    }
    let backlog = match facts.host.listener {
        Some(listener) => format!(" (the server's backlog is {})", count(listener.backlog.into())),
        None => String::new(),
    };
    let wanted = u64::from(facts.connections).next_power_of_two().max(1024);
    let longer = cure::raise("net.core.somaxconn", Some(facts.host.somaxconn), wanted)
        .map_or(String::new(), |raise| format!(" and {raise}"));
    Some(Finding {
        id: "accept_queue_overflow".into(),
        severity: Severity::Warning,
        text: format!(
            "an accept queue in this network namespace was full{backlog}: the kernel dropped \
             packets of handshakes {} times (ListenOverflows){}.",
            count(overflows),
            signature(facts)
        ),
        cure: format!(
            "a server that accepts faster or on more threads; or a longer queue: listen(fd, \
             {wanted}) in the server{longer}"
        ),
    })
}

/// SYNs were lost on the way, or dropped by a server elsewhere. The counter includes other
/// programs, so our own connections must show it: one took a second, or was given up.
pub(super) fn syn_retries(facts: &Facts<'_>) -> Option<Finding> {
    let target = facts.target?;
    let retries = facts.kernel.get("TcpExtTCPSynRetrans");
    let overflows = facts.kernel.get("TcpExtListenOverflows");
    let explained = facts.local && overflows > 0;
    let given_up = [Kind::Timeout, Kind::Errno(libc::ETIMEDOUT)]
        .iter()
        .any(|&kind| facts.failed(Phase::Connect, kind).is_some());
    let ours = given_up || facts.connect.max() as f64 >= SYN_RETRY_FIRST_US;
    if retries == 0 || explained || !ours {
        return None;
    }
    // Beside full accept queues, a listener drops when its queue of half-open connections is full.
    let half_open = facts.kernel.get("TcpExtTCPReqQFullDrop")
        + facts.kernel.get("TcpExtListenDrops").saturating_sub(overflows);
    let longer = cure::raise("net.ipv4.tcp_max_syn_backlog", facts.host.max_syn_backlog, 16_384)
        .map_or(String::new(), |raise| format!(", {raise}"));
    let (why, cure) = match facts.local {
        true if half_open > 0 && facts.host.syncookies == 0 => (
            "the server's queue of half-open connections was full, and cookies are off \
             (ListenDrops, TCPReqQFullDrop)",
            format!(
                "`sysctl -w net.ipv4.tcp_syncookies=1`{longer}, and a longer backlog in the \
                 server's listen()"
            ),
        ),
        true => (
            "a packet filter, a full queue of the loopback, or connection tracking dropped them",
            "`nft list ruleset`; `nstat -az TcpExtListenDrops TcpExtTCPReqQFullDrop`; `dmesg | \
             tail`"
                .to_owned(),
        ),
        false => (
            "they were lost in the network, dropped by a firewall, or dropped by a server whose \
             accept queue is full",
            format!(
                "on the server: `nstat -az TcpExtListenOverflows TcpExtTCPReqQFullDrop`; a loss on \
                 the way: `mtr --report --tcp --port {} {}`",
                target.port(),
                target.ip()
            ),
        ),
    };
    Some(Finding {
        id: "syn_retries".into(),
        severity: Severity::Warning,
        text: format!(
            "the kernel sent SYNs again, {} times in this network namespace{}: {why}.",
            count(retries),
            signature(facts)
        ),
        cure,
    })
}

/// The queue of half-open connections was full, or cookies are forced.
pub(super) fn syn_cookies(facts: &Facts<'_>) -> Option<Finding> {
    facts.target?;
    let sent = facts.kernel.get("TcpExtSyncookiesSent");
    if sent == 0 || !facts.local {
        return None;
    }
    let wanted = u64::from(facts.connections).next_power_of_two().max(4096);
    let longer = cure::raise("net.core.somaxconn", Some(facts.host.somaxconn), wanted)
        .map_or(String::new(), |raise| format!(" and {raise}"));
    let (why, cure) = match facts.host.syncookies {
        2 => (
            "because tcp_syncookies is 2, which forces them",
            "`sysctl -w net.ipv4.tcp_syncookies=1`".to_owned(),
        ),
        _ => (
            "because a listener's queue of half-open connections was full, whose length is its \
             backlog",
            format!("listen(fd, {wanted}) in the server{longer}"),
        ),
    };
    Some(Finding {
        id: "syn_cookies".into(),
        severity: Severity::Warning,
        text: format!(
            "the kernel answered {} SYNs with cookies in this network namespace, {why}: the server \
             may lose a handshake, and without TCP timestamps it loses its options.",
            count(sent)
        ),
        cure,
    })
}

/// A connection that cannot be tracked is dropped, and looks like a loss in the network.
pub(super) fn conntrack(facts: &Facts<'_>) -> Option<Finding> {
    let target = facts.target?;
    let [dropped, early, failed] = ["ConntrackDrop", "ConntrackEarlyDrop", "ConntrackInsertFailed"]
        .map(|name| facts.kernel.get(name));
    let (in_table, limit) = facts.conntrack?;
    // Packets are also dropped for other reasons, such as two that race for one entry.
    let full = early > 0 || in_table as f64 >= limit as f64 * CONNTRACK_FULL;
    if dropped + early + failed == 0 || !full {
        return None;
    }
    let more = cure::raise("net.netfilter.nf_conntrack_max", Some(limit), 2 * limit);
    Some(Finding {
        id: "conntrack_full".into(),
        severity: Severity::Error,
        text: format!(
            "connection tracking (nf_conntrack) was full: {} packets dropped, {} connections \
             evicted early, {} of {} entries used.",
            count(dropped),
            count(early),
            count(in_table),
            count(limit)
        ),
        cure: format!(
            "{}; or do not track this load: {}",
            more.unwrap_or_default(),
            cure::notrack(target.port())
        ),
    })
}

/// How many connections took as long as a SYN that is sent again.
fn signature(facts: &Facts<'_>) -> String {
    let near = |seconds: u64| {
        let low_us = (seconds as f64 * 0.98 * 1e6) as u64;
        let high_us = ((seconds as f64 + SYN_RETRY_WIDTH_S) * 1e6) as u64;
        facts.connect.count_between(low_us, high_us)
    };
    let steps: Vec<String> = SYN_RETRY_S
        .iter()
        .map(|&seconds| (seconds, near(seconds)))
        .filter(|&(_, connections)| connections > 0)
        .map(|(seconds, connections)| {
            format!("{} connections took about {seconds} s", count(connections))
        })
        .collect();
    match steps.is_empty() {
        true => String::new(),
        false => format!("; {} to open, which is when a SYN is sent again", steps.join(", ")),
    }
}
