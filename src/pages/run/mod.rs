//! What a run says.

pub(crate) mod markdown;
pub(crate) mod terminal;

use crate::pages::beside::Plot;
use crate::pages::plots;
use crate::result::Report;
pub use markdown::markdown;
pub use terminal::summary;

/// Its plots, which the report refers to by their names.
pub fn plots(report: &Report) -> Vec<Plot> {
    [
        ("latency", "Latency by percentile", plots::latency::of_run(report)),
        ("rate", "Rate, latency and failures over time", plots::over_time(report)),
        ("connections", "Connections and TIME_WAIT over time", plots::connections(report)),
        ("cpu", "CPU over time", plots::cpu(report)),
    ]
    .into_iter()
    .filter_map(|(name, title, svg)| Some(Plot { name, title: title.into(), svg: svg? }))
    .collect()
}

#[cfg(test)]
mod tests;
