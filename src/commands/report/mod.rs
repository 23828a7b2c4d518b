//! `ringshot report`: saved results as Markdown. One as the report of its run, several beside each
//! other or, with `--merge`, as one. All documents are read before anything is written.

mod read;

use crate::commands::emit::Results;
use crate::pages::beside::Plot;
use crate::pages::{comparison, run, search, side_by_side};
use crate::plan::flags::ReportArgs;
use crate::plan::{JsonOutput, Outputs};
use crate::result::{Report, csv, hdr, hgrm, merge};
use crate::words::text::escape;
use crate::words::{UsageError, file};
use std::error::Error;
use std::io;

pub use read::{Saved, parse, read};

/// Writes what was asked for, and returns the exit code.
///
/// # Errors
/// A document that is not ours, or of the wrong kind; a file that cannot be written.
pub fn run(args: &ReportArgs, words: &[String]) -> Result<u8, Box<dyn Error>> {
    let outputs = Outputs::new(&args.output)?;
    outputs.leave(&args.files)?;
    let saved = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    outputs.check()?;
    match saved.as_slice() {
        [Saved::Search(document)] if !args.merge => {
            outputs.only(&["--report"], "report SEARCH.json")?;
            return Ok(page(
                &outputs,
                Results::default(),
                || search::plots(document),
                |image| search::markdown(document, image),
            ));
        }
        [Saved::Comparison(document)] if !args.merge => {
            outputs.only(&["--report"], "report COMPARISON.json")?;
            return Ok(page(
                &outputs,
                Results::default(),
                || comparison::plots(document),
                |image| comparison::markdown(document, image),
            ));
        }
        _ => {}
    }
    let mut runs = Vec::new();
    for (path, saved) in args.files.iter().zip(saved) {
        let name = path.to_string_lossy().into_owned();
        match saved {
            Saved::Run(report) => runs.push((name, *report)),
            _ => {
                return Err(
                    format!("{} is not the result of a run: give it alone", escape(&name)).into()
                );
            }
        }
    }
    match runs.as_slice() {
        [(_, report)] if !args.merge => Ok(run_page(&outputs, report)),
        [_] => usage("--merge: give the results of at least two machines"),
        _ if args.merge => Ok(run_page(&outputs, &merge::merge(&runs, words)?)),
        _ => {
            outputs.only(&["--report"], "report A.json B.json")?;
            let variants = side_by_side::group(runs);
            if variants.len() == 1 {
                return usage(&format!(
                    "all files are runs of one thing, {}: there is nothing to compare them with \
                     (--merge merges the results of several machines)",
                    escape(&variants[0].name)
                ));
            }
            let plots = || side_by_side::plots(&variants);
            Ok(page(&outputs, Results::default(), plots, |image| {
                side_by_side::markdown(&variants, words, image)
            }))
        }
    }
}

fn usage(text: &str) -> Result<u8, Box<dyn Error>> {
    Err(UsageError(text.to_owned()).into())
}

/// Everything that can be made of one result.
fn run_page(outputs: &Outputs, report: &Report) -> u8 {
    let delivery = deliver(outputs, report);
    match (&outputs.report, &outputs.json) {
        // It is written already, or standard output has the document.
        (Some(_), _) | (None, Some(JsonOutput::Stdout)) => delivery.code(0),
        _ => page(outputs, delivery, || run::plots(report), |image| run::markdown(report, image)),
    }
}

/// Writes all results of a run that were asked for: document, percentiles, series, and the report
/// with its plots.
pub fn deliver(outputs: &Outputs, report: &Report) -> Results {
    Results::of(outputs, report, |delivery| {
        if let Some(path) = &outputs.hdr {
            let total = hdr::decode(&report.latency.total.hdr);
            delivery.result(match total {
                Ok(total) => file::write(&hgrm::table(&total), path),
                Err(why) => {
                    let path = escape(&path.to_string_lossy());
                    let text = format!("cannot write {path}: the histogram of total: {why}");
                    Err(io::Error::other(text))
                }
            });
        }
        if let Some(path) = &outputs.csv {
            delivery.result(file::write(&csv::series(report), path));
        }
        delivery.report(outputs, || run::plots(report), |image| run::markdown(report, image));
    })
}

/// Writes a report to a file with its plots, or to standard output without: there it is all that was
/// asked for, and so a result.
fn page(
    outputs: &Outputs,
    mut delivery: Results,
    plots: impl FnOnce() -> Vec<Plot>,
    render: impl Fn(&dyn Fn(&str) -> String) -> String,
) -> u8 {
    match &outputs.report {
        Some(_) => delivery.report(outputs, plots, render),
        None => delivery.result(file::write(&render(&|_| String::new()), "-")),
    }
    delivery.code(0)
}
