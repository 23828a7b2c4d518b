//! `ringshot URL`: one run, from its plan to its report.
//!
//! ```text
//!   plan ──► experiment: what will limit it, the target ──► progress ──► assemble ──► report
//! ```

mod assemble;
pub(crate) mod experiment;
pub(crate) mod progress;

use super::emit::Page;
use super::report::deliver;
use super::signals::Signals;
use crate::pages::run::terminal;
use crate::plan::Plan;
use crate::plan::flags::RunArgs;
use crate::words::exit;
use experiment::Experiment;
use progress::Progress;
use std::error::Error;

/// Runs, prints the summary, and returns the exit code.
///
/// # Errors
/// A flag or a target that cannot be used; a ring that cannot be set up.
pub fn run(args: &RunArgs, words: &[String]) -> Result<u8, Box<dyn Error>> {
    let plan = &Plan::new(args, words)?;
    let experiment = Experiment::prepare(plan)?;
    let signals = Signals::catch()?;
    let duration_s = plan.duration.map(|duration| duration.as_secs_f64());
    let progress = Progress::on_stderr(duration_s, plan.requests);
    let report = experiment.run(plan, &signals, progress)?;
    // The reader of the page may have gone, and the terminal with them.
    let delivery = deliver(&plan.outputs, &report);
    Page::beside(&plan.outputs).show(|out, style| terminal::summary(&report, out, style));
    let broken = report.slo.iter().any(|outcome| !outcome.pass);
    Ok(delivery.code(match signals.exit_code() {
        Some(code) => code,
        None if report.requests.ok == 0 => exit::NOTHING_SUCCEEDED,
        None if broken => exit::LIMIT_BROKEN,
        None => exit::DONE,
    }))
}
