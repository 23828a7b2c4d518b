//! Whether every number of a text is in a document: the check that a report invents nothing.

use serde_json::Value;

/// Units that numbers are written in, and by what a value of the document may be multiplied to be
/// in them: latencies are in microseconds there, times in seconds, shares are ratios.
const UNITS: &[(&str, &[f64])] = &[
    (" µs", &[1.0, 1e6]),
    (" ms", &[1e-3, 1e3]),
    (" s", &[1e-6, 1.0]),
    ("%", &[100.0]),
    (" kB", &[1e-3]),
    (" MB", &[1e-6]),
    (" GB", &[1e-9]),
    (" TB", &[1e-12]),
    ("", &[1.0]),
];

/// Lists that are longer are not written out.
const ITEMS_MAX: usize = 50;

/// The numbers of a Markdown text that no value of the document comes to when it is rounded as they
/// are, and that stand in none of its texts.
pub fn unexplained(markdown: &str, document: &Value) -> Vec<String> {
    let mut leaves = Leaves::default();
    leaves.take(document);
    let text: String =
        markdown.lines().filter(|line| !line.starts_with("![")).collect::<Vec<_>>().join("\n");
    // An escaped character is the character.
    let text = text.replace('\\', "");
    let numbers = numbers(&text);
    numbers
        .into_iter()
        .filter(|(number, rest)| !leaves.explain(number, rest))
        .map(|(n, _)| n)
        .collect()
}

#[derive(Default)]
struct Leaves {
    values: Vec<f64>,
    words: Vec<String>,
}

impl Leaves {
    fn take(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.values.push(number.as_f64().unwrap_or(f64::NAN)),
            // Written as a count, `3 findings`, or by their numbers, `step 2`.
            Value::Array(items) => {
                self.values.extend((0..=items.len().min(ITEMS_MAX)).map(|at| at as f64));
                items.iter().for_each(|item| self.take(item));
            }
            Value::Object(members) => {
                for (key, value) in members {
                    self.take_words(key);
                    self.take(value);
                }
            }
            Value::String(text) => self.take_words(text),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn take_words(&mut self, text: &str) {
        // The hour of a time stands behind a letter: `2026-01-31T12:00:00.000Z`.
        for (number, _) in numbers(&text.replace('T', " ")) {
            self.words.extend(number.split(['.', ',']).map(String::from));
            self.words.push(number);
        }
    }

    fn explain(&self, number: &str, rest: &str) -> bool {
        if self.words.iter().any(|word| word == number) {
            return true;
        }
        let decimals = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let Ok(printed) = number.replace(',', "").parse::<f64>() else { return false };
        let (_, factors) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit)).expect("the last");
        let half = 0.5 * 10f64.powi(-(decimals as i32)) + printed.abs() * 1e-9;
        self.values.iter().any(|value| {
            factors.iter().any(|factor| ((value * factor).abs() - printed).abs() <= half * 1.000_1)
        })
    }
}

/// The numbers of a text, each with what follows it. What is part of a word (`p99.9`, `io_uring2`)
/// or a bound (`< 0.1%`) is none.
fn numbers(text: &str) -> Vec<(String, String)> {
    let letters: Vec<char> = text.chars().collect();
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        if !letters[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let begin = at;
        let is_part = |at: usize| {
            letters.get(at).is_some_and(|c| c.is_ascii_digit())
                || letters.get(at).is_some_and(|c| ".,".contains(*c))
                    && letters.get(at + 1).is_some_and(|c| c.is_ascii_digit())
        };
        while is_part(at) {
            at += 1;
        }
        let before = begin.checked_sub(1).map(|at| letters[at]);
        let bound = begin >= 2 && "<>".contains(letters[begin - 2]) && letters[begin - 1] == ' ';
        if before.is_none_or(|c| !c.is_alphabetic() && c != '_') && !bound {
            let rest = letters[at..letters.len().min(at + 4)].iter().collect();
            numbers.push((letters[begin..at].iter().collect(), rest));
        }
    }
    numbers
}
