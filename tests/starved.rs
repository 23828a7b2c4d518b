//! A generator that is not let run: by what else is on its CPU, or by the quota of its control
//! group. Alone in its file: it takes a processor away from whatever runs beside it.

mod support;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::cgroup::Group;
use support::netns::skip;
use support::{
    ServerProcess, all_findings, assert_finding, hopefully, in_some_attempt, measure, run_command,
};

/// One at a time: what one takes away is not to be missed by another.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(document: &Value, pointer: &str) -> f64 {
    let found = document.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{pointer} in {:#}", document["generator"]))
}

/// The CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("a mask");
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu) == Ok(true)).collect()
}

/// Whether the box had no CPU left, and so is the limit itself.
fn was_full(document: &Value) -> bool {
    number(document, "/watch/cpu_busy_ratio") >= 0.95
}

/// Threads that do nothing but run on a CPU, for as long as the body takes.
fn beside_spinning<T>(cpu: usize, body: impl FnOnce() -> T) -> T {
    /// Lets the threads end, also when the body panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let spin = || {
        let mut set = CpuSet::new();
        set.set(cpu).expect("a CPU");
        sched_setaffinity(Pid::from_raw(0), &set).expect("a mask");
        while !over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(spin)));
        let _over = Over(&over);
        body()
    })
}

#[test]
fn a_worker_that_shares_its_cpu_with_a_spinning_program_is_starved() {
    let _alone = alone();
    let cpus = cpus();
    let [.., cpu] = cpus[..] else { return };
    if cpus.len() < 2 {
        return skip("a machine with one CPU is full with one program");
    }
    let server = ServerProcess::start("--threads 1");
    let plan = format!("{} -k -c 16 -t 1 --cpus {cpu} -d 1500ms", server.url);
    in_some_attempt(|| {
        let document = beside_spinning(cpu, || measure(&plan));
        let limit = &document["limited_by"];
        let told = || format!("{:#} {limit:#}", document["generator"]);
        if document["generator"]["cpu_wait_ratio"].is_null() {
            skip("this kernel does not say how long a thread waited for a CPU");
            return Ok(());
        }
        hopefully(number(&document, "/generator/cpu_wait_ratio") >= 0.3, told)?;
        assert!(number(&document, "/generator/cpu_wait_peak_ratio") >= 0.3, "{}", told());
        assert_finding(&document, "generator_starved", &["waited for a cpu for"]);
        let who = limit["who"].as_str();
        assert!(
            who == Some("generator") || (who == Some("box") && was_full(&document)),
            "{}",
            told()
        );
        let evidence = limit["evidence"].as_str().expect("a sentence");
        assert!(evidence.contains("waited for a CPU for"), "{evidence}");
        assert!(number(&document, "/series/0/generator_cpu_wait_ratio") > 0.0, "{}", told());
        Ok(())
    });
}

#[test]
fn a_quota_of_its_own_is_seen_in_the_run_and_before_it() {
    let _alone = alone();
    let Some(group) = Group::with_quota(3_000) else { return };
    let server = ServerProcess::start("--threads 1");
    let plan = format!("{} -k -c 16 -t 1 -d 2s", server.url);
    let ran = run_command(group.command(&format!("{plan} --json -")));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    let told = format!("{:#} {:#}", document["generator"], document["limited_by"]);
    assert_eq!(number(&document, "/host/cpu_quota"), 0.03);
    // It would have used a good part of a CPU, and may use so much also of one that is full.
    assert!(number(&document, "/generator/throttled_s") > 0.2, "{told}");
    assert_finding(
        &document,
        "generator_throttled",
        &["had used up its own cpu quota of 0.03 cpus for"],
    );
    assert!(!all_findings(&document).contains(&"generator_saturated".into()), "{told}");
    assert_eq!(document["limited_by"]["who"], "generator", "{told}");
    let rows = document["series"].as_array().expect("rows");
    let stopped = rows.iter().filter_map(|row| row["generator_throttled_s"].as_f64());
    assert!(stopped.sum::<f64>() > 0.0, "{rows:#?}");
    // A pinned thread could not use what another CPU leaves.
    assert_eq!(document["plan"]["cpus"], Value::Array(Vec::new()), "{told}");
    let words: Vec<&str> = ran.stderr.split_whitespace().collect();
    let words = words.join(" ");
    for part in ["threads are not pinned (--cpus pins them)", "CPU quota (0.03", "echo "] {
        assert!(words.contains(part), "{part} in {}", ran.stderr);
    }

    let ran = run_command(group.command(&format!("doctor {plan} --json -")));
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let check = check(&ran.document(), "CPU quota");
    assert_eq!(check["verdict"], "limits", "{check:#}");
    support::assert_pastes("CPU quota", check["cure"].as_str().expect("a cure"));
    // At this rate that is enough.
    let ran = run_command(group.command(&format!("doctor {plan} -R 100 --json -")));
    assert_eq!((ran.code, &ran.document()["fits"]), (Some(0), &true.into()), "{}", ran.stderr);
}

#[test]
fn a_limit_of_memory_of_its_own_is_seen_before_the_run() {
    let _alone = alone();
    let Some(group) = Group::with_memory(32 << 20) else { return };
    let server = ServerProcess::start("--threads 1");
    for (connections, expected) in [(64, "fits"), (16_000, "prevents")] {
        let plan = format!("doctor {} -c {connections} --json -", server.url);
        let ran = run_command(group.command(&plan));
        let check = check(&ran.document(), "memory limit");
        assert_eq!(check["verdict"], expected, "{check:#}");
        assert!(
            check["current"].as_str().is_some_and(|text| text.contains("of 33.6 MB")),
            "{check:#}"
        );
        support::assert_pastes("memory limit", check["cure"].as_str().expect("a text"));
    }
    let ran = run_command(group.command(&format!("{} -c 16000 -d 1s", server.url)));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("kills a process that exceeds it"), "{}", ran.stderr);
}

/// What `doctor` says of a setting.
fn check(document: &Value, knob: &str) -> Value {
    let checks = document["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["knob"] == knob);
    found.unwrap_or_else(|| panic!("no {knob} in {checks:#?}")).clone()
}
