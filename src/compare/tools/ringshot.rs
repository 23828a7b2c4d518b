//! ringshot itself, as a child like all others: with the flags that were typed.

use super::{Invocation, Output, ToolLatencies, ToolReport, text};
use crate::compare::plan::Mode;
use crate::engine::session::http1;
use crate::words::quantities::cpu_list;
use serde_json::Value;
use std::path::Path;

/// What its latency contains.
pub(crate) const FOOTNOTE: &str = "latency (`total`) from opening the connection (kept: from handing over \
                            the request) to the last byte, of every whole answer, to the \
                            microsecond";

/// How it is told to do this: with what was typed for the load, on these CPUs, with the document on
/// standard output.
///
/// Where headers are secrets, or came from elsewhere, all of them are in a file: nobody else can read
/// it, and what they came from, as standard input, may be there only once.
pub(crate) fn invocation(
    typed: &[String],
    mode: &Mode,
    request: &http1::Request,
    cpus: &[usize],
    scratch: &Path,
) -> Invocation {
    let begins = |word: &String, all: &[&str]| all.iter().any(|begin| word.starts_with(begin));
    let cpus = if cpus.is_empty() { "none".into() } else { cpu_list(cpus) };
    let own = [
        mode.endpoint.url.clone(),
        format!("--threads={}", mode.threads),
        format!("--cpus={cpus}"),
        "--json=-".to_owned(),
    ];
    let mut arguments: Vec<String> = own.into_iter().chain(typed.iter().cloned()).collect();
    let elsewhere = |word| begins(word, &["--header=@", "--expand-header="]);
    if mode.secrets.is_empty() && !typed.iter().any(elsewhere) {
        return Invocation { arguments, ..Invocation::default() };
    }
    let path = scratch.join("headers");
    arguments.retain(|word| !begins(word, &["--header=", "--expand-header="]));
    arguments.push(format!("--header=@{}", path.to_string_lossy()));
    let line = |(name, value): &(String, Vec<u8>)| [name.as_bytes(), b": ", value, b"\n"].concat();
    let lines = request.headers.iter().flat_map(line).collect();
    Invocation { arguments, files: vec![(path, lines)], ..Invocation::default() }
}

/// What its document says.
///
/// # Errors
/// What is missing in it.
pub(crate) fn read(output: &Output) -> Result<ToolReport, String> {
    let document = text::json(&output.stdout)?;
    let number = |pointer: &str| {
        document.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| text::missing(pointer))
    };
    let whole = |pointer: &str| {
        document.pointer(pointer).and_then(Value::as_u64).ok_or_else(|| text::missing(pointer))
    };
    let requests = whole("/latency/total/count")?;
    // Null where nothing was answered.
    let latency = |name: &str| match requests {
        0 => Ok(None),
        _ => number(&format!("/latency/total/{name}")).map(Some),
    };
    Ok(ToolReport {
        requests,
        ok: whole("/requests/ok")?,
        errors: whole("/requests/failed")?,
        duration_s: number("/duration_s")?,
        latency: ToolLatencies {
            p50_us: latency("p50_us")?,
            p90_us: latency("p90_us")?,
            p99_us: latency("p99_us")?,
            max_us: latency("max_us")?,
        },
        ..ToolReport::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::plan;
    use crate::plan::flags::Cli;
    use crate::plan::{Endpoint, Plan};
    use clap::Parser;

    #[test]
    fn the_child_has_the_plan_that_was_typed() {
        let scratch = tempfile::tempdir().unwrap();
        for typed in [
            "-d 2s",
            "-k -n 5000 -c 1k --timeout 3s",
            "-p 16 -m PUT -HX:y -H A:-b --body=-x --cpus 0",
            "-r 5 --close rst --source-ports 40000-49999 --source-ip 127.0.0.2",
            "-d 1s -HX:y -H Cookie:a=b;c -HX:z",
        ] {
            let ours = plan(typed).unwrap();
            let endpoint = Endpoint::parse("http://a:81/x").unwrap();
            let mode = Mode::of(&ours.run, &endpoint, 3);
            let request = ours.run.request(&endpoint);
            let child = invocation(&ours.typed, &mode, &request, &[0, 2, 3], scratch.path());
            for (path, text) in child.files {
                std::fs::write(path, text).unwrap();
            }
            assert!(!format!("{:?}", child.arguments).contains("Cookie"), "{:?}", child.arguments);
            let mut words = vec!["ringshot".to_owned()];
            words.extend(child.arguments);
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
    }

    #[test]
    fn credentials_are_in_a_file_and_not_among_the_arguments() {
        let ours = plan("-d 1s http://me:secret@a/").unwrap();
        let endpoint = ours.run.endpoint.clone().unwrap();
        let mode = Mode::of(&ours.run, &endpoint, 1);
        let request = ours.run.request(&endpoint);
        let child = invocation(&ours.typed, &mode, &request, &[], Path::new("/s"));
        assert!(child.arguments.contains(&"--cpus=none".into()), "{:?}", child.arguments);
        assert!(child.arguments.contains(&"--header=@/s/headers".into()), "{:?}", child.arguments);
        assert_eq!(child.arguments[0], "http://a/");
        assert_eq!(child.files[0].1, b"Authorization: Basic bWU6c2VjcmV0\n");
    }

    #[test]
    fn its_document_is_read() {
        let document = r#"{"duration_s": 2.0, "requests": {"ok": 9, "failed": 3},
            "latency": {"total": {"count": 10, "p50_us": 1, "p90_us": 2, "p99_us": 3, "max_us": 4}}}"#;
        let reading = read(&Output { stdout: document.into(), ..Output::default() }).unwrap();
        assert_eq!((reading.requests, reading.ok, reading.errors), (10, 9, 3));
        assert_eq!(reading.latency.p99_us, Some(3.0));
        let nothing = r#"{"duration_s": 2.0, "requests": {"ok": 0, "failed": 3},
            "latency": {"total": {"count": 0, "p50_us": null, "p90_us": null, "p99_us": null,
            "max_us": null}}}"#;
        let reading = read(&Output { stdout: nothing.into(), ..Output::default() }).unwrap();
        assert_eq!((reading.requests, reading.errors), (0, 3));
        assert_eq!(reading.latency, ToolLatencies::default());
    }
}
