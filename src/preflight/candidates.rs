//! Which of a name's addresses accept a connection, found before the clock starts.
//!
//! ```text
//!   [fd77::1]   ├───────────────────── silent
//!   10.9.0.1        ├─ refuses
//!   10.9.0.2          ├── accepts: the run begins there
//!               0   250 ms
//! ```
//!
//! The order is the resolver's, with the families taking turns. The next address is tried after 250
//! ms, or as soon as one has failed, as RFC 8305 asks of clients. If all addresses are to be used,
//! all are tried at once. These connections carry nothing, are closed at once, and count nowhere.
//! With a single address there are none.

mod knock;
#[cfg(test)]
mod tests;

use crate::engine::connection::Route;
use crate::engine::run::Load;
use crate::engine::run::answer::AddressAnswer;
use crate::kernel::Address;
use crate::plan::AddressChoice;
use crate::words::quantities::seconds;
use knock::Knocks;
use std::net::SocketAddr;
use std::time::Duration;

/// After this time without an answer the next address is tried, too (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How long the last one that was tried has for its answer: by then the kernel has sent its SYN
/// again, after 1 s and after 3.
const PATIENCE: Duration = Duration::from_millis(3500);

/// Connections on trial, and the clock.
trait Attempts {
    /// The time since the first attempt.
    fn now(&self) -> Duration;

    /// Starts a connection to an address.
    fn begin(&mut self, number: usize);

    /// Waits until some of them have ended, or until this time. Returns those that ended, with an
    /// errno if they failed.
    fn wait(&mut self, until: Duration) -> Vec<(usize, Result<(), i32>)>;
}

/// Addresses of both families take turns, starting with that of the first one (RFC 8305, section
/// 4). The order within a family is the resolver's.
pub(super) fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (same, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let pairs = std::iter::from_fn(|| match (same.next(), other.next()) {
        (None, None) => None,
        pair => Some([pair.0, pair.1]),
    });
    pairs.flatten().flatten().collect()
}

/// Tries the addresses of a load from where its connections will come, and decides for a route.
pub(crate) fn find(load: &mut Load, choice: AddressChoice) {
    // Of a unix socket there is one.
    let inet = Address::all_inet(&load.addresses);
    if inet.len() > 1 {
        let patience = PATIENCE.min(Duration::from_nanos(load.policy.timeout_ns));
        let mut knocks = Knocks::new(&inet, &load.ports);
        load.answers = race(inet.len(), choice, patience, &mut knocks);
    }
    load.route = route(&load.answers, choice);
}

/// Where the load goes as long as all is well: to one address, or to several in turn.
pub(crate) fn in_use(load: &Load) -> Vec<Address> {
    let accepts = |&(_, answer): &(&Address, &AddressAnswer)| *answer == AddressAnswer::Accepts;
    let accepting = load.addresses.iter().zip(&load.answers).filter(accepts);
    let used: Vec<Address> = accepting.map(|(address, _)| address.clone()).collect();
    match used.first() {
        None => load.addresses.clone(),
        Some(first) if !load.route.is_spread() => vec![first.clone()],
        Some(_) => used,
    }
}

/// When none of several addresses accepts: what each of them answered.
pub(crate) fn none_accepts(load: &Load) -> Option<String> {
    let answers = || load.addresses.iter().zip(&load.answers);
    if !answers().all(|(_, answer)| answer.is_no()) {
        return None;
    }
    let each = answers().map(|(address, answer)| match *answer {
        AddressAnswer::Silent(waited) => {
            format!("{address} did not answer for {}", seconds(waited.as_secs_f64()))
        }
        answer => format!("{address} {}", answer.word().unwrap_or_default()),
    });
    let each: Vec<String> = each.collect();
    Some(format!("no address of the target accepts a connection: {}", each.join(", ")))
}

/// What the addresses answer, the first that accepts or all of them.
fn race(
    all: usize,
    choice: AddressChoice,
    patience: Duration,
    attempts: &mut impl Attempts,
) -> Vec<AddressAnswer> {
    let mut answers = vec![AddressAnswer::Unasked; all];
    let mut begun: Vec<Option<Duration>> = vec![None; all];
    let mut next = 0;
    let mut end = patience;
    // Whether the next one need not wait for any other.
    let mut free = true;
    loop {
        let now = attempts.now();
        let waited = begun.iter().flatten().max().is_none_or(|&last| now >= last + HEAD_START);
        if next < all && (free || waited || choice == AddressChoice::All) {
            attempts.begin(next);
            begun[next] = Some(now);
            (free, next, end) = (false, next + 1, now + patience);
            continue;
        }
        let waits = |at: usize| begun[at].is_some() && answers[at] == AddressAnswer::Unasked;
        let is_over = now >= end || (next == all && !(0..all).any(waits));
        let found = answers.contains(&AddressAnswer::Accepts);
        if is_over || (found && choice == AddressChoice::First) {
            break;
        }
        let head_start = begun.iter().flatten().max().map_or(end, |&last| last + HEAD_START);
        let until = if next < all { head_start } else { end };
        for (number, result) in attempts.wait(until) {
            answers[number] = match result {
                Ok(()) => AddressAnswer::Accepts,
                Err(errno) => AddressAnswer::Fails(errno),
            };
            free |= result.is_err();
        }
    }
    let now = attempts.now();
    for (answer, begun) in answers.iter_mut().zip(begun) {
        let waited = begun.map(|begun| now - begun).filter(|_| *answer == AddressAnswer::Unasked);
        if let Some(waited) = waited.filter(|&waited| waited >= HEAD_START.min(patience)) {
            *answer = AddressAnswer::Silent(waited);
        }
    }
    answers
}

/// Where connections go. If no address accepts, the run tries them all, and counts the outcome.
fn route(answers: &[AddressAnswer], choice: AddressChoice) -> Route {
    let route = Route::new(answers.len());
    let route = if choice == AddressChoice::All { route.spread() } else { route };
    let accepts = |answer: &AddressAnswer| *answer == AddressAnswer::Accepts;
    match answers.iter().position(accepts) {
        None => route,
        Some(first) => (0..answers.len())
            .filter(|&at| answers[at].is_no())
            .fold(route.starting_at(first), Route::without),
    }
}
