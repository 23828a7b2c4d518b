//! Numbers as a person reads them.
//!
//! Units are tables, not ifs. Three significant digits are what the histograms hold, so no time
//! is printed with more.

/// A unit's size in the base unit, and its name; smallest first.
type Units = [(f64, &'static str)];

const TIME_US: &Units = &[(1.0, "µs"), (1e3, "ms"), (1e6, "s")];
const BYTES: &Units = &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")];
const WRK_BINARY: &[&str] = &["", "K", "M", "G", "T"];

/// The text in place of a missing number.
pub const NOTHING: &str = "-";

/// Microseconds: `7 µs`, `1.23 ms`, `45.6 s`.
pub fn time_us(us: f64) -> String {
    in_units(us, TIME_US)
}

/// Microseconds as [`time_us`] has them; [`NOTHING`] where nothing was measured.
pub fn latency_us(us: Option<u64>) -> String {
    us.map_or(NOTHING.into(), |us| time_us(us as f64))
}

/// A rate with its unit, `101,234/s`; [`NOTHING`] where nothing was measured.
pub fn per_s(per_s: Option<f64>) -> String {
    per_s.map_or(NOTHING.into(), |per_s| format!("{}/s", rate(per_s)))
}

/// Seconds as a person says them: `10 s`, `3.21 s`, `450 ms`.
pub fn seconds(s: f64) -> String {
    match s {
        s if s >= 1.0 => format!("{} s", trimmed(three_digits(s))),
        s => time_us(s * 1e6),
    }
}

/// Bytes in units of 1000: `512 B`, `1.59 MB`.
pub fn bytes(count: u64) -> String {
    in_units(count as f64, BYTES)
}

/// A rate: three digits at least, no fraction where it would only be noise.
pub fn rate(per_s: f64) -> String {
    match per_s {
        r if !r.is_finite() => NOTHING.into(),
        r if r >= 99.95 => count(r.round() as u64),
        r if r > 0.0 => three_digits(r),
        _ => "0".into(),
    }
}

/// By which part something has changed: `+4.2%`, `-49%`, `0%`; from nothing there is no part.
pub fn percent_change(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0%".into(),
        p if p.is_infinite() => "from none".into(),
        p if p.abs() < 9.95 => format!("{p:+.1}%"),
        p => format!("{p:+.0}%"),
    }
}

/// A count with its thousands apart: `1,012,340`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count and its noun: `1 thread`, `64 connections`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A share of a time in whole percent: `47%`.
pub fn share(ratio: f64) -> String {
    format!("{:.0}%", ratio * 100.0)
}

/// CPU time over wall time: `0.97 CPUs`.
pub fn cpus_used(ratio: f64) -> String {
    format!("{} CPUs", three_digits(ratio))
}

/// CPU numbers as one writes them for taskset: `0,2-3`.
pub fn cpu_list(cpus: &[usize]) -> String {
    let mut sorted = cpus.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
        .chunk_by(|a, b| a.checked_add(1) == Some(*b))
        .map(|run| match run {
            [one] => one.to_string(),
            [first, second] => format!("{first},{second}"),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect::<Vec<_>>()
        .join(",")
}

/// Bytes per second as wrk prints them, without its final `B`: `1.59M`. Scripts parse this.
///
/// A unit starts at 0.85 of itself, and petabytes are never reached, both as in wrk.
pub fn wrk_binary(amount: f64) -> String {
    let mut left = amount;
    let mut unit = 0;
    while unit + 1 < WRK_BINARY.len() && left >= 1024.0 * 0.85 {
        left /= 1024.0;
        unit += 1;
    }
    format!("{left:.2}{}", WRK_BINARY[unit])
}

/// The largest unit in which the amount, once rounded to three digits, is not below one.
fn in_units(amount: f64, units: &Units) -> String {
    if !amount.is_finite() {
        return NOTHING.into();
    }
    // The unit is chosen after rounding: 999.6 µs is 1.00 ms, not 1000 µs.
    let unit = units.iter().rev().find(|(size, _)| amount / size >= 0.9995);
    let (size, name) = unit.unwrap_or(&units[0]);
    let value = amount / size;
    // What was counted in the base unit itself has no fraction to show.
    if *size == 1.0 && value.fract() == 0.0 {
        return format!("{value} {name}");
    }
    format!("{} {name}", three_digits(value))
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// `10.0` to `10`: for times that a person chose.
fn trimmed(number: String) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').into(),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_the_unit_that_fits() {
        for (us, text) in [
            (0.0, "0 µs"),
            (0.4567, "0.46 µs"),
            (7.0, "7 µs"),
            (7.416, "7.42 µs"),
            (610.0, "610 µs"),
            (610.4, "610 µs"),
            (999.0, "999 µs"),
            (999.6, "1.00 ms"),
            (1_000.0, "1.00 ms"),
            (1_234.0, "1.23 ms"),
            (9_996.0, "10.0 ms"),
            (99_960.0, "100 ms"),
            (999_400.0, "999 ms"),
            (999_600.0, "1.00 s"),
            (10_000_000.0, "10.0 s"),
            (3_600_000_000.0, "3600 s"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(time_us(us), text, "{us} µs");
        }
    }

    #[test]
    fn seconds_are_said_without_needless_zeros() {
        for (s, text) in [
            (10.0, "10 s"),
            (10.004, "10 s"),
            (3.214, "3.21 s"),
            (300.0, "300 s"),
            (0.45, "450 ms"),
            (0.0, "0 µs"),
        ] {
            assert_eq!(seconds(s), text, "{s} s");
        }
    }

    #[test]
    fn counts_rates_and_bytes() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_012_340, "1,012,340")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "thread"), "1 thread");
        assert_eq!(counted(2_000, "connection"), "2,000 connections");
        for (per_s, text) in [
            (0.0, "0"),
            (0.5, "0.50"),
            (9.876, "9.88"),
            (98.76, "98.8"),
            (99.96, "100"),
            (101_234.4, "101,234"),
            (f64::INFINITY, "-"),
        ] {
            assert_eq!(rate(per_s), text, "{per_s}/s");
        }
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_590_000), "1.59 MB");
    }

    #[test]
    fn bytes_are_wrk_s_to_the_digit() {
        for (amount, text) in [
            (0.0, "0.00"),
            (870.0, "870.00"),
            (870.4, "0.85K"),
            (1_024.0, "1.00K"),
            (1_667_236.0, "1.59M"),
            (1_073_741_824.0, "1.00G"),
            (5e15, "4547.47T"),
        ] {
            assert_eq!(wrk_binary(amount), text, "{amount}");
        }
    }

    #[test]
    fn shares_and_cpus() {
        assert_eq!((share(0.468).as_str(), share(0.0).as_str()), ("47%", "0%"));
        assert_eq!(
            (cpus_used(0.974).as_str(), cpus_used(12.04).as_str()),
            ("0.97 CPUs", "12.0 CPUs")
        );
    }

    #[test]
    fn cpus_are_listed_as_for_taskset() {
        assert_eq!(cpu_list(&[]), "");
        assert_eq!(cpu_list(&[1]), "1");
        assert_eq!(cpu_list(&[1, 0]), "0,1");
        assert_eq!(cpu_list(&[0, 2, 3, 4, 9]), "0,2-4,9");
    }
}
