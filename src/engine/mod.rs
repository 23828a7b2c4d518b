//! How a load runs: threads, each with its ring, its slots and its numbers.
//!
//! ```text
//!   run ──► worker ──► connection ──► session        what bytes mean
//!             │  ├───► pace                          when the next request begins
//!             │  └───► driver ──► kernel
//!             └──────► tally                         what has happened
//! ```
//!
//! `run` has the threads, and collects; `worker` is the loop of one. `ports` says where connections
//! come from, `policy` what they do alike, `failure` how what goes wrong is called. Nothing here knows
//! of plans, reports or commands.

pub mod run;
pub mod worker;

pub mod driver;

pub mod connection;
pub mod session;

pub mod failure;
pub mod pace;
pub mod policy;
pub mod ports;
pub mod tally;
