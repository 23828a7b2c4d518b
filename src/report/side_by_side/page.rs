//! The comparison as Markdown.

use super::{Change, MEASURES, Variant, differences, text};
use crate::report::console::format::{counted, percent_change};
use crate::report::markdown::text::Align::{Left, Right};
use crate::report::markdown::text::{Align, block, code, plain, shell, table};

/// The comparison of the first variant with each of the others; `image` gives the Markdown of a
/// plot, empty where there is none.
pub fn markdown(
    variants: &[Variant],
    command: &[String],
    image: &dyn Fn(&str) -> String,
) -> String {
    let names: Vec<String> = variants.iter().map(|variant| code(&variant.name)).collect();
    let mut page = format!("# {}\n\n", names.join(" against "));
    page += &format!("{}\n\n{}\n", verdict(variants), block(&shell(command)));
    page += &comparison(variants);
    page += &format!("\n{}\n", explanation(variants));
    page += &image("latency");
    page += &setup(variants);
    page += "\n## Commands\n\n";
    for variant in variants {
        let runs = counted(variant.runs.len() as u64, "run");
        page += &format!("{} ({runs}):\n\n", code(&variant.name));
        page += &variant.runs.first().map_or_else(String::new, |run| block(&shell(&run.command)));
        page.push('\n');
    }
    page.trim_end().to_owned() + "\n"
}

/// What has changed, in a sentence for each variant.
fn verdict(variants: &[Variant]) -> String {
    let Some((first, others)) = variants.split_first() else { return String::new() };
    let sentence = |other: &Variant| {
        let changed: Vec<String> = MEASURES
            .iter()
            .filter_map(|measure| {
                let change = Change::between(measure.value(first)?, measure.value(other)?);
                match change {
                    Change::Changed(part) => {
                        Some(format!("{} **{}**", measure.name, percent_change(part)))
                    }
                    _ => None,
                }
            })
            .collect();
        let [one, other] = [first, other].map(|variant| code(&variant.name));
        match changed.is_empty() {
            true => {
                format!("{other} differs from {one} by no more than runs of the same thing do.")
            }
            false => format!("{other} has changed from {one}: {}.", changed.join(", ")),
        }
    };
    others.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

fn comparison(variants: &[Variant]) -> String {
    let names: Vec<String> = variants.iter().map(|variant| code(&variant.name)).collect();
    let mut columns: Vec<(&str, Align)> = vec![("", Left)];
    for (at, name) in names.iter().enumerate() {
        columns.push((name, Right));
        if at > 0 {
            columns.push(("change", Left));
        }
    }
    let row = |measure: &super::Measure| {
        let values: Vec<_> = variants.iter().map(|variant| measure.value(variant)).collect();
        let mut row = vec![measure.name.to_owned()];
        for (at, value) in values.iter().enumerate() {
            row.push(text(measure, *value));
            if at > 0 {
                let change = values[0].zip(*value).map(|(one, other)| Change::between(one, other));
                row.push(change.map_or_else(|| "-".into(), Change::text));
            }
        }
        row
    };
    table(&columns, &MEASURES.iter().map(row).collect::<Vec<_>>())
}

/// What the numbers are, and what makes a change.
fn explanation(variants: &[Variant]) -> String {
    let single = variants.iter().any(|variant| variant.runs.len() == 1);
    let several = variants.iter().any(|variant| variant.runs.len() > 1);
    let mut lines = Vec::new();
    if several {
        lines.push("Medians over the runs, with the lowest and the highest.");
    }
    if single {
        lines.push(
            "Of a single run: its value, with the 95% interval that the run itself gives for its \
             rate, p50 and p99, which does not know what differs from one run to the next. Run \
             each several times and number the files (`a-1.json`, `a-2.json`) to have the spread \
             between runs.",
        );
    }
    lines.push(
        "A difference in bold is larger than the spread of either; one without a spread is not \
         judged. `total` is from opening the connection (in an open loop from when the request \
         was due) to the last byte.",
    );
    lines.join(" ")
}

/// What differs beside the results.
fn setup(variants: &[Variant]) -> String {
    let differences = differences(variants);
    let mut text = "\n## Setup\n\n".to_owned();
    if differences.is_empty() {
        return text + "The same plan on the same box, by what the documents say.\n";
    }
    text += "These were not the same:\n\n";
    for difference in differences {
        text += &format!("- {}\n", plain(&difference));
    }
    text
}
