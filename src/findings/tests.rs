use super::*;
use crate::engine::policy::CloseMode;
use crate::engine::ports::Method;
use crate::kernel::SystemCounters as KernelCounters;
use crate::result::{Generator, Latency, Severity, sample};
use crate::statistics::latency_histogram;

/// What facts refer to.
pub(super) struct Run {
    counters: Counters,
    errors: Vec<ErrorEntry>,
    connect: Histogram<u64>,
    first_byte: Histogram<u64>,
    service: Histogram<u64>,
    series: Vec<Second>,
    policy: Policy,
    ports: Ports,
    kernel: KernelCounters,
    host: HostFacts,
    schedule: Option<ScheduleSummary>,
}

impl Run {
    /// A thousand new connections that the client closed, without a failure, each in 100 us.
    pub(super) fn clean() -> Run {
        let mut connect = latency_histogram();
        connect.record_n(100, 1000).unwrap();
        let counters = Counters {
            started: 1000,
            ok: 1000,
            connections_opened: 1000,
            connect_ns: 100_000_000,
            ..Counters::default()
        };
        Run {
            counters,
            errors: Vec::new(),
            connect,
            first_byte: latency_histogram(),
            service: latency_histogram(),
            series: vec![second(1.0, 100.0), second(2.0, 110.0)],
            policy: Policy {
                requests_per_connection: Some(1),
                pipeline: 1,
                close: CloseMode::Client,
                timeout_ns: 1_000_000_000,
                holds: false,
                discard_from_bytes: 4096,
            },
            ports: Ports {
                usable: (32768..=60999).collect(),
                sources: vec![vec!["127.0.0.1".parse().unwrap()]],
                ..Ports::kernel(1)
            },
            kernel: KernelCounters([("TcpActiveOpens".to_owned(), 1000)].into()),
            host: HostFacts {
                timestamps: true,
                syncookies: 1,
                somaxconn: 4096,
                ..HostFacts::default()
            },
            schedule: Some(schedule()),
        }
    }

    fn count(&mut self, name: &str, value: u64) -> &mut Run {
        self.kernel.0.insert(name.to_owned(), value);
        self
    }

    fn fail(&mut self, phase: Phase, errno: i32, count: u64) -> &mut Run {
        let failure = Failure::errno(phase, errno);
        let (first_ns, last_ns) = (1_200_000_000, 2_000_000_000);
        self.errors.push(ErrorEntry { failure, count, first_ns, last_ns });
        self
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            counters: &self.counters,
            whole: self.counters,
            active_opens: self.kernel.0.get("TcpActiveOpens").copied(),
            schedule: self.schedule.as_ref(),
            errors: &self.errors,
            begin_ns: 0,
            connect: &self.connect,
            first_byte: &self.first_byte,
            service: &self.service,
            warm_service: None,
            series: &self.series,
            generator: Generator { busy_ratio: 0.5, ..sample::clean().generator },
            duration_s: 10.0,
            allowed_cpus: 2,
            free_cpus: Vec::new(),
            quota: None,
            threads: 1,
            overruled_lengths: 0,
            connections: 16,
            cpus: 2,
            bundled: false,
            no_ring: None,
            policy: &self.policy,
            ports: &self.ports,
            pairs: self.ports.pairs(0),
            source: Some("127.0.0.1".parse().unwrap()),
            target: Some("127.0.0.1:8080".parse().unwrap()),
            addresses: &[],
            answers: &[],
            spreads: false,
            local: true,
            host: &self.host,
            kernel: &self.kernel,
            time_wait_before: Some(0),
            time_wait_held: Some(1000),
            time_wait_entered: Some((1000, 0)),
            conntrack: None,
        }
    }

    fn ids(&self) -> Vec<String> {
        ids(&self.facts())
    }
}

/// A schedule that was kept.
fn schedule() -> ScheduleSummary {
    let mut slip = latency_histogram();
    slip.record_n(40, 1000).unwrap();
    ScheduleSummary {
        due: 1000,
        dropped: 0,
        waiting: 0,
        waited: 3,
        unanswered_before: 1,
        unanswered_after: 2,
        kept_up: true,
        slip: Latency::of(&slip),
    }
}

fn second(t_s: f64, connect_us: f64) -> Second {
    Second {
        t_s,
        requests: 500,
        ok: 500,
        failed: 0,
        connections: 500,
        p50_us: Some(200),
        p99_us: Some(300),
        max_us: Some(400),
        in_flight: 16,
        connect_mean_us: Some(connect_us),
        time_wait: Some(500),
        ..Second::default()
    }
}

fn ids(facts: &Facts<'_>) -> Vec<String> {
    find(facts).into_iter().map(|finding| finding.id.into_owned()).collect()
}

fn text(facts: &Facts<'_>, id: &str) -> String {
    let found = find(facts);
    let found = found.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id}"));
    assert!(!found.cure.is_empty(), "{id}");
    found.text.clone()
}

#[test]
fn a_clean_run_has_none() {
    assert_eq!(Run::clean().ids(), [""; 0]);
}

#[test]
fn the_worst_comes_first() {
    let mut run = Run::clean();
    (run.counters.surplus, run.counters.closed_idle, run.counters.not_closed_by_peer) = (1, 1, 3);
    assert_eq!(run.ids(), ["surplus_bytes", "server_ignores_close", "server_closes_early"]);
}

#[test]
fn lengths_beside_chunks_are_told_with_their_number() {
    let run = Run::clean();
    let text = text(&Facts { overruled_lengths: 1_200, ..run.facts() }, "server_both_framings");
    assert!(text.starts_with("1,200 responses had Content-Length beside"), "{text}");
}

#[test]
fn a_busy_thread_is_the_limit() {
    let run = Run::clean();
    let busy = Generator { busy_ratio: 0.97, ..run.facts().generator };
    let found = find(&Facts { generator: busy, ..run.facts() });
    assert_eq!(found[0].id, "generator_saturated");
    assert!(found[0].cure.contains("-t 2"));
    // In one second only.
    let worst = Generator { busy_ratio: 0.4, demand_peak_ratio: Some(0.95), ..busy };
    let text = text(&Facts { generator: worst, ..run.facts() }, "generator_saturated");
    assert!(text.contains("busy for 40% of the time (95% of its worst second"), "{text}");
}

#[test]
fn a_thread_that_is_not_let_run_is_starved_and_not_too_slow() {
    let run = Run::clean();
    let starved = Generator {
        threads: 1,
        busy_ratio: 0.03,
        cpu_wait_ratio: Some(0.73),
        cpu_wait_peak_ratio: Some(0.96),
        demand_peak_ratio: Some(0.99),
        ..run.facts().generator
    };
    let facts = Facts { generator: starved, ..run.facts() };
    assert_eq!(ids(&facts), ["generator_starved"]);
    let said = text(&facts, "generator_starved");
    for part in ["waited for a CPU for 73% of the time (96% of its worst second)", "ran for 3%"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(find(&facts)[0].cure.contains("taskset -acp 0 PID"));
    let free = Facts { free_cpus: vec![1, 2, 3], ..facts.clone() };
    assert!(find(&free)[0].cure.ends_with("--cpus 1-3"), "{:?}", find(&free));
    // A quota explains it.
    let stopped = Generator { throttled_s: Some(8.5), ..starved };
    let facts = Facts { generator: stopped, ..facts };
    assert_eq!(ids(&facts), ["generator_throttled"]);
    let said = text(&facts, "generator_throttled");
    assert!(
        said.starts_with("ringshot had used up its own CPU quota for 85% of the time"),
        "{said}"
    );
    // It does not.
    let hardly = Generator { throttled_s: Some(0.5), ..starved };
    let facts = Facts { generator: hardly, ..facts };
    assert_eq!(ids(&facts), ["generator_throttled", "generator_starved"]);
    let unknown =
        Generator { cpu_wait_ratio: None, cpu_wait_peak_ratio: None, throttled_s: None, ..starved };
    assert_eq!(ids(&Facts { generator: unknown, ..facts }), ["generator_saturated"]);
}

#[test]
fn exhausted_ports_name_the_4_tuple_the_number_and_the_time() {
    let mut run = Run::clean();
    run.fail(Phase::Connect, libc::EADDRNOTAVAIL, 77);
    let text = text(&run.facts(), "ports_exhausted");
    for part in
        ["127.0.0.1 to 127.0.0.1:8080", "1.2 s", "28,232 ports", "1,000 were", "77 requests"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_missing_source_address_is_no_lack_of_ports() {
    let mut run = Run::clean();
    run.ports.sources = vec![Vec::new()];
    run.counters.connections_opened = 0;
    run.fail(Phase::Connect, libc::EADDRNOTAVAIL, 24);
    let ids = run.ids();
    assert!(ids.contains(&"no_source_address".to_owned()), "{ids:?}");
    assert!(!ids.contains(&"ports_exhausted".to_owned()), "{ids:?}");
}

#[test]
fn ports_held_by_others_have_another_reason_than_time_wait() {
    let mut run = Run::clean();
    run.ports.method = Method::Rotation;
    run.fail(Phase::Bind, libc::EADDRINUSE, 5);
    assert!(text(&run.facts(), "ports_exhausted").contains("SO_REUSEADDR"));
}

#[test]
fn what_a_server_lost_is_worse_than_what_it_had_not_read() {
    let mut run = Run::clean();
    run.counters = Counters { ok: 900, failed: 100, lost: 100, closed_idle: 7, ..run.counters };
    assert_eq!(run.ids(), ["server_drops_requests", "server_closes_early"]);
    let lost = text(&run.facts(), "server_drops_requests");
    assert!(lost.contains("received 100 requests") && lost.contains("(10%"), "{lost}");
    let early = text(&run.facts(), "server_closes_early");
    assert!(early.contains("7 kept connections") && early.contains("not read"), "{early}");
}

#[test]
fn the_limit_that_cuts_a_pipeline_short_is_named_where_it_is_one() {
    let mut run = Run::clean();
    for (cut, answers, seen, cure) in [
        (20, 20_000, "after 1,000 responses,", "-r 1000; or"),
        (20, 19_990, "after 999 responses on average", "-r with a number below"),
        (20, 20, "after its first response", "-r 1 instead of -p"),
    ] {
        (run.counters.cut_short, run.counters.cut_short_answers) = (cut, answers);
        let found = find(&run.facts());
        let [found] = &found[..] else { panic!("{found:?}") };
        assert_eq!((found.id.as_ref(), found.severity), ("pipelines_cut_short", Severity::Info));
        assert!(found.text.contains(seen) && found.text.contains("20 connections"), "{found:?}");
        assert!(found.cure.starts_with(cure), "{found:?}");
    }
}

#[test]
fn nobody_is_said_to_have_been_asked_who_was_not() {
    let mut run = Run::clean();
    run.counters.not_closed_by_peer = 3;
    assert!(text(&run.facts(), "server_ignores_close").contains("was asked to close"));
    run.policy.requests_per_connection = None;
    assert!(text(&run.facts(), "server_ignores_close").contains("announced"));
}

#[test]
fn a_search_is_slow_only_with_ports_in_time_wait() {
    let mut run = Run::clean();
    run.series.push(second(3.0, 4_000.0));
    assert_eq!(run.ids(), [""; 0], "a slow second alone may be the server's");
    let facts = Facts { time_wait_held: Some(20_000), ..run.facts() };
    let text = text(&facts, "port_search_slow");
    for part in ["100 µs at best", "4.00 ms on average", "at 3.0 s"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // A run on ports that an earlier one has filled is slow from its first connection on.
    run.series = vec![second(1.0, 4_000.0)];
    run.connect = latency_histogram();
    run.connect.record_n(3_900, 1000).unwrap();
    let (held, before) = (Some(20_000), Some(20_000));
    let facts = Facts { time_wait_held: held, time_wait_before: before, ..run.facts() };
    assert!(self::text(&facts, "port_search_slow").contains("from the start"));
    run.ports.method = Method::Rotation;
    let facts = Facts { time_wait_held: Some(20_000), ..run.facts() };
    assert_eq!(ids(&facts), [""; 0], "in rotation nobody searches");
}

#[test]
fn a_syn_that_is_sent_again_shows_in_the_latencies() {
    let mut run = Run::clean();
    run.connect.record_n(1_030_000, 14).unwrap();
    run.connect.record_n(2_050_000, 3).unwrap();
    run.count("TcpExtTCPSynRetrans", 20);
    let retries = text(&run.facts(), "syn_retries");
    assert!(retries.contains("14 connections took about 1 s"), "{retries}");
    assert!(retries.contains("3 connections took about 2 s"), "{retries}");
    // With a full accept queue here, that is the reason.
    run.count("TcpExtListenOverflows", 20);
    assert_eq!(run.ids(), ["accept_queue_overflow"]);
    assert!(text(&run.facts(), "accept_queue_overflow").contains("14 connections took about 1 s"));
    // A listener on this machine says nothing about a server elsewhere.
    let elsewhere = Facts { local: false, ..run.facts() };
    assert_eq!(ids(&elsewhere), ["syn_retries"]);
}

#[test]
fn syns_of_others_are_no_finding_of_ours() {
    let mut run = Run::clean();
    run.count("TcpExtTCPSynRetrans", 3);
    assert_eq!(run.ids(), [""; 0], "none of our connections took a second");
    run.errors.push(ErrorEntry {
        failure: Failure { phase: Phase::Connect, kind: Kind::Timeout },
        count: 1,
        first_ns: 0,
        last_ns: 0,
    });
    assert_eq!(run.ids(), ["syn_retries"], "one of them never came through");
}

#[test]
fn a_saturated_thread_that_searches_for_ports_is_not_short_of_cpu() {
    let mut run = Run::clean();
    run.fail(Phase::Connect, libc::EADDRNOTAVAIL, 77);
    assert_eq!(
        ids(&Facts {
            generator: Generator { busy_ratio: 0.99, ..run.facts().generator },
            ..run.facts()
        }),
        ["ports_exhausted"]
    );
}

#[test]
fn a_cure_never_repeats_what_is_in_force() {
    let mut run = Run::clean();
    run.fail(Phase::Connect, libc::EADDRNOTAVAIL, 77);
    let cure = |run: &Run| find(&run.facts())[0].cure.clone();
    assert!(cure(&run).contains("--source-ports auto") && cure(&run).contains("--close server"));
    run.policy.close = CloseMode::Server;
    run.counters.not_closed_by_peer = 10;
    assert!(cure(&run).starts_with("--close client"), "{}", cure(&run));
    assert!(!cure(&run).contains("--close server"), "{}", cure(&run));
}

#[test]
fn our_own_resets_are_no_finding() {
    let mut run = Run::clean();
    run.policy.close = CloseMode::Rst;
    run.count("TcpOutRsts", 1000).count("TcpExtTCPAbortOnData", 1000);
    assert_eq!(run.ids(), [""; 0]);
}

#[test]
fn a_reset_is_laid_at_the_door_of_who_sent_it() {
    let mut run = Run::clean();
    run.fail(Phase::Receive, libc::ECONNRESET, 40).count("TcpExtTCPAbortOnData", 40);
    assert!(text(&run.facts(), "connection_resets").contains("SO_LINGER 0"));
    run.count("TcpExtTCPAbortOnClose", 40);
    assert!(text(&run.facts(), "connection_resets").contains("had not read"));
    let elsewhere = Facts { local: false, ..run.facts() };
    assert!(text(&elsewhere, "connection_resets").contains("in between"));
}

#[test]
fn counts_are_checked_against_the_kernels() {
    let mut run = Run::clean();
    run.counters.started += 16;
    run.count("TcpActiveOpens", 1016);
    assert_eq!(run.ids(), [""; 0], "some were under way at the end");
    run.count("TcpActiveOpens", 1017);
    assert_eq!(run.ids(), ["other_connections"]);
    run.count("TcpActiveOpens", 999);
    assert_eq!(run.ids(), ["connections_miscounted"]);
    run.kernel.0.clear();
    assert_eq!(run.ids(), [""; 0], "a kernel that does not tell");
}

#[test]
fn time_wait_on_the_wrong_side_is_noticed() {
    let mut run = Run::clean();
    let facts = Facts { time_wait_entered: Some((3, 990)), ..run.facts() };
    assert!(text(&facts, "time_wait_other_side").contains("the server closed first"));
    // Over the ports of an earlier run, with one close that crossed.
    let facts = Facts { time_wait_entered: Some((0, 1)), ..run.facts() };
    assert_eq!(ids(&facts), [""; 0]);
    // Elsewhere only our own side is to be seen.
    let remote = Facts { local: false, ..run.facts() };
    assert_eq!(ids(&remote), [""; 0]);
    let none = Facts { time_wait_entered: Some((0, 0)), time_wait_held: Some(0), ..remote.clone() };
    assert_eq!(ids(&none), ["time_wait_other_side"]);
    let again = Facts { time_wait_entered: Some((0, 0)), ..remote };
    assert_eq!(ids(&again), [""; 0], "a second run over the same ports");
    run.policy.close = CloseMode::Server;
    run.counters.not_closed_by_peer = 900;
    assert!(text(&run.facts(), "time_wait_other_side").contains("left it to this side"));
}

#[test]
fn tracking_that_is_full_is_an_error() {
    let mut run = Run::clean();
    run.count("ConntrackInsertFailed", 5);
    run.count("ConntrackDrop", 32);
    let half_full = Facts { conntrack: Some((50, 100)), ..run.facts() };
    assert_eq!(ids(&half_full), [""; 0], "races over entries, nothing else");
    let full = Facts { conntrack: Some((100, 100)), ..run.facts() };
    let text = text(&full, "conntrack_full");
    assert!(text.contains("32 packets") && text.contains("100 of 100"), "{text}");
}

#[test]
fn a_schedule_that_was_not_kept_is_said() {
    let mut slip = latency_histogram();
    slip.record_n(40, 980).unwrap();
    slip.record_n(1_500, 20).unwrap();
    let found = |change: &dyn Fn(&mut ScheduleSummary)| {
        let mut run = Run::clean();
        run.schedule.as_mut().map(change);
        (run.ids(), run)
    };
    let (ids, run) = found(&|schedule| schedule.slip = Latency::of(&slip));
    assert_eq!(ids, ["schedule_slip"]);
    assert!(text(&run.facts(), "schedule_slip").contains("started 1.50 ms or more after"));
    // One of twenty is no percentile.
    let mut few = latency_histogram();
    few.record_n(1_500, 20).unwrap();
    assert_eq!(found(&|schedule| schedule.slip = Latency::of(&few)).0, [""; 0]);

    let (ids, run) = found(&|schedule| (schedule.dropped, schedule.kept_up) = (7, false));
    assert_eq!(ids, ["requests_dropped", "rate_not_kept"]);
    assert!(text(&run.facts(), "requests_dropped").starts_with("7 of 1,000 due requests"));

    let behind = |schedule: &mut ScheduleSummary| {
        (schedule.kept_up, schedule.unanswered_after) = (false, 401);
    };
    let (ids, run) = found(&behind);
    assert_eq!(ids, ["rate_not_kept"]);
    assert!(text(&run.facts(), "rate_not_kept").contains("401 of 1,000 were unanswered"));
}

/// A kept connection on which a server writes head and body apart: some answers wait for the
/// delayed acknowledgement of their head, and some do not.
fn in_two_pieces(slow: u64, fast: u64, connections: u64) -> Run {
    let mut run = Run::clean();
    run.policy.requests_per_connection = None;
    run.counters.connections_opened = connections;
    run.counters.bytes_read = 120 * (slow + fast);
    run.first_byte.record_n(206, slow + fast).unwrap();
    run.service.record_n(44_100, slow).unwrap();
    run.service.record_n(290, fast).unwrap();
    run.count("TcpExtDelayedACKs", slow);
    run.count("TcpActiveOpens", connections);
    run
}

#[test]
fn a_second_piece_that_waits_for_an_acknowledgement_has_a_name() {
    let run = in_two_pieces(59, 1, 1);
    let text = text(&run.facts(), "nagle_delay");
    for part in ["206 µs", "44.1 ms", "59", "60 answers", "Nagle"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(find(&run.facts())[0].cure.contains("TCP_NODELAY"));
    // The first ones, of which the kernel acknowledges the pieces at once, came in the warm-up.
    let mut warmed = in_two_pieces(500, 0, 4);
    let mut warm = latency_histogram();
    warm.record_n(290, 4).unwrap();
    assert_eq!(warmed.ids(), [""; 0]);
    let facts = Facts { warm_service: Some(&warm), ..warmed.facts() };
    assert_eq!(ids(&facts), ["nagle_delay"]);
    // 40 ms in large answers are something else.
    warmed.counters.bytes_read = 500 << 20;
    assert_eq!(ids(&Facts { warm_service: Some(&warm), ..warmed.facts() }), [""; 0]);
}

#[test]
fn a_server_that_takes_its_time_between_the_pieces_does_not_wait_for_us() {
    let with = |slow, fast, change: &dyn Fn(&mut Run)| {
        let mut run = in_two_pieces(slow, fast, 4);
        change(&mut run);
        run.ids()
    };
    let nothing: [&str; 0] = [];
    // It sleeps for 44 ms every time: our acknowledgements are late then, too, but no answer is
    // fast, as the first ones of a connection are that wait for nothing else.
    assert_eq!(with(60, 0, &|_| ()), nothing);
    // For some of its answers it has to think: many are fast that are not the first.
    assert_eq!(with(600, 400, &|_| ()), nothing);
    // It sleeps for less than an acknowledgement waits: none is delayed.
    let few = |run: &mut Run| {
        run.count("TcpExtDelayedACKs", 3);
    };
    assert_eq!(with(56, 4, &few), nothing);
    for (first_us, whole_us) in [(206, 30_000), (206, 80_000), (60_000, 60_300)] {
        let other = |run: &mut Run| {
            (run.first_byte, run.service) = (latency_histogram(), latency_histogram());
            run.first_byte.record_n(first_us, 60).unwrap();
            run.service.record_n(whole_us, 56).unwrap();
            run.service.record_n(250, 4).unwrap();
        };
        assert_eq!(with(56, 4, &other), nothing, "{first_us} {whole_us}");
    }
    assert_eq!(with(56, 4, &|_| ()), ["nagle_delay"]);
}

#[test]
fn a_unix_socket_has_findings_of_its_own_and_none_of_tcp() {
    let mut run = Run::clean();
    run.ports = Ports::none();
    // What others do over TCP meanwhile.
    for (name, value) in [
        ("TcpActiveOpens", 5),
        ("TcpExtListenOverflows", 7),
        ("TcpExtSyncookiesSent", 7),
        ("TcpExtTCPSynRetrans", 7),
        ("ConntrackDrop", 7),
        ("ConntrackEarlyDrop", 7),
    ] {
        run.count(name, value);
    }
    run.connect.record_n(2_000_000, 500).unwrap();
    run.series = vec![second(1.0, 1e6)];
    let over_unix = |run: &Run| {
        let facts = Facts { target: None, pairs: 0, conntrack: Some((99, 100)), ..run.facts() };
        find(&facts)
    };
    let none: Vec<String> = over_unix(&run).into_iter().map(|one| one.id.into_owned()).collect();
    assert_eq!(none, [""; 0]);
    run.fail(Phase::Connect, libc::EAGAIN, 17).fail(Phase::Receive, libc::ECONNRESET, 3);
    run.host.listener = Some(crate::kernel::Listener { backlog: 5, queued: 5, count: 1 });
    let found = over_unix(&run);
    let of = |id: &str| found.iter().find(|finding| finding.id == id).expect(id);
    let queue = of("accept_queue_overflow");
    assert!(queue.text.contains("(the server's backlog is 5)"), "{}", queue.text);
    assert!(queue.text.contains("17 requests failed with connect/EAGAIN"), "{}", queue.text);
    assert!(queue.cure.contains("listen(fd, 1024)"), "{}", queue.cure);
    assert!(of("connection_resets").text.contains("closed the unix socket"), "{found:?}");
    assert_eq!(found.len(), 2);
}

/// All files below a directory of the sources.
fn sources(directory: &std::path::Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, into),
            false => into.push(std::fs::read_to_string(path).unwrap()),
        }
    }
}

#[test]
fn readme_and_docs_have_every_finding_and_no_other() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let id = |line: &str| Some(line.trim().strip_prefix("id: \"")?.split_once('"')?.0.to_owned());
    let mut made: Vec<String> =
        files.iter().flat_map(|text| text.lines().filter_map(id).collect::<Vec<_>>()).collect();
    made.sort();
    made.dedup();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split_once("### Findings\n").expect("a section").1;
    let section = section.split_once("\n### ").expect("another").0;
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).expect("a cell"));
    let mut listed: Vec<String> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    listed.sort();
    assert!(made.len() > 20, "{made:?}");
    assert_eq!(made, listed);
    // Each has its section, which links lead to.
    let docs = std::fs::read_to_string(root.join("docs/findings.md")).unwrap();
    let mut sections: Vec<&str> =
        docs.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    sections.sort_unstable();
    assert_eq!(made, sections);
}
