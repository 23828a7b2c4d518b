//! What a reader finds in a report.

use super::*;
use crate::result::sample;

fn printed(report: &Report) -> String {
    markdown(report, &|name| format!("\n![](x.{name}.svg)\n"))
}

#[test]
fn a_clean_run_has_a_title_a_verdict_and_no_trouble() {
    let text = printed(&sample::clean());
    assert!(text.starts_with("# `GET http://127.0.0.1:8080/`: 23,449 requests/s\n\n"), "{text}");
    assert!(text.contains("with a p50 of 1.29 ms and a p99 of 2.71 ms"), "{text}");
    assert!(text.contains("\n    ringshot http://127.0.0.1:8080/\n"), "{text}");
    for absent in ["## Errors", "## Findings", "### Limits", "{", "NaN"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
}

#[test]
fn trouble_comes_with_its_cures() {
    let text = printed(&sample::troubled());
    for present in [
        "**Broken:** `total.p99<2ms` (2.71 ms), `errors<0.1%` (12.35%)",
        "**12,345 failed**, most with `connect/EADDRNOTAVAIL`",
        "| `connect/EADDRNOTAVAIL` | 12,000 | from 1.2 s to 3.2 s | no source port is free",
        "- **warning** (`generator_saturated`): ringshot itself was the limit",
        "**Cure:** more threads: -t 4",
        "when it was interrupted",
    ] {
        assert!(text.contains(present), "{present}: {text}");
    }
    // What would steer a terminal is shown and does nothing.
    assert!(!text.chars().any(|c| c != '\n' && crate::words::text::steers(c)));
}

#[test]
fn every_row_of_every_table_has_as_many_cells_as_its_head() {
    for report in [sample::clean(), sample::paced(), sample::troubled()] {
        let text = printed(&report);
        let cells = |line: &str| line.replace(r"\|", "").matches('|').count();
        for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
            let head = cells(table.lines().next().unwrap());
            for line in table.lines().filter(|line| line.starts_with('|')) {
                assert_eq!(cells(line), head, "{line}");
            }
        }
    }
}
