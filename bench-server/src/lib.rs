//! A small fast HTTP server to measure against.
//!
//! A load generator can only show its own limit against a server that is not the limit. This one
//! does as little as HTTP allows: one single-threaded runtime per thread, one `SO_REUSEPORT`
//! listener per thread, nothing shared between threads but counters that each thread owns, and, for
//! the paths that need it, the schedule of answers that come later.
//!
//! ```text
//! Server::start(Config)
//!    |- listen   one bound listener per thread, all on the same port
//!    '- thread   pinned if asked, runs one backend until told to stop
//!         |- hyper   accept -> connection -> answers (route, schedule, alarm, body)
//!         |- faulty  accept -> connection -> wire    (route, faults, alarm)
//!         '- uring   accept -> connection -> wire    (feature `uring`)
//!                    all count into stats
//! ```
//!
//! ```
//! use bench_server::{Config, Server};
//!
//! let server = Server::start(Config {
//!     listen: "127.0.0.1:0".parse().unwrap(),
//!     threads: 1,
//!     ..Config::default()
//! })?;
//! println!("listening on http://{}/", server.addr());
//! assert_eq!(server.stats().requests, 0);
//! server.stop();
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod accept;
mod alarm;
mod answers;
mod body;
mod bucket;
mod clock;
mod config;
mod cpus;
mod delays;
mod faults;
mod faulty_backend;
mod few;
mod hyper_backend;
mod listen;
mod mix;
mod route;
mod schedule;
mod server;
mod stats;
#[cfg(feature = "uring")]
mod uring_backend;
mod wire;

pub use config::{Backend, Config};
pub use cpus::parse_cpu_list;
pub use faults::{Fault, FaultCounts};
pub use server::Server;
pub use stats::Stats;

/// What `/` answers, on every backend.
pub const HELLO: &str = "Hello, World!";
