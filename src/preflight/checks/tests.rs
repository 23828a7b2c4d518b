use super::*;
use crate::engine::pace::curve::{RateCurve, RateStage};
use crate::engine::pace::{Arrivals, Model, OpenLoop};
use crate::engine::ports::Ports;
use crate::kernel::{Address, Listener, UnixSocket};
use std::net::IpAddr;
use std::time::Duration;

pub(super) fn ports(method: Method, ports: u16, addresses: u8) -> Ports {
    let sources: Vec<IpAddr> = (1..=addresses).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    Ports {
        method,
        range: 32768..=60999,
        usable: (32768..32768 + ports).collect(),
        sources: vec![sources],
        ..Ports::kernel(1)
    }
}

/// 64 new connections over and over, towards a server elsewhere.
pub(super) fn load(close: CloseMode, ports: Ports) -> Load {
    let mut load = Load::new(vec![SocketAddr::from(([10, 0, 0, 9], 80))]);
    (load.connections, load.duration) = (64, Some(Duration::from_secs(10)));
    (load.policy.requests_per_connection, load.policy.close) = (Some(1), close);
    Load { ports, ..load }
}

pub(super) fn need(load: &Load) -> Need<'_> {
    Need { load, server_threads: 0, local: false }
}

pub(super) fn open_loop(rate_per_s: f64) -> OpenLoop {
    let curve = RateCurve::new(&[RateStage::constant(f64::INFINITY, rate_per_s)]);
    OpenLoop { curve: curve.into(), arrivals: Arrivals::Constant, backlog: 0 }
}

pub(super) fn host() -> HostFacts {
    HostFacts {
        descriptors: 20_000,
        files: Some((2_000, 9_000_000)),
        tw_reuse: 2,
        tw_reuse_delay_ms: 1000,
        timestamps: true,
        somaxconn: 4096,
        listener: None,
        syncookies: 1,
        max_syn_backlog: Some(2048),
        tw_buckets: Some(131_072),
        conntrack: Some((0, 262_144)),
        root: false,
        memory_available_bytes: Some(8 << 30),
        memory_limit: None,
        cpu_quota: None,
        ports_held: (0, 64),
    }
}

/// The knobs that do not fit, with their verdicts.
fn amiss(need: &Need<'_>, host: &HostFacts) -> Vec<(&'static str, CheckVerdict)> {
    let checks = examine(need, host);
    for check in &checks {
        let fits = check.verdict == CheckVerdict::Fits;
        assert_eq!(check.cure.is_empty(), fits, "a cure where it is needed: {check:?}");
        assert!(!check.why.is_empty() && !check.current.is_empty() && !check.needed.is_empty());
    }
    let amiss = checks.iter().filter(|check| check.verdict != CheckVerdict::Fits);
    amiss.map(|check| (check.knob, check.verdict)).collect()
}

#[test]
fn a_usual_plan_fits() {
    for close in [CloseMode::Server, CloseMode::Rst] {
        let load = load(close, ports(Method::Kernel, 28_232, 1));
        assert_eq!(amiss(&need(&load), &host()), []);
        assert_eq!(amiss(&Need { local: true, ..need(&load) }, &host()), []);
    }
    let load = load(CloseMode::Client, ports(Method::Rotation, 14_116, 1));
    assert_eq!(amiss(&need(&load), &host()), []);
}

#[test]
fn the_wall_is_predicted_in_seconds_and_rates() {
    let load = load(CloseMode::Client, ports(Method::Kernel, 28_232, 1));
    let checks = examine(&need(&load), &host());
    let wall = &checks[0];
    assert_eq!((wall.knob, wall.verdict), ("net.ipv4.ip_local_port_range", CheckVerdict::Limits));
    // 28,232 ports: at 25,000/s half of them last 0.56 s and all 1.13 s; over 60 s, 235/s and 471/s.
    for part in ["25,000/s", "after 565 ms", "after 1.13 s", "235/s", "471/s"] {
        assert!(wall.why.contains(part), "{part} in {}", wall.why);
    }
    assert!(wall.cure.contains("--source-ports auto"), "{}", wall.cure);
    let few = Load { requests: Some(10_000), duration: None, ..load };
    assert_eq!(amiss(&need(&few), &host()), [], "it ends before");
}

#[test]
fn a_rate_that_the_plan_sets_is_the_one_that_counts() {
    let kernel = load(CloseMode::Client, ports(Method::Kernel, 28_232, 1));
    let wall = [("net.ipv4.ip_local_port_range", CheckVerdict::Limits)];
    let amiss = |model| {
        let load = Load { duration: Some(Duration::from_secs(3600)), model, ..kernel.clone() };
        amiss(&need(&load), &host())
    };
    let at = |rate_per_s| Model { open_loop: Some(open_loop(rate_per_s)), ..Model::default() };
    assert_eq!(amiss(at(236.0)), wall);
    assert_eq!(amiss(at(235.0)), []);
    assert_eq!(amiss(Model { connect_rate_per_s: Some(200.0), ..Model::default() }), []);
    let second_ns = 1_000_000_000;
    assert_eq!(amiss(Model { think_ns: Some(second_ns..=second_ns), ..Model::default() }), []);
}

#[test]
fn the_wall_depends_on_who_may_take_over() {
    let wall = [("net.ipv4.ip_local_port_range", CheckVerdict::Limits)];
    let kernel = load(CloseMode::Client, ports(Method::Kernel, 28_232, 3));
    // Three addresses, reuse after a second on loopback: 42,000/s without a search.
    let loopback = SocketAddr::from(([127, 0, 0, 1], 80));
    let near = Load { addresses: vec![loopback.into()], ..kernel.clone() };
    let near = need(&near);
    assert_eq!(amiss(&near, &host()), []);
    assert_eq!(amiss(&need(&kernel), &host()), wall);
    assert_eq!(amiss(&need(&kernel), &HostFacts { tw_reuse: 1, ..host() }), []);
    assert_eq!(amiss(&near, &HostFacts { tw_reuse: 0, ..host() }), wall);
    // Without timestamps no port is taken over.
    let rotation = load(CloseMode::Client, ports(Method::Rotation, 14_116, 1));
    let bare = HostFacts { timestamps: false, ..host() };
    let timestamps = [("net.ipv4.tcp_timestamps", CheckVerdict::Limits)];
    assert_eq!(amiss(&need(&rotation), &bare), timestamps);
    let checks = examine(&need(&rotation), &bare);
    assert!(!checks[0].why.contains("search"), "in rotation nobody searches: {}", checks[0].why);
}

#[test]
fn what_cannot_work_is_refused_with_the_cure() {
    let load = load(CloseMode::Server, ports(Method::Rotation, 1_000, 1));
    let many = Load { connections: 1_500, ..load.clone() };
    let checks = examine(&need(&many), &host());
    let refusal = refuse(&checks).unwrap_err().to_string();
    assert!(
        refusal.contains("1,500 concurrent connections") && refusal.contains("there are 1,000"),
        "{refusal}"
    );
    assert!(refusal.contains("--source-ip"), "{refusal}");
    let poor = HostFacts { descriptors: 50, ..host() };
    assert_eq!(amiss(&need(&load), &poor), [("nofile", CheckVerdict::Prevents)]);
    let full = HostFacts { files: Some((1_000, 1_050)), ..host() };
    assert_eq!(amiss(&need(&load), &full), [("fs.file-max", CheckVerdict::Prevents)]);
    let small = HostFacts { memory_available_bytes: Some(100_000), ..host() };
    assert_eq!(amiss(&need(&load), &small), [("memory", CheckVerdict::Prevents)]);
}

#[test]
fn every_worker_needs_a_pair_for_each_of_its_slots() {
    let load = load(CloseMode::Client, ports(Method::Rotation, 10, 1));
    let load = Load { connections: 10, threads: 4, ..load };
    assert_eq!(
        amiss(&need(&load), &host()),
        [("net.ipv4.ip_local_port_range", CheckVerdict::Prevents)]
    );
    assert_eq!(amiss(&need(&Load { connections: 8, ..load }), &host()), []);
}

#[test]
fn the_accept_queue_is_judged_where_it_is_known() {
    let load = load(CloseMode::Server, ports(Method::Kernel, 28_232, 1));
    let short = Listener { backlog: 16, queued: 0, count: 1 };
    let host = HostFacts { listener: Some(short), ..host() };
    let local = Need { local: true, ..need(&load) };
    assert_eq!(amiss(&local, &host), [("listen backlog", CheckVerdict::Limits)]);
    assert_eq!(amiss(&need(&load), &host), [], "elsewhere it is another kernel's");
    let four = Listener { count: 4, ..short };
    assert_eq!(amiss(&local, &HostFacts { listener: Some(four), ..host.clone() }), []);
}

#[test]
fn half_open_connections_only_matter_without_cookies() {
    let load = load(CloseMode::Server, ports(Method::Kernel, 28_232, 1));
    let load = Load { connections: 2_000, ..load };
    let local = Need { local: true, ..need(&load) };
    assert_eq!(amiss(&local, &host()), []);
    let off = HostFacts { syncookies: 0, ..host() };
    assert_eq!(amiss(&local, &off), [("net.ipv4.tcp_max_syn_backlog", CheckVerdict::Limits)]);
}

#[test]
fn tracking_matters_when_it_is_on() {
    // Ten addresses, so that there are more 4-tuples than the table has room for.
    let many = load(CloseMode::Server, ports(Method::Kernel, 28_232, 10));
    let long = Load { duration: Some(Duration::from_secs(60)), ..many };
    assert_eq!(amiss(&need(&long), &host()), [], "not on here");
    let on = HostFacts { conntrack: Some((1, 262_144)), ..host() };
    assert_eq!(
        amiss(&need(&long), &on),
        [("net.netfilter.nf_conntrack_max", CheckVerdict::Limits)]
    );
    let one = Load { ports: ports(Method::Kernel, 28_232, 1), ..long };
    assert_eq!(amiss(&need(&one), &on), [], "a 4-tuple is tracked once");
}

#[test]
fn a_range_that_others_hold_is_said_beforehand() {
    let load = load(CloseMode::Client, ports(Method::Rotation, 14_116, 1));
    let held = HostFacts { ports_held: (60, 64), ..host() };
    assert_eq!(amiss(&need(&load), &held), [("source ports", CheckVerdict::Limits)]);
}

#[test]
fn a_cure_is_one_that_helps() {
    let checks = |connections, named| {
        let ports = Ports { named, ..ports(Method::Rotation, 10, 1) };
        examine(&need(&Load { connections, ..load(CloseMode::Client, ports) }), &host())
    };
    let own = &checks(64, true)[0];
    assert_eq!((own.knob, own.cure.contains("sysctl")), ("--source-ports", false), "{}", own.cure);
    assert!(checks(64, false)[0].cure.contains("`sysctl -w net.ipv4.ip_local_port_range="));
    // A listener's own backlog is not what the sysctl says.
    let load = load(CloseMode::Server, ports(Method::Kernel, 28_232, 1));
    let short = Listener { backlog: 16, queued: 0, count: 1 };
    let local = Need { local: true, ..need(&load) };
    let checks = examine(&local, &HostFacts { listener: Some(short), ..host() });
    assert_eq!(checks[0].cure, "listen(fd, 64) in the server");
}

#[test]
fn a_unix_socket_has_a_queue_and_neither_ports_nor_packets() {
    let load = load(CloseMode::Client, Ports::none());
    let socket = UnixSocket::File("/run/app.sock".into());
    let load = Load { addresses: vec![Address::Unix(socket)], ..load };
    let listener = |backlog| Some(Listener { backlog, queued: 0, count: 1 });
    // What would limit the same plan over TCP.
    let host = HostFacts {
        timestamps: false,
        syncookies: 0,
        max_syn_backlog: Some(1),
        tw_buckets: Some(1),
        conntrack: Some((10, 11)),
        ..host()
    };
    let checks = |backlog, connections| {
        let host = HostFacts { listener: listener(backlog), ..host.clone() };
        let load = Load { connections, ..load.clone() };
        examine(&Need { local: true, ..need(&load) }, &host)
    };
    let fits = checks(63, 64);
    let knobs: Vec<&str> = fits.iter().map(|check| check.knob).collect();
    assert_eq!(knobs, ["nofile", "listen backlog"]);
    assert!(fits.iter().all(|check| check.verdict == CheckVerdict::Fits), "{fits:?}");
    let limited = checks(62, 64);
    assert_eq!((limited[0].knob, limited[0].verdict), ("listen backlog", CheckVerdict::Limits));
    assert!(limited[0].why.contains("holds 63 of 64"), "{}", limited[0].why);
    assert!(limited[0].cure.contains("listen(fd, 64)"), "{}", limited[0].cure);
    assert!(checks(62, 5_000)[0].cure.contains("net.core.somaxconn"), "beyond what it may be");
    // A server that is not seen from here may have any queue.
    let local = Need { local: true, ..need(&load) };
    let unseen = examine(&local, &HostFacts { listener: None, ..host.clone() });
    assert_eq!(unseen.iter().map(|check| check.knob).collect::<Vec<_>>(), ["nofile"]);
}
