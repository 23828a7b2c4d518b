//! `ringshot doctor` as people and scripts use it, in namespaces with settings of their own.

mod support;

use serde_json::Value;
use support::netns::isolated;
use support::{ringshot, server};

/// The document on standard output, and the exit code.
fn examine(arguments: &str) -> (Value, Option<i32>) {
    let ran = ringshot(&format!("doctor {arguments} --json -"));
    assert!(!ran.stderr.contains("unexpected"), "{arguments}: {}", ran.stderr);
    (ran.document(), ran.code)
}

/// The knobs that do not fit.
fn amiss(document: &Value) -> Vec<String> {
    let checks = document["checks"].as_array().expect("checks");
    checks
        .iter()
        .filter(|check| check["verdict"] != "fits")
        .map(|check| {
            let (knob, cure) = (check["knob"].as_str(), check["cure"].as_str());
            let (knob, cure) = (knob.expect("a name"), cure.expect("a cure"));
            assert!(!cure.is_empty(), "a cure: {check}");
            support::assert_pastes(knob, cure);
            knob.to_owned()
        })
        .collect()
}

#[test]
fn a_plan_that_fits_is_exit_0() {
    isolated(&[], |namespace| {
        let server = server();
        for flags in ["", "--close client", "--close rst", "-k", "-c 1000"] {
            let (document, code) = examine(&format!("http://{}/ {flags}", server.addr()));
            assert_eq!((amiss(&document), code), (vec![], Some(0)), "{flags}");
            assert_eq!(document["schema"], "ringshot.doctor/1");
            assert_eq!(document["fits"], true);
        }
        assert_eq!(namespace.counter("TcpActiveOpens"), 0, "nothing was run");
    });
}

#[test]
fn what_would_limit_a_plan_is_exit_3_and_named() {
    isolated(&[], |namespace| {
        let server = server();
        let url = format!("http://{}/", server.addr());
        namespace.set("net.ipv4.tcp_tw_reuse", "0");
        let (document, code) = examine(&format!("{url} --close client --source-ports kernel"));
        assert_eq!(
            (amiss(&document), code),
            (vec!["net.ipv4.ip_local_port_range".into()], Some(3))
        );
        assert_eq!(document["fits"], false);
        namespace.set("net.ipv4.tcp_timestamps", "0");
        let (document, code) = examine(&format!("{url} --close client"));
        assert_eq!((amiss(&document), code), (vec!["net.ipv4.tcp_timestamps".into()], Some(3)));
        namespace.set("net.ipv4.ip_local_port_range", "40000 40031");
        let (document, code) = examine(&format!("{url} -c 100"));
        assert_eq!(
            (amiss(&document), code),
            (vec!["net.ipv4.ip_local_port_range".into()], Some(3))
        );
    });
}

#[test]
fn what_cannot_run_is_refused_before_it_runs_with_the_same_words() {
    isolated(&[], |namespace| {
        let server = server();
        namespace.set("net.ipv4.ip_local_port_range", "40000 40031");
        let plan = format!("http://{}/ -c 100 -n 1000", server.addr());
        let (document, _) = examine(&plan);
        let ran = ringshot(&plan);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let why = document["checks"][0]["why"].as_str().expect("why");
        assert!(ran.stderr.contains(why) && ran.stderr.contains("cure:"), "{}", ran.stderr);
        assert_eq!(namespace.counter("TcpActiveOpens"), 0);
    });
}

#[test]
fn a_run_that_will_be_limited_is_told_so_beforehand() {
    isolated(&[], |namespace| {
        let server = server();
        namespace.set("net.ipv4.tcp_tw_reuse", "0");
        let plan = "--close client --source-ports kernel -d 300ms";
        let ran = ringshot(&format!("http://{}/ {plan}", server.addr()));
        let words: Vec<&str> = ran.stderr.split_whitespace().collect();
        let words = words.join(" ");
        for part in ["net.ipv4.ip_local_port_range (", "starts to search after", "cure: --source"] {
            assert!(words.contains(part), "{part} in {}", ran.stderr);
        }
    });
}

#[test]
fn the_page_names_knob_value_need_and_cure() {
    isolated(&[], |namespace| {
        // Whatever the machine's own are.
        namespace.set("net.ipv4.ip_local_port_range", "32768 60999");
        namespace.set("net.ipv4.tcp_tw_reuse", "2");
        let ran = ringshot("doctor --close client --source-ports kernel");
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        for part in ["bundled server", "ip_local_port_range", "needed:", "→", "--source-ports auto"]
        {
            assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
        }
    });
    assert_eq!(ringshot("doctor --source-ports 9-5").code, Some(2));
    assert_eq!(ringshot("doctor ftp://x/").code, Some(2));
}
