//! When ringshot itself was the limit, or counts something else than the kernel does.

use super::Facts;
use crate::engine::failure::{Kind, Phase};
use crate::result::{Finding, Generator, Latency, Severity};
use crate::statistics::enough_samples;
use crate::tuning::cure;
use crate::words::quantities::{count, latency_us, share};

/// From this share of a thread's time on, the generator is the limit: a virtual machine's
/// neighbours and the start of the run take the rest.
pub(crate) const SATURATED_RATIO: f64 = 0.92;

/// How much a thread had to do in its worst second, waiting for a CPU included: a mean hides an
/// overload at the end. Documents of earlier versions have but the mean.
pub(crate) fn demand_ratio(generator: &Generator) -> f64 {
    generator.demand_peak_ratio.unwrap_or(0.0).max(generator.busy_ratio)
}

pub(super) fn saturated(facts: &Facts<'_>) -> Option<Finding> {
    let spare = facts.cpus > facts.threads as usize && !facts.bundled;
    let (busy, demand) = (facts.generator.busy_ratio, demand_ratio(&facts.generator));
    let worst = match demand > busy {
        true => format!(" ({} of its worst second, waiting for a CPU included)", share(demand)),
        false => String::new(),
    };
    (demand >= SATURATED_RATIO).then(|| Finding {
        id: "generator_saturated".into(),
        severity: Severity::Warning,
        text: format!(
            "ringshot itself was the limit: a worker thread was busy for {} of the time{worst}. \
             The server may be able to do more, and latencies include waiting for ringshot.",
            share(busy),
        ),
        cure: if spare {
            format!("more threads: -t {} (on CPUs that the server does not use)", facts.cpus)
        } else {
            "more CPUs for ringshot, another machine for the server, or a lower load".into()
        },
    })
}

/// From this lateness of one in a hundred requests on, the schedule was not kept: it is ten times
/// that of a worker with a CPU of its own.
const SLIP_US_MAX: u64 = 1_000;

/// Whether requests began late although a connection was free.
pub(super) fn is_late(slip: &Latency) -> bool {
    slip.p99_us >= Some(SLIP_US_MAX) && enough_samples(slip.count, 99.0)
}

/// Requests began late although a connection was free.
pub(super) fn slip(facts: &Facts<'_>) -> Option<Finding> {
    let slip = &facts.schedule?.slip;
    is_late(slip).then(|| Finding {
        id: "schedule_slip".into(),
        severity: Severity::Warning,
        text: format!(
            "ringshot fell behind its schedule: 1% of the requests started {} or more after they \
             were due, the latest {}, although a connection was free. `total` includes this delay, \
             `service` does not.",
            latency_us(slip.p99_us),
            latency_us(slip.max_us)
        ),
        cure: "CPUs that nothing else uses (--cpus), more threads (-t), or a lower rate".into(),
    })
}

/// The line of due requests was full.
pub(super) fn dropped(facts: &Facts<'_>) -> Option<Finding> {
    let schedule = facts.schedule.filter(|schedule| schedule.dropped > 0)?;
    Some(Finding {
        id: "requests_dropped".into(),
        severity: Severity::Error,
        text: format!(
            "{} of {} due requests were never started: all connections were busy, and the backlog \
             of waiting requests was full. No latency includes them.",
            count(schedule.dropped),
            count(schedule.due)
        ),
        cure: "a lower rate, more connections (-c), or a longer backlog (--backlog)".into(),
    })
}

/// More requests came due than were answered.
pub(super) fn not_kept_up(facts: &Facts<'_>) -> Option<Finding> {
    let schedule = facts.schedule.filter(|schedule| !schedule.kept_up)?;
    let more = schedule.unanswered_after.saturating_sub(schedule.unanswered_before);
    (more > 0).then(|| Finding {
        id: "rate_not_kept".into(),
        severity: Severity::Warning,
        text: format!(
            "requests came due faster than they were answered: {} of {} were unanswered at the \
             end, {} more than at the start. In such a run latencies keep growing for as long as \
             it lasts, and unanswered requests have none.",
            count(schedule.unanswered_after),
            count(schedule.due),
            count(more)
        ),
        cure: "a lower rate; more connections (-c) if the server can take them; `ringshot search` \
               finds the highest rate that it keeps"
            .into(),
    })
}

pub(super) fn overflows(facts: &Facts<'_>) -> Option<Finding> {
    let count = facts.counters.overflows;
    (count > 0).then(|| Finding {
        id: "completion_queue_overflow".into(),
        severity: Severity::Warning,
        text: format!(
            "ringshot's completion queue was full {count} times: it saw completions late, and the \
             latencies of this run are too long by that much."
        ),
        cure: "more threads (-t), or fewer connections (-c)".into(),
    })
}

/// The run went over epoll for want of a ring.
pub(super) fn no_ring(facts: &Facts<'_>) -> Option<Finding> {
    facts.no_ring.map(|no_ring| Finding {
        id: "io_uring_unavailable".into(),
        severity: Severity::Warning,
        text: format!(
            "this run used epoll, which takes more CPU per request; io_uring cannot be used here: \
             {}.",
            no_ring.what()
        ),
        cure: no_ring.cure().into(),
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
            "this process ran out of file descriptors (EMFILE)",
            format!(
                "a limit above the {} at the start, and no program that lowers it during the run: \
                 `ulimit -Hn {}`; or fewer connections (-c)",
                count(facts.host.descriptors),
                2 * facts.host.descriptors.max(1024)
            ),
        ),
        None => (
            "the system ran out of file descriptors (ENFILE)",
            cure::raise("fs.file-max", Some(most), 2 * most.max(open))
                .unwrap_or("fewer connections (-c)".into()),
        ),
    };
    Some(Finding {
        id: "descriptors_exhausted".into(),
        severity: Severity::Error,
        text: format!("{what}, from {first_s:.1} s on: {} requests failed.", count(failed)),
        cure,
    })
}

/// The kernel counts the connections that this namespace opens, independently of us.
pub(super) fn other_connections(facts: &Facts<'_>) -> Option<Finding> {
    facts.target?;
    let kernel = facts.active_opens?;
    let ours = facts.whole.connections_opened;
    if kernel < ours {
        return Some(Finding {
            id: "connections_miscounted".into(),
            severity: Severity::Error,
            text: format!(
                "ringshot counted {} connections, and the kernel only {} (TcpActiveOpens): the \
                 counts of this run cannot be trusted.",
                count(ours),
                count(kernel)
            ),
            cure: "report this as a bug, with the --json document".into(),
        });
    }
    // Attempts that failed, or were under way at the end, may have sent a SYN or not.
    let under_way = facts.whole.in_flight().min(facts.connections.into());
    let possible = ours + facts.whole.connections_failed + under_way;
    (kernel > possible).then(|| Finding {
        id: "other_connections".into(),
        severity: Severity::Info,
        text: format!(
            "other processes opened at least {} connections in this network namespace during the \
             run (the kernel counted {}, ringshot {}): the kernel's counters include theirs.",
            count(kernel - possible),
            count(kernel),
            count(ours)
        ),
        cure: "`ss -tnp` shows which; for a clean measurement stop them, or run both ends in a \
               namespace of their own: `ip netns add shot; ip -n shot link set lo up; ip netns \
               exec shot ringshot`"
            .into(),
    })
}
