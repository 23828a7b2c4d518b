//! The load: rates, stages, ramps, pauses, and which of them contradict each other.

use super::parse;
use crate::engine::pace::curve::{RateCurve, RateStage};
use crate::engine::pace::{Arrivals, Model, OpenLoop};
use crate::plan::flags::PacingArgs;
use crate::words::UsageError;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Due requests that may wait in an open loop: 8 MB, and more than a minute at 10,000/s.
const BACKLOG_DEFAULT: u64 = 1_000_000;

/// 800 MB, should all of it be needed.
const BACKLOG_MAX: u32 = 100_000_000;

/// The load.
#[derive(Clone, Debug, PartialEq)]
pub struct Pacing {
    /// The rates of an open loop, as they were given: one constant stage for `--rate`. Empty for a
    /// closed loop.
    pub stages: Vec<RateStage>,
    /// How requests are spread around them.
    pub arrivals: Arrivals,
    /// The seed of random times.
    pub seed: u64,
    /// Due requests that may wait for a free connection.
    pub backlog: u64,
    /// The time over which the connections of a closed loop start.
    pub ramp_connections: Duration,
    /// The limit of new connections per second.
    pub connect_rate_per_s: Option<f64>,
    /// How long a slot of a closed loop waits between an answer and its next request.
    pub think: Option<RangeInclusive<Duration>>,
    /// The warm-up, which is not measured.
    pub warmup: Duration,
}

impl Pacing {
    /// Checks what was typed. `duration` is that of `--duration`.
    pub(super) fn new(args: &PacingArgs, duration: Option<Duration>) -> Result<Pacing, UsageError> {
        let stages = match (&args.rate, &args.stages) {
            (Some(_), Some(_)) => return refuse("--stages: give either --rate or --stages"),
            (Some(text), None) => {
                let seconds = duration.map_or(f64::INFINITY, |duration| duration.as_secs_f64());
                vec![RateStage::constant(seconds, parse::rate("--rate", text)?)]
            }
            (None, Some(_)) if duration.is_some() => {
                return refuse("--duration: the stages set the length of the run; leave it out");
            }
            (None, Some(text)) => parse::stages(text)?,
            (None, None) => Vec::new(),
        };
        let time = |flag, text: &Option<String>| {
            text.as_ref().map(|text| parse::duration(flag, text)).transpose()
        };
        let pacing = Pacing {
            arrivals: match &args.arrivals {
                Some(text) => parse::arrivals(text)?,
                None => Arrivals::Constant,
            },
            seed: match &args.seed {
                Some(text) => parse::seed(text)?,
                // A document holds every number up to 2^53 exactly.
                None => fastrand::u64(0..1 << 32),
            },
            backlog: match args.backlog.as_deref() {
                // With 0 nothing waits: a request is dropped if no connection is free.
                Some(text) => {
                    let count = parse::count_from(0, "--backlog", text)?;
                    parse::within_u32("--backlog", count, BACKLOG_MAX)?.into()
                }
                None => BACKLOG_DEFAULT,
            },
            ramp_connections: time("--ramp-connections", &args.ramp_connections)?
                .unwrap_or_default(),
            connect_rate_per_s: args
                .connect_rate
                .as_ref()
                .map(|text| parse::rate("--connect-rate", text))
                .transpose()?,
            think: args.think.as_deref().map(parse::think).transpose()?,
            warmup: time("--warmup", &args.warmup)?.unwrap_or_default(),
            stages,
        };
        pacing.check(args, duration)?;
        Ok(pacing)
    }

    /// Whether requests come by a schedule.
    pub fn is_open_loop(&self) -> bool {
        !self.stages.is_empty()
    }

    /// How long the stages are; `None` in a closed loop, and without an end.
    pub fn stages_duration(&self) -> Option<Duration> {
        let seconds: f64 = self.stages.iter().map(|stage| stage.duration_s).sum();
        Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
    }

    /// Whether something is drawn at random.
    pub fn is_random(&self) -> bool {
        let thinks = self.think.as_ref().is_some_and(|think| think.start() < think.end());
        self.arrivals == Arrivals::Poisson || thinks
    }

    /// The highest rate of an open loop.
    pub fn peak_rate_per_s(&self) -> Option<f64> {
        let rates = self.stages.iter().map(|stage| stage.from_per_s.max(stage.to_per_s));
        rates.reduce(f64::max)
    }

    /// As the workers take it. The warm-up of an open loop uses its first rate.
    pub fn model(&self) -> Model {
        let nanoseconds = |duration: &Duration| duration.as_nanos() as u64;
        let open_loop = self.stages.first().map(|first| {
            let warmup = RateStage::constant(self.warmup.as_secs_f64(), first.from_per_s);
            let stages: Vec<RateStage> = [&[warmup], self.stages.as_slice()].concat();
            OpenLoop {
                curve: Arc::new(RateCurve::new(&stages)),
                arrivals: self.arrivals,
                backlog: self.backlog,
            }
        });
        Model {
            open_loop,
            think_ns: self
                .think
                .as_ref()
                .map(|think| nanoseconds(think.start())..=nanoseconds(think.end())),
            ramp_ns: nanoseconds(&self.ramp_connections),
            connect_rate_per_s: self.connect_rate_per_s,
            seed: self.seed,
        }
    }

    /// Refuses flags that contradict each other.
    fn check(&self, args: &PacingArgs, duration: Option<Duration>) -> Result<(), UsageError> {
        let open = self.is_open_loop();
        let only_open = [("--arrivals", &args.arrivals), ("--backlog", &args.backlog)];
        let only_closed =
            [("--think", &args.think), ("--ramp-connections", &args.ramp_connections)];
        if let Some((flag, _)) = only_open.iter().find(|(_, given)| given.is_some() && !open) {
            return refuse(&format!("{flag}: it needs an open loop, --rate or --stages"));
        }
        if let Some((flag, _)) = only_closed.iter().find(|(_, given)| given.is_some() && open) {
            return refuse(&format!(
                "{flag}: it needs a closed loop; with --rate or --stages the schedule decides when \
                 requests are due (--connect-rate limits new connections there)"
            ));
        }
        if args.seed.is_some() && !self.is_random() {
            return refuse(
                "--seed: nothing is random here; it needs --arrivals poisson or a range of --think",
            );
        }
        if open && self.peak_rate_per_s() == Some(0.0) {
            return refuse("--stages: every rate is 0; give one that is not");
        }
        if open && !self.warmup.is_zero() && self.stages[0].from_per_s == 0.0 {
            return refuse(
                "--warmup: it uses the rate with which the stages start, and that is 0; start with \
                 a stage such as 2s:1000",
            );
        }
        let all = duration.map(|duration| duration + self.warmup);
        if all.is_some_and(|all| self.ramp_connections > all) {
            return refuse(
                "--ramp-connections: the run ends before all connections have started; give a \
                 longer --duration or a shorter ramp",
            );
        }
        Ok(())
    }
}

fn refuse<T>(text: &str) -> Result<T, UsageError> {
    Err(UsageError(text.into()))
}

#[cfg(test)]
mod tests;
