//! ringshot itself, as a child like all others: with the flags that were typed.

use super::{Latencies, Output, Reading, text};
use crate::cli::RunArgs;
use crate::report::console::format::cpu_list;
use serde_json::Value;

/// What its latency contains.
pub const FOOTNOTE: &str = "latency (`total`) from opening the connection (kept: from handing over \
                            the request) to the last byte, of every whole answer, to the \
                            microsecond";

/// Its arguments towards a URL, on so many threads and these CPUs, with the document on standard
/// output.
pub fn arguments(typed: &RunArgs, url: &str, threads: u32, cpus: &[usize]) -> Vec<String> {
    let mut words: Vec<String> = vec![url.into()];
    let mut option = |flag: &str, value: Option<&str>| {
        if let Some(value) = value {
            // In one word: a value may begin with a dash.
            words.push(format!("{flag}={value}"));
        }
    };
    let cpus = if cpus.is_empty() { "none".into() } else { cpu_list(cpus) };
    let threads = threads.to_string();
    option("--connections", Some(&typed.connections));
    option("--threads", Some(&threads));
    option("--duration", typed.duration.as_deref());
    option("--requests", typed.requests.as_deref());
    option("--requests-per-connection", typed.requests_per_connection.as_deref());
    option("--pipeline", typed.pipeline.as_deref());
    option("--close", Some(&typed.close));
    option("--method", typed.method.as_deref());
    for header in &typed.headers {
        option("--header", Some(header));
    }
    option("--body", typed.body.as_deref());
    let body_file = typed.body_file.as_deref().map(|path| path.to_string_lossy());
    option("--body-file", body_file.as_deref());
    option("--timeout", Some(&typed.timeout));
    option("--source-ip", typed.source_ip.as_deref());
    option("--source-ports", Some(&typed.source_ports));
    option("--cpus", Some(&cpus));
    option("--engine", Some(&typed.engine));
    option("--ring-tier", Some(&typed.ring_tier));
    option("--json", Some("-"));
    if typed.keepalive {
        words.push("--keepalive".into());
    }
    words
}

/// What its document says.
///
/// # Errors
/// What is missing in it.
pub fn read(output: &Output) -> Result<Reading, String> {
    let document = text::json(&output.stdout)?;
    let number = |pointer: &str| {
        document.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| text::missing(pointer))
    };
    let whole = |pointer: &str| {
        document.pointer(pointer).and_then(Value::as_u64).ok_or_else(|| text::missing(pointer))
    };
    let requests = whole("/latency/total/count")?;
    let latencies = Latencies {
        p50_us: Some(number("/latency/total/p50_us")?),
        p90_us: Some(number("/latency/total/p90_us")?),
        p99_us: Some(number("/latency/total/p99_us")?),
        max_us: Some(number("/latency/total/max_us")?),
    };
    Ok(Reading {
        requests,
        ok: whole("/requests/ok")?,
        errors: whole("/requests/failed")?,
        duration_s: number("/duration_s")?,
        latency: latencies.unless_empty(requests),
        ..Reading::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::compare::plan::tests::plan;
    use crate::plan::Plan;
    use clap::Parser;

    #[test]
    fn the_child_has_the_plan_that_was_typed() {
        for typed in [
            "-d 2s",
            "-k -n 5000 -c 1k --timeout 3s",
            "-p 16 -m PUT -HX:y -H A:-b --body=-x --cpus 0",
            "-r 5 --close rst --source-ports 40000-49999 --source-ip 127.0.0.2",
        ] {
            let ours = plan(typed).unwrap();
            let mut words = vec!["ringshot".to_owned()];
            words.extend(arguments(&ours.typed, "http://a:81/x", 3, &[0, 2, 3]));
            let child = Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{error}"));
            let child = Plan::new(&child.run, &[]).unwrap();
            let seen = |plan: &Plan| {
                let source = (plan.source_ips.names(), plan.source_ports.clone());
                let what = (plan.method.clone(), plan.headers.clone(), plan.body.clone());
                format!("{:?}", (plan.duration, plan.requests, plan.policy, what, source))
            };
            assert_eq!(seen(&child), seen(&ours.run), "{typed}");
            assert_eq!(child.connections, ours.run.connections);
            assert_eq!(
                (child.threads, child.cpus),
                (Some(3), crate::plan::CpuChoice::List(vec![0, 2, 3]))
            );
            assert_eq!(child.endpoint.unwrap().url, "http://a:81/x");
        }
        let words = arguments(&plan("-d 1s").unwrap().typed, "a", 1, &[]);
        assert!(words.contains(&"--cpus=none".into()), "{words:?}");
    }

    #[test]
    fn its_document_is_read() {
        let document = r#"{"duration_s": 2.0, "requests": {"ok": 9, "failed": 3},
            "latency": {"total": {"count": 10, "p50_us": 1, "p90_us": 2, "p99_us": 3, "max_us": 4}}}"#;
        let reading = read(&Output { stdout: document.into(), ..Output::default() }).unwrap();
        assert_eq!((reading.requests, reading.ok, reading.errors), (10, 9, 3));
        assert_eq!(reading.latency.p99_us, Some(3.0));
    }
}
