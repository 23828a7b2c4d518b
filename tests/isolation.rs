//! The tests' own network namespaces: apart from the machine and from each other.

mod support;

use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use support::netns::isolated;

const KNOB: &str = "/proc/sys/net/ipv4/ip_local_port_range";

#[test]
fn a_sysctl_is_the_namespaces_own() {
    let outside = std::fs::read_to_string(KNOB).expect("a sysctl");
    isolated(&[], |namespace| {
        namespace.set("net.ipv4.ip_local_port_range", "40000 40001");
        assert_eq!(namespace.get("net.ipv4.ip_local_port_range"), "40000\t40001");
        isolated(&[], |other| {
            assert_ne!(other.get("net.ipv4.ip_local_port_range"), "40000\t40001");
        });
    });
    assert_eq!(std::fs::read_to_string(KNOB).expect("a sysctl"), outside);
}

#[test]
fn what_belongs_to_the_machine_is_not_to_be_had() {
    for knob in ["net.ipv4.tcp_mem", "net.core.netdev_max_backlog", "kernel.hostname"] {
        // Should it be written after all, nothing changes.
        let path = format!("/proc/sys/{}", knob.replace('.', "/"));
        let value = std::fs::read_to_string(path).expect("a sysctl");
        isolated(&[], |namespace| {
            let set = catch_unwind(AssertUnwindSafe(|| namespace.set(knob, value.trim())));
            assert!(set.is_err(), "{knob}");
        });
    }
}

#[test]
fn ports_and_counters_start_afresh() {
    for _ in 0..2 {
        isolated(&[], |namespace| {
            let listener = TcpListener::bind("127.0.0.1:80").expect("a free port");
            assert_eq!(namespace.counter("TcpActiveOpens"), 0);
            TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
            assert_eq!(namespace.counter("TcpActiveOpens"), 1);
        });
    }
}

#[test]
#[should_panic(expected = "aloud")]
fn a_panic_is_the_tests_own() {
    isolated(&[], |_| panic!("aloud"));
    // Where there was no namespace.
    panic!("aloud");
}
