//! Anything, at random.

use super::scripted::LAST;
use super::*;

/// A server that deals out fates until they are used up, then is healthy.
fn fateful(fates: Vec<Fate>) -> impl FnMut(Turn) -> Option<Reply> {
    let mut fates = fates.into_iter();
    move |turn| {
        let fate = fates.next().unwrap_or(Fate::Fine);
        let after_ns = if let Fate::Late(ns) = fate { ns } else { 20 * US };
        let reset = |op| Some(Reply::new(US, op, Err(libc::ECONNRESET)));
        match (turn, fate) {
            (_, Fate::Silence) => None,
            (Turn::Connect(_), Fate::Reset | Fate::Refused) => {
                Some(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)))
            }
            (Turn::Connect(_), _) => Some(Reply::new(after_ns, Op::Connect, Ok(0))),
            (_, Fate::Reset | Fate::Refused) => reset(Op::Receive),
            (_, Fate::Eof) => Some(Reply::bytes(US, Arc::new([]))),
            // Meets a connection that rests, or the next request.
            (Turn::Idle, Fate::Late(_)) => Some(Reply::bytes(after_ns, Arc::new([]))),
            (Turn::Idle, Fate::Garbage | Fate::Short(_)) => Some(Reply::bytes(after_ns, answer())),
            (Turn::Idle, _) => None,
            (Turn::Answer(_), Fate::Garbage) => Some(Reply::bytes(US, b"\0\x01garbage"[..].into())),
            (Turn::Answer(requests), Fate::Short(end)) => {
                let bytes = ANSWER.repeat(requests);
                let end = end * requests;
                Some(Reply::bytes(after_ns, bytes[..end].into()))
            }
            (Turn::Answer(_), Fate::SendFails) => reset(Op::Send),
            (Turn::Answer(_), Fate::Last) => Some(Reply::bytes(US, LAST.into())),
            (Turn::Answer(requests), _) => {
                Some(Reply::bytes(after_ns, ANSWER.repeat(requests).into()))
            }
        }
    }
}

fn stage() -> impl Strategy<Value = RateStage> {
    let rate = || prop_oneof![1 => Just(0.0), 3 => 1.0..3000.0];
    (0.01..0.1, rate(), rate()).prop_map(|(duration_s, from_per_s, to_per_s)| RateStage {
        duration_s,
        from_per_s,
        to_per_s,
    })
}

/// An open loop, or what holds a closed one back.
fn model() -> impl Strategy<Value = (Model, f64)> {
    let stages = prop::collection::vec(stage(), 1..4);
    let open = (stages, any::<bool>(), 0u64..20).prop_map(|(stages, poisson, backlog)| {
        let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
        let seconds = stages.iter().map(|stage| stage.duration_s).sum();
        let open_loop = OpenLoop { curve: Arc::new(RateCurve::new(&stages)), arrivals, backlog };
        (Model { open_loop: Some(open_loop), ..Model::default() }, seconds)
    });
    let think =
        prop::option::of((0..5 * MS, 0..5 * MS).prop_map(|(from, more)| from..=from + more));
    let closed = (think, 0..50 * MS, 0.01..0.3).prop_map(|(think_ns, ramp_ns, seconds)| {
        (Model { think_ns, ramp_ns, ..Model::default() }, seconds)
    });
    let connect_rate = prop::option::of(100.0..5000.0);
    (prop_oneof![open, closed], connect_rate, any::<u64>()).prop_map(
        |((model, seconds), connect_rate_per_s, seed)| {
            (Model { connect_rate_per_s, seed, ..model }, seconds)
        },
    )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let close = prop::sample::select(vec![CloseMode::Server, CloseMode::Client, CloseMode::Rst]);
    (close, prop::option::of(1u64..5), 1u32..5, MS..100 * MS).prop_map(
        |(close, requests_per_connection, pipeline, timeout_ns)| Policy {
            close,
            requests_per_connection,
            pipeline,
            timeout_ns,
            ..policy()
        },
    )
}

fn any_task() -> impl Strategy<Value = Task> {
    let share = (1u32..4, 0u32..4).prop_map(|(of, index)| Share { index: index % of, of });
    let warmup = prop_oneof![Just(0), 1..100 * MS];
    let route = (1usize..4, any::<bool>()).prop_map(|(addresses, in_turn)| match in_turn {
        true => Route::new(addresses).spread(),
        false => Route::new(addresses),
    });
    (model(), any_policy(), share, 1u32..6, warmup, prop::option::of(0u64..100), route).prop_map(
        |((model, seconds), policy, share, slots, warmup_ns, quota, route)| Task {
            connections: slots * share.of,
            share,
            model,
            warmup_ns,
            quota: quota.map(Quota::from),
            duration_ns: Some((seconds * 1e9) as u64),
            route,
            ..task(slots, 1, policy)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever comes in however the load comes: the run ends in time, every request is in one of
    /// the counts, and nothing that belongs to the warm-up is measured.
    #[test]
    fn every_request_is_accounted_for(
        task in any_task(), fates in prop::collection::vec(fate(), 0..200), confirms: bool,
    ) {
        let faults = fates.len() as u64;
        let quota = task.quota.as_ref().map(Quota::left);
        let run = if confirms { served_confirming } else { served };
        let outcome = run(task.clone(), &Watch::default(), fateful(fates));
        let end_ns = task.warmup_ns + task.duration_ns.expect("a limit of time");
        prop_assert!(outcome.end_ns <= end_ns + US, "{} {end_ns}", outcome.end_ns);

        let open_loop = task.model.open_loop.as_ref();
        for tally in [&outcome.tallies.warmup, &outcome.tallies.measured] {
            let Counters { due, dropped, waited, started, ok, failed, .. } = tally.counters;
            prop_assert!(waited <= started);
            prop_assert!(failed <= faults * u64::from(task.policy.pipeline));
            prop_assert_eq!(tally.total.len(), ok, "every whole answer is a good one");
            prop_assert_eq!(tally.service.len(), ok);
            match open_loop {
                None => prop_assert_eq!((due, dropped, waited, tally.uncorrected.len()), (0, 0, 0, 0)),
                Some(open_loop) => {
                    prop_assert_eq!((tally.slip.len(), tally.uncorrected.len()), (started, ok));
                    let room = open_loop.backlog.div_ceil(task.share.of.into());
                    let waiting = due.checked_sub(dropped + started).expect("due are the most");
                    prop_assert!(waiting <= room + u64::from(task.slots), "{waiting} of {room}");
                }
            }
        }
        let measured = counters(&outcome);
        match (quota, open_loop) {
            (Some(quota), None) => prop_assert!(measured.started <= quota),
            (Some(quota), Some(_)) => prop_assert!(measured.due <= quota),
            _ => {}
        }
    }

    /// With time enough the quota of a measurement is met to the last request, and once the server
    /// is well again every slot works.
    #[test]
    fn a_quota_is_met_however_the_load_comes(
        task in any_task(), fates in prop::collection::vec(fate(), 0..100), quota in 1u64..200,
    ) {
        let faults = fates.len() as u64;
        let mut task = Task { quota: Some(quota.into()), duration_ns: None, ..task };
        if let Some(open_loop) = &mut task.model.open_loop {
            open_loop.curve = Arc::new(RateCurve::new(&[RateStage::constant(f64::INFINITY, 500.0)]));
            open_loop.backlog = 1_000_000;
        }
        let outcome = served(task.clone(), &Watch::default(), fateful(fates));
        assert_all_ended(&outcome, quota);
        let Counters { due, ok, dropped, .. } = counters(&outcome);
        prop_assert_eq!(dropped, 0);
        prop_assert!(ok + faults * u64::from(task.policy.pipeline) >= quota, "{ok} of {quota}");
        if task.model.open_loop.is_some() {
            prop_assert_eq!(due, quota);
        }
        prop_assert_eq!(outcome.tallies.in_flight(), 0);
    }
}
