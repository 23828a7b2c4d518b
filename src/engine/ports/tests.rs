use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const TARGET: &str = "127.0.0.1:8080";

fn policy(close: CloseMode, requests_per_connection: Option<u64>) -> Policy {
    Policy {
        requests_per_connection,
        pipeline: 1,
        close,
        timeout_ns: 1_000_000_000,
        holds: false,
        discard_from_bytes: 4096,
    }
}

fn space() -> PortSpace {
    PortSpace { local_range: 32768..=60999, reserved: Vec::new(), first_unprivileged: 1024 }
}

fn decide(choice: PortChoice, policy: Policy, connections: u32) -> Ports {
    let targets = [TARGET.parse().unwrap()];
    Ports::decide(&choice, Vec::new(), &targets, &policy, connections, &space()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn who_chooses_follows_from_the_plan() {
    use CloseMode::{Client, Rst, Server};
    use Method::{Kernel, Rotation};
    let within = PortChoice::Within(40000..=49999);
    for (choice, close, per_connection, connections, method) in [
        (PortChoice::Auto, Client, Some(1), 64, Rotation),
        (PortChoice::Auto, Client, Some(100), 64, Rotation),
        (PortChoice::Auto, Server, Some(1), 64, Kernel),
        (PortChoice::Auto, Rst, Some(1), 64, Kernel),
        (PortChoice::Auto, Server, None, 64, Kernel),
        (PortChoice::Auto, Server, None, 20_000, Rotation),
        (PortChoice::Auto, Server, Some(1), 20_000, Rotation),
        (PortChoice::Kernel, Client, Some(1), 20_000, Kernel),
        (within.clone(), Client, Some(1), 64, Rotation),
        (within, Server, Some(1), 64, Rotation),
    ] {
        let ports = decide(choice.clone(), policy(close, per_connection), connections);
        assert_eq!(ports.method, method, "{choice:?} {close:?} {per_connection:?} {connections}");
    }
}

#[test]
fn reserved_ports_and_the_targets_own_are_left_out() {
    let targets = ["127.0.0.1:40005".parse().unwrap()];
    let space = PortSpace {
        local_range: 40000..=40009,
        reserved: vec![40001..=40001, 40003..=40004, 1..=2],
        ..space()
    };
    let policy = policy(CloseMode::Client, Some(1));
    let ports = Ports::decide(&PortChoice::Auto, Vec::new(), &targets, &policy, 1, &space).unwrap();
    // Only two of the odd ones are left, too few for one connection after the other.
    assert_eq!(*ports.usable, [40000, 40002, 40006, 40007, 40008, 40009]);
    assert_eq!((ports.reserved, ports.left_to_others, ports.pairs(0)), (4, 0, 6));
}

#[test]
fn the_ports_that_others_look_at_first_are_left_to_them() {
    let policy = policy(CloseMode::Client, Some(1));
    let ports = decide(PortChoice::Auto, policy, 64);
    assert!(ports.usable.iter().all(|port| port % 2 == 1));
    assert_eq!((ports.usable.len(), ports.left_to_others, ports.reserved), (14_116, 14_116, 0));
    let ports = decide(PortChoice::Auto, policy, 5_000);
    assert_eq!((ports.usable.len(), ports.left_to_others), (28_232, 0), "all when they are needed");
    let ports = decide(PortChoice::Within(40000..=40999), policy, 64);
    assert_eq!((ports.usable.len(), ports.left_to_others), (1000, 0), "all that were named");
}

#[test]
fn a_range_without_a_usable_port_is_refused() {
    let targets = [TARGET.parse().unwrap()];
    let policy = policy(CloseMode::Client, Some(1));
    let refused = |range, space: PortSpace| {
        Ports::decide(&PortChoice::Within(range), Vec::new(), &targets, &policy, 1, &space)
            .unwrap_err()
            .0
    };
    let reserved = PortSpace { reserved: vec![5000..=6000], ..space() };
    assert!(refused(5000..=5001, reserved).contains("reserved"));
    assert!(refused(8080..=8080, space()).contains("target's own"));
    assert!(refused(80..=90, space()).contains("ports below 1024 need a privilege"));
}

#[test]
fn given_addresses_serve_the_targets_of_their_family() {
    let targets = ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()];
    let given = vec![ip("127.0.0.2"), ip("127.0.0.3"), ip("::1")];
    let policy = policy(CloseMode::Server, Some(1));
    let ports = Ports::decide(&PortChoice::Auto, given, &targets, &policy, 1, &space()).unwrap();
    assert_eq!(ports.sources, [vec![ip("127.0.0.2"), ip("127.0.0.3")], vec![ip("::1")]]);
    assert_eq!(ports.socket_options().len(), 1, "IP_BIND_ADDRESS_NO_PORT");
    let mut rotation = ports.rotation(0, 1);
    let next: HashSet<_> = (0..4).map(|_| rotation.next(0).unwrap().to_string()).collect();
    assert_eq!(next, HashSet::from(["127.0.0.2:0", "127.0.0.3:0"].map(String::from)));
    assert_eq!(rotation.next(1), Some("[::1]:0".parse().unwrap()));
    // Whatever the number of workers, each takes them in turn.
    for worker in 0..3 {
        let mut rotation = ports.rotation(worker, 3);
        let turns: Vec<_> = (0..4).map(|_| rotation.next(0).unwrap()).collect();
        assert!(turns[0] != turns[1] && turns[0] == turns[2] && turns[1] == turns[3]);
    }
    assert_eq!(rotation.tries(0), 0, "what the kernel says about its own choice is final");
}

#[test]
fn without_addresses_the_kernel_is_left_alone() {
    let ports = decide(PortChoice::Auto, policy(CloseMode::Server, Some(1)), 64);
    assert_eq!(ports.socket_options().len(), 0);
    assert_eq!(ports.rotation(0, 1).next(0), None);
}

#[test]
fn a_source_of_the_other_family_reaches_nothing() {
    let both: Vec<SocketAddr> = ["127.0.0.1:80", "[::1]:80"].map(|a| a.parse().unwrap()).to_vec();
    assert_eq!(towards(both.clone(), &[]).unwrap(), both);
    assert_eq!(towards(both.clone(), &[ip("127.0.0.2")]).unwrap(), both[..1]);
    assert_eq!(towards(both.clone(), &[ip("127.0.0.2"), ip("::1")]).unwrap(), both);
    let error = towards(both[..1].to_vec(), &[ip("::1")]).unwrap_err().0;
    assert!(error.starts_with("--source-ip ::1: the target is 127.0.0.1"), "{error}");
}

#[test]
fn the_route_names_the_source() {
    assert_eq!(route_source(TARGET.parse().unwrap()), Some(ip("127.0.0.1")));
}

#[test]
fn lists_and_prefixes_are_resolved_on_this_box() {
    let resolve = |text| SourceList::parse(text).and_then(|list| list.resolve());
    assert_eq!(
        resolve("127.0.0.2, 127.0.0.3,127.0.0.2").unwrap(),
        [ip("127.0.0.2"), ip("127.0.0.3")]
    );
    // On the loopback every address of the network is one of the box.
    assert_eq!(resolve("127.0.9.1/31").unwrap(), [ip("127.0.9.0"), ip("127.0.9.1")]);
    // What a prefix adds may be known already.
    assert_eq!(resolve("127.0.0.5,127.0.0.5/32").unwrap(), [ip("127.0.0.5")]);
    for (text, expected) in [
        ("198.51.100.1", "198.51.100.1: not an address of this box"),
        ("198.51.100.0/28", "198.51.100.0/28: no address of it"),
        ("2001:db8::1", "2001:db8::1: not an address of this box"),
        ("127.0.0.0/8", "at most 4096 addresses, which is one /20"),
        ("::/0", "at most 4096 addresses, which is one /116"),
        ("127.0.0.0/20,127.0.16.0/20", "127.0.16.0/20: at most 4096"),
        ("224.0.0.1", "multicast"),
        ("fe80::1", "link-local"),
        ("0.0.0.0", "name one"),
        ("", "give addresses"),
        ("127.0.0.1,,127.0.0.2", "give addresses"),
        ("localhost", "give addresses"),
        ("127.0.0.1/33", "give addresses"),
    ] {
        let error = resolve(text).expect_err(text).0;
        assert!(error.starts_with("--source-ip ") && error.contains(expected), "{text}: {error}");
    }
}

proptest! {
    /// Whatever the sizes: no two workers share a pair, together they have all of them, and each
    /// comes round exactly once in a lap.
    #[test]
    fn slices_are_disjoint_and_whole(
        ports in 1u16..200, addresses in 1u8..5, workers in 1usize..9,
    ) {
        let all = usize::from(ports) * usize::from(addresses);
        let workers = workers.min(all);
        let sources = (1..=addresses).map(|n| IpAddr::from([127, 0, 0, n])).collect();
        let ports = Ports {
            method: Method::Rotation,
            usable: (40000..40000 + ports).collect(),
            sources: vec![sources],
            ..Ports::kernel(1)
        };
        let mut seen = HashSet::new();
        for worker in 0..workers {
            let mut rotation = ports.rotation(worker, workers);
            let share = all / workers + usize::from(worker < all % workers);
            let lap: HashSet<_> = (0..share).map(|_| rotation.next(0).unwrap()).collect();
            prop_assert_eq!(lap.len(), share, "each once in a lap");
            let second: HashSet<_> = (0..share).map(|_| rotation.next(0).unwrap()).collect();
            prop_assert_eq!(&lap, &second, "and again in the next");
            for pair in lap {
                prop_assert!(seen.insert(pair), "{} belongs to two workers", pair);
            }
        }
        prop_assert_eq!(seen.len(), all);
    }
}
