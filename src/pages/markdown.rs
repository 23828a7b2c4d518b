//! Pieces of Markdown. What came from a user or a server is either in a code span, where nothing
//! is markup, or escaped; it cannot start a link, an image or a tag. (A name behind an `@` is made a
//! mention by GitHub wherever it stands but in code.)

use crate::words::text;

/// The characters that mean something to a renderer within a line; `|` ends a cell.
const MARKUP: &str = r"\`*_[]<>|~&$#";

/// Text as it is.
pub(crate) fn plain(text: &str) -> String {
    let text: Vec<char> = text::escape(text).chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (at, &c) in text.iter().enumerate() {
        let is_word = |at: usize| text.get(at).is_some_and(|c| c.is_alphanumeric());
        // Within a word it is none: io_uring stays legible.
        let within_a_word = c == '_' && is_word(at.wrapping_sub(1)) && is_word(at + 1);
        // `http://` and `www.` become links by themselves.
        let link = (c == ':' && text[at..].starts_with(&[':', '/', '/']))
            || (c == '.' && text[..at].ends_with(&['w', 'w', 'w']));
        if (MARKUP.contains(c) && !within_a_word) || link {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A sentence of ours, in which only what stands in backticks is markup.
pub(crate) fn sentence(text: &str) -> String {
    // An odd number of backticks would leave a span open.
    if text.matches('`').count() % 2 == 1 {
        return plain(text);
    }
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { code(part) } else { plain(part) }).collect()
}

/// A code span.
pub(crate) fn code(text: &str) -> String {
    let text = text::escape(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A span must not begin or end with its own fence's character.
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A block of code, such as a command; `text` is of one line.
pub(crate) fn block(text: &str) -> String {
    format!("    {}\n", text::escape(text))
}

/// A command line as a shell reads it; the program without its directory, which is another one
/// for the reader.
pub(crate) fn shell(words: &[String]) -> String {
    let quoted = |word: &String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
        match shlex::try_quote(word) {
            _ if !word.is_empty() && word.chars().all(is_plain) => word.clone(),
            // What would not be seen, or not survive being copied.
            Ok(_) if word.chars().any(text::steers) => ansi_c(word),
            Ok(quoted) => quoted.into_owned(),
            // Only a zero byte cannot be quoted, and no argument has one.
            Err(_) => word.escape_debug().to_string(),
        }
    };
    let program = words.first().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
    let words: Vec<String> = program.into_iter().chain(words.iter().skip(1).cloned()).collect();
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A word as bash, zsh and ksh read it in `$'...'`, with names for what cannot be seen.
fn ansi_c(word: &str) -> String {
    let mut quoted = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if text::steers(c) && c.is_ascii() => quoted += &format!("\\x{:02x}", c as u32),
            c if text::steers(c) => quoted += &format!("\\U{:08x}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table; cells are Markdown, and a row that is too short ends in empty ones.
pub(crate) fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.map(|cell| without_bars(&cell)).collect();
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

/// GitHub splits a row into cells before it looks for code, and takes the backslash away again.
fn without_bars(cell: &str) -> String {
    let mut safe = String::with_capacity(cell.len());
    let mut before = ' ';
    for c in cell.chars() {
        if c == '|' && before != '\\' {
            safe.push('\\');
        }
        safe.push(c);
        before = c;
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_is_markup() {
        for (text, escaped) in [
            ("a|b", r"a\|b"),
            ("<img src=x>", r"\<img src=x\>"),
            ("![x](http://y)", r"!\[x\](http\://y)"),
            ("www.evil.example", r"www\.evil.example"),
            ("*a* _b_ `c` d_e", r"\*a\* \_b\_ \`c\` d_e"),
            ("a\u{1b}[2J\nb", r"a\\x1b\[2J\\x0ab"),
        ] {
            assert_eq!(plain(text), escaped);
        }
    }

    #[test]
    fn code_keeps_its_backticks_and_stays_in_its_cell() {
        assert_eq!(code("a b"), "`a b`");
        assert_eq!(code("a|b"), "`a|b`");
        let table = table(&[("x", Align::Left)], &[vec![code("a|b")], vec![plain("a|b")]]);
        assert!(table.ends_with("| `a\\|b` |\n| a\\|b |\n"), "{table}");
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
        let line = |word: &str| shell(&["x".to_owned(), word.to_owned()]);
        assert_eq!(line("--close=server"), "x --close=server");
        assert_eq!(line("a\nb'\u{202e}"), r"x $'a\nb\'\U0000202e'");
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
