//! A report in a file, with its plots beside it: `run.md` has `run.latency.svg`, and names it
//! without a directory, so that both can be moved together.

use super::text::plain;
use crate::report::file;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// What a link may contain as it is.
const LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The names of all plots.
const NAMES: [&str; 5] = ["latency", "rate", "connections", "cpu", "curve"];

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
/// whoever reads it finds its plots. `render` is given the Markdown of a plot by its name.
///
/// # Errors
/// The file that cannot be written, and why.
pub fn write(
    path: &Path,
    plots: &[Plot],
    render: impl Fn(&dyn Fn(&str) -> String) -> String,
) -> io::Result<()> {
    if file::is_stream(path) {
        // There is nothing beside a pipe.
        return file::write(&render(&|_| String::new()), path);
    }
    for plot in plots {
        file::write(&plot.svg, beside(path, plot.name))?;
    }
    let image = |name: &str| {
        let plot = plots.iter().find(|plot| plot.name == name);
        plot.map_or_else(String::new, |plot| image(path, plot))
    };
    file::write(&render(&image), path)
}

/// The plots that there may be beside a report.
pub fn all(path: &Path) -> Vec<PathBuf> {
    match file::is_stream(path) {
        true => Vec::new(),
        false => NAMES.map(|name| beside(path, name)).to_vec(),
    }
}

/// Where the plot of that name goes: `run.md` and `run.v2` are two reports.
fn beside(path: &Path, name: &str) -> PathBuf {
    let is_markdown = path.extension().is_some_and(|end| end == "md" || end == "markdown");
    let stem = if is_markdown { path.file_stem() } else { path.file_name() };
    let mut file = OsString::from(stem.unwrap_or_default());
    file.push(format!(".{name}.svg"));
    path.with_file_name(file)
}

fn image(path: &Path, plot: &Plot) -> String {
    let file = beside(path, plot.name);
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("\n![{}]({})\n", plain(&plot.title), utf8_percent_encode(&file, LINK))
}
