//! Settings of the kernel, by the names that sysctl(8) knows them by.

use std::ops::RangeInclusive;

/// What a kernel uses by default.
const DEFAULT_PORT_RANGE: RangeInclusive<u16> = 32768..=60999;

/// The value of a setting as the kernel prints it, without the line's end; `None` when this kernel
/// does not have it, or this process may not read it.
///
/// `net.ipv4.tcp_tw_reuse` and `net/ipv4/tcp_tw_reuse` are the same setting. An interface whose
/// name has a dot needs the second form, `net/ipv4/conf/eth0.100/rp_filter`, or the one that
/// sysctl(8) prints, `net.ipv4.conf.eth0/100.rp_filter`.
pub(crate) fn read(name: &str) -> Option<String> {
    let value = std::fs::read_to_string(format!("/proc/sys/{}", path(name)?)).ok()?;
    Some(value.trim_end().to_owned())
}

/// The value of a setting that is one number, not negative.
pub(crate) fn number(name: &str) -> Option<u64> {
    read(name)?.parse().ok()
}

/// The ports that the kernel takes source ports from.
pub(crate) fn local_port_range() -> RangeInclusive<u16> {
    read("net.ipv4.ip_local_port_range")
        .and_then(|text| parse_port_range(&text))
        .unwrap_or(DEFAULT_PORT_RANGE)
}

/// The ports of that range that the kernel leaves alone; often none.
pub(crate) fn reserved_ports() -> Vec<RangeInclusive<u16>> {
    read("net.ipv4.ip_local_reserved_ports").map_or_else(Vec::new, |text| parse_port_list(&text))
}

/// Where a setting is below `/proc/sys`. The separator that comes first is the one between the
/// components; where that is the dot, a slash stands for a dot inside a component. `None` for what
/// is no name: it must not lead out of the directory.
pub(crate) fn path(name: &str) -> Option<String> {
    let dotted = name.find(['.', '/']).is_some_and(|first| name[first..].starts_with('.'));
    let swapped = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path = if dotted { name.chars().map(swapped).collect() } else { name.to_owned() };
    path.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(path)
}

/// Whether two values of a sysctl are the same one; the kernel writes tabs where people type
/// spaces.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// `32768 60999`, with a tab between them.
fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = text.split_whitespace();
    let (low, high) = (ends.next()?.parse().ok()?, ends.next()?.parse().ok()?);
    (low <= high).then_some(low..=high)
}

/// `8080,9000-9010`; what is not a port or a range of them is left out.
fn parse_port_list(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |item: &str| -> Option<RangeInclusive<u16>> {
        let item = item.trim();
        let (low, high) = item.split_once('-').unwrap_or((item, item));
        let (low, high) = (low.parse().ok()?, high.parse().ok()?);
        (low <= high).then_some(low..=high)
    };
    text.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_paths_as_in_sysctl() {
        for (name, expected) in [
            ("net.ipv4.tcp_tw_reuse", Some("net/ipv4/tcp_tw_reuse")),
            ("net/ipv4/tcp_tw_reuse", Some("net/ipv4/tcp_tw_reuse")),
            ("net/ipv4/conf/eth0.100/rp_filter", Some("net/ipv4/conf/eth0.100/rp_filter")),
            ("net.ipv4.conf.eth0/100.rp_filter", Some("net/ipv4/conf/eth0.100/rp_filter")),
            ("somaxconn", Some("somaxconn")),
            ("net.ipv4.tcp_mem", Some("net/ipv4/tcp_mem")),
            ("net/ipv4/conf/eth0.1/rp_filter", Some("net/ipv4/conf/eth0.1/rp_filter")),
            ("net.ipv4.conf.eth0/1.rp_filter", Some("net/ipv4/conf/eth0.1/rp_filter")),
            ("", None),
            ("/etc/passwd", None),
            ("net/../../etc/passwd", None),
            ("net.//.//.etc.passwd", None),
            ("net..ipv4", None),
            ("net.ipv4.", None),
        ] {
            assert_eq!(path(name).as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_port_range_is_two_ports_in_order() {
        for (text, expected) in [
            ("32768\t60999", Some(32768..=60999)),
            ("1024 65535", Some(1024..=65535)),
            ("40000 40000", Some(40000..=40000)),
            ("60999 32768", None),
            ("32768", None),
            ("32768 70000", None),
            ("low high", None),
            ("", None),
        ] {
            assert_eq!(parse_port_range(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_port_list_has_ports_and_ranges() {
        for (text, expected) in [
            ("", vec![]),
            ("8080", vec![8080..=8080]),
            ("8080,9000-9010", vec![8080..=8080, 9000..=9010]),
            ("8080, 9000-9010,", vec![8080..=8080, 9000..=9010]),
            ("9010-9000,70000,x-y,-,8080", vec![8080..=8080]),
        ] {
            assert_eq!(parse_port_list(text), expected, "{text:?}");
        }
    }

    #[test]
    fn this_kernel_answers() {
        assert!(number("fs.file-max").is_some_and(|files| files > 0));
        assert_eq!(read("fs/file-max"), read("fs.file-max"));
        assert_eq!(number("net.ipv4.ip_local_port_range"), None, "two numbers are not one");
        assert_eq!(read("net.ipv4.no_such_setting"), None);
        assert!(!local_port_range().is_empty());
        reserved_ports();
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            path(&text);
            parse_port_range(&text);
            parse_port_list(&text);
        }

        #[test]
        fn a_range_survives_being_printed(low in any::<u16>(), high in any::<u16>()) {
            let (low, high) = (low.min(high), low.max(high));
            prop_assert_eq!(parse_port_range(&format!("{low}\t{high}")), Some(low..=high));
            prop_assert_eq!(parse_port_list(&format!("{low}-{high}")), vec![low..=high]);
        }
    }
}
