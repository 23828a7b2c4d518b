//! `ringshot doctor`: what on this machine would limit a plan, without running it. The rules are
//! those before a run, but doctor shows every setting that matters, also those that fit.

use crate::commands::emit::{Page, Results};
use crate::engine::driver::uring::Tier;
use crate::engine::driver::{Engine, EngineChoice};
use crate::kernel::Address;
use crate::pages;
use crate::plan::describe;
use crate::plan::flags::RunArgs;
use crate::plan::{Endpoint, Plan};
use crate::preflight::checks::{Check, CheckVerdict};
use crate::preflight::ground::Ground;
use crate::preflight::host::HostFacts;
use crate::result::diagnosis::{Diagnosis, SCHEMA};
use crate::tuning::obsolete;
use crate::words::exit;
use std::error::Error;
use std::path::Path;

/// Examines a plan, prints what was found, and returns the exit code.
///
/// # Errors
/// A flag, a target or a source that cannot be used; a document that cannot be written.
pub fn run(args: &RunArgs, words: &[String]) -> Result<u8, Box<dyn Error>> {
    let plan = &Plan::new(args, words)?;
    plan.outputs.only(&["--json"], "doctor")?;
    plan.watches_nothing("doctor")?;
    // The other rules still hold, for the engine that is used instead.
    let choice = match plan.engine {
        EngineChoice::IoUring => EngineChoice::Auto,
        choice => choice,
    };
    let ground = Ground::survey(&Plan { engine: choice, ..plan.clone() })?;
    let endpoint = match &plan.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => Endpoint::parse("http://127.0.0.1/")?,
    };
    let load = ground.load(plan, &endpoint)?;
    let mut host = HostFacts::detect(ground.descriptors, &load.addresses, &load.ports);
    if plan.endpoint.is_none() {
        // Not started yet: its queue will be as long as allowed.
        host.listener = None;
    }
    let over_unix = load.addresses[0].unix().is_some();
    let mut checks = vec![engine(plan.engine, &ground, over_unix)];
    checks.extend(ground.examine(&load, &host));
    checks.sort_by_key(|check| check.verdict);
    let diagnosis = Diagnosis {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: plan.command.clone(),
        url: plan.endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
        addresses: plan.endpoint.iter().flat_map(|_| Address::all_inet(&load.addresses)).collect(),
        unix_socket: load.addresses[0].unix().map(ToString::to_string),
        source_ports: format!("{}, {}", load.ports.method.name(), load.ports.why),
        fits: checks.iter().all(|check| check.verdict == CheckVerdict::Fits),
        checks,
        obsolete: obsolete::scan(Path::new("/")),
    };
    let delivery = Results::of(&plan.outputs, &diagnosis, |_| {});
    Page::beside(&plan.outputs).show(|out, style| {
        pages::doctor::page(&diagnosis, plan.addresses, out, style)?;
        pages::tune::obsolete(&diagnosis.obsolete, style, out)
    });
    Ok(delivery.code(if diagnosis.fits { exit::DONE } else { exit::LIMIT_BROKEN }))
}

/// The engine that the run would use.
fn engine(choice: EngineChoice, ground: &Ground, over_unix: bool) -> Check {
    let tier = ground.engine.tier().map(Tier::name);
    let current = match ground.no_ring {
        Some(_) => "no io_uring".into(),
        None => describe::engine(ground.engine.name(), tier),
    };
    let check = |needed: &str, why: &str| Check {
        knob: "engine",
        current,
        needed: needed.into(),
        verdict: CheckVerdict::Fits,
        why: why.into(),
        cure: String::new(),
    };
    match (&ground.no_ring, ground.engine) {
        (Some(no_ring), _) => Check {
            verdict: match choice {
                EngineChoice::IoUring => CheckVerdict::Prevents,
                _ => CheckVerdict::Limits,
            },
            cure: no_ring.cure().into(),
            ..check("io_uring", no_ring.what())
        },
        (None, Engine::IoUring(features)) => {
            let why = match features.tier {
                Tier::Direct => "the best tier: direct descriptors, all operations in the ring",
                _ if over_unix => "system calls connect unix sockets, the ring does the rest",
                _ => "works; Linux 6.13 or later opens connections with less CPU",
            };
            check("any tier", why)
        }
        (None, Engine::Epoll) => check("as asked", "works everywhere, with more CPU than io_uring"),
    }
}
