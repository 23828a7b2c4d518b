//! oha, by hatoo: tokio and hyper.

use super::{Invocation, Mode, Output, Stop, Tool, ToolLatencies, ToolReport, text};
use serde_json::Value;
use std::path::Path;

/// What oha lists among its errors, and is none: a request that was under way at the end.
const IN_FLIGHT: &str = "aborted due to deadline";

#[derive(Debug)]
pub(crate) struct Oha;

impl Tool for Oha {
    fn name(&self) -> &'static str {
        "oha"
    }

    fn install(&self) -> &'static str {
        "cargo install oha"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["--version"]
    }

    fn footnote(&self) -> &'static str {
        "latency from before the connection is opened (kept: from handing over the request) to the \
         end of the body, of answers alone. It keeps all results in memory. Requests that were \
         under way at the end are no errors here"
    }

    fn invocation(&self, mode: &Mode, scratch: &Path) -> Result<Invocation, String> {
        super::beyond(mode)?;
        if mode.plan.policy.pipeline > 1 {
            return Err("it cannot pipeline HTTP/1.1 (its -p is for HTTP/2)".into());
        }
        let stop = match mode.stop() {
            Stop::Requests(requests) => format!("-n {requests}"),
            Stop::After(duration) => format!("-z {}ms", duration.as_millis()),
        };
        let mut arguments = super::words(&format!(
            "--no-tui --output-format json -c {} {stop} -t {}ms --worker-threads {} -r 0 \
             --disable-compression",
            mode.plan.connections,
            mode.timeout().as_millis(),
            mode.threads
        ));
        if mode.is_new_connections() {
            arguments.push("--disable-keepalive".into());
        }
        if mode.plan.method != "GET" {
            arguments.extend(["-m".into(), mode.plan.method.clone()]);
        }
        let mut files = Vec::new();
        if !mode.plan.body.is_empty() {
            let path = scratch.join("oha.body");
            arguments.extend(["-D".into(), path.to_string_lossy().into_owned()]);
            files.push((path, mode.plan.body.to_vec()));
        }
        arguments.extend(super::headers(mode, &[]));
        if let Some(path) = super::socket_path(mode)? {
            arguments.extend(["--unix-socket".into(), path.to_owned()]);
        }
        arguments.push(mode.endpoint.url.clone());
        Ok(Invocation { arguments, files, ..Invocation::default() })
    }

    fn read(&self, output: &Output) -> Result<ToolReport, String> {
        let document = text::json(&output.stdout)?;
        let duration_s = document["summary"]["total"].as_f64().filter(|s| *s >= 0.0);
        let duration_s = duration_s.ok_or_else(|| text::missing("summary.total"))?;
        let statuses = document["statusCodeDistribution"].as_object();
        let statuses = statuses.ok_or_else(|| text::missing("statusCodeDistribution"))?;
        let (mut requests, mut ok) = (0u64, 0u64);
        for (code, count) in statuses {
            let count = count.as_u64().ok_or_else(|| text::missing("statusCodeDistribution"))?;
            requests = requests.saturating_add(count);
            let good = code.starts_with(['2', '3']);
            ok = ok.saturating_add(if good { count } else { 0 });
        }
        let errors = document["errorDistribution"].as_object().into_iter().flatten();
        let failed: u64 = errors
            .filter(|(what, _)| *what != IN_FLIGHT)
            .filter_map(|(_, count)| count.as_u64())
            .fold(0, u64::saturating_add);
        let us = |value: &Value| value.as_f64().map(|seconds| seconds * 1e6);
        let percentiles = &document["latencyPercentiles"];
        let latencies = ToolLatencies {
            p50_us: us(&percentiles["p50"]),
            p90_us: us(&percentiles["p90"]),
            p99_us: us(&percentiles["p99"]),
            max_us: us(&document["summary"]["slowest"]),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::mode;

    fn line(arguments: &str) -> Result<String, String> {
        let words = Oha.invocation(&mode(arguments), Path::new("/s"))?.arguments;
        Ok(words.iter().map(|word| word.replace(' ', "~")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_mode_has_its_command_line() {
        let common = |stop: &str, timeout: &str| {
            format!(
                "--no-tui --output-format json -c 64 {stop} -t {timeout} --worker-threads 2 -r 0 \
                 --disable-compression"
            )
        };
        for (arguments, expected) in [
            ("-d 1500ms", common("-z 1500ms", "10000ms") + " --disable-keepalive"),
            ("-k -n 5000 --timeout 1s", common("-n 5000", "1000ms")),
            (
                "-k -n 99 -m PUT -b hi -HX:y",
                common("-n 99", "10000ms") + " -m PUT -D /s/oha.body -H X:~y",
            ),
        ] {
            assert_eq!(line(arguments), Ok(format!("{expected} http://a:81/x")), "{arguments}");
        }
        assert!(line("-d 1s -p 2").unwrap_err().contains("cannot pipeline"));
    }

    #[test]
    fn recorded_outputs_are_read() {
        let read = |stdout: &str| {
            Oha.read(&Output { stdout: stdout.into(), ..Output::default() }).unwrap()
        };
        let new = read(include_str!("samples/oha-new.txt"));
        assert_eq!((new.requests, new.ok, new.errors), (5877, 5877, 0));
        assert_eq!(new.duration_s, 1.0008994);
        let rounded = |us: Option<f64>| us.map(f64::round);
        let latency = new.latency;
        assert_eq!(
            [latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us].map(rounded),
            [Some(1271.0), Some(1534.0), Some(2781.0), Some(36_187.0)]
        );
        let status = read(include_str!("samples/oha-status.txt"));
        assert_eq!((status.requests, status.ok, status.errors), (1000, 0, 1000));
        for (sample, errors) in [
            (include_str!("samples/oha-refused.txt"), 22_965),
            (include_str!("samples/oha-timeout.txt"), 16),
        ] {
            let none = read(sample);
            assert_eq!((none.requests, none.ok, none.errors), (0, 0, errors));
            assert_eq!(none.latency, ToolLatencies::default());
        }
    }
}
