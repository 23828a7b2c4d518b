//! What several results that were merged into one look like.

use super::markdown;
use super::terminal::headline;
use crate::plan::describe::Place;
use crate::result::Report;
use crate::result::merge::merge;
use crate::result::sample::result;

fn command() -> Vec<String> {
    vec!["ringshot".into(), "report".into(), "--merge".into()]
}

#[test]
fn the_setup_of_all_is_said_as_it_is_of_each() {
    let pinned = |host: &str, cpus: &[usize]| {
        let mut result = result(host, &[100]);
        result.1.plan.cpus = cpus.to_vec();
        result
    };
    for (one, other, threads) in [
        (&[0, 1][..], &[0, 1][..], "4 threads on CPUs 0,1"),
        (&[0, 1], &[2, 3], "4 threads on CPUs 0-3"),
        (&[0, 1], &[], "4 threads, not pinned"),
    ] {
        let merged = merge(&[pinned("a", one), pinned("b", other)], &command()).unwrap();
        assert_eq!(merged.plan.words(Place::Generator), [threads]);
    }

    let ports = |host: &str, method: &'static str, low, usable| {
        let mut result = result(host, &[100]);
        let ports = &mut result.1.ports;
        (ports.method, ports.low, ports.usable) = (method.into(), low, usable);
        ports.why = "as asked".into();
        result
    };
    let line = |results: &[(String, Report)]| {
        let merged = merge(results, &command()).unwrap();
        headline::source_ports(&merged.ports, &merged.plan.source_ip)
    };
    let rotating = |host| ports(host, "rotation", 32_768, 28_000);
    assert_eq!(
        line(&[rotating("a"), rotating("b")]),
        "source ports: 28,000 of 32768-60999 in rotation, as asked"
    );
    assert_eq!(
        line(&[rotating("a"), ports("b", "rotation", 1_024, 50_000)]),
        "source ports: 50,000 of 1024-60999 in rotation, at most on one box, since these differ \
         in it; as asked"
    );
    assert_eq!(
        line(&[rotating("a"), ports("b", "kernel", 32_768, 28_000)]),
        "source ports: the kernel's choice, on some of the boxes; others chose them in rotation"
    );
}

#[test]
fn each_result_keeps_the_url_that_it_asked() {
    let (a, mut b) = (result("a", &[100]), result("b", &[100]));
    b.1.target.url = "http://10.0.0.1:8080/".into();
    let merged = merge(&[a, b], &command()).unwrap();
    let page = markdown(&merged, &|_| String::new());
    for url in ["http://127.0.0.1:8080/", "http://10.0.0.1:8080/"] {
        assert!(page.contains(&format!("| `{url}` |")), "{page}");
    }
}
