//! Where the results go.

use crate::plan::flags::OutputArgs;
use crate::words::text::escape;
use crate::words::{UsageError, file};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The names of all plots that a report may have.
pub const PLOTS: [&str; 5] = ["latency", "rate", "connections", "cpu", "curve"];

/// Where the result document goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonOutput {
    /// To standard output, which then carries nothing else.
    Stdout,
    /// To a file.
    File(PathBuf),
}

/// Where the results go, beside the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The result document.
    pub json: Option<JsonOutput>,
    /// The report in Markdown.
    pub report: Option<PathBuf>,
    /// The percentiles of `total`.
    pub hdr: Option<PathBuf>,
    /// The series.
    pub csv: Option<PathBuf>,
}

impl Outputs {
    /// Checks what was typed.
    ///
    /// # Errors
    /// Standard output for anything except the document; one file for two outputs.
    pub fn new(args: &OutputArgs) -> Result<Outputs, UsageError> {
        let file = |flag: &str, path: &Option<PathBuf>| match path {
            Some(path) if path == Path::new("-") => {
                Err(UsageError(format!("{flag} -: give a file name; only --json accepts -")))
            }
            path => Ok(path.clone()),
        };
        let outputs = Outputs {
            json: args.json.as_deref().map(|text| match text {
                "-" => JsonOutput::Stdout,
                path => JsonOutput::File(path.into()),
            }),
            report: file("--report", &args.report)?,
            hdr: file("--hdr", &args.hdr)?,
            csv: file("--csv", &args.csv)?,
        };
        let files: Vec<_> = outputs.all_files();
        for (at, (flag, path)) in files.iter().enumerate() {
            let same = |(_, earlier): &&(&str, PathBuf)| file::is_same(earlier, path);
            if let Some((other, _)) = files[..at].iter().find(same) {
                let path = escape(&path.to_string_lossy());
                return Err(UsageError(format!("{flag} {path}: {other} already writes there")));
            }
        }
        Ok(outputs)
    }

    /// Refuses to overwrite an input file.
    ///
    /// # Errors
    /// The first output, plots included, that is one of these files.
    pub fn leave(&self, inputs: &[PathBuf]) -> Result<(), UsageError> {
        let over = |(_, path): &&(&str, PathBuf)| inputs.iter().any(|one| file::is_same(one, path));
        match self.all_files().iter().find(over) {
            Some((flag, path)) => {
                let path = escape(&path.to_string_lossy());
                Err(UsageError(format!("{flag} {path}: that is one of the input files")))
            }
            None => Ok(()),
        }
    }

    /// Refuses outputs that a command other than a run does not write.
    ///
    /// # Errors
    /// The first output that was asked for and is not among `written`.
    pub fn only(&self, written: &[&str], command: &str) -> Result<(), UsageError> {
        let stdout = (self.json == Some(JsonOutput::Stdout)).then_some("--json");
        let mut flags = self.files().into_iter().map(|(flag, _)| flag).chain(stdout);
        match flags.find(|flag| !written.contains(flag)) {
            Some(flag) => Err(UsageError(format!(
                "{flag}: `ringshot {command}` writes only {}",
                written.join(" and ")
            ))),
            None => Ok(()),
        }
    }

    /// Whether the outputs can be written: better checked before a run of minutes than after it.
    ///
    /// # Errors
    /// The first that cannot be written, and why.
    pub fn check(&self) -> io::Result<()> {
        self.all_files().iter().try_for_each(|(_, path)| file::check(path))
    }

    /// All files, with the plots of a report, each once.
    fn all_files(&self) -> Vec<(&'static str, PathBuf)> {
        let files = self.files().into_iter().map(|(flag, path)| (flag, path.to_owned()));
        let plots = self.report.iter().flat_map(|path| plot_files(path));
        files.chain(plots.map(|path| ("--report", path))).collect()
    }

    fn files(&self) -> Vec<(&'static str, &Path)> {
        let json = match &self.json {
            Some(JsonOutput::File(path)) => Some(path),
            _ => None,
        };
        [
            ("--json", json),
            ("--report", self.report.as_ref()),
            ("--hdr", self.hdr.as_ref()),
            ("--csv", self.csv.as_ref()),
        ]
        .into_iter()
        .filter_map(|(flag, path)| Some((flag, path?.as_path())))
        .collect()
    }
}

/// The plots that may be beside a report.
fn plot_files(path: &Path) -> Vec<PathBuf> {
    match file::is_stream(path) {
        true => Vec::new(),
        false => PLOTS.map(|name| plot_file(path, name)).to_vec(),
    }
}

/// Where the plot of that name goes: `run.md` and `run.v2` are two reports.
pub fn plot_file(path: &Path, name: &str) -> PathBuf {
    let is_markdown = path.extension().is_some_and(|end| end == "md" || end == "markdown");
    let stem = if is_markdown { path.file_stem() } else { path.file_name() };
    let mut file = OsString::from(stem.unwrap_or_default());
    file.push(format!(".{name}.svg"));
    path.with_file_name(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(json: &str, report: &str) -> Result<Outputs, UsageError> {
        Outputs::new(&OutputArgs {
            json: Some(json.into()),
            report: Some(report.into()),
            hdr: None,
            csv: None,
        })
    }

    #[test]
    fn only_the_document_goes_to_standard_output() {
        assert_eq!(outputs("-", "a.md").unwrap().json, Some(JsonOutput::Stdout));
        assert!(outputs("a.json", "-").unwrap_err().0.starts_with("--report -:"));
    }

    #[test]
    fn no_file_takes_two_outputs() {
        for (json, report) in [("a", "a"), ("./a", "a"), ("a.cpu.svg", "a.md")] {
            let error = outputs(json, report).unwrap_err().0;
            assert!(error.contains("--json already writes there"), "{json} {report}: {error}");
        }
        outputs("a.v1.svg", "a.v2").unwrap();
    }

    #[test]
    fn what_is_read_is_not_written_over() {
        let outputs = outputs("a.json", "b.md").unwrap();
        let leave = |input: &str| outputs.leave(&[PathBuf::from(input)]);
        assert!(leave("./a.json").is_err() && leave("b.rate.svg").is_err());
        assert_eq!(leave("b.json"), Ok(()));
    }

    #[test]
    fn a_command_refuses_what_it_does_not_write() {
        let outputs = outputs("a.json", "a.md").unwrap();
        assert_eq!(outputs.only(&["--json", "--report"], "search"), Ok(()));
        let error = outputs.only(&["--json"], "doctor").unwrap_err().0;
        assert_eq!(error, "--report: `ringshot doctor` writes only --json");
        let stdout = Outputs { json: Some(JsonOutput::Stdout), ..Outputs::default() };
        assert!(stdout.only(&["--report"], "report A B").is_err());
    }
}
