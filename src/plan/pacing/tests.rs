use super::*;
use crate::plan::Plan;
use crate::plan::tests::plan;

fn pacing(arguments: &[&str]) -> Pacing {
    plan(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}")).pacing
}

fn stage(duration_s: f64, from_per_s: f64, to_per_s: f64) -> RateStage {
    RateStage { duration_s, from_per_s, to_per_s }
}

/// When request `number` of a plan is due, in milliseconds.
fn due_ms(arguments: &[&str], number: f64) -> Option<u64> {
    let open_loop = pacing(arguments).model().open_loop.expect("an open loop");
    open_loop.curve.time_ns(number).map(|ns| ns / 1_000_000)
}

#[test]
fn the_default_is_a_closed_loop_that_nothing_holds_back() {
    let pacing = pacing(&[]);
    assert!(!pacing.is_open_loop() && !pacing.is_random());
    assert_eq!((pacing.peak_rate_per_s(), pacing.stages_duration()), (None, None));
    assert_eq!((pacing.think.clone(), pacing.connect_rate_per_s), (None, None));
    assert_eq!((pacing.warmup, pacing.ramp_connections), (Duration::ZERO, Duration::ZERO));
    let model = pacing.model();
    assert!(model.open_loop.is_none());
    assert_eq!((model.think_ns, model.ramp_ns, model.connect_rate_per_s), (None, 0, None));
}

#[test]
fn a_rate_is_one_stage_as_long_as_the_run() {
    for (text, per_s) in [
        ("1000", 1000.0),
        ("0.5", 0.5),
        ("2.5k", 2500.0),
        ("1K", 1000.0),
        ("1.5M", 1_500_000.0),
        ("10M", 1e7),
        ("0.000001", 1e-6),
    ] {
        assert_eq!(pacing(&["-R", text]).stages, [RateStage::constant(10.0, per_s)], "{text}");
    }
    let limited = plan(&["--rate", "100", "-d", "90s"]).unwrap();
    assert_eq!(limited.pacing.stages, [RateStage::constant(90.0, 100.0)]);
    assert_eq!(limited.duration, Some(Duration::from_secs(90)));
    assert_eq!(limited.pacing.peak_rate_per_s(), Some(100.0));
    // Requests alone have no limit of time.
    let counted = plan(&["-R", "100", "-n", "5"]).unwrap();
    assert_eq!(counted.pacing.stages, [RateStage::constant(f64::INFINITY, 100.0)]);
    assert_eq!((counted.duration, counted.requests), (None, Some(5)));
    assert_eq!(due_ms(&["-R", "100", "-n", "5"], 1e6), Some(10_000_000));
}

#[test]
fn stages_are_steps_ramps_and_pauses_and_say_how_long_the_run_is() {
    let text = "10s:1000,30s:1000..20000,500ms:0, 2m : 1.5k .. 0 ,3:7";
    let plan = plan(&["--stages", text]).unwrap();
    assert_eq!(
        plan.pacing.stages,
        [
            stage(10.0, 1000.0, 1000.0),
            stage(30.0, 1000.0, 20_000.0),
            stage(0.5, 0.0, 0.0),
            stage(120.0, 1500.0, 0.0),
            stage(3.0, 7.0, 7.0),
        ]
    );
    assert_eq!(plan.duration, Some(Duration::from_millis(163_500)));
    assert_eq!(plan.pacing.peak_rate_per_s(), Some(20_000.0));
    // A number of requests may end it earlier.
    let counted = crate::plan::tests::plan(&["--stages", "1s:5,2s:5..10", "-n", "3"]).unwrap();
    assert_eq!((counted.duration, counted.requests), (Some(Duration::from_secs(3)), Some(3)));
    // It may start with a pause.
    assert_eq!(due_ms(&["--stages", "2s:0,1s:10"], 1.0), Some(2100));
}

#[test]
fn a_warm_up_has_the_rate_with_which_the_stages_begin() {
    let flat = ["-R", "100", "-d", "3s", "-w", "2s"];
    assert_eq!(pacing(&flat).warmup, Duration::from_secs(2));
    assert_eq!(plan(&flat).unwrap().duration, Some(Duration::from_secs(3)), "without the warm-up");
    assert_eq!((due_ms(&flat, 200.0), due_ms(&flat, 500.0)), (Some(2000), None));
    let rising = ["--stages", "2s:100..300", "--warmup", "500ms"];
    assert_eq!((due_ms(&rising, 49.0), due_ms(&rising, 50.0)), (Some(490), Some(500)));
    assert_eq!((due_ms(&rising, 449.9), due_ms(&rising, 450.0)), (Some(2499), None));
    // A closed loop has one, too.
    assert_eq!(pacing(&["-w", "1.5s"]).warmup, Duration::from_millis(1500));
}

#[test]
fn arrivals_seed_and_backlog_are_those_of_an_open_loop() {
    let even = pacing(&["-R", "10"]);
    assert_eq!(
        (even.arrivals, even.backlog, even.is_random()),
        (Arrivals::Constant, 1_000_000, false)
    );
    let named = pacing(&["-R", "10", "--arrivals", "constant"]);
    assert_eq!(named.arrivals, Arrivals::Constant);
    let poisson = ["-R", "10", "--arrivals", "poisson"];
    let random = pacing(&poisson);
    assert_eq!((random.arrivals, random.is_random()), (Arrivals::Poisson, true));
    for (text, seed) in [("0", 0), ("42", 42), ("18446744073709551615", u64::MAX)] {
        let seeded = pacing(&[&poisson[..], &["--seed", text]].concat());
        assert_eq!((seeded.seed, seeded.model().seed), (seed, seed));
    }
    // Another one each time, which a document can hold.
    let drawn = [pacing(&poisson).seed, pacing(&poisson).seed];
    assert!(drawn[0] != drawn[1] && drawn.iter().all(|&seed| seed < 1 << 53), "{drawn:?}");
    for (text, backlog) in [("0", 0), ("1", 1), ("10k", 10_000), ("100M", 100_000_000)] {
        let open_loop = pacing(&["-R", "10", "--backlog", text]).model().open_loop;
        assert_eq!(open_loop.map(|open_loop| open_loop.backlog), Some(backlog), "{text}");
    }
}

#[test]
fn thinking_is_a_time_or_a_range_of_a_closed_loop() {
    let ms = Duration::from_millis;
    for (text, range) in [
        ("500ms", ms(500)..=ms(500)),
        ("2", ms(2000)..=ms(2000)),
        ("100ms..1s", ms(100)..=ms(1000)),
        ("1s..1s", ms(1000)..=ms(1000)),
    ] {
        let pacing = pacing(&["--think", text]);
        let ns = |duration: &Duration| duration.as_nanos() as u64;
        let think_ns = Some(ns(range.start())..=ns(range.end()));
        assert_eq!((&pacing.think, pacing.model().think_ns), (&Some(range), think_ns), "{text}");
    }
    assert!(!pacing(&["--think", "1s"]).is_random());
    let drawn = pacing(&["--think", "1s..2s", "--seed", "7"]);
    assert_eq!((drawn.is_random(), drawn.seed), (true, 7));
}

#[test]
fn connections_can_be_held_back_in_two_ways() {
    let ramp = pacing(&["--ramp-connections", "2s", "-d", "2s"]);
    assert_eq!(ramp.model().ramp_ns, 2_000_000_000);
    // The warm-up is a part of the run, and without an end there is none before the ramp's.
    assert_eq!(
        pacing(&["--ramp-connections", "3s", "-d", "1s", "-w", "2s"]).ramp_connections.as_secs(),
        3
    );
    assert_eq!(pacing(&["--ramp-connections", "1h", "-n", "10"]).ramp_connections.as_secs(), 3600);
    for load in [&[][..], &["-R", "10"]] {
        let limited = pacing(&[load, &["--connect-rate", "1.5k"]].concat());
        assert_eq!(limited.model().connect_rate_per_s, Some(1500.0));
    }
}

/// The message names the flag, what was wrong with it, and what to do instead.
#[test]
fn what_cannot_be_a_load_is_refused_with_the_flag_and_a_cure() {
    let rate = "give a number per second above zero and up to 10M";
    let stage = "give TIME:RATE or TIME:FROM..TO, such as";
    let time = "give a length of time above zero and up to a year, such as";
    let zero = "a rate is a number per second from 0 on, such as 1000";
    let cases: [(&[&str], &str, &str); 66] = [
        (&["-R", "0"], "--rate 0: ", rate),
        (&["-R", "-5"], "--rate -5: ", rate),
        (&["-R", ""], "--rate : ", rate),
        (&["-R", "k"], "--rate k: ", rate),
        (&["-R", "fast"], "--rate fast: ", rate),
        (&["-R", "1e3"], "--rate 1e3: ", rate),
        (&["-R", "inf"], "--rate inf: ", rate),
        (&["-R", "nan"], "--rate nan: ", rate),
        (&["-R", ".5"], "--rate .5: ", rate),
        (&["-R", "1.2.3"], "--rate 1.2.3: ", rate),
        (&["-R", "1,000"], "--rate 1,000: ", rate),
        (&["-R", "10.1M"], "--rate 10.1M: ", rate),
        (&["-R", "0.0000001"], "--rate 0.0000001: ", rate),
        (&["-R", "1000/s"], "--rate 1000/s: ", rate),
        (&["-R", "1000µ"], "--rate 1000µ: ", rate),
        (&["--connect-rate", "0"], "--connect-rate 0: ", rate),
        (&["--connect-rate", "x"], "--connect-rate x: ", rate),
        (&["--stages", ""], "--stages : ", stage),
        (&["--stages", "10s"], "--stages 10s: ", stage),
        (&["--stages", "10s:5,"], "--stages : ", stage),
        (&["--stages", "10s:5,,10s:5"], "--stages : ", stage),
        (&["--stages", "10s:5;10s:6"], "--stages 10s:5;10s:6: ", zero),
        (&["--stages", "10s:"], "--stages 10s:: ", zero),
        (&["--stages", "10s:x"], "--stages 10s:x: ", zero),
        (&["--stages", "10s:-1"], "--stages 10s:-1: ", zero),
        (&["--stages", "10s:5.."], "--stages 10s:5..: ", zero),
        (&["--stages", "10s:..5"], "--stages 10s:..5: ", zero),
        (&["--stages", "10s:1..2..3"], "--stages 10s:1..2..3: ", zero),
        (&["--stages", "1s:5,10s:2G"], "--stages 10s:2G: ", zero),
        (&["--stages", ":5"], "--stages : ", time),
        (&["--stages", "0s:5"], "--stages 0s: ", time),
        (&["--stages", "1s:5,10y:5"], "--stages 10y: ", time),
        (&["--stages", "1s:0,2s:0..0"], "--stages: every rate is 0", "give one that is not"),
        (&["--stages", "1s:5", "-R", "5"], "--stages: ", "give either --rate or --stages"),
        (
            &["--stages", "1s:5", "-d", "5s"],
            "--duration: the stages set the length of the run",
            "leave it out",
        ),
        (
            &["--stages", "5s:0..10", "-w", "1s"],
            "--warmup: it uses the rate with which the stages start, and that is 0",
            "start with a stage such as 2s:1000",
        ),
        (&["-w", "0"], "--warmup 0: ", time),
        (&["-w", "-1s"], "--warmup -1s: ", time),
        (&["-w", "soon"], "--warmup soon: ", time),
        (&["-R", "5", "--arrivals", "random"], "--arrivals random: ", "give constant or poisson"),
        (&["-R", "5", "--arrivals", "Poisson"], "--arrivals Poisson: ", "give constant or poisson"),
        (&["--arrivals", "poisson"], "--arrivals: it needs an open loop", "--rate or --stages"),
        (&["--arrivals", "constant"], "--arrivals: it needs an open loop", "--rate or --stages"),
        (&["--backlog", "5"], "--backlog: it needs an open loop", "--rate or --stages"),
        (&["-R", "5", "--backlog", "-1"], "--backlog -1: ", "give a whole number from 0 on"),
        (&["-R", "5", "--backlog", "x"], "--backlog x: ", "give a whole number from 0 on"),
        (&["-R", "5", "--backlog", "0.5"], "--backlog 0.5: ", "give a whole number from 0 on"),
        (&["-R", "5", "--backlog", "101M"], "--backlog 101000000: ", "at most 100000000"),
        (&["-R", "5", "--backlog", "99999999999G"], "--backlog 99999999999G: ", "whole number"),
        (&["--seed", "7"], "--seed: nothing is random here", "--arrivals poisson or a range of"),
        (&["--seed", "7", "-R", "5"], "--seed: nothing is random here", "--arrivals poisson"),
        (&["--seed", "7", "--think", "1s"], "--seed: nothing is random here", "a range of --think"),
        (&["--think", "1s..2s", "--seed", "-1"], "--seed -1: ", "give a whole number from 0 on"),
        (&["--think", "1s..2s", "--seed", "1.5"], "--seed 1.5: ", "give a whole number"),
        (&["--think", "1s..2s", "--seed", "+1"], "--seed +1: ", "give a whole number"),
        (&["--think", "1s..2s", "--seed", ""], "--seed : ", "give a whole number"),
        (
            &["--think", "1s..2s", "--seed", "18446744073709551616"],
            "--seed 18446744073709551616: ",
            "give a whole number",
        ),
        (&["--think", "0"], "--think 0: ", time),
        (&["--think", "long"], "--think long: ", time),
        (&["--think", "1s.."], "--think : ", time),
        (&["--think", "2s..1s"], "--think 2s..1s: the range is reversed", "did you mean 1s..2s?"),
        (&["--think", "1s", "-R", "5"], "--think: it needs a closed loop", "--connect-rate"),
        (
            &["--ramp-connections", "1s", "--stages", "5s:5"],
            "--ramp-connections: it needs a closed loop",
            "the schedule decides when requests are due",
        ),
        (&["--ramp-connections", "0"], "--ramp-connections 0: ", time),
        (
            &["--ramp-connections", "11s"],
            "--ramp-connections: the run ends before all connections have started",
            "a longer --duration or a shorter ramp",
        ),
        (
            &["--ramp-connections", "5s", "-d", "2s", "-w", "2s"],
            "--ramp-connections: the run ends before all connections have started",
            "a longer --duration or a shorter ramp",
        ),
    ];
    for (arguments, beginning, cure) in cases {
        let error = plan(arguments).expect_err(beginning).to_string();
        assert!(error.starts_with(beginning), "{arguments:?}: {error}");
        assert!(error.contains(cure), "{arguments:?}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn limits_are_read_with_the_plan() {
    let limits = |arguments: &[&str]| -> Result<Vec<String>, String> {
        let plan: Result<Plan, UsageError> = plan(arguments);
        let slos = plan.map_err(|error| error.to_string())?.slos;
        Ok(slos.iter().map(ToString::to_string).collect())
    };
    assert_eq!(limits(&[]), Ok(vec![]));
    assert_eq!(
        limits(&[
            "--slo",
            "p99<5ms",
            "--slo",
            "rate > 20k",
            "-R",
            "5",
            "--slo",
            "uncorrected.max<1s"
        ]),
        Ok(vec!["total.p99<5ms".into(), "rate>20000".into(), "uncorrected.max<1s".into()])
    );
    for (arguments, beginning, cure) in [
        (&["--slo", "p99"][..], "--slo p99: ", "p99<5ms"),
        (&["--slo", "errors<1%", "--slo", "p99<5"], "--slo p99<5: ", "unit"),
        (&["--slo", "a\nb<1"], "--slo a\\nb<1: ", "p99<5ms"),
        (
            &["--slo", "uncorrected.p99<5ms"],
            "--slo uncorrected.p99<5ms: only an open loop (--rate, --stages) has `uncorrected`",
            "in a closed loop, use total",
        ),
    ] {
        let error = limits(arguments).expect_err(beginning);
        assert!(error.starts_with(beginning), "{arguments:?}: {error}");
        assert!(error.contains(cure) && !error.contains('\n'), "{arguments:?}: {error}");
    }
}
