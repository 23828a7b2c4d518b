//! hey, by Jaana Dogan: Go's net/http.

use super::{Invocation, Mode, Output, Stop, Tool, ToolLatencies, ToolReport, text};
use std::path::Path;

/// It looks at the status of so many answers, and of no more (its `maxRes`).
const STATUSES_MAX: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Hey;

impl Tool for Hey {
    fn name(&self) -> &'static str {
        "hey"
    }

    fn install(&self) -> &'static str {
        "go install github.com/rakyll/hey@latest"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &[]
    }

    fn footnote(&self) -> &'static str {
        "latency from before the connection is looked for to the end of the body, in steps of 0.1 \
         ms; percentiles of the first million answers only, the longest likewise. It keeps these in \
         memory, and counts the status of no others: beyond them, answers are its rate times its \
         time, and are good or bad as those were. With -n each connection makes the same number of requests, rounded down. \
         --timeout in whole seconds"
    }

    fn invocation(&self, mode: &Mode, scratch: &Path) -> Result<Invocation, String> {
        super::beyond(mode)?;
        super::no_pipeline(mode)?;
        super::no_unix_socket(mode)?;
        let stop = match mode.stop() {
            Stop::Requests(requests) => format!("-n {requests}"),
            Stop::After(duration) => format!("-z {}ms", duration.as_millis()),
        };
        let mut arguments = super::words(&format!(
            "-c {} {stop} -t {} -cpus {} -disable-compression -disable-redirects",
            mode.plan.connections,
            super::seconds_up(mode.timeout()),
            mode.threads
        ));
        if mode.is_new_connections() {
            arguments.push("-disable-keepalive".into());
        }
        if mode.plan.method != "GET" {
            arguments.extend(["-m".into(), mode.plan.method.clone()]);
        }
        let mut files = Vec::new();
        if !mode.plan.body.is_empty() {
            let path = scratch.join("hey.body");
            arguments.extend(["-D".into(), path.to_string_lossy().into_owned()]);
            files.push((path, mode.plan.body.to_vec()));
        }
        if let Some(host) = super::header(mode, "host") {
            arguments.extend(["-host".into(), host.into()]);
        }
        arguments.extend(super::headers(mode, &["host"]));
        arguments.push(mode.endpoint.url.clone());
        Ok(Invocation { arguments, files, ..Invocation::default() })
    }

    fn read(&self, output: &Output) -> Result<ToolReport, String> {
        let out = &output.stdout;
        let duration_s = text::number(out, "Total:")?;
        let statuses = section(out, "Status code distribution:");
        if statuses.is_none() {
            return Err(text::missing("Status code distribution:"));
        }
        let (mut requests, mut ok) = (0, 0);
        for line in statuses.into_iter().flatten() {
            let (code, rest) = bracketed(line).ok_or_else(|| text::missing("[CODE] responses"))?;
            let count = text::whole_before(rest, "responses");
            let count = count.ok_or_else(|| text::missing("[CODE] responses"))?;
            requests = count.saturating_add(requests);
            ok = if (200..400).contains(&code) { count.saturating_add(ok) } else { ok };
        }
        let errors = section(out, "Error distribution:").into_iter().flatten();
        let failed: u64 =
            errors.filter_map(bracketed).fold(0, |sum: u64, (count, _)| sum.saturating_add(count));
        if requests >= STATUSES_MAX {
            let ended = (text::number(out, "Requests/sec:")? * duration_s).round() as u64;
            // Its rate is that of everything that ended, errors included.
            let answers = ended.saturating_sub(failed).max(requests);
            ok = (ok as f64 / requests as f64 * answers as f64).round() as u64;
            requests = answers;
        }
        let seconds = |text: &str| text::finite(text).filter(|s| *s > 0.0).map(|s| s * 1e6);
        let percentile = |label| {
            text::after(out, label).and_then(|rest| seconds(rest.split_whitespace().next()?))
        };
        let latencies = ToolLatencies {
            p50_us: percentile("50% in"),
            p90_us: percentile("90% in"),
            p99_us: percentile("99% in"),
            max_us: percentile("Slowest:"),
        };
        Ok(ToolReport {
            requests,
            ok,
            errors: failed.saturating_add(requests - ok),
            duration_s,
            latency: latencies.unless_empty(requests),
            ..ToolReport::default()
        })
    }
}

/// The lines below a heading that begin with a bracket.
fn section<'a>(out: &'a str, heading: &str) -> Option<Vec<&'a str>> {
    let mut lines = out.lines();
    lines.find(|line| line.trim() == heading)?;
    Some(lines.map(str::trim).take_while(|line| line.starts_with('[')).collect())
}

/// `[200]  5 responses`: the number, and the rest.
fn bracketed(line: &str) -> Option<(u64, &str)> {
    let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::mode;

    fn line(arguments: &str) -> Result<String, String> {
        let words = Hey.invocation(&mode(arguments), Path::new("/s"))?.arguments;
        Ok(words.iter().map(|word| word.replace(' ', "~")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_mode_has_its_command_line() {
        const COMMON: &str = "-cpus 2 -disable-compression -disable-redirects";
        for (arguments, expected) in [
            ("-d 1500ms", format!("-c 64 -z 1500ms -t 10 {COMMON} -disable-keepalive")),
            ("-k -n 5000", format!("-c 64 -n 5000 -t 10 {COMMON}")),
            (
                "-k -n 99 -b hi -HX:y -HHost:b",
                format!("-c 64 -n 99 -t 10 {COMMON} -m POST -D /s/hey.body -host b -H X:~y"),
            ),
        ] {
            assert_eq!(line(arguments), Ok(format!("{expected} http://a:81/x")), "{arguments}");
        }
        assert!(line("-d 1s -p 2").unwrap_err().contains("cannot pipeline"));
    }

    #[test]
    fn recorded_outputs_are_read() {
        let read = |stdout: &str| {
            Hey.read(&Output { stdout: stdout.into(), ..Output::default() }).unwrap()
        };
        let expected = ToolReport {
            requests: 4407,
            ok: 4407,
            errors: 0,
            duration_s: 1.0034,
            latency: ToolLatencies {
                p50_us: Some(1600.0),
                p90_us: Some(2700.0),
                p99_us: Some(3600.0),
                max_us: Some(34_700.0),
            },
            kept: None,
        };
        let new = read(include_str!("samples/hey-new.txt"));
        assert_eq!((new.requests, new.ok, new.errors), (4407, 4407, 0));
        let rounded = |us: Option<f64>| us.map(f64::round);
        assert_eq!(rounded(new.latency.max_us), expected.latency.max_us);
        assert_eq!(rounded(new.latency.p99_us), expected.latency.p99_us);
        assert_eq!(new.duration_s, expected.duration_s);
        // 2.5 million results, of which 1,000 are errors; the first million has a tenth of 503s.
        let long = include_str!("samples/hey-new.txt")
            .replace("Total:\t1.0034", "Total:\t10.0000")
            .replace("4392.1876", "250000.0000")
            .replace("[200]\t4407 responses", "[200]\t900000 responses\n  [503]\t100000 responses")
            + "\nError distribution:\n  [1000]\tconnection refused\n";
        let long = read(&long);
        assert_eq!((long.requests, long.ok), (2_499_000, 2_249_100));
        assert_eq!(long.errors, 1_000 + 249_900);
        let status = read(include_str!("samples/hey-status.txt"));
        assert_eq!((status.requests, status.ok, status.errors), (1000, 0, 1000));
        for (sample, errors) in [
            (include_str!("samples/hey-refused.txt"), 15_053),
            (include_str!("samples/hey-timeout.txt"), 24),
        ] {
            let none = read(sample);
            assert_eq!((none.requests, none.ok, none.errors), (0, 0, errors));
            assert_eq!(none.latency, ToolLatencies::default());
        }
    }
}
