//! The written form of limits: reading it, and writing it so that it is read back as the same.
//!
//! Numbers change their unit by moving the decimal point, never by multiplying: `0.1%` is the
//! number nearest to 0.001, and is written as `0.1%` again.

use super::{LatencyName, Limit, Quantity, Relation, Statistic};
use std::fmt;

const FORMS: &str = "give a latency such as p99<5ms or service.p99.9<=20ms (total, service, \
                     connect, first_byte or uncorrected, and min, mean, max or pN), errors<0.1%, \
                     rate>20000 or connections>10k";
const STATISTICS: &str = "a latency has min, mean, max, or pN with N above 0 and below 100, such \
                          as total.p50<2ms or service.p99.9<20ms";
const UNIT: &str = "a latency needs a unit: ns, us, ms, s or m, such as p99<5ms";
const DURATION: &str = "give a length of time of up to an hour in ns, us, ms, s or m, such as \
                        p99<5ms or max<1.5s";
const SHARE: &str = "errors are a share of the requests: give a percentage from 0% to 100% or a \
                     ratio below 1, such as errors<0.1% or errors<0.001";
const NUMBER: &str = "give a number per second, such as rate>20000 or connections>10k";

/// Longer latencies count as an hour, so a limit beyond it would never notice one.
const LATENCY_US_MAX: f64 = 3_600_000_000.0;

const LATENCIES: [(&str, LatencyName); 5] = [
    ("total", LatencyName::Total),
    ("service", LatencyName::Service),
    ("connect", LatencyName::Connect),
    ("first_byte", LatencyName::FirstByte),
    ("uncorrected", LatencyName::Uncorrected),
];

/// A relation comes before the one that it starts with.
const RELATIONS: [(&str, Relation); 4] = [
    ("<=", Relation::AtMost),
    ("<", Relation::Below),
    (">=", Relation::AtLeast),
    (">", Relation::Above),
];

/// Units that a latency is written in, longest first, and how many places each is above the
/// microsecond.
const UNITS: [(&str, i32); 4] = [("s", 6), ("ms", 3), ("us", 0), ("ns", -3)];

/// See [`Limit::parse`].
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    let (left, right) = text.split_at(text.find(['<', '>']).ok_or(FORMS)?);
    let quantity = quantity(left.trim())?;
    let (relation, right) = RELATIONS
        .iter()
        .find_map(|(symbol, relation)| Some((*relation, right.strip_prefix(symbol)?)))
        .ok_or(FORMS)?;
    let bound = match quantity {
        Quantity::Latency(..) => duration_us(right.trim()),
        Quantity::Errors => share(right.trim()),
        Quantity::Rate | Quantity::Connections => per_second(right.trim()),
    }?;
    Ok(Limit { quantity, relation, bound })
}

fn quantity(text: &str) -> Result<Quantity, &'static str> {
    match text {
        "errors" => return Ok(Quantity::Errors),
        "rate" => return Ok(Quantity::Rate),
        "connections" => return Ok(Quantity::Connections),
        _ => {}
    }
    for (name, latency) in LATENCIES {
        let Some(rest) = text.strip_prefix(name) else { continue };
        let Some(separated) = rest.trim_start().strip_prefix(['.', ':']).or_else(|| {
            // Without a blank this is one word, and no latency's name.
            rest.starts_with(char::is_whitespace).then_some(rest)
        }) else {
            continue;
        };
        let statistic = statistic(separated.trim_start()).ok_or(STATISTICS)?;
        return Ok(Quantity::Latency(latency, statistic));
    }
    match statistic(text) {
        Some(statistic) => Ok(Quantity::Latency(LatencyName::Total, statistic)),
        // `p100` and the like; anything else is not even meant as a statistic.
        None if text.strip_prefix('p').is_some_and(|n| number(n).is_some()) => Err(STATISTICS),
        None => Err(FORMS),
    }
}

fn statistic(text: &str) -> Option<Statistic> {
    match text {
        "min" => Some(Statistic::Min),
        "mean" => Some(Statistic::Mean),
        "max" => Some(Statistic::Max),
        _ => number(text.strip_prefix('p')?)
            .filter(|percentile| *percentile > 0.0 && *percentile < 100.0)
            .map(Statistic::Percentile),
    }
}

/// A length of time in microseconds.
fn duration_us(text: &str) -> Result<f64, &'static str> {
    let (digits, unit) = split_number(text);
    let number = number(digits).ok_or(DURATION)?;
    let us = match unit {
        "" => return Err(UNIT),
        // The micro sign and the Greek letter look alike, and keyboards have either.
        "µs" | "μs" => number,
        "m" => shifted(number, 6) * 60.0,
        _ => {
            let (_, places) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(DURATION)?;
            shifted(number, *places)
        }
    };
    if us <= LATENCY_US_MAX { Ok(us) } else { Err(DURATION) }
}

/// A share as a ratio from 0 to 1. A bare 1 is refused: `errors<1` is meant as a count, and would
/// be a limit that nearly every run keeps.
fn share(text: &str) -> Result<f64, &'static str> {
    let (digits, unit) = split_number(text);
    match (number(digits), unit) {
        (Some(percent), "%") if percent <= 100.0 => Ok(shifted(percent, -2)),
        (Some(ratio), "") if ratio < 1.0 => Ok(ratio),
        _ => Err(SHARE),
    }
}

/// A number per second; `k`, `M` and `G` as in counts.
fn per_second(text: &str) -> Result<f64, &'static str> {
    let (digits, suffix) = split_number(text);
    let places = match suffix {
        "" => 0,
        "k" | "K" => 3,
        "m" | "M" => 6,
        "g" | "G" => 9,
        _ => return Err(NUMBER),
    };
    let number = shifted(number(digits).ok_or(NUMBER)?, places);
    if number.is_finite() { Ok(number) } else { Err(NUMBER) }
}

/// The number at the front, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Digits with or without decimals: no sign, no exponent, no `inf`.
fn number(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// Moves the decimal point to the right, or to the left for negative places. Exact for numbers of
/// up to 15 digits, where a product would be off by the error of the factor.
fn shifted(number: f64, places: i32) -> f64 {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    format!("{digits}e{}", exponent + places).parse().expect("this is how numbers are written")
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { quantity, relation, bound } = self;
        let relation = name_of(&RELATIONS, *relation);
        match quantity {
            Quantity::Latency(latency, statistic) => {
                write!(f, "{}.{statistic}{relation}", name_of(&LATENCIES, *latency))?;
                let (number, unit) = in_unit(*bound);
                write!(f, "{number}{unit}")
            }
            Quantity::Errors => {
                let percent = shifted(*bound, 2);
                match shifted(percent, -2) == *bound {
                    true => write!(f, "errors{relation}{percent}%"),
                    false => write!(f, "errors{relation}{bound}"),
                }
            }
            Quantity::Rate => write!(f, "rate{relation}{bound}"),
            Quantity::Connections => write!(f, "connections{relation}{bound}"),
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statistic::Min => f.write_str("min"),
            Statistic::Mean => f.write_str("mean"),
            Statistic::Max => f.write_str("max"),
            Statistic::Percentile(percentile) => write!(f, "p{percentile}"),
        }
    }
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, named)| *named == value).map_or("", |(name, _)| name)
}

/// A latency in the longest unit that leaves something before the decimal point, and from which it
/// is read back as the same; microseconds always are.
fn in_unit(us: f64) -> (f64, &'static str) {
    UNITS
        .iter()
        .map(|(unit, places)| (shifted(us, -places), *unit, *places))
        .find(|(number, _, places)| *number >= 1.0 && shifted(*number, *places) == us)
        .map_or((us, "us"), |(number, unit, _)| (number, unit))
}
