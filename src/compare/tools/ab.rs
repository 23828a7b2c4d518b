//! ab, the Apache HTTP server's: one thread, HTTP/1.0.

use super::{Invocation, Mode, Output, Stop, Tool, ToolLatencies, ToolReport, text};
use std::path::Path;

/// With `-t` ab stops after 50,000 requests unless it is told a number: one that no run reaches. Its
/// record of 32 bytes for each is memory that is only asked for, and not touched.
const REQUESTS_WITHOUT_END: u64 = 20_000_000;

#[derive(Debug)]
pub(crate) struct Ab;

impl Tool for Ab {
    fn name(&self) -> &'static str {
        "ab"
    }

    fn install(&self) -> &'static str {
        "apt install apache2-utils"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["-V"]
    }

    fn has_one_thread(&self) -> bool {
        true
    }

    fn footnote(&self) -> &'static str {
        "latency from opening the connection until the server has closed it (kept: from handing \
         over the request to the last byte). It speaks HTTP/1.0, has one thread, and keeps every result in memory. \
         Requests that failed are among those that it calls complete, and are not counted here; one that \
         failed in several ways counts several times, so errors are cut to the number complete"
    }

    fn invocation(&self, mode: &Mode, scratch: &Path) -> Result<Invocation, String> {
        super::beyond(mode)?;
        super::no_pipeline(mode)?;
        super::no_unix_socket(mode)?;
        let stop = match mode.stop() {
            Stop::Requests(requests) => format!("-n {requests}"),
            Stop::After(duration) => {
                // The order matters: -t sets -n.
                format!("-t {} -n {REQUESTS_WITHOUT_END}", super::whole_seconds(duration)?)
            }
        };
        // -r: a reset ends one request, not the run. -l: answers may differ in length.
        let common = format!(
            "-q -r -l -c {} {stop} -s {}",
            mode.plan.connections,
            super::seconds_up(mode.timeout())
        );
        let mut arguments = super::words(&common);
        if !mode.is_new_connections() {
            arguments.push("-k".into());
        }
        let mut files = Vec::new();
        if !mode.plan.body.is_empty() {
            let path = scratch.join("ab.body");
            let content_type = super::header(mode, "content-type").unwrap_or("text/plain");
            arguments.extend(["-p".into(), path.to_string_lossy().into_owned()]);
            arguments.extend(["-T".into(), content_type.into()]);
            files.push((path, mode.plan.body.to_vec()));
        }
        // Behind -p, which would refuse to follow it.
        let usual = if mode.plan.body.is_empty() { "GET" } else { "POST" };
        if mode.plan.method != usual {
            arguments.extend(["-m".into(), mode.plan.method.clone()]);
        }
        let except: &[&str] = if mode.plan.body.is_empty() { &[] } else { &["content-type"] };
        arguments.extend(super::headers(mode, except));
        let written = scratch.join("ab.csv");
        arguments.extend(["-e".into(), written.to_string_lossy().into_owned()]);
        arguments.push(mode.endpoint.url.clone());
        Ok(Invocation { arguments, files, written: Some(written), ..Invocation::default() })
    }

    fn read(&self, output: &Output) -> Result<ToolReport, String> {
        let out = &output.stdout;
        let complete = text::whole(out, "Complete requests:")?;
        let failed = text::whole(out, "Failed requests:")?;
        let kinds = text::after(out, "(Connect:").map(|rest| format!("Connect: {rest}"));
        let of = |kind| text::whole_after(kinds.as_deref().unwrap_or_default(), kind).unwrap_or(0);
        let bad = text::whole(out, "Non-2xx responses:").unwrap_or(0);
        let requests = complete.saturating_sub(of("Connect:") + of("Receive:"));
        let percentile = |percent: &str| {
            let row = output.written.lines().find_map(|line| line.strip_prefix(percent));
            row.and_then(|rest| text::finite(rest.strip_prefix(',')?)).map(|ms| ms * 1e3)
        };
        let longest = text::after(out, "100% ").and_then(|row| row.split_whitespace().next());
        let latencies = ToolLatencies {
            p50_us: percentile("50"),
            p90_us: percentile("90"),
            p99_us: percentile("99"),
            max_us: percentile("100").or_else(|| longest.and_then(text::finite).map(|ms| ms * 1e3)),
        };
        Ok(ToolReport {
            requests,
            ok: requests.saturating_sub(bad),
            // It counts one request that failed in several ways several times.
            errors: failed.saturating_add(bad).min(complete),
            duration_s: text::number(out, "Time taken for tests:")?,
            latency: latencies.unless_empty(requests),
            kept: text::whole(out, "Keep-Alive requests:").ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::mode;

    fn line(arguments: &str) -> Result<String, String> {
        let words = Ab.invocation(&mode(arguments), Path::new("/s"))?.arguments;
        Ok(words.iter().map(|word| word.replace(' ', "~")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_mode_has_its_command_line() {
        for (arguments, expected) in [
            ("-d 2s", "-q -r -l -c 64 -t 2 -n 20000000 -s 10 -e /s/ab.csv http://a:81/x"),
            ("-k -n 5000", "-q -r -l -c 64 -n 5000 -s 10 -k -e /s/ab.csv http://a:81/x"),
            (
                "-n 99 -m PATCH -b hi -HContent-Type:a/b -HX:y",
                "-q -r -l -c 64 -n 99 -s 10 -p /s/ab.body -T a/b -m PATCH -H X:~y -e /s/ab.csv \
                 http://a:81/x",
            ),
        ] {
            assert_eq!(line(arguments).as_deref(), Ok(expected), "{arguments}");
        }
        assert!(line("-d 1s -p 2").unwrap_err().contains("cannot pipeline"));
        assert!(line("-d 1500ms").unwrap_err().contains("whole seconds"));
    }

    #[test]
    fn recorded_outputs_are_read() {
        let read = |stdout: &str, written: &str| {
            Ab.read(&Output { stdout: stdout.into(), written: written.into() })
        };
        let new = read(include_str!("samples/ab-new.txt"), include_str!("samples/ab-new.csv"));
        let expected = ToolReport {
            requests: 6031,
            ok: 6031,
            errors: 0,
            duration_s: 1.0,
            latency: ToolLatencies {
                p50_us: Some(1283.0),
                p90_us: Some(1425.0),
                p99_us: Some(3219.0),
                max_us: Some(5900.0),
            },
            kept: None,
        };
        assert_eq!(new, Ok(expected));
        let status = read(include_str!("samples/ab-status.txt"), "").unwrap();
        assert_eq!((status.requests, status.ok, status.errors), (1000, 0, 1000));
        assert_eq!(status.latency.max_us, Some(4000.0));
        let refused = read(include_str!("samples/ab-refused.txt"), "").unwrap();
        assert_eq!((refused.requests, refused.ok, refused.errors), (0, 0, 100));
        assert_eq!(refused.latency, ToolLatencies::default());
        assert!(read(include_str!("samples/ab-timeout.txt"), "").is_err());
        let kept = include_str!("samples/ab-status.txt")
            .replace("Total transferred:", "Keep-Alive requests:    990\nTotal transferred:");
        assert_eq!(read(&kept, "").unwrap().kept, Some(990));
    }
}
