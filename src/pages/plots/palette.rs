//! The colours of plots, in light and in dark.
//!
//! plotters writes each colour as an attribute, `stroke="#0072B2"`. A style sheet inside of the
//! picture finds it there and replaces it where the reader's screen is dark; a viewer that knows no
//! style sheets shows the light picture:
//!
//! ```text
//!   @media (prefers-color-scheme:dark){ [stroke="#0072B2"]{stroke:#4BA3DB} ... }
//! ```
//!
//! plotters has no dashed lines that are one shape. Here a dashed line is a colour of its own, one
//! bit of blue away from the solid one, and the style sheet knows its pattern.
//!
//! The lines differ in hue and in lightness, so that they stay apart for readers who see no
//! difference between red and green, or between blue and green; each is labelled as well.

use plotters::style::RGBColor;
use std::fmt::Write;

/// A colour in both schemes, and the pattern of lines in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ink {
    light: u32,
    dark: u32,
    dashes: Option<&'static str>,
}

/// What everything stands on.
pub(super) const CARD: Ink = ink(0xFFFFFF, 0x0D1117);
/// The card's edge.
pub(super) const BORDER: Ink = ink(0xD1D9E0, 0x3D444D);
/// Lines that help to read a value, and may be overlooked.
pub(super) const GRID: Ink = ink(0xE6EAEF, 0x262C36);
/// Where a scale begins.
pub(super) const AXIS: Ink = ink(0x818B98, 0x6E7681);
/// Titles and labels.
pub(super) const TEXT: Ink = ink(0x1F2328, 0xE6EDF3);
/// Text that explains.
pub(super) const MUTED: Ink = ink(0x57606A, 0x9DA7B3);
/// What went wrong.
pub(super) const FAILURE: Ink = ink(0xCF222E, 0xFF7B72);
/// A place that is marked.
pub(super) const MARK: Ink = dashed(ink(0x57606A, 0x9DA7B3), 1, "8 6");

const SERIES: [Ink; 5] = [
    ink(0x0072B2, 0x4BA3DB),
    ink(0xC04C00, 0xD9732B),
    ink(0x3B7A1E, 0x2BE5A5),
    ink(0x5E2390, 0x9D63EA),
    ink(0x4A2B00, 0xFFD84D),
];

/// When the colours are used up, they come again with these.
const PATTERNS: [Option<&str>; 3] = [None, Some("18 8"), Some("4 6")];

/// The bit that marks the colour of a tail; those below are the pattern's number.
const TAIL: u32 = 4;

/// The colour and pattern of a line, by its number.
pub(super) fn series(number: usize) -> Ink {
    let pattern = number / SERIES.len() % PATTERNS.len();
    let solid = SERIES[number % SERIES.len()];
    PATTERNS[pattern].map_or(solid, |dashes| dashed(solid, pattern as u32, dashes))
}

/// The same colour for the part of a line that says little.
pub(super) fn tail(of: Ink) -> Ink {
    dashed(of, TAIL, "2 7")
}

const fn ink(light: u32, dark: u32) -> Ink {
    Ink { light, dark, dashes: None }
}

const fn dashed(of: Ink, bit: u32, dashes: &'static str) -> Ink {
    Ink { light: of.light ^ bit, dark: of.dark, dashes: Some(dashes) }
}

impl Ink {
    /// For plotters.
    pub(super) fn rgb(self) -> RGBColor {
        let [_, red, green, blue] = self.light.to_be_bytes();
        RGBColor(red, green, blue)
    }

    /// As plotters writes it.
    fn attribute(self) -> String {
        format!("\"#{:06X}\"", self.light)
    }
}

fn all() -> impl Iterator<Item = Ink> {
    let lines = (0..SERIES.len() * PATTERNS.len()).map(series);
    [CARD, BORDER, GRID, AXIS, TEXT, MUTED, FAILURE, MARK]
        .into_iter()
        .chain(lines.flat_map(|line| [line, tail(line)]))
}

/// The style sheet for the colours that these shapes use.
pub(super) fn style_sheet(shapes: &str) -> String {
    let mut sheet = String::from("polyline{stroke-linejoin:round}");
    let mut dark = String::new();
    for ink in all() {
        let attribute = ink.attribute();
        let rule = |sheet: &mut String, key: &str, property: &str, value: &str| {
            if shapes.contains(&format!("{key}={attribute}")) {
                write!(sheet, "[{key}={attribute}]{{{property}:{value}}}")
                    .expect("writing to memory does not fail");
            }
        };
        if let Some(dashes) = ink.dashes {
            rule(&mut sheet, "stroke", "stroke-dasharray", dashes);
        }
        let replaced = format!("#{:06X}", ink.dark);
        rule(&mut dark, "fill", "fill", &replaced);
        rule(&mut dark, "stroke", "stroke", &replaced);
    }
    sheet + "@media (prefers-color-scheme:dark){" + &dark + "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As WCAG 2 defines it.
    fn luminance(colour: u32) -> f64 {
        let [_, red, green, blue] = colour.to_be_bytes().map(|byte| {
            let part = f64::from(byte) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(one: u32, other: u32) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn everything_can_be_read_on_the_card() {
        assert!((contrast(0xFFFFFF, 0) - 21.0).abs() < 1e-9);
        let lines = (0..15).map(series).flat_map(|line| [line, tail(line)]);
        // Lines have labels in their own colour.
        for text in lines.chain([TEXT, MUTED, FAILURE, MARK]) {
            assert!(contrast(text.light, CARD.light) >= 4.5, "{text:X?}");
            assert!(contrast(text.dark, CARD.dark) >= 4.5, "{text:X?}");
        }
        assert!(contrast(AXIS.light, CARD.light) >= 3.0);
        assert!(contrast(AXIS.dark, CARD.dark) >= 3.0);
    }

    #[test]
    fn lines_differ_in_lightness_or_hue_also_for_a_reader_without_red_and_green() {
        // Seen by such a reader, red and green are one yellow (Viénot, Brettel, Mollon 1999, in
        // linear light); what is left is its lightness and the amount of blue.
        let seen = |colour: u32| {
            let [_, red, green, blue] =
                colour.to_be_bytes().map(|byte| (f64::from(byte) / 255.0).powf(2.2));
            [(0.292 * red + 0.708 * green).powf(1.0 / 2.2), blue.powf(1.0 / 2.2)]
        };
        for scheme in [|ink: Ink| ink.light, |ink: Ink| ink.dark] {
            for (at, one) in SERIES.into_iter().enumerate() {
                for other in &SERIES[..at] {
                    let ([y1, b1], [y2, b2]) = (seen(scheme(one)), seen(scheme(*other)));
                    let distance = (y1 - y2).hypot(b1 - b2);
                    assert!(distance > 0.1, "{one:X?} {other:X?} {distance}");
                }
            }
        }
    }

    #[test]
    fn each_ink_has_an_attribute_of_its_own() {
        let mut attributes: Vec<String> = all().map(Ink::attribute).collect();
        attributes.sort_unstable();
        attributes.dedup();
        assert_eq!(attributes.len(), all().count());
    }

    #[test]
    fn the_style_sheet_has_what_is_used_and_no_more() {
        let sheet = style_sheet(r##"<line stroke="#0072B3"/><rect fill="#FFFFFF"/>"##);
        assert!(sheet.contains(r##"[stroke="#0072B3"]{stroke-dasharray:18 8}"##), "{sheet}");
        assert!(sheet.contains(r##"dark){[fill="#FFFFFF"]{fill:#0D1117}"##), "{sheet}");
        assert!(sheet.contains(r##"[stroke="#0072B3"]{stroke:#4BA3DB}"##), "{sheet}");
        assert!(!sheet.contains("#0072B2"), "{sheet}");
    }
}
