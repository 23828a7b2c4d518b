//! What the server did without being asked.

use super::Facts;
use crate::engine::failure::{Kind, Phase};
use crate::engine::policy::CloseMode;
use crate::engine::tally::Counters;
use crate::result::{Finding, Severity};
use crate::words::quantities::{count, counted, share};

pub(super) fn not_closed(facts: &Facts<'_>) -> Option<Finding> {
    let count = facts.counters.not_closed_by_peer;
    let what = match facts.policy.requests_per_connection {
        Some(_) => "was asked to close",
        // Without a last request on a connection none asks for it.
        None => "announced that it would close",
    };
    (count > 0).then(|| Finding {
        id: "server_ignores_close".into(),
        severity: Severity::Warning,
        text: format!(
            "the server {what} after its response and did not, on {count} of {} connections: \
             ringshot waited 200 ms each time, then closed the connection itself.",
            facts.counters.connections_opened
        ),
        cure: "--close client, which does not wait for the server".into(),
    })
}

pub(super) fn surplus(facts: &Facts<'_>) -> Option<Finding> {
    let count = facts.counters.surplus;
    (count > 0).then(|| Finding {
        id: "surplus_bytes".into(),
        severity: Severity::Error,
        text: format!(
            "on {count} connections the server sent bytes that no request had asked for; ringshot \
             dropped those connections."
        ),
        cure:
            "look at one response with curl -v: it has a body longer than its Content-Length, or a \
             body after HEAD, 204 or 304"
                .into(),
    })
}

/// Connections that ended with nothing owed, or only what the kernel knows not to have been read.
pub(super) fn closed_idle(facts: &Facts<'_>) -> Option<Finding> {
    let closed = facts.counters.closed_idle;
    (closed > 0).then(|| Finding {
        id: "server_closes_early".into(),
        severity: Severity::Info,
        text: format!(
            "the server closed {} kept connections without announcing it; ringshot sent requests \
             that it had not read on a new connection.",
            count(closed)
        ),
        cure: "raise the server's keep-alive limits (requests per connection, idle time), or use \
               -r with a number below its limit"
            .into(),
    })
}

/// Connections that ended behind requests which the server had.
pub(super) fn lost(facts: &Facts<'_>) -> Option<Finding> {
    let (lost, ended) = (facts.counters.lost, facts.counters.ok + facts.counters.failed);
    (lost > 0).then(|| Finding {
        id: "server_drops_requests".into(),
        severity: Severity::Warning,
        text: format!(
            "the server received {} requests on kept connections and closed without an answer ({} \
             of all that ended). They count as failed (response/eof); ringshot did not send them \
             again.",
            count(lost),
            share(lost as f64 / ended.max(1) as f64)
        ),
        cure: "see the server's log: a handler aborts, a worker crashed or was restarted, or a \
               time limit ran out"
            .into(),
    })
}

/// Answers that state their length in two ways.
pub(super) fn both_framings(facts: &Facts<'_>) -> Option<Finding> {
    let answers = facts.overruled_lengths;
    (answers > 0).then(|| Finding {
        id: "server_both_framings".into(),
        severity: Severity::Warning,
        text: format!(
            "{} had Content-Length beside Transfer-Encoding: chunked. ringshot read the chunks, \
             and closed each of these connections afterwards (RFC 9112, 6.3).",
            counted(answers, "response")
        ),
        cure: "send only one of the two, from the server or the proxy in front of it; other \
               clients refuse such responses, or trust the length"
            .into(),
    })
}

/// Connections that the server ended in the middle of a pipeline, as it had announced.
pub(super) fn cut_short(facts: &Facts<'_>) -> Option<Finding> {
    let Counters { cut_short: cut, cut_short_answers: answers, .. } = *facts.counters;
    let after = answers.checked_div(cut)?;
    let (after, cure) = match answers.is_multiple_of(cut) {
        true if after == 1 => (
            "its first response".to_owned(),
            "-r 1 instead of -p: the server keeps no connections".to_owned(),
        ),
        true => (
            format!("{} responses", count(after)),
            format!(
                "-r {after}; or a higher limit of requests per connection on the server (nginx: \
                 keepalive_requests)"
            ),
        ),
        false => (
            format!("{} responses on average", count(after)),
            "-r with a number below the server's limit of requests per connection; or a higher \
             limit on the server (nginx: keepalive_requests)"
                .to_owned(),
        ),
    };
    Some(Finding {
        id: "pipelines_cut_short".into(),
        severity: Severity::Info,
        text: format!(
            "the server announced the end of {} connections after {after}, with further requests \
             in the pipeline. It processed none of those; ringshot sent them on a new connection.",
            count(cut)
        ),
        cure,
    })
}

/// Failures of ours that a RST caused, and what the kernel knows about its sender.
pub(super) fn resets(facts: &Facts<'_>) -> Option<Finding> {
    let phases = [Phase::Connect, Phase::Send, Phase::Receive];
    let errnos = [libc::ECONNRESET, libc::EPIPE];
    let failed: u64 = phases
        .iter()
        .flat_map(|&phase| errnos.map(|errno| facts.failed(phase, Kind::Errno(errno))))
        .flatten()
        .map(|(failed, _)| failed)
        .sum();
    if failed == 0 {
        return None;
    }
    let (unread, lingering) =
        (facts.kernel.get("TcpExtTCPAbortOnClose"), facts.kernel.get("TcpExtTCPAbortOnData"));
    // A reset of our own (linger 0) is counted as the second one, too.
    let own = facts.policy.close == CloseMode::Rst;
    // A few of either are our own: connections that the end of the time cut off.
    let many = |aborted: u64| aborted * 2 >= failed;
    let (who, cure) = match facts.local {
        true if facts.target.is_none() => (
            "the server closed the unix socket before the request came, or with bytes that it had \
             not read"
                .into(),
            "let the server read the whole request before it closes; see its log and its limits",
        ),
        true if many(unread) && unread >= lingering => (
            format!(
                "the server closed sockets with bytes that it had not read (TCPAbortOnClose {} in \
                 this network namespace), which the kernel turns into a reset",
                count(unread)
            ),
            "let the server read the whole request before it closes; see its log and its limits",
        ),
        true if many(lingering) && !own => (
            format!(
                "the server closed with SO_LINGER 0, or had closed before the request came \
                 (TCPAbortOnData {} in this network namespace)",
                count(lingering)
            ),
            "see the server's log: a crash, a limit on clients or time, or a deliberate reset",
        ),
        true => {
            ("the server sent them".into(), "see the server's log: a crash, or a limit on clients")
        }
        false => (
            "the server, or a device in between, sent them".into(),
            "see the server's log; `tcpdump 'tcp[tcpflags] & tcp-rst != 0'` on both ends shows \
             where they come from",
        ),
    };
    Some(Finding {
        id: "connection_resets".into(),
        severity: Severity::Warning,
        text: format!("{} requests failed with a reset: {who}.", count(failed)),
        cure: cure.into(),
    })
}

const SERVER_CLOSES: &str =
    "--close server, which describes what happens anyway; or a server that keeps connections alive";

/// TIME_WAIT is not where the plan wanted it.
pub(super) fn time_wait_other_side(facts: &Facts<'_>) -> Option<Finding> {
    /// Below this a few closes that crossed could look like a rule.
    const CONNECTIONS_MIN: u64 = 100;
    facts.target?;
    let opened = facts.whole.connections_opened;
    if opened < CONNECTIONS_MIN || facts.policy.requests_per_connection.is_none() {
        return None;
    }
    // A port in rotation is in TIME_WAIT once, however often it was used.
    let expected = opened.min(facts.pairs);
    let unasked = facts.whole.not_closed_by_peer;
    let (text, cure) = match (facts.policy.close, facts.time_wait_entered, facts.time_wait_held) {
        (CloseMode::Client, Some((client, server)), _)
            if facts.local && client < expected / 2 && server >= expected / 2 =>
        {
            (
                format!(
                    "the server closed first, although --close client asked for the opposite: {} \
                     sockets went into TIME_WAIT on its side and {} on this one.",
                    count(server),
                    count(client)
                ),
                SERVER_CLOSES,
            )
        }
        // The server's sockets are not to be seen from here, but ours are missing.
        (CloseMode::Client, Some((client, _)), Some(held))
            if !facts.local && client < expected / 10 && held < expected / 10 =>
        {
            (
                format!(
                    "the server closed first, although --close client asked for the opposite: {} \
                     connections left {} sockets in TIME_WAIT on this side.",
                    count(opened),
                    count(held)
                ),
                SERVER_CLOSES,
            )
        }
        (CloseMode::Server, ..) if unasked > opened / 2 => (
            format!(
                "the server was asked to close and left it to this side: TIME_WAIT of {} \
                 connections is on this side, and holds source ports here.",
                count(unasked)
            ),
            "--close client, with which rotation reuses ports in TIME_WAIT; or --close rst",
        ),
        _ => return None,
    };
    Some(Finding {
        id: "time_wait_other_side".into(),
        severity: Severity::Warning,
        text,
        cure: cure.into(),
    })
}
