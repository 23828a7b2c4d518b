//! The report of a search: the answer first, then how it was found.

use super::terminal;
use crate::pages::beside::Plot;
use crate::pages::markdown::Align::{Left, Right};
use crate::pages::markdown::{block, code, plain, sentence, shell, table};
use crate::pages::plots::{self, LoadPoint};
use crate::pages::run::markdown::{errors, setup};
use crate::plan::describe::{self, Place};
use crate::search::document::{CurvePoint, SearchDocument, points};
use crate::search::{SearchStep, StepGenerator};
use crate::statistics::enough_samples;
use crate::words::quantities::{count, counted, latency_us, rate, seconds, time_us};

/// The report; `image` gives the Markdown of a plot, empty where there is none.
pub fn markdown(document: &SearchDocument, image: &dyn Fn(&str) -> String) -> String {
    let limits: Vec<String> = document.plan.slo.iter().map(|limit| code(limit)).collect();
    let found = match document.result.rate_per_s {
        Some(per_s) => format!("{} requests/s", rate(per_s)),
        None => "no rate found".into(),
    };
    let mut text = format!("# {}: {found} with {}\n\n", target(document), limits.join(" and "));
    let answer = match document.nothing_succeeded() {
        true => vec!["Nothing succeeded.".to_owned()],
        false => terminal::answer(document).iter().map(|line| sentence(line)).collect(),
    };
    text += &format!("{}\n\n{}", answer.join(" "), block(&shell(&document.command)));
    text += &format!("\n## Setup\n\n{}", setup_of(document));
    text += &errors(&document.errors);
    let points = points(document);
    if !points.is_empty() {
        text += &format!("\n## Latency over the load\n\n{}", over_load(document, &points));
    }
    text += &image("curve");
    text += &format!("\n## Steps\n\n{}\n", steps(&document.steps));
    text + "Latencies are of `total`: from when a request was due to the last byte of its answer, \
            all waiting included. A percentile without ten samples beyond it is left out.\n"
}

/// Its plots, which the report refers to by their names.
pub fn plots(document: &SearchDocument) -> Vec<Plot> {
    let points: Vec<LoadPoint> = points(document)
        .iter()
        .map(|point| LoadPoint {
            rate_per_s: point.rate_per_s,
            p50_us: point.p50_us,
            p90_us: point.p90_us,
        })
        .collect();
    let knee_per_s = document.knee.map(|knee| knee.rate_per_s);
    let svg = plots::curve(&points, knee_per_s, document.result.rate_per_s);
    let plot = |svg| Plot { name: "curve", title: "Latency over load".into(), svg };
    svg.into_iter().map(plot).collect()
}

fn target(document: &SearchDocument) -> String {
    match &document.plan.url {
        Some(url) => code(&format!("{} {url}", document.plan.load.method)),
        None => "The bundled server".into(),
    }
}

fn setup_of(document: &SearchDocument) -> String {
    let (plan, bounds) = (&document.plan, &document.bounds);
    let places = [Place::Connections, Place::Model, Place::Each, Place::Request];
    let load = places.map(|place| plan.load.words(place)).concat();
    let row = |name: &str, text: &str| vec![name.to_owned(), plain(text)];
    let from = rate(bounds.first_per_s);
    let search = format!(
        "steps of {} after {} of warm-up, from {from}/s, to {}%, within {}",
        seconds(plan.step_s),
        seconds(plan.load.warmup_s),
        (bounds.precision_ratio * 1e5).round() / 1e3,
        seconds(bounds.budget_s),
    );
    let mut rows = vec![row("load", &load.join(", ")), row("search", &search)];
    if let Some(generator) = &document.generator {
        let threads = describe::threads(generator.threads, &generator.cpus);
        let StepGenerator { engine, ring_tier, address, .. } = generator;
        rows.push(vec!["target".into(), code(address)]);
        let version = &document.version;
        let engine = describe::engine(engine, ring_tier.as_deref());
        let text = format!("ringshot {version}, {threads}, {engine}");
        rows.push(row("generator", &text));
    }
    if document.resumed_steps > 0 {
        let steps = counted(document.resumed_steps as u64, "step");
        let text =
            format!("the first {steps} are of an earlier search, maybe of another time or box");
        rows.push(row("resumed", &text));
    }
    rows.extend(setup::when(&document.begun_at).map(|when| vec!["time".into(), when]));
    if let Some(host) = &document.host {
        rows.extend(setup::host(host));
    }
    table(&[("", Left), ("", Left)], &rows)
}

fn over_load(document: &SearchDocument, points: &[CurvePoint]) -> String {
    let row = |point: &CurvePoint| {
        let knee = document.knee.is_some_and(|knee| knee.rate_per_s == point.rate_per_s);
        vec![
            rate(point.rate_per_s),
            time_us(point.p50_us as f64),
            time_us(point.p90_us as f64),
            latency_us(point.p99_us),
            if knee { "knee".into() } else { String::new() },
        ]
    };
    let columns = [("rate/s", Right), ("p50", Right), ("p90", Right), ("p99", Right), ("", Left)];
    table(&columns, &points.iter().map(row).collect::<Vec<_>>())
}

fn steps(steps: &[SearchStep]) -> String {
    let row = |(at, step): (usize, &SearchStep)| {
        let latency = |us: Option<u64>, percentile| {
            latency_us(us.filter(|_| enough_samples(step.ok, percentile)))
        };
        let (_, verdict) = terminal::verdict(step);
        vec![
            (at + 1).to_string(),
            terminal::purpose(step.purpose).into(),
            rate(step.rate_per_s),
            rate(step.answered_per_s),
            count(step.failed.saturating_add(step.dropped)),
            latency(step.p50_us, 50.0),
            latency(step.p99_us, 99.0),
            if step.pass { plain(&verdict) } else { format!("**{}**", plain(&verdict)) },
        ]
    };
    let columns = [
        ("step", Right),
        ("for", Left),
        ("rate/s", Right),
        ("answered/s", Right),
        ("failed or dropped", Right),
        ("p50", Right),
        ("p99", Right),
        ("", Left),
    ];
    table(&columns, &steps.iter().enumerate().map(row).collect::<Vec<_>>())
}
