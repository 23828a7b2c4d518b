//! The forms that flag values have. Every error names the flag, the value and the accepted form.

use super::CpuChoice;
use crate::engine::driver::EngineChoice;
use crate::engine::driver::uring::Tier;
use crate::engine::pace::Arrivals;
use crate::engine::pace::curve::RateStage;
use crate::engine::policy::CloseMode;
use crate::engine::ports::PortChoice;
use crate::words::UsageError;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longer than any user waits, short enough for every sum of nanoseconds.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

fn refuse<T>(flag: &str, value: &str, accepted: &str) -> Result<T, UsageError> {
    Err(UsageError(format!("{flag} {}: {accepted}", value.escape_debug())))
}

/// A whole number from 1 on; `k`, `M` and `G` stand for thousands, millions and billions.
pub(crate) fn count(flag: &str, text: &str) -> Result<u64, UsageError> {
    count_from(1, flag, text)
}

/// The same from `least` on.
pub(super) fn count_from(least: u64, flag: &str, text: &str) -> Result<u64, UsageError> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match number {
        Some(number) if plain && number >= least => Ok(number),
        _ => {
            let accepted = format!("give a whole number from {least} on, such as 64 or 10k");
            refuse(flag, text, &accepted)
        }
    }
}

pub(super) fn optional_count(flag: &str, text: Option<&str>) -> Result<Option<u64>, UsageError> {
    text.map(|text| count(flag, text)).transpose()
}

pub(crate) fn within_u32(flag: &str, number: u64, max: u32) -> Result<u32, UsageError> {
    match u32::try_from(number) {
        Ok(small) if small <= max => Ok(small),
        _ => refuse(flag, &number.to_string(), &format!("at most {max} are accepted")),
    }
}

/// A length of time above zero: `10s`, `1.5s`, `500ms`, `2m`, `1h`; a bare number means seconds.
pub(crate) fn duration(flag: &str, text: &str) -> Result<Duration, UsageError> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_per_unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * seconds_per_unit;
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
    if !plain || duration.is_zero() || duration > DURATION_MAX {
        return refuse(
            flag,
            text,
            "give a length of time above zero and up to a year, such as 500ms, 10s, 2m or 1h",
        );
    }
    Ok(duration)
}

pub(super) fn close_mode(text: &str) -> Result<CloseMode, UsageError> {
    [CloseMode::Server, CloseMode::Client, CloseMode::Rst]
        .into_iter()
        .find(|mode| mode.name() == text)
        .map_or_else(|| refuse("--close", text, "give server, client or rst"), Ok)
}

pub(super) fn engine(text: &str) -> Result<EngineChoice, UsageError> {
    EngineChoice::ALL
        .into_iter()
        .find(|choice| choice.name() == text)
        .map_or_else(|| refuse("--engine", text, "give auto, io_uring or epoll"), Ok)
}

pub(super) fn ring_tier(text: &str) -> Result<Tier, UsageError> {
    [Tier::Basic, Tier::Plain, Tier::Direct]
        .into_iter()
        .find(|tier| tier.name() == text)
        .map_or_else(|| refuse("--ring-tier", text, "give direct, plain or basic"), Ok)
}

/// A method is a token (RFC 9110 §9.1), taken as it is typed.
pub(super) fn method(text: Option<&str>, has_body: bool) -> Result<String, UsageError> {
    let text = text.unwrap_or(if has_body { "POST" } else { "GET" });
    match http::Method::from_bytes(text.as_bytes()) {
        // CONNECT opens a tunnel; what follows its answer is not HTTP any more.
        Ok(http::Method::CONNECT) => {
            refuse("--method", text, "ringshot cannot measure a tunnel; give another method")
        }
        Ok(method) => Ok(method.as_str().to_owned()),
        Err(_) => refuse("--method", text, "give an HTTP method such as GET or POST"),
    }
}

/// The form of a header.
pub(super) const HEADER_ACCEPTED: &str =
    "give `Name: value`, without line breaks or other control characters";

/// `Name: value`, with the white space around the value removed.
pub(super) fn header(flag: &str, text: &[u8]) -> Result<(String, Vec<u8>), UsageError> {
    let Some(colon) = text.iter().position(|&byte| byte == b':') else {
        // Neither the value nor a name that might be half of one is shown: it may be a secret.
        return refuse(flag, "", HEADER_ACCEPTED);
    };
    let (name, value) = (String::from_utf8_lossy(&text[..colon]), &text[colon + 1..]);
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |at| at + 1);
    let value = &value[from..to];
    // A part that is not a name may belong to the secret, too.
    if http::HeaderName::from_bytes(&text[..colon]).is_err() {
        return refuse(flag, "", HEADER_ACCEPTED);
    }
    match http::HeaderValue::from_bytes(value) {
        Ok(_) => Ok((name.into_owned(), value.to_vec())),
        Err(_) => refuse(flag, &name, HEADER_ACCEPTED),
    }
}

/// `0,2-3` or `none`.
pub(super) fn cpus(text: Option<&str>) -> Result<CpuChoice, UsageError> {
    let Some(text) = text else { return Ok(CpuChoice::Auto) };
    if text == "none" {
        return Ok(CpuChoice::Unpinned);
    }
    let mut list = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        match (low.trim().parse::<usize>(), high.trim().parse::<usize>()) {
            (Ok(low), Ok(high)) if low <= high && high < 65_536 => list.extend(low..=high),
            _ => {
                return refuse("--cpus", text, "give CPU numbers such as 0,2-3, or none");
            }
        }
    }
    Ok(CpuChoice::List(list))
}

/// `auto`, `kernel` or `LOW-HIGH`.
pub(super) fn source_ports(text: &str) -> Result<PortChoice, UsageError> {
    const FLAG: &str = "--source-ports";
    match text {
        "auto" => return Ok(PortChoice::Auto),
        "kernel" => return Ok(PortChoice::Kernel),
        _ => {}
    }
    let ends = text.split_once('-').map(|(low, high)| (low.parse::<u16>(), high.parse::<u16>()));
    match ends {
        Some((Ok(0), Ok(_))) => refuse(FLAG, text, "ports start at 1"),
        Some((Ok(low), Ok(high))) if low <= high => Ok(PortChoice::Within(low..=high)),
        Some((Ok(low), Ok(high))) => {
            refuse(FLAG, text, &format!("the range is reversed; did you mean {high}-{low}?"))
        }
        _ => refuse(FLAG, text, "give auto, kernel or a range such as 40000-49999 within 1-65535"),
    }
}

/// Something per second: a number above zero, decimals and `k`, `M` allowed.
pub(crate) fn rate(flag: &str, text: &str) -> Result<f64, UsageError> {
    match some_rate(text) {
        Some(rate) if rate > 0.0 => Ok(rate),
        _ => refuse(
            flag,
            text,
            "give a number per second above zero and up to 10M, such as 1000, 2.5k or 0.5",
        ),
    }
}

/// A rate from 0 on.
fn some_rate(text: &str) -> Option<f64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1e3),
        b'm' | b'M' => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let rate = digits.parse::<f64>().ok().filter(|_| plain)? * factor;
    // Where it is not zero, the next request has to be due within a human life.
    (rate == 0.0 || (1e-6..=RATE_MAX).contains(&rate)).then_some(rate)
}

/// Beyond what any machine does; and a much faster schedule would never be worked off.
const RATE_MAX: f64 = 1e7;

/// `10s:1000,30s:1000..20000,10s:0`.
pub(super) fn stages(text: &str) -> Result<Vec<RateStage>, UsageError> {
    const FLAG: &str = "--stages";
    let stage = |part: &str| {
        let Some((time, rates)) = part.split_once(':') else {
            return refuse(FLAG, part, "give TIME:RATE or TIME:FROM..TO, such as 30s:1000..20000");
        };
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        let rate = |text: &str| match some_rate(text.trim()) {
            Some(rate) => Ok(rate),
            None => refuse(FLAG, part, "a rate is a number per second from 0 on, such as 1000"),
        };
        Ok(RateStage {
            duration_s: duration(FLAG, time.trim())?.as_secs_f64(),
            from_per_s: rate(from)?,
            to_per_s: rate(to)?,
        })
    };
    text.split(',').map(stage).collect()
}

pub(super) fn arrivals(text: &str) -> Result<Arrivals, UsageError> {
    [Arrivals::Constant, Arrivals::Poisson]
        .into_iter()
        .find(|arrivals| arrivals.name() == text)
        .map_or_else(|| refuse("--arrivals", text, "give constant or poisson"), Ok)
}

pub(super) fn seed(text: &str) -> Result<u64, UsageError> {
    match text.parse() {
        Ok(seed) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(seed),
        _ => refuse("--seed", text, "give a whole number from 0 on"),
    }
}

/// `2%`.
pub(crate) fn share(flag: &str, text: &str) -> Result<f64, UsageError> {
    let number = text.strip_suffix('%').map(|number| number.parse::<f64>());
    match number {
        Some(Ok(percent)) if (0.1..=50.0).contains(&percent) => Ok(percent / 100.0),
        _ => refuse(flag, text, "give a percentage from 0.1% to 50%, such as 2%"),
    }
}

/// `500ms`, or `100ms..1s`.
pub(super) fn think(text: &str) -> Result<RangeInclusive<Duration>, UsageError> {
    const FLAG: &str = "--think";
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (duration(FLAG, low)?, duration(FLAG, high)?);
    if from > to {
        let cure = format!("the range is reversed; did you mean {high}..{low}?");
        return refuse(FLAG, text, &cure);
    }
    Ok(from..=to)
}
