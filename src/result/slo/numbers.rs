//! The limits of a run against its numbers, of one run or of several that are merged.

use super::{Numbers, TimedOut};
use crate::result::{Error, Requests, ScheduleSummary};
use hdrhistogram::Histogram;

/// The latencies that limits can be about; see [`Numbers`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded<'a> {
    pub(crate) connect: &'a Histogram<u64>,
    pub(crate) first_byte: &'a Histogram<u64>,
    pub(crate) service: &'a Histogram<u64>,
    pub(crate) total: &'a Histogram<u64>,
    pub(crate) uncorrected: Option<&'a Histogram<u64>>,
}

/// What limits are checked against, but for the rates.
pub(crate) fn numbers<'a>(
    recorded: Recorded<'a>,
    requests: &Requests,
    schedule: Option<&ScheduleSummary>,
    errors: &[Error],
) -> Numbers<'a> {
    let Recorded { connect, first_byte, service, total, uncorrected } = recorded;
    let behind = schedule.filter(|schedule| !schedule.kept_up);
    // Such an answer left its first byte, and nothing else.
    let answering = first_byte.len().saturating_sub(service.len());
    Numbers {
        connect,
        first_byte,
        service,
        total,
        uncorrected,
        ok: requests.ok,
        failed: requests.failed,
        dropped: schedule.map_or(0, |schedule| schedule.dropped),
        // Of a run that kept up, or has no schedule, those that an answer would have reached by then.
        unanswered: behind.map_or(requests.overdue, |schedule| {
            schedule.unanswered_after.saturating_sub(schedule.unanswered_before)
        }),
        timed_out: timed_out(errors, answering),
        requests_per_s: None,
        connections_per_s: None,
    }
}

/// The failures of requests whose time was over, be it by the plan's clock or by the kernel's. What
/// was refused, reset or cut off was told so, and took no longer than that.
fn timed_out(errors: &[Error], answering: u64) -> TimedOut {
    let late = errors.iter().filter(|error| ["timeout", "ETIMEDOUT"].contains(&&*error.kind));
    let sum = |handed_over: bool| {
        let is_there = |error: &&Error| is_behind_connecting(&error.phase) == handed_over;
        late.clone().filter(is_there).fold(0, |sum: u64, error| sum.saturating_add(error.count))
    };
    let handed_over = sum(true);
    let answering = answering.min(handed_over);
    TimedOut { connecting: sum(false), waiting: handed_over - answering, answering }
}

/// Whether a request that failed in this phase had been handed over.
fn is_behind_connecting(phase: &str) -> bool {
    ["send", "receive", "response", "verify"].contains(&phase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::latency_histogram;

    /// Failures of one kind.
    fn error(phase: &'static str, kind: &str, count: u64) -> Error {
        let (first_s, last_s) = (0.1, 0.2);
        let (phase, kind) = (phase.into(), kind.to_owned());
        Error { phase, kind, count, first_s, last_s, advice: String::new(), detail: None }
    }

    #[test]
    fn who_ran_out_of_time_is_told_by_phase_and_kind() {
        let errors = [
            error("connect", "timeout", 1),
            error("connect", "ETIMEDOUT", 2),
            error("connect", "ECONNREFUSED", 1000),
            error("send", "timeout", 4),
            error("receive", "ETIMEDOUT", 8),
            error("response", "timeout", 16),
            error("response", "eof", 1000),
            error("verify", "status", 1000),
        ];
        let expected = TimedOut { connecting: 3, waiting: 28, answering: 0 };
        assert_eq!(timed_out(&errors, 0), expected);
        let expected = TimedOut { waiting: 23, answering: 5, ..expected };
        assert_eq!(timed_out(&errors, 5), expected);
        assert_eq!(timed_out(&errors[..3], 5).answering, 0);
    }

    #[test]
    fn nothing_is_counted_twice() {
        let schedule = |kept_up| ScheduleSummary {
            due: 100,
            dropped: 40,
            waiting: 10,
            waited: 0,
            unanswered_before: 2,
            unanswered_after: 12,
            kept_up,
            slip: crate::result::Latency::of(&latency_histogram()),
        };
        let empty = latency_histogram();
        let recorded = Recorded {
            connect: &empty,
            first_byte: &empty,
            service: &empty,
            total: &empty,
            uncorrected: None,
        };
        let requests =
            Requests { started: 50, ok: 30, failed: 18, in_flight: 2, resent: 0, overdue: 0 };
        let errors = [error("response", "timeout", 18)];
        for (kept_up, unanswered) in [(true, 0), (false, 10)] {
            let numbers = numbers(recorded, &requests, Some(&schedule(kept_up)), &errors);
            assert_eq!((numbers.dropped, numbers.unanswered), (40, unanswered));
            assert_eq!((numbers.failed, numbers.timed_out.waiting), (18, 18));
        }
    }
}
