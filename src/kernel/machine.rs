//! What the whole machine does: its CPUs, its memory, its interfaces.
//!
//! ```text
//!   /proc/stat     cpu1  user nice system idle iowait irq softirq steal ...   ticks since boot
//!   /proc/meminfo  MemAvailable                                              now
//!   /proc/net/dev  bytes and packets of every interface                      since it came up
//! ```
//!
//! Three small files; measured: 0.2 ms in all on two CPUs. The interfaces are those of this network
//! namespace, the rest is of the machine or of what the container shows of it. What goes through a
//! bond or a bridge goes through the interfaces that belong to it too, so only these are counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where the kernel says what each CPU is.
pub(crate) const CPUS: &str = "/sys/devices/system/cpu";

/// Where the kernel says what interfaces are.
const INTERFACES: &str = "/sys/class/net";

/// What one CPU has done since boot, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// With whatever: programs, the kernel, interrupts.
    pub busy: u64,
    /// Of that, delivering packets and the like.
    pub softirq: u64,
    /// Not run, because the hypervisor ran another machine.
    pub steal: u64,
    /// Everything, idling included.
    pub total: u64,
}

/// What went through the interfaces since they came up, bonds and bridges left out. A packet that is
/// forwarded from one to another, or goes through a VLAN's, counts on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub receive_bytes: u64,
    pub send_bytes: u64,
    pub receive_packets: u64,
    pub send_packets: u64,
}

/// The machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The CPUs that are online, by number.
    pub cpus: BTreeMap<usize, CpuTime>,
    /// What is left of the memory.
    pub memory_available_bytes: Option<u64>,
    /// All interfaces together, see [`Traffic`].
    pub traffic: Option<Traffic>,
}

impl Machine {
    /// Asks the kernel.
    pub(crate) fn read() -> Machine {
        Machine {
            cpus: cpus(&fs::read_to_string("/proc/stat").unwrap_or_default()),
            memory_available_bytes: memory_available_bytes(),
            traffic: traffic(),
        }
    }
}

/// What is left of the memory, caches that can be dropped included; one line of fifty.
pub(crate) fn memory_available_bytes() -> Option<u64> {
    bytes_of("MemAvailable:", &fs::read_to_string("/proc/meminfo").ok()?)
}

pub(crate) fn memory_bytes() -> Option<u64> {
    bytes_of("MemTotal:", &fs::read_to_string("/proc/meminfo").ok()?)
}

/// The name of the first processor.
pub(crate) fn cpu_model() -> Option<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(model.split_once(':')?.1.trim().to_owned())
}

/// How a CPU chooses its frequency; `None` where the kernel does not report it, as in most virtual
/// machines.
pub(crate) fn governor(cpu: usize) -> Option<String> {
    let governor = fs::read_to_string(format!("{CPUS}/cpu{cpu}/cpufreq/scaling_governor")).ok()?;
    Some(governor.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The CPUs by the core that they are on, as far as the kernel reports it in a folder for each
/// below `folder`, such as [`CPUS`].
pub(crate) fn cores(folder: &Path, cpus: &[usize]) -> Vec<Vec<usize>> {
    let mut cores: Vec<(String, Vec<usize>)> = Vec::new();
    for &cpu in cpus {
        let path = folder.join(format!("cpu{cpu}/topology/thread_siblings_list"));
        // The same text for all CPUs of a core.
        let siblings = fs::read_to_string(path).unwrap_or_else(|_| cpu.to_string());
        match cores.iter_mut().find(|(known, _)| *known == siblings) {
            Some((_, core)) => core.push(cpu),
            None => cores.push((siblings, vec![cpu])),
        }
    }
    cores.into_iter().map(|(_, core)| core).collect()
}

/// What a line with this label says in kB, in bytes.
pub(super) fn bytes_of(label: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The lines of `/proc/stat` that have a CPU's number. (The crate numbers them by their position,
/// which is another one when a CPU is offline.)
fn cpus(stat: &str) -> BTreeMap<usize, CpuTime> {
    let lines = stat.lines().take_while(|line| line.starts_with("cpu"));
    lines.filter_map(|line| cpu(line.strip_prefix("cpu")?)).collect()
}

fn cpu(line: &str) -> Option<(usize, CpuTime)> {
    let mut words = line.split_ascii_whitespace();
    // The sum of all has no number, and so is none.
    let number = words.next().filter(|_| !line.starts_with(' '))?.parse().ok()?;
    let ticks: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    let &[user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return None;
    };
    // What follows, the time of guests, is in user and nice already.
    let busy =
        [nice, system, irq, softirq].iter().fold(user, |sum, &part| sum.saturating_add(part));
    let total = [idle, iowait, steal].iter().fold(busy, |sum, &part| sum.saturating_add(part));
    Some((number, CpuTime { busy, softirq, steal, total }))
}

fn traffic() -> Option<Traffic> {
    let interfaces = procfs::net::dev_status().ok()?;
    let own = interfaces.values().filter(|one| !is_made_of_others(INTERFACES, &one.name));
    Some(own.fold(Traffic::default(), |sum, one| Traffic {
        receive_bytes: sum.receive_bytes.saturating_add(one.recv_bytes),
        send_bytes: sum.send_bytes.saturating_add(one.sent_bytes),
        receive_packets: sum.receive_packets.saturating_add(one.recv_packets),
        send_packets: sum.send_packets.saturating_add(one.sent_packets),
    }))
}

/// Whether it is a bond or a bridge.
fn is_made_of_others(sys: impl AsRef<Path>, interface: &str) -> bool {
    let folder = sys.as_ref().join(interface);
    ["bonding", "bridge"].iter().any(|kind| folder.join(kind).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bonds_and_bridges_are_made_of_others() {
        let sys = tempfile::tempdir().unwrap();
        for folder in ["eth0/brport", "bond0/bonding", "docker0/bridge"] {
            fs::create_dir_all(sys.path().join(folder)).unwrap();
        }
        for (interface, expected) in
            [("eth0", false), ("bond0", true), ("docker0", true), ("lo", false)]
        {
            assert_eq!(is_made_of_others(&sys, interface), expected, "{interface}");
        }
        assert!(!is_made_of_others(INTERFACES, "lo"));
    }

    #[test]
    fn cpus_keep_their_numbers_when_one_is_offline() {
        let stat = "cpu  30 0 3 300 6 0 9 12 0 0\n\
                    cpu0 10 1 2 100 3 4 5 6 10 0\n\
                    cpu2 20 0 1 200 3 0 4 6 0 0\n\
                    intr 12 0 1\ncpu9 1 1 1 1 1 1 1 1\n";
        let found = cpus(stat);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(found[&0], CpuTime { busy: 22, softirq: 5, steal: 6, total: 131 });
    }

    #[test]
    fn lines_of_another_shape_are_no_cpus() {
        for text in
            ["", "cpu", "cpu0", "cpu0 1 2 3", "cpux 1 2 3 4 5 6 7 8", "cpu0 1 2 3 4 5 6 7 -8"]
        {
            assert!(cpus(text).is_empty(), "{text:?}");
        }
        let most = format!("cpu1 {0} {0} {0} {0} {0} {0} {0} {0}", u64::MAX);
        assert_eq!(cpus(&most)[&1].total, u64::MAX);
    }

    #[test]
    fn memory_is_read_as_the_kernel_prints_it() {
        for (text, bytes) in [
            ("MemTotal:  9 kB\nMemAvailable:   24000 kB\nBuffers: 1 kB\n", Some(24_576_000)),
            ("MemAvailable: 24000\n", None),
            ("MemAvailable: 18446744073709551615 kB", None),
            ("", None),
        ] {
            assert_eq!(bytes_of("MemAvailable:", text), bytes, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_a_cpu_memory_and_a_loopback() {
        let machine = Machine::read();
        assert!(machine.cpus.values().any(|cpu| cpu.busy > 0 && cpu.total > cpu.busy));
        assert!(machine.memory_available_bytes.is_some_and(|bytes| bytes > 0));
        assert!(machine.traffic.is_some());
    }
}
