//! The rows of a run: one a second, and of a long run fewer and longer ones.
//!
//! ```text
//!   up to 3,600 rows     │1│2│3│4│ ... │3599│3600│         a second each
//!   and one more comes   │ 2 │ 4 │ ... │   3600  │3601·    two seconds each, and 1,800 rows
//! ```
//!
//! So a document, and what a run keeps in memory, has a bound that does not depend on its length.
//! Rows are told apart by their ends, so that those of several results lie on the same grid.

use super::second::{HostSecond, Second, ServerSecond};
use crate::statistics::rounded;

/// Rows that are kept.
pub const ROWS_MAX: usize = 3600;

/// What is left of a second at the end of a run belongs to the row before when it is shorter: no
/// rate can be made of it.
const REST_MAX_S: f64 = 0.05;

/// The number of the row that ends at `t_s`.
pub fn row_of(t_s: f64, interval_s: f64) -> f64 {
    ((t_s - REST_MAX_S) / interval_s).ceil().max(0.0)
}

/// Rows of equal length, however long the run gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    rows: Vec<Second>,
    interval_s: f64,
    time_wait_peak: Option<u64>,
}

impl Default for Series {
    fn default() -> Series {
        Series { rows: Vec::new(), interval_s: 1.0, time_wait_peak: None }
    }
}

impl Series {
    /// Nothing yet, in rows of so many seconds, or longer ones.
    pub fn of(interval_s: f64) -> Series {
        Series { interval_s, ..Series::default() }
    }

    /// Takes the next second of the run.
    pub fn push(&mut self, second: Second) {
        self.time_wait_peak = self.time_wait_peak.max(second.time_wait);
        while self.rows.len() >= ROWS_MAX && !self.belongs_to_last(&second) {
            self.interval_s *= 2.0;
            for row in std::mem::take(&mut self.rows) {
                self.add(row);
            }
        }
        self.add(second);
    }

    /// The rows in the order of time, at most [`ROWS_MAX`].
    pub fn rows(&self) -> &[Second] {
        &self.rows
    }

    /// The length of a row in seconds; the last one may be shorter.
    pub fn interval_s(&self) -> f64 {
        self.interval_s
    }

    /// The most sockets in TIME_WAIT at the end of a second.
    pub fn time_wait_peak(&self) -> Option<u64> {
        self.time_wait_peak
    }

    fn belongs_to_last(&self, second: &Second) -> bool {
        let row_of = |t_s: f64| row_of(t_s, self.interval_s);
        self.rows.last().is_some_and(|last| row_of(last.t_s) == row_of(second.t_s))
    }

    fn add(&mut self, second: Second) {
        if !self.belongs_to_last(&second) {
            return self.rows.push(second);
        }
        let begin_s = self.rows.len().checked_sub(2).map_or(0.0, |before| self.rows[before].t_s);
        if let Some(last) = self.rows.last_mut() {
            let (own_s, later_s) = (last.t_s - begin_s, second.t_s - last.t_s);
            *last = std::mem::take(last).joined(own_s, second, later_s);
        }
    }
}

impl Second {
    /// The row that this one, of `own_s` seconds, and the next, of `later_s`, make together: counts
    /// are added, gauges are those of the end, ratios are means over the time. A percentile is the
    /// higher one, as the histograms are gone: that of both together does not exceed it.
    pub fn joined(self, own_s: f64, later: Second, later_s: f64) -> Second {
        let mean = Mean { own_s: own_s.max(0.0), later_s: later_s.max(0.0) };
        let opening_us = |us: Option<f64>, count: u64| us.unwrap_or(0.0) * count as f64;
        let connections = self.connections.saturating_add(later.connections);
        let connect_us = opening_us(self.connect_mean_us, self.connections)
            + opening_us(later.connect_mean_us, later.connections);
        Second {
            t_s: self.t_s.max(later.t_s),
            requests: self.requests.saturating_add(later.requests),
            ok: self.ok.saturating_add(later.ok),
            failed: self.failed.saturating_add(later.failed),
            connections,
            p50_us: self.p50_us.max(later.p50_us),
            p99_us: self.p99_us.max(later.p99_us),
            max_us: self.max_us.max(later.max_us),
            in_flight: later.in_flight,
            connect_mean_us: (connections > 0).then(|| rounded(connect_us / connections as f64, 1)),
            time_wait: later.time_wait,
            generator_cpu_ratio: mean.of_known(self.generator_cpu_ratio, later.generator_cpu_ratio),
            // The worst of what was in it.
            generator_cpu_wait_ratio: highest(
                self.generator_cpu_wait_ratio,
                later.generator_cpu_wait_ratio,
            ),
            generator_throttled_s: match (self.generator_throttled_s, later.generator_throttled_s) {
                (Some(own), Some(later)) => Some(rounded(own + later, 6)),
                (own, later) => later.or(own),
            },
            host: match (self.host, later.host) {
                (Some(own), Some(later)) => Some(mean.of_hosts(own, later)),
                (own, later) => later.or(own),
            },
            server: match (self.server, later.server) {
                (Some(own), Some(later)) => Some(ServerSecond {
                    cpu_ratio: mean.of(own.cpu_ratio, later.cpu_ratio),
                    memory_bytes: later.memory_bytes,
                    descriptors: later.descriptors.or(own.descriptors),
                }),
                (own, later) => later.or(own),
            },
        }
    }
}

/// The higher of what is known.
fn highest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

/// How long the two rows are that a mean is taken of.
#[derive(Clone, Copy)]
struct Mean {
    own_s: f64,
    later_s: f64,
}

impl Mean {
    /// To more digits than a ratio of a second has, as means are taken of means.
    fn of(self, own: f64, later: f64) -> f64 {
        let whole_s = self.own_s + self.later_s;
        match whole_s > 0.0 {
            true => rounded((own * self.own_s + later * self.later_s) / whole_s, 6),
            false => later,
        }
    }

    fn of_known(self, own: Option<f64>, later: Option<f64>) -> Option<f64> {
        match (own, later) {
            (Some(own), Some(later)) => Some(self.of(own, later)),
            (own, later) => later.or(own),
        }
    }

    fn of_hosts(self, own: HostSecond, later: HostSecond) -> HostSecond {
        let sum = |own: Option<u64>, later: Option<u64>| {
            own.zip(later).map(|(own, later)| own.saturating_add(later))
        };
        let cpus = own.cpu_busy_ratio.iter().zip(&later.cpu_busy_ratio);
        HostSecond {
            cpu_busy_ratio: cpus.map(|(own, later)| self.of(*own, *later)).collect(),
            cpu_softirq_ratio: self.of(own.cpu_softirq_ratio, later.cpu_softirq_ratio),
            cpu_steal_ratio: self.of(own.cpu_steal_ratio, later.cpu_steal_ratio),
            memory_available_bytes: later.memory_available_bytes,
            receive_bytes: sum(own.receive_bytes, later.receive_bytes),
            send_bytes: sum(own.send_bytes, later.send_bytes),
            receive_packets: sum(own.receive_packets, later.receive_packets),
            send_packets: sum(own.send_packets, later.send_packets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A second in which the rate and everything else was `value`.
    fn second(t_s: f64, value: u64) -> Second {
        let ratio = value as f64 / 100.0;
        Second {
            t_s,
            requests: value + 1,
            ok: value,
            failed: 1,
            connections: value,
            p50_us: Some(value),
            p99_us: Some(2 * value),
            max_us: (value > 0).then_some(3 * value),
            in_flight: value,
            connect_mean_us: Some(value as f64),
            time_wait: Some(value),
            generator_cpu_ratio: Some(ratio),
            generator_cpu_wait_ratio: Some(ratio),
            generator_throttled_s: Some(ratio),
            host: Some(HostSecond {
                cpu_busy_ratio: vec![ratio, 0.5],
                memory_available_bytes: Some(value),
                receive_bytes: Some(value),
                ..HostSecond::default()
            }),
            server: Some(ServerSecond { cpu_ratio: ratio, memory_bytes: value, descriptors: None }),
        }
    }

    #[test]
    fn two_rows_joined_are_one_of_both() {
        let (own, later) = (second(2.0, 10), second(6.0, 30));
        let joined = own.clone().joined(2.0, later.clone(), 4.0);
        assert_eq!((joined.t_s, joined.requests, joined.ok, joined.failed), (6.0, 42, 40, 2));
        assert_eq!((joined.p50_us, joined.p99_us, joined.max_us), (Some(30), Some(60), Some(90)));
        assert_eq!((joined.in_flight, joined.time_wait), (30, Some(30)));
        // Weighted by the connections, and by the time.
        assert_eq!(joined.connect_mean_us, Some(25.0));
        assert_eq!(joined.generator_cpu_ratio, Some(0.233333));
        assert_eq!(joined.generator_cpu_wait_ratio, Some(0.3));
        assert_eq!(joined.generator_throttled_s, Some(0.4));
        let host = joined.host.unwrap();
        assert_eq!(host.cpu_busy_ratio, [0.233333, 0.5]);
        assert_eq!((host.memory_available_bytes, host.receive_bytes), (Some(30), Some(40)));
        assert_eq!((host.send_bytes, joined.server.unwrap().memory_bytes), (None, 30));

        // What is known of one of them only is of that one.
        let bare =
            Second { p50_us: None, generator_cpu_ratio: None, host: None, server: None, ..later };
        let joined = own.clone().joined(2.0, bare, 4.0);
        assert_eq!(joined.p50_us, own.p50_us);
        assert_eq!((joined.generator_cpu_ratio, &joined.host), (Some(0.1), &own.host));
        assert_eq!(joined.server, own.server);
    }

    #[test]
    fn beyond_an_hour_rows_become_longer() {
        let mut series = Series::default();
        for at in 1..=3600 {
            series.push(second(f64::from(at), 5));
        }
        assert_eq!((series.rows().len(), series.interval_s()), (3600, 1.0));
        series.push(second(3601.0, 50));
        assert_eq!((series.rows().len(), series.interval_s()), (1801, 2.0));
        series.push(second(3602.0, 5));
        series.push(second(3602.04, 5));
        series.push(second(3602.4, 5));
        let rows = series.rows();
        assert_eq!(rows.len(), 1802);
        assert_eq!(
            (rows[0].t_s, rows[0].ok, rows[1800].t_s, rows[1800].ok),
            (2.0, 10, 3602.04, 60)
        );
        assert_eq!((rows[1801].t_s, rows[1801].ok), (3602.4, 5));
        // The most of a second is not lost when a row ends with less.
        assert_eq!((rows[1800].time_wait, series.time_wait_peak()), (Some(5), Some(50)));
    }

    proptest! {
        /// However long the run and its seconds: nothing is lost, and there are never too many rows.
        #[test]
        fn nothing_is_lost_in_rows_of_any_length(
            lengths_s in prop::collection::vec(prop_oneof![9 => Just(1.0), 1 => 0.1..70.0], 1..50),
            seconds in 1usize..20_000,
        ) {
            let mut series = Series::default();
            let (mut t_s, mut most) = (0.0, 0);
            for (at, length_s) in lengths_s.iter().cycle().take(seconds).enumerate() {
                t_s += length_s;
                most = most.max(at as u64 % 1009);
                series.push(second(t_s, at as u64 % 1009));
            }
            let rows = series.rows();
            prop_assert!(rows.len() <= ROWS_MAX);
            prop_assert!(rows.is_sorted_by(|one, other| one.t_s < other.t_s));
            prop_assert_eq!(rows.last().map(|row| row.t_s), Some(t_s));
            prop_assert_eq!(rows.iter().map(|row| row.failed).sum::<u64>(), seconds as u64);
            prop_assert_eq!(rows.iter().filter_map(|row| row.p50_us).max(), Some(most));
            prop_assert_eq!(series.time_wait_peak(), Some(most));
            if lengths_s.iter().all(|length_s| *length_s == 1.0) {
                let expected = seconds.div_ceil(series.interval_s() as usize);
                prop_assert_eq!(rows.len(), expected);
            }
        }
    }
}
