//! The program against a server that does everything wrong: exact counts, every slot recovers.

mod support;

use serde_json::Value;
use support::faults::{self, Fault};
use support::{assert_consistent, errors, findings, ringshot};

const FAULTY: u64 = 10;
const REQUESTS: u64 = 100;

/// Runs against a server whose first connections are faulty; the later ones must all succeed.
fn measure(fault: Fault, flags: &str) -> Value {
    let (address, _) = faults::serve(fault, FAULTY);
    let flags = format!("http://{address}/ -c 4 -t 1 -n {REQUESTS} --json - {flags}");
    let ran = ringshot(&flags);
    assert_eq!(ran.code, Some(0), "{fault:?} {flags}: {}", ran.stderr);
    assert!(!ran.stderr.contains('\x1b'), "{fault:?}: bytes of the server reach the terminal");
    let document = ran.document();
    assert_consistent(&document);
    assert_eq!(document["requests"]["started"], REQUESTS, "{fault:?}");
    assert_eq!(document["requests"]["in_flight"], 0, "{fault:?}");
    document
}

#[test]
fn every_fault_has_its_name_and_fails_one_request() {
    let cases = [
        // A reset may meet the request on its way out or the wait for the answer.
        (Fault::Reset, ""),
        (Fault::Fin, "response/eof"),
        (Fault::ResetInBody, "receive/ECONNRESET"),
        (Fault::FinInBody, "response/eof"),
        (Fault::ResetCloseDelimited, "receive/ECONNRESET"),
        (Fault::Stall, "response/timeout"),
        (Fault::Garbage, "response/malformed"),
        (Fault::TwoLengths, "response/malformed"),
        (Fault::EndlessHead, "response/too_large"),
    ];
    for tier in ["direct", "plain", "basic"] {
        for (fault, expected) in cases {
            let document = measure(fault, &format!("--timeout 300ms --ring-tier {tier}"));
            assert_eq!(document["requests"]["failed"], FAULTY, "{fault:?} {tier}");
            for (name, _) in errors(&document) {
                let reset =
                    ["connect/ECONNRESET", "send/ECONNRESET", "send/EPIPE", "receive/ECONNRESET"];
                match expected {
                    "" => assert!(reset.contains(&&*name), "{fault:?} {tier}: {name}"),
                    expected => assert_eq!(name, expected, "{fault:?} {tier}"),
                }
            }
        }
    }
}

#[test]
fn what_is_only_unusual_is_no_failure() {
    let cases: [(Fault, &str, &[&str]); 8] = [
        (Fault::Drip, "", &[]),
        (Fault::ResetAfterAnswer, "", &[]),
        (Fault::SilentClose, "", &[]),
        (Fault::SilentClose, "--close client", &[]),
        (Fault::SilentClose, "-k", &["server_closes_early"]),
        (Fault::Surplus, "", &["surplus_bytes"]),
        (Fault::Surplus, "-k", &["surplus_bytes"]),
        (Fault::NeverCloses, "", &["server_ignores_close"]),
    ];
    for (fault, flags, expected) in cases {
        let document = measure(fault, flags);
        assert_eq!(document["requests"]["failed"], 0, "{fault:?} {flags}: {:?}", errors(&document));
        assert_eq!(findings(&document), expected, "{fault:?} {flags}");
    }
}

#[test]
fn what_a_peer_leaves_of_a_batch_fails_request_by_request() {
    let document = measure(Fault::TwoOfFive, "-p 5");
    assert_eq!(errors(&document), [("response/eof".to_owned(), 3 * FAULTY)]);
}

#[test]
fn nobody_listens() {
    let address = faults::refused();
    let ran = ringshot(&format!("http://{address}/ -c 4 -n 20 --json -"));
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    assert_eq!(errors(&document), [("connect/ECONNREFUSED".to_owned(), 20)]);
    assert_eq!(document["connections"]["failed"], 20);
    let advice = document["errors"][0]["advice"].as_str().expect("advice");
    assert!(advice.contains("is the server running"), "{advice}");
    assert!(ran.stderr.contains("ECONNREFUSED") && ran.stderr.contains("is the server running"));
}

#[test]
fn a_name_without_an_address_cannot_run() {
    let ran = ringshot("http://no-such-host.invalid/ -n 1");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("no-such-host.invalid") && ran.stderr.contains("cure"));
}
