//! Numbers become sentences with a cure. A clean run has none.

use crate::failure::{Failure, Kind, Phase};
use crate::tally::Counters;
use serde::Serialize;

/// From this share of a thread's time on, the generator is the limit: what is missing to one is
/// what a virtual machine's neighbours and the start of the run take.
pub const SATURATED_RATIO: f64 = 0.92;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The result is not what it seems.
    Error,
    /// Something held the run back, or will.
    Warning,
    /// Good to know.
    Info,
}

/// A sentence with a cure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable name.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub cure: String,
}

/// What findings are made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The counts of the whole run.
    pub counters: &'a Counters,
    /// CPU time over wall time of the busiest worker thread.
    pub busy_ratio: f64,
    /// How many worker threads there were.
    pub threads: u32,
    /// How many processors this process may use.
    pub cpus: usize,
    /// Whether the server runs inside this process.
    pub bundled: bool,
}

/// All that is worth saying, worst first.
pub fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        [overflows(facts), saturated(facts), not_closed(facts), surplus(facts), closed_idle(facts)]
            .into_iter()
            .flatten()
            .collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn saturated(facts: &Facts<'_>) -> Option<Finding> {
    let spare = facts.cpus > facts.threads as usize && !facts.bundled;
    (facts.busy_ratio >= SATURATED_RATIO).then(|| Finding {
        id: "generator_saturated",
        severity: Severity::Warning,
        text: format!(
            "ringshot itself was the limit: a worker thread was busy {:.0}% of the time. The \
             server may be able to do more, and latencies include waiting for the generator.",
            facts.busy_ratio * 100.0
        ),
        cure: if spare {
            format!("more threads: -t {} (on CPUs that the server does not use)", facts.cpus)
        } else {
            "more CPUs for ringshot, another box for the server, or a lower load".into()
        },
    })
}

fn overflows(facts: &Facts<'_>) -> Option<Finding> {
    let count = facts.counters.overflows;
    (count > 0).then(|| Finding {
        id: "completion_queue_overflow",
        severity: Severity::Warning,
        text: format!(
            "ringshot's completion queue was full {count} times: completions were seen late, and \
             the latencies of this run are too long by that."
        ),
        cure: "more threads (-t), or fewer connections (-c)".into(),
    })
}

fn not_closed(facts: &Facts<'_>) -> Option<Finding> {
    let count = facts.counters.not_closed_by_peer;
    (count > 0).then(|| Finding {
        id: "server_ignores_close",
        severity: Severity::Warning,
        text: format!(
            "the server was asked to close after its response and did not, on {count} of {} \
             connections: each slot waited 200 ms for it, then closed itself.",
            facts.counters.connections_opened
        ),
        cure: "--close client, which does not wait for the server".into(),
    })
}

fn surplus(facts: &Facts<'_>) -> Option<Finding> {
    let count = facts.counters.surplus;
    (count > 0).then(|| Finding {
        id: "surplus_bytes",
        severity: Severity::Error,
        text: format!(
            "on {count} connections the server sent bytes that no request had asked for; those \
             connections were dropped."
        ),
        cure: "look at one response with curl -v: a body longer than its Content-Length, or a \
               body after HEAD, 204 or 304"
            .into(),
    })
}

fn closed_idle(facts: &Facts<'_>) -> Option<Finding> {
    let count = facts.counters.closed_idle;
    (count > 0).then(|| Finding {
        id: "server_closes_early",
        severity: Severity::Info,
        text: format!(
            "the server closed {count} kept connections without saying so beforehand; a request \
             that crossed its FIN was sent once more, on a new connection."
        ),
        cure: "the server's keep-alive limits (requests per connection, idle time), or -r with a \
               number below its limit"
            .into(),
    })
}

/// What to do about a failure; one line, for the table of errors.
pub fn advice(failure: Failure) -> &'static str {
    use Kind::{Body, Eof, Errno, Malformed, Status, Timeout, TooLarge};
    match (failure.phase, failure.kind) {
        (Phase::Connect, Errno(libc::ECONNREFUSED)) => {
            "nobody listens there: is the server running, on this address and port?"
        }
        (Phase::Connect | Phase::Bind, Errno(libc::EADDRNOTAVAIL)) => {
            "no source port is free for this target: --close server or rst, more source addresses"
        }
        (Phase::Connect, Errno(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
            "no route to this address: check `ip route get ADDRESS` and firewalls"
        }
        (Phase::Connect, Errno(libc::ETIMEDOUT) | Timeout) => {
            "no answer to the SYN: wrong address, a firewall, or a full accept queue \
             (`nstat -az TcpExtListenOverflows`)"
        }
        (Phase::Connect, Errno(libc::ECONNRESET)) => {
            "the server reset the handshake: a full accept queue with tcp_abort_on_overflow, \
             or a proxy in between"
        }
        (Phase::Connect, Errno(libc::EACCES | libc::EPERM)) => {
            "a local firewall or security module forbids it"
        }
        (Phase::Socket, Errno(libc::EMFILE | libc::ENFILE)) => {
            "out of descriptors: ulimit -n, sysctl fs.file-max"
        }
        (Phase::Socket, Errno(libc::ENOBUFS | libc::ENOMEM)) => {
            "out of kernel memory for sockets: fewer connections, sysctl net.ipv4.tcp_mem"
        }
        (Phase::Socket, Errno(libc::EAFNOSUPPORT)) => {
            "this address family is switched off here: use an address of the other one"
        }
        (Phase::Send, Errno(libc::EPIPE | libc::ECONNRESET)) => {
            "the server closed before it had read the request: its log, limits on the request"
        }
        (Phase::Receive, Errno(libc::ECONNRESET)) => {
            "the server reset the connection: it crashed, ran out of workers, or limits clients"
        }
        (Phase::Response, Eof) => {
            "the server closed before the response was whole: its log, its own time limits"
        }
        (_, Timeout) => "no whole response in time: the server is overloaded or stuck; --timeout",
        (_, Malformed) => "not an HTTP/1.1 response: is this the right port? try curl -v",
        (_, TooLarge) => "a head or line of the response is larger than 64 KiB",
        (_, Status) => "status outside 200-399: check the URL, the method and the headers",
        (_, Body) => "the body is not the one that was expected",
        (_, Eof) => "the server closed the connection",
        (_, Errno(_)) => "see `man 2 connect`, `man 7 tcp` for this errno",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(counters: &Counters) -> Facts<'_> {
        Facts { counters, busy_ratio: 0.5, threads: 1, cpus: 2, bundled: false }
    }

    #[test]
    fn a_clean_run_has_none() {
        assert_eq!(find(&facts(&Counters::default())), []);
    }

    #[test]
    fn the_worst_comes_first() {
        let counters =
            Counters { surplus: 1, closed_idle: 1, not_closed_by_peer: 3, ..Counters::default() };
        let ids: Vec<_> = find(&facts(&counters)).iter().map(|finding| finding.id).collect();
        assert_eq!(ids, ["surplus_bytes", "server_ignores_close", "server_closes_early"]);
    }

    #[test]
    fn a_busy_thread_is_the_limit() {
        let counters = Counters::default();
        let found = find(&Facts { busy_ratio: 0.97, ..facts(&counters) });
        assert_eq!(found[0].id, "generator_saturated");
        assert!(found[0].cure.contains("-t 2"));
    }
}
