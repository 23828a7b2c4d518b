//! How much a page may use of a terminal: colour, and width. Decided once, so that everything
//! that prints is a function of its arguments.

use console::Term;
use std::env;
use std::ffi::OsStr;
use std::io::IsTerminal;

/// Where nothing says how wide a line may be.
const WIDTH_DEFAULT: usize = 80;
/// Below this the latency table has nothing left to leave out.
const WIDTH_MIN: usize = 40;
/// Beyond this a sentence is hard to read.
const WIDTH_MAX: usize = 100;

/// What a page may use of the place it is printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are wanted and understood.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

/// What a piece of text is, from which its colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing special.
    Text,
    /// What is looked for first.
    Number,
    /// Names of rows and sections.
    Heading,
    /// Explains, and may be skipped.
    Aside,
    /// Went well.
    Good,
    /// Held the run back.
    Warning,
    /// The result is not what was hoped for, or not what it seems.
    Bad,
}

impl Style {
    /// No colour, 80 columns: files, pipes, tests.
    pub const PLAIN: Style = Style { colour: false, width: WIDTH_DEFAULT };

    /// What standard output can show.
    pub fn stdout() -> Style {
        Style::of(&Term::stdout(), std::io::stdout().is_terminal())
    }

    /// What standard error can show.
    pub fn stderr() -> Style {
        Style::of(&Term::stderr(), std::io::stderr().is_terminal())
    }

    fn of(term: &Term, terminal: bool) -> Style {
        let columns = term.size_checked().map(|(_rows, columns)| usize::from(columns));
        Style {
            colour: wants_colour(terminal, env::var_os("NO_COLOR").as_deref()) && !dumb(),
            // Unknown columns, as on a serial line, are reported as 0.
            width: columns
                .filter(|columns| terminal && *columns > 0)
                .map_or(WIDTH_DEFAULT, |columns| columns.clamp(WIDTH_MIN, WIDTH_MAX)),
        }
    }

    /// The text in the colour of its role, or as it is.
    pub fn paint(self, role: Role, text: &str) -> String {
        // Only the basic colours: they follow the user's theme, light or dark.
        let code = match role {
            _ if !self.colour || text.is_empty() => return text.into(),
            Role::Text => return text.into(),
            Role::Number | Role::Heading => "1",
            Role::Aside => "2",
            Role::Good => "32",
            Role::Warning => "33",
            Role::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Painted pieces in lines that are no wider than `room`; a piece is never broken.
    pub fn flow(self, pieces: &[(Role, String)], separator: &str, room: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut used = 0;
        for (role, text) in pieces {
            // The separator that ends a line may stand at its very end, without its spaces.
            let width = text.chars().count() + separator.trim_end().len();
            match lines.last_mut() {
                Some(line) if used + separator.len() + width <= room => {
                    line.push_str(separator);
                    line.push_str(&self.paint(*role, text));
                    used += separator.len() + text.chars().count();
                }
                last => {
                    if let Some(line) = last {
                        line.push_str(separator.trim_end());
                    }
                    lines.push(self.paint(*role, text));
                    used = text.chars().count();
                }
            }
        }
        lines
    }
}

/// Whether the terminal knows no more than lines of text.
pub fn dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// NO_COLOR counts when it is set and not empty, as no-color.org has it.
fn wants_colour(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_and_nobody_against_it() {
        assert!(wants_colour(true, None));
        assert!(wants_colour(true, Some(OsStr::new(""))));
        assert!(!wants_colour(true, Some(OsStr::new("1"))));
        assert!(!wants_colour(false, None));
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Style::PLAIN.paint(Role::Bad, "12"), "12");
        let coloured = Style { colour: true, ..Style::PLAIN };
        assert_eq!(coloured.paint(Role::Bad, "12"), "\x1b[31m12\x1b[0m");
        assert_eq!(coloured.paint(Role::Bad, ""), "");
        assert_eq!(coloured.paint(Role::Text, "12"), "12");
    }

    #[test]
    fn pieces_flow_into_lines_and_stay_whole() {
        let pieces = ["one", "two and", "three"].map(|text| (Role::Text, text.to_owned()));
        assert_eq!(Style::PLAIN.flow(&pieces, ", ", 80), ["one, two and, three"]);
        assert_eq!(Style::PLAIN.flow(&pieces, ", ", 13), ["one, two and,", "three"]);
        assert_eq!(Style::PLAIN.flow(&pieces, ", ", 12), ["one,", "two and,", "three"]);
        assert!(Style::PLAIN.flow(&[], ", ", 12).is_empty());
    }
}
