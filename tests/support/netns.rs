//! A network namespace for a test of its own: its own ports, TIME_WAIT, counters, sysctls, firewall.
//!
//! ```text
//!   isolated(needs, body)
//!     thread ── unshare(CLONE_NEWNET) ── lo up ── body(&namespace) ── ends, and with it the namespace
//!                                                  ├── servers: threads inherit it
//!                                                  └── ringshot, ip, nft: processes inherit it
//! ```
//!
//! Only the thread moves, so that tests run side by side. Nothing has a name that could be left
//! behind: the kernel removes a namespace with the last thread, process and socket in it, also
//! after a panic.
//!
//! **Sysctls.** What is writable below `/proc/sys/net` in a namespace other than the first belongs
//! to that namespace: the kernel hides the machine's knobs there (`tcp_mem`, `tcp_max_orphans`,
//! `netdev_max_backlog`) or shows them read-only (`nf_conntrack_max`, `rmem_max`). That is why
//! [`Namespace::set`] takes nothing but `net.*`, and why it looks first where it is.

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use std::io::Write;
use std::process::{Command, Stdio};

/// With `1`, a test that cannot run here fails.
const MUST_RUN: &str = "RINGSHOT_TESTS_MUST_RUN";

/// This process's own namespace, and the calling thread's.
const OUTSIDE: &str = "/proc/self/ns/net";
const HERE: &str = "/proc/thread-self/ns/net";

/// The namespace of the calling thread.
pub struct Namespace(());

/// Runs a test in a fresh network namespace, with the loopback device up. Where that is not
/// permitted, or one of the programs that the test `needs` is missing, says so and returns.
pub fn isolated(needs: &[&str], body: impl FnOnce(&Namespace) + Send) {
    let mut thread = std::thread::Builder::new();
    if let Some(name) = std::thread::current().name() {
        thread = thread.name(name.to_owned());
    }
    let ended = std::thread::scope(|scope| {
        let inside = || match Namespace::enter(needs) {
            Ok(namespace) => body(&namespace),
            Err(why) => skip(&why),
        };
        thread.spawn_scoped(scope, inside).expect("a thread").join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// Says aloud that a test does not run here; fails it where all tests must run.
pub fn skip(why: &str) {
    assert!(std::env::var(MUST_RUN).as_deref() != Ok("1"), "{MUST_RUN}=1, but {why}");
    // Past the test harness, which would swallow it.
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

impl Namespace {
    fn enter(needs: &[&str]) -> Result<Namespace, String> {
        for program in ["ip"].iter().chain(needs) {
            // Every one of them answers this, whatever the answer is.
            let started = Command::new(program).arg("-V").output();
            started.map_err(|error| format!("{program}: {error}"))?;
        }
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| match error {
            Errno::EPERM => "a network namespace needs root (CAP_SYS_ADMIN)".to_owned(),
            error => format!("no network namespace: {error}"),
        })?;
        let namespace = Namespace(());
        namespace.run("ip", &["link", "set", "lo", "up"]);
        Ok(namespace)
    }

    /// Sets a sysctl of this namespace: `net.ipv4.tcp_tw_reuse`.
    pub fn set(&self, knob: &str, value: &str) {
        assert!(knob.starts_with("net."), "{knob}: not a namespace's own");
        let namespace = |path: &str| std::fs::read_link(path).expect("a namespace");
        assert_ne!(namespace(HERE), namespace(OUTSIDE), "{knob}: this thread is not inside");
        let path = sysctl(knob);
        std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}={value}: {error}"));
    }

    /// Reads a sysctl as this namespace sees it.
    pub fn get(&self, knob: &str) -> String {
        let path = sysctl(knob);
        let text = std::fs::read_to_string(&path);
        text.unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    }

    /// Adds a rule to the firewall of this namespace: packets on their way in.
    pub fn drop_incoming(&self, packets: &str) {
        self.filter_incoming(packets, "drop");
    }

    /// The same, and what is to become of them.
    pub fn filter_incoming(&self, packets: &str, verdict: &str) {
        self.nft(&format!("add rule inet ringshot input {packets} counter {verdict}"));
    }

    /// `ip`, with arguments as a shell would split them.
    pub fn ip(&self, arguments: &str) {
        self.run("ip", &arguments.split_whitespace().collect::<Vec<_>>());
    }

    /// Switches connection tracking on in this namespace.
    pub fn track_connections(&self) {
        self.nft("add rule inet ringshot input ct state established,new counter accept");
    }

    fn nft(&self, rule: &str) {
        self.run("nft", &["add table inet ringshot"]);
        let chain = "add chain inet ringshot input { type filter hook input priority 0; }";
        self.run("nft", &[chain]);
        self.run("nft", &[rule]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        let output = command.args(arguments).stdin(Stdio::null()).output().expect(program);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {told}");
    }

    /// A counter since the namespace was made, as `nstat` names it: `TcpExtListenOverflows`.
    pub fn counter(&self, name: &str) -> u64 {
        ["snmp", "netstat"]
            .iter()
            .find_map(|file| {
                let text = self.file(file);
                let lines: Vec<&str> = text.lines().collect();
                // Two lines each: `TcpExt: name name ...` and `TcpExt: value value ...`.
                lines.chunks_exact(2).find_map(|pair| {
                    let (group, names) = pair[0].split_once(':')?;
                    let (_, values) = pair[1].split_once(':')?;
                    let wanted = name.strip_prefix(group)?;
                    let at = names.split_whitespace().position(|name| name == wanted)?;
                    values.split_whitespace().nth(at)?.parse().ok()
                })
            })
            .unwrap_or_else(|| panic!("this kernel has no {name}"))
    }

    /// A column of `/proc/net/stat/nf_conntrack`, over all processors; `entries` is not a sum.
    pub fn conntrack(&self, column: &str) -> u64 {
        let text = self.file("stat/nf_conntrack");
        let mut rows = text.lines().map(|line| line.split_whitespace());
        let at = rows.next().and_then(|mut names| names.position(|name| name == column));
        let at = at.unwrap_or_else(|| panic!("no column {column}"));
        let value =
            |mut row: std::str::SplitWhitespace<'_>| row.nth(at).expect("a value").to_owned();
        rows.map(|row| u64::from_str_radix(&value(row), 16).expect("a number")).sum()
    }

    /// Connections to a port, as the side that connected has them.
    pub fn established(&self, port: u16) -> usize {
        let text = self.file("tcp");
        let is_one = |line: &&str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            columns[3] == "01" && columns[2].ends_with(&format!(":{port:04X}"))
        };
        text.lines().skip(1).filter(is_one).count()
    }

    /// Sockets in TIME_WAIT: those that connected to a port, and those that listened on it.
    pub fn time_wait(&self, port: u16) -> (usize, usize) {
        let mut owners = (0, 0);
        for file in ["tcp", "tcp6"] {
            for line in self.file(file).lines().skip(1) {
                // sl: local_address:port remote_address:port state ...
                let columns: Vec<&str> = line.split_whitespace().collect();
                let is = |address: &str| address.ends_with(&format!(":{port:04X}"));
                match columns[3] {
                    "06" if is(columns[2]) => owners.0 += 1,
                    "06" if is(columns[1]) => owners.1 += 1,
                    _ => {}
                }
            }
        }
        owners
    }

    fn file(&self, name: &str) -> String {
        // /proc/net is the one of the process's first thread, which is outside.
        let path = format!("/proc/thread-self/net/{name}");
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

fn sysctl(knob: &str) -> String {
    format!("/proc/sys/{}", knob.replace('.', "/"))
}
