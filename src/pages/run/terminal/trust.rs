//! How far the numbers can be trusted, and whether they keep the limits that were set.

use super::{INDENT, TEXT, headline, row};
use crate::result::Report;
use crate::result::slo::LimitOutcome;
use crate::statistics::{Confidence, Range, Steadiness, SteadinessVerdict, Trend, enough_samples};
use crate::words::quantities::{count, counted, rate, seconds, time_us};
use crate::words::style::{Role, Style};
use crate::words::text::wrapped;
use std::io::{self, Write};

/// Where the name of a limit begins.
const LIMIT: usize = INDENT + 8;

/// Confidence intervals and the verdict on steadiness; nothing for a run that was too short.
pub(crate) fn rows(report: &Report, out: &mut impl Write, style: Style) -> io::Result<()> {
    let Some(confidence) = &report.confidence else { return Ok(()) };
    writeln!(out)?;
    let room = style.width.saturating_sub(TEXT);
    row(out, "confidence", &style.flow(&intervals(confidence), ", ", room))?;
    match &report.steadiness {
        Some(steadiness) => row(out, "steadiness", &style.flow(&verdict(steadiness), ", ", room)),
        None => Ok(()),
    }
}

/// A line for each limit: kept or broken, and by how much.
pub(crate) fn limits(
    limits: &[LimitOutcome],
    out: &mut impl Write,
    style: Style,
) -> io::Result<()> {
    if limits.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.paint(Role::Heading, "Limits"))?;
    let width = limits.iter().map(|outcome| outcome.limit.chars().count()).max().unwrap_or(0);
    for outcome in limits {
        let word = match outcome.pass {
            true => style.paint(Role::Good, "pass  "),
            false => style.paint(Role::Bad, "broken"),
        };
        let few = match few_samples(outcome) {
            Some(samples) => style.paint(Role::Aside, &format!(" (of only {samples})")),
            None => String::new(),
        };
        let measured = measured(outcome);
        writeln!(out, "{:INDENT$}{word}  {:<width$}  {measured}{few}", "", outcome.limit)?;
        for line in wrapped(&longer(outcome).unwrap_or_default(), style.width.saturating_sub(LIMIT))
        {
            writeln!(out, "{:LIMIT$}{}", "", style.paint(Role::Aside, &line))?;
        }
    }
    Ok(())
}

/// Why a limit is broken of which the latency table shows a smaller value: what the table does not
/// have.
pub(crate) fn longer(outcome: &LimitOutcome) -> Option<String> {
    let missing = outcome.missing?;
    let all = missing.count().saturating_add(outcome.samples.unwrap_or(0));
    Some(format!(
        "{} of {} count as longer than all that were measured: {}",
        count(missing.count()),
        count(all),
        missing.causes()?
    ))
}

/// What a limit was compared with.
pub(crate) fn measured(outcome: &LimitOutcome) -> String {
    let requests = outcome.missing.unwrap_or_default().count();
    let requests = requests.saturating_add(outcome.samples.unwrap_or(0));
    match (outcome.measured, outcome.unit.as_ref()) {
        (None, _) if requests > 0 => "not answered".into(),
        (None, _) => "nothing was measured".into(),
        (Some(us), "us") => time_us(us),
        (Some(share), "ratio") => percent(share),
        (Some(per_s), _) => format!("{} /s", rate(per_s)),
    }
}

/// The number of samples where they are too few for the percentile that is limited.
pub(crate) fn few_samples(outcome: &LimitOutcome) -> Option<String> {
    let name = outcome.limit.split(['<', '>']).next()?;
    let percentile: f64 = name.rsplit_once(".p")?.1.parse().ok()?;
    let samples = outcome.samples.filter(|_| outcome.measured.is_some())?;
    (!enough_samples(samples, percentile)).then(|| counted(samples, "sample"))
}

/// Enough digits to be compared with a limit.
fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0%".into(),
        p if p < 0.001 => "< 0.001%".into(),
        p if p < 1.0 => format!("{p:.3}%"),
        p => format!("{p:.2}%"),
    }
}

pub(crate) fn intervals(confidence: &Confidence) -> Vec<(Role, String)> {
    let latency = |name: &str, range: Option<Range>| {
        range.map(|range| format!("{name} {} to {}", time_us(range.low), time_us(range.high)))
    };
    let Range { low, high } = confidence.rate_per_s;
    let rates = format!("{:.0}%: {} to {} /s", confidence.level * 100.0, rate(low), rate(high));
    let of = format!("from {} batches of {}", confidence.batches, seconds(confidence.batch_s));
    let mut pieces = vec![(Role::Text, rates)];
    let latencies = [latency("p50", confidence.p50_us), latency("p99", confidence.p99_us)];
    pieces.extend(latencies.into_iter().flatten().map(|text| (Role::Text, text)));
    pieces.push((Role::Text, of));
    if confidence.correlated {
        pieces.push((Role::Warning, "too narrow: neighbouring batches are alike".into()));
    }
    pieces
}

pub(crate) fn verdict(steadiness: &Steadiness) -> Vec<(Role, String)> {
    if steadiness.verdict == SteadinessVerdict::Steady {
        let judged = match (steadiness.p50, steadiness.p99) {
            (None, _) => "the rate, and too few answers in some parts of it to judge latency",
            (_, None) => "rate or p50 over the run",
            _ => "rate or latency over the run",
        };
        return vec![(Role::Text, format!("steady: no drift of {judged}"))];
    }
    let drift = |name: &str, trend: Option<&Trend>| {
        let trend = trend.filter(|trend| trend.drifts)?;
        let way = if trend.change_ratio < 0.0 { "fell" } else { "rose" };
        Some(format!("{name} {way} by {}", headline::percent(trend.change_ratio.abs())))
    };
    let ended = ended(steadiness);
    let rate = Some(&steadiness.rate).filter(|_| ended.is_none());
    let drifts = [
        drift("the rate", rate),
        drift("p50", steadiness.p50.as_ref()),
        drift("p99", steadiness.p99.as_ref()),
    ];
    let warning = |text| (Role::Warning, text);
    let mut pieces: Vec<(Role, String)> = drifts.into_iter().flatten().map(warning).collect();
    if let Some((_, first)) = pieces.first_mut() {
        *first = format!("drifting: over the run {first}");
    }
    let ended = ended.map(|text| warning(format!("not steady: {text}")));
    pieces.splice(0..0, ended);
    // What becomes faster was slow at its begin; what becomes slower is not at its end yet.
    let p50_rose = steadiness.p50.is_some_and(|trend| trend.drifts && trend.change_ratio > 0.0);
    if steadiness.rate.change_ratio > 0.0 && !p50_rose {
        pieces.push((Role::Text, "--warmup leaves a slow begin out".into()));
    }
    pieces
}

/// Since when nothing came any more, or nothing that was wanted.
fn ended(steadiness: &Steadiness) -> Option<String> {
    match (steadiness.no_answer_after_s, steadiness.no_ok_after_s) {
        (Some(s), _) => Some(format!("no answers after {s:.1} s")),
        (None, Some(s)) => Some(format!("no request succeeded after {s:.1} s")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    fn printed(report: &Report) -> String {
        let mut out = Vec::new();
        rows(report, &mut out, Style::PLAIN).unwrap();
        limits(&report.slo, &mut out, Style::PLAIN).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn intervals_and_a_steady_run_are_two_rows() {
        let text = printed(&sample::clean());
        assert_eq!(
            text,
            "\n  confidence   95%: 23,201 to 23,698 /s, p50 1.27 ms to 1.31 ms,\n               \
             p99 2.63 ms to 2.78 ms, from 25 batches of 400 ms\n  steadiness   steady: no drift of \
             rate or latency over the run\n"
        );
    }

    #[test]
    fn a_drift_says_which_way_and_how_far() {
        let text = printed(&sample::troubled());
        assert!(text.contains("drifting: over the run the rate fell by 12%,"), "{text}");
        assert!(text.contains("p99 rose by 41%"), "{text}");
        assert!(text.contains("too narrow"), "{text}");
        // Nothing falls by more than all of it, nor by all of it if something is left.
        let mut report = sample::troubled();
        let steadiness = report.steadiness.as_mut().unwrap();
        steadiness.rate.change_ratio = -0.998;
        assert!(printed(&report).contains("the rate fell by > 99%,"), "{}", printed(&report));
    }

    #[test]
    fn a_run_that_stopped_says_when() {
        let mut report = sample::troubled();
        let steadiness = report.steadiness.as_mut().unwrap();
        steadiness.no_ok_after_s = Some(0.8);
        let text = printed(&report);
        assert!(text.contains("not steady: no request succeeded after 0.8 s,"), "{text}");
        assert!(!text.contains("the rate fell"), "{text}");
        report.steadiness.as_mut().unwrap().no_answer_after_s = Some(2.5);
        let text = printed(&report);
        assert!(text.contains("not steady: no answers after 2.5 s,"), "{text}");
    }

    #[test]
    fn every_limit_has_a_line() {
        let text = printed(&sample::troubled());
        assert!(text.contains("  broken  total.p99<2ms  2.71 ms\n"), "{text}");
        let longer =
            "          7 of 87,952 count as longer than all that were measured: 7 timed out\n";
        assert!(text.contains(longer), "{text}");
        assert!(text.contains("  broken  errors<0.1%    12.35%\n"), "{text}");
        assert!(text.contains("  pass    rate>20k       23,449 /s\n"), "{text}");
    }

    #[test]
    fn shares_are_told_apart_from_nothing_and_from_their_limits() {
        for (share, text) in
            [(0.0, "0%"), (1e-9, "< 0.001%"), (0.001_04, "0.104%"), (0.123_45, "12.35%")]
        {
            assert_eq!(percent(share), text);
        }
        let limit = sample::troubled().slo[0].clone();
        let nothing =
            LimitOutcome { measured: None, samples: Some(0), missing: None, ..limit.clone() };
        assert_eq!(measured(&nothing), "nothing was measured");
        let waiting = LimitOutcome { measured: None, ..limit.clone() };
        assert_eq!(measured(&waiting), "not answered");
        assert_eq!(few_samples(&limit), None);
        let few = LimitOutcome { samples: Some(999), ..limit };
        assert_eq!(few_samples(&few).as_deref(), Some("999 samples"));
    }
}
