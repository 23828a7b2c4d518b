//! What a comparison has to say: every run of every tool, and what they come to.

use super::plan::{ComparePlan, Mode};
use super::spread::Spread;
use super::tools::{ToolLatencies, ToolReport};
use super::trial::ChildRun;
use super::{judge, verdict};
use crate::engine::driver::Engine;
use crate::plan::Description;
use crate::plan::describe::part;
use crate::result::Host;
use crate::statistics::{median, rounded};
use crate::words::Word;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// The name and version of the document's shape.
pub(crate) const SCHEMA: &str = "ringshot.compare/1";

/// The name of the row that all others are compared with.
pub(crate) const OURSELVES: &str = "ringshot";

/// Most kernels take a sample every 4 ms to tell time in user mode from time in the kernel. With
/// fewer than 25 of them the part may well be a fifth more or less.
const USER_S_MIN: f64 = 25.0 * 0.004;

/// What a comparison has to say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComparisonDocument {
    /// The name and version of the document's shape.
    pub schema: Word,
    /// The version of ringshot.
    pub version: Word,
    /// What was typed, without secrets.
    pub command: Vec<String>,
    /// When it began: this box's clock, UTC.
    pub begun_at: String,
    /// How long it took.
    pub took_s: f64,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// The load that all had in common.
    pub plan: ComparisonSetup,
    /// The box.
    pub host: Host,
    /// How many rounds were asked for.
    pub rounds: u32,
    /// Every tool, ringshot first.
    pub tools: Vec<ToolRow>,
    /// What it comes to, in sentences.
    pub verdict: Vec<String>,
    /// What to know before the numbers are believed.
    pub notes: Vec<String>,
}

/// The load that all had in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComparisonSetup {
    /// The URL, without a password; null for the bundled server, which has a new port for each run.
    pub url: Option<String>,
    /// Where the bundled server ran; empty when there was none, or it was not pinned.
    pub server_cpus: Vec<usize>,
    /// What ringshot went over: `io_uring` or `epoll`.
    #[serde(default)]
    pub engine: Option<Word>,
    /// With which features of the ring; null over epoll.
    #[serde(default)]
    pub ring_tier: Option<Word>,
    /// The rest of the load; its CPUs are those of all tools, its threads those of tools that have
    /// them.
    #[serde(flatten, serialize_with = "write_load", deserialize_with = "read_load")]
    pub load: Description,
}

/// What a comparison refuses, and what its documents do not say.
const LEFT_OUT: &str = "source_ports source_ip rate stages arrivals seed backlog ramp_connections_s \
    connect_rate think_s warmup_s watch_pid addresses";

fn write_load<S: Serializer>(load: &Description, serializer: S) -> Result<S::Ok, S::Error> {
    part::serialize(load, LEFT_OUT, serializer)
}

fn read_load<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Description, D::Error> {
    part::deserialize(LEFT_OUT, deserializer)
}

/// One tool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolRow {
    /// The name of its program.
    pub name: Word,
    /// What it says that its version is; null when it does not.
    pub version: Option<String>,
    /// How it was started, without secrets; of the bundled server's ports, the last one.
    pub command: Vec<String>,
    /// A script that it was given, where its options do not go as far.
    pub script: Option<String>,
    /// Whether it was found.
    pub installed: bool,
    /// A command that installs it.
    pub install: Word,
    /// Why it cannot do this; null when it can.
    pub cannot: Option<String>,
    /// What its numbers contain.
    pub footnote: Word,
    /// Every run, in order.
    pub rounds: Vec<Round>,
    /// The medians over the rounds that went well; null when there were none.
    pub medians: Option<Medians>,
    /// Whether the ratio moved too far from round to round.
    pub noisy: bool,
    /// Whether it says something else than the server, or the kernel, has seen.
    pub differs: bool,
}

/// One run of one tool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    /// Its number, from 1 on.
    pub round: u32,
    /// Whole answers, by its own count; null when it says nothing, as all that follows of its own.
    pub requests: Option<u64>,
    /// Those that it does not call an error.
    pub ok: Option<u64>,
    /// What it counts as errors.
    pub errors: Option<u64>,
    /// How long it says that it took.
    pub duration_s: Option<f64>,
    /// Answers per second of that time.
    pub requests_per_s: Option<f64>,
    /// From its start to its end, by our clock; null when it could not be started, as the next two.
    pub wall_s: Option<f64>,
    /// CPU time in its own code.
    pub cpu_user_s: Option<f64>,
    /// CPU time in the kernel.
    pub cpu_sys_s: Option<f64>,
    /// CPU time for each answer.
    pub cpu_us_per_request: Option<f64>,
    /// The part of it in its own code.
    pub cpu_user_us_per_request: Option<f64>,
    /// CPU time for each answer over that of ringshot in the same round.
    pub ratio: Option<f64>,
    /// CPU time over what the processors had on which it could run; null when it took no time.
    pub busy_ratio: Option<f64>,
    /// Time for which its threads could have run and had no CPU, over what the processors had on
    /// which it could run; null, as below, where the kernel does not tell.
    #[serde(default)]
    pub cpu_wait_ratio: Option<f64>,
    /// How long a quota stopped the control group that it ran in, summed over CPUs.
    #[serde(default)]
    pub throttled_s: Option<f64>,
    /// The most memory that it had resident.
    pub memory_peak_bytes: Option<u64>,
    /// What it calls latency.
    pub latency: ToolLatencies,
    /// What the other side saw.
    pub seen_by_server: Option<SeenByServer>,
    /// Whether that is something else.
    pub differs: bool,
    /// What went wrong, or is to be known.
    pub note: Option<String>,
}

/// What the other side saw of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenByServer {
    /// Who says so: `server` (the bundled one), `stats` (a bench-server's) or `kernel` (connections
    /// that were begun in this network namespace, by whomever).
    pub by: Word,
    /// Requests; null where nobody counts them.
    pub requests: Option<u64>,
    /// Connections.
    pub connections: u64,
}

/// The medians over the rounds, and the sum of the errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Medians {
    /// Over so many rounds.
    pub rounds: usize,
    /// Answers per second; null when no run took any time.
    pub requests_per_s: Option<f64>,
    /// CPU time for each answer; null when there was none.
    pub cpu_us_per_request: Option<f64>,
    /// The part of it in its own code; null, too, where the samples that the kernel takes are too
    /// few to tell it from the rest.
    pub cpu_user_us_per_request: Option<f64>,
    /// CPU time for each answer over that of ringshot in the same round.
    pub ratio: Option<f64>,
    /// The smallest.
    pub ratio_min: Option<f64>,
    /// The largest.
    pub ratio_max: Option<f64>,
    /// CPU time over what there was.
    pub busy_ratio: Option<f64>,
    /// The most memory that it had resident.
    pub memory_peak_bytes: Option<u64>,
    /// What it calls latency.
    pub latency: ToolLatencies,
    /// What it counts as errors, over all rounds: their sum, as a median would hide the bad ones.
    pub errors: u64,
}

impl ComparisonSetup {
    /// What all of them were given.
    pub(crate) fn of(
        plan: &ComparePlan,
        threads: u32,
        engine: Engine,
        cpus: &[usize],
        server: &[usize],
    ) -> ComparisonSetup {
        let run = &plan.run;
        ComparisonSetup {
            url: run.endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
            server_cpus: server.to_vec(),
            engine: Some(engine.name().into()),
            ring_tier: engine.tier().map(|tier| tier.name().into()),
            load: Description::of(run, threads, cpus).without(LEFT_OUT),
        }
    }
}

impl Round {
    /// What the kernel says about a run; what the tool says is added by [`Round::with`].
    pub(crate) fn of(round: u32, trial: &ChildRun, processors: u32) -> Round {
        let wall_s = trial.wall.as_secs_f64();
        let cpu_s = (trial.cpu_user + trial.cpu_sys).as_secs_f64();
        let there_was_s = Some(wall_s * f64::from(processors)).filter(|&s| s > 0.0);
        let share = |time_s: f64| there_was_s.map(|s| rounded(time_s / s, 3));
        Round {
            round,
            wall_s: Some(rounded(wall_s, 3)),
            cpu_user_s: Some(rounded(trial.cpu_user.as_secs_f64(), 6)),
            cpu_sys_s: Some(rounded(trial.cpu_sys.as_secs_f64(), 6)),
            busy_ratio: share(cpu_s),
            cpu_wait_ratio: trial.cpu_wait.and_then(|waited| share(waited.as_secs_f64())),
            throttled_s: trial.throttled.map(|stopped| rounded(stopped.as_secs_f64(), 6)),
            memory_peak_bytes: trial.memory_peak_bytes,
            ..Round::default()
        }
    }

    /// What the tool says, held against what the other side saw.
    pub(crate) fn with(
        mut self,
        reading: &ToolReport,
        seen: Option<SeenByServer>,
        mode: &Mode,
    ) -> Round {
        let some = Some(reading.requests).filter(|&requests| requests > 0);
        let each_us = |seconds: f64| some.map(|count| rounded(seconds * 1e6 / count as f64, 3));
        let cpu_s = self.cpu_user_s.zip(self.cpu_sys_s).map(|(user_s, sys_s)| user_s + sys_s);
        self.requests = Some(reading.requests);
        self.ok = Some(reading.ok);
        self.errors = Some(reading.errors);
        self.duration_s = Some(rounded(reading.duration_s, 4));
        let took_s = Some(reading.duration_s).filter(|&s| s > 0.0);
        self.requests_per_s = took_s.map(|s| rounded(reading.requests as f64 / s, 1));
        self.cpu_us_per_request = cpu_s.and_then(each_us);
        self.cpu_user_us_per_request = self.cpu_user_s.and_then(each_us);
        let round = |us: Option<f64>| us.map(|us| rounded(us, 1));
        self.latency = ToolLatencies {
            p50_us: round(reading.latency.p50_us),
            p90_us: round(reading.latency.p90_us),
            p99_us: round(reading.latency.p99_us),
            max_us: round(reading.latency.max_us),
        };
        let found = seen.as_ref().and_then(|seen| judge::contradiction(reading, seen, mode));
        self.differs = found.is_some();
        self.note = found;
        self.seen_by_server = seen;
        self
    }
}

/// What is known when all runs are over, or as many as there were time for.
pub(crate) struct Conditions<'a> {
    pub(crate) plan: &'a ComparePlan,
    pub(crate) setup: ComparisonSetup,
    pub(crate) host: Host,
    pub(crate) begun_at: String,
    pub(crate) took: Duration,
    pub(crate) interrupted: bool,
    /// What was to be said while it went on.
    pub(crate) notes: Vec<String>,
}

impl ComparisonDocument {
    /// What the runs come to.
    pub(crate) fn new(around: Conditions, mut tools: Vec<ToolRow>) -> ComparisonDocument {
        compare_rounds(&mut tools);
        for row in &mut tools {
            row.medians = Medians::of(&row.rounds);
            row.noisy = judge::is_noisy(&row.rounds);
            row.differs = row.rounds.iter().any(|round| round.differs);
        }
        let mut notes = around.notes;
        notes.extend(judge::notes(&tools));
        ComparisonDocument {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            command: around.plan.run.command.clone(),
            begun_at: around.begun_at,
            took_s: rounded(around.took.as_secs_f64(), 1),
            interrupted: around.interrupted,
            plan: around.setup,
            host: around.host,
            rounds: around.plan.rounds,
            verdict: verdict::verdict(&tools, around.plan.rounds),
            notes,
            tools,
        }
    }

    /// Whether any tool had an answer that it calls good.
    pub fn succeeded(&self) -> bool {
        let mut rounds = self.tools.iter().flat_map(|row| &row.rounds);
        rounds.any(|round| round.ok.is_some_and(|ok| ok > 0))
    }
}

/// Fills in the ratios: of what was measured within one round.
fn compare_rounds(tools: &mut [ToolRow]) {
    let ours = tools.iter().find(|row| row.name == OURSELVES);
    let ours: Vec<(u32, f64)> = ours
        .iter()
        .flat_map(|row| &row.rounds)
        .filter_map(|round| Some((round.round, round.cpu_us_per_request?)))
        .collect();
    for round in tools.iter_mut().flat_map(|row| &mut row.rounds) {
        let base = ours.iter().find(|(number, us)| *number == round.round && *us > 0.0);
        let ratio = |us: f64| base.map(|(_, base_us)| rounded(us / base_us, 4));
        round.ratio = round.cpu_us_per_request.and_then(ratio);
    }
}

impl Medians {
    /// Over the rounds in which the tool said something.
    fn of(rounds: &[Round]) -> Option<Medians> {
        let told: Vec<&Round> = rounds.iter().filter(|round| round.requests.is_some()).collect();
        if told.is_empty() {
            return None;
        }
        let over = |value: fn(&Round) -> Option<f64>, decimals| {
            let median = median(told.iter().filter_map(|round| value(round)));
            median.map(|value| rounded(value, decimals))
        };
        let ratios: Vec<f64> = told.iter().filter_map(|round| round.ratio).collect();
        let spread = Spread::of(&ratios);
        let user_s: f64 = told.iter().filter_map(|round| round.cpu_user_s).sum();
        let latency = |value: fn(&ToolLatencies) -> Option<f64>| {
            let values = told.iter().filter_map(|round| value(&round.latency));
            median(values).map(|us| rounded(us, 1))
        };
        Some(Medians {
            rounds: told.len(),
            requests_per_s: over(|round| round.requests_per_s, 1),
            cpu_us_per_request: over(|round| round.cpu_us_per_request, 3),
            cpu_user_us_per_request: over(|round| round.cpu_user_us_per_request, 3)
                .filter(|_| user_s >= USER_S_MIN),
            ratio: spread.map(|spread| rounded(spread.median, 4)),
            ratio_min: spread.map(|spread| spread.min),
            ratio_max: spread.map(|spread| spread.max),
            busy_ratio: over(|round| round.busy_ratio, 3),
            memory_peak_bytes: over(|round| round.memory_peak_bytes.map(|n| n as f64), 0)
                .map(|bytes| bytes as u64),
            latency: ToolLatencies {
                p50_us: latency(|latency| latency.p50_us),
                p90_us: latency(|latency| latency.p90_us),
                p99_us: latency(|latency| latency.p99_us),
                max_us: latency(|latency| latency.max_us),
            },
            errors: told.iter().filter_map(|round| round.errors).fold(0, u64::saturating_add),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
