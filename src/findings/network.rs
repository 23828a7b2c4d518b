//! What the kernel's counters say about handshakes: queues, retries, cookies, tracking.
//!
//! The counters are of the whole network namespace. Those of listeners only matter when the server
//! is in it.

use super::{Facts, Finding, Severity};
use crate::report::console::format::count;

/// When a SYN is sent again: after 1, 3 and 7 s with doubling waits; from Linux 6.5 on
/// (`net.ipv4.tcp_syn_linear_timeouts`, 4 by default) after 1, 2, 3, 4, 5 and 7 s. What the
/// handshake itself takes comes on top.
const SYN_RETRY_S: [u64; 6] = [1, 2, 3, 4, 5, 7];
const SYN_RETRY_WIDTH_S: f64 = 0.25;

/// The server did not accept as fast as connections came.
pub(super) fn accept_queue(facts: &Facts<'_>) -> Option<Finding> {
    let overflows = facts.kernel.get("TcpExtListenOverflows");
    if overflows == 0 || !facts.local {
        return None;
    }
    let backlog = match facts.listener {
        Some(listener) => format!(" (its backlog is {})", count(listener.backlog.into())),
        None => String::new(),
    };
    let wanted = u64::from(facts.connections).next_power_of_two().max(1024);
    Some(Finding {
        id: "accept_queue_overflow",
        severity: Severity::Warning,
        text: format!(
            "the server's accept queue was full{backlog}: {} handshakes were dropped \
             (ListenOverflows){}.",
            count(overflows),
            signature(facts)
        ),
        cure: format!(
            "a server that accepts faster or on more threads; a longer queue: listen(fd, {wanted}) \
             in the server and `sysctl -w net.core.somaxconn={wanted}`"
        ),
    })
}

/// SYNs were lost on the way, or dropped by a server elsewhere.
pub(super) fn syn_retries(facts: &Facts<'_>) -> Option<Finding> {
    let retries = facts.kernel.get("TcpExtTCPSynRetrans");
    let explained = facts.local && facts.kernel.get("TcpExtListenOverflows") > 0;
    if retries == 0 || explained {
        return None;
    }
    let half_open = facts.kernel.get("TcpExtTCPReqQFullDrop");
    let (why, cure) = match facts.local {
        true if half_open > 0 => (
            "the server's queue of half-open connections was full and cookies are off \
             (TCPReqQFullDrop)",
            "`sysctl -w net.ipv4.tcp_syncookies=1 net.ipv4.tcp_max_syn_backlog=16384`, and a longer \
             backlog in the server's listen()",
        ),
        true => (
            "a packet filter, a full queue of the loopback, or connection tracking dropped them",
            "`nft list ruleset`, `nstat -az TcpExtTCPReqQFullDrop`, `dmesg | tail`",
        ),
        false => (
            "lost in the network, dropped by a firewall, or by a server whose accept queue is full",
            "on the server: `nstat -az TcpExtListenOverflows TcpExtTCPReqQFullDrop`; a loss on the \
             way: `mtr --tcp`",
        ),
    };
    Some(Finding {
        id: "syn_retries",
        severity: Severity::Warning,
        text: format!("{} SYNs had to be sent again{}: {why}.", count(retries), signature(facts)),
        cure: cure.into(),
    })
}

/// The queue of half-open connections was full, or cookies are forced.
pub(super) fn syn_cookies(facts: &Facts<'_>) -> Option<Finding> {
    let sent = facts.kernel.get("TcpExtSyncookiesSent");
    (sent > 0 && facts.local).then(|| Finding {
        id: "syn_cookies",
        severity: Severity::Warning,
        text: format!(
            "the server answered {} SYNs with cookies, because its queue of half-open connections \
             was full (or tcp_syncookies is 2): TCP options are cut down, and handshakes may be \
             forgotten.",
            count(sent)
        ),
        cure: format!(
            "`sysctl -w net.ipv4.tcp_max_syn_backlog={0} net.core.somaxconn={0}` and a backlog of \
             as much in the server's listen(); `sysctl net.ipv4.tcp_syncookies` should be 1",
            u64::from(facts.connections).next_power_of_two().max(4096)
        ),
    })
}

/// A connection that cannot be tracked is dropped, and looks like a loss in the network.
pub(super) fn conntrack(facts: &Facts<'_>) -> Option<Finding> {
    let [dropped, early, failed] = ["ConntrackDrop", "ConntrackEarlyDrop", "ConntrackInsertFailed"]
        .map(|name| facts.kernel.get(name));
    let (in_table, limit) = facts.conntrack?;
    if dropped + early == 0 && !(failed > 0 && in_table >= limit) {
        return None;
    }
    Some(Finding {
        id: "conntrack_full",
        severity: Severity::Error,
        text: format!(
            "connection tracking (nf_conntrack) was full: {} packets dropped, {} connections forgotten early, {} \
             of {} entries in the table.",
            count(dropped),
            count(early),
            count(in_table),
            count(limit)
        ),
        cure: format!(
            "`sysctl -w net.netfilter.nf_conntrack_max={}`, or no tracking for this load: `nft add \
             table ip raw; nft 'add chain ip raw output {{ type filter hook output priority raw; \
             }}'; nft add rule ip raw output tcp dport {} notrack`",
            (2 * limit).max(1_048_576),
            facts.port
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
