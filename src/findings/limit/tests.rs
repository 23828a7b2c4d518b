use super::*;
use crate::result::{Finding, Severity, sample};

/// Two threads of ringshot, a server of one thread on a CPU of its own, and how busy each was;
/// neither explains the rate.
fn run(generator: f64, server: f64) -> Report {
    let mut report = sample::clean();
    report.generator.busy_ratio = generator;
    report.generator.saturated = generator >= SATURATED_RATIO;
    report.latency.total.mean_us = Some(1.0);
    let watch = report.watch.as_mut().expect("it was watched");
    watch.cpu_busy_ratio = Some(0.5);
    watch.cpus.iter_mut().for_each(|cpu| cpu.softirq_ratio = 0.0);
    if let Some(load) = &mut watch.server {
        (load.processes, load.threads, load.cpus) = (1, 1, 1);
        (load.cpu_ratio, load.busiest_thread_ratio) = (server, server);
    }
    report
}

fn changed(mut report: Report, change: impl FnOnce(&mut Report)) -> Report {
    change(&mut report);
    report
}

fn unwatched(report: Report) -> Report {
    changed(report, |report| report.watch.as_mut().expect("it was watched").server = None)
}

/// 64 connections of 2.73 ms make 23,449/s.
fn waiting(report: Report) -> Report {
    changed(report, |report| report.latency.total.mean_us = Some(64.0 / 23_449.06 * 1e6))
}

fn who(report: &Report) -> Option<String> {
    limited_by(report).map(|limit| limit.who.into_owned())
}

#[test]
fn the_busiest_was_the_limit() {
    for (generator, server, expected) in [
        (0.97, 0.40, Some("generator")),
        (0.97, 0.95, Some("both")),
        (0.97, 0.91, Some("generator")),
        (0.50, 0.92, Some("server")),
        (0.85, 0.99, Some("server")),
        (0.50, 0.85, Some("server")),
        (0.85, 0.50, Some("generator")),
        (0.85, 0.88, Some("both")),
        // No thread was busy, and connections do not explain it either.
        (0.50, 0.50, None),
    ] {
        let found = who(&run(generator, server));
        assert_eq!(found.as_deref(), expected, "{generator} {server}");
    }
}

/// Its busiest thread ran and waited for a CPU for these parts of the time.
fn waits(report: Report, ran: f64, waited: f64) -> Report {
    changed(report, |report| {
        let own = &mut report.generator;
        own.busy_ratio = ran;
        (own.cpu_wait_ratio, own.cpu_wait_peak_ratio) = (Some(waited), Some(waited));
        own.demand_peak_ratio = Some(ran + waited);
    })
}

#[test]
fn a_generator_that_waits_for_a_cpu_is_named_before_any_server() {
    // A program that does nothing but run, on the CPU of the worker.
    let limit = limited_by(&waits(unwatched(run(0.03, 0.0)), 0.03, 0.73)).expect("somebody");
    assert_eq!(limit.who, "generator");
    assert_eq!(
        limit.evidence,
        "it had too little CPU: ringshot's busiest thread was 3% busy and waited for a CPU for 73% \
         of the time."
    );
    let limit = limited_by(&waits(run(0.03, 0.95), 0.03, 0.73)).expect("somebody");
    assert_eq!(limit.who, "generator");
    assert!(limit.evidence.ends_with("the server's thread was busy for 95%."), "{limit:?}");
    // Also where the rate was kept: the latencies are late.
    let paced = changed(run(0.03, 0.3), |report| report.schedule = sample::paced().schedule);
    assert_eq!(who(&paced).as_deref(), Some("schedule"));
    assert_eq!(who(&waits(paced, 0.03, 0.73)).as_deref(), Some("generator"));
    // A little waiting says nothing.
    assert_eq!(who(&waits(waiting(run(0.3, 0.3)), 0.3, 0.02)).as_deref(), Some("connections"));
    // There is no CPU left on this machine.
    let full = changed(waits(run(0.4, 0.4), 0.4, 0.5), |report| {
        report.watch.as_mut().expect("watched").cpu_busy_ratio = Some(0.99);
    });
    let limit = limited_by(&full).expect("somebody");
    assert_eq!(limit.who, "box");
    let text = "its CPUs together were 99% busy; ringshot's busiest thread was 40% busy and waited";
    assert!(limit.evidence.starts_with(text), "{limit:?}");
}

#[test]
fn a_quota_of_its_own_is_named_before_any_server() {
    let throttled = |seconds| {
        changed(run(0.08, 0.95), |report| {
            report.generator.threads = 1;
            report.generator.throttled_s = Some(seconds);
            report.host.cpu_quota = Some(0.08);
        })
    };
    let limit = limited_by(&throttled(8.5)).expect("somebody");
    assert_eq!(limit.who, "generator");
    let text =
        "ringshot had used up its own CPU quota of 0.08 CPUs for 85% of the time (8.5 s in all);";
    assert!(limit.evidence.starts_with(text), "{limit:?}");
    assert_eq!(who(&throttled(0.2)).as_deref(), Some("server"), "2% of the time");
}

#[test]
fn the_worst_second_of_the_busiest_thread_counts() {
    let rising =
        |peak| changed(run(0.4, 0.4), |report| report.generator.demand_peak_ratio = Some(peak));
    let limit = limited_by(&rising(0.95)).expect("somebody");
    assert_eq!(limit.who, "generator");
    let text = "was 40% busy (95% in its worst second, waiting for a CPU included)";
    assert!(limit.evidence.contains(text), "{limit:?}");
    assert_eq!(who(&rising(0.5)), None);
}

#[test]
fn lateness_of_its_own_is_named_where_it_is_most_of_the_latency() {
    let late = |slip_us, total_us, kept_up| {
        changed(run(0.5, 0.85), |report| {
            report.schedule = sample::paced().schedule;
            let schedule = report.schedule.as_mut().expect("an open loop");
            (schedule.slip.p99_us, schedule.kept_up) = (Some(slip_us), kept_up);
            report.latency.total.p99_us = Some(total_us);
        })
    };
    assert_eq!(who(&late(72_000, 75_000, true)).as_deref(), Some("generator"));
    assert_eq!(who(&late(72_000, 75_000, false)).as_deref(), Some("generator"));
    assert_eq!(who(&late(2_000, 75_000, true)).as_deref(), Some("schedule"));
    assert_eq!(who(&late(2_000, 75_000, false)).as_deref(), Some("server"));
    assert_eq!(who(&late(40, 50, true)).as_deref(), Some("schedule"));
}

#[test]
fn a_server_with_more_threads_than_cpus_is_busy_when_these_are() {
    let limit = |threads, cpus, cpu_ratio| {
        let report = changed(run(0.5, 0.3), |report| {
            let server =
                report.watch.as_mut().and_then(|watch| watch.server.as_mut()).expect("one");
            (server.threads, server.cpus, server.cpu_ratio) = (threads, cpus, cpu_ratio);
        });
        who(&report)
    };
    assert_eq!(limit(200, 2, 1.9).as_deref(), Some("server"));
    assert_eq!(limit(200, 4, 1.9), None);
    // Threads that are gone before they are looked at.
    assert_eq!(limit(1, 4, 0.97).as_deref(), Some("server"));
    assert_eq!(limit(0, 0, 0.1), None);
}

#[test]
fn what_the_box_runs_out_of_comes_first() {
    let finding = |id: &'static str| Finding {
        id: id.into(),
        severity: Severity::Error,
        text: "12,000 requests failed.".into(),
        cure: String::new(),
    };
    for id in OF_THE_BOX {
        let report = changed(run(0.97, 0.97), |report| report.kernel.findings = vec![finding(id)]);
        let limit = limited_by(&report).expect(id);
        assert_eq!(
            (limit.who.as_ref(), limit.evidence.as_str()),
            ("box", "12,000 requests failed.")
        );
    }
    let report = changed(run(0.97, 0.97), |report| {
        report.kernel.findings = vec![finding("server_ignores_close")];
    });
    assert_eq!(who(&report).as_deref(), Some("both"));
}

#[test]
fn the_box_is_the_limit_when_its_cpus_are_somebody_elses() {
    // Two CPUs; what the workers used follows from how busy they were.
    let busy = |cpus: f64, generator: f64, server| {
        changed(waiting(run(generator, server)), |report| {
            report.watch.as_mut().expect("watched").cpu_busy_ratio = Some(cpus);
            report.generator.cpu_user_s = generator * report.duration_s;
            report.generator.cpu_sys_s = 0.0;
        })
    };
    for (cpus, generator, server, expected) in [
        // None has a CPU for itself.
        (0.98, 0.50, 0.48, "box"),
        (0.98, 0.85, 0.85, "box"),
        (0.85, 0.50, 0.48, "box"),
        // All that is busy is the two of them.
        (0.86, 0.86, 0.85, "both"),
        (0.98, 0.97, 0.85, "generator"),
        // Others are busy, and nothing is in their way.
        (0.98, 0.05, 0.06, "connections"),
        (0.75, 0.50, 0.48, "connections"),
    ] {
        let found = who(&busy(cpus, generator, server));
        assert_eq!(found.as_deref(), Some(expected), "{cpus} {generator} {server}");
    }
    // Others are busy, and in the server's way.
    let starved = changed(busy(0.98, 0.05, 0.06), |report| {
        let server = report.watch.as_mut().and_then(|watch| watch.server.as_mut());
        server.expect("one").cpu_wait_ratio = Some(0.4);
    });
    assert_eq!(who(&starved).as_deref(), Some("box"));
    // A server that is not seen is not taken for another program.
    assert_eq!(who(&unwatched(busy(0.85, 0.5, 0.0))).as_deref(), Some("unseen"));
    assert_eq!(who(&unwatched(busy(0.98, 0.5, 0.0))).as_deref(), Some("box"));
    let remote = changed(unwatched(busy(0.85, 0.5, 0.0)), |report| report.target.local = false);
    assert_eq!(who(&remote).as_deref(), Some("unseen"), "it may be a container of this box");
    // Packets are delivered for the two.
    let with_packets = changed(busy(0.85, 0.50, 0.48), |report| {
        report.watch.as_mut().expect("watched").cpus[0].softirq_ratio = 0.6;
    });
    assert_eq!(who(&with_packets).as_deref(), Some("connections"));
}

#[test]
fn the_hypervisor_is_the_limit_when_nobody_else_is() {
    let stolen = |generator, server| {
        changed(run(generator, server), |report| {
            report.watch.as_mut().expect("watched").cpu_steal_ratio = Some(0.22);
        })
    };
    let limit = limited_by(&stolen(0.85, 0.5)).expect("the hypervisor");
    assert_eq!(limit.who, "box");
    assert!(limit.evidence.starts_with("the hypervisor took 22% of the CPU time;"), "{limit:?}");
    assert_eq!(who(&stolen(0.97, 0.5)).as_deref(), Some("generator"));
    assert_eq!(who(&stolen(0.5, 0.93)).as_deref(), Some("server"));
}

#[test]
fn a_cpu_that_does_nothing_but_deliver_packets_is_the_limit() {
    let limit = |generator, busy_ratio, softirq_ratio| {
        let report = changed(waiting(run(generator, 0.4)), |report| {
            let cpu = &mut report.watch.as_mut().expect("watched").cpus[1];
            (cpu.busy_ratio, cpu.softirq_ratio) = (busy_ratio, softirq_ratio);
        });
        limited_by(&report).expect("somebody")
    };
    let full = limit(0.4, 0.98, 0.71);
    assert_eq!(full.who, "box");
    let text = "CPU 1 was 98% busy, 71% of the time delivering packets; ringshot's busiest thread";
    assert!(full.evidence.starts_with(text), "{full:?}");
    assert_eq!(limit(0.85, 0.98, 0.71).who, "box");
    assert_eq!(limit(0.97, 0.98, 0.71).who, "generator");
    assert_eq!(limit(0.4, 0.94, 0.71).who, "connections");
    assert_eq!(limit(0.4, 0.98, 0.40).who, "connections");
}

#[test]
fn a_run_of_a_few_ticks_says_nothing_of_the_box() {
    let report = |duration_s| {
        changed(waiting(run(0.4, 0.4)), |report| {
            report.duration_s = duration_s;
            report.generator.cpu_user_s = 0.4 * duration_s;
            let watch = report.watch.as_mut().expect("watched");
            (watch.cpu_busy_ratio, watch.cpu_steal_ratio) = (Some(1.0), Some(0.2));
            watch.cpus[0].softirq_ratio = 0.9;
            watch.cpus[0].busy_ratio = 1.0;
            watch.server.as_mut().expect("one").cpu_wait_ratio = Some(2.0);
        })
    };
    assert_eq!(who(&report(0.3)).as_deref(), Some("connections"));
    assert_eq!(who(&report(1.0)).as_deref(), Some("box"));
}

#[test]
fn a_rate_that_is_kept_is_the_plans() {
    let paced = |kept_up, connections| {
        let mut report = run(0.97, 0.97);
        report.schedule = sample::paced().schedule;
        report.plan.connect_rate = connections;
        report.schedule.as_mut().expect("an open loop").kept_up = kept_up;
        report
    };
    assert_eq!(who(&paced(true, None)).as_deref(), Some("schedule"));
    assert_eq!(who(&paced(false, None)).as_deref(), Some("both"));
    // 23,455/s were opened.
    assert_eq!(who(&paced(false, Some(23_460.0))).as_deref(), Some("schedule"));
    assert_eq!(who(&paced(false, Some(30_000.0))).as_deref(), Some("both"));
}

#[test]
fn connections_that_all_wait_are_the_limit_when_nobody_is_busy() {
    let limit = limited_by(&waiting(run(0.3, 0.3))).expect("they wait");
    assert_eq!(limit.who, "connections");
    assert_eq!(
        limit.evidence,
        "no CPU was the limit: all 64 connections waited for answers, 2.73 ms each on average, \
         which makes 23,449/s. More connections (-c) may bring more, unless the server itself \
         waits for something; ringshot's busiest thread was 30% busy, the server's thread 30%."
    );
    assert_eq!(who(&waiting(run(0.3, 0.95))).as_deref(), Some("server"));
    // A pause of 2.7 ms between two requests, on average.
    let thinking = changed(run(0.3, 0.3), |report| report.plan.think_s = Some([0.0, 0.005_4]));
    assert_eq!(who(&thinking).as_deref(), Some("connections"));
    // 16 times as many could be under way.
    let pipelined = changed(waiting(run(0.3, 0.3)), |report| report.plan.pipeline = 16);
    assert_eq!(who(&pipelined), None);
    // An open loop in which requests waited for a connection, or did not.
    for (waited, expected) in [(9_000, Some("connections")), (100, None)] {
        let mut report = waiting(run(0.3, 0.3));
        report.schedule = sample::paced().schedule;
        let schedule = report.schedule.as_mut().expect("an open loop");
        (schedule.kept_up, schedule.waited) = (false, waited);
        assert_eq!(who(&report).as_deref(), expected, "{waited}");
    }
}

#[test]
fn what_is_not_seen_is_not_judged() {
    let report = unwatched(waiting(run(0.3, 0.3)));
    let limit = limited_by(&report).expect("somebody");
    assert_eq!(limit.who, "unseen");
    assert!(
        limit.evidence.contains("was 30% busy; the server's process was not found"),
        "{limit:?}"
    );
    let cut_short = changed(report.clone(), |report| {
        report.watch.as_mut().expect("it was watched").server_search_complete = false;
    });
    let limit = limited_by(&cut_short).expect("somebody");
    assert_eq!(limit.who, "unseen");
    assert!(limit.evidence.contains("search for the server's process did not finish"), "{limit:?}");
    let remote = changed(report, |report| report.target.local = false);
    let limit = limited_by(&remote).expect("somebody");
    assert_eq!(limit.who, "unseen");
    let text = "is not in this network namespace: it is on another machine, or in a container \
                (--watch-pid).";
    assert!(limit.evidence.ends_with(text), "{limit:?}");
    assert_eq!(who(&unwatched(run(0.85, 0.0))).as_deref(), Some("unseen"));
    assert_eq!(who(&unwatched(run(0.97, 0.0))).as_deref(), Some("generator"));
    // Too short to have been watched.
    let short = changed(run(0.3, 0.3), |report| report.watch = None);
    assert_eq!(who(&short), None);
}

#[test]
fn a_server_that_ended_is_the_limit_when_requests_failed() {
    let ended = changed(run(0.97, 0.3), |report| {
        let server = report.watch.as_mut().and_then(|watch| watch.server.as_mut()).expect("one");
        (server.ended, server.watched_s) = (true, 1.5);
    });
    assert_eq!(who(&ended).as_deref(), Some("generator"));
    let failed = |last_s| {
        changed(ended.clone(), |report| {
            report.requests.failed = 12;
            report.errors = sample::troubled().errors;
            report.errors.iter_mut().for_each(|error| error.last_s = 0.2);
            report.errors[0].last_s = last_s;
        })
    };
    let limit = limited_by(&failed(2.9)).expect("the server");
    assert_eq!(limit.who, "server");
    assert_eq!(
        limit.evidence,
        "its process ended after about 1.50 s, and 12 requests failed, the last at 2.9 s."
    );
    // While it was there, and it was not missed afterwards.
    assert_eq!(who(&failed(1.4)).as_deref(), Some("generator"));
}

#[test]
fn a_run_without_an_answer_has_no_limit() {
    assert_eq!(limited_by(&changed(run(0.97, 0.97), |report| report.requests.ok = 0)), None);
}
