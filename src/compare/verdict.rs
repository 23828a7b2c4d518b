//! What a comparison comes to, in two sentences; and when it comes to nothing.

use super::document::{OURSELVES, Round, ToolRow};
use super::judge::{listed, mostly_failed, starved, throttled, waited};
use crate::statistics::median;
use crate::words::quantities::{rate, time_us};

/// A tool of which something can be said.
struct Contender<'a> {
    name: &'a str,
    row: &'a ToolRow,
    /// CPU per answer over that of ringshot.
    ratio: f64,
    /// Good answers: errors that come fast are no merit.
    ok_per_s: f64,
}

impl<'a> Contender<'a> {
    /// `None` for a tool without an answer, and for one that is no measure of anything.
    fn of(row: &'a ToolRow) -> Option<Contender<'a>> {
        let each = |round: &Round| {
            let duration_s = round.duration_s.filter(|s| *s > 0.0)?;
            Some(round.ok? as f64 / duration_s)
        };
        let measure = Contender {
            name: &row.name,
            row,
            ratio: row.medians.as_ref()?.ratio?,
            ok_per_s: median(row.rounds.iter().filter_map(each))?,
        };
        (!row.differs && !mostly_failed(row)).then_some(measure)
    }

    /// Whether it used more CPU in each of so many rounds, and there is more than one.
    fn is_above_one_in_all(&self, rounds: u32) -> bool {
        let above = self.row.rounds.iter().filter(|round| round.ratio > Some(1.0)).count();
        rounds > 1 && above == rounds as usize
    }
}

/// What it comes to, in two sentences: by the ratios within a round, as medians over rounds of two
/// tools may have been made at different times.
pub(crate) fn verdict(tools: &[ToolRow], rounds: u32) -> Vec<String> {
    let Some(row) = tools.iter().find(|row| row.name == OURSELVES && has_answers(row)) else {
        return vec!["ringshot had no answer, so nothing can be compared with it.".into()];
    };
    let Some(ours) = Contender::of(row) else {
        let why = match row.differs {
            true => "What ringshot says is not what the other side saw",
            false => "ringshot had more errors than good answers",
        };
        return vec![format!("{why}, so nothing can be compared with it.")];
    };
    let others = tools.iter().filter(|row| row.name != OURSELVES);
    let mut others: Vec<Contender> = others.filter_map(Contender::of).collect();
    others.sort_by(|one, other| one.ratio.total_cmp(&other.ratio));
    if others.is_empty() {
        let own_us = row.medians.as_ref().and_then(|medians| medians.cpu_us_per_request);
        return vec![format!(
            "ringshot used {} of CPU per request.",
            time_us(own_us.unwrap_or(0.0))
        )];
    }
    vec![by_cpu(&others, rounds), by_rate(&ours, &others)]
}

fn has_answers(row: &ToolRow) -> bool {
    row.medians.as_ref().is_some_and(|medians| medians.cpu_us_per_request.is_some())
}

fn by_cpu(others: &[Contender], rounds: u32) -> String {
    let times: Vec<String> =
        others.iter().map(|one| format!("{} {:.2} times", one.name, one.ratio)).collect();
    match others.iter().all(|one| one.is_above_one_in_all(rounds)) {
        true => format!(
            "In every round ringshot used the least CPU per request: {} as much in the median.",
            listed(&times)
        ),
        false => format!(
            "CPU per request over that of ringshot in the same round, in the median: {}.",
            listed(&times)
        ),
    }
}

fn by_rate(ours: &Contender, others: &[Contender]) -> String {
    let mut all = others.iter().chain([ours]);
    if all.any(|one| waited(one.row).is_some()) {
        return "Rates are not ranked: not all used the whole time of their CPUs.".into();
    }
    let mut all = others.iter().chain([ours]);
    if all.any(|one| starved(one.row).or(throttled(one.row)).is_some()) {
        return "Rates are not ranked: not all had the CPU time that they needed.".into();
    }
    let fastest = others.iter().max_by(|one, other| one.ok_per_s.total_cmp(&other.ok_per_s));
    let (name, per_s) = fastest.map_or(("", 0.0), |one| (one.name, one.ok_per_s));
    match per_s <= ours.ok_per_s {
        true => format!(
            "ringshot had the most good answers, {}/s; then comes {name} with {}/s.",
            rate(ours.ok_per_s),
            rate(per_s)
        ),
        false => format!(
            "{name} had the most good answers, {}/s; ringshot had {}/s.",
            rate(per_s),
            rate(ours.ok_per_s)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::document::tests::{document, rows};

    #[test]
    fn a_verdict_is_two_sentences_whoever_is_ahead() {
        let told = verdict(&document(rows()).tools, 3);
        assert_eq!(
            told,
            [
                "In every round ringshot used the least CPU per request: wrk 1.50 times as much in the \
                 median.",
                "ringshot had the most good answers, 25,000/s; then comes wrk with 20,000/s."
            ]
        );
        let mut behind = rows();
        for round in &mut behind[1].rounds {
            (round.cpu_us_per_request, round.ok) = (Some(40.5 * 0.75), Some(30_000));
        }
        assert_eq!(
            document(behind).verdict,
            [
                "CPU per request over that of ringshot in the same round, in the median: wrk 0.75 \
                 times.",
                "wrk had the most good answers, 30,000/s; ringshot had 25,000/s."
            ]
        );
        assert!(verdict(&[], 3)[0].starts_with("ringshot had no answer"));
    }

    #[test]
    fn nothing_is_praised_that_is_no_measure() {
        let mut lying = rows();
        lying[0].rounds[1].differs = true;
        let told = document(lying).verdict;
        let expected = "What ringshot says is not what the other side saw, so nothing can be \
                        compared with it.";
        assert_eq!(told, [expected]);

        let failed = |tool: usize| {
            let mut rows = rows();
            for round in &mut rows[tool].rounds {
                (round.ok, round.errors) = (Some(10), Some(90_000));
            }
            document(rows)
        };
        let expected = "ringshot had more errors than good answers, so nothing can be compared \
                        with it.";
        assert_eq!(failed(0).verdict, [expected]);
        assert_eq!(failed(1).verdict, ["ringshot used 40.5 µs of CPU per request."]);
        let note = "wrk: 270,000 errors in 3 of 3 rounds, more than good answers: its numbers are \
                    no measure of it.";
        assert_eq!(failed(1).notes, [note]);
    }

    #[test]
    fn every_round_is_each_that_was_asked_for() {
        let tools = document(rows()).tools;
        assert!(verdict(&tools, 3)[0].starts_with("In every round"));
        assert!(verdict(&tools, 4)[0].starts_with("CPU per request over"), "one is missing");
        let mut once = rows();
        once.iter_mut().for_each(|row| row.rounds.truncate(1));
        let told = verdict(&document(once).tools, 1);
        assert!(told[0].starts_with("CPU per request over"), "{told:?}");
    }
}
