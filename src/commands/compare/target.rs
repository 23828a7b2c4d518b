//! The target, fresh for every run, and what it counted of the run.
//!
//! A run leaves connections in TIME_WAIT behind for a minute. If these are the client's, the next
//! run finds its ports taken, and the second tool loses. The bundled server is therefore restarted
//! on another port for every run: no four-tuple comes back. Any other server stays where it is, so
//! ringshot waits for the ports.

use crate::commands::run::experiment;
use crate::commands::signals::Signals;
use crate::compare::document::SeenByServer;
use crate::kernel::{Address, Snapshot, SystemCounters, UnixSocket, sockets, sysctl};
use crate::plan::{Endpoint, Plan};
use crate::preflight;
use crate::preflight::cpus::Placement;
use crate::words::quantities::count;
use crate::words::say;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::HashSet;
use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::{Duration, Instant};

/// TIME_WAIT lasts for a minute.
const DRAIN_MAX: Duration = Duration::from_secs(65);

/// The part of the ports that may be in TIME_WAIT when a run starts.
const PORTS_TAKEN_MAX: f64 = 0.25;

/// How long a server may take to report its counts.
const STATS_TIME_MAX: Duration = Duration::from_secs(1);

/// More than the counts of a bench-server are.
const STATS_BYTES_MAX: usize = 256 * 1024;

/// Ports that were never used are found soon.
const SERVERS_TRIED_MAX: u32 = 16;

pub(crate) enum ComparisonTarget {
    /// The bundled server, and the ports that it had.
    Bundled { placement: Placement, ports: HashSet<u16> },
    /// One that ringshot did not start.
    Given {
        endpoint: Endpoint,
        addresses: Vec<Address>,
        /// Whether it reports its counts, as bench-server does.
        tells: bool,
    },
}

/// The target of one run.
pub(crate) struct Site {
    pub(crate) endpoint: Endpoint,
    /// What is still missing after the wait for ports, if anything.
    pub(crate) note: Option<String>,
    witness: Witness,
}

/// What saw the run, and what it had seen before.
enum Witness {
    Bundled(bench_server::Server),
    Stats {
        endpoint: Endpoint,
        address: Address,
        before: ServerCounts,
    },
    Kernel(Snapshot),
    /// The kernel does not count connections to a unix socket.
    Nobody,
}

/// What a bench-server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ServerCounts {
    requests: u64,
    connections: u64,
}

impl ComparisonTarget {
    /// Finds it.
    ///
    /// # Errors
    /// A name without an address; a socket that cannot be connected to.
    pub(crate) fn of(
        plan: &Plan,
        placement: &Placement,
    ) -> Result<ComparisonTarget, Box<dyn Error>> {
        let Some(endpoint) = plan.endpoint.clone() else {
            return Ok(ComparisonTarget::Bundled {
                placement: placement.clone(),
                ports: HashSet::new(),
            });
        };
        let addresses = preflight::addresses(&endpoint)?;
        let tells = addresses.iter().any(|address| counts(&endpoint, address).is_ok());
        Ok(ComparisonTarget::Given { endpoint, addresses, tells })
    }

    /// Makes it ready for a run.
    ///
    /// # Errors
    /// When the bundled server cannot be started.
    pub(crate) fn ready(&mut self, signals: &Signals) -> Result<Site, Box<dyn Error>> {
        match self {
            ComparisonTarget::Bundled { placement, ports } => {
                let mut tries = 0;
                let (server, endpoint) = loop {
                    let (server, endpoint) = experiment::start_bundled(placement)?;
                    tries += 1;
                    if ports.insert(endpoint.port) || tries == SERVERS_TRIED_MAX {
                        break (server, endpoint);
                    }
                };
                Ok(Site { endpoint, note: None, witness: Witness::Bundled(server) })
            }
            ComparisonTarget::Given { endpoint, addresses, tells } => {
                let note = drain(&Address::all_inet(addresses), signals);
                let told = addresses.iter().filter(|_| *tells).find_map(|address| {
                    let before = counts(endpoint, address).ok()?;
                    let (endpoint, address) = (endpoint.clone(), address.clone());
                    Some(Witness::Stats { endpoint, address, before })
                });
                let witness = told.unwrap_or_else(|| match endpoint.socket {
                    None => Witness::Kernel(Snapshot::take()),
                    Some(_) => Witness::Nobody,
                });
                Ok(Site { endpoint: endpoint.clone(), note, witness })
            }
        }
    }
}

impl Site {
    /// What was seen since it was made ready; `None` if nothing reports it.
    pub(crate) fn seen(self) -> Option<SeenByServer> {
        let seen = |by, requests: u64, connections| SeenByServer {
            by,
            requests: Some(requests),
            connections,
        };
        match self.witness {
            Witness::Bundled(server) => {
                let stats = server.stats();
                Some(seen("server".into(), stats.requests, stats.connections))
            }
            Witness::Stats { endpoint, address, before } => {
                let after = counts(&endpoint, &address).ok()?;
                // A server that restarted in between has lost its counts.
                let requests = after.requests.checked_sub(before.requests)?;
                let connections = after.connections.checked_sub(before.connections)?;
                Some(seen("stats".into(), requests, connections))
            }
            Witness::Nobody => None,
            Witness::Kernel(before) => {
                let SystemCounters(grown) = Snapshot::take().since(&before);
                let connections = *grown.get("TcpActiveOpens")?;
                Some(SeenByServer { by: "kernel".into(), requests: None, connections })
            }
        }
    }
}

/// Waits until most ports are free again; returns a remark if they are not.
fn drain(targets: &[SocketAddr], signals: &Signals) -> Option<String> {
    let ports = sysctl::local_port_range().count();
    let most = (ports as f64 * PORTS_TAKEN_MAX) as u64;
    // Where the kernel does not report them, there is nothing to wait for.
    let taken = || sockets::time_wait(targets).map_or(0, |found| found.client_owned());
    let begin = Instant::now();
    let mut told = false;
    loop {
        let count_now = taken();
        if count_now <= most || signals.exit_code().is_some() {
            return None;
        }
        let what = format!(
            "{} of {} source ports towards the target are in TIME_WAIT",
            count(count_now),
            count(ports as u64)
        );
        if begin.elapsed() >= DRAIN_MAX {
            return Some(format!(
                "started although {what}, after waiting for {} s",
                DRAIN_MAX.as_secs()
            ));
        }
        if !std::mem::replace(&mut told, true) {
            say::line(format_args!(
                "{what}; waiting until only a quarter is, for at most {} s",
                DRAIN_MAX.as_secs()
            ));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Asks a server for its counts, in bench-server's form.
fn counts(endpoint: &Endpoint, address: &Address) -> io::Result<ServerCounts> {
    let give_up = Instant::now() + STATS_TIME_MAX;
    let (kind, address) = match address {
        Address::Inet(address) => (Domain::for_address(*address), (*address).into()),
        Address::Unix(UnixSocket::File(path)) => (Domain::UNIX, SockAddr::unix(path)?),
        Address::Unix(UnixSocket::Abstract(name)) => {
            (Domain::UNIX, SockAddr::unix(OsStr::from_bytes(&[b"\0", name.as_bytes()].concat()))?)
        }
    };
    let mut stream = Socket::new(kind, Type::STREAM, None)?;
    stream.connect_timeout(&address, STATS_TIME_MAX)?;
    stream.set_write_timeout(Some(STATS_TIME_MAX))?;
    let host = &endpoint.host_header;
    write!(stream, "GET /stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let answer = read_until(stream, give_up)?;
    let answer = String::from_utf8_lossy(&answer);
    parse_counts(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads to the end, but does not wait for a server that drips forever.
fn read_until(mut stream: Socket, give_up: Instant) -> io::Result<Vec<u8>> {
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    while answer.len() < STATS_BYTES_MAX {
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

fn parse_counts(answer: &str) -> Option<ServerCounts> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let ok = head.split(' ').nth(1) == Some("200");
    let document: Value = serde_json::from_str(body).ok().filter(|_| ok)?;
    // Any server may have a page of that name: only a bench-server has this key in it.
    document["stats_requests"].as_u64()?;
    Some(ServerCounts {
        requests: document["requests"].as_u64()?,
        connections: document["connections"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bench_server_s_counts_are_taken() {
        let answer = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nA: b\r\n\r\n{body}");
        let body = r#"{"requests": 5, "connections": 3, "stats_requests": 1}"#;
        let expected = Some(ServerCounts { requests: 5, connections: 3 });
        assert_eq!(parse_counts(&answer("200 OK", body)), expected);
        assert_eq!(parse_counts(&answer("404 Not Found", body)), None);
        assert_eq!(parse_counts(&answer("200 OK", r#"{"requests": 5, "connections": 3}"#)), None);
        assert_eq!(parse_counts(&answer("200 OK", "<html>")), None);
        assert_eq!(parse_counts("garbage"), None);
    }

    #[test]
    fn a_server_that_never_comes_to_an_end_is_not_waited_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Each byte is in time, and there is always one more.
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let endpoint = Endpoint::parse(&format!("http://{address}/")).unwrap();
        assert!(counts(&endpoint, &address.into()).is_err());
        server.join().unwrap();
    }

    #[test]
    fn a_server_is_asked_over_a_connection_that_it_does_not_count() {
        let server = bench_server::Server::start(bench_server::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            threads: 1,
            ..Default::default()
        })
        .unwrap();
        let endpoint = Endpoint::parse(&format!("http://{}/", server.addr())).unwrap();
        for _ in 0..2 {
            let told = counts(&endpoint, &server.addr().into()).unwrap();
            assert_eq!(told, ServerCounts { requests: 0, connections: 0 });
        }
    }
}
