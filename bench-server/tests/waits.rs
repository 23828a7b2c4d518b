//! Answers that come when they are due: which of them, in which order, and not before.
//!
//! A busy machine makes anything late, so that only lower bounds on time are strict.

mod common;

use std::time::{Duration, Instant};

use bench_server::Backend;
use common::{Client, start};

#[test]
fn a_mix_has_its_share_of_slow_answers() {
    let server = start(Backend::Hyper, 2);
    let start = Instant::now();
    // Several connections, so that both threads are likely to have a part in it.
    let mut clients = [(); 5].map(|()| Client::connect(server.addr()));
    for _ in 0..20 {
        for client in &mut clients {
            assert_eq!(client.get("/mix/0/40/10").status(), "200");
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(10 * 40));
    let delays = server.delays();
    // 40 ms is a bound between values that three digits tell apart.
    let fast = delays.count_between(0, 39_999);
    assert_eq!((fast, delays.len() - fast), (90, 10));
}

#[test]
fn too_many_mixes_are_refused() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    for percent in 1..=64 {
        assert_eq!(client.get(&format!("/mix/0/0/{percent}")).status(), "200", "{percent}");
    }
    let response = client.get("/mix/0/0/65");
    assert_eq!(
        (response.status(), response.text()),
        ("400", "expected at most 64 different mixes\n")
    );
    assert_eq!(client.get("/mix/0/0/64").status(), "200");
    assert_eq!(server.delays().len(), 65);
}
