//! `ringshot compare`: runs one tool after the other, until all rounds are over.

mod target;

use self::target::{ComparisonTarget, Site};
use crate::commands::emit::{Page, Results};
use crate::commands::signals::Signals;
use crate::compare::document::{
    ComparisonDocument, ComparisonSetup, Conditions, OURSELVES, Round, ToolRow,
};
use crate::compare::judge;
use crate::compare::order::order;
use crate::compare::plan::{ComparePlan, Mode};
use crate::compare::tools::{self, Invocation, Output, Tool, ToolReport};
use crate::compare::trial::{self, ChildEnd, ChildRun, Leash};
use crate::engine::driver::{Engine, Found};
use crate::pages::comparison::{self, terminal};
use crate::plan::Endpoint;
use crate::plan::flags::CompareArgs;
use crate::preflight::cpus::{Cpus, Placement};
use crate::preflight::descriptors;
use crate::preflight::host::HostFacts;
use crate::result::Host;
use crate::words::{exit, say};
use std::error::Error;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// How long a tool may take to print its version.
const VERSION_TIME_MAX: Duration = Duration::from_secs(5);

/// How often to retry the removal of temporary files, because another thread may remove them as
/// well.
const REMOVALS_MAX: u32 = 10;

/// A participant.
struct Contestant {
    /// `None` for ringshot.
    tool: Option<&'static dyn Tool>,
    program: PathBuf,
    row: ToolRow,
}

/// Which tool runs where, and for how long.
struct Arena<'a> {
    plan: &'a ComparePlan,
    placement: &'a Placement,
    signals: &'a Signals,
    leash: &'a Leash,
    scratch: &'a Path,
    /// The CPUs of all contestants, each once; none where they are not pinned.
    cpus: Vec<usize>,
    /// How many CPUs there are for them.
    processors: u32,
}

/// Compares, prints every run and the table, and returns the exit code.
///
/// # Errors
/// A flag or a target that cannot be used; no other tool; a document that cannot be written.
pub fn run(args: &CompareArgs, words: &[String]) -> Result<u8, Box<dyn Error>> {
    let plan = ComparePlan::new(args, words)?;
    plan.run.outputs.check()?;
    let allowed = Cpus::detect();
    let bundled = plan.run.endpoint.is_none();
    let placement =
        allowed.place(plan.run.threads, plan.run.connections, &plan.run.cpus, bundled)?;
    plan.run.notes.iter().chain(&placement.notes).for_each(say::line);
    // Each run of ringshot finds the same, and its own message is not shown.
    let (tier, connections) = (plan.run.ring_tier, plan.run.connections);
    let Found { engine, no_ring } = plan.run.engine.find(tier, placement.threads, connections)?;
    let fallback = no_ring.map(|no_ring| {
        format!(
            "ringshot used epoll, which takes more CPU per request; io_uring cannot be used here: \
             {}. Cure: {}.",
            no_ring.what(),
            no_ring.cure()
        )
    });
    fallback.iter().for_each(say::line);
    // Before the first child: it must not outlive us.
    let signals = Signals::catch()?;
    let leash = Arc::new(Leash::default());
    signals.at_once({
        let leash = leash.clone();
        move || leash.cut()
    });
    let mut contestants = contestants(&plan, &signals, &leash)?;
    let mut target = ComparisonTarget::of(&plan.run, &placement)?;
    let scratch =
        scratch(&signals).map_err(|error| format!("cannot create temporary files: {error}"))?;
    let arena = Arena::new(&plan, &placement, &allowed, (&signals, &leash), scratch.path());
    // The children inherit the limit of descriptors.
    let facts = HostFacts { descriptors: descriptors::raise_limit(), ..HostFacts::default() };
    let host = Host::detect(&allowed, &facts);
    let outputs = &plan.run.outputs;
    let mut shown = Page::beside(outputs);
    arena.find_out_who_can(&mut contestants, &target)?;
    let setup = arena.setup(engine);
    shown.show(|out, style| terminal::head(&setup, &rows(&contestants), plan.rounds, out, style));
    let (begin, begun_at) = (Instant::now(), SystemTime::now());
    let mut notes = arena.rounds(&mut contestants, &mut target)?;
    notes.extend(fallback);
    // Secrets are there only for as long as they are needed.
    drop(scratch);
    let around = Conditions {
        plan: &plan,
        setup,
        host,
        begun_at: humantime::format_rfc3339_millis(begun_at).to_string(),
        took: begin.elapsed(),
        interrupted: signals.exit_code().is_some(),
        notes,
    };
    let document = ComparisonDocument::new(around, rows(&contestants));
    let delivery = Results::of(outputs, &document, |others| {
        others.report(
            outputs,
            || comparison::plots(&document),
            |image| comparison::markdown(&document, image),
        );
    });
    shown.show(|out, style| terminal::summary(&document, out, style));
    Ok(delivery.code(match signals.exit_code() {
        Some(code) => code,
        None if !document.succeeded() => exit::NOTHING_SUCCEEDED,
        None => 0,
    }))
}

/// Headers and bodies are in there, and may be secrets: no other user gets in, and they do not
/// outlive us.
fn scratch(signals: &Signals) -> io::Result<TempDir> {
    let only_ours = Permissions::from_mode(0o700);
    let scratch = tempfile::Builder::new().prefix("ringshot.").permissions(only_ours).tempdir()?;
    let path = scratch.path().to_owned();
    signals.at_once(move || {
        // The main thread may be removing it as well: either may find that a file is gone.
        let gone = |_: &u32| std::fs::remove_dir_all(&path).is_ok() || !path.exists();
        let _ = (0..REMOVALS_MAX).find(gone);
    });
    Ok(scratch)
}

fn rows(contestants: &[Contestant]) -> Vec<ToolRow> {
    contestants.iter().map(|one| one.row.clone()).collect()
}

/// ringshot and the tools, those that are not installed included.
///
/// # Errors
/// When none of the tools is.
fn contestants(
    plan: &ComparePlan,
    signals: &Signals,
    leash: &Leash,
) -> Result<Vec<Contestant>, Box<dyn Error>> {
    let path = std::env::var_os("PATH");
    let own = std::env::current_exe()
        .map_err(|error| format!("cannot find ringshot's own program file: {error}"))?;
    let mut all = vec![Contestant { tool: None, program: own, row: our_row() }];
    let mut missing = Vec::new();
    for &tool in &plan.tools {
        let program = tools::find(tool.name(), path.as_deref());
        if program.is_none() {
            missing.push(format!("{} is not installed: {}", tool.name(), tool.install()));
        }
        let row = ToolRow {
            name: tool.name().into(),
            version: program.as_deref().and_then(|program| version(program, tool, signals, leash)),
            installed: program.is_some(),
            install: tool.install().into(),
            footnote: tool.footnote().into(),
            ..our_row()
        };
        all.push(Contestant { tool: Some(tool), program: program.unwrap_or_default(), row });
    }
    if missing.len() == plan.tools.len() {
        let lines = missing.join("\n  ");
        return Err(format!("there is nothing to compare with:\n  {lines}").into());
    }
    missing.iter().for_each(say::line);
    Ok(all)
}

fn our_row() -> ToolRow {
    ToolRow {
        name: OURSELVES.into(),
        version: Some(env!("CARGO_PKG_VERSION").into()),
        command: Vec::new(),
        script: None,
        installed: true,
        install: "".into(),
        cannot: None,
        footnote: tools::RINGSHOT_FOOTNOTE.into(),
        rounds: Vec::new(),
        medians: None,
        noisy: false,
        differs: false,
    }
}

fn version(program: &Path, tool: &dyn Tool, signals: &Signals, leash: &Leash) -> Option<String> {
    if tool.version_arguments().is_empty() {
        return None;
    }
    let mut command = Command::new(program);
    command.args(tool.version_arguments());
    let told = trial::run(command, &[], VERSION_TIME_MAX, &signals.stop, leash).ok()?;
    tools::version(&told.stdout).or_else(|| tools::version(&told.stderr))
}

impl<'a> Arena<'a> {
    fn new(
        plan: &'a ComparePlan,
        placement: &'a Placement,
        allowed: &Cpus,
        (signals, leash): (&'a Signals, &'a Leash),
        scratch: &'a Path,
    ) -> Arena<'a> {
        let mut cpus = placement.workers.clone();
        cpus.sort_unstable();
        cpus.dedup();
        // Where no thread is pinned, each has a processor, as far as there are any.
        let processors = match cpus.len() {
            0 => placement.threads.min(allowed.parallelism as u32).max(1),
            pinned => pinned as u32,
        };
        Arena { plan, placement, signals, leash, scratch, cpus, processors }
    }

    fn setup(&self, engine: Engine) -> ComparisonSetup {
        let server = self.placement.server.as_deref().unwrap_or_default();
        ComparisonSetup::of(self.plan, self.placement.threads, engine, &self.cpus, server)
    }

    /// Whether each tool can do this, before anything is started.
    fn find_out_who_can(
        &self,
        contestants: &mut [Contestant],
        target: &ComparisonTarget,
    ) -> Result<(), Box<dyn Error>> {
        let endpoint = match target {
            ComparisonTarget::Given { endpoint, .. } => endpoint.clone(),
            ComparisonTarget::Bundled { .. } => crate::plan::Endpoint::parse("http://127.0.0.1/")?,
        };
        let mode = Mode::of(&self.plan.run, &endpoint, self.placement.threads);
        let mut telling = Vec::new();
        for one in contestants.iter_mut().filter(|one| one.row.installed) {
            let Some(tool) = one.tool else { continue };
            match tool.invocation(&mode, self.scratch) {
                Ok(told) if told.arguments.iter().any(|word| mode.shown(word) != *word) => {
                    telling.push(tool.name());
                }
                Ok(_) => {}
                Err(why) => one.row.cannot = Some(why),
            }
        }
        if !telling.is_empty() {
            say::line(format_args!(
                "{} can be given headers only as arguments: while they run, every user of this \
                 machine can read the credentials in `ps`",
                telling.join(", ")
            ));
        }
        Ok(())
    }

    /// All runs of all rounds, or those before a signal or the loss of the server. Returns the
    /// remarks about them.
    ///
    /// # Errors
    /// When there was not even a server for the first run.
    fn rounds(
        &self,
        contestants: &mut [Contestant],
        target: &mut ComparisonTarget,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let able = |one: &Contestant| one.row.installed && one.row.cannot.is_none();
        let able: Vec<usize> =
            (0..contestants.len()).filter(|&at| able(&contestants[at])).collect();
        let mut notes: Vec<String> = Vec::new();
        if cfg!(debug_assertions) {
            notes.push(
                "This ringshot is a debug build, several times slower than a release build.".into(),
            );
        }
        for round in 1..=self.plan.rounds {
            for place in order(round - 1, able.len()) {
                let site = match target.ready(self.signals) {
                    Ok(site) => site,
                    Err(error) if contestants.iter().all(|one| one.row.rounds.is_empty()) => {
                        return Err(error);
                    }
                    Err(error) => {
                        notes.push(format!("It ended early, in round {round}: {error}."));
                        return Ok(notes);
                    }
                };
                if self.signals.exit_code().is_some() {
                    return Ok(notes);
                }
                let one = &mut contestants[able[place]];
                if let Some(note) = &site.note {
                    notes.push(format!("{}, round {round}: it {note}.", one.row.name));
                }
                if let Some(done) = self.one_run(round, one, site) {
                    terminal::progress(round, self.plan.rounds, &one.row.name, &done);
                    one.row.rounds.push(done);
                }
            }
        }
        Ok(notes)
    }

    /// One run of one tool; `None` when it was interrupted.
    fn one_run(&self, round: u32, one: &mut Contestant, site: Site) -> Option<Round> {
        let failed = |note| Some(Round { round, note: Some(note), ..Round::default() });
        let mode = Mode::of(&self.plan.run, &site.endpoint, self.placement.threads);
        let invocation = match self.invocation(one, &mode, &site.endpoint) {
            Ok(invocation) => invocation,
            Err(note) => return failed(note),
        };
        one.row.command = std::iter::once(one.row.name.to_string())
            .chain(invocation.arguments.iter().map(|word| self.shown(word, &mode)))
            .collect();
        one.row.script = invocation.script.clone();
        for (path, contents) in &invocation.files {
            if let Err(error) = std::fs::write(path, contents) {
                return failed(format!("{} cannot be written: {error}", path.display()));
            }
        }
        if let Some(path) = &invocation.written {
            // Leftovers of an earlier run do not count for this one.
            let _ = std::fs::remove_file(path);
        }
        let mut command = Command::new(&one.program);
        command.args(&invocation.arguments);
        let limit = self.plan.limit();
        let trial = trial::run(command, &self.cpus, limit, &self.signals.stop, self.leash);
        let trial = match trial {
            Ok(trial) => trial,
            Err(error) => return failed(error.to_string()),
        };
        if trial.end == ChildEnd::Interrupted {
            return None;
        }
        let done = Round::of(round, &trial, one.processors(self.processors));
        let written = invocation.written.and_then(|path| std::fs::read_to_string(path).ok());
        Some(match one.read(&trial, written.unwrap_or_default(), limit, &mode) {
            Ok(reading) => done.with(&reading, site.seen(), &mode),
            Err(note) => Round { note: Some(note), seen_by_server: site.seen(), ..done },
        })
    }

    /// An argument without secrets, and without a directory that is gone when it is read.
    fn shown(&self, word: &str, mode: &Mode) -> String {
        let scratch = format!("{}/", self.scratch.display());
        mode.shown(&word.replacen(&scratch, "", 1))
    }

    fn invocation(
        &self,
        one: &Contestant,
        mode: &Mode,
        endpoint: &Endpoint,
    ) -> Result<Invocation, String> {
        match one.tool {
            Some(tool) => tool.invocation(mode, self.scratch),
            None => {
                let request = self.plan.run.request(endpoint);
                let (typed, cpus) = (&self.plan.typed, &self.placement.workers);
                Ok(tools::invoke_ringshot(typed, mode, &request, cpus, self.scratch))
            }
        }
    }
}

impl Contestant {
    /// How many processors it can keep busy.
    fn processors(&self, available: u32) -> u32 {
        if self.tool.is_some_and(|tool| tool.has_one_thread()) { 1 } else { available }
    }

    /// What it says about a run.
    fn read(
        &self,
        trial: &ChildRun,
        written: String,
        limit: Duration,
        mode: &Mode,
    ) -> Result<ToolReport, String> {
        let [stderr, stdout] = [&trial.stderr, &trial.stdout].map(|text| mode.scrubbed(text));
        let complaint = match judge::complaint(&stderr, &stdout) {
            line if line.is_empty() => "it said nothing".into(),
            line => line,
        };
        match trial.end {
            ChildEnd::Exited(0) => {}
            // Nothing succeeded, and its document says what failed.
            ChildEnd::Exited(4) if self.tool.is_none() => {}
            ChildEnd::Exited(code) => return Err(format!("exit code {code}: {complaint}")),
            ChildEnd::Signalled(signal) => {
                return Err(format!("ended by signal {signal}: {complaint}"));
            }
            ChildEnd::TimedOut => {
                return Err(format!(
                    "killed after {:.0} s, because it did not end",
                    limit.as_secs_f64()
                ));
            }
            ChildEnd::Interrupted => return Err("interrupted".into()),
        }
        let output = Output { stdout: trial.stdout.clone(), written };
        match self.tool {
            Some(tool) => tool.read(&output),
            None => tools::read_ringshot(&output),
        }
    }
}
