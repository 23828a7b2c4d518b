//! A second protocol over the same loop: the example's, which nothing else in the crate knows of.

#[path = "../examples/line_echo.rs"]
mod example;

use example::{LineEcho, serve};
use ringshot::engine::driver::EngineChoice;
use ringshot::engine::driver::uring::Tier;
use ringshot::engine::run::{self, Load};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const ENGINES: [EngineChoice; 2] = [EngineChoice::IoUring, EngineChoice::Epoll];

fn echo(engine: EngineChoice, change: impl FnOnce(&mut Load)) -> run::Measured {
    let mut load = Load::new(vec![serve().expect("a port")]);
    let found = engine.find(Tier::Direct, load.threads, load.connections);
    load.engine = found.expect("these tests need io_uring").engine;
    (load.duration, load.requests) = (None, Some(3000));
    change(&mut load);
    let line: Arc<[u8]> = b"ping\n".as_slice().into();
    run::run::<LineEcho>(&load, || line.clone(), &AtomicBool::new(false), |_| ()).expect("a run")
}

#[test]
fn lines_come_back_on_kept_connections() {
    for engine in ENGINES {
        let counters = echo(engine, |_| ()).tally.counters;
        assert_eq!((counters.started, counters.ok, counters.connections_opened), (3000, 3000, 16));
        assert_eq!((counters.bytes_read, counters.bytes_written), (15_000, 15_000));
    }
}

#[test]
fn lines_come_back_pipelined_and_on_new_connections() {
    for engine in ENGINES {
        let pipelined = echo(engine, |load| load.policy.pipeline = 8).tally.counters;
        assert_eq!((pipelined.ok, pipelined.connections_opened), (3000, 16));
        let fresh = echo(engine, |load| load.policy.requests_per_connection = Some(1));
        let fresh = fresh.tally.counters;
        assert_eq!((fresh.ok, fresh.connections_opened), (3000, 3000));
    }
}
