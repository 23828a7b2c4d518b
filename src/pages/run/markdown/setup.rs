//! What was run, on what, and how it was set up: what a reader needs to run it again, and to tell
//! whether the numbers can be compared with theirs.

use crate::pages::markdown::Align::Left;
use crate::pages::markdown::{self, code, plain};
use crate::pages::run::terminal::headline;
use crate::plan::describe::{self, Place};
use crate::result::{Host, Report, Target};
use crate::words::quantities::{bytes, count, counted, cpus_used};
use crate::words::text::shortened;

/// A longer one is in the command.
const REQUEST_CHARACTERS_MAX: usize = 200;

pub(super) fn table(report: &Report) -> String {
    let plan = &report.plan;
    let request = plan.request(&report.target.url);
    let load = [plan.words(Place::Connections), vec![plan.limits(report.duration_s)]].concat();
    let engine = describe::engine(&report.engine, report.ring_tier.as_deref());
    let mut rows = vec![
        row("request", code(&shortened(&request, REQUEST_CHARACTERS_MAX))),
        row("target", target(&report.target)),
        row("load", plain(&load.join(", "))),
    ];
    if let Some(used) = &report.target.addresses_used {
        rows.insert(2, row("addresses", plain(used)));
    }
    let model = plan.words(Place::Model);
    if !model.is_empty() {
        rows.push(row("load model", plain(&model.join(", "))));
    }
    if let Some(warmup) = &report.warmup {
        rows.push(row("warm-up", plain(&headline::warmed_up(warmup))));
    }
    let version = format!("ringshot {}", report.version);
    let generator = [vec![version], plan.words(Place::Generator), vec![engine]].concat();
    rows.push(row("generator", plain(&generator.join(", "))));
    let ports = headline::source_ports(&report.ports, &plan.source_ip);
    rows.push(row("source ports", plain(ports.strip_prefix("source ports: ").unwrap_or(&ports))));
    if let Some(when) = when(&report.begun_at) {
        rows.push(row("time", when));
    }
    rows.extend(host(&report.host));
    markdown::table(&[("", Left), ("", Left)], &rows)
}

fn row(name: &str, text: String) -> Vec<String> {
    vec![name.to_owned(), text]
}

fn target(target: &Target) -> String {
    let server = if target.bundled { "the bundled server, " } else { "" };
    let place = if target.address.starts_with("unix:") {
        "on this box"
    } else if target.local {
        "in this network namespace"
    } else {
        "in another network namespace or on another box"
    };
    format!("{}{}, {place}", plain(server), code(&target.address))
}

/// `2026-01-31T12:00:00.000Z`, without what makes it hard to read.
pub(crate) fn when(begun_at: &str) -> Option<String> {
    let (date, time) = begun_at.split_once('T')?;
    let time = time.split('.').next()?;
    Some(plain(&format!("{date} {time} UTC")))
}

pub(crate) fn host(host: &Host) -> Vec<Vec<String>> {
    let memory = host.memory_bytes.map(|memory| format!("{} of memory", bytes(memory)));
    let machine = [
        Some(host.name.clone()).filter(|name| !name.is_empty()),
        Some(host.cpu_model.clone()).filter(|model| !model.is_empty()),
        Some(format!("{} usable", counted(host.cpus as u64, "CPU"))),
        host.governor.as_ref().map(|governor| format!("governor {governor}")),
        memory,
        Some(format!("Linux {}", host.kernel)),
    ];
    let machine: Vec<String> = machine.into_iter().flatten().collect();
    let limits = [
        host.descriptors.map(|limit| format!("{} descriptors", count(limit))),
        host.cpu_quota.map(|quota| format!("a CPU quota of {}", cpus_used(quota))),
        host.memory_limit_bytes.map(|limit| format!("{} of memory", bytes(limit))),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let setting = |(name, value): (&String, &String)| code(&format!("{name}={value}"));
    let settings: Vec<String> = host.sysctls.iter().map(setting).collect();
    let mut rows = vec![row("box", plain(&machine.join(", ")))];
    if !limits.is_empty() {
        rows.push(row("limits", plain(&limits.join(", "))));
    }
    if !settings.is_empty() {
        rows.push(row("settings", settings.join(" ")));
    }
    rows
}
