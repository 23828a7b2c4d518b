use super::*;
use crate::observe::{CpuLoad, ServerLoad, Watch};
use crate::result::{HostSecond, Latency, Report, Second, ServerSecond, sample};
use crate::statistics::latency_histogram;
use proptest::prelude::*;
use roxmltree::Document;
use std::f64::consts::TAU;

/// What a picture has, for a test that looks at it.
struct Seen {
    texts: Vec<String>,
    lines: usize,
    areas: usize,
}

fn see(svg: &str) -> Seen {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    assert_eq!(root.attribute("role"), Some("img"));
    assert!(root.attribute("aria-label").is_some_and(|label| !label.is_empty()));
    assert!(root.attribute("viewBox").is_some_and(|view| view.starts_with("0 0 1600 ")));
    for number in ["NaN", "inf", "-9223372036854775808", "2147483647"] {
        assert!(!svg.contains(&format!("{number}\"")) && !svg.contains(&format!("{number},")));
    }
    let count = |name: &str| root.descendants().filter(|node| node.has_tag_name(name)).count();
    let texts = root.descendants().filter(|node| node.has_tag_name("text"));
    let texts = texts.filter_map(|node| node.text()).map(|text| text.trim().to_owned());
    Seen { texts: texts.collect(), lines: count("polyline"), areas: count("polygon") }
}

impl Seen {
    fn has(&self, text: &str) -> bool {
        self.texts.iter().any(|seen| seen.contains(text))
    }
}

/// Latencies around a median, with a long tail.
fn latency(samples: u64, median_us: f64) -> Latency {
    let mut histogram = latency_histogram();
    for at in 0..samples {
        let beyond = (at as f64 + 0.5) / samples as f64;
        let us = median_us * (0.6 + 0.4 * (0.5 / beyond).powf(0.45));
        histogram.record(us as u64).unwrap();
    }
    Latency::of(&histogram)
}

/// A run of so many seconds, in which everything happens that a plot shows.
fn eventful(seconds: usize, cpus: usize) -> Report {
    let mut report = sample::paced();
    let wave = |at: usize, period: f64| (at as f64 / period * TAU).sin();
    let mut random = fastrand::Rng::with_seed(7);
    report.series = (0..seconds)
        .map(|at| {
            let stalled = seconds > 8 && at == seconds / 3;
            let failed = if at % 97 == 5 || (seconds * 3 / 5..seconds * 2 / 3).contains(&at) {
                random.u64(1..900)
            } else {
                0
            };
            let length_s = if at + 1 == seconds { 0.4 } else { 1.0 };
            let ok = 23_000.0 + 1_500.0 * wave(at, 40.0) + random.f64() * 800.0;
            let ok = (ok * length_s) as u64;
            let busy = (0..cpus).map(|cpu| 0.5 + 0.3 * wave(at + cpu * 9, 30.0));
            Second {
                t_s: at as f64 + length_s,
                requests: if stalled { 0 } else { ok + failed },
                ok: if stalled { 0 } else { ok },
                failed: if stalled { 0 } else { failed },
                connections: if stalled { 0 } else { ok + 17 },
                p50_us: (!stalled).then(|| 1_200 + random.u64(0..200)),
                p99_us: (!stalled).then(|| 2_800 + random.u64(0..1_500) + failed * 20),
                max_us: (!stalled).then_some(60_000),
                in_flight: 64,
                connect_mean_us: Some(61.0),
                time_wait: (at % 50 != 49).then_some((at as u64 * 2_300).min(28_000)),
                generator_cpu_ratio: Some(0.8 + 0.1 * wave(at, 25.0)),
                generator_cpu_wait_ratio: None,
                generator_throttled_s: None,
                host: Some(HostSecond { cpu_busy_ratio: busy.collect(), ..HostSecond::default() }),
                server: (!stalled).then(|| ServerSecond {
                    cpu_ratio: 1.6 + 0.2 * wave(at, 33.0),
                    ..ServerSecond::default()
                }),
            }
        })
        .collect();
    let cpus = (0..cpus).map(|cpu| CpuLoad { cpu: cpu * 2, ..CpuLoad::default() });
    let server = ServerLoad { name: "nginx".into(), ..ServerLoad::default() };
    report.watch = Some(Watch { cpus: cpus.collect(), server: Some(server), ..Watch::default() });
    report.latency.connect = latency(200_000, 61.0);
    report.latency.first_byte = latency(200_000, 1_214.0);
    report.latency.service = latency(200_000, 1_290.0);
    report.latency.total = latency(200_000, 1_400.0);
    report.latency.uncorrected = Some(latency(200_000, 900.0));
    report
}

fn all_of(report: &Report) -> Vec<String> {
    let plots = [latency::of_run(report), over_time(report), connections(report), cpu(report)];
    plots.into_iter().flatten().collect()
}

/// Pictures to look at: `RINGSHOT_PLOTS=DIR cargo test --lib plot` leaves them there.
fn keep(name: &str, svg: &str) {
    if let Some(directory) = std::env::var_os("RINGSHOT_PLOTS") {
        let path = std::path::Path::new(&directory).join(format!("{name}.svg"));
        std::fs::write(path, svg).unwrap();
    }
}

#[test]
fn a_run_shows_each_of_its_latencies() {
    let svg = latency::of_run(&eventful(10, 2)).unwrap();
    keep("latency", &svg);
    let seen = see(&svg);
    // Each has a line and a tail.
    assert_eq!(seen.lines, 10);
    for label in ["connect ", "first_byte ", "service ", "total ", "uncorrected ", "99.99%", "50%"]
    {
        assert!(seen.has(label), "{label} in {:?}", seen.texts);
    }
    let mut closed = sample::clean();
    closed.latency.connect = latency(0, 1.0);
    let seen = see(&latency::of_run(&closed).unwrap());
    assert!(!seen.has("uncorrected") && !seen.has("connect"), "{:?}", seen.texts);
}

#[test]
fn runs_are_laid_upon_each_other() {
    let latencies: Vec<Latency> = (1..=12).map(|at| latency(1000 * at, 50.0 * at as f64)).collect();
    let names: Vec<String> = (1..=12).map(|at| format!("run-{at}.json")).collect();
    let runs: Vec<(&str, &Latency)> = names.iter().map(|name| &**name).zip(&latencies).collect();
    let svg = latency::of_runs("Latency (total) by percentile", &runs).unwrap();
    keep("latency_runs", &svg);
    let seen = see(&svg);
    assert_eq!(seen.lines, 24);
    assert!(names.iter().all(|name| seen.has(name)), "{:?}", seen.texts);
    let svg = latency::of_runs("Latency (total) by percentile", &runs[..2]).unwrap();
    keep("latency_two", &svg);
    assert_eq!(latency::of_runs("none", &[]), None);
}

#[test]
fn a_gap_is_no_latency_of_zero_and_failures_are_marked() {
    let svg = over_time(&eventful(60, 2)).unwrap();
    keep("over_time", &svg);
    let seen = see(&svg);
    // The rate is one line; p50 and p99 are two pieces each.
    assert_eq!(seen.lines, 5);
    assert!(seen.has("Failed per second") && seen.has("p99") && seen.has("seconds since"));
    assert!(seen.areas > 0);
    let seen = see(&over_time(&sample::clean()).unwrap());
    assert!(!seen.has("Failed"), "{:?}", seen.texts);
}

#[test]
fn what_nobody_knows_has_no_plot() {
    let mut report = sample::clean();
    let row = &mut report.series[0];
    (row.generator_cpu_ratio, row.host, row.server) = (None, None, None);
    assert_eq!(cpu(&report), None);
    assert!(connections(&report).is_some());
    report.series[0].connections = 0;
    let seen = see(&connections(&report).unwrap());
    assert!(seen.has("Sockets in TIME_WAIT") && !seen.has("opened"), "{:?}", seen.texts);
    report.series[0].time_wait = None;
    assert_eq!(connections(&report), None);
    report.series.clear();
    assert_eq!(over_time(&report), None);
    assert_eq!(curve(&[], Some(1.0), None), None);
    assert_eq!(bars("t", "u", &[]), None);
}

#[test]
fn few_cpus_are_lines_and_many_are_a_band() {
    let svg = cpu(&eventful(60, 4)).unwrap();
    keep("cpu_few", &svg);
    let seen = see(&svg);
    // The server's has a gap.
    assert_eq!((seen.lines, seen.areas), (7, 0));
    assert!(seen.has("CPU 6") && seen.has("server (nginx)") && seen.has("200%"));
    let svg = cpu(&eventful(60, 64)).unwrap();
    keep("cpu_many", &svg);
    let seen = see(&svg);
    assert_eq!((seen.lines, seen.areas), (4, 1));
    assert!(seen.has("CPUs, mean") && !seen.has("CPU 6"));
}

#[test]
fn an_hour_and_a_day_are_small() {
    for seconds in [3_600, 86_400] {
        let report = eventful(seconds, 64);
        let svgs = all_of(&report);
        assert_eq!(svgs.len(), 4);
        for (svg, name) in svgs.iter().zip(["latency", "over_time", "connections", "cpu"]) {
            keep(&format!("{name}_{seconds}"), svg);
            see(svg);
            assert!(svg.len() < 100_000, "{name}: {} bytes", svg.len());
        }
    }
}

#[test]
fn a_single_bad_second_of_a_day_is_seen() {
    let mut report = eventful(86_400, 0);
    for row in &mut report.series {
        (row.failed, row.p50_us, row.p99_us) = (0, Some(1_000), Some(2_000));
    }
    let calm = over_time(&report).unwrap();
    report.series[40_000].failed = 1;
    report.series[40_000].p99_us = Some(7_000_000);
    let seen = see(&over_time(&report).unwrap());
    assert!(!see(&calm).has("Failed") && seen.has("(1 request in all)"), "{:?}", seen.texts);
    assert!(!see(&calm).has("10 s") && seen.has("10 s"), "{:?}", seen.texts);
}

#[test]
fn a_search_shows_its_knee() {
    let points: Vec<LoadPoint> = [1000.0, 2000.0, 4000.0, 8000.0, 12_000.0, 14_000.0, 15_000.0]
        .map(|rate_per_s: f64| {
            let us = 200.0 / (1.0 - rate_per_s / 15_500.0);
            LoadPoint { rate_per_s, p50_us: us as u64, p90_us: (us * 2.2) as u64 }
        })
        .to_vec();
    let svg = curve(&points, Some(12_000.0), Some(15_000.0)).unwrap();
    keep("curve", &svg);
    let seen = see(&svg);
    assert_eq!(seen.lines, 2);
    assert!(seen.has("knee: 12,000/s") && seen.has("limits: 15,000/s"), "{:?}", seen.texts);
    assert!(!see(&curve(&points[..1], None, None).unwrap()).has("knee"));
}

#[test]
fn bars_have_their_values_and_the_text_of_others_is_harmless() {
    let row = |label: &str, median, low, high| BarRow { label: label.into(), median, low, high };
    let mut rows = vec![
        row("ringshot", 40.2, 38.1, 44.0),
        row("wrk", 68.4, 66.0, 71.3),
        row("ab", 77.0, 76.1, 77.4),
        row("oha", 92.5, 81.0, 104.2),
        row("hey", 149.0, 136.0, 163.0),
    ];
    let title = "CPU per request, a new connection each";
    let svg = bars(title, "µs of CPU per request", &rows).unwrap();
    keep("bars", &svg);
    let seen = see(&svg);
    assert!(seen.has("40.2 (38.1 to 44.0)") && seen.has("µs of CPU"), "{:?}", seen.texts);
    rows[1].label = "<script>&\u{1b}[2J\u{202e}\"".into();
    rows[2].median = f64::NAN;
    let seen = see(&bars(title, "µs", &rows).unwrap());
    assert!(seen.has(r#"<script>&\x1b[2J\u{202e}""#) && seen.has("no number"), "{:?}", seen.texts);
}

#[test]
fn it_is_dark_where_the_screen_is() {
    for svg in all_of(&eventful(30, 64)) {
        let (_, dark) = svg.split_once("@media (prefers-color-scheme:dark){").unwrap();
        let (sheet, shapes) = dark.split_once("</style>").unwrap();
        // Every colour of a shape is replaced.
        let colours = shapes.split(['"', ' ']).filter(|word| word.starts_with('#'));
        for colour in colours {
            assert!(sheet.contains(&format!("\"{colour}\"]")), "{colour}");
        }
    }
}

fn any_second() -> impl Strategy<Value = Second> {
    let count = || prop_oneof![Just(0u64), 0..10_000u64, any::<u64>()];
    let ratio = || prop_oneof![Just(0.0), 0.0..4.0f64, any::<f64>()];
    let latency = || prop::option::of(count());
    let latencies = (latency(), latency(), latency());
    let counts = (count(), count(), count(), prop::option::of(count()));
    let host = prop::option::of(prop::collection::vec(ratio(), 0..7));
    let others = (prop::option::of(ratio()), host, prop::option::of(ratio()));
    let step_s = prop_oneof![Just(1.0), Just(0.001), any::<f64>()];
    (step_s, latencies, counts, others).prop_map(
        |(t_s, (p50_us, p99_us, max_us), counts, others)| {
            let (ok, failed, connections, time_wait) = counts;
            let (own, host, server) = others;
            let busy = |cpu_busy_ratio| HostSecond { cpu_busy_ratio, ..HostSecond::default() };
            let process = |cpu_ratio| ServerSecond { cpu_ratio, ..ServerSecond::default() };
            Second {
                t_s,
                ok,
                failed,
                connections,
                p50_us,
                p99_us,
                max_us,
                time_wait,
                generator_cpu_ratio: own,
                host: host.map(busy),
                server: server.map(process),
                ..Second::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_report_is_too_strange(
        seconds in prop::collection::vec(any_second(), 0..12),
        times in 1usize..60,
        whole in any::<bool>(),
        values in prop::collection::vec((any::<u64>(), 1..u64::MAX / 100), 0..30),
        p50_us: u64,
        count: u64,
    ) {
        let rows = seconds.iter().cycle().take(seconds.len() * times);
        let mut series: Vec<Second> = rows.cloned().collect();
        if whole {
            let mut end_s = 0.0;
            for row in &mut series {
                end_s += 1.0;
                row.t_s = end_s;
            }
        }
        let mut report = sample::troubled();
        report.series = series;
        let mut histogram = latency_histogram();
        for (us, times) in values {
            histogram.saturating_record_n(us, times);
        }
        report.latency.total = Latency::of(&histogram);
        report.latency.service.p50_us = Some(p50_us);
        report.latency.service.count = count;
        for svg in all_of(&report) {
            see(&svg);
            prop_assert!(svg.len() < 100_000);
        }
    }

    #[test]
    fn no_bar_and_no_curve_is_too_strange(
        values in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<u64>(), ".*"), 0..20),
    ) {
        let rows: Vec<BarRow> = values
            .iter()
            .map(|(median, low, high, _, label)| BarRow {
                label: label.clone(), median: *median, low: *low, high: *high,
            })
            .collect();
        let points: Vec<LoadPoint> = values
            .iter()
            .map(|&(rate_per_s, .., us, _)| LoadPoint { rate_per_s, p50_us: us / 3, p90_us: us })
            .collect();
        let first = values.first().map(|value| value.0);
        for svg in [bars("a & b", "<unit>", &rows), curve(&points, first, first)].into_iter().flatten() {
            see(&svg);
        }
    }
}
