//! Which plots a report has.

use super::Report;
use super::markdown::beside::Plot;
use super::side_by_side::Variant;
use crate::search;

/// Those of a run.
pub fn of_run(_report: &Report) -> Vec<Plot> {
    Vec::new()
}

/// Those of a comparison.
pub fn of_variants(_variants: &[Variant]) -> Vec<Plot> {
    Vec::new()
}

/// That of a search.
pub fn of_search(_document: &search::Document) -> Vec<Plot> {
    Vec::new()
}
