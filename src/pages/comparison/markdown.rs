//! The comparison as a document that a colleague believes: what came out, how to do it again, and
//! what each number is.

use super::terminal::{ABOUT, COLUMNS, cells, how_often, name, what_runs};
use crate::compare::document::{ComparisonDocument, ToolRow};
use crate::pages::beside::Plot;
use crate::pages::markdown::Align::{Left, Right};
use crate::pages::markdown::{self, block, plain, sentence, shell};
use crate::pages::plots::{self, BarRow};
use crate::pages::run::markdown::setup;
use crate::words::quantities::seconds;

/// The whole of it; all numbers are those of the document. `image` gives the Markdown of a plot,
/// empty where there is none.
pub fn markdown(document: &ComparisonDocument, image: &dyn Fn(&str) -> String) -> String {
    let measured: Vec<String> =
        document.tools.iter().filter(|row| ran(row)).map(|row| plain(&row.name)).collect();
    let mut text = format!("# {}\n\n", measured.join(", "));
    text += &format!("{}\n\n", sentence(&document.verdict.join(" ")));
    text += &block(&shell(&document.command));
    text += &format!("\n## Setup\n\n{}", setup_table(document, measured.len()));
    text += &format!("\n## Result\n\n{}\n{}\n", result_table(document), sentence(ABOUT));
    text += &image("cpu");
    for row in document.tools.iter().filter(|row| ran(row)) {
        text += &format!("\n[^{}]: {}.\n", label(row), sentence(&row.footnote));
    }
    if !document.notes.is_empty() {
        text += "\n## Before you believe it\n\n";
        text.extend(document.notes.iter().map(|note| format!("- {}\n", sentence(note))));
    }
    text += "\n## The commands\n\n";
    for row in document.tools.iter().filter(|row| !row.command.is_empty()) {
        text += &block(&shell(&row.command));
    }
    for (row, script) in document.tools.iter().filter_map(|row| Some((row, row.script.as_ref()?))) {
        text += &format!("\nThe script for {}:\n\n", plain(&row.name));
        text.extend(script.lines().map(block));
    }
    text + &format!("\n## How it was measured\n\n{METHOD}\n")
}

/// Its plots, which the report refers to by their names.
pub fn plots(document: &ComparisonDocument) -> Vec<Plot> {
    let bar = |row: &ToolRow| {
        let median_us = row.medians.as_ref()?.cpu_us_per_request?;
        let rounds = row.rounds.iter().filter_map(|round| round.cpu_us_per_request);
        let (low, high) =
            rounds.fold((median_us, median_us), |(low, high), us| (low.min(us), high.max(us)));
        Some(BarRow { label: row.name.to_string(), median: median_us, low, high })
    };
    let rows: Vec<BarRow> = document.tools.iter().filter_map(bar).collect();
    let title = "CPU per request";
    let svg = plots::bars(title, "µs of CPU per request", &rows);
    svg.into_iter().map(|svg| Plot { name: "cpu", title: title.into(), svg }).collect()
}

const METHOD: &str = "All tools ran on the same CPUs, one after the other, in rounds whose order \
changes: in as many rounds as there are tools everybody comes first once. CPU time is that of exactly \
one child process (wait4), from its start to its end. Memory is \
the child's own peak; where it is smaller than that of ringshot's process that started it, the peak \
was looked up ten times a second (`VmHWM`). What a tool says about its requests and connections was held \
against the counters of the server, or, where the server does not tell, its connections against those \
that the kernel counted in this network namespace. A row is marked with `!` where they differ by more \
than 1% and what was under way.";

fn ran(row: &ToolRow) -> bool {
    row.medians.is_some()
}

/// What stands for a row's footnote: its name, which in a document from elsewhere may be any text.
fn label(row: &ToolRow) -> String {
    row.name.chars().filter(|&c| c.is_ascii_alphanumeric() || "-_".contains(c)).collect()
}

fn setup_table(document: &ComparisonDocument, tools: usize) -> String {
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let took = match document.interrupted {
        true => format!("{}, then **interrupted**", seconds(document.took_s)),
        false => seconds(document.took_s),
    };
    let mut rows = vec![
        row("load", plain(&what_runs(&document.plan))),
        row("runs", plain(&how_often(&document.plan, document.rounds, tools))),
    ];
    rows.extend(setup::when(&document.begun_at).map(|when| row("time", when)));
    rows.push(row("took", took));
    rows.extend(setup::host(&document.host));
    markdown::table(&[("", Left), ("", Left)], &rows)
}

fn result_table(document: &ComparisonDocument) -> String {
    let mut columns = vec![("tool", Left)];
    columns.extend(COLUMNS.map(|(name, _)| (name, Right)));
    let row = |row: &ToolRow| {
        let version = row.version.as_deref().map(|version| format!(" {}", plain(version)));
        let named = format!("{}{}", plain(&name(row)), version.unwrap_or_default());
        match cells(row) {
            Ok(cells) => {
                std::iter::once(format!("{named}[^{}]", label(row))).chain(cells).collect()
            }
            Err(reason) => vec![named, plain(&reason)],
        }
    };
    let rows: Vec<Vec<String>> = document.tools.iter().map(row).collect();
    markdown::table(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::document::tests::{document, rows};
    use crate::words::quantities::{bytes, count, rate, time_us};
    use crate::words::text::steers;
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
            Value::Object(items) => {
                // Settings have digits in their names.
                words.extend(items.keys().flat_map(|key| numbers(key)));
                items.values().for_each(|item| known(item, words));
            }
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
        rows.push(ToolRow {
            name: "ab".into(),
            cannot: Some("it cannot pipeline".into()),
            ..rows[1].clone()
        });
        rows[2].rounds.clear();
        rows[1].script = Some("for i = 1, 16 do".into());
        let document = document(rows);
        let mut words = HashSet::new();
        known(&serde_json::to_value(&document).unwrap(), &mut words);
        // Of fixed texts: percentiles, protocols, and how the method works.
        words.extend(numbers(METHOD));
        words.extend(["50", "90", "99"].map(String::from));
        words.insert(document.tools.iter().filter(|row| ran(row)).count().to_string());
        let text = markdown(&document, &|_| String::new());
        let strangers: Vec<String> =
            numbers(&text).into_iter().filter(|word| !words.contains(word)).collect();
        assert!(strangers.is_empty(), "{strangers:?} in\n{text}");
        assert!(numbers(&text).len() > 40, "{text}");
    }

    #[test]
    fn the_report_says_what_came_out_and_how_to_do_it_again() {
        let text = markdown(&document(rows()), &|_| String::new());
        for expected in [
            "# ringshot, wrk\n",
            "In every round ringshot used the least CPU per request: wrk 1.50 times as much in the ",
            "\n    ringshot compare -d 1s\n",
            "\n| wrk 4.1.0[^wrk] | 20,000 | 60.8 µs | 7.59 µs | 1.50 (1.50-1.50) | 8.00 MB | 1.00 ms |",
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
        let text = markdown(&document(rows), &|_| String::new());
        assert!(text.contains(r"| wrk 4\|\<b\> | a \| b |"), "{text}");
    }

    #[test]
    fn the_name_of_a_tool_may_be_any_text() {
        let mut rows = rows();
        rows[1].name = "\u{202e}a]\u{2028}b".into();
        rows[1].script = Some("script".into());
        let text = markdown(&document(rows), &|_| String::new());
        assert!(!text.contains(|c| c != '\n' && steers(c)), "{text:?}");
        assert!(text.contains("\n[^ab]: what it is.\n"), "{text}");
    }
}
