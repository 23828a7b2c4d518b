//! Text that a terminal may show.

/// Text from a server or a user, safe to show: characters that could steer a terminal, or make text
/// read differently, become `\x1b` or `\u{202e}`.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !steers(c) => safe.push(c),
            c if c.is_ascii() => safe.push_str(&format!("\\x{:02x}", c as u32)),
            c => safe.extend(c.escape_unicode()),
        }
    }
    safe
}

/// Whether a character acts on what shows it rather than being shown.
pub fn steers(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}'                        // soft hyphen
        | '\u{61c}'                     // Arabic letter mark
        | '\u{180e}'                    // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}'       // zero widths, left-to-right and right-to-left marks
        | '\u{2028}'..='\u{202e}'       // line and paragraph ends, bidi embeddings and overrides
        | '\u{2060}'..='\u{206f}'       // word joiner, bidi isolates, deprecated shaping
        | '\u{feff}'                    // byte order mark
        | '\u{fff9}'..='\u{fffb}'       // annotations
        | '\u{e0000}'..='\u{e007f}'); // tags
    // C0, DEL and C1 are what Unicode calls control characters.
    invisible || c.is_control()
}

/// The text, or its start and an ellipsis if it is wider than that.
pub fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Lines no wider than that, broken between words; a word longer than a line keeps its own. Text in
/// backticks is a command to copy, and counts as one word.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut in_command = false;
    let words = text.split(|c: char| {
        in_command ^= c == '`';
        c.is_whitespace() && !in_command
    });
    for word in words.filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_never_torn_apart() {
        let text = "or `sysctl -w net.core.somaxconn=16384 net.ipv4.tcp_syncookies=1`; or so";
        assert_eq!(
            wrapped(text, 20),
            ["or", "`sysctl -w net.core.somaxconn=16384 net.ipv4.tcp_syncookies=1`;", "or so"]
        );
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        for (text, safe) in [
            ("/päth?q=1&é=ß", "/päth?q=1&é=ß"),
            ("日本", "日本"),
            ("a\tb\r\nc\0", r"a\x09b\x0d\x0ac\x00"),
            ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
            ("\x7f", r"\x7f"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("\u{202e}txt.exe\u{2066}", r"\u{202e}txt.exe\u{2066}"),
            ("\u{200b}\u{2028}\u{feff}\u{e0041}", r"\u{200b}\u{2028}\u{feff}\u{e0041}"),
        ] {
            assert_eq!(escape(text), safe);
        }
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(!escape(&all).chars().any(steers));
    }

    #[test]
    fn text_is_wrapped_between_words_and_cut_with_an_ellipsis() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a verylongword b", 4), ["a", "verylongword", "b"]);
        assert!(wrapped(" ", 10).is_empty());
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
    }
}
