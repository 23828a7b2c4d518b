//! How a command ends: it writes all of its results, then its page. If one of them fails, the
//! others are written nevertheless.
//!
//! ```text
//!   document to a file ─► other files ─► document to standard output ─► page
//!         each failure is a line on standard error, and together they are exit code 1
//! ```
//!
//! No result and no exit code depends on whether the page arrives: a page that cannot be written
//! costs one line on standard error.

use crate::pages::beside::{self, Plot};
use crate::plan::{JsonOutput, Outputs};
use crate::result::json;
use crate::words::style::Style;
use crate::words::{exit, say};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// The results that are being written.
#[derive(Debug, Default)]
pub struct Results {
    failed: bool,
}

impl Results {
    /// Writes the document where it was asked for, with `others` before anything on standard
    /// output, whose reader may be slow.
    pub fn of<T: Serialize>(
        outputs: &Outputs,
        document: &T,
        others: impl FnOnce(&mut Results),
    ) -> Results {
        let mut delivery = Results::default();
        if let Some(JsonOutput::File(path)) = &outputs.json {
            delivery.result(json::write(document, path));
        }
        others(&mut delivery);
        if outputs.json == Some(JsonOutput::Stdout) {
            delivery.result(json::write(document, "-"));
        }
        delivery
    }

    /// Writes the report with its plots, if it was asked for.
    pub fn report(
        &mut self,
        outputs: &Outputs,
        plots: impl FnOnce() -> Vec<Plot>,
        render: impl Fn(&dyn Fn(&str) -> String) -> String,
    ) {
        let Some(path) = &outputs.report else { return };
        let failures = beside::write(path, &plots(), render);
        failures.into_iter().for_each(|error| self.result::<io::Error>(Err(error)));
    }

    /// Takes notice of a result that was written, or says why it was not.
    pub fn result<E: Display>(&mut self, written: Result<(), E>) {
        if let Err(error) = written {
            self.failed = true;
            say::line(error);
        }
    }

    /// The exit code of the command, which would have been this one. A missing result takes
    /// precedence over all others, because those promise that the results are there.
    pub fn code(&self, otherwise: u8) -> u8 {
        if self.failed { exit::COULD_NOT } else { otherwise }
    }
}

/// The page of a command, which may come in parts.
#[derive(Debug)]
pub(crate) struct Page {
    place: Stream,
    style: Style,
    /// A part could not be written: the disk is full or the reader gone, and later parts are not
    /// tried.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Page {
    /// On standard output, or on standard error if standard output carries the document.
    pub(crate) fn beside(outputs: &Outputs) -> Page {
        let (place, style) = match outputs.json {
            Some(JsonOutput::Stdout) => (Stream::Stderr, Style::stderr()),
            _ => (Stream::Stdout, Style::stdout()),
        };
        Page { place, style, lost: false }
    }

    /// Composes a part in memory and writes it.
    pub(crate) fn show(&mut self, part: impl FnOnce(&mut Vec<u8>, Style) -> io::Result<()>) {
        if self.lost {
            return;
        }
        let mut text = Vec::new();
        if let Err(error) = part(&mut text, self.style).and_then(|()| self.place.write(&text)) {
            self.lost = true;
            // A reader that has gone (`| head`) has read what it wanted.
            if error.kind() != ErrorKind::BrokenPipe {
                say::line(format_args!("cannot write the page to {}: {error}", self.place.name()));
            }
        }
    }
}

impl Stream {
    fn write(self, text: &[u8]) -> io::Result<()> {
        let mut out: Box<dyn Write> = match self {
            Stream::Stdout => Box::new(io::stdout().lock()),
            Stream::Stderr => Box::new(io::stderr().lock()),
        };
        out.write_all(text).and_then(|()| out.flush())
    }

    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "standard output",
            Stream::Stderr => "standard error",
        }
    }
}
