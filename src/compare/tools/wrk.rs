//! wrk, by Will Glozer: threads with an epoll loop each, and LuaJIT.

use super::{Invocation, Mode, Output, Stop, Tool, ToolLatencies, ToolReport, text};
use std::fmt::Write;
use std::path::Path;

#[derive(Debug)]
pub(crate) struct Wrk;

impl Tool for Wrk {
    fn name(&self) -> &'static str {
        "wrk"
    }

    fn install(&self) -> &'static str {
        "apt install wrk"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["--version"]
    }

    fn footnote(&self) -> &'static str {
        "latency from the first write to the last byte, so without connecting; one sample for a \
         whole pipelined batch; corrected afterwards for what it believes was omitted. A connection \
         that fails at once is never tried again, and a timeout counts only when the answer comes \
         after all. --timeout in whole seconds"
    }

    fn invocation(&self, mode: &Mode, scratch: &Path) -> Result<Invocation, String> {
        super::beyond(mode)?;
        super::no_unix_socket(mode)?;
        let Stop::After(duration) = mode.stop() else {
            return Err("it stops after a time (-d), not after requests (-n)".into());
        };
        let each = mode.plan.connections / mode.threads.max(1);
        if each * mode.threads != mode.plan.connections {
            return Err(format!(
                "it would open {} connections, not {}: choose -t so that it divides -c",
                each * mode.threads,
                mode.plan.connections
            ));
        }
        let mut arguments = super::words(&format!(
            "-t {} -c {} -d {}s --timeout {}s --latency",
            mode.threads,
            mode.plan.connections,
            super::whole_seconds(duration)?,
            super::seconds_up(mode.timeout())
        ));
        if mode.is_new_connections() {
            arguments.extend(["-H".into(), "Connection: close".into()]);
        }
        let secret = |(_, value): &&(String, String)| mode.is_secret(value);
        let in_script: Vec<_> = mode.headers.iter().filter(secret).collect();
        let names: Vec<&str> = in_script.iter().map(|(name, _)| name.as_str()).collect();
        arguments.extend(super::headers(mode, &names));
        let mut files = Vec::new();
        let header =
            |(name, value): &&(String, String)| (lua(name.as_bytes()), lua(value.as_bytes()));
        let headers: Vec<_> = in_script.iter().map(header).collect();
        if let Some(script) = script(mode, &lua(&mode.plan.body), &headers) {
            let path = scratch.join("wrk.lua");
            arguments.extend(["-s".into(), path.to_string_lossy().into_owned()]);
            files.push((path, script.into_bytes()));
        }
        arguments.push(mode.endpoint.url.clone());
        // What is shown goes into reports, and a body may be a login.
        let hidden = headers.into_iter().map(|(name, _)| (name, "\"***\"".into()));
        let hidden: Vec<_> = hidden.collect();
        let script = script(mode, &format!("<{} bytes>", mode.plan.body.len()), &hidden);
        Ok(Invocation { arguments, files, script, ..Invocation::default() })
    }

    fn read(&self, output: &Output) -> Result<ToolReport, String> {
        let out = &output.stdout;
        let summary = out.lines().find(|line| line.contains(" requests in "));
        let requests = summary.and_then(|line| text::whole_before(line, "requests"));
        let requests = requests.ok_or_else(|| text::missing("N requests in"))?;
        let per_s = text::number(out, "Requests/sec:")?;
        let bad = text::whole(out, "Non-2xx or 3xx responses:").unwrap_or(0);
        let socket = text::after(out, "Socket errors:").unwrap_or_default();
        let of = |kind| text::whole_after(socket, kind).unwrap_or(0);
        // A timeout is an answer that came too late: it is among the requests as well.
        let errors = of("connect") + of("read") + of("write") + of("timeout") + bad;
        // Of pipelined batches wrk prints percentiles of 0: its correction has lost them.
        let time_us = |text| text::time_us(text).filter(|us| *us > 0.0);
        let latency = |label| text::after(out, label).and_then(time_us);
        let longest = text::after(out, "Latency ").and_then(|row| row.split_whitespace().nth(2));
        let latencies = ToolLatencies {
            p50_us: latency("50%"),
            p90_us: latency("90%"),
            p99_us: latency("99%"),
            max_us: longest.and_then(time_us),
        };
        Ok(ToolReport {
            requests,
            ok: requests.saturating_sub(bad),
            errors,
            // The time is printed with two digits, the rate with more.
            duration_s: if per_s > 0.0 { requests as f64 / per_s } else { 0.0 },
            latency: latencies.unless_empty(requests),
            ..ToolReport::default()
        })
    }
}

/// The request in Lua, where options do not go as far or others could read them; `body` and
/// `headers` as they are to stand in it.
fn script(mode: &Mode, body: &str, headers: &[(String, String)]) -> Option<String> {
    let mut script = String::new();
    for (name, value) in headers {
        let _ = writeln!(script, "wrk.headers[{name}] = {value}");
    }
    if mode.plan.method != "GET" {
        let _ = writeln!(script, "wrk.method = {}", lua(mode.plan.method.as_bytes()));
    }
    if !mode.plan.body.is_empty() {
        let _ = writeln!(script, "wrk.body = {body}");
    }
    if mode.plan.policy.pipeline > 1 {
        let _ = write!(
            script,
            "init = function()\n  local batch = {{}}\n  for i = 1, {} do batch[i] = wrk.format() end\n  \
             requests = table.concat(batch)\nend\nrequest = function() return requests end\n",
            mode.plan.policy.pipeline
        );
    }
    (!script.is_empty()).then_some(script)
}

/// A string in Lua, whatever is in it.
fn lua(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'-' | b'_' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::mode;

    fn invocation(arguments: &str) -> Result<Invocation, String> {
        Wrk.invocation(&mode(arguments), Path::new("/s"))
    }

    fn read(sample: &str) -> ToolReport {
        Wrk.read(&Output { stdout: sample.into(), ..Output::default() }).unwrap()
    }

    #[test]
    fn each_mode_has_its_command_line() {
        for (arguments, expected) in [
            (
                "-d 2s",
                "-t 2 -c 64 -d 2s --timeout 10s --latency -H Connection:~close http://a:81/x",
            ),
            (
                "-k -d 2s -c 10 --timeout 1500ms",
                "-t 2 -c 10 -d 2s --timeout 2s --latency http://a:81/x",
            ),
            (
                "-p 16 -d 1m -HX:y",
                "-t 2 -c 64 -d 60s --timeout 10s --latency -H X:~y -s /s/wrk.lua http://a:81/x",
            ),
        ] {
            let words = invocation(arguments).unwrap().arguments;
            let words: Vec<_> = words.iter().map(|word| word.replace(' ', "~")).collect();
            assert_eq!(words.join(" "), expected, "{arguments}");
        }
        assert!(invocation("-n 1000").unwrap_err().contains("not after requests"));
        let odd = invocation("-d 1s -c 65").unwrap_err();
        assert!(odd.starts_with("it would open 64 connections, not 65: choose -t"), "{odd}");
        assert!(invocation("-d 500ms").unwrap_err().contains("whole seconds"));
    }

    #[test]
    fn the_script_has_what_options_cannot_say() {
        let script = |arguments: &str| {
            let files = invocation(arguments).unwrap().files;
            files.first().map(|(_, text)| String::from_utf8(text.clone()).unwrap())
        };
        assert_eq!(script("-k -d 1s"), None);
        assert_eq!(
            script("-d 1s -b a\"]]\\n").unwrap(),
            "wrk.method = \"POST\"\nwrk.body = \"a\\034\\093\\093\\092n\"\n"
        );
        let shown = invocation("-d 1s -b secret").unwrap().script;
        assert_eq!(shown.unwrap(), "wrk.method = \"POST\"\nwrk.body = <6 bytes>\n");
        assert!(script("-d 1s -p 16").unwrap().contains("for i = 1, 16 do"));
        let secret = invocation("-d 1s -HA:b -HCookie:c=d").unwrap();
        assert!(!format!("{:?}", secret.arguments).contains("Cookie"), "{:?}", secret.arguments);
        assert!(secret.arguments.contains(&"A: b".to_owned()));
        let file = String::from_utf8(secret.files[0].1.clone()).unwrap();
        assert_eq!(file, "wrk.headers[\"Cookie\"] = \"c\\061d\"\n");
        assert_eq!(secret.script.unwrap(), "wrk.headers[\"Cookie\"] = \"***\"\n");
    }

    #[test]
    fn recorded_outputs_are_read() {
        let expected = ToolReport {
            requests: 3921,
            ok: 3921,
            errors: 0,
            duration_s: 3921.0 / 3908.24,
            latency: ToolLatencies {
                p50_us: Some(1430.0),
                p90_us: Some(4030.0),
                p99_us: Some(7610.0),
                max_us: Some(11_840.0),
            },
            kept: None,
        };
        assert_eq!(read(include_str!("samples/wrk-new.txt")), expected);
        let status = read(include_str!("samples/wrk-status.txt"));
        assert_eq!((status.requests, status.ok, status.errors), (9599, 0, 9599));
        let late = read(include_str!("samples/wrk-timeout.txt"));
        assert_eq!((late.requests, late.errors), (16, 16));
        assert_eq!(late.latency, ToolLatencies::default(), "zeros are no latencies");
        let refused = include_str!("samples/wrk-refused.txt");
        assert!(Wrk.read(&Output { stdout: refused.into(), ..Output::default() }).is_err());
    }
}
