//! Where a command's page goes. Nothing depends on whether it arrives: a page that cannot be written
//! costs one line on standard error, and no result and no exit code.

use crate::plan::{JsonOutput, Outputs};
use crate::words::say;
use crate::words::style::Style;
use std::io::{self, ErrorKind, Write};

/// The page of a command, which may come in parts.
#[derive(Debug)]
pub struct Page {
    place: Place,
    style: Style,
    /// A part could not be written: the place is full or gone, and later parts are not tried.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Stdout,
    Stderr,
}

impl Page {
    /// On standard output, or on standard error if standard output carries the document.
    pub fn beside(outputs: &Outputs) -> Page {
        let (place, style) = match outputs.json {
            Some(JsonOutput::Stdout) => (Place::Stderr, Style::stderr()),
            _ => (Place::Stdout, Style::stdout()),
        };
        Page { place, style, lost: false }
    }

    /// Composes a part in memory and writes it.
    pub fn show(&mut self, part: impl FnOnce(&mut Vec<u8>, Style) -> io::Result<()>) {
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

impl Place {
    fn write(self, text: &[u8]) -> io::Result<()> {
        let mut out: Box<dyn Write> = match self {
            Place::Stdout => Box::new(io::stdout().lock()),
            Place::Stderr => Box::new(io::stderr().lock()),
        };
        out.write_all(text).and_then(|()| out.flush())
    }

    fn name(self) -> &'static str {
        match self {
            Place::Stdout => "standard output",
            Place::Stderr => "standard error",
        }
    }
}
