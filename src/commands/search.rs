//! `ringshot search`: one step after the other, until the answer is known or the budget is spent.

use crate::commands::emit::{Page, Results};
use crate::commands::run::experiment::Experiment;
use crate::commands::run::progress::Progress;
use crate::commands::signals::Signals;
use crate::pages;
use crate::pages::search::terminal;
use crate::plan::JsonOutput;
use crate::plan::flags::SearchArgs;
use crate::result::json;
use crate::search::{
    Decision, Purpose, SearchDocument, SearchPlan, SearchState, SearchStep, SearchVerdict,
    StepGenerator, curve, next,
};
use crate::words::{exit, file, say};
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Searches, prints every step and the answer, and returns the exit code.
///
/// # Errors
/// A flag, a target or an earlier document that cannot be used; a document that cannot be written.
pub fn run(args: &SearchArgs, words: &[String]) -> Result<u8, Box<dyn Error>> {
    let plan = SearchPlan::new(args, words)?;
    let mut steps = match &plan.earlier {
        Some(earlier) => earlier.steps(&plan)?,
        None => Vec::new(),
    };
    let experiment = Experiment::prepare(&plan.step)?;
    let signals = Signals::catch()?;
    let mut shown = Page::beside(&plan.step.outputs);
    shown.show(|out, style| terminal::head(&plan, experiment.url(), out, style));
    for (at, step) in steps.iter().enumerate() {
        shown.show(|out, style| terminal::row(at + 1, step, out, style));
    }
    if !steps.is_empty() {
        shown.show(|out, style| terminal::resumed(steps.len(), out, style));
    }
    let (mut unkept, mut broken) = (false, None);
    let begin = Instant::now();
    let mut circumstances = SearchState {
        begun_at: SystemTime::now(),
        took: Duration::ZERO,
        host: None,
        generator: None,
        resumed_steps: steps.len(),
        errors: Vec::new(),
    };
    while let Some((rate_per_s, purpose)) = next_rate(&steps, &plan) {
        // A point of the curve that breaks the limits has to be looked at again, twice.
        let room = if purpose == Purpose::Curve { 3 } else { 1 };
        if begin.elapsed() + room * plan.step_time() > plan.budget {
            break;
        }
        let step_plan = plan.at(rate_per_s, steps.len() as u64);
        let progress = Progress::of_step(step_plan.duration.map(|time| time.as_secs_f64()));
        let report = match experiment.run(&step_plan, &signals, progress) {
            Ok(report) => report,
            Err(error) => {
                broken = Some(error);
                break;
            }
        };
        if report.interrupted {
            break;
        }
        let step = SearchStep::of(rate_per_s, purpose, &report);
        circumstances.took = begin.elapsed();
        circumstances.generator = Some(StepGenerator::of(&report));
        (circumstances.host, circumstances.errors) = (Some(report.host), report.errors);
        shown.show(|out, style| terminal::row(steps.len() + 1, &step, out, style));
        let aftermath = step.aftermath();
        steps.push(step);
        // The reader of a pipe gets one document, the last.
        if let Some(JsonOutput::File(path)) = &plan.step.outputs.json
            && !file::is_stream(path)
            && let Err(error) =
                json::write(&SearchDocument::new(&plan, &steps, &circumstances, false), path)
            && !std::mem::replace(&mut unkept, true)
        {
            // It is tried again after every step; what counts is the end.
            say::line(format_args!("{error}; the search goes on"));
        }
        if steps.iter().all(|step| step.ok == 0) {
            break;
        }
        // The remains of one step must not break the next one.
        pause(aftermath, &signals);
    }
    if steps.is_empty()
        && let Some(error) = broken
    {
        return Err(error.into());
    }
    let interrupted = signals.exit_code().is_some();
    circumstances.took = begin.elapsed();
    let document = SearchDocument::new(&plan, &steps, &circumstances, interrupted);
    let nothing_succeeded = document.nothing_succeeded();
    let outputs = &plan.step.outputs;
    let delivery = Results::of(outputs, &document, |others| {
        others.report(
            outputs,
            || pages::search::plots(&document),
            |image| pages::search::markdown(&document, image),
        );
    });
    shown.show(|out, style| match nothing_succeeded {
        true => terminal::nothing_succeeded(&document.errors, out, style),
        false => terminal::summary(&document, &plan.bounds, out, style),
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    Ok(delivery.code(match signals.exit_code() {
        Some(code) => code,
        None if nothing_succeeded => exit::NOTHING_SUCCEEDED,
        None if document.result.rate_per_s.is_none() => exit::LIMIT_BROKEN,
        None => exit::DONE,
    }))
}

/// The rate of the next step: towards the answer, and once that is known for the curve.
fn next_rate(steps: &[SearchStep], plan: &SearchPlan) -> Option<(f64, Purpose)> {
    let trials: Vec<_> = steps.iter().map(SearchStep::trial).collect();
    match next(&trials, &plan.bounds) {
        Decision::Try { rate_per_s, purpose } => Some((rate_per_s, purpose)),
        Decision::Done(SearchVerdict::Found { rate_per_s, .. }) => curve(&trials, rate_per_s)
            .filter(|&rate_per_s| rate_per_s >= plan.bounds.lowest_per_s)
            .map(|rate_per_s| (rate_per_s, Purpose::Curve)),
        Decision::Done(_) => None,
    }
}

fn pause(time: Duration, signals: &Signals) {
    let end = Instant::now() + time;
    while Instant::now() < end && signals.exit_code().is_none() {
        thread::sleep(Duration::from_millis(20).min(end - Instant::now()));
    }
}
