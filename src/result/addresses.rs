//! The addresses of the target, and which of them the load went to.

use crate::engine::run::answer::AddressAnswer;
use crate::engine::run::{Load, Measured};
use crate::engine::tally::{Loss, Tally};
use crate::kernel::Address;
use crate::statistics::rounded;
use crate::words::Word;
use crate::words::quantities::{count, counted};
use crate::words::text::escape;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// More addresses than this are summed up.
const LISTED_MAX: usize = 8;

/// One address of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetAddress {
    /// `ip:port`, or `unix:` and the path of a unix socket.
    pub address: String,
    /// What it answered before the run: `accepts`, `timeout` or the name of an errno; null when it was
    /// not asked, as a single address is not, nor one behind the first that accepts.
    pub before: Option<Word>,
    /// Connections established to it, those of the warm-up included.
    pub opened: u64,
    /// Attempts at one that failed; likewise.
    pub failed: u64,
    /// When it accepted no more and others took its connections, in seconds after the start; null when
    /// it did not come to that.
    pub lost_s: Option<f64>,
    /// Why, as `phase/kind`; likewise.
    pub lost_by: Option<String>,
}

/// All of them, in the order in which they are tried.
pub fn addresses(load: &Load, measured: &Measured) -> Vec<TargetAddress> {
    let tallies: Vec<&Tally> =
        [Some(&measured.tally), measured.warmup.as_ref().map(|(tally, _)| tally)]
            .into_iter()
            .flatten()
            .collect();
    let of = |(number, (address, &answer)): (usize, (&Address, &AddressAnswer))| {
        let sum = |counts: fn(&Tally) -> &[u64]| tallies.iter().map(|t| counts(t)[number]).sum();
        let losses = tallies.iter().filter_map(|tally| tally.lost_by_address[number]);
        let loss = losses.min_by_key(|loss| loss.at_ns);
        let seconds =
            |loss: Loss| rounded(loss.at_ns.saturating_sub(measured.begin_ns) as f64 / 1e9, 3);
        TargetAddress {
            address: address.to_string(),
            before: answer.word().map(Word::from),
            opened: sum(|tally| &tally.opened_by_address),
            failed: sum(|tally| &tally.failed_by_address),
            lost_s: loss.map(seconds),
            lost_by: loss.map(|loss| loss.failure.to_string()),
        }
    };
    load.addresses.iter().zip(&load.answers).enumerate().map(of).collect()
}

/// Which of several addresses the load went to, as a sentence without an end; `None` of one.
pub fn addresses_used(addresses: &[TargetAddress]) -> Option<String> {
    let all = addresses.len();
    if all < 2 {
        return None;
    }
    let used: Vec<&TargetAddress> = addresses.iter().filter(|one| one.opened > 0).collect();
    let rest = match all - used.len() {
        0 => String::new(),
        1 => "; the other gets nothing".to_owned(),
        _ => "; the others get nothing".to_owned(),
    };
    Some(match used.as_slice() {
        [] => format!("none of {all} addresses accepted a connection"),
        [one] => format!("1 of {all} addresses: {}{rest}", ip(&one.address)),
        many => {
            let of = |one: &&TargetAddress| {
                format!("{} took {}", ip(&one.address), counted(one.opened, "connection"))
            };
            let mut listed: Vec<String> = many.iter().take(LISTED_MAX).map(of).collect();
            if many.len() > LISTED_MAX {
                let more = many[LISTED_MAX..].iter().map(|one| one.opened);
                let more = more.fold(0, u64::saturating_add);
                listed.push(format!("the other {} {}", many.len() - LISTED_MAX, count(more)));
            }
            let how_many = match all == used.len() {
                true => format!("all {all}"),
                false => format!("{} of {all}", used.len()),
            };
            format!("{how_many} addresses: {}{rest}", listed.join(", "))
        }
    })
}

/// Without the port, which all of them share.
fn ip(address: &str) -> String {
    let ip = address.parse::<SocketAddr>().map(|address| address.ip().to_string());
    ip.unwrap_or_else(|_| escape(address))
}

/// Those of several boxes together: each resolved the name for itself.
pub(crate) fn merged<'a>(all: impl Iterator<Item = &'a TargetAddress>) -> Vec<TargetAddress> {
    let mut merged: Vec<TargetAddress> = Vec::new();
    for more in all {
        let Some(known) = merged.iter_mut().find(|known| known.address == more.address) else {
            merged.push(more.clone());
            continue;
        };
        known.opened = known.opened.saturating_add(more.opened);
        known.failed = known.failed.saturating_add(more.failed);
        if known.before != more.before {
            known.before = None;
        }
        let is_first = match (known.lost_s, more.lost_s) {
            (Some(known), Some(more)) => more < known,
            (known, _) => known.is_none(),
        };
        if is_first {
            (known.lost_s, known.lost_by) = (more.lost_s, more.lost_by.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(last: u8, opened: u64) -> TargetAddress {
        let address = format!("10.9.0.{last}:80");
        TargetAddress { address, opened, ..TargetAddress::default() }
    }

    #[test]
    fn it_is_said_which_addresses_got_the_load() {
        for (opened, text) in [
            (&[7][..], None),
            (&[0, 0], Some("none of 2 addresses accepted a connection")),
            (&[0, 7], Some("1 of 2 addresses: 10.9.0.1; the other gets nothing")),
            (&[7, 0, 0], Some("1 of 3 addresses: 10.9.0.0; the others get nothing")),
            (
                &[1, 7000, 0],
                Some(
                    "2 of 3 addresses: 10.9.0.0 took 1 connection, 10.9.0.1 took 7,000 \
                     connections; the other gets nothing",
                ),
            ),
            (
                &[7, 7],
                Some("all 2 addresses: 10.9.0.0 took 7 connections, 10.9.0.1 took 7 connections"),
            ),
        ] {
            let all: Vec<_> = (0..).zip(opened).map(|(last, &opened)| one(last, opened)).collect();
            assert_eq!(addresses_used(&all).as_deref(), text);
        }
        let many: Vec<_> = (0..20).map(|last| one(last, 2)).collect();
        assert!(
            addresses_used(&many)
                .unwrap()
                .ends_with("10.9.0.7 took 2 connections, the other 12 24")
        );
    }

    #[test]
    fn several_boxes_add_up_by_address() {
        let lost = TargetAddress {
            lost_s: Some(2.0),
            lost_by: Some("connect/timeout".into()),
            ..one(1, 5)
        };
        let merged = merged([&one(1, 2), &one(2, 3), &lost].into_iter());
        assert_eq!(merged.iter().map(|one| one.opened).collect::<Vec<_>>(), [7, 3]);
        assert_eq!((merged[0].lost_s, merged[1].lost_s), (Some(2.0), None));
    }
}
