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
