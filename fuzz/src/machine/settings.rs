//! What a run is to be: the first bytes of an input.

use super::{Fates, MS, S};
use ringshot::engine::connection::Route;
use ringshot::engine::pace::curve::{RateCurve, RateStage};
use ringshot::engine::pace::{Arrivals, Model, OpenLoop, Share};
use ringshot::engine::policy::{CloseMode, Policy};
use ringshot::engine::ports::{Method, Ports, Rotation};
use ringshot::engine::worker::Task;
use std::sync::Arc;

/// When a run ends.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// When so many requests were started, or dropped, and have ended.
    Quota(u64),
    /// When this much virtual time is over.
    Time(u64),
    /// A while after the server is well again: every slot has to work by then.
    Well,
}

/// A run.
pub(super) struct Run {
    pub(super) task: Task,
    pub(super) until: Until,
    /// Every send is told of.
    pub(super) confirms: bool,
    /// How long an answer takes when all is well.
    pub(super) service_ns: u64,
}

impl Run {
    pub(super) fn of(bytes: &mut Fates<'_>) -> Run {
        let mut byte = || u64::from(bytes.next().unwrap_or(0));
        let (shape, reuse, time, load, quota) = (byte(), byte(), byte(), byte(), byte());
        let slots = 1 + (shape % 5) as u32;
        let until = match shape / 5 % 3 {
            0 => Until::Quota(1 + quota % 128),
            1 => Until::Time((1 + quota) * 10 * MS),
            _ => Until::Well,
        };
        let policy = Policy {
            close: [CloseMode::Server, CloseMode::Client, CloseMode::Rst]
                [(shape / 15 % 3) as usize],
            requests_per_connection: (reuse % 6 != 5).then_some(1 + reuse % 6),
            pipeline: 1 + (reuse / 6 % 5) as u32,
            // In a run that shows whether every slot works, being well includes being slow.
            timeout_ns: (1 + time % 100) * MS + if let Until::Well = until { 200 * MS } else { 0 },
            holds: false,
            discard_from_bytes: 32,
        };
        let warmup_ns = if reuse >= 180 { 50 * MS } else { 0 };
        let limit_ns = match until {
            Until::Time(ns) => ns,
            _ => 3600 * S,
        };
        let model = model(load, time, until);
        let run_s = (warmup_ns + limit_ns) as f64 / 1e9;
        let share = Share { index: 0, of: 1 + (shape / 45 % 2) as u32 };
        let task = Task {
            slots,
            connections: slots * share.of,
            share,
            model: model.into_model(run_s),
            warmup_ns,
            quota: if let Until::Quota(requests) = until { Some(requests.into()) } else { None },
            duration_ns: Some(limit_ns),
            route: match time / 100 {
                0 => Route::new(1),
                1 => Route::new(2),
                _ => Route::new(3).spread(),
            },
            ports: if load & 128 != 0 { rotation() } else { Rotation::kernel() },
            policy,
            interval_ns: 3600 * S,
        };
        let until = match until {
            Until::Time(ns) => Until::Time(warmup_ns + ns),
            other => other,
        };
        let service_ns = match until {
            Until::Quota(_) => 20_000,
            // Or a closed loop has a hundred thousand answers in that time.
            Until::Time(_) => task.policy.timeout_ns / 4,
            Until::Well => 50 * MS,
        };
        Run { task, until, confirms: load & 64 != 0, service_ns }
    }
}

/// A model whose schedule waits for the length of the run.
struct Load {
    rate_per_s: Option<f64>,
    poisson: bool,
    backlog: u64,
    model: Model,
}

fn model(load: u64, seed: u64, until: Until) -> Load {
    // Whether every slot works is asked of a closed loop: in an open one there may be too little
    // to do for all of them. A quota is met by an open loop whose line is long enough.
    let open = load % 4 >= 2 && !matches!(until, Until::Well);
    let think_ns = (!open && load & 4 != 0).then_some(0..=2 * MS);
    Load {
        rate_per_s: open.then_some([100.0, 1000.0][(load / 4 % 2) as usize]),
        poisson: load % 4 == 3,
        backlog: if matches!(until, Until::Quota(_)) { 1_000_000 } else { load / 8 % 8 },
        model: Model {
            think_ns,
            ramp_ns: if !open && load & 8 != 0 { 20 * MS } else { 0 },
            connect_rate_per_s: (load & 16 != 0).then_some(1000.0),
            seed,
            ..Model::default()
        },
    }
}

impl Load {
    fn into_model(self, run_s: f64) -> Model {
        let open_loop = self.rate_per_s.map(|rate_per_s| OpenLoop {
            curve: Arc::new(RateCurve::new(&[RateStage::constant(run_s, rate_per_s)])),
            arrivals: if self.poisson { Arrivals::Poisson } else { Arrivals::Constant },
            backlog: self.backlog,
        });
        Model { open_loop, ..self.model }
    }
}

/// A handful of source ports.
fn rotation() -> Rotation {
    let ports = Ports {
        method: Method::Rotation,
        usable: (40_000..40_020).collect(),
        sources: vec![vec!["127.0.0.1".parse().expect("an address")]; 2],
        ..Ports::kernel(2)
    };
    ports.rotation(0, 1)
}
