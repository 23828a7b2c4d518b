//! Panes above each other on one horizontal axis, and the places of everything in them. A plot says
//! what is to be seen; how that becomes shapes, and that no text stands on another, is decided here
//! once.
//!
//! ```text
//!   title
//!   what a reader has to know
//!
//!   heading
//!   20,000 │─────────────────────── ── ok          Pane: an axis of its own,
//!   10,000 │──────/\──────────────                       lines with labels at their ends
//!        0 │──────────────────────
//!   heading
//!     1 ms │─────────────────────── ── p99
//!   100 µs │─────────────────────── ── p50
//!          0      1      2      3                  one axis for all
//!               seconds since the start
//! ```

use super::axis::Axis;
use super::canvas::{self, Beside, Canvas, Position, Size, WIDTH, picture};
use super::palette::{self, Ink};

/// A point: values on both axes.
pub(super) type Point = (f64, f64);

/// The width of a line that is looked at first, of others, and of one that is hardly there.
pub(super) const BOLD: u32 = 4;
pub(super) const THIN: u32 = 2;
pub(super) const HAIR: u32 = 1;

const EDGE: i32 = 36;
const ABOVE_PANES: i32 = 96;
const ABOVE_PANE: i32 = 70;
const BELOW_PANES: i32 = 96;
/// From one label to the next below it.
pub(super) const LINE_HEIGHT: i32 = 32;
const SWATCH: i32 = 34;

/// A picture of panes.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// What a reader has to know, below the title.
    pub(super) note: String,
    /// What there is to see, for a reader who does not see it.
    pub(super) summary: String,
    pub(super) x: Axis,
    pub(super) x_name: String,
    pub(super) panes: Vec<Pane>,
}

/// Lines on one vertical axis.
#[derive(Clone, Debug)]
pub(super) struct Pane {
    pub(super) heading: String,
    pub(super) heading_ink: Ink,
    pub(super) y: Axis,
    /// In units.
    pub(super) height: i32,
    pub(super) bands: Vec<Band>,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<PlotLine>,
    pub(super) marks: Vec<Mark>,
}

/// A line, in as many parts as the gaps in it leave.
#[derive(Clone, Debug)]
pub(super) struct PlotLine {
    /// Text beside its end; empty for none.
    pub(super) label: String,
    pub(super) ink: Ink,
    pub(super) width: u32,
    pub(super) parts: Vec<Vec<Point>>,
    /// Points of it that have a dot.
    pub(super) dots: Vec<Point>,
}

/// From the lowest to the highest, behind a line: `(x, low, high)`.
#[derive(Clone, Debug)]
pub(super) struct Band {
    pub(super) ink: Ink,
    pub(super) parts: Vec<Vec<(f64, f64, f64)>>,
}

/// Something that went wrong, from and to a value of the horizontal axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) height: f64,
}

/// A place on the horizontal axis that has a name.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) x: f64,
    pub(super) label: String,
}

/// A pane's place.
struct Frame<'a> {
    x: &'a Axis,
    y: &'a Axis,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Pane {
    pub(super) fn new(heading: impl Into<String>, y: Axis, height: i32) -> Pane {
        let (bands, bars, lines, marks) = Default::default();
        let heading_ink = palette::TEXT;
        Pane { heading: heading.into(), heading_ink, y, height, bands, bars, lines, marks }
    }
}

impl Chart {
    pub(super) fn svg(&self) -> String {
        let heights: i32 = self.panes.iter().map(|pane| ABOVE_PANE + pane.height).sum();
        let height = ABOVE_PANES + heights + BELOW_PANES;
        let ticks = self.panes.iter().flat_map(|pane| &pane.y.ticks);
        let widest = ticks.map(|(_, name)| Size::Small.width(name)).max().unwrap_or(0);
        let left = EDGE + widest.min(WIDTH / 4) + 14;
        let labels = self.panes.iter().flat_map(|pane| &pane.lines);
        let labels = labels.filter(|line| !line.label.is_empty());
        let widest = labels.map(|line| SWATCH + 26 + Size::Normal.width(&line.label)).max();
        let right = WIDTH - EDGE - widest.unwrap_or(0).min(WIDTH / 3);
        picture(height, (&self.title, &self.summary), |canvas| {
            heading(canvas, &self.title, &self.note);
            let mut top = ABOVE_PANES;
            for (at, pane) in self.panes.iter().enumerate() {
                top += ABOVE_PANE;
                let bottom = top + pane.height;
                let frame = Frame { x: &self.x, y: &pane.y, left, right, top, bottom };
                frame.scales(canvas, at + 1 == self.panes.len());
                let scale = if pane.y.logarithmic { ", logarithmic scale" } else { "" };
                let heading = format!("{}{scale}", pane.heading);
                let place = (left, top - 30);
                canvas.text(&heading, place, Beside::Right, Size::Normal, pane.heading_ink);
                frame.contents(canvas, pane);
                top = bottom;
            }
            let middle = ((left + right) / 2, top + 66);
            canvas.text(&self.x_name, middle, Beside::Middle, Size::Small, palette::MUTED);
        })
    }
}

/// The title and, below it, what a reader has to know.
pub(super) fn heading(canvas: &mut Canvas<'_>, title: &str, note: &str) {
    canvas.text(title, (EDGE, 42), Beside::Right, Size::Title, palette::TEXT);
    canvas.text(note, (EDGE, 80), Beside::Right, Size::Small, palette::MUTED);
}

impl Frame<'_> {
    fn place(&self, (x, y): Point) -> Position {
        (self.x_place(x), self.y_place(y))
    }

    fn x_place(&self, value: f64) -> i32 {
        self.left + (self.x.position(value) * f64::from(self.right - self.left)).round() as i32
    }

    fn y_place(&self, value: f64) -> i32 {
        self.bottom - (self.y.position(value) * f64::from(self.bottom - self.top)).round() as i32
    }

    /// Lines and names of both axes; those of the horizontal one only below the last pane.
    fn scales(&self, canvas: &mut Canvas<'_>, with_names: bool) {
        let middle = |(value, name): &(f64, String)| (self.x_place(*value), name.clone());
        let ticks: Vec<(i32, String)> = self.x.ticks.iter().map(middle).collect();
        for &(x, _) in &ticks {
            canvas.line(&[(x, self.top), (x, self.bottom)], palette::GRID, THIN);
        }
        let names: Vec<(i32, i32)> =
            ticks.iter().map(|(x, name)| (*x, Size::Small.width(name))).collect();
        for at in apart(&names).into_iter().filter(|_| with_names) {
            let (x, name) = &ticks[at];
            let place = (*x, self.bottom + 26);
            canvas.text(name, place, Beside::Middle, Size::Small, palette::MUTED);
        }
        let ticks = self.y.ticks.iter().map(|(value, name)| (self.y_place(*value), name));
        let ticks: Vec<(i32, &String)> = ticks.collect();
        let heights: Vec<(i32, i32)> = ticks.iter().map(|&(y, _)| (y, LINE_HEIGHT - 16)).collect();
        for at in apart(&heights) {
            let (y, name) = ticks[at];
            canvas.line(&[(self.left, y), (self.right, y)], palette::GRID, THIN);
            let place = (self.left - 14, y);
            canvas.text(name, place, Beside::Left, Size::Small, palette::MUTED);
        }
        canvas.line(&[(self.left, self.bottom), (self.right, self.bottom)], palette::AXIS, THIN);
    }

    fn contents(&self, canvas: &mut Canvas<'_>, pane: &Pane) {
        for (ink, part) in pane.bands.iter().flat_map(|b| b.parts.iter().map(move |p| (b.ink, p))) {
            let upper = part.iter().map(|&(x, _, high)| self.place((x, high)));
            let lower = part.iter().rev().map(|&(x, low, _)| self.place((x, low)));
            canvas.area(&upper.chain(lower).collect::<Vec<Position>>(), ink, 0.25);
        }
        self.bars(canvas, &pane.bars);
        self.marks(canvas, &pane.marks);
        for line in &pane.lines {
            for part in &line.parts {
                let places: Vec<Position> = part.iter().map(|&point| self.place(point)).collect();
                canvas.line(&places, line.ink, line.width);
            }
            for &point in &line.dots {
                canvas.dot(self.place(point), 6, line.ink);
            }
        }
        self.labels(canvas, &pane.lines);
    }

    /// Bars that touch are one shape: a run in which every second has failures would have hundreds.
    fn bars(&self, canvas: &mut Canvas<'_>, bars: &[Bar]) {
        for run in bars.chunk_by(|one, next| one.to == next.from) {
            let mut outline = Vec::with_capacity(2 * run.len() + 2);
            let mut x = self.x_place(run[0].from);
            outline.push((x, self.bottom));
            for bar in run {
                // A single failure among millions is to be seen as well.
                let y = self.y_place(bar.height).min(self.bottom - 6);
                outline.push((x, y));
                x = self.x_place(bar.to).max(x + 4);
                outline.push((x, y));
            }
            outline.push((x, self.bottom));
            canvas.area(&outline, palette::FAILURE, 1.0);
        }
    }

    /// Upright lines, their names on the left of their upper ends, each lower than the one before.
    fn marks(&self, canvas: &mut Canvas<'_>, marks: &[Mark]) {
        for mark in marks {
            let x = self.x_place(mark.x);
            canvas.line(&[(x, self.top), (x, self.bottom)], palette::MARK, THIN);
        }
        for (at, mark) in (0..).zip(marks) {
            let (x, y) = (self.x_place(mark.x), self.top + 16 + at * LINE_HEIGHT);
            let width = Size::Small.width(&mark.label);
            let (from, place, beside) = match x - 12 - width >= self.left {
                true => (x - 12 - width, (x - 12, y), Beside::Left),
                false => (x + 12, (x + 12, y), Beside::Right),
            };
            // It may stand upon the line of another.
            canvas.rect((from, y - 14), (from + width, y + 14), palette::CARD);
            canvas.text(&mark.label, place, beside, Size::Small, palette::TEXT);
        }
    }

    fn labels(&self, canvas: &mut Canvas<'_>, lines: &[PlotLine]) {
        let end = |line: &PlotLine| line.parts.last().and_then(|part| part.last().copied());
        let labelled = lines.iter().filter(|line| !line.label.is_empty());
        let mut labels: Vec<(i32, &PlotLine)> = labelled
            .map(|line| {
                let dot = line.dots.last().copied();
                (dot.or_else(|| end(line)).map_or(self.bottom, |(_, y)| self.y_place(y)), line)
            })
            .collect();
        labels.sort_by_key(|(y, _)| *y);
        let mut heights: Vec<i32> = labels.iter().map(|(y, _)| *y).collect();
        spread(&mut heights, LINE_HEIGHT, self.bottom);
        for (y, (_, line)) in heights.into_iter().zip(labels) {
            let x = self.right + 18;
            canvas.line(&[(x, y), (x + SWATCH, y)], line.ink, line.width);
            let place = (x + SWATCH + 8, y);
            canvas.text(&line.label, place, Beside::Right, Size::Normal, line.ink);
        }
    }
}

/// The height of a pane whose labels have room.
pub(super) fn height_for(labels: usize, at_least: i32) -> i32 {
    at_least.max(labels as i32 * LINE_HEIGHT)
}

/// The numbers of those that can be shown without one upon another; earlier ones first. Each is
/// `(middle, width)`.
fn apart(names: &[(i32, i32)]) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for (at, &(middle, width)) in names.iter().enumerate() {
        let clear = |&other: &usize| {
            let (x, other_width) = names[other];
            (x - middle).abs() >= (width + other_width) / 2 + 12
        };
        if kept.iter().all(clear) {
            kept.push(at);
        }
    }
    kept
}

/// Moves sorted heights until they are so far apart, and none is below the lowest.
fn spread(heights: &mut [i32], gap: i32, lowest: i32) {
    for at in 1..heights.len() {
        heights[at] = heights[at].max(heights[at - 1] + gap);
    }
    let mut limit = lowest;
    for height in heights.iter_mut().rev() {
        *height = (*height).min(limit);
        limit = *height - gap;
    }
}

/// A line with a label.
pub(super) fn line(label: &str, ink: Ink, width: u32, parts: Vec<Vec<Point>>) -> PlotLine {
    PlotLine { label: canvas::label(label, 28), ink, width, parts, dots: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_make_room_for_each_other() {
        for (given, expected) in [
            (vec![], vec![]),
            (vec![10], vec![10]),
            (vec![10, 12, 90], vec![10, 20, 90]),
            (vec![95, 99, 200], vec![80, 90, 100]),
        ] {
            let mut heights = given.clone();
            spread(&mut heights, 10, 100);
            assert_eq!(heights, expected, "{given:?}");
        }
    }

    #[test]
    fn names_that_would_touch_are_left_out_the_less_important_first() {
        assert_eq!(apart(&[(100, 40), (120, 40), (152, 40), (300, 10)]), [0, 2, 3]);
        assert!(apart(&[]).is_empty());
    }
}
