use super::*;
use crate::kernel::machine::{CpuTime, Traffic};
use crate::kernel::threads::ThreadClock;

const SECOND_NS: u64 = 1_000_000_000;

/// A CPU that was busy for some of these ticks, a tenth of the busy ones with packets.
fn cpu(busy: u64, steal: u64, total: u64) -> CpuTime {
    CpuTime { busy, softirq: busy / 10, steal, total }
}

/// Processes and threads by their numbers; each thread waited for a tenth of the time that it ran.
fn usage(cpus_ns: &[(i32, u64)], threads_ns: &[(i32, u64)]) -> Usage {
    let time = |ran_ns| ThreadClock { ran_ns, waited_ns: Some(ran_ns / 10) };
    Usage {
        cpu_ns: cpus_ns.iter().copied().collect(),
        thread_times: threads_ns.iter().map(|&(thread, ns)| (thread, time(ns))).collect(),
        threads: threads_ns.len() as u32,
        memory_bytes: 1 << 20,
        descriptors: Some(8),
    }
}

/// A reading after this many seconds: CPU 0 always busy, CPU 1 never, the server for half of the
/// time, the worker for a quarter, in which it also waited for half of the time.
fn reading(seconds: u64) -> Reading {
    let (ticks, ns) = (seconds * 100, seconds * SECOND_NS);
    Reading {
        at_ns: ns,
        machine: Machine {
            cpus: [(0, cpu(1000 + ticks, 0, 5000 + ticks)), (1, cpu(10, 0, 5000 + ticks))].into(),
            memory_available_bytes: Some(1000 - seconds),
            traffic: Some(Traffic {
                receive_bytes: 100 + 10 * seconds,
                send_bytes: 200 + 20 * seconds,
                receive_packets: 300 + 30 * seconds,
                send_packets: 400 + 40 * seconds,
            }),
        },
        server: Some(usage(&[(7, 500 + ns / 2)], &[(7, 100 + ns / 4), (8, 400 + ns / 4)])),
        own: OwnReading {
            workers: vec![WorkerTime {
                ran_ns: 77 + ns / 4,
                waited_ns: Some(9 + ns / 2),
                looked_ns: 0,
            }],
            throttling: None,
        },
    }
}

fn server() -> Description {
    Description { pid: 7, name: "nginx".into(), found_by: "listener", cpus: 4 }
}

fn server_of(sums: &Sums, ended: u64) -> Option<ServerLoad> {
    sums.watch(Some(&server()), ended).expect("enough time").server
}

#[test]
fn a_row_has_what_happened_since_the_one_before() {
    let mut sums = Sums::new(reading(3));
    for at in [4, 6] {
        let row = sums.add(reading(at));
        let (host, server) = (row.host.expect("CPUs"), row.server.expect("it runs"));
        let took = if at == 4 { 1 } else { 2 };
        assert_eq!((row.own.cpu_ratio, host.cpu_busy_ratio), (Some(0.25), vec![1.0, 0.0]));
        assert_eq!(row.own.cpu_wait_ratio, Some(0.5));
        assert_eq!((host.cpu_softirq_ratio, host.cpu_steal_ratio), (0.05, 0.0));
        assert_eq!((host.receive_bytes, host.send_packets), (Some(10 * took), Some(40 * took)));
        assert_eq!(host.memory_available_bytes, Some(1000 - at));
        assert_eq!((server.cpu_ratio, server.descriptors), (0.5, Some(8)));
    }
}

#[test]
fn the_whole_is_from_the_first_reading_to_the_last() {
    let mut sums = Sums::new(reading(1));
    for at in [2, 3, 5] {
        sums.add(reading(at));
    }
    let watch = sums.watch(Some(&server()), 1000).expect("enough time");
    assert_eq!((watch.cpu_busy_ratio, watch.cpu_steal_ratio), (Some(0.5), Some(0.0)));
    let busy: Vec<_> = watch.cpus.iter().map(|cpu| (cpu.cpu, cpu.busy_ratio)).collect();
    assert_eq!(busy, [(0, 1.0), (1, 0.0)]);
    assert_eq!(watch.memory_available_min_bytes, Some(995));
    let network = watch.network.expect("counters");
    assert_eq!((network.receive_bytes, network.receive_bytes_per_s), (40, 10.0));
    let server = watch.server.expect("it runs");
    assert_eq!((server.cpu_s, server.cpu_ratio, server.busiest_thread_ratio), (2.0, 0.5, 0.25));
    assert_eq!((server.cpu_us_per_request, server.watched_s), (Some(2000.0), 4.0));
    assert_eq!((server.pid, server.threads, server.processes, server.cpus), (7, 2, 1, 4));
    assert_eq!((server.cpu_wait_ratio, server.ended), (Some(0.05), false));
}

#[test]
fn steal_is_no_work() {
    let mut later = reading(1);
    later.machine.cpus = [(0, cpu(60, 30, 100))].into();
    let mut first = reading(0);
    first.machine.cpus = [(0, CpuTime::default())].into();
    let mut sums = Sums::new(first);
    let host = sums.add(later).host.expect("a CPU");
    assert_eq!((host.cpu_busy_ratio, host.cpu_steal_ratio), (vec![0.6], 0.3));
}

#[test]
fn counters_that_go_backwards_have_counted_nothing() {
    let mut sums = Sums::new(reading(9));
    let backwards = Reading { at_ns: 10 * SECOND_NS, ..reading(2) };
    let row = sums.add(backwards);
    assert_eq!((row.own.cpu_ratio, row.host), (Some(0.0), None));
    assert_eq!(row.server.expect("it runs").cpu_ratio, 0.0);
    let server = server_of(&sums, 0).expect("it runs");
    assert_eq!(
        (server.cpu_s, server.busiest_thread_ratio, server.cpu_us_per_request),
        (0.0, 0.0, None)
    );
}

#[test]
fn a_cpu_that_goes_is_not_busy_and_one_that_comes_is_not_told_of() {
    let mut sums = Sums::new(reading(1));
    let mut later = reading(2);
    later.machine.cpus.remove(&1);
    later.machine.cpus.insert(2, cpu(99, 0, 100));
    assert_eq!(sums.add(later).host.expect("CPU 0").cpu_busy_ratio, [1.0, 0.0]);
    let cpus = sums.watch(None, 0).expect("enough time").cpus;
    assert_eq!(cpus.iter().map(|cpu| cpu.cpu).collect::<Vec<_>>(), [0]);
}

#[test]
fn what_cannot_be_read_is_not_told_of() {
    let empty = |seconds: u64| Reading { at_ns: seconds * SECOND_NS, ..Reading::default() };
    let mut sums = Sums::new(empty(1));
    assert_eq!(sums.add(empty(2)), SecondRow::default());
    let watch = sums.watch(Some(&server()), 1).expect("enough time");
    assert_eq!(watch, Watch::default());
}

#[test]
fn a_server_that_ends_is_told_of_for_as_long_as_it_ran() {
    let mut sums = Sums::new(reading(0));
    sums.add(reading(1));
    for at in [2, 3] {
        let row = sums.add(Reading { server: None, ..reading(at) });
        assert!(row.host.is_some() && row.server.is_none());
    }
    let server = server_of(&sums, 10).expect("it ran for a second");
    assert_eq!((server.cpu_s, server.cpu_ratio, server.busiest_thread_ratio), (0.5, 0.5, 0.25));
    assert_eq!((server.watched_s, server.ended), (1.0, true));
    assert_eq!(server.cpu_us_per_request, None, "what it used for the last of them is not known");
    let mut sums = Sums::new(reading(0));
    sums.add(Reading { server: None, ..reading(1) });
    assert_eq!(server_of(&sums, 10), None, "it was not there at two readings");
}

#[test]
fn processes_and_threads_that_come_and_go_take_nothing_away() {
    let at = |seconds: u64, server| Reading { server: Some(server), ..reading(seconds) };
    let mut sums = Sums::new(at(0, usage(&[(1, 9_000), (2, 5_000)], &[(1, 9_000), (2, 5_000)])));
    let row = sums.add(at(1, usage(&[(1, 500_009_000)], &[(1, 9_000), (3, 500_000_000)])));
    assert_eq!(row.server.expect("one is left").cpu_ratio, 0.5);
    let server = server_of(&sums, 0).expect("one is left");
    // Thread 3 began at nothing.
    assert_eq!((server.cpu_ratio, server.busiest_thread_ratio), (0.5, 0.5));
}

#[test]
fn a_moment_is_too_short_to_tell() {
    let mut sums = Sums::new(reading(1));
    let soon = Reading { at_ns: SECOND_NS + 10_000_000, ..reading(2) };
    assert_eq!(sums.add(soon), SecondRow::default());
    assert_eq!(sums.watch(Some(&server()), 1), None);
}

#[test]
fn a_process_that_is_new_began_at_nothing() {
    let at = |seconds: u64, server| Reading { server: Some(server), ..reading(seconds) };
    let mut sums = Sums::new(at(0, usage(&[(1, 9_000)], &[(1, 9_000)])));
    let both = usage(&[(1, 9_000), (2, 250_000_000)], &[(1, 9_000), (2, 250_000_000)]);
    assert_eq!(sums.add(at(1, both)).server.expect("they run").cpu_ratio, 0.25);
    let server = server_of(&sums, 1000).expect("they run");
    assert_eq!((server.processes, server.cpu_s, server.busiest_thread_ratio), (2, 0.25, 0.25));
    assert_eq!(server.cpu_us_per_request, Some(250.0));
}

#[test]
fn waiting_is_that_between_looks_that_saw_the_threads() {
    const OLD_NS: u64 = 3600 * SECOND_NS;
    let at = |seconds: u64, threads: &[(i32, u64)]| {
        let used = Usage { threads: 100, ..usage(&[(1, OLD_NS + seconds)], threads) };
        Reading { server: Some(used), ..reading(seconds) }
    };
    let mut sums = Sums::new(at(0, &[(1, OLD_NS), (2, OLD_NS)]));
    assert!(sums.add(at(1, &[])).server.is_some());
    // Thread 3 is new.
    sums.add(at(2, &[(1, OLD_NS + SECOND_NS), (2, OLD_NS), (3, SECOND_NS)]));
    let server = server_of(&sums, 1).expect("it runs");
    assert_eq!((server.cpu_wait_ratio, server.busiest_thread_ratio), (Some(0.1), 0.5));
}

#[test]
fn waiting_is_unknown_unless_it_is_known_of_all_threads() {
    let wait = |change: fn(&mut Usage)| {
        let reading = |seconds| {
            let mut reading = reading(seconds);
            change(reading.server.as_mut().expect("it runs"));
            reading
        };
        let mut sums = Sums::new(reading(0));
        sums.add(reading(1));
        server_of(&sums, 1).expect("it runs").cpu_wait_ratio
    };
    assert_eq!(wait(|_| {}), Some(0.05));
    assert_eq!(wait(|usage| usage.threads = 1024), Some(0.05));
    assert_eq!(wait(|usage| usage.threads = 1025), None);
    assert_eq!(wait(|usage| usage.thread_times.clear()), None);
    let unknown = |usage: &mut Usage| {
        usage.thread_times.values_mut().for_each(|time| time.waited_ns = None);
    };
    assert_eq!(wait(unknown), None);
}

#[test]
fn a_thread_that_was_left_out_at_first_is_not_taken_for_a_new_one() {
    let at = |seconds: u64, threads: &[(i32, u64)]| {
        let used = Usage { threads: 2000, ..usage(&[(1, 0)], threads) };
        Reading { server: Some(used), ..reading(seconds) }
    };
    let mut sums = Sums::new(at(0, &[(1, 7)]));
    sums.add(at(1, &[(1, 7), (2, 3600 * SECOND_NS)]));
    assert_eq!(server_of(&sums, 1).expect("it runs").busiest_thread_ratio, 0.0);
}

#[test]
fn a_server_that_is_found_in_a_row_is_watched_from_then_on() {
    let of = |seconds: f64| {
        let ns = (seconds * SECOND_NS as f64) as u64;
        usage(&[(7, 500 + ns / 2)], &[(7, 100 + ns / 4), (8, 400 + ns / 4)])
    };
    let mut sums = Sums::new(Reading { server: None, ..reading(0) });
    sums.add(Reading { server: None, ..reading(1) });
    sums.find_server(SECOND_NS * 5 / 4, of(1.25));
    let row = sums.add(reading(2));
    assert_eq!(row.server.expect("it runs").cpu_ratio, 0.5);
    assert_eq!(row.host.expect("CPUs").receive_bytes, Some(10), "the box of the whole second");
    assert_eq!(sums.add(reading(3)).server.expect("it runs").cpu_ratio, 0.5);
    let server = server_of(&sums, 100).expect("it runs");
    assert_eq!((server.watched_s, server.cpu_ratio), (1.75, 0.5));
    assert_eq!((server.busiest_thread_ratio, server.cpu_wait_ratio), (0.25, Some(0.05)));
}
