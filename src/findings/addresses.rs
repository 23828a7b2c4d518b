//! Addresses of the target that did not answer, before the run or in it.

use super::Facts;
use crate::engine::run::answer::AddressAnswer;
use crate::result::{Finding, Severity, TargetAddress};
use crate::words::quantities::{count, counted, seconds};
use std::net::SocketAddr;

/// Addresses that did not accept before the run, while another one did.
pub(super) fn unanswered(facts: &Facts<'_>) -> Option<Finding> {
    let answers = || facts.addresses.iter().zip(facts.answers);
    if !answers().any(|(_, answer)| *answer == AddressAnswer::Accepts) {
        return None;
    }
    // A machine without a route to this address family loses nothing by it.
    let is_named = |answer: AddressAnswer| match answer {
        AddressAnswer::Fails(libc::ENETUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => {
            facts.spreads
        }
        answer => answer.is_no(),
    };
    let named: Vec<String> = answers()
        .filter(|(_, answer)| is_named(**answer))
        .map(|(one, answer)| match *answer {
            AddressAnswer::Silent(waited) => {
                format!("{} did not answer for {}", one.address, seconds(waited.as_secs_f64()))
            }
            answer => {
                let word = answer.word().unwrap_or_default();
                format!("{} did not accept a connection ({word})", one.address)
            }
        })
        .collect();
    let is_silent = answers().any(|(_, answer)| matches!(answer, AddressAnswer::Silent(_)));
    // A client that goes on at once, as nearly all do, does not feel a refusal.
    let severity = if is_silent || facts.spreads { Severity::Warning } else { Severity::Info };
    let it = if named.len() == 1 { "it gets" } else { "they get" };
    (!named.is_empty()).then(|| Finding {
        id: "address_unanswered".into(),
        severity,
        text: format!(
            "before the run {}; {it} no connection. No number includes this time.",
            named.join(", ")
        ),
        cure: "start a server there or open the way to it, or remove this address from the name: \
               clients that try one address after the other wait for it. An address in the URL \
               leaves the others out"
            .into(),
    })
}

/// Addresses that accepted no more in the run, while another one did.
pub(super) fn lost(facts: &Facts<'_>) -> Option<Finding> {
    let lost: Vec<&TargetAddress> =
        facts.addresses.iter().filter(|one| one.lost_s.is_some()).collect();
    let others: Vec<&str> = facts
        .addresses
        .iter()
        .filter(|one| one.opened > 0 && one.lost_s.is_none())
        .map(|one| one.address.as_str())
        .collect();
    if lost.is_empty() || others.is_empty() {
        return None;
    }
    let texts: Vec<String> = lost
        .iter()
        .map(|one| {
            format!(
                "{} stopped accepting connections after {} ({}; {} failed in all)",
                one.address,
                seconds(one.lost_s.unwrap_or_default()),
                one.lost_by.as_deref().unwrap_or_default(),
                counted(one.failed, "attempt")
            )
        })
        .collect();
    let took: u64 = facts.addresses.iter().map(|one| one.opened).sum();
    Some(Finding {
        id: "address_lost".into(),
        severity: Severity::Warning,
        text: format!(
            "{}; the load went on at {}: the {} connections of this run went to several addresses.",
            texts.join(", "),
            others.join(", "),
            count(took)
        ),
        cure: format!(
            "see the log of the server at {}; an address in the URL keeps a run at that address",
            lost[0]
                .address
                .parse::<SocketAddr>()
                .map_or_else(|_| lost[0].address.clone(), |address| address.ip().to_string())
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Run;
    use super::*;
    use std::time::Duration;

    fn address(ip: &str, opened: u64) -> TargetAddress {
        TargetAddress { address: format!("{ip}:80"), opened, ..TargetAddress::default() }
    }

    fn found(
        rule: fn(&Facts<'_>) -> Option<Finding>,
        addresses: &[TargetAddress],
        answers: &[AddressAnswer],
        spreads: bool,
    ) -> Option<Finding> {
        let run = Run::clean();
        rule(&Facts { addresses, answers, spreads, ..run.facts() })
    }

    #[test]
    fn an_address_that_did_not_answer_is_named_with_its_time() {
        let both = [address("10.9.0.9", 0), address("10.9.0.1", 9)];
        let silent = AddressAnswer::Silent(Duration::from_millis(253));
        let find =
            |first, spreads| found(unanswered, &both, &[first, AddressAnswer::Accepts], spreads);
        let finding = find(silent, false).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.text.contains("10.9.0.9:80 did not answer for 253 ms; it gets no"));
        let finding = find(AddressAnswer::Fails(libc::ECONNREFUSED), false).unwrap();
        assert_eq!(finding.severity, Severity::Info);
        assert!(finding.text.contains("10.9.0.9:80 did not accept a connection (ECONNREFUSED)"));
        // No IPv6 here is no trouble, unless all addresses were to be used.
        assert_eq!(find(AddressAnswer::Fails(libc::ENETUNREACH), false), None);
        assert!(find(AddressAnswer::Fails(libc::ENETUNREACH), true).is_some());
        assert_eq!(find(AddressAnswer::Unasked, false), None);
        // What no address accepts is among the errors.
        assert_eq!(found(unanswered, &both, &[silent, silent], false), None);
    }

    #[test]
    fn an_address_that_was_lost_is_named_with_the_one_that_took_over() {
        let lost = TargetAddress {
            failed: 3,
            lost_s: Some(2.5),
            lost_by: Some("connect/ECONNREFUSED".into()),
            ..address("10.9.0.1", 700)
        };
        let answers = [AddressAnswer::Accepts, AddressAnswer::Unasked];
        let find = |other| found(super::lost, &[lost.clone(), other], &answers, false);
        let text = find(address("10.9.0.2", 300)).unwrap().text;
        for part in [
            "10.9.0.1:80 stopped accepting connections after 2.5 s (connect/ECONNREFUSED; 3",
            "the load went on at 10.9.0.2:80: the 1,000 connections",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(find(address("10.9.0.2", 0)), None, "nothing went on");
    }
}
