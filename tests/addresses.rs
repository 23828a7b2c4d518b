//! Names with several addresses, in network namespaces: which one gets the load, and what is said of
//! the others.

mod support;

use bench_server::{Backend, Config, Server};
use serde_json::Value;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use support::netns::{Namespace, isolated};
use support::{
    Running, ServerProcess, all_findings, assert_consistent, assert_finding, command_with_hosts,
    errors, eventually, run_command,
};
use tempfile::NamedTempFile;

/// A name of these addresses, in a file like /etc/hosts.
fn hosts(addresses: &[&str]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    for address in addresses {
        writeln!(file, "{address} many.test").expect("written");
    }
    file
}

/// 10.9.0.1 and so on, on the loopback device.
fn add_addresses(namespace: &Namespace, count: u8) -> Vec<Ipv4Addr> {
    let ips = (1..=count).map(|last| Ipv4Addr::new(10, 9, 0, last));
    ips.inspect(|ip| namespace.ip(&format!("addr add {ip}/32 dev lo"))).collect()
}

/// The bundled server in this process, on this address.
fn server_at(listen: SocketAddr) -> Server {
    Server::start(Config { listen, threads: 1, cpus: None, backend: Backend::Hyper })
        .expect("a server")
}

/// A server on each address, on one port.
fn servers_at(ips: &[Ipv4Addr]) -> Vec<Server> {
    let mut port = 0;
    let start = |&ip: &Ipv4Addr| {
        let server = server_at((ip, port).into());
        port = server.addr().port();
        server
    };
    ips.iter().map(start).collect()
}

/// A run to its end, which must be a good one.
fn measure(hosts: &NamedTempFile, arguments: &str) -> Value {
    let ran = run_command(command_with_hosts(hosts.path(), &format!("{arguments} --json -")));
    assert_eq!(ran.code, Some(0), "{arguments}: {}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    document
}

/// A key of each address of the target.
fn of_addresses(document: &Value, key: &str) -> Vec<Value> {
    let all = document["target"]["addresses"].as_array().expect("addresses");
    all.iter().map(|address| address[key].clone()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

#[test]
fn an_address_whose_packets_vanish_costs_the_run_nothing() {
    isolated(&["unshare"], |namespace| {
        namespace.ip("link add v0 type veth peer name v1");
        namespace.ip("-6 addr add fd77::1/64 dev v0 nodad");
        namespace.ip("link set v0 up");
        namespace.ip("link set v1 up");
        namespace.ip("-6 neigh add fd77::dead lladdr 02:00:00:00:00:77 dev v0");
        let ips = add_addresses(namespace, 1);
        let servers = servers_at(&ips);
        let port = servers[0].addr().port();
        let hosts = hosts(&["fd77::dead", "10.9.0.1"]);
        let document = measure(&hosts, &format!("http://many.test:{port}/ -t 1 -c 4 -n 200"));
        assert_eq!(document["requests"]["ok"], 200);
        assert_eq!(document["connections"]["failed"], 0);
        assert_eq!(errors(&document), []);
        assert_eq!(document["target"]["address"], format!("10.9.0.1:{port}"));
        assert_eq!(
            document["target"]["addresses_used"],
            "1 of 2 addresses: 10.9.0.1; the other gets nothing"
        );
        assert_eq!(of_addresses(&document, "before"), ["timeout", "accepts"]);
        assert_eq!(of_addresses(&document, "opened"), [0, 200]);
        let name = format!("[fd77::dead]:{port} did not answer for ");
        assert_finding(&document, "address_unanswered", &[&name]);
        // The connection before the run counts nowhere but at the server.
        assert_eq!(document["connections"]["opened"], 200);
        assert_eq!(servers[0].stats().connections, 201);
        // Nothing waited for the silent address.
        let longest = number(&document["latency"]["total"]["max_us"]);
        assert!(longest < 200_000 || document["series"][0]["ok"] != 0, "{longest}");
    });
}

#[test]
fn one_of_several_addresses_gets_the_load_and_it_is_said() {
    isolated(&["unshare"], |namespace| {
        let ips = add_addresses(namespace, 3);
        let servers = servers_at(&ips);
        let url = format!("http://many.test:{}/", servers[0].addr().port());
        let hosts = hosts(&["10.9.0.1", "10.9.0.2", "10.9.0.3"]);
        let document = measure(&hosts, &format!("{url} -t 2 -c 8 -n 600"));
        let said = "1 of 3 addresses: 10.9.0.1; the others get nothing";
        assert_eq!(document["target"]["addresses_used"], said);
        assert_eq!(document["plan"]["addresses"], "first");
        assert_eq!(of_addresses(&document, "opened"), [600, 0, 0]);
        assert_eq!(
            of_addresses(&document, "before"),
            [Value::from("accepts"), Value::Null, Value::Null]
        );
        let seen: Vec<u64> = servers.iter().map(|server| server.stats().connections).collect();
        assert_eq!(seen, [601, 0, 0]);
        // Others say what else this machine does.
        let ids = all_findings(&document);
        assert!(!ids.iter().any(|id| id.starts_with("address_")), "{ids:?}");
        let ran = run_command(command_with_hosts(hosts.path(), &format!("{url} -t 1 -n 50")));
        assert!(ran.stdout.lines().any(|line| line.trim() == said), "{}", ran.stdout);

        // Nothing is sent to find out how many there are.
        let before = namespace.counter("TcpActiveOpens");
        let ran = run_command(command_with_hosts(hosts.path(), &format!("doctor {url} --json -")));
        let expected: Vec<String> =
            servers.iter().map(|server| server.addr().to_string()).collect();
        assert_eq!(ran.document()["addresses"], Value::from(expected), "{}", ran.stderr);
        assert_eq!(namespace.counter("TcpActiveOpens"), before);
        assert!(ran.stderr.contains("3 addresses: 10.9.0.1, 10.9.0.2, 10.9.0.3"), "{}", ran.stderr);
    });
}

#[test]
fn all_addresses_get_their_part_but_those_that_refuse() {
    isolated(&["unshare"], |namespace| {
        let ips = add_addresses(namespace, 4);
        let servers = servers_at(&ips[..3]);
        let url = format!("http://many.test:{}/", servers[0].addr().port());
        let hosts = hosts(&["10.9.0.1", "10.9.0.4", "10.9.0.2", "10.9.0.3"]);
        for flags in ["--engine io_uring", "--engine epoll", "--close client", "-k"] {
            let before: Vec<u64> =
                servers.iter().map(|server| server.stats().connections).collect();
            let run = format!("{url} -t 2 -c 12 -n 600 --addresses all {flags}");
            let document = measure(&hosts, &run);
            assert_eq!(document["requests"]["ok"], 600, "{flags}");
            assert_eq!(document["plan"]["addresses"], "all");
            let opened: Vec<u64> = of_addresses(&document, "opened").iter().map(number).collect();
            let all: u64 = opened.iter().sum();
            assert_eq!(document["connections"]["opened"], all, "{flags}");
            assert_eq!(opened[1], 0, "{flags}");
            assert!([0, 2, 3].iter().all(|&at| opened[at] >= all / 4), "{flags}: {opened:?}");
            let answers = ["accepts", "ECONNREFUSED", "accepts", "accepts"];
            assert_eq!(of_addresses(&document, "before"), answers);
            assert_finding(&document, "address_unanswered", &["10.9.0.4", "econnrefused"]);
            // As many as the servers saw, but for the one before the run.
            let seen = servers.iter().map(|server| server.stats().connections).zip(before);
            let seen: Vec<u64> = seen.map(|(after, before)| after - before - 1).collect();
            assert_eq!(seen, [opened[0], opened[2], opened[3]], "{flags}");
        }
    });
}

#[test]
fn when_the_address_in_use_dies_another_one_takes_over() {
    for silently in [false, true] {
        isolated(&["unshare", "nft"], |namespace| {
            add_addresses(namespace, 2);
            let mut dies = ServerProcess::start_at("10.9.0.1:0", "--threads 1");
            let first: SocketAddr =
                dies.url["http://".len()..].trim_end_matches('/').parse().unwrap();
            let lives = server_at(([10, 9, 0, 2], first.port()).into());
            let hosts = hosts(&["10.9.0.1", "10.9.0.2"]);
            let url = format!("http://many.test:{}/", first.port());
            let plan = format!("{url} -t 1 -c 4 -d 60s --timeout 10s --json -");
            let run = Running::start(command_with_hosts(hosts.path(), &plan));
            eventually("the first one is used", || namespace.counter("TcpActiveOpens") > 100);
            assert_eq!(lives.stats().connections, 0);
            match silently {
                true => namespace.drop_incoming("ip daddr 10.9.0.1"),
                false => dies.kill(),
            }
            eventually("the second one is used", || lives.stats().connections > 100);
            run.signal("INT");
            let ran = run.finish();
            assert_eq!(ran.code, Some(130), "{}", ran.stderr);
            let document = ran.document();
            assert_consistent(&document);
            let [before, after]: [u64; 2] = of_addresses(&document, "opened")
                .iter()
                .map(number)
                .collect::<Vec<_>>()
                .try_into()
                .unwrap();
            assert!(before >= 90 && after >= 90, "{before} {after}");
            assert_eq!(document["connections"]["opened"], before + after);
            let used = document["target"]["addresses_used"].as_str().expect("a sentence");
            assert!(used.starts_with("all 2 addresses: 10.9.0.1 took "), "{used}");
            let by = if silently { "connect/timeout" } else { "connect/econnrefused" };
            let name = format!("{first} stopped accepting connections after ");
            assert_finding(&document, "address_lost", &[&name, by, "10.9.0.2"]);
            // What was under way when it died, and nothing after.
            let failed = number(&document["requests"]["failed"]);
            assert!(failed <= 8, "{silently}: {:?}", errors(&document));
            assert!(errors(&document).iter().all(|(name, _)| !name.starts_with("connect/")));
        });
    }
}

#[test]
fn when_no_address_accepts_all_is_counted_and_said_beforehand() {
    isolated(&["unshare"], |namespace| {
        add_addresses(namespace, 2);
        let hosts = hosts(&["10.9.0.1", "10.9.0.2"]);
        let plan = "http://many.test:9/ -t 1 -c 4 -n 20 --json -";
        let ran = run_command(command_with_hosts(hosts.path(), plan));
        assert_eq!(ran.code, Some(4), "{}", ran.stderr);
        let document = ran.document();
        assert_consistent(&document);
        assert_eq!(errors(&document), [("connect/ECONNREFUSED".to_owned(), 20)]);
        assert_eq!(
            document["target"]["addresses_used"],
            "none of 2 addresses accepted a connection"
        );
        let words: Vec<&str> = ran.stderr.split_whitespace().collect();
        let said = "no address of the target accepts a connection: 10.9.0.1:9 ECONNREFUSED, \
                    10.9.0.2:9 ECONNREFUSED";
        assert!(words.join(" ").contains(said), "{}", ran.stderr);
    });
}
