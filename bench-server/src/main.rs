//! The server as a program: parse, start, say where, serve until a signal, stop.

#![forbid(unsafe_code)]

use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    str::FromStr,
};

use bench_server::{Backend, Config, Server, parse_cpu_list};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// A small, fast HTTP server to measure.
///
/// Paths: / /bytes/N /chunked/N /delay/MS /mix/FAST/SLOW/PERCENT /limited/RATE /status/CODE /close
/// /echo /stats; with --backend faulty / /faulty/PERCENT[/QUIET_S/FAULTY_S] /stats
#[derive(Parser)]
#[command(name = "bench-server", version)]
struct Args {
    /// Address and port to listen on; with port 0 the kernel chooses
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Serving threads [default: the CPUs listed with --cpus, else the available cores]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,

    /// Pin thread i to the i-th of these CPUs, such as 0,2-3
    #[arg(long, value_name = "LIST|none", default_value = "none")]
    cpus: Cpus,

    /// Backend: hyper (every path except /faulty), uring (/ and /stats only), or faulty (/, /stats
    /// and /faulty)
    #[arg(long, value_name = "hyper|uring|faulty", default_value = "hyper")]
    backend: Backend,
}

#[derive(Clone)]
struct Cpus(Option<Vec<usize>>);

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_cpu_list(text).map(Cpus)
    }
}

/// More threads than this are a typing error; each takes a listener and a runtime.
const THREADS_MAX: usize = 1024;

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=THREADS_MAX).contains(&n) => Ok(n),
        _ => Err(format!("expected a number from 1 to {THREADS_MAX}")),
    }
}

impl Args {
    fn into_config(self) -> Config {
        let Cpus(cpus) = self.cpus;
        let threads = self.threads.or(cpus.as_ref().map(Vec::len));
        Config {
            listen: self.listen,
            threads: threads.unwrap_or(Config::default().threads),
            cpus,
            backend: self.backend,
        }
    }
}

fn main() -> ExitCode {
    match run(Args::parse().into_config()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "bench-server: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> Result<(), Box<dyn Error>> {
    raise_descriptor_limit();
    // Before the threads exist, so that no signal finds the default action in place.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = Server::start(config)?;
    // Nobody may be reading; that is no reason not to serve.
    let _ = writeln!(io::stdout(), "listening on http://{}/", server.addr());
    signals.forever().next();
    server.stop();
    Ok(())
}

/// Every connection is a descriptor, and the usual soft limit is 1024. A refusal is not worth a
/// word: the server runs with what it has, and says so if that is not enough.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
