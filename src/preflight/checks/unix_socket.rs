//! What limits connections to a unix socket.

use super::{Check, CheckVerdict, Need};
use crate::preflight::host::HostFacts;
use crate::tuning::cure;
use crate::words::quantities::count;

/// Nothing waits in front of a full queue, as a SYN does that is sent again: connect(2) fails.
pub(super) fn backlog(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    // One that is not seen from here may have any.
    let listener = host.listener.filter(|_| need.target().is_none())?;
    let (connections, backlog) = (u64::from(need.load.connections), u64::from(listener.backlog));
    let fits = backlog + 1 >= connections;
    let raise = cure::raise("net.core.somaxconn", Some(host.somaxconn), connections)
        .map_or(String::new(), |raise| format!(" and {raise}"));
    Some(Check {
        knob: "listen backlog",
        current: count(backlog),
        needed: count(connections),
        verdict: if fits { CheckVerdict::Fits } else { CheckVerdict::Limits },
        why: match fits {
            true => "the listen queue has room for every connection at once".into(),
            false => format!(
                "the listen queue of the unix socket holds {} of {} connections: when the server \
                 is late, others fail with connect/EAGAIN",
                count(backlog + 1),
                count(connections)
            ),
        },
        cure: match fits {
            true => String::new(),
            false => {
                format!("listen(fd, {connections}) in the server{raise}; or fewer connections (-c)")
            }
        },
    })
}
