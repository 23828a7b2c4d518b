//! Reports for tests: one of a run in which all went well, one in which little did.

use crate::kernel::{Owner, SystemCounters, TimeWait, TimeWaitGroup};
use crate::observe::{CpuLoad, NetworkLoad, ServerLoad};
use crate::plan::{Description, StageSummary};
use crate::result::slo::{LimitOutcome, Missing};
use crate::result::*;
use crate::statistics::{
    Confidence, Range, Steadiness, SteadinessVerdict, Trend, latency_histogram,
};
use hdrhistogram::Histogram;

/// A latency around a median.
fn latency(count: u64, p50_us: u64) -> Latency {
    Latency {
        count,
        min_us: Some(p50_us / 2),
        mean_us: Some(p50_us as f64 * 1.0713),
        stdev_us: Some(p50_us as f64 * 0.2216),
        p50_us: Some(p50_us),
        p75_us: Some(p50_us * 11 / 10),
        p90_us: Some(p50_us * 13 / 10),
        p95_us: Some(p50_us * 15 / 10),
        p99_us: Some(p50_us * 21 / 10),
        p99_9_us: Some(p50_us * 4),
        p99_99_us: Some(p50_us * 7),
        max_us: Some(p50_us * 13),
        percentile_supported: Some(99.99),
        hdr: "HISTFAAA".into(),
    }
}

/// What the box and the server did in ten seconds.
fn watch() -> Watch {
    let cpu = |cpu, busy_ratio, softirq_ratio| CpuLoad {
        cpu,
        busy_ratio,
        softirq_ratio,
        steal_ratio: 0.0,
    };
    Watch {
        cpu_busy_ratio: Some(0.718),
        cpu_steal_ratio: Some(0.0),
        cpus: vec![cpu(0, 0.912, 0.2), cpu(1, 0.523, 0.1)],
        memory_available_min_bytes: Some(6_100_000_000),
        network: Some(NetworkLoad {
            receive_bytes: 123_000_000,
            send_bytes: 123_000_000,
            receive_packets: 2_110_000,
            send_packets: 2_110_000,
            receive_bytes_per_s: 12_299_508.0,
            send_bytes_per_s: 12_299_508.0,
            receive_packets_per_s: 210_991.56,
            send_packets_per_s: 210_991.56,
        }),
        server: Some(ServerLoad {
            pid: 812,
            name: "nginx".into(),
            found_by: "listener".into(),
            processes: 3,
            threads: 3,
            cpus: 2,
            cpu_s: 9.004,
            cpu_ratio: 0.9,
            busiest_thread_ratio: 0.88,
            cpu_wait_ratio: Some(0.02),
            cpu_us_per_request: Some(38.398),
            memory_peak_bytes: 21_300_000,
            descriptors_peak: Some(97),
            watched_s: 10.004,
            ended: false,
        }),
        server_search_complete: true,
    }
}

/// Ten seconds of new connections without a failure.
pub(crate) fn clean() -> Report {
    Report {
        schema: SCHEMA.into(),
        version: "0.1.0".into(),
        command: ["ringshot", "http://127.0.0.1:8080/"].map(String::from).to_vec(),
        target: Target {
            url: "http://127.0.0.1:8080/".into(),
            address: "127.0.0.1:8080".into(),
            bundled: false,
            local: true,
            addresses: vec![TargetAddress {
                address: "127.0.0.1:8080".into(),
                opened: 234_512,
                ..TargetAddress::default()
            }],
            addresses_used: None,
        },
        plan: Description {
            connections: 64,
            threads: 2,
            duration_s: Some(10.0),
            requests_per_connection: Some(1),
            pipeline: 1,
            close: "server".into(),
            method: "GET".into(),
            timeout_s: 10.0,
            cpus: vec![0, 1],
            source_ports: "auto".into(),
            addresses: "first".into(),
            ..Description::default()
        },
        host: Host {
            name: "bench".into(),
            kernel: "6.18.0".into(),
            cpu_model: "a processor".into(),
            cpus: 2,
            governor: None,
            memory_bytes: Some(8 << 30),
            cpu_quota: None,
            memory_limit_bytes: None,
            descriptors: Some(20_000),
            sysctls: [("net.core.somaxconn".to_owned(), "4096".to_owned())].into(),
        },
        engine: "io_uring".into(),
        ring_tier: Some("direct".into()),
        interrupted: false,
        begun_at: "2026-01-31T12:00:00.000Z".into(),
        duration_s: 10.000_4,
        warmup: None,
        schedule: None,
        requests: Requests {
            started: 234_564,
            ok: 234_500,
            failed: 0,
            in_flight: 64,
            resent: 0,
            overdue: 0,
        },
        connections: Connections { opened: 234_564, failed: 0, time_wait_owner: "server".into() },
        ports: PortsSummary {
            method: "kernel".into(),
            why: "as the server keeps TIME_WAIT".into(),
            sources: vec!["127.0.0.1".into()],
            low: 32768,
            high: 60999,
            usable: 28_232,
            left_to_others: 0,
            skipped_reserved: 0,
            skipped_in_use: 0,
            skipped_closing: 0,
        },
        bytes: Bytes { read: 29_781_500, written: 14_074_000 },
        rate: Rate {
            requests_per_s: Some(23_449.06),
            connections_per_s: Some(23_455.46),
            failed_ratio: Some(0.0),
            connections_failed_ratio: Some(0.0),
        },
        slo: Vec::new(),
        confidence: Some(Confidence {
            level: 0.95,
            batches: 25,
            batch_s: 0.4,
            rate_per_s: Range { low: 23_201.4, high: 23_697.7 },
            p50_us: Some(Range { low: 1_271.0, high: 1_309.0 }),
            p99_us: Some(Range { low: 2_633.0, high: 2_781.0 }),
            correlated: false,
        }),
        steadiness: Some(Steadiness {
            verdict: SteadinessVerdict::Steady,
            rate: Trend { change_ratio: 0.004, p_value: 0.61, drifts: false },
            p50: Some(Trend { change_ratio: -0.01, p_value: 0.42, drifts: false }),
            p99: Some(Trend { change_ratio: 0.03, p_value: 0.33, drifts: false }),
            no_ok_after_s: None,
            no_answer_after_s: None,
        }),
        status: [(200, 234_500)].into(),
        errors: Vec::new(),
        latency: LatencySet {
            connect: latency(234_564, 61),
            first_byte: latency(234_500, 1_214),
            service: latency(234_500, 1_216),
            total: latency(234_500, 1_290),
            uncorrected: None,
        },
        generator: Generator {
            threads: 2,
            cpu_user_s: 0.82,
            cpu_sys_s: 8.61,
            cpu_us_per_request: Some(40.213),
            busy_ratio: 0.471,
            cpu_wait_ratio: Some(0.008),
            cpu_wait_peak_ratio: Some(0.012),
            demand_peak_ratio: Some(0.493),
            throttled_s: Some(0.0),
            saturated: false,
            turns: Some(Turns {
                turns: 301_412,
                completions: 938_256,
                dispatch_s: 0.71,
                submit_s: 0.0,
                kernel_s: 8.72,
                idle_s: 10.41,
            }),
        },
        kernel: Kernel {
            counters: SystemCounters([("TcpActiveOpens".to_owned(), 234_564)].into()),
            time_wait: TimeWaitCounts {
                before: Some(3),
                peak: Some(131_072),
                after: Some(131_072),
            },
            time_wait_sockets: TimeWaitSockets::default(),
            findings: Vec::new(),
        },
        watch: Some(watch()),
        limited_by: Some(LimitedBy {
            who: "connections".into(),
            evidence: "all 64 waited for answers.".into(),
        }),
        merged: None,
        series_interval_s: 1.0,
        series: vec![Second {
            t_s: 1.0,
            requests: 23_450,
            ok: 23_450,
            failed: 0,
            connections: 23_460,
            p50_us: Some(1_290),
            p99_us: Some(2_709),
            max_us: Some(16_770),
            in_flight: 64,
            connect_mean_us: Some(65.3),
            time_wait: Some(23_460),
            generator_cpu_ratio: Some(0.943),
            generator_cpu_wait_ratio: Some(0.012),
            generator_throttled_s: Some(0.0),
            host: Some(HostSecond {
                cpu_busy_ratio: vec![0.912, 0.523],
                cpu_softirq_ratio: 0.151,
                cpu_steal_ratio: 0.0,
                memory_available_bytes: Some(6_200_000_000),
                receive_bytes: Some(12_300_000),
                send_bytes: Some(12_300_000),
                receive_packets: Some(211_000),
                send_packets: Some(211_000),
            }),
            server: Some(ServerSecond {
                cpu_ratio: 0.9,
                memory_bytes: 21_300_000,
                descriptors: Some(97),
            }),
        }],
    }
}

/// Ten seconds of an open loop, after a warm-up.
pub(crate) fn paced() -> Report {
    let mut report = clean();
    report.plan.rate = Some(1000.0);
    let (duration_s, from_per_s, to_per_s) = (Some(10.0), 1000.0, 1000.0);
    report.plan.stages = vec![StageSummary { duration_s, from_per_s, to_per_s }];
    report.plan.arrivals = Some("constant".into());
    report.plan.backlog = Some(1_000_000);
    report.plan.warmup_s = 2.0;
    report.warmup = Some(Warmup {
        duration_s: 2.0,
        requests: Requests {
            started: 2_000,
            ok: 1_999,
            failed: 0,
            in_flight: 1,
            resent: 0,
            overdue: 0,
        },
        connections_opened: 2_000,
        p50_us: Some(131),
        p99_us: Some(1_204),
        max_us: Some(3_310),
    });
    report.schedule = Some(ScheduleSummary {
        due: 10_000,
        dropped: 0,
        waiting: 0,
        waited: 0,
        unanswered_before: 0,
        unanswered_after: 1,
        kept_up: true,
        slip: latency(10_000, 21),
    });
    report.latency.uncorrected = Some(latency(9_999, 118));
    report
}

/// Interrupted, with errors and findings, and with text that would steer a terminal.
pub(crate) fn troubled() -> Report {
    let error = |phase: &'static str, kind: &str, count, first_s, last_s, advice: &str| Error {
        phase: phase.into(),
        kind: kind.into(),
        count,
        first_s,
        last_s,
        detail: None,
        advice: advice.into(),
    };
    let finding = |id: &'static str, severity, text: &str, cure: &str| Finding {
        id: id.into(),
        severity,
        text: text.into(),
        cure: cure.into(),
    };
    let mut report = clean();
    report.target.url = "http://127.0.0.1:8080/\u{1b}[2J\u{202e}".into();
    report.interrupted = true;
    report.duration_s = 3.214;
    report.requests = Requests {
        started: 100_000,
        ok: 87_600,
        failed: 12_345,
        in_flight: 55,
        resent: 0,
        overdue: 0,
    };
    report.connections =
        Connections { opened: 88_000, failed: 12_000, time_wait_owner: "client".into() };
    report.plan.source_ip = vec!["127.0.0.0/28".into()];
    let group = TimeWaitGroup {
        destination: "127.0.0.1:8080".parse().expect("an address"),
        owner: Owner::Client,
        count: 28_231,
    };
    let time_wait = TimeWait { by_destination: vec![group], others: 4 };
    report.kernel.time_wait_sockets =
        TimeWaitSockets { before: Some(time_wait.clone()), after: Some(time_wait) };
    let limit = |limit: &str, measured, bound, unit: &'static str, pass, samples| LimitOutcome {
        limit: limit.into(),
        measured: Some(measured),
        bound,
        unit: unit.into(),
        pass,
        samples,
        missing: None,
    };
    report.slo = vec![
        limit("total.p99<2ms", 2_709.0, 2_000.0, "us", false, Some(87_945)),
        limit("errors<0.1%", 0.123_5, 0.001, "ratio", false, Some(99_945)),
        limit("rate>20k", 23_449.06, 20_000.0, "per_s", true, None),
    ];
    let missing = Missing { dropped: 0, timed_out: 7, unanswered: 0 };
    report.slo[0].missing = Some(missing);
    if let (Some(confidence), Some(steadiness)) = (&mut report.confidence, &mut report.steadiness) {
        confidence.correlated = true;
        steadiness.verdict = SteadinessVerdict::Drifting;
        steadiness.rate = Trend { change_ratio: -0.12, p_value: 0.000_1, drifts: true };
        steadiness.p99 = Some(Trend { change_ratio: 0.41, p_value: 0.002, drifts: true });
    }
    report.status = [(200, 87_600), (404, 20), (503, 325)].into();
    report.errors = vec![
        error(
            "connect",
            "EADDRNOTAVAIL",
            12_000,
            1.203,
            3.214,
            "no source port is free for this target: --close server or rst, more source addresses",
        ),
        error("verify", "status", 345, 0.51, 0.52, "status outside 200-399: check the URL"),
    ];
    report.generator.busy_ratio = 0.974;
    report.generator.saturated = true;
    report.kernel.findings = vec![
        finding(
            "surplus_bytes",
            Severity::Error,
            "on 3 connections the server sent bytes that no request had asked for; those \
             connections were dropped.",
            "look at one response with curl -v: a body longer than its Content-Length, or a body \
             after HEAD, 204 or 304",
        ),
        finding(
            "generator_saturated",
            Severity::Warning,
            "ringshot itself was the limit: a worker thread was busy 97% of the time. The server \
             may be able to do more, and latencies include waiting for the generator.",
            "more threads: -t 4 (on CPUs that the server does not use)",
        ),
        finding("server_closes_early", Severity::Info, "the server closed 7.", "a lower -r"),
    ];
    report
}

/// A result of that box with these latencies.
pub(crate) fn result(host: &str, total_us: &[u64]) -> (String, Report) {
    let mut report = clean();
    report.host.name = host.into();
    report.plan.seed = None;
    let latency = Latency::of(&histogram(total_us));
    report.requests.ok = latency.count;
    report.requests.started = latency.count;
    report.requests.in_flight = 0;
    for place in [
        &mut report.latency.connect,
        &mut report.latency.first_byte,
        &mut report.latency.service,
        &mut report.latency.total,
    ] {
        *place = latency.clone();
    }
    (format!("{host}.json"), report)
}

/// These latencies.
pub(crate) fn histogram(values_us: &[u64]) -> Histogram<u64> {
    let mut histogram = latency_histogram();
    for &us in values_us {
        histogram.record(us).unwrap();
    }
    histogram
}
