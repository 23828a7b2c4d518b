//! `ringshot doctor`: what on this box would limit a plan, without running it. The same rules as
//! before a run, but all that matters is shown, also what fits.

use crate::engine::driver::uring::Tier;
use crate::engine::driver::{Engine, EngineChoice};
use crate::kernel::Address;
use crate::plan::{AddressChoice, Endpoint, Plan};
use crate::preflight::checks::{Check, Verdict};
use crate::preflight::ground::Ground;
use crate::preflight::host::HostFacts;
use crate::report::console::{Page, headline};
use crate::report::deliver::Delivery;
use crate::tuning::obsolete::{self, Obsolete};
use crate::tuning::show;
use crate::words::quantities::counted;
use crate::words::style::{Role, Style};
use crate::words::text::{escape, wrapped};
use serde::Serialize;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

/// The name and version of the document's shape.
pub const SCHEMA: &str = "ringshot.doctor/1";

/// Exit code: the plan fits.
const FITS: u8 = 0;
/// Exit code: something would limit it.
const LIMITED: u8 = 3;

/// What the doctor has to say.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of ringshot.
    pub version: &'static str,
    /// What was typed, without secrets.
    pub command: Vec<String>,
    /// The URL, without a password; null for the bundled server.
    pub url: Option<String>,
    /// The addresses of the target, in the order in which a run tries them, of which none was tried;
    /// empty for the bundled server and for a unix socket.
    pub addresses: Vec<SocketAddr>,
    /// The unix socket that connections would go to; null for TCP.
    pub unix_socket: Option<String>,
    /// Who would choose the source ports, and why.
    pub source_ports: String,
    /// Whether nothing would limit the plan.
    pub fits: bool,
    /// Everything that matters to the plan, worst first.
    pub checks: Vec<Check>,
    /// Settings in the box's files that do nothing, or harm.
    pub obsolete: Vec<Obsolete>,
}

/// Examines a plan, prints what was found, and returns the exit code.
///
/// # Errors
/// A target or a source that cannot be used; a document that cannot be written.
pub fn run(plan: &Plan) -> Result<u8, Box<dyn Error>> {
    plan.outputs.only(&["--json"], "doctor")?;
    plan.watches_nothing("doctor")?;
    // The other rules still hold, for what there is instead.
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
        // Not started: its queue will be as long as it may be.
        host.listener = None;
    }
    let over_unix = load.addresses[0].unix().is_some();
    let mut checks = vec![engine(plan.engine, &ground, over_unix)];
    checks.extend(ground.examine(plan, &load, &host));
    checks.sort_by_key(|check| check.verdict);
    let diagnosis = Diagnosis {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: plan.command.clone(),
        url: plan.endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
        addresses: plan.endpoint.iter().flat_map(|_| Address::all_inet(&load.addresses)).collect(),
        unix_socket: load.addresses[0].unix().map(ToString::to_string),
        source_ports: format!("{}, {}", load.ports.method.name(), load.ports.why),
        fits: checks.iter().all(|check| check.verdict == Verdict::Fits),
        checks,
        obsolete: obsolete::scan(Path::new("/")),
    };
    let delivery = Delivery::of(&plan.outputs, &diagnosis, |_| {});
    Page::beside(&plan.outputs).show(|out, style| {
        page(&diagnosis, plan.addresses, out, style)?;
        show::obsolete(&diagnosis.obsolete, style, out)
    });
    Ok(delivery.code(if diagnosis.fits { FITS } else { LIMITED }))
}

/// What the run would go over.
fn engine(choice: EngineChoice, ground: &Ground, over_unix: bool) -> Check {
    let tier = ground.engine.tier().map(Tier::name);
    let current = match ground.no_ring {
        Some(_) => "no io_uring".into(),
        None => headline::engine(ground.engine.name(), tier),
    };
    let check = |needed: &str, why: &str| Check {
        knob: "engine",
        current,
        needed: needed.into(),
        verdict: Verdict::Fits,
        why: why.into(),
        cure: String::new(),
    };
    match (&ground.no_ring, ground.engine) {
        (Some(no_ring), _) => Check {
            verdict: match choice {
                EngineChoice::IoUring => Verdict::Prevents,
                _ => Verdict::Limits,
            },
            cure: no_ring.cure().into(),
            ..check("io_uring", no_ring.what())
        },
        (None, Engine::IoUring(features)) => {
            let why = match features.tier {
                Tier::Direct => {
                    "the best that there is: direct descriptors, all operations in the ring"
                }
                _ if over_unix => {
                    "unix sockets are connected by system calls, the rest is in the ring"
                }
                _ => "works; a kernel from 6.13 on opens connections at less CPU",
            };
            check("any tier", why)
        }
        (None, Engine::Epoll) => check("as asked", "works everywhere, at more CPU than io_uring"),
    }
}

/// Which of several addresses a run would use; empty for one.
fn addresses(diagnosis: &Diagnosis, choice: AddressChoice) -> String {
    let used = match choice {
        _ if diagnosis.addresses.len() < 2 => return String::new(),
        AddressChoice::First => "the first that accepts (--addresses all: all that accept)",
        AddressChoice::All => "all that accept",
    };
    let ips: Vec<String> =
        diagnosis.addresses.iter().map(|address| address.ip().to_string()).collect();
    format!("{} addresses: {}; a run uses {used}", ips.len(), ips.join(", "))
}

/// Knob, current value and need in a row; below it why, and the cure where one is needed.
fn page(
    diagnosis: &Diagnosis,
    choice: AddressChoice,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    const VERDICT: usize = 8;
    let mut url = escape(diagnosis.url.as_deref().unwrap_or("the bundled server"));
    if let Some(socket) = &diagnosis.unix_socket {
        url += &format!(" at unix:{}", escape(socket));
    }
    writeln!(out, "{}", style.paint(Role::Heading, &format!("Plan against {url}")))?;
    for line in wrapped(&addresses(diagnosis, choice), style.width.saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  source ports: {}\n", diagnosis.source_ports)?;
    for check in &diagnosis.checks {
        let (word, role) = match check.verdict {
            Verdict::Prevents => ("prevents", Role::Bad),
            Verdict::Limits => ("limits", Role::Warning),
            Verdict::Fits => ("fits", Role::Good),
        };
        let word = style.paint(role, &format!("{word:<VERDICT$}"));
        let name = style.paint(Role::Heading, check.knob);
        let left = 2 + VERDICT + 2;
        let room = style.width.saturating_sub(left + 2);
        let (current, needed) = (&check.current, &check.needed);
        let wide = check.knob.len() + current.len() + needed.len() + "; needed: : ".len() > room;
        let gap = if wide { format!("\n{:left$}", "") } else { "; ".into() };
        writeln!(out, "  {word}  {name}: {current}{gap}needed: {needed}")?;
        for line in wrapped(&check.why, room) {
            writeln!(out, "{:left$}{line}", "")?;
        }
        for (at, line) in wrapped(&check.cure, room).iter().enumerate() {
            writeln!(out, "{:left$}{} {line}", "", if at == 0 { "→" } else { " " })?;
        }
    }
    let amiss = diagnosis.checks.iter().filter(|check| check.verdict != Verdict::Fits).count();
    match amiss {
        0 => writeln!(out, "\nNothing on this box would limit this plan."),
        n => writeln!(out, "\n{} would limit this plan.", counted(n as u64, "setting")),
    }
}
