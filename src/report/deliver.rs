//! The results of a command: all of them are written, before its page, and whatever becomes of the
//! others.
//!
//! ```text
//!   document to a file ─► other files ─► document to standard output ─► (the page)
//!         each failure is a line on standard error, and together they are exit code 1
//! ```

use super::json;
use super::markdown::beside::{self, Plot};
use crate::plan::{JsonOutput, Outputs};
use crate::words::say;
use serde::Serialize;
use std::fmt::Display;
use std::io;

/// Exit code: a result that was asked for is not where it should be. It goes before all others, as
/// those promise that the results are there.
const COULD_NOT_WRITE: u8 = 1;

/// The results that are being written.
#[derive(Debug, Default)]
pub struct Delivery {
    failed: bool,
}

impl Delivery {
    /// Writes the document where it was asked for, `others` before what goes to standard output: its
    /// reader may take its time.
    pub fn of<T: Serialize>(
        outputs: &Outputs,
        document: &T,
        others: impl FnOnce(&mut Delivery),
    ) -> Delivery {
        let mut delivery = Delivery::default();
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

    /// The exit code of the command, which would have been this one.
    pub fn code(&self, otherwise: u8) -> u8 {
        if self.failed { COULD_NOT_WRITE } else { otherwise }
    }
}
