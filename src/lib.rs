//! ringshot opens short HTTP connections over io_uring, tells the truth about what it measured,
//! and says why when the box itself is the limit.
//!
//! The rooms stand in their order, top to bottom: a room knows only those below it.

#![deny(unsafe_code)]

pub mod commands;
pub mod pages;

pub mod compare;
pub mod search;

pub mod findings;
pub mod result;

pub mod observe;
pub mod plan;
pub mod preflight;
pub mod tuning;

pub mod engine;

pub mod kernel;
pub mod statistics;
pub mod words;
