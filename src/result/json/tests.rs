//! The keys that others rely on.

use super::*;
use crate::engine::run::series::{ROWS_MAX, Series};
use crate::result::{Report, Second, sample};
use serde_json::Value;
use std::collections::BTreeSet;

/// Every key of the document, as README and readers know it. Lists have `[]`.
const KEYS: &[&str] = &[
    "schema",
    "version",
    "command[]",
    "target.url",
    "target.address",
    "target.bundled",
    "target.local",
    "target.addresses[].address",
    "target.addresses[].before",
    "target.addresses[].opened",
    "target.addresses[].failed",
    "target.addresses[].lost_s",
    "target.addresses[].lost_by",
    "target.addresses_used",
    "begun_at",
    "host.name",
    "host.governor",
    "host.memory_bytes",
    "host.cpu_quota",
    "host.memory_limit_bytes",
    "host.descriptors",
    "host.sysctls.net.core.somaxconn",
    "plan.connections",
    "plan.threads",
    "plan.duration_s",
    "plan.requests",
    "plan.requests_per_connection",
    "plan.pipeline",
    "plan.close",
    "plan.method",
    "plan.body_bytes",
    "plan.timeout_s",
    "plan.cpus[]",
    "plan.source_ports",
    "plan.source_ip[]",
    "plan.rate",
    "plan.arrivals",
    "plan.seed",
    "plan.backlog",
    "plan.ramp_connections_s",
    "plan.connect_rate",
    "plan.think_s",
    "plan.warmup_s",
    "plan.watch_pid",
    "plan.addresses",
    "plan.unix_socket",
    "host.kernel",
    "host.cpu_model",
    "host.cpus",
    "engine",
    "ring_tier",
    "interrupted",
    "duration_s",
    "warmup",
    "schedule",
    "requests.started",
    "requests.ok",
    "requests.failed",
    "requests.in_flight",
    "requests.resent",
    "requests.overdue",
    "connections.opened",
    "connections.failed",
    "connections.time_wait_owner",
    "ports.method",
    "ports.why",
    "ports.sources[]",
    "ports.low",
    "ports.high",
    "ports.usable",
    "ports.left_to_others",
    "ports.skipped_reserved",
    "ports.skipped_in_use",
    "ports.skipped_closing",
    "bytes.read",
    "bytes.written",
    "rate.requests_per_s",
    "rate.connections_per_s",
    "rate.failed_ratio",
    "rate.connections_failed_ratio",
    "slo[].limit",
    "slo[].measured",
    "slo[].bound",
    "slo[].unit",
    "slo[].pass",
    "slo[].samples",
    "slo[].missing",
    "slo[].missing.dropped",
    "slo[].missing.timed_out",
    "slo[].missing.unanswered",
    "confidence.level",
    "confidence.batches",
    "confidence.batch_s",
    "confidence.rate_per_s.low",
    "confidence.rate_per_s.high",
    "confidence.p50_us.low",
    "confidence.p50_us.high",
    "confidence.p99_us.low",
    "confidence.p99_us.high",
    "confidence.correlated",
    "steadiness.verdict",
    "steadiness.no_ok_after_s",
    "steadiness.no_answer_after_s",
    "steadiness.rate.change_ratio",
    "steadiness.rate.p_value",
    "steadiness.rate.drifts",
    "steadiness.p50.change_ratio",
    "steadiness.p50.p_value",
    "steadiness.p50.drifts",
    "steadiness.p99.change_ratio",
    "steadiness.p99.p_value",
    "steadiness.p99.drifts",
    "status.200",
    "status.404",
    "status.503",
    "errors[].phase",
    "errors[].kind",
    "errors[].count",
    "errors[].first_s",
    "errors[].last_s",
    "errors[].detail",
    "errors[].advice",
    "latency.uncorrected",
    "generator.threads",
    "generator.cpu_user_s",
    "generator.cpu_sys_s",
    "generator.cpu_us_per_request",
    "generator.busy_ratio",
    "generator.cpu_wait_ratio",
    "generator.cpu_wait_peak_ratio",
    "generator.demand_peak_ratio",
    "generator.throttled_s",
    "generator.saturated",
    "generator.loop.turns",
    "generator.loop.completions",
    "generator.loop.dispatch_s",
    "generator.loop.submit_s",
    "generator.loop.kernel_s",
    "generator.loop.idle_s",
    "kernel.counters.TcpActiveOpens",
    "kernel.time_wait.before",
    "kernel.time_wait.peak",
    "kernel.time_wait.after",
    "kernel.time_wait_sockets.before.by_destination[].destination",
    "kernel.time_wait_sockets.before.by_destination[].owner",
    "kernel.time_wait_sockets.before.by_destination[].count",
    "kernel.time_wait_sockets.before.others",
    "kernel.time_wait_sockets.after.by_destination[].destination",
    "kernel.time_wait_sockets.after.by_destination[].owner",
    "kernel.time_wait_sockets.after.by_destination[].count",
    "kernel.time_wait_sockets.after.others",
    "kernel.findings[].id",
    "kernel.findings[].severity",
    "kernel.findings[].text",
    "kernel.findings[].cure",
    "series_interval_s",
    "series[].t_s",
    "series[].requests",
    "series[].ok",
    "series[].failed",
    "series[].connections",
    "series[].p50_us",
    "series[].p99_us",
    "series[].max_us",
    "series[].in_flight",
    "series[].connect_mean_us",
    "series[].time_wait",
    "series[].generator_cpu_ratio",
    "series[].generator_cpu_wait_ratio",
    "series[].generator_throttled_s",
    "series[].host.cpu_busy_ratio[]",
    "series[].host.cpu_softirq_ratio",
    "series[].host.cpu_steal_ratio",
    "series[].host.memory_available_bytes",
    "series[].host.receive_bytes",
    "series[].host.send_bytes",
    "series[].host.receive_packets",
    "series[].host.send_packets",
    "series[].server.cpu_ratio",
    "series[].server.memory_bytes",
    "series[].server.descriptors",
    "watch.cpu_busy_ratio",
    "watch.cpu_steal_ratio",
    "watch.cpus[].cpu",
    "watch.cpus[].busy_ratio",
    "watch.cpus[].softirq_ratio",
    "watch.cpus[].steal_ratio",
    "watch.memory_available_min_bytes",
    "watch.network.receive_bytes",
    "watch.network.send_bytes",
    "watch.network.receive_packets",
    "watch.network.send_packets",
    "watch.network.receive_bytes_per_s",
    "watch.network.send_bytes_per_s",
    "watch.network.receive_packets_per_s",
    "watch.network.send_packets_per_s",
    "watch.server.pid",
    "watch.server.name",
    "watch.server.found_by",
    "watch.server.processes",
    "watch.server.threads",
    "watch.server.cpus",
    "watch.server.cpu_s",
    "watch.server.cpu_ratio",
    "watch.server.busiest_thread_ratio",
    "watch.server.cpu_wait_ratio",
    "watch.server.cpu_us_per_request",
    "watch.server.memory_peak_bytes",
    "watch.server.descriptors_peak",
    "watch.server.watched_s",
    "watch.server.ended",
    "watch.server_search_complete",
    "limited_by.who",
    "limited_by.evidence",
    "merged",
];

/// The keys of every latency.
const LATENCY_KEYS: &[&str] = &[
    "count",
    "min_us",
    "mean_us",
    "stdev_us",
    "p50_us",
    "p75_us",
    "p90_us",
    "p95_us",
    "p99_us",
    "p99_9_us",
    "p99_99_us",
    "max_us",
    "percentile_supported",
    "hdr",
];

/// What an open loop after a warm-up has beside them.
const PACED_KEYS: &[&str] = &[
    "plan.stages[].duration_s",
    "plan.stages[].from_per_s",
    "plan.stages[].to_per_s",
    "warmup.duration_s",
    "warmup.requests.started",
    "warmup.requests.ok",
    "warmup.requests.failed",
    "warmup.requests.in_flight",
    "warmup.requests.resent",
    "warmup.requests.overdue",
    "warmup.connections_opened",
    "warmup.p50_us",
    "warmup.p99_us",
    "warmup.max_us",
    "schedule.due",
    "schedule.dropped",
    "schedule.waiting",
    "schedule.waited",
    "schedule.unanswered_before",
    "schedule.unanswered_after",
    "schedule.kept_up",
];

fn keys_of(value: &Value, path: String, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                keys_of(value, format!("{path}{dot}{key}"), keys);
            }
        }
        Value::Array(items) => {
            for item in items {
                keys_of(item, format!("{path}[]"), keys);
            }
        }
        _ => {
            keys.insert(path);
        }
    }
}

/// A document, and what its keys have more and less than those that were promised.
fn compare(
    report: &Report,
    more: &[&str],
    latencies: &[&str],
) -> (Value, Vec<String>, Vec<String>) {
    let value: Value = serde_json::from_str(&document(report)).unwrap();
    let mut keys = BTreeSet::new();
    keys_of(&value, String::new(), &mut keys);
    let mut promised: BTreeSet<String> = KEYS.iter().chain(more).map(ToString::to_string).collect();
    for latency in latencies {
        promised.extend(LATENCY_KEYS.iter().map(|key| format!("{latency}.{key}")));
    }
    let missing = promised.difference(&keys).cloned().collect();
    let unknown = keys.difference(&promised).cloned().collect();
    (value, missing, unknown)
}

const LATENCIES: [&str; 4] =
    ["latency.connect", "latency.first_byte", "latency.service", "latency.total"];

#[test]
fn the_document_has_exactly_the_keys_that_were_promised() {
    let (value, missing, unknown) = compare(&sample::troubled(), &[], &LATENCIES);
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
    assert_eq!(value["schema"], "ringshot.run/1");
    assert_eq!(value["latency"]["uncorrected"], Value::Null);
    assert_eq!(value["kernel"]["findings"][1]["severity"], "warning");
    assert_eq!(value["status"]["503"], 325);
}

#[test]
fn an_open_loop_has_its_own_keys_and_no_others() {
    let latencies = [&LATENCIES[..], &["latency.uncorrected", "schedule.slip"]].concat();
    let (value, missing, unknown) = compare(&sample::paced(), PACED_KEYS, &latencies);
    // Null where there is more to tell, and what a clean run has none of.
    let empty = ["errors[]", "slo[]", "status.", "kernel.findings[]", "kernel.time_wait_sockets"];
    let nulls = ["warmup", "schedule", "latency.uncorrected"];
    let unknown: Vec<_> = unknown.iter().filter(|key| !key.contains("time_wait_sockets")).collect();
    assert_eq!(unknown, [""; 0]);
    let rest: Vec<_> = missing
        .iter()
        .filter(|key| !nulls.contains(&key.as_str()))
        .filter(|key| !empty.iter().any(|start| key.starts_with(start)))
        .collect();
    assert_eq!(rest, ["plan.source_ip[]"]);
    assert_eq!(value["plan"]["rate"], 1000.0);
}

#[test]
fn the_document_ends_with_a_newline_and_steers_no_terminal() {
    let mut report = sample::troubled();
    report.target.url = "\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{e0041}é".into();
    let text = document(&report);
    assert!(text.starts_with("{\n  \"schema\": \"ringshot.run/1\",\n"));
    assert!(text.ends_with("\n}\n"));
    assert!(!text.chars().any(|c| c != '\n' && crate::words::text::steers(c)));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["target"]["url"], report.target.url.as_str());
}

#[test]
fn a_document_is_read_as_it_was_written() {
    for report in [sample::clean(), sample::paced(), sample::troubled()] {
        let text = document(&report);
        let read: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(document(&read), text);
    }
}

/// Counts what is written, and the longest piece of it.
#[derive(Default)]
struct Meter {
    bytes: usize,
    longest: usize,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        self.longest = self.longest.max(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// On a clock that does not wait, with everything known of every second.
#[test]
fn a_day_on_64_cpus_is_no_large_document() {
    let mut report = sample::clean();
    let mut row = report.series[0].clone();
    row.host.as_mut().unwrap().cpu_busy_ratio = vec![0.123; 64];
    let mut series = Series::default();
    for t_s in 1..=86_400 {
        series.push(Second { t_s: f64::from(t_s), ..row.clone() });
    }
    assert!(series.rows().len() <= ROWS_MAX);
    let row_bytes = size_of::<Second>() + 64 * size_of::<f64>();
    assert!(ROWS_MAX * row_bytes < 5 << 20, "{row_bytes} bytes of memory a row");

    (report.series_interval_s, report.series) = (series.interval_s(), series.rows().to_vec());
    let mut meter = Meter::default();
    write_to(&report, &mut meter).unwrap();
    assert!(meter.bytes < 50_000_000, "{}", meter.bytes);
    assert!(meter.longest < 64 << 10, "it is written as it is made: {}", meter.longest);
}
