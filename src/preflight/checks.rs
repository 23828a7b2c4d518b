//! The rules: what on this machine would limit or prevent a plan. Pure; [`super::host`] queries the
//! machine.

mod group;
mod unix_socket;

use super::descriptors::{self, Needed};
use super::host::HostFacts;
use crate::engine::policy::CloseMode;
use crate::engine::ports::Method;
use crate::engine::run::Load;
use crate::kernel::Listener;
use crate::plan;
use crate::tuning::cure;
use crate::words::Refusal;
use crate::words::quantities::{bytes, count, rate, seconds};
use serde::Serialize;
use std::net::SocketAddr;

/// What one worker thread opens in a second at best, on loopback; over a network it is less.
const CONNECTIONS_PER_S_PER_THREAD: f64 = 25_000.0;

/// And what it exchanges on connections that are kept.
const REQUESTS_PER_S_PER_THREAD: f64 = 150_000.0;

/// How long TIME_WAIT lasts: a constant of the kernel (TCP_TIMEWAIT_LEN).
const TIME_WAIT_S: f64 = 60.0;

/// Kernel memory of one socket without data (measured: a million connections, both ends on the
/// machine, took 5.2 GB).
const SOCKET_BYTES: u64 = 2_700;

/// State of one slot without its exchanges, and of each of those that it may have at a time
/// (`tests/memory.rs` measures them).
const SLOT_BYTES: u64 = 232;
const EXCHANGE_BYTES: u64 = 40;

/// What a setting means for a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckVerdict {
    /// The plan cannot run.
    Prevents,
    /// The result would be about this setting, not about the server.
    Limits,
    /// There is room.
    Fits,
}

/// One setting or resource, seen from a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// The setting, by the name that sysctl or limits.conf know it by, or the resource.
    pub knob: &'static str,
    pub current: String,
    pub needed: String,
    /// Whether that fits.
    pub verdict: CheckVerdict,
    /// Why it is needed; if it does not fit, what would happen.
    pub why: String,
    /// What to do; empty when it fits.
    pub cure: String,
}

/// What a load asks of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need<'a> {
    pub load: &'a Load,
    /// Threads of the bundled server, which runs in this process; 0 without it.
    pub server_threads: usize,
    /// The server is on this machine.
    pub local: bool,
}

impl Need<'_> {
    /// Its first address; `None` for a unix socket, to which no rule about ports and packets applies.
    fn target(&self) -> Option<SocketAddr> {
        // A name that has none is refused.
        self.load.addresses[0].inet()
    }

    /// The server runs in this process.
    fn bundled(&self) -> bool {
        self.server_threads > 0
    }

    /// The most requests per second that the plan asks for: its highest rate, or what connections
    /// make that pause as shortly as they may.
    fn asked_per_s(&self) -> f64 {
        let Load { model, connections, .. } = self.load;
        let rate = model.open_loop.as_ref().map(|open_loop| open_loop.curve.peak_per_s());
        let think_s = model.think_ns.as_ref().map_or(0.0, |think| *think.start() as f64 / 1e9);
        rate.unwrap_or(f64::INFINITY).min(f64::from(*connections) / think_s)
    }

    /// New connections per second, at best: over a network it will be fewer.
    fn rate(&self) -> f64 {
        let threads = f64::from(self.load.threads);
        let Some(n) = self.load.policy.requests_per_connection else { return 0.0 };
        let requests_per_s = self.asked_per_s().min(REQUESTS_PER_S_PER_THREAD * threads);
        let connections_per_s = CONNECTIONS_PER_S_PER_THREAD * threads;
        let connections_per_s =
            self.load.model.connect_rate_per_s.unwrap_or(f64::INFINITY).min(connections_per_s);
        connections_per_s.min(requests_per_s / n as f64)
    }

    /// Connections opened in the whole run.
    fn opened(&self) -> f64 {
        let whole = self.load.duration.map(|duration| duration + self.load.warmup);
        let by_time = whole.map_or(f64::INFINITY, |whole| whole.as_secs_f64() * self.rate());
        let per_connection = self.load.policy.requests_per_connection.unwrap_or(1);
        let by_number = self.load.requests.map_or(f64::INFINITY, |n| (n / per_connection) as f64);
        by_time.min(by_number).max(f64::from(self.load.connections))
    }

    fn owns_time_wait(&self) -> bool {
        self.load.policy.requests_per_connection.is_some()
            && self.load.policy.close == CloseMode::Client
    }

    /// Memory of the connections, kernel and buffers, with this many ends of each.
    fn memory_bytes(&self, ends: u64) -> u64 {
        let exchanges = u64::from(self.load.policy.pipeline) * EXCHANGE_BYTES;
        let buffer = if self.load.engine.shares_buffers() {
            0
        } else {
            self.load.receive_buffer_bytes as u64
        };
        u64::from(self.load.connections) * (SOCKET_BYTES * ends + SLOT_BYTES + exchanges + buffer)
    }

    /// How many CPUs the workers keep busy at most, and a bundled server with them.
    fn cpus(&self) -> f64 {
        let threads = f64::from(self.load.threads);
        let by_requests = self.asked_per_s() / REQUESTS_PER_S_PER_THREAD;
        let by_connections = self.rate() / CONNECTIONS_PER_S_PER_THREAD;
        let workers = by_requests.max(by_connections).min(threads);
        workers + workers / threads.max(1.0) * self.server_threads as f64
    }

    /// Pairs of source address and port towards the target's worst address.
    fn pairs(&self) -> u64 {
        (0..self.load.ports.sources.len())
            .map(|address| self.load.ports.pairs(address))
            .min()
            .unwrap_or(0)
    }
}

/// Everything that matters to the plan, worst first.
pub(crate) fn examine(need: &Need<'_>, host: &HostFacts) -> Vec<Check> {
    let rules = [
        files_of_process,
        files_of_system,
        enough_ports,
        port_wall,
        ports_held,
        backlog,
        unix_socket::backlog,
        syn_backlog,
        conntrack,
        time_wait_buckets,
        memory,
        group::memory,
        group::cpu,
    ];
    let mut checks: Vec<Check> = rules.iter().filter_map(|rule| rule(need, host)).collect();
    checks.sort_by_key(|check| check.verdict);
    checks
}

/// Refuses a plan that cannot run.
///
/// # Errors
/// The first check that prevents it.
pub(crate) fn refuse(checks: &[Check]) -> Result<(), Refusal> {
    match checks.iter().find(|check| check.verdict == CheckVerdict::Prevents) {
        None => Ok(()),
        Some(check) => Err(Refusal { what: check.why.clone(), cure: check.cure.clone() }),
    }
}

fn files_of_process(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    let needed =
        Needed::by(need.load.connections, need.load.threads, need.load.engine, need.bundled());
    let refused = descriptors::check(needed, host.descriptors).err();
    Some(Check {
        knob: "nofile",
        current: count(host.descriptors),
        needed: count(needed.limit()),
        verdict: if refused.is_some() { CheckVerdict::Prevents } else { CheckVerdict::Fits },
        why: refused
            .as_ref()
            .map_or("a descriptor for every connection".into(), |no| no.what.clone()),
        cure: refused.map_or(String::new(), |no| no.cure),
    })
}

fn files_of_system(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    let (open, max) = host.files?;
    let ends = if need.local { 2 } else { 1 };
    let needed = open + u64::from(need.load.connections) * ends;
    // Only where it comes near: nine million free files are no news.
    (needed * 2 > max).then(|| {
        let fits = needed < max;
        let verdict = match (fits, host.root) {
            (true, _) => CheckVerdict::Fits,
            // With CAP_SYS_ADMIN the limit may be exceeded, by us and not by others.
            (false, true) => CheckVerdict::Limits,
            (false, false) => CheckVerdict::Prevents,
        };
        Check {
            knob: "fs.file-max",
            current: count(max),
            needed: count(needed),
            verdict,
            why: format!(
                "{} files are open on the machine, and every end of a connection is one more",
                count(open)
            ),
            cure: match fits {
                true => String::new(),
                false => cure::raise("fs.file-max", Some(max), needed * 2).unwrap_or_default(),
            },
        }
    })
}

fn enough_ports(need: &Need<'_>, _host: &HostFacts) -> Option<Check> {
    let target = need.target()?;
    let (pairs, connections) = (need.pairs(), u64::from(need.load.connections));
    // Each worker needs a pair of its own for each of its slots.
    let threads = u64::from(need.load.threads.max(1));
    let short = match need.load.ports.method {
        Method::Rotation => pairs / threads < connections.div_ceil(threads),
        Method::Kernel | Method::None => pairs < connections,
    };
    (short && !need.load.ports.sources.iter().all(Vec::is_empty)).then(|| Check {
        knob: range_knob(need),
        current: space(need),
        needed: format!("{} at a time", count(connections)),
        verdict: CheckVerdict::Prevents,
        why: format!(
            "{} concurrent connections need as many pairs of source address and port, and there \
             are {}{}",
            count(connections),
            count(pairs),
            if threads > 1 { format!(", shared by {threads} threads") } else { String::new() }
        ),
        cure: format!("{}; or fewer connections (-c)", cure::more_ports(&need.load.ports, target)),
    })
}

fn port_wall(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    let target = need.target()?;
    if !need.owns_time_wait() {
        return None;
    }
    let (pairs, wanted) = (need.pairs() as f64, need.rate());
    let rotates = need.load.ports.method == Method::Rotation;
    let takes_over = rotates && host.timestamps;
    // The kernel's own choice takes over, too, where tcp_tw_reuse applies, after a delay.
    let reuses = host.timestamps
        && (host.tw_reuse == 1 || (host.tw_reuse == 2 && target.ip().is_loopback()));
    let held_s = if reuses { host.tw_reuse_delay_ms as f64 / 1e3 } else { TIME_WAIT_S };
    // Without a search, rotation goes on to the last port.
    let free = if rotates { pairs } else { pairs / 2.0 };
    let limits = !takes_over && need.opened() > free && wanted > free / held_s;
    let why = match (takes_over, limits) {
        (true, _) => "this side closes first; rotation reuses ports in TIME_WAIT".into(),
        (false, false) => "this side closes first; there are enough ports for this run".into(),
        (false, true) => wall(need, held_s, free),
    };
    let timestamps = "`sysctl -w net.ipv4.tcp_timestamps=1` on both ends";
    let cure = match (limits, host.timestamps) {
        (false, _) => String::new(),
        (true, false) => format!("{timestamps}; or {}", cure::more_ports(&need.load.ports, target)),
        (true, true) => format!(
            "--source-ports auto: rotation reuses ports in TIME_WAIT; or --close server; or {}",
            cure::more_ports(&need.load.ports, target)
        ),
    };
    let (knob, current, needed) = match host.timestamps {
        true => (
            range_knob(need),
            space(need),
            match takes_over {
                true => format!("{} at a time", count(need.load.connections.into())),
                false => format!("up to {}/s, each for {}", rate(wanted), seconds(held_s)),
            },
        ),
        false => ("net.ipv4.tcp_timestamps", "0".into(), "1".into()),
    };
    let verdict = if limits { CheckVerdict::Limits } else { CheckVerdict::Fits };
    Some(Check { knob, current, needed, verdict, why, cure })
}

/// What happens at the port wall, and when. P ports that are held for T seconds carry P / T
/// connections per second, and half of that before the kernel has to search.
fn wall(need: &Need<'_>, held_s: f64, free: f64) -> String {
    let (pairs, wanted) = (need.pairs() as f64, need.rate());
    let held = seconds(held_s);
    let mut text = format!(
        "this side closes first, and a port stays in TIME_WAIT for {held}: at up to {}/s",
        rate(wanted)
    );
    if free < pairs {
        text += &format!(" the kernel starts to search after {}", seconds(free / wanted));
    }
    if need.opened() > pairs {
        let and = if free < pairs { " and" } else { "" };
        text += &format!("{and} none is left after {}", seconds(pairs / wanted));
    }
    let most = rate(pairs / held_s);
    match free < pairs {
        true => {
            text + &format!(
                "; in the long run {}/s without a search, {most}/s at most",
                rate(free / held_s)
            )
        }
        false => text + &format!("; in the long run {most}/s at most"),
    }
}

/// Ports in rotation that are held by sockets which do not share them.
fn ports_held(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    let target = need.target()?;
    let (held, tried) = host.ports_held;
    (need.load.ports.method == Method::Rotation && held * 2 > tried).then(|| Check {
        knob: "source ports",
        current: format!("{held} of {tried} tried ports are taken"),
        needed: "most of them free".into(),
        verdict: CheckVerdict::Limits,
        why: "sockets that do not share their port (SO_REUSEADDR) hold most of the range: a run \
              with --source-ports kernel does so until 60 s after its end"
            .into(),
        cure: format!("wait up to 60 s; or {}", cure::more_ports(&need.load.ports, target)),
    })
}

fn backlog(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    need.target()?;
    if !need.local {
        return None;
    }
    let connections = u64::from(need.load.connections);
    // As many as this can wait at a time, when the server is busy with something else.
    let (knob, current, backlog) = match host.listener {
        Some(one @ Listener { count: 0 | 1, .. }) => {
            ("listen backlog", count(one.backlog.into()), u64::from(one.backlog))
        }
        Some(many) => (
            "listen backlog",
            format!("{} for each of {} listeners", many.backlog, many.count),
            u64::from(many.backlog) * u64::from(many.count),
        ),
        // The bundled server asks for as much as it may have.
        None => ("net.core.somaxconn", count(host.somaxconn), host.somaxconn),
    };
    let fits = backlog + 1 >= connections;
    let raise = cure::raise("net.core.somaxconn", Some(host.somaxconn), connections);
    let in_server = host.listener.map(|_| format!("listen(fd, {connections}) in the server"));
    Some(Check {
        knob,
        current,
        needed: count(connections),
        verdict: if fits { CheckVerdict::Fits } else { CheckVerdict::Limits },
        why: match fits {
            true => "the accept queue has room for every connection at once".into(),
            false => format!(
                "the accept queue holds {} of {} connections: when the server is late, the kernel \
                 drops SYNs, and they are sent again a second later",
                count(backlog),
                count(connections)
            ),
        },
        cure: match fits {
            true => String::new(),
            false => [in_server, raise].into_iter().flatten().collect::<Vec<_>>().join(" and "),
        },
    })
}

fn syn_backlog(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    need.target()?;
    // With cookies a full queue costs options, not connections.
    let (max, cookies) = (host.max_syn_backlog?, host.syncookies);
    let needed = u64::from(need.load.connections) * 4 / 3;
    (need.local && cookies == 0 && needed > max).then(|| Check {
        knob: "net.ipv4.tcp_max_syn_backlog",
        current: count(max),
        needed: count(needed),
        verdict: CheckVerdict::Limits,
        why:
            "SYN cookies are off: the kernel drops half-open connections beyond three quarters of \
             this"
                .into(),
        cure: "`sysctl -w net.ipv4.tcp_syncookies=1`".into(),
    })
}

fn conntrack(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    /// `nf_conntrack_tcp_timeout_time_wait` and `..._close`, by default.
    const TRACKED_S: f64 = 120.0;
    const TRACKED_AFTER_RESET_S: f64 = 10.0;
    let target = need.target()?;
    let (tracked, max) = host.conntrack.filter(|&(tracked, _)| tracked > 0)?;
    let tracked_s = match need.load.policy.close {
        CloseMode::Rst => TRACKED_AFTER_RESET_S,
        CloseMode::Server | CloseMode::Client => TRACKED_S,
    };
    let kept = need.opened().min(need.rate() * tracked_s).max(f64::from(need.load.connections));
    // A 4-tuple that is used again uses its entry again.
    let needed = tracked + kept.min(need.pairs() as f64) as u64;
    let fits = needed < max;
    let raise = || cure::raise("net.netfilter.nf_conntrack_max", Some(max), needed);
    Some(Check {
        knob: "net.netfilter.nf_conntrack_max",
        current: format!("{}, {} in use", count(max), count(tracked)),
        needed: count(needed),
        verdict: if fits { CheckVerdict::Fits } else { CheckVerdict::Limits },
        why: match fits {
            true => format!("every connection is tracked, until {tracked_s:.0} s after its end"),
            false => format!(
                "every connection is tracked, until {tracked_s:.0} s after its end; when the table \
                 is full, the kernel drops SYNs silently"
            ),
        },
        cure: match fits {
            true => String::new(),
            false => format!(
                "{}; or no tracking for this load: {}",
                raise().unwrap_or_default(),
                cure::notrack(target.port())
            ),
        },
    })
}

/// Never a limit: the kernel closes sockets beyond the table without TIME_WAIT. Reported because
/// the kernel logs it.
fn time_wait_buckets(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    need.target()?;
    let here = match plan::time_wait_owner(&need.load.policy) {
        "client" => need.owns_time_wait(),
        "server" => need.local,
        _ => false,
    };
    let max = host.tw_buckets?;
    // A 4-tuple is in TIME_WAIT once.
    let kept = need.opened().min(need.rate() * TIME_WAIT_S).min(need.pairs() as f64);
    (here && kept > max as f64).then(|| Check {
        knob: "net.ipv4.tcp_max_tw_buckets",
        current: count(max),
        needed: count(kept as u64),
        verdict: CheckVerdict::Fits,
        why:
            "the kernel closes sockets beyond it without TIME_WAIT: this costs a line in its log, \
             and no request"
                .into(),
        cure: String::new(),
    })
}

fn memory(need: &Need<'_>, host: &HostFacts) -> Option<Check> {
    let available = host.memory_available_bytes?;
    let needed = need.memory_bytes(if need.local { 2 } else { 1 });
    // Only where it is a noticeable part of the machine.
    (needed * 4 > available).then(|| {
        let fits = needed < available;
        Check {
            knob: "memory",
            current: format!("{} available", bytes(available)),
            needed: bytes(needed),
            verdict: if fits { CheckVerdict::Fits } else { CheckVerdict::Prevents },
            why: format!(
                "{} connections take {} of memory, kernel and buffers, and {} is available",
                count(need.load.connections.into()),
                bytes(needed),
                bytes(available)
            ),
            cure: if fits {
                String::new()
            } else {
                "fewer connections (-c), or more memory".into()
            },
        }
    })
}

/// What a range of ports comes from.
fn range_knob(need: &Need<'_>) -> &'static str {
    if need.load.ports.named { "--source-ports" } else { "net.ipv4.ip_local_port_range" }
}

/// `28,232 of 32768-60999, from 127.0.0.1`
fn space(need: &Need<'_>) -> String {
    let ports = &need.load.ports;
    let addresses = ports.sources.iter().map(Vec::len).min().unwrap_or(1);
    let from = if addresses > 1 { format!(" x {addresses} addresses") } else { String::new() };
    let usable = count(ports.usable.len() as u64);
    format!("{usable} of {}-{}{from}", ports.range.start(), ports.range.end())
}

#[cfg(test)]
mod tests;
