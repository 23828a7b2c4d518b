//! Which path asks for what. Pure; nothing here knows hyper.

use std::{ops::RangeInclusive, time::Duration};

use crate::{faults::Faulty, mix::Mix, schedule::Wait};

/// Largest N of `/bytes/N` and `/chunked/N`: 1 GiB.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// Longest delay, in milliseconds: an hour.
const DELAY_MS_MAX: f64 = 3_600_000.0;

/// Rates of `/limited/RATE`, in requests per second.
const RATES: RangeInclusive<f64> = 0.1..=1e6;

/// Times of `/faulty`, in seconds.
const FAULTY_S: RangeInclusive<f64> = 0.1..=3600.0;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Route {
    /// `/`
    Hello,
    /// `/bytes/N`: N bytes with a Content-Length
    Bytes(u64),
    /// `/chunked/N`: N bytes in several chunks
    Chunked(u64),
    /// `/delay/MS`, `/mix/FAST/SLOW/PERCENT`, `/limited/RATE`: hello, later
    Wait(Wait),
    /// `/faulty/PERCENT[/QUIET_S/FAULTY_S]`: hello, or something worse
    Faulty(Faulty),
    /// `/status/CODE`: that status, no body
    Status(u16),
    /// `/close`: hello, then the connection ends
    Close,
    /// `/echo`: the request body back
    Echo,
    /// `/stats`: the counters
    Stats,
    /// A known path with an impossible argument, and what would be possible.
    Bad(&'static str),
    /// Anything else.
    Unknown,
}

impl Route {
    pub(crate) fn parse(path: &str) -> Route {
        match path {
            "/" => return Route::Hello,
            "/close" => return Route::Close,
            "/echo" => return Route::Echo,
            "/stats" => return Route::Stats,
            _ => {}
        }
        let Some((name, argument)) = path.strip_prefix('/').and_then(|p| p.split_once('/')) else {
            return Route::Unknown;
        };
        match name {
            "bytes" => parse_size(argument).map_or(BAD_SIZE, Route::Bytes),
            "chunked" => parse_size(argument).map_or(BAD_SIZE, Route::Chunked),
            "delay" => parse_delay(argument).map_or(BAD_DELAY, |d| Route::Wait(Wait::Delay(d))),
            "mix" => parse_mix(argument).map_or(BAD_MIX, |mix| Route::Wait(Wait::Mix(mix))),
            "limited" => parse_rate(argument).map_or(BAD_RATE, |r| Route::Wait(Wait::Limited(r))),
            "faulty" => parse_faulty(argument).map_or(BAD_FAULTY, Route::Faulty),
            "status" => parse_status(argument).map_or(BAD_STATUS, Route::Status),
            _ => Route::Unknown,
        }
    }
}

const BAD_SIZE: Route = Route::Bad("expected a number of bytes from 0 to 1073741824\n");
const BAD_DELAY: Route = Route::Bad("expected milliseconds from 0 to 3600000, such as 0.5\n");
const BAD_MIX: Route = Route::Bad(
    "expected /mix/FAST/SLOW/PERCENT: twice milliseconds from 0 to 3600000, such as 0.5, and how \
     many of 100 answers are slow, from 0 to 100\n",
);
const BAD_RATE: Route = Route::Bad("expected requests per second from 0.1 to 1000000\n");
const BAD_FAULTY: Route = Route::Bad(
    "expected /faulty/PERCENT or /faulty/PERCENT/QUIET_S/FAULTY_S: how many of 100 requests meet a \
     fault, from 0 to 100, and for how many seconds none and then some do, from 0.1 to 3600\n",
);
const BAD_STATUS: Route = Route::Bad("expected a status code from 200 to 999\n");

fn parse_size(text: &str) -> Option<u64> {
    parse_digits(text)?.parse().ok().filter(|&n| n <= BODY_BYTES_MAX)
}

/// Interim answers (1xx) are left out: a client waits for another answer after one.
fn parse_status(text: &str) -> Option<u16> {
    parse_digits(text)?.parse().ok().filter(|code| (200..=999).contains(code))
}

fn parse_delay(text: &str) -> Option<Duration> {
    let ms = parse_decimal(text).filter(|&ms| ms <= DELAY_MS_MAX)?;
    Some(Duration::from_secs_f64(ms / 1000.0))
}

fn parse_mix(text: &str) -> Option<Mix> {
    let (fast, rest) = text.split_once('/')?;
    let (slow, percent) = rest.split_once('/')?;
    let percent = parse_decimal(percent).filter(|&percent| percent <= 100.0)?;
    Some(Mix { fast: parse_delay(fast)?, slow: parse_delay(slow)?, percent })
}

fn parse_faulty(text: &str) -> Option<Faulty> {
    let (percent, times) = match text.split_once('/') {
        Some((percent, times)) => (percent, Some(times)),
        None => (text, None),
    };
    let percent = parse_decimal(percent).filter(|&percent| percent <= 100.0)?;
    let Some(times) = times else { return Some(Faulty { percent, times: None }) };
    let (quiet, faulty) = times.split_once('/')?;
    let seconds = |text| parse_decimal(text).filter(|seconds| FAULTY_S.contains(seconds));
    let times = [seconds(quiet)?, seconds(faulty)?].map(Duration::from_secs_f64);
    Some(Faulty { percent, times: Some(times) })
}

fn parse_rate(text: &str) -> Option<f64> {
    parse_decimal(text).filter(|rate| RATES.contains(rate))
}

/// `f64` would read `inf`, `1e3` and `-0` as well.
fn parse_decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok() } else { None }
}

/// Integers would read a leading `+` as well.
fn parse_digits(text: &str) -> Option<&str> {
    text.bytes().all(|b| b.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path() {
        let micros = |n| Route::Wait(Wait::Delay(Duration::from_micros(n)));
        let seconds = Duration::from_secs;
        let mix = |fast, slow, percent| {
            let [fast, slow] = [fast, slow].map(Duration::from_micros);
            Route::Wait(Wait::Mix(Mix { fast, slow, percent }))
        };
        let cases = [
            ("/", Route::Hello),
            ("/close", Route::Close),
            ("/echo", Route::Echo),
            ("/stats", Route::Stats),
            ("/bytes/0", Route::Bytes(0)),
            ("/bytes/1073741824", Route::Bytes(1 << 30)),
            ("/bytes/1073741825", BAD_SIZE),
            ("/bytes/99999999999999999999999", BAD_SIZE),
            ("/bytes/", BAD_SIZE),
            ("/bytes/+1", BAD_SIZE),
            ("/bytes/1/", BAD_SIZE),
            ("/chunked/7", Route::Chunked(7)),
            ("/chunked/x", BAD_SIZE),
            ("/delay/20", micros(20_000)),
            ("/delay/0.5", micros(500)),
            ("/delay/.5", micros(500)),
            ("/delay/0", micros(0)),
            ("/delay/3600001", BAD_DELAY),
            ("/delay/inf", BAD_DELAY),
            ("/delay/1e3", BAD_DELAY),
            ("/delay/-1", BAD_DELAY),
            ("/delay/.", BAD_DELAY),
            ("/delay/", BAD_DELAY),
            ("/mix/1/20/5", mix(1_000, 20_000, 5.0)),
            ("/mix/0/0/0", mix(0, 0, 0.0)),
            ("/mix/20/0.5/100", mix(20_000, 500, 100.0)),
            ("/mix/1/2/0.1", mix(1_000, 2_000, 0.1)),
            ("/mix/1/3600000/50", mix(1_000, 3_600_000_000, 50.0)),
            ("/mix/1/3600001/50", BAD_MIX),
            ("/mix/3600001/1/50", BAD_MIX),
            ("/mix/1/2/100.1", BAD_MIX),
            ("/mix/1/2/-1", BAD_MIX),
            ("/mix/1/2/x", BAD_MIX),
            ("/mix/1/2/", BAD_MIX),
            ("/mix/1/2", BAD_MIX),
            ("/mix/1", BAD_MIX),
            ("/mix/", BAD_MIX),
            ("/mix//2/50", BAD_MIX),
            ("/mix/1/2/50/", BAD_MIX),
            ("/mix/1/2/50/1", BAD_MIX),
            ("/mix", Route::Unknown),
            ("/limited/0.1", Route::Wait(Wait::Limited(0.1))),
            ("/limited/3333", Route::Wait(Wait::Limited(3333.0))),
            ("/limited/1000000", Route::Wait(Wait::Limited(1e6))),
            ("/limited/1000000.1", BAD_RATE),
            ("/limited/0.09", BAD_RATE),
            ("/limited/0", BAD_RATE),
            ("/limited/-1", BAD_RATE),
            ("/limited/1e3", BAD_RATE),
            ("/limited/inf", BAD_RATE),
            ("/limited/nan", BAD_RATE),
            ("/limited/", BAD_RATE),
            ("/limited/1/2", BAD_RATE),
            ("/limited", Route::Unknown),
            ("/faulty/1", Route::Faulty(Faulty { percent: 1.0, times: None })),
            (
                "/faulty/0.5/30/10",
                Route::Faulty(Faulty { percent: 0.5, times: Some([seconds(30), seconds(10)]) }),
            ),
            ("/faulty/100.1", BAD_FAULTY),
            ("/faulty/", BAD_FAULTY),
            ("/faulty/1/", BAD_FAULTY),
            ("/faulty/1/30", BAD_FAULTY),
            ("/faulty/1/30/", BAD_FAULTY),
            ("/faulty/1/0/30", BAD_FAULTY),
            ("/faulty/1/30/3601", BAD_FAULTY),
            ("/faulty/1/1/1/1", BAD_FAULTY),
            ("/faulty", Route::Unknown),
            ("/status/200", Route::Status(200)),
            ("/status/999", Route::Status(999)),
            ("/status/199", BAD_STATUS),
            ("/status/100", BAD_STATUS),
            ("/status/1000", BAD_STATUS),
            ("/status/abc", BAD_STATUS),
            ("/bytes", Route::Unknown),
            ("/stats/", Route::Unknown),
            ("/nothing", Route::Unknown),
            ("", Route::Unknown),
            ("*", Route::Unknown),
        ];
        for (path, expected) in cases {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
    }
}
