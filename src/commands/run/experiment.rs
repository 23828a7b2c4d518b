//! A plan on this machine against its target: prepared once, run once or, by a search, many times.
//!
//! ```text
//!   Plan ──► prepare: ground, target, load, what will limit it ──► run ──► Report
//!                                                                   ▲  │ at another rate
//!                                                                   └──┘
//! ```

use crate::commands::run::assemble::Circumstances;
use crate::commands::run::progress::Progress;
use crate::commands::signals::Signals;
use crate::engine::run::{self, Event, Load};
use crate::engine::session::http1::{Http1, RequestBlock, Shared};
use crate::engine::tally::Part;
use crate::kernel::{Address, Moment};
use crate::observe::{ServerSearch, WatchedServer, Watcher};
use crate::plan::{Endpoint, Plan};
use crate::preflight::candidates;
use crate::preflight::checks::{self, Check, CheckVerdict};
use crate::preflight::cpus::Placement;
use crate::preflight::ground::Ground;
use crate::preflight::host::HostFacts;
use crate::result::Report;
use crate::words::quantities::cpu_list;
use crate::words::style::Style;
use crate::words::text::wrapped;
use crate::words::{Refusal, say};
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;

/// A plan's load, ready to be run.
pub(crate) struct Experiment {
    ground: Ground,
    endpoint: Endpoint,
    load: Load,
    host: HostFacts,
    watched: ServerSearch,
    /// Stops when it is dropped.
    _server: Option<bench_server::Server>,
}

impl Experiment {
    /// Finds out what the machine can do, starts the bundled server if no URL was given, and
    /// reports on standard error what will limit the plan.
    ///
    /// # Errors
    /// What cannot be run, with the reason and the cure.
    pub(crate) fn prepare(plan: &Plan) -> Result<Experiment, Box<dyn Error>> {
        let ground = Ground::survey(plan)?;
        plan.outputs.check()?;
        let asked = plan.watch_pid.map(WatchedServer::asked).transpose()?;
        if let Some(no_ring) = &ground.no_ring {
            let what = no_ring.what();
            let what = format!("io_uring cannot be used: {what}; this run uses epoll");
            advise(&what, no_ring.cure());
        }
        for note in plan.notes.iter().chain(&ground.placement.notes) {
            say::line(note);
        }
        let (server, endpoint) = match &plan.endpoint {
            Some(endpoint) => (None, endpoint.clone()),
            None => bundled_server(&ground.placement).map(|(server, at)| (Some(server), at))?,
        };
        let mut load = ground.load(plan, &endpoint)?;
        let host = HostFacts::detect(ground.descriptors, &load.addresses, &load.ports);
        warn(&ground.examine(&load, &host))?;
        candidates::find(&mut load, plan.addresses);
        if let Some(why) = candidates::none_accepts(&load) {
            advise(&why, "start a server there; the run counts what fails");
        }
        let watched = match (asked, &server) {
            (Some(asked), _) => Some(asked).into(),
            (None, Some(_)) => WatchedServer::bundled().into(),
            (None, None) => ServerSearch::begin(candidates::in_use(&load)),
        };
        Ok(Experiment { ground, endpoint, load, host, watched, _server: server })
    }

    /// The URL, as it may be shown.
    pub(crate) fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Runs the plan, which may differ from the prepared one only in its load and its duration.
    ///
    /// # Errors
    /// When a ring cannot be set up, or breaks.
    pub(crate) fn run(
        &self,
        plan: &Plan,
        signals: &Signals,
        mut progress: Progress,
    ) -> io::Result<Report> {
        let load = Load {
            model: plan.pacing.model(),
            warmup: plan.pacing.warmup,
            duration: plan.duration,
            ..self.load.clone()
        };
        let block = RequestBlock::new(&plan.request(&self.endpoint), plan.reuse());
        let shared = || Shared::new(block.clone());
        let targets = Address::all_inet(&load.addresses);
        let before = Moment::now(&targets);
        let mut watcher = Watcher::new(&self.watched);
        let measured = run::run::<Http1>(&load, shared, &signals.stop, |event| match event {
            Event::Begin => watcher.begin(),
            Event::Looked(worker, looked_ns) => watcher.looked(worker, looked_ns),
            Event::Row(part, second, counters) => {
                if part == Part::Measured {
                    watcher.row(second);
                }
                progress.tick(part, second, counters);
            }
            Event::End(rest, threads) => watcher.end(rest, threads),
        });
        progress.finish();
        let measured = measured?;
        let (watch, pressure) = watcher.finish(measured.tally.total.len());
        let after = Moment::now(&targets);
        let around = Circumstances {
            plan,
            url: &self.endpoint.url,
            load: &load,
            cpus: &self.ground.cpus,
            interrupted: signals.exit_code().is_some(),
            before: &before,
            after: &after,
            host: &self.host,
            no_ring: self.ground.no_ring.as_ref(),
            watch,
            pressure,
        };
        Ok(Report::new(&around, &measured))
    }
}

/// Starts the server that is measured when no URL is given, and says so.
fn bundled_server(
    placement: &Placement,
) -> Result<(bench_server::Server, Endpoint), Box<dyn Error>> {
    let (server, endpoint) = start_bundled(placement)?;
    let place = match &placement.server {
        Some(cpus) => format!("on CPU {}", cpu_list(cpus)),
        None => "not pinned".into(),
    };
    say::line(format_args!(
        "no URL given: measuring the bundled server, {} ({place})",
        endpoint.url
    ));
    Ok((server, endpoint))
}

/// Starts the bundled server on a free port.
pub(crate) fn start_bundled(
    placement: &Placement,
) -> Result<(bench_server::Server, Endpoint), Box<dyn Error>> {
    let start = |port: u16| {
        bench_server::Server::start(bench_server::Config {
            listen: (Ipv4Addr::LOCALHOST, port).into(),
            threads: placement.server_threads,
            cpus: placement.server.clone(),
            ..Default::default()
        })
    };
    // An earlier run may have left all of the kernel's ports in TIME_WAIT: then any other will do.
    let server = match start(0) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            (10_000..10_100).map(start).find(Result::is_ok).unwrap_or(Err(error))
        }
        started => started,
    }
    .map_err(|error| format!("cannot start the bundled server: {error}"))?;
    let endpoint = Endpoint::parse(&format!("http://{}/", server.addr()))?;
    Ok((server, endpoint))
}

/// Says what will limit the run, before it starts; refuses what cannot run.
fn warn(checks: &[Check]) -> Result<(), Refusal> {
    checks::refuse(checks)?;
    for check in checks.iter().filter(|check| check.verdict == CheckVerdict::Limits) {
        advise(&format!("{} ({}): {}", check.knob, check.current, check.why), &check.cure);
    }
    Ok(())
}

/// Reports the obstacles and their cures on standard error.
fn advise(what: &str, cure: &str) {
    let width = Style::stderr().width.saturating_sub(2);
    let what = wrapped(&format!("ringshot: {what}"), width);
    let cure = wrapped(&format!("cure: {cure}"), width);
    say::plain(format_args!("{}\n  {}", what.join("\n  "), cure.join("\n  ")));
}
