//! What a search is to be: the plan of its steps, and where and how long to look.

use super::Bounds;
use crate::cli::SearchArgs;
use crate::pace::curve::Stage;
use crate::plan::{Plan, UsageError, parse};
use std::path::PathBuf;
use std::time::Duration;

/// The length of a step, warm-up included: long enough for a backlog to show, and short enough that
/// the usual twenty of them fit into the budget.
const STEP_MIN: Duration = Duration::from_secs(1);
const STEP_MAX: Duration = Duration::from_secs(3);
const STEPS_PER_BUDGET: u32 = 20;

/// The part of a step that is its warm-up.
const WARMUP_PART: u32 = 6;

/// A step at a lower rate would have fewer requests than say anything.
const REQUESTS_PER_STEP_MIN: f64 = 20.0;

/// What a search is to be.
#[derive(Clone, Debug)]
pub struct SearchPlan {
    /// The plan of a step, at the rate to begin with.
    pub step: Plan,
    /// Where to search, and how precisely.
    pub bounds: Bounds,
    /// How long the search may take.
    pub budget: Duration,
    /// The document of the search to go on with.
    pub resume: Option<PathBuf>,
}

impl SearchPlan {
    /// Checks what was typed.
    ///
    /// # Errors
    /// The first value that cannot be used, with the flag's name and the accepted form.
    pub fn new(args: &SearchArgs, command: &[String]) -> Result<SearchPlan, UsageError> {
        let pacing = &args.run.pacing;
        for (flag, given) in [
            ("--rate", pacing.rate.is_some()),
            ("--stages", pacing.stages.is_some()),
            ("--requests", args.run.requests.is_some()),
        ] {
            if given {
                let text = "a search sets the rate of its steps; --from is where it begins";
                return Err(UsageError(format!("{flag}: {text}")));
            }
        }
        if args.run.slos.is_empty() {
            return Err(UsageError(
                "--slo: a search needs a limit that a rate can break, such as --slo 'p99<5ms'"
                    .into(),
            ));
        }
        let budget = parse::duration("--budget", &args.budget)?;
        let mut run = args.run.clone();
        run.pacing.rate = Some(args.from.clone());
        let first_per_s = parse::rate("--from", &args.from)?;
        let mut step = Plan::new(&run, command)?;
        let length = (budget / STEPS_PER_BUDGET).clamp(STEP_MIN, STEP_MAX);
        if run.pacing.warmup.is_none() {
            step.pacing.warmup = length / WARMUP_PART;
        }
        if run.duration.is_none() {
            step.duration = Some(length - length / WARMUP_PART);
        }
        let lowest_per_s = REQUESTS_PER_STEP_MIN / step.duration.map_or(1.0, |d| d.as_secs_f64());
        Ok(SearchPlan {
            step,
            bounds: Bounds {
                first_per_s,
                precision_ratio: parse::share("--precision", &args.precision)?,
                lowest_per_s: lowest_per_s.min(first_per_s),
                ..Bounds::default()
            },
            budget,
            resume: args.resume.clone(),
        })
    }

    /// The plan of a step at this rate.
    pub fn at(&self, rate_per_s: f64) -> Plan {
        let mut plan = self.step.clone();
        let duration_s = plan.duration.map_or(f64::INFINITY, |duration| duration.as_secs_f64());
        plan.pacing.stages = vec![Stage::constant(duration_s, rate_per_s)];
        plan
    }

    /// How long a step takes.
    pub fn step_time(&self) -> Duration {
        self.step.pacing.warmup + self.step.duration.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn plan(arguments: &str) -> Result<SearchPlan, UsageError> {
        let words = "ringshot search".split(' ').chain(arguments.split_whitespace());
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        match cli.command {
            Some(Command::Search(args)) => SearchPlan::new(&args, &[]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn steps_fit_into_the_budget() {
        let times = |arguments: &str| {
            let plan = plan(arguments).unwrap();
            let times = [plan.step.pacing.warmup, plan.step.duration.unwrap(), plan.step_time()];
            times.map(|time| time.as_millis())
        };
        assert_eq!(times("--slo p99<5ms a"), [500, 2500, 3000]);
        assert_eq!(times("--slo p99<5ms --budget 30s a"), [250, 1250, 1500]);
        assert_eq!(times("--slo p99<5ms --budget 5s a"), [166, 833, 1000]);
        assert_eq!(times("--slo p99<5ms -d 10s -w 2s a"), [2000, 10_000, 12_000]);
    }

    #[test]
    fn a_step_is_an_open_loop_at_its_rate() {
        let plan = plan("--slo p99<5ms --arrivals poisson --from 50 -k a").unwrap();
        assert_eq!(plan.bounds.first_per_s, 50.0);
        assert_eq!(plan.bounds.lowest_per_s, 8.0);
        let step = plan.at(123.0);
        assert_eq!(step.pacing.stages, [Stage::constant(2.5, 123.0)]);
        assert_eq!(step.pacing.arrivals.name(), "poisson");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (arguments, text) in [
            ("a", "--slo: a search needs a limit"),
            ("--slo p99<5ms -R 5 a", "--rate: a search sets the rate"),
            ("--slo p99<5ms --stages 1s:5 a", "--stages: a search sets"),
            ("--slo p99<5ms -n 5 a", "--requests: a search sets"),
            ("--slo p99<5ms --think 1s a", "--think: it is for a closed loop"),
            ("--slo p99<5ms --precision 2 a", "--precision 2: give a percentage"),
            ("--slo p99<5ms --precision 0% a", "--precision 0%: give a percentage"),
            ("--slo p99<5ms --from 0 a", "--from 0: give a number per second"),
            ("--slo p99<5ms --budget 0 a", "--budget 0: give a length of time"),
        ] {
            let error = plan(arguments).unwrap_err();
            assert!(error.0.starts_with(text), "{arguments}: {error}");
        }
    }
}
