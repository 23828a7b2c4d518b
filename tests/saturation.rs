//! A generator that is the limit itself. Alone in its file: it takes the processors away from whatever
//! runs beside it.

mod support;

use serde_json::Value;
use std::process::Command;
use support::netns::isolated;
use support::peers::{self, Listen, Peer};
use support::{all_findings, assert_finding, errors, measure};

/// A server that is cheaper than any client. Who else runs on this box may take the CPU away, from
/// either of them: hence the priority, the many requests under way, and more than one attempt.
#[test]
fn generator_saturated() {
    isolated(&[], |_| {
        go_first();
        let peer = Peer::start(Listen::default(), peers::canned);
        let plan = format!("{} -c 64 -t 1 -p 1024 -d 500ms", peer.url());
        // A thread that was not let run, for want of that priority, is another finding.
        let saturated = |document: &Value| {
            let starved = all_findings(document).contains(&"generator_starved".into());
            document["generator"]["saturated"] == true && !starved
        };
        let mut attempts = std::iter::repeat_with(|| measure(&plan)).take(20);
        let document = attempts.find(saturated).expect("a busy generator");

        assert_eq!(errors(&document), []);
        assert_finding(&document, "generator_saturated", &["ringshot itself"]);
    });
}

/// Gives this thread, and all that it starts, real-time priority, where that is permitted. (nice
/// would not do: it only ranks the processes of one session.)
fn go_first() {
    let thread = std::fs::read_link("/proc/thread-self").expect("a thread");
    let id = thread.file_name().expect("its number").to_str().expect("a number").to_owned();
    let _ = Command::new("chrt").args(["--rr", "--pid", "1", &id]).status();
}
