//! What a server is started with. Plain values; `Server::start` checks them.

use std::{net::SocketAddr, str::FromStr};

/// Everything `Server::start` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on. Port 0 lets the kernel choose; `Server::addr` tells which.
    pub listen: SocketAddr,
    /// Number of serving threads, each with its own runtime and its own listener.
    pub threads: usize,
    /// Thread `i` is pinned to the `i`-th CPU of this list, starting over at its end when there
    /// are more threads than CPUs. `None` leaves the placement to the scheduler.
    pub cpus: Option<Vec<usize>>,
    /// What serves the connections.
    pub backend: Backend,
}

impl Default for Config {
    /// `127.0.0.1:8080`, one thread per available core, not pinned, on hyper.
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            cpus: None,
            backend: Backend::Hyper,
        }
    }
}

/// What serves the connections of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// hyper over epoll: every path.
    #[default]
    Hyper,
    /// tokio-uring: `/` and `/stats` only, for when hyper is the limit. Starting it fails with
    /// `ErrorKind::Unsupported` in a build without the cargo feature `uring`.
    Uring,
    /// Plain sockets: `/`, `/faulty` and `/stats` only, for clients that have to live with faults.
    Faulty,
}

impl Backend {
    pub(crate) const MISSING_URING: &str =
        "backend `uring` needs the cargo feature `uring`, which this build does not have";

    /// Whether this build contains the backend.
    pub fn is_built_in(self) -> bool {
        self != Backend::Uring || cfg!(feature = "uring")
    }
}

impl FromStr for Backend {
    type Err = &'static str;

    /// Reads `hyper`, `uring` or `faulty`; a backend that this build does not contain is an error.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "hyper" => Ok(Backend::Hyper),
            "faulty" => Ok(Backend::Faulty),
            "uring" if Backend::Uring.is_built_in() => Ok(Backend::Uring),
            "uring" => Err(Backend::MISSING_URING),
            _ => Err("expected `hyper`, `uring` or `faulty`"),
        }
    }
}
