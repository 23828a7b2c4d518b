//! What it costs to find the end of an answer: a head that is new, a head like the last one, and
//! a pipeline of them.

use divan::{Bencher, black_box, counter::ItemsCount};
use ringshot::engine::session::Session;
use ringshot::engine::session::http1::{Http1, Parsed, Request, RequestBlock, Reuse, Shared};
use std::sync::Arc;

const PIPELINE: usize = 16;

fn main() {
    divan::main();
}

/// The answer of nginx to `return 200 "hello, world."`, at this second.
fn answer(second: u32) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nServer: nginx/1.26.3\r\n\
         Date: Sat, 21 Nov 2026 11:53:{second:02} GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n\
         hello, world."
    )
    .into_bytes()
}

fn worker() -> (Shared, Http1) {
    let request = Request {
        method: "GET".into(),
        target: "/".into(),
        host: "127.0.0.1".into(),
        headers: Vec::new(),
        body: Arc::new([]),
    };
    let reuse = Reuse { pipeline: PIPELINE as u32, keeps: true, announces_close: false };
    let shared = Shared::new(RequestBlock::new(&request, reuse));
    let session = Http1::new(&shared);
    (shared, session)
}

/// Takes all the answers in `bytes`; how many there are.
fn take_all(shared: &mut Shared, session: &mut Http1, mut bytes: &[u8]) -> usize {
    let mut answers = 0;
    while !bytes.is_empty() {
        let progress = session.answer(shared, bytes);
        bytes = &bytes[progress.consumed..];
        answers += usize::from(matches!(progress.event, Parsed::Done(..)));
    }
    answers
}

/// Every second answer has the other date, so that no head is like the one before it.
// Samples of one call would measure the clock.
#[divan::bench(sample_size = 1000)]
fn new_head(bencher: Bencher) {
    let (mut shared, mut session) = worker();
    let bytes = [answer(0), answer(1)].concat();
    bencher.counter(ItemsCount::new(2_usize)).bench_local(|| {
        assert_eq!(take_all(&mut shared, &mut session, black_box(&bytes)), 2);
    });
}

#[divan::bench(sample_size = 1000)]
fn known_head(bencher: Bencher) {
    let (mut shared, mut session) = worker();
    let bytes = answer(0);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        assert_eq!(take_all(&mut shared, &mut session, black_box(&bytes)), 1);
    });
}

#[divan::bench(sample_size = 1000)]
fn pipeline_of_16_known_heads(bencher: Bencher) {
    let (mut shared, mut session) = worker();
    let bytes = answer(0).repeat(PIPELINE);
    bencher.counter(ItemsCount::new(PIPELINE)).bench_local(|| {
        assert_eq!(take_all(&mut shared, &mut session, black_box(&bytes)), PIPELINE);
    });
}

/// The same pipeline with its answers cut as a receive buffer of 1 KiB would cut them.
#[divan::bench(sample_size = 1000)]
fn pipeline_of_16_split(bencher: Bencher) {
    let (mut shared, mut session) = worker();
    let bytes = answer(0).repeat(PIPELINE);
    bencher.counter(ItemsCount::new(PIPELINE)).bench_local(|| {
        let pieces = black_box(&bytes).chunks(1 << 10);
        let answers: usize = pieces.map(|piece| take_all(&mut shared, &mut session, piece)).sum();
        assert_eq!(answers, PIPELINE);
    });
}
