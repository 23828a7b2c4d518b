//! When ringshot itself was the limit, or counts something else than the kernel does.

use super::{Facts, Finding, Severity};
use crate::failure::{Kind, Phase};
use crate::report::console::format::count;
use crate::tuning::cure;

/// From this share of a thread's time on, the generator is the limit: what is missing to one is
/// what a virtual machine's neighbours and the start of the run take.
pub const SATURATED_RATIO: f64 = 0.92;

pub(super) fn saturated(facts: &Facts<'_>) -> Option<Finding> {
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

pub(super) fn overflows(facts: &Facts<'_>) -> Option<Finding> {
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

/// Out of descriptors in the middle of a run: the plan was checked against the limit before it.
pub(super) fn descriptors(facts: &Facts<'_>) -> Option<Finding> {
    let of = |errno| facts.failed(Phase::Socket, Kind::Errno(errno));
    let (process, system) = (of(libc::EMFILE), of(libc::ENFILE));
    let (failed, first_s) = process.or(system)?;
    let (open, most) = facts.host.files.unwrap_or_default();
    let (what, cure) = match process {
        Some(_) => (
            "the file descriptors of this process ran out (EMFILE)",
            format!(
                "a higher limit than the {} of the start, and nobody who lowers it in the run: \
                 `ulimit -Hn {}`; or fewer connections (-c)",
                count(facts.host.descriptors),
                2 * facts.host.descriptors.max(1024)
            ),
        ),
        None => (
            "the files of the whole system ran out (ENFILE)",
            cure::raise("fs.file-max", Some(most), 2 * most.max(open))
                .unwrap_or("fewer connections (-c)".into()),
        ),
    };
    Some(Finding {
        id: "descriptors_exhausted",
        severity: Severity::Error,
        text: format!("{what}, from {first_s:.1} s on: {} requests failed.", count(failed)),
        cure,
    })
}

/// The kernel counts the connections that this namespace opens, independently of us.
pub(super) fn other_connections(facts: &Facts<'_>) -> Option<Finding> {
    let kernel = *facts.kernel.0.get("TcpActiveOpens")?;
    let ours = facts.counters.connections_opened;
    if kernel < ours {
        return Some(Finding {
            id: "connections_miscounted",
            severity: Severity::Error,
            text: format!(
                "ringshot counts {} connections and the kernel only {} (TcpActiveOpens): the \
                 counts of this run cannot be trusted.",
                count(ours),
                count(kernel)
            ),
            cure: "report this, with the --json document".into(),
        });
    }
    // Attempts that failed, or were under way at the end, may have sent a SYN or not.
    let under_way = facts.counters.in_flight().min(facts.connections.into());
    let possible = ours + facts.counters.connections_failed + under_way;
    (kernel > possible).then(|| Finding {
        id: "other_connections",
        severity: Severity::Info,
        text: format!(
            "other processes opened at least {} connections in this network namespace meanwhile \
             (the kernel counts {}, ringshot {}): the kernel's counters include theirs.",
            count(kernel - possible),
            count(kernel),
            count(ours)
        ),
        cure: "`ss -tnp` shows who; for a clean measurement stop them, or run both ends in a \
               namespace of their own: `ip netns add shot; ip -n shot link set lo up; ip netns \
               exec shot ringshot`"
            .into(),
    })
}
