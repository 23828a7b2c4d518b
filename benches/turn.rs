//! The hot path without the kernel: a token, a record in the tally, and turns of the whole loop
//! over a scripted driver (which costs more than the loop itself: compare, do not quote).

use divan::{Bencher, black_box};
use ringshot::engine::connection::Route;
use ringshot::engine::driver::script::{Reply, ScriptDriver, Verb};
use ringshot::engine::driver::{Driver, Op, SlotId, Token};
use ringshot::engine::pace::{Model, Share};
use ringshot::engine::policy::{CloseMode, Policy};
use ringshot::engine::ports::Rotation;
use ringshot::engine::session::http1::{Http1, Request, RequestBlock, Reuse, Shared};
use ringshot::engine::tally::{Latencies, Tally};
use ringshot::engine::worker::{Task, Worker};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn main() {
    divan::main();
}

#[divan::bench]
fn token_there_and_back(bencher: Bencher) {
    let token = Token { op: Op::Receive, slot: SlotId { index: 4711, generation: 42 } };
    bencher.bench(|| Token::from_bits(black_box(black_box(token).to_bits())));
}

#[divan::bench]
fn tally_of_one_answer(bencher: Bencher) {
    let mut tally = Tally::new(1);
    let mut ns = 0;
    bencher.bench_local(|| {
        // Another latency each time, as on connections without pipelining.
        ns = (ns + 7_919) % 1_000_000;
        let latencies =
            Latencies { first_byte_ns: ns, service_ns: ns, total_ns: 2 * ns, uncorrected_ns: None };
        tally.respond(200, latencies);
        tally.succeed(ns);
    });
}

/// A million exchanges over 16 slots, each on a connection of its own or on a kept one.
#[divan::bench(args = [Some(1), None], sample_count = 10, sample_size = 1)]
fn exchanges(bencher: Bencher, requests_per_connection: Option<u64>) {
    const REQUESTS: u64 = 1_000_000;
    let stop = AtomicBool::new(false);
    bencher
        .counter(divan::counter::ItemsCount::new(REQUESTS))
        .with_inputs(|| {
            let task = task(16, REQUESTS, requests_per_connection, Model::default());
            let mut worker = worker(task, &stop);
            worker.warm_up(None).expect("a script");
            worker
        })
        .bench_local_values(|worker| worker.measure(None));
}

/// A million exchanges on the kept connection of one slot, while the others have not begun: what a
/// turn costs does not depend on how many there are.
#[divan::bench(args = [1_000, 200_000], sample_count = 10, sample_size = 1)]
fn one_active_of(bencher: Bencher, slots: u32) {
    const REQUESTS: u64 = 1_000_000;
    const BETWEEN_BEGINS_NS: u64 = 3_600_000_000_000;
    let stop = AtomicBool::new(false);
    bencher
        .counter(divan::counter::ItemsCount::new(REQUESTS))
        .with_inputs(|| {
            let ramp_ns = BETWEEN_BEGINS_NS * u64::from(slots);
            let model = Model { ramp_ns, ..Model::default() };
            let mut worker = worker(task(slots, REQUESTS, None, model), &stop);
            worker.warm_up(None).expect("a script");
            worker
        })
        .bench_local_values(|worker| worker.measure(None));
}

fn task(slots: u32, quota: u64, requests_per_connection: Option<u64>, model: Model) -> Task {
    Task {
        slots,
        connections: slots,
        share: Share::WHOLE,
        model,
        warmup_ns: 0,
        quota: Some(quota.into()),
        duration_ns: None,
        route: Route::new(1),
        ports: Rotation::kernel(),
        policy: Policy {
            requests_per_connection,
            pipeline: 1,
            close: CloseMode::Client,
            timeout_ns: 1_000_000_000,
            holds: false,
            discard_from_bytes: 4096,
        },
        interval_ns: 1_000_000_000,
    }
}

/// A worker whose server answers everything after a microsecond.
fn worker(task: Task, stop: &AtomicBool) -> Worker<'_, impl Driver, Http1> {
    let answer: Arc<[u8]> = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".as_slice().into();
    let script = move |_: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        Verb::Open(..) => replies.push(Reply::new(1000, Op::Connect, Ok(0))),
        Verb::Receive(_) => replies.push(Reply::bytes(1000, answer.clone())),
        _ => {}
    };
    let request = Request {
        method: "GET".into(),
        target: "/".into(),
        host: "bench".into(),
        headers: Vec::new(),
        body: Arc::new([]),
    };
    let reuse = Reuse { pipeline: 1, keeps: true, announces_close: false };
    let shared = Shared::new(RequestBlock::new(&request, reuse));
    Worker::new(ScriptDriver::new(task.slots, script), shared, task, stop)
}
