//! A limit that a run has to keep, as given to `--slo`.
//!
//! ```text
//!   service.p99.9 <= 20ms        errors < 0.1%        rate > 20k        connections > 10k
//!   latency stat.   bound (us)     (ratio)              (per s)           (per s)
//!
//!   text ──parse──► Limit
//!     ▲───Display────┘
//! ```

mod text;

/// A condition on the numbers of a run, such as `total.p99<5ms`.
///
/// [`Display`](std::fmt::Display) writes the canonical form, which [`Limit::parse`] reads back to
/// an equal limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub(crate) quantity: Quantity,
    pub(crate) relation: Relation,
    /// In the unit of the quantity; finite and not negative.
    pub(crate) bound: f64,
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quantity {
    /// One statistic of one latency.
    Latency(LatencyName, Statistic),
    /// The share of requests that did not end well.
    Errors,
    /// Requests per second that ended well.
    Rate,
    Connections,
}

/// The latencies, by the names that they have in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LatencyName {
    Total,
    Service,
    Connect,
    FirstByte,
    Uncorrected,
}

/// Which statistic of a latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Statistic {
    Min,
    Mean,
    Max,
    /// Above 0 and below 100.
    Percentile(f64),
}

/// On which side of the bound the measured value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Limit {
    /// Reads a limit such as `p99<5ms`, `service.p99.9 <= 20 ms`, `errors<0.1%` or `rate>20k`.
    ///
    /// # Errors
    ///
    /// What a usage line says after `--slo TEXT: `: the accepted form, with an example.
    pub fn parse(text: &str) -> Result<Limit, String> {
        text::limit(text)
    }

    /// Whether this is a limit of `uncorrected`, which only a paced run has.
    pub fn is_of_uncorrected(&self) -> bool {
        matches!(self.quantity, Quantity::Latency(LatencyName::Uncorrected, _))
    }

    /// Whether more load can keep it where less breaks it, as with `rate>20k`.
    pub fn asks_for_load(&self) -> bool {
        matches!(self.quantity, Quantity::Rate | Quantity::Connections)
            && matches!(self.relation, Relation::Above | Relation::AtLeast)
    }
}

impl Quantity {
    /// Of the bound, and of what is measured.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Quantity::Latency(..) => "us",
            Quantity::Errors => "ratio",
            Quantity::Rate | Quantity::Connections => "per_s",
        }
    }
}

#[cfg(test)]
mod tests;
