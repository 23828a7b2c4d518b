//! What the numbers are worth: do the tools say what the server has seen, did the box hold still,
//! and was it the server that was the limit.

use super::document::{OURSELVES, Round, SeenByServer, ToolRow};
use super::plan::Mode;
use super::spread::Spread;
use super::tools::ToolReport;
use crate::findings;
use crate::statistics::median;
use crate::words::quantities::{count, counted};
use crate::words::text::escape;

/// How far a tool's count may be from the server's, beside the requests that were under way.
const DIFFERENCE_MAX: f64 = 0.01;

/// How far the ratio of a round may be from the median.
const NOISE_MAX: f64 = 0.12;

/// A generator that used less than this of its processors was waiting for the server.
const BUSY_MIN: f64 = 0.9;

/// Runs that are shorter do not tell whether it waited.
const WALL_MIN_S: f64 = 1.0;

/// Connections are kept when no more than this part of the requests needed a new one, or came over
/// one that was not kept.
const NEW_MAX: f64 = 0.5;

/// What a tool says that the other side contradicts.
pub(crate) fn contradiction(
    reading: &ToolReport,
    seen: &SeenByServer,
    mode: &Mode,
) -> Option<String> {
    let said = reading.requests as f64;
    let under_way = f64::from(mode.plan.connections) * f64::from(mode.plan.policy.pipeline);
    let allowed = said * DIFFERENCE_MAX + under_way;
    let connections = seen.connections as f64;
    let who = if seen.by == "kernel" { "the kernel" } else { "the server" };
    if let Some(requests) = seen.requests {
        // What ended in an error may have reached the server, or not.
        let most = said + reading.errors as f64 + allowed;
        if (requests as f64) < said - allowed || requests as f64 > most {
            return Some(format!(
                "it says that {} requests were answered, the server saw {}",
                count(reading.requests),
                count(requests)
            ));
        }
    }
    if mode.is_new_connections() && connections < said - allowed {
        return Some(format!(
            "{who} saw {} connections for {} requests: not a new one for each",
            count(seen.connections),
            count(reading.requests)
        ));
    }
    if mode.plan.policy.requests_per_connection.is_some() {
        return None;
    }
    if let Some(kept) = reading.kept.filter(|kept| (*kept as f64) < said * (1.0 - NEW_MAX)) {
        return Some(format!(
            "it says that {} of {} requests were on connections that were kept",
            count(kept),
            count(reading.requests)
        ));
    }
    // Others on the box open connections as well, which the kernel does not tell apart.
    let new_max = if seen.by == "kernel" { said * NEW_MAX } else { allowed };
    if connections > new_max + f64::from(mode.plan.connections) + reading.errors as f64 {
        return Some(format!(
            "{who} saw {} connections for {} requests: they were not kept",
            count(seen.connections),
            count(reading.requests)
        ));
    }
    None
}

/// Whether the ratio moved too far from round to round.
pub(crate) fn is_noisy(rounds: &[Round]) -> bool {
    spread(rounds).is_some_and(|spread| spread.leaves(NOISE_MAX))
}

fn spread(rounds: &[Round]) -> Option<Spread> {
    let ratios: Vec<f64> = rounds.iter().filter_map(|round| round.ratio).collect();
    Spread::of(&ratios)
}

/// What to know before the numbers are believed.
pub(crate) fn notes(tools: &[ToolRow]) -> Vec<String> {
    let mut notes = Vec::new();
    for row in tools {
        notes.extend(went_wrong(row));
        notes.extend(differs(row));
        notes.extend(had_errors(row));
    }
    notes.extend(too_noisy(tools));
    notes.extend(server_was_limit(tools));
    notes.extend(tools_were_starved(tools));
    notes.extend(tools_were_throttled(tools));
    let mut others = tools.iter().filter(|row| row.name != OURSELVES);
    if others.all(|row| !row.installed || row.cannot.is_some()) {
        notes.push("No other tool here can do this; their rows say why.".into());
    }
    notes
}

fn went_wrong(row: &ToolRow) -> Option<String> {
    let wrong: Vec<&Round> = row.rounds.iter().filter(|round| round.requests.is_none()).collect();
    let why = wrong.first()?.note.as_deref().unwrap_or("it said nothing");
    Some(match row.rounds.len() {
        1 => format!("{}: {why}.", row.name),
        rounds => format!("{}: {} of {rounds} rounds went wrong: {why}.", row.name, wrong.len()),
    })
}

fn differs(row: &ToolRow) -> Option<String> {
    let round = row.rounds.iter().find(|round| round.differs)?;
    let what = round.note.as_deref().unwrap_or_default();
    Some(format!("{} (!): round {}: {what}.", row.name, round.round))
}

fn too_noisy(tools: &[ToolRow]) -> Option<String> {
    let noisy: Vec<String> = tools
        .iter()
        .filter(|row| row.noisy)
        .filter_map(|row| Some((row.name.as_ref(), spread(&row.rounds)?)))
        .map(|(name, found)| format!("{name} ({:.2} to {:.2})", found.min, found.max))
        .collect();
    (!noisy.is_empty()).then(|| {
        format!(
            "The box was too noisy for {}: the ratio of a round lay more than 12% from the median. \
             More --rounds, a longer --duration or a quieter box would tell.",
            listed(&noisy)
        )
    })
}

/// A server that was the limit makes all rates alike, and says nothing about who asked.
fn server_was_limit(tools: &[ToolRow]) -> Option<String> {
    let idle = shares(tools, waited);
    (!idle.is_empty()).then(|| {
        format!(
            "Not all used the whole time of their CPUs ({}): there the server, or whatever else \
             ran on these CPUs, was the limit, and CPU per request is the number to compare, not \
             requests/s.",
            idle.join(", ")
        )
    })
}

/// How much of its processors' time a tool used, where it was so little that it was waiting for
/// something else than these.
pub(crate) fn waited(row: &ToolRow) -> Option<f64> {
    let busy = median(telling(row).filter_map(|round| round.busy_ratio))?;
    let starved = median(telling(row).filter_map(|round| round.cpu_wait_ratio)).unwrap_or(0.0);
    (busy + starved < BUSY_MIN).then_some(busy)
}

/// How long a tool waited for its processors, over what these had, where that is more than it takes
/// to wake up: the judgement is that of a run.
pub(crate) fn starved(row: &ToolRow) -> Option<f64> {
    let ratio = median(telling(row).filter_map(|round| round.cpu_wait_ratio));
    // A quota stops a group, and most kernels count that as waiting.
    ratio.filter(|&ratio| ratio >= findings::WAIT_RATIO && throttled(row).is_none())
}

/// For which part of the time a quota stopped a tool, likewise.
pub(crate) fn throttled(row: &ToolRow) -> Option<f64> {
    let ratio = |round: &Round| Some(round.throttled_s? / round.wall_s?.max(1e-9));
    let ratio = median(telling(row).filter_map(ratio));
    ratio.filter(|&ratio| ratio >= findings::THROTTLED_RATIO)
}

/// The rounds that say something of a tool's use of its processors. Start and end are part of the
/// time: in a shorter run they are most of what was not used.
fn telling(row: &ToolRow) -> impl Iterator<Item = &Round> {
    let tells = |round: &&Round| round.requests.is_some() && round.wall_s >= Some(WALL_MIN_S);
    row.rounds.iter().filter(tells)
}

fn tools_were_starved(tools: &[ToolRow]) -> Option<String> {
    let which = shares(tools, starved);
    (!which.is_empty()).then(|| {
        format!(
            "Something else ran on the CPUs of the tools, which waited for them ({} of the time): \
             rates and latencies say as much about that as about the tools. CPUs that nothing else \
             uses (--cpus) would tell.",
            listed(&which)
        )
    })
}

fn tools_were_throttled(tools: &[ToolRow]) -> Option<String> {
    let which = shares(tools, throttled);
    (!which.is_empty()).then(|| {
        format!(
            "The CPU quota of this control group stopped the tools ({} of the time, summed over \
             CPUs): rates and latencies are those of the quota. `ringshot doctor` shows it, and how \
             to lift it.",
            listed(&which)
        )
    })
}

/// The tools of which something is known, with the share.
fn shares(tools: &[ToolRow], of: fn(&ToolRow) -> Option<f64>) -> Vec<String> {
    let known = tools.iter().filter_map(|row| Some((row.name.as_ref(), of(row)?)));
    known.map(|(name, ratio)| format!("{name} {:.0}%", ratio * 100.0)).collect()
}

fn had_errors(row: &ToolRow) -> Option<String> {
    let errors = row.medians.as_ref()?.errors;
    let rounds = row.rounds.iter().filter(|round| round.errors.is_some_and(|n| n > 0)).count();
    let left_out = match mostly_failed(row) {
        true => ", more than good answers: its numbers are no measure of it",
        false => "",
    };
    (errors > 0).then(|| {
        format!(
            "{}: {} in {rounds} of {}{left_out}.",
            row.name,
            counted(errors, "error"),
            counted(row.rounds.len() as u64, "round"),
        )
    })
}

/// Whether there were more errors than good answers.
pub(crate) fn mostly_failed(row: &ToolRow) -> bool {
    let sum = |value: fn(&Round) -> Option<u64>| {
        row.rounds.iter().filter_map(value).fold(0, u64::saturating_add)
    };
    sum(|round| round.errors) > sum(|round| round.ok)
}

pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The first line of what a tool complained, safe to show and short.
pub(crate) fn complaint(stderr: &str, stdout: &str) -> String {
    const CHARACTERS_MAX: usize = 160;
    let mut lines = stderr.lines().chain(stdout.lines()).map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let line = line.trim_end_matches('.');
    crate::words::text::shortened(&escape(line), CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::document::tests::{document, rows};
    use crate::compare::plan::tests::mode;

    fn found(arguments: &str, requests: u64, errors: u64, seen: SeenByServer) -> Option<String> {
        let reading = ToolReport { requests, ok: requests, errors, ..ToolReport::default() };
        contradiction(&reading, &seen, &mode(arguments))
    }

    #[test]
    fn a_count_may_differ_by_a_hundredth_and_what_is_under_way() {
        let seen = |requests| SeenByServer {
            by: "server".into(),
            requests: Some(requests),
            connections: 9_000,
        };
        for (arguments, requests, errors, server, differs) in [
            ("-k -c 8 -d 1s", 10_000, 0, 10_108, false),
            ("-k -c 8 -d 1s", 10_000, 0, 10_109, true),
            ("-k -c 8 -d 1s", 10_000, 0, 9_891, true),
            ("-p 16 -c 8 -d 1s", 10_000, 0, 10_228, false),
            ("-k -c 8 -d 1s", 10_000, 500, 10_600, false),
        ] {
            let mut seen = seen(server);
            seen.connections = 8;
            let text = found(arguments, requests, errors, seen);
            assert_eq!(text.is_some(), differs, "{arguments} {server}: {text:?}");
        }
        let text = found("-c 8 -d 1s", 20_000, 0, seen(10_000)).unwrap();
        assert_eq!(text, "it says that 20,000 requests were answered, the server saw 10,000");
    }

    #[test]
    fn connections_tell_whether_it_was_the_mode_that_was_asked_for() {
        let kernel =
            |connections| SeenByServer { by: "kernel".into(), requests: None, connections };
        let server =
            |connections| SeenByServer { by: "server".into(), requests: Some(10_000), connections };
        let text = found("-c 8 -d 1s", 10_000, 0, kernel(8)).unwrap();
        assert!(text.starts_with("the kernel saw 8 connections for 10,000 requests"), "{text}");
        assert_eq!(found("-c 8 -d 1s", 10_000, 0, kernel(10_008)), None);
        assert_eq!(found("-k -c 8 -d 1s", 10_000, 0, kernel(5_000)), None, "somebody else's");
        let text = found("-k -c 8 -d 1s", 10_000, 0, kernel(10_000)).unwrap();
        assert!(text.starts_with("the kernel saw 10,000 connections for 10,000"), "{text}");
        let text = found("-k -c 8 -d 1s", 10_000, 0, server(5_000)).unwrap();
        assert!(text.contains("they were not kept"), "{text}");
        let ab = |arguments: &str, kept| {
            let reading =
                ToolReport { requests: 10_000, kept: Some(kept), ..ToolReport::default() };
            contradiction(&reading, &server(8), &mode(arguments))
        };
        assert_eq!(ab("-k -c 8 -d 1s", 9_990), None);
        let text = ab("-k -c 8 -d 1s", 0).unwrap();
        assert!(text.starts_with("it says that 0 of 10,000 requests were on conn"), "{text}");
    }

    #[test]
    fn what_makes_numbers_doubtful_is_said() {
        let mut noisy = rows();
        noisy[1].rounds[0].cpu_us_per_request = Some(100.0);
        let notes = document(noisy).notes.join("\n");
        assert!(notes.contains("The box was too noisy for wrk (1.50 to 2.47): "), "{notes}");

        let mut idle = rows();
        idle[0].rounds.iter_mut().for_each(|round| round.busy_ratio = Some(0.62));
        let told = document(idle.clone());
        assert!(told.verdict[1].starts_with("Rates are not ranked"), "{:?}", told.verdict);
        let notes = told.notes.join("\n");
        idle[0].rounds.iter_mut().for_each(|round| round.wall_s = Some(0.9));
        assert_eq!(document(idle).notes, Vec::<String>::new(), "too short to tell");
        assert!(notes.contains("(ringshot 62%): there the server, or"), "{notes}");

        let mut busy_box = rows();
        for round in &mut busy_box[1].rounds {
            (round.busy_ratio, round.cpu_wait_ratio) = (Some(0.62), Some(0.34));
        }
        let told = document(busy_box.clone());
        assert!(told.verdict[1].starts_with("Rates are not ranked"), "{:?}", told.verdict);
        assert_eq!(told.notes.len(), 1, "{:?}", told.notes);
        assert!(
            told.notes[0].contains("waited for them (wrk 34% of the time)"),
            "{:?}",
            told.notes
        );
        busy_box[1].rounds.iter_mut().for_each(|round| round.throttled_s = Some(0.34));
        let told = document(busy_box);
        assert_eq!(told.notes.len(), 1, "{:?}", told.notes);
        assert!(told.notes[0].starts_with("The CPU quota of this"), "{:?}", told.notes);

        let mut wrong = rows();
        let broken = &mut wrong[1].rounds[1];
        *broken = Round { round: 2, note: Some("exit code 3".into()), ..Round::default() };
        let notes = document(wrong).notes.join("\n");
        assert!(notes.contains("wrk: 1 of 3 rounds went wrong: exit code 3."), "{notes}");

        assert_eq!(document(rows()).notes, Vec::<String>::new());
    }

    #[test]
    fn a_complaint_is_one_line_that_steers_nothing() {
        assert_eq!(complaint("\n  \x1b[31mno such file.\nmore", ""), r"\x1b[31mno such file");
        assert_eq!(complaint("", "unable to connect\n"), "unable to connect");
        assert!(complaint(&"x".repeat(500), "").chars().count() <= 160);
    }
}
