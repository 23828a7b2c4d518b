//! Pieces of Markdown. What came from a user or a server is either in a code span, where nothing
//! is markup, or escaped; it cannot start a link, an image or a tag.

use crate::report::console::format;

/// The characters that mean something to a renderer within a line; `|` ends a cell.
const MARKUP: &str = r"\`*_[]<>|~&$#";

/// Text as it is.
pub fn plain(text: &str) -> String {
    let text: Vec<char> = format::escape(text).chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (at, &c) in text.iter().enumerate() {
        let is_word = |at: usize| text.get(at).is_some_and(|c| c.is_alphanumeric());
        // Within a word it is none: io_uring stays legible.
        let within_a_word = c == '_' && is_word(at.wrapping_sub(1)) && is_word(at + 1);
        if MARKUP.contains(c) && !within_a_word {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A sentence of ours, in which only what stands in backticks is markup.
pub fn sentence(text: &str) -> String {
    // An odd number of backticks would leave a span open.
    if text.matches('`').count() % 2 == 1 {
        return plain(text);
    }
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { code(part) } else { plain(part) }).collect()
}

/// A code span, also in a cell of a table.
pub fn code(text: &str) -> String {
    let text = format::escape(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A span must not begin or end with its own fence's character.
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    // GitHub splits cells before it looks for code.
    format!("{fence}{space}{}{space}{fence}", text.replace('|', r"\|"))
}

/// A block of code, such as a command; `text` is of one line.
pub fn block(text: &str) -> String {
    format!("    {}\n", format::escape(text))
}

/// A command line as a shell reads it; the program without its directory, which is another one
/// for the reader.
pub fn shell(words: &[String]) -> String {
    let quoted = |word: &String| match shlex::try_quote(word) {
        Ok(quoted) => quoted.into_owned(),
        // Only a zero byte cannot be quoted, and no argument has one.
        Err(_) => word.escape_debug().to_string(),
    };
    let program = words.first().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
    let words: Vec<String> = program.into_iter().chain(words.iter().skip(1).cloned()).collect();
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table; cells are Markdown, and a row that is too short ends in empty ones.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(&mut columns.iter().map(|(name, _)| (*name).to_owned()));
    text += &line(&mut columns.iter().map(|(_, align)| match align {
        Align::Left => "---".to_owned(),
        Align::Right => "---:".to_owned(),
    }));
    for row in rows {
        let cell = |at| row.get(at).cloned().unwrap_or_default();
        text += &line(&mut (0..columns.len()).map(cell));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_is_markup() {
        for (text, escaped) in [
            ("a|b", r"a\|b"),
            ("<img src=x>", r"\<img src=x\>"),
            ("![x](http://y)", r"!\[x\](http://y)"),
            ("*a* _b_ `c` d_e", r"\*a\* \_b\_ \`c\` d_e"),
            ("a\u{1b}[2J\nb", r"a\\x1b\[2J\\x0ab"),
        ] {
            assert_eq!(plain(text), escaped);
        }
    }

    #[test]
    fn code_keeps_its_backticks_and_stays_in_its_cell() {
        assert_eq!(code("a b"), "`a b`");
        assert_eq!(code("a|b"), r"`a\|b`");
        assert_eq!(code("a `` b"), "```a `` b```");
        assert_eq!(code("`a`"), "`` `a` ``");
    }

    #[test]
    fn a_cure_keeps_its_commands() {
        assert_eq!(sentence("run `sysctl -w a_b=1`; or *so*"), r"run `sysctl -w a_b=1`; or \*so\*");
        assert_eq!(sentence("an odd ` one"), r"an odd \` one");
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let words = ["ringshot", "--slo", "p99<5ms", "-H", "A: it's", "http://x/?a=1&b=2"];
        let mut typed = words.map(String::from);
        typed[0] = "target/release/ringshot".into();
        assert_eq!(shlex::split(&shell(&typed)).unwrap(), words);
    }

    #[test]
    fn a_table_has_as_many_cells_in_every_row() {
        let rows = [vec!["a".into(), "1".into()], vec!["b".into()]];
        assert_eq!(
            table(&[("x", Align::Left), ("y", Align::Right)], &rows),
            "| x | y |\n| --- | ---: |\n| a | 1 |\n| b |  |\n"
        );
    }
}
