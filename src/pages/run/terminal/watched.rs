//! What the box and the server did meanwhile, and who of them was the limit.

use super::{TEXT, row};
use crate::observe::{CpuLoad, NetworkLoad, ServerLoad, Watch};
use crate::result::{LimitedBy, Report};
use crate::words::quantities::{bytes, count, counted, cpus_used, rate, share, time_us};
use crate::words::style::{Role, Style};
use crate::words::text::{escape, wrapped};
use std::io::{self, Write};

/// More CPUs than this are summed up.
const CPUS_LISTED_MAX: usize = 8;

/// Less than this is not worth a word.
const STEAL_RATIO_MIN: f64 = 0.01;

/// The server, the box, the limit: a row for each that is known.
pub(crate) fn rows(report: &Report, out: &mut impl Write, style: Style) -> io::Result<()> {
    let room = style.width.saturating_sub(TEXT);
    if let Some(watch) = &report.watch {
        if let Some(server) = &watch.server {
            row(out, "server", &style.flow(&of_server(server), ", ", room))?;
        }
        row(out, "box", &style.flow(&of_box(watch), ", ", room))?;
    }
    match &report.limited_by {
        Some(limit) => row(out, "limit", &wrapped(&sentence(limit), room)),
        None => Ok(()),
    }
}

/// Who it was, and what says so.
pub(crate) fn sentence(limit: &LimitedBy) -> String {
    let who = match limit.who.as_ref() {
        "generator" => "ringshot itself",
        "server" => "the server",
        "both" => "ringshot and the server",
        "box" => "this box",
        "connections" => "the connections",
        "schedule" => "the plan",
        "unseen" => "the server, or the way to it",
        // Of a document that a later version wrote.
        other => return format!("{}: {}", escape(other), escape(&limit.evidence)),
    };
    format!("{who}: {}", escape(&limit.evidence))
}

/// The server: which it was, and what it used.
pub(crate) fn of_server(server: &ServerLoad) -> Vec<(Role, String)> {
    let mut pieces = vec![shown_name(server)];
    let cost = server.cpu_us_per_request.map(|us| format!("{} CPU per request", time_us(us)));
    pieces.extend(cost);
    pieces.push(cpus_used(server.cpu_ratio));
    if server.threads > 1 {
        let threads = counted(server.threads.into(), "thread");
        pieces.push(format!("{threads}, the busiest {} busy", share(server.busiest_thread_ratio)));
    }
    pieces.push(bytes(server.memory_peak_bytes));
    pieces.extend(server.descriptors_peak.map(|most| counted(most, "descriptor")));
    let mut pieces: Vec<_> = pieces.into_iter().map(|piece| (Role::Text, piece)).collect();
    if server.ended {
        let lived = time_us(server.watched_s * 1e6);
        pieces.push((Role::Warning, format!("ended after about {lived}")));
    }
    pieces
}

/// Its name and number; the bundled server has none of its own.
fn shown_name(server: &ServerLoad) -> String {
    let name = escape(&server.name);
    match (server.found_by.as_ref(), server.processes) {
        ("bundled", _) => format!("{name} in this process"),
        (_, 0 | 1) => format!("{name} (pid {})", server.pid),
        (_, many) => {
            format!(
                "{name} (pid {}, {})",
                server.pid,
                format_args!("{} processes", count(many.into()))
            )
        }
    }
}

/// The box: its CPUs, what its interfaces carried, the memory that was left.
pub(crate) fn of_box(watch: &Watch) -> Vec<(Role, String)> {
    let mut pieces: Vec<_> = cpus(watch).map(|text| (Role::Text, text)).into_iter().collect();
    if let Some(steal) = watch.cpu_steal_ratio.filter(|&steal| steal >= STEAL_RATIO_MIN) {
        pieces.push((Role::Warning, format!("{} taken by the hypervisor", share(steal))));
    }
    pieces.extend(watch.network.as_ref().map(|network| (Role::Text, packets(network))));
    let least = watch.memory_available_min_bytes;
    pieces.extend(least.map(|least| (Role::Text, format!("{} of memory left", bytes(least)))));
    pieces
}

/// Each CPU where that is short, else how far apart they are.
fn cpus(watch: &Watch) -> Option<String> {
    let busy = |cpu: &CpuLoad| cpu.busy_ratio;
    let all = watch.cpu_busy_ratio?;
    match watch.cpus.as_slice() {
        [] => None,
        [one] => Some(format!("CPU {} {} busy", one.cpu, share(one.busy_ratio))),
        few if few.len() <= CPUS_LISTED_MAX => {
            let each: Vec<String> =
                few.iter().map(|cpu| format!("{} {}", cpu.cpu, share(cpu.busy_ratio))).collect();
            Some(format!("CPU {} busy", each.join(", ")))
        }
        many => {
            let least = many.iter().map(busy).fold(f64::INFINITY, f64::min);
            let most = many.iter().map(busy).fold(0.0, f64::max);
            Some(format!(
                "{} CPUs {} to {} busy, {} on average",
                count(many.len() as u64),
                share(least),
                share(most),
                share(all)
            ))
        }
    }
}

/// What the interfaces carried; what goes through the loopback is sent and received.
fn packets(network: &NetworkLoad) -> String {
    format!(
        "{}/s in {} packets/s received",
        bytes(network.receive_bytes_per_s.round() as u64),
        rate(network.receive_packets_per_s)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    fn text(pieces: Vec<(Role, String)>) -> String {
        pieces.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
    }

    fn watch() -> Watch {
        sample::clean().watch.expect("it was watched")
    }

    #[test]
    fn a_few_cpus_are_listed_and_many_summed_up() {
        let mut watch = watch();
        assert_eq!(cpus(&watch).as_deref(), Some("CPU 0 91%, 1 52% busy"));
        let one = |cpu, busy_ratio| CpuLoad { cpu, busy_ratio, ..CpuLoad::default() };
        watch.cpus = (0..64).map(|cpu| one(cpu, 0.03 + cpu as f64 * 0.015)).collect();
        watch.cpu_busy_ratio = Some(0.41);
        assert_eq!(cpus(&watch).as_deref(), Some("64 CPUs 3% to 98% busy, 41% on average"));
        watch.cpus = vec![one(3, 0.5)];
        assert_eq!(cpus(&watch).as_deref(), Some("CPU 3 50% busy"));
        watch.cpus.clear();
        assert_eq!(cpus(&watch), None);
    }

    #[test]
    fn steal_is_told_of_when_there_is_some() {
        let mut watch = watch();
        assert!(!text(of_box(&watch)).contains("hypervisor"));
        watch.cpu_steal_ratio = Some(0.12);
        assert!(text(of_box(&watch)).contains("12% taken by the hypervisor"));
    }

    #[test]
    fn a_server_has_its_name_and_what_it_used() {
        let mut server = watch().server.expect("a server");
        assert_eq!(
            text(of_server(&server)),
            "nginx (pid 812, 3 processes), 38.4 µs CPU per request, 0.90 CPUs, 3 threads, the \
             busiest 88% busy, 21.3 MB, 97 descriptors"
        );
        (server.processes, server.threads, server.descriptors_peak) = (1, 1, None);
        (server.ended, server.watched_s, server.name) = (true, 1.5, "\u{1b}[2J".into());
        server.cpu_us_per_request = None;
        assert_eq!(
            text(of_server(&server)),
            "\\x1b[2J (pid 812), 0.90 CPUs, 21.3 MB, ended after about 1.50 s"
        );
        server.found_by = "bundled".into();
        assert!(shown_name(&server).ends_with("in this process"));
    }

    #[test]
    fn everybody_has_a_name() {
        for (who, text) in [
            ("generator", "ringshot itself: why."),
            ("unseen", "the server, or the way to it: why."),
            ("moon\u{1b}", "moon\\x1b: why."),
        ] {
            let limit = LimitedBy { who: who.into(), evidence: "why.".into() };
            assert_eq!(sentence(&limit), text);
        }
    }
}
