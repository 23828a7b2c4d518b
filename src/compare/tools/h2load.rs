//! h2load, nghttp2's: libev; made for HTTP/2, here with HTTP/1.1.

use super::{Invocation, Mode, Output, Stop, Tool, ToolLatencies, ToolReport, text};
use std::path::Path;

#[derive(Debug)]
pub(crate) struct H2load;

impl Tool for H2load {
    fn name(&self) -> &'static str {
        "h2load"
    }

    fn install(&self) -> &'static str {
        "apt install nghttp2-client"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["--version"]
    }

    fn footnote(&self) -> &'static str {
        "latency from handing over the request to the end of the body, so without connecting; it \
         has no percentiles, only a longest. With a time (-d) a connection that cannot be opened is no \
         error to it. --timeout only with -n (a run that is limited by time aborts on one)"
    }

    fn invocation(&self, mode: &Mode, scratch: &Path) -> Result<Invocation, String> {
        super::beyond(mode)?;
        if mode.plan.policy.pipeline > 1 && !mode.plan.body.is_empty() {
            return Err("it cannot pipeline requests with a body (-p, -b)".into());
        }
        let stop = match mode.stop() {
            // Seen with 1.52: it goes on for ever after its time, each closed connection a new one.
            Stop::After(_) if mode.is_new_connections() => {
                return Err(
                    "it opens new connections only with -n: with a time it never ends".into()
                );
            }
            Stop::After(duration) => format!("-D {}ms", duration.as_millis()),
            Stop::Requests(requests) => {
                format!("-n {requests} -N {}ms", mode.timeout().as_millis())
            }
        };
        let mut arguments = super::words(&format!(
            "--h1 -t {} -c {} {stop} -m {}",
            mode.threads, mode.plan.connections, mode.plan.policy.pipeline
        ));
        if mode.is_new_connections() {
            arguments.extend(["-H".into(), "Connection: close".into()]);
        }
        let mut files = Vec::new();
        if !mode.plan.body.is_empty() {
            let path = scratch.join("h2load.body");
            arguments.extend(["-d".into(), path.to_string_lossy().into_owned()]);
            files.push((path, mode.plan.body.to_vec()));
        }
        let usual = if mode.plan.body.is_empty() { "GET" } else { "POST" };
        if mode.plan.method != usual {
            arguments.extend(["-H".into(), format!(":method: {}", mode.plan.method)]);
        }
        arguments.extend(super::headers(mode, &[]));
        if let Some(path) = super::socket_path(mode)? {
            arguments.extend(["-B".into(), format!("unix:{path}")]);
        }
        arguments.push(mode.endpoint.url.clone());
        Ok(Invocation { arguments, files, ..Invocation::default() })
    }

    fn read(&self, output: &Output) -> Result<ToolReport, String> {
        let out = &output.stdout;
        let counts = text::after(out, "requests:").unwrap_or_default();
        let count =
            |word| text::whole_before(counts, word).ok_or_else(|| text::missing("requests:"));
        let statuses = text::after(out, "status codes:").unwrap_or_default();
        let status =
            |word| text::whole_before(statuses, word).ok_or_else(|| text::missing("status codes:"));
        let ok = status("2xx")?.saturating_add(status("3xx")?);
        let requests = ok.saturating_add(status("4xx")?).saturating_add(status("5xx")?);
        let finished = text::after(out, "finished in").and_then(|rest| rest.split(',').next());
        let duration_us = finished.and_then(text::time_us);
        let row = text::after(out, "time for request:").unwrap_or_default();
        let longest = row.split_whitespace().nth(1);
        Ok(ToolReport {
            requests,
            ok,
            errors: count("failed")?,
            duration_s: duration_us.ok_or_else(|| text::missing("finished in"))? / 1e6,
            latency: ToolLatencies {
                max_us: longest.and_then(text::time_us),
                ..ToolLatencies::default()
            }
            .unless_empty(requests),
            ..ToolReport::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::mode;

    fn line(arguments: &str) -> Result<String, String> {
        let words = H2load.invocation(&mode(arguments), Path::new("/s"))?.arguments;
        Ok(words.iter().map(|word| word.replace(' ', "~")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_mode_has_its_command_line() {
        for (arguments, expected) in [
            ("-k -d 1500ms", "--h1 -t 2 -c 64 -D 1500ms -m 1"),
            ("-p 16 -d 1s", "--h1 -t 2 -c 64 -D 1000ms -m 16"),
            ("-n 5000", "--h1 -t 2 -c 64 -n 5000 -N 10000ms -m 1 -H Connection:~close"),
            (
                "-k -d 1s -m PUT -b hi -HX:y",
                "--h1 -t 2 -c 64 -D 1000ms -m 1 -d /s/h2load.body -H :method:~PUT -H X:~y",
            ),
        ] {
            assert_eq!(line(arguments), Ok(format!("{expected} http://a:81/x")), "{arguments}");
        }
        assert!(line("-d 1s").unwrap_err().contains("only with -n"));
        assert!(line("-d 1s -p 2 -b x").unwrap_err().contains("with a body"));
    }

    #[test]
    fn recorded_outputs_are_read() {
        let read =
            |stdout: &str| H2load.read(&Output { stdout: stdout.into(), ..Output::default() });
        let keep = read(include_str!("samples/h2load-keep.txt")).unwrap();
        assert_eq!((keep.requests, keep.ok, keep.errors), (14_481, 14_481, 0));
        assert_eq!((keep.duration_s, keep.latency.p99_us), (1.0, None));
        assert_eq!(keep.latency.max_us, Some(4640.0));
        let status = read(include_str!("samples/h2load-status.txt")).unwrap();
        assert_eq!((status.requests, status.ok, status.errors), (1000, 0, 1000));
        assert_eq!(status.duration_s, 0.17546);
        for (sample, errors) in [
            (include_str!("samples/h2load-refused.txt"), 0),
            (include_str!("samples/h2load-timeout.txt"), 16),
        ] {
            let none = read(sample).unwrap();
            assert_eq!((none.requests, none.ok, none.errors), (0, 0, errors));
            assert_eq!(none.latency, ToolLatencies::default());
        }
        assert!(read(include_str!("samples/h2load-aborted.txt")).is_err());
    }
}
