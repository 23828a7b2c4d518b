//! The kernel's own counts, read before and after.
//!
//! ```text
//!   Snapshot::take()  ──  the run  ──  Snapshot::take()
//!          └───────── since ─────────────────┘   =  SystemCounters: what grew in between
//! ```
//!
//! The names are those of nstat(8), the file's prefix and the column's name: `TcpExtListenDrops`.
//! So what a report says can be looked up, and watched with `nstat -az NAME`. Counters that nstat
//! does not show (`Softnet...`, `Conntrack...`) are named alike.
//!
//! Columns come and go between kernels; they are found by their names, never by their places,
//! except in `softnet_stat`, which has none.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

/// The counters that [`Snapshot::since`] reports, of those that this kernel has.
pub(crate) const REPORTED: &[&str] = &[
    // Connections: begun here, accepted here, given up in the handshake, cut off later.
    "TcpActiveOpens",
    "TcpPassiveOpens",
    "TcpAttemptFails",
    "TcpEstabResets",
    "TcpExtEmbryonicRsts",
    "TcpOutRsts",
    // Packets.
    "TcpInSegs",
    "TcpOutSegs",
    "TcpInErrs",
    "TcpInCsumErrors",
    "IpExtInOctets",
    "IpExtOutOctets",
    "Ip6InOctets",
    "Ip6OutOctets",
    // The accept queue is full.
    "TcpExtListenOverflows",
    "TcpExtListenDrops",
    // The queue of half-open connections is full.
    "TcpExtTCPReqQFullDrop",
    "TcpExtTCPReqQFullDoCookies",
    "TcpExtSyncookiesSent",
    "TcpExtSyncookiesRecv",
    "TcpExtSyncookiesFailed",
    // Something was sent again, or came out of order: on loopback, only where something was full.
    "TcpRetransSegs",
    "TcpExtTCPSynRetrans",
    "TcpExtTCPTimeouts",
    "TcpExtTCPLossProbes",
    "TcpExtTCPOFOQueue",
    "TcpExtDelayedACKs",
    // Resets that this side sent, and why.
    "TcpExtTCPAbortOnData",
    "TcpExtTCPAbortOnClose",
    "TcpExtTCPAbortOnMemory",
    "TcpExtTCPAbortOnTimeout",
    "TcpExtTCPAbortOnLinger",
    "TcpExtTCPAbortFailed",
    // TIME_WAIT: entered, taken over by a new connection, entered for seconds only, refused as
    // there were too many.
    "TcpExtTW",
    "TcpExtTWRecycled",
    "TcpExtTWKilled",
    "TcpExtTCPTimeWaitOverflow",
    // A packet was taken for one of an earlier connection on the same ports.
    "TcpExtPAWSActive",
    "TcpExtPAWSEstab",
    "TcpExtPAWSOldAck",
    "TcpExtPAWSTimewait",
    "TcpExtTSEcrRejected",
    "TcpExtTCPChallengeACK",
    "TcpExtTCPSYNChallenge",
    "TcpExtTCPACKSkippedSynRecv",
    "TcpExtTCPACKSkippedPAWS",
    "TcpExtTCPACKSkippedTimeWait",
    "TcpExtTCPACKSkippedChallenge",
    // Memory ran short.
    "TcpExtTCPMemoryPressures",
    "TcpExtPruneCalled",
    "TcpExtTCPRcvQDrop",
    "TcpExtTCPBacklogDrop",
    "TcpExtTCPOFODrop",
    // The backlog of a CPU, which loopback passes through: full, or its time was up.
    "SoftnetDropped",
    "SoftnetTimeSqueeze",
    // The table of tracked connections is full.
    "ConntrackInsertFailed",
    "ConntrackDrop",
    "ConntrackEarlyDrop",
];

/// What counters grew by. A counter that this kernel does not have is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemCounters(pub BTreeMap<String, u64>);

impl SystemCounters {
    /// What one of them grew by; 0 when it is not there.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// All counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<&'static str, u64>,
}

impl Snapshot {
    /// Reads them. A file that is not there, or that this process may not read, has no counts.
    pub fn take() -> Snapshot {
        Snapshot::from_files(|path| std::fs::read_to_string(path).ok())
    }

    /// What the [`REPORTED`] counters grew by since an earlier snapshot.
    ///
    /// One that went backwards was restarted in between, and what it lost is not known: 0.
    pub fn since(&self, earlier: &Snapshot) -> SystemCounters {
        let growth = |&name: &&str| {
            let before = earlier.counters.get(name).copied().unwrap_or(0);
            Some((name.to_owned(), self.counters.get(name)?.saturating_sub(before)))
        };
        SystemCounters(REPORTED.iter().filter_map(growth).collect())
    }

    /// A number that goes up and down:
    ///
    /// | name | what |
    /// |---|---|
    /// | `SockTcpInuse`, `SockTcp6Inuse` | TCP sockets of each family in this namespace |
    /// | `SockTcpTimeWait` | TIME_WAIT sockets of both families in this namespace |
    /// | `SockTcpAlloc`, `SockTcpOrphan` | TCP sockets of the machine: all, those no process has |
    /// | `SockTcpMemPages` | pages of memory for TCP on the machine, to compare with `tcp_mem` |
    /// | `ConntrackCount`, `ConntrackMax` | tracked connections |
    /// | `FilesOpen`, `FilesMax` | open files of the machine |
    pub fn gauge(&self, name: &str) -> Option<u64> {
        self.gauges.get(name).copied()
    }

    /// Every file by its path, so that tests can have their own.
    fn from_files(read: impl Fn(&str) -> Option<String>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        // The namespace of this thread, which need not be that of the process.
        let net = |name: &str| read(&format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        let counters = &mut snapshot.counters;
        parse_line_pairs(&net("snmp"), counters);
        parse_line_pairs(&net("netstat"), counters);
        parse_lines(&net("snmp6"), counters);
        parse_softnet(&net("softnet_stat"), counters);
        parse_conntrack(&net("stat/nf_conntrack"), counters);

        let (sockstat, sockstat6) = (net("sockstat"), net("sockstat6"));
        let (open, max) = parse_file_nr(&read("/proc/sys/fs/file-nr").unwrap_or_default());
        let number = |path: &str| read(path)?.trim().parse().ok();
        let gauges = [
            ("SockTcpInuse", sockstat_field(&sockstat, "TCP:", "inuse")),
            ("SockTcpOrphan", sockstat_field(&sockstat, "TCP:", "orphan")),
            ("SockTcpTimeWait", sockstat_field(&sockstat, "TCP:", "tw")),
            ("SockTcpAlloc", sockstat_field(&sockstat, "TCP:", "alloc")),
            ("SockTcpMemPages", sockstat_field(&sockstat, "TCP:", "mem")),
            ("SockTcp6Inuse", sockstat_field(&sockstat6, "TCP6:", "inuse")),
            ("ConntrackCount", number("/proc/sys/net/netfilter/nf_conntrack_count")),
            ("ConntrackMax", number("/proc/sys/net/netfilter/nf_conntrack_max")),
            ("FilesOpen", open),
            ("FilesMax", max),
        ];
        let known = gauges.into_iter().filter_map(|(name, value)| Some((name, value?)));
        snapshot.gauges = known.collect();
        snapshot
    }
}

/// TIME_WAIT sockets of this namespace, of both families and any owner.
///
/// The kernel keeps the sum, so this costs the same for one as for a million, and it allocates
/// nothing: right for once a second during a run. [`super::sockets::time_wait`] knows which side
/// owns them.
pub(crate) fn time_wait() -> Option<u64> {
    let mut buffer = [0; 1024];
    let mut file = File::open("/proc/thread-self/net/sockstat").ok()?;
    // The whole file is about 150 bytes, and comes with one read.
    let bytes = file.read(&mut buffer).ok()?;
    sockstat_field(std::str::from_utf8(&buffer[..bytes]).ok()?, "TCP:", "tw")
}

/// `Tcp: ActiveOpens PassiveOpens` and below it `Tcp: 1 2`. Numbers below 0 are no counts.
fn parse_line_pairs(text: &str, counters: &mut BTreeMap<String, u64>) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((prefix, names)), Some((same, values))) =
            (names.split_once(':'), values.split_once(':'))
        else {
            continue;
        };
        if prefix != same {
            continue;
        }
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            if let Ok(value) = value.parse() {
                counters.insert(format!("{prefix}{name}"), value);
            }
        }
    }
}

/// `Ip6InOctets    12`
fn parse_lines(text: &str, counters: &mut BTreeMap<String, u64>) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
            counters.insert(name.to_owned(), value);
        }
    }
}

/// A line a CPU, hexadecimal, without names: processed, dropped, out of time, and more.
fn parse_softnet(text: &str, counters: &mut BTreeMap<String, u64>) {
    for line in text.lines() {
        let mut columns = line.split_whitespace().skip(1);
        for name in ["SoftnetDropped", "SoftnetTimeSqueeze"] {
            add_hex(counters, name, columns.next());
        }
    }
}

/// A line of names, then a line a CPU, hexadecimal.
fn parse_conntrack(text: &str, counters: &mut BTreeMap<String, u64>) {
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default();
    for line in lines {
        for (name, value) in names.split_whitespace().zip(line.split_whitespace()) {
            match name {
                "insert_failed" => add_hex(counters, "ConntrackInsertFailed", Some(value)),
                "drop" => add_hex(counters, "ConntrackDrop", Some(value)),
                "early_drop" => add_hex(counters, "ConntrackEarlyDrop", Some(value)),
                _ => {}
            }
        }
    }
}

fn add_hex(counters: &mut BTreeMap<String, u64>, name: &str, value: Option<&str>) {
    if let Some(Ok(value)) = value.map(|text| u64::from_str_radix(text, 16)) {
        let sum = counters.entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(value);
    }
}

/// `TCP: inuse 5 orphan 0 tw 7 alloc 9 mem 2`
fn sockstat_field(text: &str, line: &str, field: &str) -> Option<u64> {
    let mut words = text.lines().find_map(|text| text.strip_prefix(line))?.split_whitespace();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if name == field {
            return value.parse().ok();
        }
    }
    None
}

/// Allocated, of those free, at most.
fn parse_file_nr(text: &str) -> (Option<u64>, Option<u64>) {
    let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (allocated, free, max) = (next(), next(), next());
    (allocated.zip(free).map(|(allocated, free)| allocated.saturating_sub(free)), max)
}

#[cfg(test)]
mod tests;
