//! What a plot is drawn on: plotters' SVG backend, with the few shapes that plots need, and around
//! them what makes the picture one that can be read in light and dark, by eye and by ear.
//!
//! plotters rounds to whole units. A unit is half a pixel here, so that a curve is smooth:
//!
//! ```text
//!   width="800" height="360" viewBox="0 0 1600 720"
//! ```
//!
//! plotters' own charts have no gaps, no ticks at 0, 50, 90, 99 and no labels at the ends of lines;
//! so only its shapes are used.

use super::palette::{self, Ink};
use crate::words::text;
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, RGBAColor, ShapeStyle, TextStyle};

/// The width of every plot, in units.
pub(super) const WIDTH: i32 = 1600;

/// A place, in units from the upper left corner.
pub(super) type Position = (i32, i32);

/// The shapes of a picture.
pub(super) struct Canvas<'a>(SVGBackend<'a>);

/// How large a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Ticks and explanations.
    Small,
    /// Labels of lines.
    Normal,
    /// What the plot shows.
    Title,
}

/// Where a text stands beside its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// It begins there.
    Right,
    /// It is centred there.
    Middle,
    /// It ends there.
    Left,
}

/// A picture of that height. The title names it, the summary says what there is to see; both are
/// for readers who do not see it.
pub(super) fn picture(
    height: i32,
    (title, summary): (&str, &str),
    paint: impl FnOnce(&mut Canvas<'_>),
) -> String {
    let mut text = String::new();
    let mut canvas = Canvas(SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32)));
    canvas.rect((0, 0), (WIDTH, height), palette::CARD);
    canvas.frame((1, 1), (WIDTH - 1, height - 1), palette::BORDER);
    paint(&mut canvas);
    canvas.0.present().expect(IN_MEMORY);
    drop(canvas);
    // Its first line is the tag that this replaces.
    let shapes = text.split_once('\n').map_or("", |(_, shapes)| shapes);
    let (title, summary) = (xml(title), xml(summary));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}: {summary}\">\n\
         <title>{title}</title>\n<desc>{summary}</desc>\n<style>{}</style>\n{shapes}",
        WIDTH / 2,
        height / 2,
        palette::style_sheet(shapes),
    )
}

const IN_MEMORY: &str = "drawing in memory does not fail";

impl Canvas<'_> {
    /// A filled rectangle.
    pub(super) fn rect(&mut self, from: Position, to: Position, ink: Ink) {
        self.0.draw_rect(from, to, &style(ink, 1.0, 0), true).expect(IN_MEMORY);
    }

    fn frame(&mut self, from: Position, to: Position, ink: Ink) {
        self.0.draw_rect(from, to, &style(ink, 1.0, 2), false).expect(IN_MEMORY);
    }

    /// A line through places; through a single one it is a dot.
    pub(super) fn line(&mut self, places: &[Position], ink: Ink, width: u32) {
        match simplified(places)[..] {
            [] => {}
            [place] => self.dot(place, width + 3, ink),
            [from, to] => self.0.draw_line(from, to, &style(ink, 1.0, width)).expect(IN_MEMORY),
            ref places => {
                self.0.draw_path(places.iter().copied(), &style(ink, 1.0, width)).expect(IN_MEMORY)
            }
        }
    }

    /// A filled outline; `opacity` of 1 hides what is below.
    pub(super) fn area(&mut self, outline: &[Position], ink: Ink, opacity: f64) {
        let outline = simplified(outline);
        self.0.fill_polygon(outline, &style(ink, opacity, 0)).expect(IN_MEMORY);
    }

    pub(super) fn dot(&mut self, place: Position, radius: u32, ink: Ink) {
        self.0.draw_circle(place, radius, &style(ink, 1.0, 0), true).expect(IN_MEMORY);
    }

    /// A text beside a place, centred vertically.
    pub(super) fn text(
        &mut self,
        text: &str,
        place: Position,
        beside: Beside,
        size: Size,
        ink: Ink,
    ) {
        let horizontal = match beside {
            Beside::Right => HPos::Left,
            Beside::Middle => HPos::Center,
            Beside::Left => HPos::Right,
        };
        let weight = if size == Size::Title { FontStyle::Bold } else { FontStyle::Normal };
        let family = FontFamily::Name("system-ui, sans-serif");
        // The backend divides by that, for it takes the size to be the height of a line.
        let colour = ink.rgb();
        let style = TextStyle::from((family, size.units() * 1.24, weight))
            .color(&colour)
            .pos(Pos::new(horizontal, VPos::Center));
        self.0.draw_text(text, &style, place).expect(IN_MEMORY);
    }
}

impl Size {
    fn units(self) -> f64 {
        match self {
            Size::Small => 23.0,
            Size::Normal => 25.0,
            Size::Title => 30.0,
        }
    }

    /// About how wide a text is; rather too wide, since the reader's font is not known.
    pub(super) fn width(self, text: &str) -> i32 {
        let wide = |c: char| match c {
            ' ' | ',' | '.' | 'i' | 'l' | ':' => 0.36,
            c if c.is_ascii() => 0.6,
            // Of these some are as wide as they are high.
            _ => 1.0,
        };
        (text.chars().map(wide).sum::<f64>() * self.units()).ceil() as i32
    }
}

fn style(ink: Ink, opacity: f64, width: u32) -> ShapeStyle {
    let color: RGBAColor = ink.rgb().mix(opacity);
    ShapeStyle { color, filled: true, stroke_width: width }
}

/// Without places that lie on the way between their neighbours, straight up, down or aside.
fn simplified(places: &[Position]) -> Vec<Position> {
    let between = |a: i32, b: i32, c: i32| (a.min(c)..=a.max(c)).contains(&b);
    let mut kept: Vec<Position> = Vec::with_capacity(places.len());
    for &place in places {
        if let [.., (x0, y0), (x1, y1)] = kept[..] {
            let (x2, y2) = place;
            let upright = x0 == x1 && x1 == x2 && between(y0, y1, y2);
            let level = y0 == y1 && y1 == y2 && between(x0, x1, x2);
            if upright || level {
                kept.pop();
            }
        }
        if kept.last() != Some(&place) {
            kept.push(place);
        }
    }
    kept
}

/// Text from outside that a picture may show: on one line, at most that long, and without what XML
/// forbids or what makes text read other than it is.
pub(super) fn label(text: &str, length: usize) -> String {
    let safe: String = text::escape(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    text::shortened(&safe, length)
}

fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_place_that_changes_nothing() {
        for (places, kept) in [
            (vec![], vec![]),
            (vec![(1, 1), (1, 1)], vec![(1, 1)]),
            (vec![(0, 0), (1, 0), (2, 0), (2, 3), (2, 5)], vec![(0, 0), (2, 0), (2, 5)]),
            // There and back again is a peak.
            (vec![(0, 0), (0, 9), (0, 1)], vec![(0, 0), (0, 9), (0, 1)]),
            (vec![(0, 0), (1, 1), (2, 2)], vec![(0, 0), (1, 1), (2, 2)]),
        ] {
            assert_eq!(simplified(&places), kept, "{places:?}");
        }
    }

    #[test]
    fn text_from_outside_is_text_in_the_picture() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let nasty = r#"</text><script>alert("1")</script>&amp;'"#;
        for text in [label(&all, usize::MAX), label(nasty, 80)] {
            let svg = picture(40, (&text, &text), |canvas| {
                canvas.text(&text, (0, 20), Beside::Right, Size::Normal, palette::TEXT);
            });
            let document = roxmltree::Document::parse(&svg).expect("it is XML");
            let find = |name: &str| {
                document.descendants().find(|node| node.has_tag_name(name)).and_then(|n| n.text())
            };
            assert_eq!(find("title"), Some(&*text));
            assert_eq!(find("text").map(|shown| shown.trim_matches('\n')), Some(&*text));
            assert_eq!(find("script"), None);
        }
        assert_eq!(
            label("a\n\u{1b}[2J\u{202e}\u{ffff}", 80),
            r"a\x0a\x1b[2J\u{202e}".to_owned() + "\u{fffd}"
        );
        assert_eq!(label("abcdef", 4), "abc…");
    }
}
