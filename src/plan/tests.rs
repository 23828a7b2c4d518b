use super::*;
use crate::plan::flags::Cli;
use clap::Parser;

pub(super) fn plan(arguments: &[&str]) -> Result<Plan, UsageError> {
    let cli = Cli::try_parse_from(std::iter::once(&"ringshot").chain(arguments))
        .unwrap_or_else(|error| panic!("{error}"));
    Plan::new(&cli.run, &[])
}

#[test]
fn the_defaults_are_a_new_connection_per_request_for_ten_seconds() {
    let plan = plan(&["http://a/"]).unwrap();
    assert_eq!(plan.policy.requests_per_connection, Some(1));
    assert_eq!((plan.policy.pipeline, plan.policy.close), (1, CloseMode::Server));
    assert_eq!((plan.connections, plan.duration), (64, Some(Duration::from_secs(10))));
    assert_eq!((plan.requests, plan.threads, &*plan.method), (None, None, "GET"));
}

#[test]
fn reuse_follows_from_three_flags() {
    let cases: [(&[&str], Option<u64>, u32); 6] = [
        (&["-k"], None, 1),
        (&["-p", "16"], None, 16),
        (&["-p", "1"], None, 1),
        (&["-r", "100"], Some(100), 1),
        (&["-k", "-r", "100"], Some(100), 1),
        (&["-r", "100", "-p", "8"], Some(100), 8),
    ];
    for (arguments, per_connection, pipeline) in cases {
        let policy = plan(arguments).unwrap().policy;
        assert_eq!(
            (policy.requests_per_connection, policy.pipeline),
            (per_connection, pipeline),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_number_of_requests_lifts_the_limit_of_time() {
    assert_eq!(plan(&["-n", "10k"]).unwrap().duration, None);
    let both = plan(&["-n", "5", "-d", "2m"]).unwrap();
    assert_eq!((both.requests, both.duration), (Some(5), Some(Duration::from_secs(120))));
}

#[test]
fn no_more_connections_than_there_are_requests_for() {
    for (arguments, connections) in [
        ("-n 1 -c 100000", 1),
        ("-n 100 -c 100", 100),
        ("-n 10 -d 1s", 10),
        ("-n 10 -c 100 -w 1s", 100),
        ("-c 100", 100),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        assert_eq!(plan(&arguments).unwrap().connections, connections, "{arguments:?}");
    }
}

#[test]
fn a_url_that_is_not_sent_as_it_is_typed_is_noted() {
    assert_eq!(plan(&["http://a/%2e'"]).unwrap().notes, [""; 0]);
    let notes = plan(&["http://a/ä?\u{202e}"]).unwrap().notes;
    assert_eq!(notes, [r"URL http://a/ä?\u{202e}: sent as http://a/%C3%A4?\u{202e}"]);
}

#[test]
fn values_that_cannot_be_used_name_the_flag_and_the_form() {
    let cases: [(&[&str], &str); 31] = [
        (
            &["--source-ports", "5000-4000"],
            "--source-ports 5000-4000: the range is reversed; did you",
        ),
        (&["--source-ports", "0-10"], "--source-ports 0-10: ports start at 1"),
        (&["--source-ports", "5000-"], "--source-ports 5000-: give auto, kernel or a range"),
        (&["--source-ports", "-"], "--source-ports -: give auto"),
        (&["--source-ports", "1-65536"], "--source-ports 1-65536: give auto"),
        (&["--source-ports", ""], "--source-ports : give auto"),
        (&["--source-ip", "nowhere"], "--source-ip nowhere: give addresses"),
        (&["-c", "0"], "--connections 0: give a whole number"),
        (&["-c", "-4"], "--connections -4: give"),
        (&["-c", "many"], "--connections many: give"),
        (&["-c", "99999999"], "--connections 99999999: at most"),
        (&["-t", "0"], "--threads 0: give"),
        (&["-n", "0"], "--requests 0: give"),
        (&["-n", "99999999999999999999"], "--requests 99999999999999999999: give"),
        (&["-r", "0"], "--requests-per-connection 0: give"),
        (&["-p", "0"], "--pipeline 0: give"),
        (&["-d", "-5s"], "--duration -5s: give a length of time"),
        (&["-d", "0"], "--duration 0: give"),
        (&["-d", "10y"], "--duration 10y: give"),
        (&["-d", "inf"], "--duration inf: give"),
        (&["-d", "1e30s"], "--duration 1e30s: give"),
        (&["-d", "99999999999h"], "--duration 99999999999h: give"),
        (&["--timeout", "0"], "--timeout 0: give"),
        (&["--close", "never"], "--close never: give server, client or rst"),
        (&["-m", "GE T"], "--method GE T: give"),
        (&["-m", "CONNECT"], "--method CONNECT: ringshot cannot measure a tunnel"),
        (&["-H", "X: a\r\nY: b"], "--header X: give `Name: value`, without line breaks"),
        (&["-H", "no colon"], "--header : give `Name: value`"),
        (&["-H", "X Y: b"], "--header : give `Name: value`"),
        (&["--cpus", "3-1"], "--cpus 3-1: give CPU numbers"),
        (&["--body-file", "/nonexistent/file"], "--body-file /nonexistent/file: No such file"),
    ];
    for (arguments, expected) in cases {
        let error = plan(arguments).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{arguments:?}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn durations_have_units_and_fractions() {
    let cases = [
        ("2", Duration::from_secs(2)),
        ("1.5s", Duration::from_millis(1500)),
        ("250ms", Duration::from_millis(250)),
        ("50us", Duration::from_micros(50)),
        ("1h", Duration::from_secs(3600)),
    ];
    for (text, expected) in cases {
        assert_eq!(plan(&["-d", text]).unwrap().duration, Some(expected), "{text}");
    }
}

#[test]
fn a_body_makes_it_a_post_unless_a_method_is_given() {
    assert_eq!(plan(&["-b", "x"]).unwrap().method, "POST");
    assert_eq!(plan(&["-b", "x", "-m", "PUT"]).unwrap().method, "PUT");
    assert_eq!(&*plan(&["-b", "x"]).unwrap().body, b"x");
}

#[test]
fn only_the_requests_that_a_plan_needs_are_built() {
    let cases: [(&[&str], bool, bool); 4] = [
        (&[], false, true),
        (&["-k"], true, true),
        (&["--close", "client"], true, false),
        (&["-k", "--close", "rst"], true, false),
    ];
    for (arguments, keeps, announces_close) in cases {
        let reuse = plan(arguments).unwrap().reuse();
        assert_eq!((reuse.keeps, reuse.announces_close), (keeps, announces_close), "{arguments:?}");
    }
}

#[test]
fn who_keeps_time_wait_follows_from_who_closes() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "server"),
        (&["--close", "client"], "client"),
        (&["--close", "rst"], "nobody"),
        (&["-r", "9"], "server"),
        (&["-k"], "client"),
    ];
    for (arguments, owner) in cases {
        assert_eq!(time_wait_owner(&plan(arguments).unwrap().policy), owner, "{arguments:?}");
    }
}

#[test]
fn cpus_are_a_list() {
    assert_eq!(plan(&["--cpus", "0,2-3"]).unwrap().cpus, CpuChoice::List(vec![0, 2, 3]));
    assert_eq!(plan(&["--cpus", "none"]).unwrap().cpus, CpuChoice::Unpinned);
    assert_eq!(plan(&[]).unwrap().cpus, CpuChoice::Auto);
}
