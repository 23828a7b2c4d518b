//! What a person sees of a search: a row for each step as it is made, and at the end the answer.

use crate::plan::Description;
use crate::plan::describe::Place;
use crate::result::slo::Missing;
use crate::search::document::{self, Limiter, SearchDocument};
use crate::search::{Bounds, Purpose, SearchPlan, SearchStep};
use crate::statistics::enough_samples;
use crate::words::quantities::{count, counted, latency_us, rate, seconds, time_us};
use crate::words::style::{Role, Style};
use crate::words::text::{escape, wrapped};
use std::io::{self, Write};

/// Where the verdict of a row begins.
const VERDICT: usize = 57;

/// The longest bar of the curve.
const BAR: usize = 28;

/// What is searched, and how.
pub(crate) fn head(
    plan: &SearchPlan,
    url: &str,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let step = &plan.step;
    let limits: Vec<String> = step.slos.iter().map(ToString::to_string).collect();
    let load = Description::of(step, 0, &[]);
    let request = load.request(&load.target(Some(url)));
    let what = format!(
        "Searching the highest rate of {} that keeps {}",
        escape(&request),
        limits.join(" and ")
    );
    for line in wrapped(&what, style.width) {
        writeln!(out, "{}", style.paint(Role::Heading, &line))?;
    }
    let how = format!(
        "{}; steps of {} after {} of warm-up, to {:.3}%, within {}",
        load.words(Place::Connections).join(", "),
        seconds(step.duration.unwrap_or_default().as_secs_f64()),
        seconds(step.pacing.warmup.as_secs_f64()),
        plan.bounds.precision_ratio * 100.0,
        seconds(plan.budget.as_secs_f64())
    );
    let how = how.replace(".000%", "%");
    for line in wrapped(&how, style.width.saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    let names = format!(
        "{:>4}  {:<7} {:>9}  {:>10}  {:>8}  {:>8}",
        "step", "for", "rate/s", "answered/s", "p50", "p99"
    );
    writeln!(out, "\n{}", style.paint(Role::Heading, &names))
}

/// One step.
pub(crate) fn row(
    number: usize,
    step: &SearchStep,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let latency = |us: Option<u64>, percentile| {
        latency_us(us.filter(|_| enough_samples(step.ok, percentile)))
    };
    write!(
        out,
        "{number:>4}  {:<7} {:>9}  {:>10}  {:>8}  {:>8}  ",
        purpose(step.purpose),
        rate(step.rate_per_s),
        rate(step.answered_per_s),
        latency(step.p50_us, 50.0),
        latency(step.p99_us, 99.0),
    )?;
    let (role, text) = verdict(step);
    for (at, line) in
        wrapped(&text, style.width.saturating_sub(VERDICT).max(14)).into_iter().enumerate()
    {
        let left = if at == 0 { 0 } else { VERDICT };
        writeln!(out, "{:left$}{}", "", style.paint(role, &line))?;
    }
    Ok(())
}

/// The answer, with the latencies over the load.
pub(crate) fn summary(
    document: &SearchDocument,
    bounds: &Bounds,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let curve = document::curve(&document.steps, bounds);
    if let Some(longest_us) = curve.iter().map(|point| point.p90_us).max().filter(|&us| us > 0) {
        let names = format!("  {:>12}  {:>8}  {:>8}  {:>8}  p90", "rate", "p50", "p90", "p99");
        writeln!(
            out,
            "\n{}",
            style.paint(Role::Heading, &format!("Latency over the load\n{names}"))
        )?;
        for point in curve {
            let bar =
                "▇".repeat((BAR * point.p90_us as usize).div_ceil(longest_us as usize).max(1));
            let knee = document.knee.is_some_and(|knee| knee.rate_per_s == point.rate_per_s);
            let mark = if knee { " ← knee" } else { "" };
            let p99 = latency_us(point.p99_us);
            let [p50, p90] = [point.p50_us, point.p90_us].map(|us| time_us(us as f64));
            let rate = rate(point.rate_per_s);
            writeln!(out, "  {rate:>9} /s  {p50:>8}  {p90:>8}  {p99:>8}  {bar}{mark}")?;
        }
    }
    writeln!(out)?;
    for (at, text) in answer(document).iter().enumerate() {
        let role = if at == 0 { Role::Heading } else { Role::Text };
        for line in wrapped(text, style.width) {
            writeln!(out, "{}", style.paint(role, &line))?;
        }
    }
    Ok(())
}

pub(crate) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Doubling => "double",
        Purpose::Halving => "halve",
        Purpose::Bisection => "bisect",
        Purpose::Confirmation => "confirm",
        Purpose::Curve => "curve",
    }
}

pub(crate) fn verdict(step: &SearchStep) -> (Role, String) {
    if step.pass {
        return (Role::Good, "kept".into());
    }
    // The bounds are in the heading.
    let name = |limit: &str| limit.split(['<', '>']).next().unwrap_or_default().to_owned();
    let broken = step.limits.iter().filter(|kept| !kept.pass);
    let mut broken: Vec<String> = broken.map(|kept| name(&kept.limit)).collect();
    if !step.kept_up {
        broken.push("rate".into());
    }
    // The percentile of the row is that of what was answered.
    let missing = step.limits.iter().filter(|kept| !kept.pass).filter_map(|kept| kept.missing);
    let missing = missing.max_by_key(Missing::count).unwrap_or_default().causes();
    let missing = missing.map_or_else(String::new, |causes| format!("; {causes}"));
    let generator = if step.generator_limited { "; ringshot was the limit" } else { "" };
    (Role::Bad, format!("broke {}{missing}{generator}", broken.join(", ")))
}

/// The answer in sentences, the most important first.
pub(crate) fn answer(document: &SearchDocument) -> Vec<String> {
    let result = document.result;
    let per_s = |per_s: f64| format!("{}/s", rate(per_s));
    let mut sentences = vec![match (result.rate_per_s, result.next_broken_per_s) {
        (Some(kept), Some(broken)) if result.complete => format!(
            "{} is the highest rate that keeps the limits; {} does not.",
            per_s(kept),
            per_s(broken)
        ),
        (Some(kept), Some(broken)) => {
            format!("So far: {} keeps the limits, {} does not.", per_s(kept), per_s(broken))
        }
        (Some(kept), None) => format!("Up to {} every rate keeps the limits.", per_s(kept)),
        (None, Some(broken)) if result.complete => {
            format!("No rate keeps the limits, not even {}.", per_s(broken))
        }
        (None, Some(broken)) => {
            format!("So far no rate keeps the limits, down to {}.", per_s(broken))
        }
        (None, None) => "Nothing is known yet: no step was finished.".into(),
    }];
    sentences.extend(result.limited_by.map(|limiter| limited_by(document, limiter)));
    if let Some(knee) = document.knee {
        sentences.push(format!(
            "The knee is at {}, with a p90 of {}: beyond it, more load mostly buys latency.",
            per_s(knee.rate_per_s),
            time_us(knee.p90_us as f64)
        ));
    }
    let steps = counted(document.steps.len() as u64, "step");
    let took = seconds((document.took_s * 10.0).round() / 10.0);
    sentences.push(match (document.interrupted, result.complete) {
        (true, _) => format!(
            "Interrupted after {took} and {steps}; --resume goes on from the --json document."
        ),
        (_, true) => format!("{steps} in {took}."),
        (_, false) => format!(
            "Out of budget after {took} and {steps}: the answer is not as precise as asked for. A \
             longer --budget, or --resume with the --json document, goes on."
        ),
    });
    sentences
}

fn limited_by(document: &SearchDocument, limiter: Limiter) -> String {
    let broken_per_s = document.result.next_broken_per_s;
    let broken: Vec<&SearchStep> = document
        .steps
        .iter()
        .filter(|step| !step.pass && Some(step.rate_per_s) == broken_per_s)
        .collect();
    match limiter {
        Limiter::Server => "The server, or what lies on the way to it, was the limit.".into(),
        Limiter::Connections => format!(
            "The {} were the limit: all were busy, and the server answered each as fast as at a \
             low load. Try more (-c){}.",
            counted(document.plan.load.connections.into(), "connection"),
            if document.plan.load.connect_rate.is_some() {
                ", or a higher --connect-rate"
            } else {
                ""
            }
        ),
        Limiter::Generator => {
            let busiest = broken.iter().map(|step| step.busy_ratio).fold(0.0, f64::max);
            let waits = broken.iter().filter_map(|step| step.cpu_wait_ratio);
            let waited = waits.reduce(f64::max).filter(|&ratio| ratio >= 0.01);
            let waited = waited.map_or(String::new(), |ratio| {
                format!(", waiting for a CPU {:.0}% of the time", ratio * 100.0)
            });
            let mut found: Vec<&str> =
                broken.iter().flat_map(|step| step.findings.iter().map(String::as_str)).collect();
            found.sort_unstable();
            found.dedup();
            let cure = match found.contains(&"generator_throttled") {
                true => "A larger CPU quota (`ringshot doctor` shows it)",
                false => "More threads (-t) on other CPUs",
            };
            format!(
                "ringshot was the limit there (a thread {:.0}% busy{waited}; {}): the server may be \
                 able to do more. {cure}, or another box for the server.",
                busiest * 100.0,
                found.join(", ")
            )
        }
    }
}

/// Why nothing can be searched: no request has succeeded.
pub(crate) fn nothing_succeeded(
    errors: &[crate::result::Error],
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    writeln!(out, "\n{}", style.paint(Role::Bad, "Nothing succeeded."))?;
    if errors.is_empty() {
        writeln!(out, "  No request was answered within a step: try longer ones (--duration).")?;
    }
    for error in errors {
        let requests = counted(error.count, "request");
        let detail = error.detail.as_deref().map_or(String::new(), |text| escape(text) + "; ");
        let name = escape(&format!("{}/{}", error.phase, error.kind));
        let text = format!("{name}: {requests}: {detail}{}", error.advice);
        for line in wrapped(&text, style.width.saturating_sub(2)) {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// How many steps came from an earlier search.
pub(crate) fn resumed(steps: usize, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let text = format!("      the {} above are of an earlier search", count(steps as u64));
    writeln!(out, "{}", style.paint(Role::Aside, &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::document::tests::{document_of, step};

    fn text(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_says_what_a_step_broke() {
        let row = |step: &SearchStep| text(|out| row(3, step, out, Style::PLAIN));
        assert_eq!(
            row(&step(1000.0, true)),
            "   3  bisect      1,000       1,000   1.00 ms   2.00 ms  kept\n"
        );
        let broken = SearchStep { kept_up: false, generator_limited: true, ..step(2000.0, false) };
        let text = row(&broken);
        assert!(text.contains("  broke total.p99, rate;\n"), "{text}");
        assert!(text.ends_with("ringshot was the limit\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let mut late = broken.clone();
        late.limits[0].missing = Some(Missing { dropped: 0, timed_out: 30, unanswered: 2 });
        let text = row(&late).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("broke total.p99, rate; 30 timed out, 2 not answered;"), "{text}");
        assert!(row(&SearchStep { ok: 0, ..broken }).contains("        -         -  broke"));
    }

    #[test]
    fn the_answer_is_the_first_sentence_and_the_curve_shows_the_knee() {
        let mut steps: Vec<SearchStep> = [(1000.0, 1), (1500.0, 1), (1800.0, 2), (2000.0, 20)]
            .map(|(rate, ms)| SearchStep { p90_us: Some(ms * 1000), ..step(rate, true) })
            .into();
        steps.extend([steps[3].clone(), step(2030.0, false), step(2030.0, false)]);
        let document = document_of(&steps);
        let text = text(|out| summary(&document, &Bounds::default(), out, Style::PLAIN));
        let answer = "\n2,000/s is the highest rate that keeps the limits; 2,030/s does not.\n";
        assert!(text.contains(&format!("{answer}The server, or what")), "{text}");
        assert!(text.contains("      1,800 /s   1.00 ms   2.00 ms   2.00 ms  ▇▇"), "{text}");
        assert!(text.contains("▇ ← knee"), "{text}");
        assert!(text.contains("7 steps in 21 s."), "{text}");
    }

    #[test]
    fn a_generator_that_was_the_limit_is_named_with_its_cure() {
        let told = |finding: &str, cpu_wait_ratio| {
            let broken = SearchStep {
                generator_limited: true,
                findings: vec![finding.to_owned()],
                cpu_wait_ratio,
                ..step(2000.0, false)
            };
            limited_by(&document_of(&[step(1000.0, true), broken]), Limiter::Generator)
        };
        assert_eq!(
            told("generator_throttled", Some(0.74)),
            "ringshot was the limit there (a thread 30% busy, waiting for a CPU 74% of the time; \
             generator_throttled): the server may be able to do more. A larger CPU quota \
             (`ringshot doctor` shows it), or another box for the server."
        );
        let text = told("generator_saturated", None);
        assert!(text.contains("(a thread 30% busy; generator_saturated)"), "{text}");
        assert!(text.contains("More threads (-t) on other CPUs"), "{text}");
    }

    #[test]
    fn a_search_without_an_answer_says_why() {
        let unfinished = document_of(&[step(1000.0, true), step(2000.0, false)]);
        let told = |document: &SearchDocument| answer(document).join(" ");
        assert!(told(&unfinished).contains("Out of budget after 21 s and 2 steps"));
        let interrupted = SearchDocument { interrupted: true, ..unfinished };
        assert!(told(&interrupted).contains("Interrupted after 21 s and 2 steps; --resume"));
        assert!(
            told(&interrupted).starts_with("So far: 1,000/s keeps the limits, 2,000/s does not.")
        );
        assert!(told(&document_of(&[])).starts_with("Nothing is known yet"));
    }
}
