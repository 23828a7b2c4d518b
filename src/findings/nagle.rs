//! The 40 ms that a small answer takes when two sensible things meet.
//!
//! ```text
//!   server   write(head) ──► head            write(body): held back while the head is not
//!                              │             acknowledged (Nagle's algorithm, without TCP_NODELAY)
//!   here                       └── 40 ms: an ACK that may travel with the next request is delayed
//!                                    └──► ACK ──► body
//! ```
//!
//! A server that itself needs that long between the pieces also delays our acknowledgements, so the
//! counter alone is no proof. But a fresh connection acknowledges its first segments at once
//! (`TCP_MAX_QUICKACKS`): with Nagle's algorithm exactly these answers are fast.

use super::Facts;
use crate::result::{Finding, Severity};
use crate::statistics::percentile_us;
use crate::words::quantities::{count, latency_us};
use std::ops::RangeInclusive;

/// The time between first and last byte: the kernel delays for 40 ms (`TCP_DELACK_MIN`) and up to
/// one of its ticks, a busy machine for a little longer.
const BETWEEN_US: RangeInclusive<u64> = 35_000..=60_000;

/// Faster answers have not waited for a delayed acknowledgement.
const FAST_US: u64 = 20_000;

/// How many segments of a fresh connection the kernel acknowledges at once, at most.
const QUICK_MAX: u64 = 16;

/// Of larger answers the parts may wait for many things.
const SMALL_BYTES: u64 = 64 << 10;

/// The second piece of small answers waits for the acknowledgement of the first.
pub(super) fn delayed(facts: &Facts<'_>) -> Option<Finding> {
    facts.target?;
    let p50_us = |histogram| percentile_us(histogram, 50.0);
    let (first_us, last_us) = (p50_us(facts.first_byte)?, p50_us(facts.service)?);
    let answers = facts.service.len();
    let delayed = facts.kernel.get("TcpExtDelayedACKs");
    let opened = facts.whole.connections_opened;
    let fast: u64 = [Some(facts.service), facts.warm_service]
        .into_iter()
        .flatten()
        .map(|histogram| histogram.count_between(0, FAST_US))
        .sum();
    let waits = BETWEEN_US.contains(&last_us.saturating_sub(first_us)) && delayed >= answers / 2;
    let is_small = facts.counters.bytes_read <= answers.saturating_mul(SMALL_BYTES);
    let only_first_are_fast = fast >= opened.div_ceil(2) && fast <= opened * QUICK_MAX;
    (waits && is_small && only_first_are_fast).then(|| Finding {
        id: "nagle_delay".into(),
        severity: Severity::Warning,
        text: format!(
            "the server writes the answer in two pieces with Nagle's algorithm on. It holds the \
             second piece back until the first is acknowledged, and the kernel of this machine \
             delays that by 40 ms. The first byte came after {}, the last one after {} (p50), and \
             {} acknowledgements were delayed for {} answers (DelayedACKs).",
            latency_us(Some(first_us)),
            latency_us(Some(last_us)),
            count(delayed),
            count(answers)
        ),
        cure: "TCP_NODELAY on the server's connections, or head and body in one write".into(),
    })
}
