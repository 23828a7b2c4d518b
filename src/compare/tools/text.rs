//! Numbers in text that was made for people.

/// What stands behind a label at the beginning of a line, up to the line's end.
pub(crate) fn after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix(label)).map(str::trim)
}

/// The first word behind a label, as a number from 0 on.
pub(crate) fn number(text: &str, label: &str) -> Result<f64, String> {
    let word = after(text, label).and_then(|rest| rest.split_whitespace().next());
    word.and_then(finite).ok_or_else(|| missing(label))
}

/// The first word behind a label, as a whole number.
pub(crate) fn whole(text: &str, label: &str) -> Result<u64, String> {
    let word = after(text, label).and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).ok_or_else(|| missing(label))
}

/// The number before a word, as in `5 total, 3 failed`.
pub(crate) fn whole_before(text: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|other| other.trim_end_matches(',') == word)?;
    words[..at].last()?.parse().ok()
}

/// The number that follows a word, as in `connect 0, read 5`.
pub(crate) fn whole_after(text: &str, word: &str) -> Option<u64> {
    let mut words = text.split_whitespace().skip_while(|other| *other != word);
    words.nth(1)?.trim_end_matches([',', ')']).parse().ok()
}

/// `629.00us`, `1.43ms`, `2s`, `1.50m`: microseconds.
pub(crate) fn time_us(text: &str) -> Option<f64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return None,
    };
    // Nanoseconds are more than any tool prints.
    finite(number).map(|number| (number * factor * 1e3).round() / 1e3)
}

/// A number from 0 on that is one.
pub(crate) fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

/// A document in JSON.
pub(crate) fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("its output is no JSON ({error})"))
}

/// What to say when a number is not where it belongs.
pub(crate) fn missing(label: &str) -> String {
    format!("its output has no \"{}\" as this version of ringshot knows it", label.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_words() {
        let text =
            "x\n  Requests/sec:  12.5 #\nrequests: 5 total, 3 failed\n (Connect: 0, Read: 7)";
        assert_eq!(number(text, "Requests/sec:"), Ok(12.5));
        assert_eq!(whole(text, "requests:"), Ok(5));
        assert!(whole(text, "Requests/sec:").is_err() && whole(text, "none:").is_err());
        assert_eq!(whole_before("5 total, 3 failed", "failed"), Some(3));
        assert_eq!(whole_before("total", "total"), None);
        assert_eq!(whole_after(text, "Read:"), Some(7));
        assert_eq!(whole_after("a", "a"), None);
    }

    #[test]
    fn times_have_units() {
        for (text, us) in [
            ("629.00us", Some(629.0)),
            ("1.43ms", Some(1430.0)),
            ("2s", Some(2e6)),
            ("1.5m", Some(90e6)),
            ("-nan%", None),
            ("5", None),
            ("5parsec", None),
        ] {
            assert_eq!(time_us(text), us, "{text}");
        }
    }
}
