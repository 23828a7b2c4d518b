//! Who was busy: the generator, the server, and every CPU of the box, on one scale.

use super::axis::Axis;
use super::chart::{BOLD, Band, Chart, Pane, PlotLine, Point, THIN, height_for, line};
use super::columns::{Column, columns, cut, reduced_s, rows};
use super::{canvas, palette};
use crate::result::{Report, Second};
use crate::words::quantities::count;

/// More CPUs than these are a band from the least to the most busy one.
const LINES_MAX: usize = 4;

/// CPU time of generator, server and box over time, as part of one CPU; `None` where nothing of it
/// is known.
pub(crate) fn cpu(report: &Report) -> Option<String> {
    let rows = rows(&report.series);
    let columns = columns(&rows);
    let (x, unit) = Axis::since_start(columns.last()?.end_s());
    let server = report.watch.as_ref().and_then(|watch| watch.server.as_ref());
    let server = server
        .map_or("server".into(), |server| format!("server ({})", canvas::label(&server.name, 16)));
    let own = |row: &Second| row.generator_cpu_ratio;
    let theirs = |row: &Second| row.server.map(|server| server.cpu_ratio);
    let lines = [("generator", 0, parts(&columns, own)), (&server, 1, parts(&columns, theirs))];
    let mut lines: Vec<PlotLine> = lines
        .into_iter()
        .filter(|(.., parts)| !parts.is_empty())
        .map(|(name, number, parts)| line(name, palette::series(number), BOLD, parts))
        .collect();
    let cpus = report.series.iter().filter_map(|row| row.host.as_ref());
    let cpus = cpus.map(|host| host.cpu_busy_ratio.len()).max().unwrap_or(0);
    let (bands, of_cpus) = if cpus > LINES_MAX {
        let (band, mean) = band(&columns);
        (vec![band], vec![mean])
    } else {
        (Vec::new(), (0..cpus).map(|at| single(report, &columns, at)).collect())
    };
    // The thin ones are drawn first, below the others.
    lines.splice(0..0, of_cpus.into_iter().filter(|line| !line.parts.is_empty()));
    let points = lines.iter().flat_map(|line| line.parts.iter().flatten().map(|point| point.1));
    let upper = bands.iter().flat_map(|band| band.parts.iter().flatten().map(|point| point.2));
    let axis = Axis::percentages(points.chain(upper).fold(1.0, f64::max));
    let mut pane = Pane::new("CPU time, 100% is one CPU", axis, height_for(lines.len(), 360));
    let labels: Vec<&str> = lines.iter().map(|line| &*line.label).collect();
    let chart = Chart {
        title: "CPU over time".into(),
        note: note(cpus, reduced_s(&columns)),
        summary: format!("of {}", labels.join(", ")),
        x,
        x_name: format!("{unit} since the start"),
        panes: Vec::new(),
    };
    (pane.lines, pane.bands) = (lines, bands);
    (!pane.lines.is_empty()).then(|| Chart { panes: vec![pane], ..chart }.svg())
}

fn note(cpus: usize, reduced_s: Option<u64>) -> String {
    let band = match cpus > LINES_MAX {
        true => format!("Shaded: from the least to the most busy of {} CPUs. ", count(cpus as u64)),
        false => String::new(),
    };
    match reduced_s {
        Some(s) => format!("{band}Each point is the mean of {s} seconds."),
        None => format!("{band}A CPU of the box is busy with whatever ran on it."),
    }
}

fn parts(columns: &[Column<'_>], value: impl Fn(&Second) -> Option<f64>) -> Vec<Vec<Point>> {
    cut(columns.iter().map(|column| Some((column.middle_s(), column.mean(&value)?))))
}

fn busy(row: &Second, at: usize) -> Option<f64> {
    row.host.as_ref()?.cpu_busy_ratio.get(at).copied()
}

/// One CPU of few.
fn single(report: &Report, columns: &[Column<'_>], at: usize) -> PlotLine {
    let cpu = report.watch.as_ref().and_then(|watch| watch.cpus.get(at));
    let name = format!("CPU {}", cpu.map_or(at, |cpu| cpu.cpu));
    line(&name, palette::series(2 + at), THIN, parts(columns, |row| busy(row, at)))
}

/// All of many, and their mean.
fn band(columns: &[Column<'_>]) -> (Band, PlotLine) {
    let ink = palette::series(2);
    let ends = |column: &Column<'_>| {
        let fold = |start: f64, pick: fn(f64, f64) -> f64| {
            move |row: &Second| {
                let busy = &row.host.as_ref()?.cpu_busy_ratio;
                busy.iter().copied().reduce(pick).map(|value| pick(start, value))
            }
        };
        let low = column.mean(fold(f64::INFINITY, f64::min))?;
        let high = column.mean(fold(0.0, f64::max))?;
        Some((column.middle_s(), low, high))
    };
    let mean = |row: &Second| {
        let busy = &row.host.as_ref()?.cpu_busy_ratio;
        (!busy.is_empty()).then(|| busy.iter().sum::<f64>() / busy.len() as f64)
    };
    let band = Band { ink, parts: cut(columns.iter().map(ends)) };
    (band, line("CPUs, mean", ink, THIN, parts(columns, mean)))
}
