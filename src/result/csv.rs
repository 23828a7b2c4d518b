//! The numbers of every second as comma-separated values, for a spreadsheet or a plotting script.
//! All cells are numbers or empty, so that nothing has to be quoted; the names are those of the
//! document's `series`, with `server_` before those of the server, and `cpu_N_busy_ratio` for the
//! CPU of that number.

use super::{HostSecond, Report, Second, ServerSecond};
use std::fmt::Write;

/// A column's name, and its cell.
type CsvColumn = (String, Box<dyn Fn(&Second) -> Option<String>>);

/// One row a second, or a longer one in a long run (`t_s` is its end), below a row of names.
pub fn series(report: &Report) -> String {
    let cpus = report.watch.iter().flat_map(|watch| &watch.cpus).map(|cpu| cpu.cpu);
    let columns = columns(&cpus.collect::<Vec<_>>());
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = names.join(",") + "\n";
    for row in &report.series {
        for (at, (_, cell)) in columns.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{}", cell(row).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

fn columns(cpus: &[usize]) -> Vec<CsvColumn> {
    let always = |name: &str, value: fn(&Second) -> String| -> CsvColumn {
        (name.into(), Box::new(move |row| Some(value(row))))
    };
    let optional = |name: &str, value: fn(&Second) -> Option<String>| -> CsvColumn {
        (name.into(), Box::new(value))
    };
    let of_host = |name: &str, value: fn(&HostSecond) -> Option<String>| -> CsvColumn {
        (name.into(), Box::new(move |row| row.host.as_ref().and_then(value)))
    };
    let of_server = |name: &str, value: fn(&ServerSecond) -> Option<String>| -> CsvColumn {
        (format!("server_{name}"), Box::new(move |row| row.server.as_ref().and_then(value)))
    };
    let mut columns = vec![
        always("t_s", |row| row.t_s.to_string()),
        always("requests", |row| row.requests.to_string()),
        always("ok", |row| row.ok.to_string()),
        always("failed", |row| row.failed.to_string()),
        always("connections", |row| row.connections.to_string()),
        optional("p50_us", |row| row.p50_us.map(|us| us.to_string())),
        optional("p99_us", |row| row.p99_us.map(|us| us.to_string())),
        optional("max_us", |row| row.max_us.map(|us| us.to_string())),
        always("in_flight", |row| row.in_flight.to_string()),
    ];
    columns.extend([
        optional("connect_mean_us", |row| row.connect_mean_us.map(|us| us.to_string())),
        optional("time_wait", |row| row.time_wait.map(|count| count.to_string())),
        optional("generator_cpu_ratio", |row| row.generator_cpu_ratio.map(|r| r.to_string())),
        optional("generator_cpu_wait_ratio", |row| {
            row.generator_cpu_wait_ratio.map(|ratio| ratio.to_string())
        }),
        optional("generator_throttled_s", |row| row.generator_throttled_s.map(|s| s.to_string())),
        of_host("cpu_softirq_ratio", |host| Some(host.cpu_softirq_ratio.to_string())),
        of_host("cpu_steal_ratio", |host| Some(host.cpu_steal_ratio.to_string())),
        of_host("memory_available_bytes", |host| {
            host.memory_available_bytes.map(|n| n.to_string())
        }),
        of_host("receive_bytes", |host| host.receive_bytes.map(|n| n.to_string())),
        of_host("send_bytes", |host| host.send_bytes.map(|n| n.to_string())),
        of_host("receive_packets", |host| host.receive_packets.map(|n| n.to_string())),
        of_host("send_packets", |host| host.send_packets.map(|n| n.to_string())),
        of_server("cpu_ratio", |server| Some(server.cpu_ratio.to_string())),
        of_server("memory_bytes", |server| Some(server.memory_bytes.to_string())),
        of_server("descriptors", |server| server.descriptors.map(|count| count.to_string())),
    ]);
    // Last, as their number differs from box to box.
    columns.extend(cpus.iter().enumerate().map(|(at, cpu)| -> CsvColumn {
        let busy = move |row: &Second| row.host.as_ref()?.cpu_busy_ratio.get(at).copied();
        let cell = move |row: &Second| busy(row).map(|ratio| ratio.to_string());
        (format!("cpu_{cpu}_busy_ratio"), Box::new(cell))
    }));
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::CpuLoad;
    use crate::result::sample;

    #[test]
    fn every_row_has_a_cell_for_every_name() {
        let mut report = sample::clean();
        report.series.push(Second::default());
        report.series[0].host = None;
        report.series[1].host =
            Some(HostSecond { cpu_busy_ratio: vec![0.25, 1.0], ..Default::default() });
        // CPU 1 is offline.
        let cpu = |cpu| CpuLoad { cpu, ..CpuLoad::default() };
        report.watch.as_mut().unwrap().cpus = vec![cpu(0), cpu(2)];
        let text = series(&report);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert!(lines.iter().all(|cells| cells.len() == lines[0].len()), "{text}");
        assert_eq!(lines[0].last(), Some(&"cpu_2_busy_ratio"));
        assert_eq!(lines[2].last(), Some(&"1"));
        assert_eq!(lines[1].last(), Some(&""), "what is not known is empty, not 0");
        assert_eq!(lines[1][..3], ["1", "23450", "23450"]);
        let at = lines[0].iter().position(|name| *name == "p50_us").unwrap();
        assert_eq!(lines[1][at..at + 3], ["1290", "2709", "16770"]);
        assert_eq!(lines[2][at..at + 3], [""; 3], "a second without an answer has no latency");
    }

    #[test]
    fn the_names_are_those_of_the_document() {
        let row = Second {
            host: Some(HostSecond::default()),
            server: Some(ServerSecond::default()),
            ..Second::default()
        };
        let document = serde_json::to_value(row).unwrap();
        let names = series(&sample::clean());
        for (key, value) in document.as_object().unwrap() {
            let prefix = if key == "server" { "server_" } else { "" };
            match value.as_object() {
                None => assert!(names.contains(key.as_str()), "{key}"),
                Some(inner) => {
                    for key in inner.keys().filter(|key| *key != "cpu_busy_ratio") {
                        assert!(names.contains(&format!("{prefix}{key}")), "{key}");
                    }
                }
            }
        }
    }
}
