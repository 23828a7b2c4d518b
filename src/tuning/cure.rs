//! Cures that other parts of the program name: commands in backticks, ready to be pasted.

use super::catalogue::{Adjustment, KnobKind, catalogue, numbers};
use crate::engine::ports::Ports;
use std::net::SocketAddr;

/// How to raise a sysctl to what is needed, or to the catalogue's value where that is more. `None`
/// if there is nothing to do, or if the setting does not take a single number.
///
/// Never names a value below the current one.
pub fn raise(name: &str, current: Option<u64>, needed: u64) -> Option<String> {
    if current.is_some_and(|current| current >= needed) {
        return None;
    }
    let knob = catalogue().knob(name);
    if knob.is_some_and(|knob| knob.kind != KnobKind::Sysctl || knob.change == Adjustment::Widen) {
        return None;
    }
    let recommended = knob
        .and_then(|knob| numbers(knob.recommended.as_deref()?)?.first().copied())
        .and_then(|value| u64::try_from(value).ok());
    Some(match recommended {
        // Larger than the current value, too, which is too small.
        Some(value) if value >= needed => {
            format!("`sysctl -w {name}={value}` or `ringshot tune apply --knob {name}`")
        }
        _ => format!("`sysctl -w {name}={needed}`"),
    })
}

/// More source addresses towards a target, or a wider range.
pub fn more_ports(ports: &Ports, target: SocketAddr) -> String {
    // All of 127.0.0.0/8 is there without being configured.
    let addresses = match target.is_ipv4() && target.ip().is_loopback() {
        true => "more source addresses: --source-ip 127.0.0.2,127.0.0.3,127.0.0.4",
        false => "more source addresses: `ip address add ADDRESS dev DEVICE`, then --source-ip",
    };
    let recommended = catalogue().knob("net.ipv4.ip_local_port_range");
    let recommended = recommended.and_then(|knob| knob.target(&range(ports)));
    match (ports.named, recommended) {
        (true, _) => format!("{addresses}; or a wider range for --source-ports"),
        (false, Some(wider)) => format!(
            "{addresses}; or more ports: `sysctl -w net.ipv4.ip_local_port_range='{wider}'`"
        ),
        (false, None) => addresses.into(),
    }
}

/// As the kernel prints it.
fn range(ports: &Ports) -> String {
    format!("{} {}", ports.range.start(), ports.range.end())
}

/// How to keep connections to and from a port out of connection tracking.
///
/// Both directions in both hooks: over loopback every packet passes both, and a single one that is
/// not exempted makes an entry, whichever side sent it. `nft delete table inet ringshot_raw` undoes
/// it.
pub fn notrack(port: u16) -> String {
    format!("`{}`", notrack_commands(&port.to_string()))
}

fn notrack_commands(port: &str) -> String {
    const TABLE: &str = "inet ringshot_raw";
    const HOOKS: [&str; 2] = ["output", "prerouting"];
    let chain = |hook| {
        format!("nft 'add chain {TABLE} {hook} {{ type filter hook {hook} priority raw; }}'")
    };
    let rules = |hook| {
        ["dport", "sport"]
            .map(|end| format!("nft add rule {TABLE} {hook} tcp {end} {port} notrack"))
    };
    let mut commands = vec![format!("nft add table {TABLE}")];
    commands.extend(HOOKS.map(chain));
    commands.extend(HOOKS.into_iter().flat_map(rules));
    commands.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_raised_to_what_suffices_and_never_lowered() {
        const BACKLOG: &str = "net.core.somaxconn";
        let both = |name: &str, value: u64| {
            format!("`sysctl -w {name}={value}` or `ringshot tune apply --knob {name}`")
        };
        let alone = |name: &str, value: u64| format!("`sysctl -w {name}={value}`");
        for (name, current, needed, cure) in [
            // What is enough stays.
            (BACKLOG, Some(4096), 4096, None),
            (BACKLOG, Some(65_535), 20_000, None),
            (BACKLOG, Some(4096), 0, None),
            ("fs.file-max", Some(i64::MAX as u64), 3_000_000, None),
            // The catalogue's value is enough.
            (BACKLOG, Some(4096), 4097, Some(both(BACKLOG, 16_384))),
            (BACKLOG, Some(16_383), 16_384, Some(both(BACKLOG, 16_384))),
            (BACKLOG, None, 10, Some(both(BACKLOG, 16_384))),
            ("net.ipv4.tcp_timestamps", Some(0), 1, Some(both("net.ipv4.tcp_timestamps", 1))),
            // It is not.
            (BACKLOG, Some(4096), 16_385, Some(alone(BACKLOG, 16_385))),
            (BACKLOG, Some(20_000), 30_000, Some(alone(BACKLOG, 30_000))),
            (BACKLOG, None, 30_000, Some(alone(BACKLOG, 30_000))),
            // There is none.
            ("fs.nr_open", Some(1024), 2048, Some(alone("fs.nr_open", 2048))),
            ("net.ipv4.no_knob", Some(1), 2, Some(alone("net.ipv4.no_knob", 2))),
            // Not to be set to a number with sysctl.
            ("net.ipv4.ip_local_port_range", Some(1), 2, None),
            ("nofile", Some(1024), 2048, None),
        ] {
            assert_eq!(raise(name, current, needed), cure, "{name} {current:?} {needed}");
        }
    }

    #[test]
    fn both_directions_are_exempted_in_both_hooks() {
        for port in [1, 80, 65_535] {
            let line = notrack(port);
            let commands = line.strip_prefix('`').and_then(|line| line.strip_suffix('`'));
            let commands = commands.expect("one line in backticks");
            assert!(!commands.contains(['`', '\n']), "{commands}");
            assert!(commands.starts_with("nft add table inet ringshot_raw; "), "{commands}");
            for hook in ["output", "prerouting"] {
                let chain = format!(
                    "; nft 'add chain inet ringshot_raw {hook} {{ type filter hook {hook} priority \
                     raw; }}'; "
                );
                assert!(commands.contains(&chain), "{commands}");
                for end in ["dport", "sport"] {
                    let rule = format!("nft add rule inet ringshot_raw {hook} tcp {end} {port} ");
                    assert!(commands.contains(&rule), "{commands}");
                }
            }
        }
    }

    #[test]
    fn the_catalogue_says_the_same() {
        let knob = catalogue().knob("notrack").expect("in the catalogue");
        let commands = notrack_commands("PORT");
        assert!(knob.rule.starts_with(&format!("`{commands}`.")), "{commands}\n{}", knob.rule);
    }
}
