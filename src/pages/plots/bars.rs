//! Medians side by side, with how far the rounds were apart: for the comparison of tools.
//!
//! ```text
//!   ringshot  ██████████████├──┤        40.2 (38.1 to 44.0)
//!   wrk       █████████████████████├─┤  68.4 (66.0 to 71.3)
//!             0          20          40
//! ```

use super::axis::{Axis, sane};
use super::canvas::{Beside, Canvas, Size, WIDTH, label, picture};
use super::chart::{THIN, heading};
use super::palette;
use crate::words::quantities::rate;

/// One thing that is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BarRow {
    pub label: String,
    /// The median over the rounds; not finite or below 0 where there is none.
    pub median: f64,
    /// The lowest of a round.
    pub low: f64,
    /// The highest of a round.
    pub high: f64,
}

const ROW: i32 = 64;
const ABOVE: i32 = 112;
const BELOW: i32 = 96;

/// Horizontal bars; `None` without a single one. The unit is that of the values, as in
/// `µs of CPU per request`.
pub(crate) fn bars(title: &str, unit: &str, rows: &[BarRow]) -> Option<String> {
    let rows: Vec<BarRow> =
        rows.iter().map(|row| BarRow { label: label(&row.label, 32), ..row.clone() }).collect();
    let (title, unit) = (label(title, 80), label(unit, 60));
    let shown = rows.iter().filter(|row| sane(row.median).is_some());
    let highest = shown.clone().flat_map(|row| [row.median, row.high]).filter_map(sane);
    let axis = Axis::counts(highest.reduce(f64::max)?);
    let values: Vec<String> = rows.iter().map(value).collect();
    let widest = |size: Size, texts: &mut dyn Iterator<Item = &String>| {
        texts.map(|text| size.width(text)).max().unwrap_or(0).min(WIDTH / 3)
    };
    let left = 60 + widest(Size::Normal, &mut rows.iter().map(|row| &row.label));
    let right = WIDTH - 60 - widest(Size::Normal, &mut values.iter());
    let bottom = ABOVE + ROW * rows.len() as i32;
    let summary: Vec<String> =
        rows.iter().zip(&values).map(|(row, value)| format!("{} {value}", row.label)).collect();
    let summary = format!("{unit}: {}", summary.join("; "));
    Some(picture(bottom + BELOW, (&title, &summary), |canvas| {
        heading(
            canvas,
            &title,
            "Bars are medians over the rounds, whiskers the lowest and highest.",
        );
        let place = |value: f64| left + (axis.position(value) * f64::from(right - left)) as i32;
        for (value, name) in &axis.ticks {
            let x = place(*value);
            canvas.line(&[(x, ABOVE), (x, bottom)], palette::GRID, THIN);
            canvas.text(name, (x, bottom + 26), Beside::Middle, Size::Small, palette::MUTED);
        }
        let middle = ((left + right) / 2, bottom + 66);
        canvas.text(&unit, middle, Beside::Middle, Size::Small, palette::MUTED);
        for (at, (row, value)) in (0..).zip(rows.iter().zip(&values)) {
            let y = ABOVE + ROW * at + ROW / 2;
            canvas.text(&row.label, (left - 18, y), Beside::Left, Size::Normal, palette::TEXT);
            let end = draw(canvas, row, y, &place);
            canvas.text(value, (end + 16, y), Beside::Right, Size::Normal, palette::TEXT);
        }
        canvas.line(&[(left, ABOVE), (left, bottom)], palette::AXIS, THIN);
    }))
}

/// A bar with its whisker; where they end.
fn draw(canvas: &mut Canvas<'_>, row: &BarRow, y: i32, place: &impl Fn(f64) -> i32) -> i32 {
    let Some(median) = sane(row.median) else { return place(0.0) };
    canvas.rect(
        (place(0.0), y - 19),
        (place(median).max(place(0.0) + 2), y + 19),
        palette::series(0),
    );
    let (Some(low), Some(high)) = (sane(row.low), sane(row.high)) else { return place(median) };
    let (from, to) = (place(low), place(high));
    if to > from {
        // On the bar and beside it: the same colour would vanish on one of them.
        canvas.rect((from - 3, y - 5), (to + 3, y + 5), palette::CARD);
        for x in [from, to] {
            canvas.rect((x - 4, y - 13), (x + 4, y + 13), palette::CARD);
            canvas.line(&[(x, y - 11), (x, y + 11)], palette::TEXT, THIN + 1);
        }
        canvas.line(&[(from, y), (to, y)], palette::TEXT, THIN + 1);
    }
    to.max(place(median))
}

fn value(row: &BarRow) -> String {
    match (sane(row.median), sane(row.low), sane(row.high)) {
        (None, ..) => "no number".into(),
        (Some(median), Some(low), Some(high)) if low < high => {
            format!("{} ({} to {})", rate(median), rate(low), rate(high))
        }
        (Some(median), ..) => rate(median),
    }
}
