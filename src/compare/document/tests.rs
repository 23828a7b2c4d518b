use super::*;
use crate::compare::plan::tests::{mode, plan};
use crate::compare::trial::ChildEnd;

fn row(name: &'static str, version: &str, us: f64, per_s: f64) -> ToolRow {
    let round = |number| Round {
        round: number,
        requests: Some(per_s as u64),
        ok: Some(per_s as u64),
        errors: Some(0),
        duration_s: Some(1.0),
        requests_per_s: Some(per_s),
        wall_s: Some(1.1),
        cpu_user_s: Some(0.05),
        cpu_us_per_request: Some(us),
        cpu_user_us_per_request: Some(us / 8.0),
        busy_ratio: Some(0.97),
        memory_peak_bytes: Some(8_000_000),
        latency: ToolLatencies {
            p50_us: Some(1000.0),
            p90_us: Some(2000.0),
            p99_us: None,
            max_us: Some(9000.0),
        },
        ..Round::default()
    };
    ToolRow {
        name: name.into(),
        version: Some(version.into()),
        command: ["wrk", "-t", "1", "-H", "Connection: close", "http://127.0.0.1:1/"]
            .map(String::from)
            .into(),
        script: None,
        installed: true,
        install: "apt install it".into(),
        cannot: None,
        footnote: "what it is".into(),
        rounds: [1, 2, 3].map(round).into(),
        medians: None,
        noisy: false,
        differs: false,
    }
}

/// ringshot and wrk, three rounds without any trouble.
pub(crate) fn rows() -> Vec<ToolRow> {
    vec![row(OURSELVES, "0.1.0", 40.5, 25_000.0), row("wrk", "4.1.0", 60.75, 20_000.0)]
}

pub(crate) fn document(rows: Vec<ToolRow>) -> ComparisonDocument {
    let mut plan = plan("-d 1s --rounds 3").unwrap();
    plan.run.command = ["ringshot", "compare", "-d", "1s"].map(String::from).into();
    let around = Conditions {
        setup: ComparisonSetup::of(&plan, 1, Engine::best(), &[1], &[0]),
        plan: &plan,
        host: Host { kernel: "6.18.0".into(), cpu_model: "a processor".into(), cpus: 2, ..host() },
        begun_at: "2026-01-31T12:00:00.000Z".into(),
        took: Duration::from_secs(7),
        interrupted: false,
        notes: Vec::new(),
    };
    ComparisonDocument::new(around, rows)
}

fn host() -> Host {
    use crate::preflight::{cpus::Cpus, host::HostFacts};
    Host::detect(&Cpus::detect(), &HostFacts::default())
}

fn trial() -> ChildRun {
    ChildRun {
        end: ChildEnd::Exited(0),
        stdout: String::new(),
        stderr: String::new(),
        wall: Duration::from_secs(2),
        cpu_user: Duration::from_millis(300),
        cpu_sys: Duration::from_millis(1500),
        cpu_wait: Some(Duration::from_millis(100)),
        throttled: None,
        memory_peak_bytes: Some(5),
    }
}

#[test]
fn a_round_has_the_kernel_s_numbers_and_the_tool_s() {
    let reading = ToolReport {
        requests: 90_000,
        ok: 90_000,
        errors: 1,
        duration_s: 1.8,
        ..ToolReport::default()
    };
    let seen = SeenByServer { by: "server".into(), requests: Some(90_010), connections: 90_010 };
    let round = Round::of(1, &trial(), 1).with(&reading, Some(seen), &mode("-d 2s"));
    assert_eq!(round.requests_per_s, Some(50_000.0));
    assert_eq!(round.cpu_us_per_request, Some(20.0));
    assert_eq!(round.cpu_user_us_per_request, Some(3.333));
    assert_eq!((round.busy_ratio, round.differs), (Some(0.9), false));
    assert_eq!((round.cpu_wait_ratio, round.throttled_s), (Some(0.05), None));
    assert_eq!(Round::of(1, &trial(), 2).busy_ratio, Some(0.45));

    let none = ToolReport { requests: 0, ok: 0, duration_s: 0.0, ..reading };
    let round = Round::of(1, &trial(), 1).with(&none, None, &mode("-d 2s"));
    assert_eq!((round.requests_per_s, round.cpu_us_per_request), (None, None));
}

#[test]
fn a_ratio_is_made_within_a_round() {
    let mut rows = rows();
    for (round, us) in rows[0].rounds.iter_mut().zip([40.0, 80.0, 50.0]) {
        round.cpu_us_per_request = Some(us);
    }
    for (round, us) in rows[1].rounds.iter_mut().zip([60.0, 124.0, 80.0]) {
        round.cpu_us_per_request = Some(us);
    }
    // ringshot did not get through the third.
    rows[0].rounds.pop();
    let medians = document(rows).tools[1].medians.clone().unwrap();
    assert_eq!(medians.cpu_us_per_request, Some(80.0));
    assert_eq!(
        (medians.ratio, medians.ratio_min, medians.ratio_max),
        (Some(1.525), Some(1.5), Some(1.55))
    );
    assert_eq!(medians.rounds, 3);
}

#[test]
fn rounds_without_an_answer_are_in_no_median() {
    let mut rows = rows();
    rows[1].rounds[0] = Round { round: 1, note: Some("it crashed".into()), ..Round::default() };
    let document = document(rows);
    let medians = document.tools[1].medians.clone().unwrap();
    assert_eq!((medians.rounds, medians.requests_per_s), (2, Some(20_000.0)));
    assert!(document.succeeded());
}

#[test]
fn errors_are_added_up() {
    let mut rows = rows();
    for (round, errors) in rows[1].rounds.iter_mut().zip([0, 5_000, 0]) {
        round.errors = Some(errors);
    }
    let document = document(rows);
    assert_eq!(document.tools[1].medians.as_ref().unwrap().errors, 5_000);
    assert_eq!(document.notes, ["wrk: 5,000 errors in 1 of 3 rounds."]);
}

#[test]
fn nothing_succeeded_when_no_tool_had_a_good_answer() {
    let mut rows = rows();
    for round in rows.iter_mut().flat_map(|row| &mut row.rounds) {
        round.ok = Some(0);
    }
    assert!(!document(rows).succeeded());
}

#[test]
fn its_plan_has_the_keys_that_others_rely_on() {
    let plan = serde_json::to_value(document(rows()).plan).unwrap();
    let keys = "body_bytes close connections cpus duration_s engine method pipeline requests \
                requests_per_connection ring_tier server_cpus threads timeout_s unix_socket url";
    for key in keys.split(' ') {
        assert!(plan.get(key).is_some(), "{key}");
    }
    for key in ["rate", "think_s", "warmup_s", "seed"] {
        assert_eq!(plan.get(key), None, "a comparison refuses it: {key}");
    }
    assert_eq!(serde_json::to_value(ComparisonSetup::deserialize(&plan).unwrap()).unwrap(), plan);
}
