//! Documents of earlier versions, which had 0 where nothing was measured.

use super::{Connections, Latency, Rate, Report, Second, Warmup};

impl Report {
    /// Works out again what documents of earlier versions do not have, and forgets their zeros of
    /// what was not measured. A document of this version stays as it is.
    pub(crate) fn bring_up_to_date(&mut self) {
        let Connections { opened, failed, .. } = self.connections;
        let took_time = |per_s: Option<f64>| per_s.filter(|_| self.duration_s > 0.0);
        let per_s = [self.rate.requests_per_s, self.rate.connections_per_s].map(took_time);
        self.rate = Rate::of(&self.requests, opened, failed, per_s);
        if self.requests.ok.saturating_add(self.requests.failed) == 0 {
            self.generator.cpu_us_per_request = None;
        }
        let answered = self.latency.total.count > 0;
        if let Some(server) = self.watch.as_mut().and_then(|watch| watch.server.as_mut())
            && (server.ended || !answered)
        {
            server.cpu_us_per_request = None;
        }
        let set = &mut self.latency;
        for latency in [&mut set.connect, &mut set.first_byte, &mut set.service, &mut set.total]
            .into_iter()
            .chain(&mut set.uncorrected)
            .chain(self.schedule.as_mut().map(|schedule| &mut schedule.slip))
        {
            latency.forget_zeros();
        }
        if let Some(Warmup { p50_us, p99_us, max_us, .. }) = &mut self.warmup {
            forget_zeros([p50_us, p99_us, max_us]);
        }
        for Second { p50_us, p99_us, max_us, .. } in &mut self.series {
            forget_zeros([p50_us, p99_us, max_us]);
        }
        for result in self.merged.iter_mut().flat_map(|merged| &mut merged.results) {
            forget_zeros([&mut result.p50_us, &mut result.p99_us]);
        }
    }
}

impl Latency {
    fn forget_zeros(&mut self) {
        if self.count == 0 {
            *self = Latency { hdr: std::mem::take(&mut self.hdr), ..Latency::default() };
        }
    }
}

/// Whole answers never take 0 us: where these have no count, the last of them tells by that.
pub(crate) fn forget_zeros<const N: usize>(latencies: [&mut Option<u64>; N]) {
    if latencies.last().is_some_and(|longest| **longest == Some(0)) {
        latencies.into_iter().for_each(|latency| *latency = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{json, sample};
    use crate::statistics::latency_histogram;
    use serde_json::{Value, json};

    /// A run in which nothing was answered, and which took no time.
    fn nothing() -> Report {
        let mut report = sample::paced();
        let none = Latency::of(&latency_histogram());
        let set = &mut report.latency;
        for latency in [&mut set.connect, &mut set.first_byte, &mut set.service, &mut set.total] {
            *latency = none.clone();
        }
        set.uncorrected = Some(none.clone());
        report.schedule.as_mut().unwrap().slip = none;
        report.duration_s = 0.0;
        report.requests = Default::default();
        (report.connections.opened, report.connections.failed) = (0, 0);
        report.rate = Rate::default();
        report.generator.cpu_us_per_request = None;
        report.watch.as_mut().unwrap().server.as_mut().unwrap().cpu_us_per_request = None;
        let warmup = report.warmup.as_mut().unwrap();
        (warmup.p50_us, warmup.p99_us, warmup.max_us) = (None, None, None);
        report.series = vec![Second { t_s: 1.0, failed: 3, requests: 3, ..Second::default() }];
        report
    }

    /// What earlier versions wrote in the place of null, where these are numbers.
    fn with_zeros(value: &mut Value, key: &str) {
        let is_number = key.ends_with("_us") || key.ends_with("_ratio") || key.ends_with("_per_s");
        match value {
            Value::Object(members) => {
                members.iter_mut().for_each(|(key, value)| with_zeros(value, key));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| with_zeros(item, "")),
            Value::Null
                if (is_number && key != "connect_mean_us") || key == "cpu_us_per_request" =>
            {
                *value = json!(0);
            }
            _ => {}
        }
    }

    #[test]
    fn the_zeros_of_earlier_versions_are_read_as_nothing() {
        let now = json::document(&nothing());
        let mut earlier: Value = serde_json::from_str(&now).unwrap();
        with_zeros(&mut earlier, "");
        for pointer in ["/latency/total/p99_us", "/rate/requests_per_s", "/series/0/max_us"] {
            assert_eq!(earlier.pointer(pointer), Some(&json!(0)), "{pointer}");
        }
        let mut report: Report = serde_json::from_value(earlier).unwrap();
        report.bring_up_to_date();
        let (read, now): (Value, Value) = (
            serde_json::from_str(&json::document(&report)).unwrap(),
            serde_json::from_str(&now).unwrap(),
        );
        for (key, value) in now.as_object().unwrap() {
            // Shares of what the host did are no matter of this.
            if !["series", "plan"].contains(&key.as_str()) {
                assert_eq!(&read[key], value, "{key}");
            }
        }
        assert_eq!(report.series[0].p50_us, None);
    }

    #[test]
    fn a_document_of_this_version_stays_as_it_is() {
        for report in [sample::clean(), sample::paced(), sample::troubled(), nothing()] {
            let text = json::document(&report);
            let mut read: Report = serde_json::from_str(&text).unwrap();
            // The samples have round numbers where a run has those of its counts.
            read.bring_up_to_date();
            read.rate = report.rate;
            assert_eq!(json::document(&read), text);
        }
    }
}
