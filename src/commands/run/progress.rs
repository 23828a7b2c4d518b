//! Progress during the run, once a second, on standard error: standard output belongs to the
//! results.
//!
//! On a terminal it is one line that is redrawn, elsewhere (a log, CI) one row a second. No thread
//! animates it: that would take time from the workers that are being measured.

use crate::engine::tally::{Counters, Part};
use crate::result::Second;
use crate::words::quantities::{count, latency_us, rate, seconds};
use crate::words::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};

/// The bar's resolution: the bar shows a share, of time or of requests.
const BAR_STEPS: u64 = 1000;

/// Before the first second of a run without a warm-up.
const BEGIN: (Part, f64) = (Part::Measured, 0.0);

/// Shows how far a run has come.
#[derive(Debug)]
pub(crate) struct Progress {
    view: View,
    limits: Limits,
    /// The end of the second before, to know how long this one was (the last may be short), and its
    /// part of the run: the measurement counts its seconds anew.
    before: (Part, f64),
}

#[derive(Debug)]
enum View {
    Quiet,
    Bar(ProgressBar),
    Rows { begun: bool },
}

/// What will end the run.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    duration_s: Option<f64>,
    requests: Option<u64>,
}

impl Progress {
    /// No live output.
    pub(crate) fn quiet() -> Progress {
        Progress { view: View::Quiet, limits: Limits::default(), before: BEGIN }
    }

    /// On standard error, in the form that suits it. Nothing is drawn before the first
    /// [`tick`](Progress::tick).
    pub(crate) fn on_stderr(duration_s: Option<f64>, requests: Option<u64>) -> Progress {
        // A terminal that cannot go back in its line would show one bar behind the other.
        Progress::new(duration_s, requests, io::stderr().is_terminal() && !style::dumb())
    }

    /// For one step of many, each with a row of its own: a bar on a terminal, else nothing.
    pub(crate) fn of_step(duration_s: Option<f64>) -> Progress {
        match io::stderr().is_terminal() && !style::dumb() {
            true => Progress::new(duration_s, None, true),
            false => Progress::quiet(),
        }
    }

    /// On standard error, as a bar if that is a terminal and as rows otherwise.
    pub(crate) fn new(duration_s: Option<f64>, requests: Option<u64>, terminal: bool) -> Progress {
        let limits = Limits { duration_s, requests };
        let view = match terminal {
            true => View::Bar(bar(limits)),
            false => View::Rows { begun: false },
        };
        Progress { view, limits, before: BEGIN }
    }

    /// Shows a second that is over, and the counts since the start, of a part of the run.
    pub(crate) fn tick(&mut self, part: Part, second: &Second, totals: &Counters) {
        let before_s = if self.before.0 == part { self.before.1 } else { 0.0 };
        let length_s = second.t_s - before_s;
        self.before = (part, second.t_s);
        match &mut self.view {
            View::Quiet => {}
            View::Bar(bar) if part == Part::Warmup => {
                bar.set_prefix("warm-up");
                bar.set_message(message(second, length_s, totals));
            }
            View::Bar(bar) => {
                bar.set_prefix(self.limits.elapsed(second.t_s));
                bar.set_message(message(second, length_s, totals));
                bar.set_position(self.limits.share_done(second.t_s, totals));
            }
            View::Rows { begun } => {
                let mut lines = String::new();
                if !std::mem::replace(begun, true) {
                    lines += &header();
                }
                lines += &row(part, second, length_s);
                // A closed standard error is no reason to end a run.
                let _ = io::stderr().write_all(lines.as_bytes());
            }
        }
    }

    /// Clears the bar; rows stay.
    pub(crate) fn finish(self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

impl Limits {
    /// ` 3 s / 10 s`, or the time alone where only requests are limited.
    fn elapsed(&self, t_s: f64) -> String {
        // Ticks come a little late; by how much is of no interest.
        let elapsed = seconds((t_s * 10.0).round() / 10.0);
        match self.duration_s.map(seconds) {
            Some(limit) => format!("{elapsed:>0$} / {limit}", limit.chars().count()),
            None => elapsed,
        }
    }

    /// The share of whichever limit is nearer, in [`BAR_STEPS`].
    fn share_done(&self, t_s: f64, totals: &Counters) -> u64 {
        let of_time = self.duration_s.map_or(0.0, |limit_s| t_s / limit_s);
        let ended = totals.ok + totals.failed;
        let of_requests = self.requests.map_or(0.0, |limit| ended as f64 / limit as f64);
        (of_time.max(of_requests).clamp(0.0, 1.0) * BAR_STEPS as f64) as u64
    }

    fn any(&self) -> bool {
        self.duration_s.is_some() || self.requests.is_some()
    }
}

fn bar(limits: Limits) -> ProgressBar {
    let template = if limits.any() { "  {prefix} {wide_bar}  {msg}" } else { "  {prefix}  {msg}" };
    let style = ProgressStyle::with_template(template)
        .expect("the template is a constant and valid")
        .progress_chars("━╸─");
    let target = ProgressDrawTarget::stderr();
    // On drop, too, the bar is cleared: indicatif does so by default.
    ProgressBar::with_draw_target(Some(BAR_STEPS), target).with_style(style)
}

/// The text after the bar; short, so that a bar is left in 80 columns.
fn message(second: &Second, length_s: f64, totals: &Counters) -> String {
    format!(
        "{}/s  p99 {}  {} ok  {} failed",
        rate(per_s(second.ok, length_s)),
        latency_us(second.p99_us),
        count(totals.ok),
        count(totals.failed),
    )
}

fn header() -> String {
    format!(
        "{:>6}  {:>10}  {:>13}  {:>8}  {:>8}  {:>8}  {:>8}\n",
        "t", "requests/s", "connections/s", "failed", "p50", "p99", "max"
    )
}

fn row(part: Part, second: &Second, length_s: f64) -> String {
    let aside = if part == Part::Warmup { "  warm-up" } else { "" };
    format!(
        "{:>6}  {:>10}  {:>13}  {:>8}  {:>8}  {:>8}  {:>8}{aside}\n",
        format!("{:.1} s", second.t_s),
        rate(per_s(second.ok, length_s)),
        rate(per_s(second.connections, length_s)),
        count(second.failed),
        latency_us(second.p50_us),
        latency_us(second.p99_us),
        latency_us(second.max_us),
    )
}

fn per_s(count: u64, length_s: f64) -> f64 {
    if length_s > 0.0 { count as f64 / length_s } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Second = Second {
        t_s: 2.0,
        requests: 101_244,
        ok: 101_234,
        failed: 10,
        connections: 101_300,
        p50_us: Some(610),
        p99_us: Some(1_234),
        max_us: Some(8_410),
        in_flight: 64,
        connect_mean_us: Some(310.2),
        time_wait: Some(12),
        generator_cpu_ratio: None,
        generator_cpu_wait_ratio: None,
        generator_throttled_s: None,
        host: None,
        server: None,
    };

    #[test]
    fn rows_stand_below_their_names() {
        let (header, row) = (header(), row(Part::Measured, &SECOND, 1.0));
        assert_eq!(
            header,
            "     t  requests/s  connections/s    failed       p50       p99       max\n"
        );
        assert_eq!(
            row,
            " 2.0 s     101,234        101,300        10    610 µs   1.23 ms   8.41 ms\n"
        );
        assert!(header.len() <= 80);
    }

    #[test]
    fn a_short_last_second_is_no_slow_one() {
        let row = row(
            Part::Measured,
            &Second { t_s: 2.5, ok: 50_617, connections: 50_617, ..SECOND },
            0.5,
        );
        assert!(row.contains("101,234        101,234"), "{row}");
    }

    #[test]
    fn a_second_without_a_response_has_no_latency() {
        let idle =
            Second { ok: 0, requests: 0, p50_us: None, p99_us: None, max_us: None, ..SECOND };
        assert!(row(Part::Measured, &idle, 1.0).trim_end().ends_with("-         -         -"));
        assert!(message(&idle, 1.0, &Counters::default()).starts_with("0/s  p99 -"));
    }

    #[test]
    fn the_bar_follows_the_nearer_limit() {
        let totals = Counters { ok: 70, failed: 5, ..Counters::default() };
        let done = |duration_s, requests| Limits { duration_s, requests }.share_done(2.0, &totals);
        assert_eq!(done(Some(10.0), None), 200);
        assert_eq!(done(None, Some(100)), 750);
        assert_eq!(done(Some(10.0), Some(100)), 750);
        assert_eq!(done(Some(1.0), None), 1000);
        assert_eq!(done(None, None), 0);
    }

    #[test]
    fn a_tick_shows_rate_latency_and_totals() {
        let totals = Counters { ok: 202_468, failed: 10, ..Counters::default() };
        assert_eq!(message(&SECOND, 1.0, &totals), "101,234/s  p99 1.23 ms  202,468 ok  10 failed");
        assert_eq!(Limits { duration_s: Some(10.0), requests: None }.elapsed(2.001), " 2 s / 10 s");
        assert_eq!(Limits::default().elapsed(2.04), "2 s");
    }

    #[test]
    fn quiet_and_hidden_bars_take_ticks() {
        for mut progress in [Progress::quiet(), Progress::new(Some(10.0), None, true)] {
            progress.tick(Part::Measured, &SECOND, &Counters::default());
            progress.finish();
        }
    }
}
