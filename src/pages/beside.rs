//! A report in a file, with its plots beside it: `run.md` has `run.latency.svg`, and names it
//! without a directory, so that both can be moved together.

use super::markdown::plain;
use crate::plan::plot_file;
use crate::words::file;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io;
use std::path::Path;

/// What a link may contain as it is.
const LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A plot of a report.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What its file's name has before `.svg`.
    pub name: &'static str,
    /// What it shows, also for those who cannot see it.
    pub title: String,
    /// The file.
    pub svg: String,
}

/// Writes the text that `render` makes, and the plots that it links to; the text last, so that
/// whoever reads it finds its plots. `render` is given the Markdown of a plot by its name. Returns
/// why files could not be written, each with its name; the others are there, and the text links to
/// no plot that is not.
pub(crate) fn write(
    path: &Path,
    plots: &[Plot],
    render: impl Fn(&dyn Fn(&str) -> String) -> String,
) -> Vec<io::Error> {
    let (mut written, mut failures) = (Vec::new(), Vec::new());
    // There is nothing beside a pipe.
    let plots = if file::is_stream(path) { &[] } else { plots };
    for plot in plots {
        match file::write(&plot.svg, plot_file(path, plot.name)) {
            Ok(()) => written.push(plot),
            Err(error) => failures.push(error),
        }
    }
    let image = |name: &str| {
        let plot = written.iter().find(|plot| plot.name == name);
        plot.map_or_else(String::new, |plot| image(path, plot))
    };
    failures.extend(file::write(&render(&image), path).err());
    failures
}

fn image(path: &Path, plot: &Plot) -> String {
    let file = plot_file(path, plot.name);
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("\n![{}]({})\n", plain(&plot.title), utf8_percent_encode(&file, LINK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PLOTS;

    #[test]
    fn a_plot_that_cannot_be_written_costs_neither_the_others_nor_the_text() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("run.rate.svg")).unwrap();
        let plot = |name| Plot { name, title: name.into(), svg: "<svg/>".into() };
        let plots = ["latency", "rate", "cpu"].map(plot);
        let all = |image: &dyn Fn(&str) -> String| PLOTS.map(image).concat();

        let failures = write(&at("run.md"), &plots, all);

        assert_eq!(failures.len(), 1, "{failures:?}");
        let told = failures[0].to_string();
        assert!(told.ends_with("run.rate.svg: it is a directory"), "{told}");
        let text = std::fs::read_to_string(at("run.md")).unwrap();
        let (latency, cpu) = ("![latency](run.latency.svg)", "![cpu](run.cpu.svg)");
        assert_eq!(text, format!("\n{latency}\n\n{cpu}\n"));
        assert!(at("run.latency.svg").is_file() && at("run.cpu.svg").is_file());
    }
}
