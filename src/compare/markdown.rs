//! The comparison as a document that a colleague believes: what came out, how to do it again, and
//! what each number is.

use super::document::{Document, Row};
use super::page::{ABOUT, cells, how_often, name, what_runs};
use crate::report::console::format::{bytes, counted, escape, seconds};
use std::fmt::Write;

/// The whole of it; all numbers are those of the document.
pub fn markdown(document: &Document) -> String {
    let mut text = String::new();
    let names: Vec<&str> =
        document.tools.iter().filter(|row| ran(row)).map(|row| row.name).collect();
    let _ = writeln!(text, "# {}\n", names.join(", "));
    let _ = writeln!(text, "{}\n", escaped(&document.verdict.join(" ")));
    let _ = writeln!(text, "- Load: {}", escaped(&what_runs(&document.plan)));
    let _ = writeln!(text, "- {}", how_often(&document.plan, document.rounds, names.len()));
    let _ = writeln!(text, "- Host: {}", host(document));
    let _ = writeln!(
        text,
        "- Begun at {}, took {}, ringshot {}{}\n",
        document.begun_at,
        seconds(document.took_s),
        document.version,
        if document.interrupted { "; **interrupted**" } else { "" }
    );
    let _ = writeln!(text, "To do it again:\n\n{}", code(&[shell(&document.command)]));
    table(document, &mut text);
    if !document.notes.is_empty() {
        let _ = writeln!(text, "## Before you believe it\n");
        for note in &document.notes {
            let _ = writeln!(text, "- {}", escaped(note));
        }
        text.push('\n');
    }
    let commands: Vec<String> = document
        .tools
        .iter()
        .filter(|row| !row.command.is_empty())
        .map(|row| shell(&row.command))
        .collect();
    let _ = writeln!(text, "## The commands\n\n{}", code(&commands));
    for script in document.tools.iter().filter_map(|row| row.script.as_deref()) {
        let lines: Vec<String> = script.lines().map(String::from).collect();
        let _ = writeln!(text, "The script:\n\n{}", code(&lines));
    }
    let _ = writeln!(text, "## How it was measured\n\n{ABOUT}\n\n{METHOD}");
    text
}

const METHOD: &str = "All tools ran on the same CPUs, one after the other, in every round in another \
order. CPU time is that of exactly one child process (wait4), from its start to its end. Memory is \
the child's own peak; where it is smaller than that of ringshot's process that started it, the peak \
was looked up every 100 ms (`VmHWM`). What a tool says about its requests and connections was held \
against the counters of the server, or, where the server does not tell, its connections against those \
that the kernel counted in this network namespace. A row is marked with `!` where they differ by more \
than 1% and what was under way.";

fn ran(row: &Row) -> bool {
    row.medians.is_some()
}

fn host(document: &Document) -> String {
    let host = &document.host;
    let mut parts =
        vec![escaped(&host.cpu_model), counted(host.cpus as u64, "CPU"), escaped(&host.kernel)];
    parts.extend(host.governor.as_ref().map(|governor| format!("governor {}", escaped(governor))));
    parts.extend(host.memory_bytes.map(bytes));
    parts.join(", ")
}

fn table(document: &Document, text: &mut String) {
    text.push_str(
        "| tool | requests/s | CPU per request | of which user | ratio (min-max) | memory | p50 | p90 \
         | p99 | max | errors |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in &document.tools {
        let version = row.version.as_deref().map(|version| format!(" {}", escaped(version)));
        let version = version.unwrap_or_default();
        match cells(row) {
            Ok(cells) => {
                let label = format!("{}{version}[^{}]", name(row), row.name);
                let _ = writeln!(text, "| {label} | {} |", cells.join(" | "));
            }
            Err(reason) => {
                let rest = " | ".repeat(10);
                let _ = writeln!(text, "| {}{version} | {}{rest}", row.name, escaped(&reason));
            }
        }
    }
    text.push('\n');
    for row in document.tools.iter().filter(|row| ran(row)) {
        let _ = writeln!(text, "[^{}]: {}.", row.name, row.footnote);
    }
    text.push('\n');
}

/// Lines that are shown as they are.
fn code(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {}\n", escape(line))).collect()
}

/// Words as a shell takes them.
fn shell(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Text that came from elsewhere, so that Markdown takes it as text.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in escape(text).chars() {
        if matches!(c, '|' | '<' | '>' | '[' | ']' | '*' | '_' | '`' | '\\' | '#') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::document::tests::{document, rows};
    use crate::report::console::format::{count, rate, time_us};
    use serde_json::Value;
    use std::collections::HashSet;

    /// Every number of the document in every form in which a report may print it, and every word of
    /// its texts.
    fn known(value: &Value, words: &mut HashSet<String>) {
        match value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap();
                for text in [
                    time_us(number),
                    seconds(number),
                    rate(number),
                    bytes(number as u64),
                    count(number as u64),
                    format!("{number:.2}"),
                    format!("{:.0}", number * 100.0),
                ] {
                    words.extend(numbers(&text));
                }
            }
            Value::String(text) => words.extend(numbers(text)),
            Value::Array(items) => items.iter().for_each(|item| known(item, words)),
            Value::Object(items) => items.values().for_each(|item| known(item, words)),
            _ => {}
        }
    }

    fn numbers(text: &str) -> Vec<String> {
        let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        text.split(|c| !is_part(c))
            .map(|word| word.trim_matches(['.', ',']).to_owned())
            .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
            .collect()
    }

    #[test]
    fn every_number_is_in_the_document() {
        let mut rows = rows();
        rows[0].rounds[1].cpu_us_per_request = Some(43.21);
        rows.push(Row { name: "ab", cannot: Some("it cannot pipeline".into()), ..rows[1].clone() });
        rows[2].rounds.clear();
        rows[1].script = Some("for i = 1, 16 do".into());
        let document = document(rows);
        let mut words = HashSet::new();
        known(&serde_json::to_value(&document).unwrap(), &mut words);
        // Of fixed texts: the part of the medians, and how the method works.
        words.extend(numbers(METHOD));
        words.extend(["50", "90", "99"].map(String::from));
        words.insert(document.tools.iter().filter(|row| ran(row)).count().to_string());
        let text = markdown(&document);
        let strangers: Vec<String> =
            numbers(&text).into_iter().filter(|word| !words.contains(word)).collect();
        assert!(strangers.is_empty(), "{strangers:?} in\n{text}");
        assert!(numbers(&text).len() > 40, "{text}");
    }

    #[test]
    fn the_report_says_what_came_out_and_how_to_do_it_again() {
        let text = markdown(&document(rows()));
        for expected in [
            "# ringshot, wrk\n",
            "ringshot used the least CPU per request, 40.5 µs; wrk 60.8 µs (1.50 times that). ",
            "    ringshot compare -d 1s\n",
            "| wrk 4.1.0[^wrk] | 20,000 | 60.8 µs | 7.59 µs | 1.50 (1.50-1.50) | 8.00 MB | 1.00 ms |",
            "[^wrk]: what it is.\n",
            "    wrk -t 1 -H 'Connection: close' http://127.0.0.1:1/\n",
            "## How it was measured\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(!text.contains("Before you believe it"));
    }

    #[test]
    fn nothing_that_came_from_elsewhere_becomes_markup() {
        let mut rows = rows();
        rows[1].version = Some("4|<b>".into());
        rows[1].rounds.clear();
        rows[1].cannot = Some("a | b".into());
        let text = markdown(&document(rows));
        assert!(text.contains(r"| wrk 4\|\<b\> | a \| b |"), "{text}");
        assert_eq!(shell(&["a b".into(), "it's".into(), "x=1".into()]), r"'a b' 'it'\''s' x=1");
    }
}
