//! What a unix socket does differently from TCP.

use super::Facts;
use crate::engine::failure::{Kind, Phase};
use crate::result::{Finding, Severity};
use crate::tuning::cure;
use crate::words::quantities::count;

/// The server did not accept as fast as connections came: no packet waits then, connect(2) fails.
pub(super) fn accept_queue(facts: &Facts<'_>) -> Option<Finding> {
    let (failed, first_s) = facts
        .failed(Phase::Connect, Kind::Errno(libc::EAGAIN))
        .filter(|_| facts.target.is_none())?;
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
            "the listen queue of the unix socket was full{backlog}, from {first_s:.1} s on: {} \
             requests failed with connect/EAGAIN.",
            count(failed)
        ),
        cure: format!(
            "a server that accepts faster or on more threads; or a longer queue: listen(fd, \
             {wanted}) in the server{longer}; or fewer connections (-c)"
        ),
    })
}
