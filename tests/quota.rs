//! `-n` over several threads whose connections are not equally fast: requests are taken from one
//! count, so the fast ones do most of them, and the numbers go on to the end.

mod support;

use ringshot::engine::run::{self, Event, Load};
use ringshot::engine::session::http1::{Http1, Request, RequestBlock, Reuse, Shared};
use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::peers::{Listen, Peer};
use support::{Running, command, eventually, measure};

over_both_engines!(
    a_slow_thread_holds_nothing_back,
    failed_requests_count_and_threads_share_a_quota_of_an_open_loop,
);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// How many requests came on each connection.
type Seen = Arc<Mutex<Vec<Arc<AtomicU64>>>>;

/// Answers the connections of even number after 5 ms and the others after 250; and closes instead
/// of every answer whose number is a multiple of `lost`.
fn two_speeds(lost: u64) -> (Peer, Seen) {
    let seen = Seen::default();
    let (connections, answered) = (seen.clone(), AtomicU64::new(0));
    let number = AtomicUsize::new(0);
    let habit = move |mut stream: TcpStream| -> io::Result<()> {
        let is_slow = number.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        let count = Arc::new(AtomicU64::new(0));
        connections.lock().unwrap().push(count.clone());
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                read => head.extend_from_slice(&buffer[..read]),
            }
            while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                head.drain(..end + 4);
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(if is_slow { 250 } else { 5 }));
                if (answered.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(lost) {
                    // In the middle of the answer: it is not to be sent again.
                    return stream.write_all(&ANSWER[..20]);
                }
                stream.write_all(ANSWER)?;
            }
        }
    };
    (Peer::start(Listen::default(), habit), seen)
}

fn counts(seen: &Seen) -> Vec<u64> {
    seen.lock().unwrap().iter().map(|count| count.load(Ordering::Relaxed)).collect()
}

fn rows(document: &Value) -> Vec<(f64, u64)> {
    let rows = document["series"].as_array().expect("rows");
    rows.iter().map(|row| (row["t_s"].as_f64().unwrap(), row["ok"].as_u64().unwrap())).collect()
}

fn a_slow_thread_holds_nothing_back(engine: &str) {
    let (server, seen) = two_speeds(u64::MAX);
    let document = measure(&format!("{} -k -t 2 -c 2 -n 500 {engine}", server.url()));
    let counts = counts(&seen);
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (2, 500), "{counts:?}");
    assert_eq!(document["requests"]["started"], 500);
    assert_eq!(document["requests"]["ok"], 500);
    // Fifty times as fast; half of the requests each would take a minute.
    assert!(counts.iter().max() >= Some(&400), "{counts:?}");

    // The series goes on as long as the run does, and what was measured is enough to say so.
    let (rows, duration_s) = (rows(&document), document["duration_s"].as_f64().unwrap());
    assert_eq!(rows.iter().map(|(_, ok)| ok).sum::<u64>(), 500, "{rows:?}");
    assert!(rows.len() as f64 >= duration_s / 2.0, "{rows:?}");
    assert!(rows[..rows.len() - 1].iter().all(|(_, ok)| *ok > 0), "{rows:?}");
    assert!(!document["confidence"].is_null(), "{rows:?}");
    assert_eq!(document["series_interval_s"], 1.0);

    // Both worked until the last request was given out: none has a rate of a shorter time.
    let rate = document["rate"]["requests_per_s"].as_f64().unwrap();
    let longest = 500.0 / duration_s;
    assert!(rate >= longest - 0.01 && rate < 2.0 * longest, "{rate} {longest}");
}

fn failed_requests_count_and_threads_share_a_quota_of_an_open_loop(engine: &str) {
    for load in ["-k -c 4", "-k -c 4 -R 400", "-k -c 4 -R 400 --arrivals poisson"] {
        let (server, seen) = two_speeds(7);
        let document = measure(&format!("{} {load} -t 2 -n 60 {engine}", server.url()));
        let requests = &document["requests"];
        assert_eq!(requests["started"], 60, "{load}: {requests}");
        assert_eq!(requests["failed"], 8, "{load}: {requests}");
        assert_eq!(requests["in_flight"], 0, "{load}: {requests}");
        assert_eq!(counts(&seen).iter().sum::<u64>(), 60, "{load}");
        if load.contains("-R") {
            assert_eq!(document["schedule"]["due"], 60, "{load}");
        }
    }
}

/// The nice value of each thread, by its name.
fn niceness(pid: u32) -> Vec<(String, i32)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let of = |stat: String| {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        // Counted from the state, which follows the name.
        Some((name.to_owned(), rest.split_whitespace().nth(16)?.parse().ok()?))
    };
    stats.filter_map(of).collect()
}

#[test]
fn who_collects_makes_way_for_who_measures() {
    let (server, _) = two_speeds(u64::MAX);
    let run = Running::start(command(&format!("{} -k -t 2 -c 2 -d 60s", server.url())));
    let own = niceness(std::process::id())[0].1;
    let threads = |name: &str| -> Vec<i32> {
        let all = niceness(run.pid());
        all.into_iter().filter(|(other, _)| other.starts_with(name)).map(|(_, nice)| nice).collect()
    };
    eventually("the collector's priority", || threads("collector") == [own.max(10)]);
    assert_eq!(threads("worker-"), [own, own]);
    assert_eq!(threads("ringshot"), [own]);
    run.signal("INT");
    assert_eq!(run.finish().code, Some(130));
}

#[test]
fn seconds_are_told_of_while_the_run_lasts() {
    let (server, _) = two_speeds(u64::MAX);
    let load = Load {
        connections: 2,
        threads: 2,
        duration: Some(Duration::from_millis(2200)),
        ..Load::new(vec![server.address])
    };
    let mut told = Vec::new();
    let request = Request {
        method: "GET".into(),
        target: "/".into(),
        host: "test".into(),
        headers: Vec::new(),
        body: Arc::new([]),
    };
    let reuse = Reuse { pipeline: 1, keeps: true, announces_close: false };
    let block = RequestBlock::new(&request, reuse);
    let shared = || Shared::new(block.clone());
    let stop = AtomicBool::new(false);
    let measured = run::run::<Http1>(&load, shared, &stop, |event| {
        match event {
            Event::Begin => told.push(0.0),
            Event::Looked(..) => {}
            // What an observer adds to a row is in the series.
            Event::Row(_, second, _) => {
                told.push(second.t_s);
                second.generator_cpu_ratio = Some(0.25);
            }
            Event::End(rest, threads) => {
                assert_eq!(threads.len(), 2);
                if let Some(second) = rest {
                    second.generator_cpu_ratio = Some(0.75);
                }
            }
        }
    })
    .expect("a run");
    let rows = measured.series.rows();
    assert!(rows.iter().all(|row| row.generator_cpu_ratio.is_some()), "{rows:?}");
    assert_eq!(rows.iter().map(|row| row.ok).sum::<u64>(), measured.tally.counters.ok);
    assert!(told.len() >= 2 && told[0] == 0.0 && told.is_sorted(), "{told:?}");
}
