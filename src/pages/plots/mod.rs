//! Plots for a report: functions from results to SVG text.
//!
//! Each picture stands for itself, wherever it is shown: it has a title, units, labels at its
//! lines, a description for readers who do not see it, and it turns dark where the screen is. It
//! needs no script and no font.
//!
//! ```text
//!   Report ─ rows ─ columns ─┐
//!   Latency ─ percentiles ───┼─ Chart: panes, lines, axes ─ canvas (plotters) ─ SVG
//!   steps of a search ───────┘                                + palette's style sheet
//! ```
//!
//! An hour has more seconds than a picture has pixels. Several are then shown as one, by their
//! extremes as well as by their mean, so that a single bad second is never lost.
//!
//! A document may have been made by anybody: no number makes a plot fail, and no text in it is
//! anything but text.

mod axis;
mod bars;
mod canvas;
mod chart;
mod columns;
mod connections;
mod cpu;
mod curve;
pub(crate) mod latency;
mod over_time;
mod palette;

pub(crate) use bars::{BarRow, bars};
pub(crate) use connections::connections;
pub(crate) use cpu::cpu;
pub(crate) use curve::{LoadPoint, curve};
pub(crate) use over_time::over_time;

#[cfg(test)]
mod tests;
