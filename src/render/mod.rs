//! `ringshot report`: saved results as Markdown. One as the report of its run, several beside each
//! other or, with `--merge`, as one. All documents are read before anything is written.

mod read;

use crate::cli::ReportArgs;
use crate::plan::{JsonOutput, Outputs, UsageError};
use crate::report::console::format::escape;
use crate::report::markdown::beside::{self, Plot};
use crate::report::{Report, csv, file, hdr, hgrm, json, markdown, merge, plots, side_by_side};
use crate::{compare, search};
use std::error::Error;
use std::path::Path;

pub use read::{Saved, parse, read};

/// Writes what was asked for, and returns the exit code.
///
/// # Errors
/// A document that is not ours, or not of what was asked for; a file that cannot be written.
pub fn run(args: &ReportArgs, words: &[String]) -> Result<u8, Box<dyn Error>> {
    let outputs = Outputs::new(&args.output)?;
    outputs.leave(&args.files)?;
    let saved = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    outputs.check()?;
    match saved.as_slice() {
        [Saved::Search(document)] if !args.merge => {
            outputs.only(&["--report"], "report SEARCH.json")?;
            return page(&outputs, &search::plots(document), |image| {
                search::markdown(document, image)
            });
        }
        [Saved::Comparison(document)] if !args.merge => {
            outputs.only(&["--report"], "report COMPARISON.json")?;
            return page(&outputs, &compare::plots(document), |image| {
                compare::markdown(document, image)
            });
        }
        _ => {}
    }
    let mut runs = Vec::new();
    for (path, saved) in args.files.iter().zip(saved) {
        let name = path.to_string_lossy().into_owned();
        match saved {
            Saved::Run(report) => runs.push((name, *report)),
            _ => return Err(format!("{} is not of a run: give it alone", escape(&name)).into()),
        }
    }
    match runs.as_slice() {
        [(_, report)] if !args.merge => run_page(&outputs, report),
        [_] => usage("--merge: give the results of at least two boxes"),
        _ if args.merge => run_page(&outputs, &merge::merge(&runs, words)?),
        _ => {
            outputs.only(&["--report"], "report A.json B.json")?;
            let variants = side_by_side::group(runs);
            if variants.len() == 1 {
                return usage(&format!(
                    "all files are runs of one thing, {}: there is nothing to compare them with \
                     (--merge makes one result of several boxes')",
                    escape(&variants[0].name)
                ));
            }
            page(&outputs, &plots::of_variants(&variants), |image| {
                side_by_side::markdown(&variants, words, image)
            })
        }
    }
}

fn usage(text: &str) -> Result<u8, Box<dyn Error>> {
    Err(UsageError(text.to_owned()).into())
}

/// Everything that can be made of one result.
fn run_page(outputs: &Outputs, report: &Report) -> Result<u8, Box<dyn Error>> {
    match &outputs.json {
        Some(JsonOutput::Stdout) => json::write(report, "-")?,
        Some(JsonOutput::File(path)) => json::write(report, path)?,
        None => {}
    }
    side_files(outputs, report)?;
    match outputs.json {
        // Standard output has the document.
        Some(JsonOutput::Stdout) if outputs.report.is_none() => Ok(0),
        _ => page(outputs, &plots::of_run(report), |image| markdown::run(report, image)),
    }
}

/// The percentiles and the series of a result, where they were asked for.
///
/// # Errors
/// A file that cannot be written; a document without its histogram.
pub fn side_files(outputs: &Outputs, report: &Report) -> Result<(), Box<dyn Error>> {
    if let Some(path) = &outputs.hdr {
        let total = hdr::decode(&report.latency.total.hdr)
            .map_err(|why| format!("the histogram of total: {why}"))?;
        file::write(&hgrm::table(&total), path)?;
    }
    if let Some(path) = &outputs.csv {
        file::write(&csv::series(report), path)?;
    }
    Ok(())
}

/// Writes a report with its plots.
///
/// # Errors
/// A file that cannot be written.
pub fn write(path: &Path, report: &Report) -> std::io::Result<()> {
    beside::write(path, &plots::of_run(report), |image| markdown::run(report, image))
}

/// To a file with its plots, or to standard output without.
fn page(
    outputs: &Outputs,
    plots: &[Plot],
    render: impl Fn(&dyn Fn(&str) -> String) -> String,
) -> Result<u8, Box<dyn Error>> {
    match &outputs.report {
        Some(path) => beside::write(path, plots, render)?,
        None => file::write(&render(&|_| String::new()), "-")?,
    }
    Ok(0)
}
