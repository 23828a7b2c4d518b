//! ringshot opens short HTTP connections over io_uring, tells the truth about what it measured,
//! and says why when the box itself is the limit.
//!
//! The modules are listed in the order in which a run passes through them, which is also the order
//! to read them in.

#![deny(unsafe_code)]

pub mod plan;

pub mod experiment;
pub mod signals;

pub mod preflight;
pub mod tuning;

pub mod engine;

pub mod statistics;

pub mod kernel;
pub mod observe;

pub mod findings;
pub mod report;

pub mod doctor;

pub mod search;

pub mod compare;

pub mod render;

pub mod documentation;

pub mod words;
