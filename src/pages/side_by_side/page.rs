//! The comparison as Markdown.

use super::Variant;
use super::measure::{Difference, MEASURES, Measure};
use super::setup::{differences, troubles};
use crate::pages::markdown::Align::{self, Left, Right};
use crate::pages::markdown::{block, code, plain, shell, table};
use crate::words::quantities::{counted, percent_change};

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
    page += &not_as_planned(variants);
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
    others.iter().map(|other| sentence(first, other)).collect::<Vec<_>>().join(" ")
}

fn sentence(first: &Variant, other: &Variant) -> String {
    let (mut changed, mut within, mut unjudged) = (Vec::new(), Vec::new(), 0);
    for measure in &MEASURES {
        match measure.change(first, other) {
            Some(Difference::Changed(part)) => {
                changed.push(format!("{} **{}**", measure.name, percent_change(part)));
            }
            Some(Difference::Within(_)) => within.push(measure.name),
            Some(Difference::Unjudged(_)) => unjudged += 1,
            None => {}
        }
    }
    let [one, two] = [first, other].map(|variant| code(&variant.name));
    if !changed.is_empty() {
        return format!("{two} has changed from {one}: {}.", changed.join(", "));
    }
    if within.is_empty() {
        return format!(
            "Whether {two} differs from {one} cannot be judged: how far runs of the same thing lie \
             apart is not known. Run each several times and number the files (`a-1.json`, \
             `a-2.json`)."
        );
    }
    // A single run knows only what differs within itself.
    let alike = match first.runs.len().min(other.runs.len()) {
        1 => "than the 95% interval of a single run",
        _ => "than runs of the same thing do",
    };
    match unjudged {
        0 => format!("{two} differs from {one} by no more {alike}, in any number below."),
        _ => format!(
            "{two} differs from {one} by no more {alike}, in {}; nothing else could be judged.",
            within.join(", ")
        ),
    }
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
    let row = |measure: &Measure| {
        let mut row = vec![measure.name.to_owned()];
        for (at, variant) in variants.iter().enumerate() {
            row.push(measure.text(measure.value(variant)));
            if at > 0 {
                let change = measure.change(&variants[0], variant);
                row.push(change.map_or_else(|| "-".into(), Difference::text));
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
    let correlated = |variant: &&Variant| match variant.runs.as_slice() {
        [one] => one.confidence.as_ref().is_some_and(|confidence| confidence.correlated),
        _ => false,
    };
    let names = |of: &dyn Fn(&&Variant) -> bool| {
        let names = variants.iter().filter(of).map(|variant| code(&variant.name));
        Some(names.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
    };
    let mut lines = Vec::new();
    if several {
        lines.push("Medians over the runs, with the lowest and the highest.".to_owned());
    }
    if let Some(names) = names(&|variant| variant.runs.len() == 2) {
        lines.push(format!(
            "The spread is of only 2 runs of {names}: a third may well lie outside of it."
        ));
    }
    if single {
        lines.push(
            "Of a single run: its value, with the 95% interval that the run itself gives for its \
             rate, p50 and p99, which does not know what differs from one run to the next. Run \
             each several times and number the files (`a-1.json`, `a-2.json`) to have the spread \
             between runs."
                .to_owned(),
        );
    }
    if let Some(names) = names(&correlated) {
        lines.push(format!(
            "The intervals of {names} are left out: parts of the run that follow each other are \
             alike, which makes its intervals narrower than they should be."
        ));
    }
    lines.push(
        "A difference in bold is larger than the spread of either, than 0.5% and, of a latency, \
         than 1 µs; one without a spread is not judged. `total` is from opening the connection \
         (in an open loop from when the request was due) to the last byte."
            .to_owned(),
    );
    lines.join(" ")
}

/// Runs whose numbers are not what they seem, or that something held back.
fn not_as_planned(variants: &[Variant]) -> String {
    let troubles = troubles(variants);
    if troubles.is_empty() {
        return String::new();
    }
    let lines: String = troubles.iter().map(|trouble| format!("- {trouble}\n")).collect();
    format!("\nNot all runs went well; their own reports say more:\n\n{lines}")
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
