//! New connections and what they leave behind: sockets in TIME_WAIT, which hold ports.

use super::axis::Axis;
use super::chart::{BOLD, Chart, Pane, Point, line};
use super::columns::{Column, columns, cut, reduced_s, rows};
use super::over_time::rate_pane;
use super::palette;
use crate::result::Report;
use crate::words::quantities::count;

/// Connections opened per second, and sockets in TIME_WAIT, over time; `None` when there were
/// neither.
pub(crate) fn connections(report: &Report) -> Option<String> {
    let rows = rows(&report.series);
    let columns = columns(&rows);
    let (x, unit) = Axis::since_start(columns.last()?.end_s());
    let panes: Vec<Pane> = [opened(&columns), time_wait(&columns)].into_iter().flatten().collect();
    let waiting = report.series.iter().filter_map(|row| row.time_wait).max().unwrap_or(0);
    let chart = Chart {
        title: "Connections over time".into(),
        note: match reduced_s(&columns) {
            Some(s) => format!(
                "Each point stands for {s} seconds: mean, lowest and highest rate, most sockets."
            ),
            None => "TIME_WAIT is counted at the end of each second, in the whole network \
                     namespace."
                .into(),
        },
        summary: format!(
            "{} connections opened; at most {} sockets in TIME_WAIT",
            count(report.connections.opened),
            count(waiting),
        ),
        x,
        x_name: format!("{unit} since the start"),
        panes,
    };
    (!chart.panes.is_empty()).then(|| chart.svg())
}

fn opened(columns: &[Column<'_>]) -> Option<Pane> {
    let point = |column: &Column<'_>| (column.middle_s(), column.rates(|row| row.connections));
    let pane = rate_pane("Connections opened per second", columns, point);
    columns.iter().any(|column| point(column).1.high > 0.0).then_some(pane)
}

fn time_wait(columns: &[Column<'_>]) -> Option<Pane> {
    // What is counted at the end of a second is drawn there.
    let parts: Vec<Vec<Point>> = cut(columns
        .iter()
        .map(|column| Some((column.end_s(), column.highest(|row| row.time_wait)?))));
    let most = parts.iter().flatten().map(|point| point.1).fold(0.0, f64::max);
    let mut pane = Pane::new("Sockets in TIME_WAIT", Axis::counts(most), 210);
    pane.lines.push(line("", palette::series(1), BOLD, parts));
    (most > 0.0).then_some(pane)
}
