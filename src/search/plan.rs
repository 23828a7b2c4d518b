//! What a search is to be: the plan of its steps, and where and how long to look.

use super::Bounds;
use super::document::Earlier;
use crate::engine::pace::curve::RateStage;
use crate::plan::flags::SearchArgs;
use crate::plan::{Plan, parse};
use crate::words::UsageError;
use crate::words::quantities::seconds;
use std::error::Error;
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
    /// The search to go on with.
    pub earlier: Option<Earlier>,
}

impl SearchPlan {
    /// Checks what was typed.
    ///
    /// # Errors
    /// The first value that cannot be used, with the flag's name and the accepted form; an earlier
    /// document that cannot be read.
    pub fn new(args: &SearchArgs, command: &[String]) -> Result<SearchPlan, Box<dyn Error>> {
        let pacing = &args.run.pacing;
        for (flag, given) in [
            ("--rate", pacing.rate.is_some()),
            ("--stages", pacing.stages.is_some()),
            ("--requests", args.run.requests.is_some()),
        ] {
            if given {
                let text = "a search sets the rate of its steps; --from is where it begins";
                return refuse(&format!("{flag}: {text}"));
            }
        }
        if args.run.slos.is_empty() {
            return refuse(
                "--slo: a search needs a limit that a rate can break, such as --slo 'p99<5ms'",
            );
        }
        let budget = parse::duration("--budget", &args.budget)?;
        let mut run = args.run.clone();
        run.pacing.rate = Some(args.from.clone());
        let first_per_s = parse::rate("--from", &args.from)?;
        let mut step = Plan::new(&run, command)?;
        step.outputs.only(&["--json", "--report"], "search")?;
        step.watches_nothing("search")?;
        if let Some(limit) = step.slos.iter().find(|limit| limit.asks_for_load()) {
            return refuse(&format!(
                "--slo {limit}: more load keeps it, and a search looks for the load; leave it out"
            ));
        }
        let earlier = args.resume.as_deref().map(Earlier::read).transpose()?;
        let length = (budget / STEPS_PER_BUDGET).clamp(STEP_MIN, STEP_MAX);
        let warmup_ms = length.as_millis() as u64 / u64::from(WARMUP_PART) / 50 * 50;
        let warmup = Duration::from_millis(warmup_ms);
        let usual = (length - warmup, warmup);
        let times = earlier.as_ref().and_then(Earlier::step_times).unwrap_or(usual);
        if run.duration.is_none() {
            step.duration = Some(times.0);
        }
        if run.pacing.warmup.is_none() {
            step.pacing.warmup = times.1;
        }
        let lowest_per_s = REQUESTS_PER_STEP_MIN / step.duration.map_or(1.0, |d| d.as_secs_f64());
        let plan = SearchPlan {
            step,
            bounds: Bounds {
                first_per_s,
                precision_ratio: parse::share("--precision", &args.precision)?,
                lowest_per_s: lowest_per_s.min(first_per_s),
                ..Bounds::default()
            },
            budget,
            earlier,
        };
        match plan.step_time() > budget {
            true => refuse(&format!(
                "--budget {}: not even one step of {} fits into it (--duration and --warmup are \
                 those of a step)",
                args.budget,
                seconds(plan.step_time().as_secs_f64())
            )),
            false => Ok(plan),
        }
    }

    /// The plan of step `number` at this rate.
    pub fn at(&self, rate_per_s: f64, number: u64) -> Plan {
        let mut plan = self.step.clone();
        // Or two steps at a rate would be one and the same to Poisson arrivals.
        plan.pacing.seed = plan.pacing.seed.wrapping_add(number * u64::from(u32::MAX));
        let duration_s = plan.duration.map_or(f64::INFINITY, |duration| duration.as_secs_f64());
        plan.pacing.stages = vec![RateStage::constant(duration_s, rate_per_s)];
        plan
    }

    /// How long a step takes.
    pub fn step_time(&self) -> Duration {
        self.step.pacing.warmup + self.step.duration.unwrap_or_default()
    }
}

fn refuse<T>(text: &str) -> Result<T, Box<dyn Error>> {
    Err(UsageError(text.into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::flags::{Cli, Command};
    use clap::Parser;

    fn plan(arguments: &str) -> Result<SearchPlan, Box<dyn Error>> {
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
        assert_eq!(times("--slo p99<5ms --budget 5s a"), [150, 850, 1000]);
        assert_eq!(times("--slo p99<5ms -d 10s -w 2s a"), [2000, 10_000, 12_000]);
    }

    #[test]
    fn a_step_is_an_open_loop_at_its_rate() {
        let plan = plan("--slo p99<5ms --arrivals poisson --from 50 -k a").unwrap();
        assert_eq!(plan.bounds.first_per_s, 50.0);
        assert_eq!(plan.bounds.lowest_per_s, 8.0);
        let step = plan.at(123.0, 0);
        assert_ne!(plan.at(123.0, 1).pacing.seed, step.pacing.seed);
        assert_eq!(step.pacing.stages, [RateStage::constant(2.5, 123.0)]);
        assert_eq!(step.pacing.arrivals.name(), "poisson");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (arguments, text) in [
            ("a", "--slo: a search needs a limit"),
            ("--slo p99<5ms -R 5 a", "--rate: a search sets the rate"),
            ("--slo p99<5ms --stages 1s:5 a", "--stages: a search sets"),
            ("--slo p99<5ms -n 5 a", "--requests: a search sets"),
            ("--slo p99<5ms --think 1s a", "--think: it needs a closed loop"),
            ("--slo p99<5ms --precision 2 a", "--precision 2: give a percentage"),
            ("--slo p99<5ms --precision 0% a", "--precision 0%: give a percentage"),
            ("--slo p99<5ms --from 0 a", "--from 0: give a number per second"),
            ("--slo p99<5ms --budget 0 a", "--budget 0: give a length of time"),
            ("--slo p99<5ms --budget 500ms a", "--budget 500ms: not even one step of 1 s"),
            ("--slo p99<5ms -d 3m a", "--budget 2m: not even one step of 180 s fits"),
            ("--slo rate>20k a", "--slo rate>20000: more load keeps it"),
            ("--slo p99<5ms --from 20M a", "--from 20M: give a number per second"),
            ("--slo p99<5ms --resume /nowhere a", "cannot resume /nowhere: No such file"),
        ] {
            let error = plan(arguments).unwrap_err();
            assert!(error.to_string().starts_with(text), "{arguments}: {error}");
        }
    }
}
