use super::*;
use crate::kernel::fake::FakeBox;
use crate::tuning::catalogue::catalogue;

const RANGE: &str = "net.ipv4.ip_local_port_range";
const REUSE: &str = "net.ipv4.tcp_tw_reuse";
const BACKLOG: &str = "net.core.somaxconn";
const SYN: &str = "net.ipv4.tcp_max_syn_backlog";
const TRACKED: &str = "net.netfilter.nf_conntrack_max";
const FILES: &str = "fs.file-max";
const NAMES: [&str; 4] = [RANGE, REUSE, BACKLOG, SYN];

fn knobs(names: &[&str]) -> Vec<&'static Knob> {
    names.iter().map(|name| catalogue().knob(name).expect("a knob")).collect()
}

fn usual_box() -> FakeBox {
    FakeBox::new(&[(RANGE, "32768\t60999"), (REUSE, "2"), (BACKLOG, "4096"), (SYN, "2048")])
}

fn values(fake: &FakeBox) -> [String; 4] {
    NAMES.map(|name| fake.value(name))
}

fn apply_to(fake: &FakeBox) -> Result<Planned, ApplyFailure> {
    apply(&fake.system(), &fake.store(), &knobs(&NAMES), "client", 0)
}

fn what<T: std::fmt::Debug>(result: Result<T, ApplyFailure>) -> String {
    result.expect_err("a refusal").refusal.to_string()
}

#[test]
fn applies_all_and_reverts_to_the_byte() {
    let fake = usual_box();
    let before = values(&fake);
    let planned = apply_to(&fake).expect("applied");
    assert_eq!(values(&fake), ["10240 65535", "1", "16384", "16384"]);
    let lines: Vec<String> = planned.changes.iter().map(ToString::to_string).collect();
    assert_eq!(lines[0], "net.ipv4.ip_local_port_range: 32768 60999 -> 10240 65535");
    assert!(fake.store().path().exists());

    let restored = revert(&fake.system(), &fake.store()).expect("reverted");
    assert_eq!(restored.len(), 4);
    assert!(restored.iter().all(|done| matches!(done, Restored::Back(_))), "{restored:?}");
    assert_eq!(values(&fake), before);
    assert!(!fake.store().path().exists());
    assert!(what(revert(&fake.system(), &fake.store())).starts_with("nothing to revert"));
}

#[test]
fn what_is_fine_is_not_touched_and_never_lowered() {
    let fake = FakeBox::new(&[(RANGE, "1024\t65535"), (REUSE, "1"), (BACKLOG, "65535")]);
    let planned = apply_to(&fake).expect("nothing to do");
    assert_eq!(planned.changes, []);
    assert_eq!(planned.kept, [RANGE, REUSE, BACKLOG]);
    assert_eq!(planned.skipped, [(SYN.to_owned(), MISSING.to_owned())]);
    assert!(!fake.state_directory().exists(), "nothing changed, nothing to remember");
}

#[test]
fn the_range_is_only_widened() {
    let fake = FakeBox::new(&[(RANGE, "1024\t50000")]);
    apply_to(&fake).expect("applied");
    assert_eq!(fake.value(RANGE), "1024 65535");
}

#[test]
fn a_knob_of_another_namespace_is_skipped_aloud() {
    let fake = usual_box();
    fake.set(TRACKED, "65536");
    fake.read_only(TRACKED);
    let planned = plan(&fake.system(), knobs(&[TRACKED]));
    assert_eq!(planned.skipped, [(TRACKED.to_owned(), READ_ONLY.to_owned())]);
    assert_eq!(planned.changes, []);
}

#[test]
fn a_knob_of_the_whole_box_is_not_set_from_a_namespace_that_may_go() {
    let fake = usual_box();
    fake.set(FILES, "1000");
    let names = [FILES, REUSE];
    fake.enter_namespace("net:[2]");
    let planned = apply(&fake.system(), &fake.store(), &knobs(&names), "client", 0);
    let planned = planned.expect("the other one is applied");
    assert_eq!(planned.skipped, [(FILES.to_owned(), BOX_WIDE.to_owned())]);
    assert_eq!((fake.value(FILES), fake.value(REUSE)), ("1000".into(), "1".into()));

    revert(&fake.system(), &fake.store()).expect("reverted");
    fake.enter_namespace("net:[1]");
    apply(&fake.system(), &fake.store(), &knobs(&names), "client", 0).expect("applied");
    assert_eq!(fake.value(FILES), "2097152");
}

#[test]
fn a_write_that_fails_takes_everything_back() {
    let fake = usual_box();
    fake.refuses_writes(BACKLOG);
    let before = values(&fake);
    let failure = apply_to(&fake).expect_err("the third write fails");
    let text = failure.refusal.to_string();
    assert!(text.starts_with("cannot set net.core.somaxconn to 16384: Invalid"), "{text}");
    assert!(text.contains("as it was before"), "{text}");
    let undone: Vec<String> = failure.written.iter().map(ToString::to_string).collect();
    assert_eq!(
        undone,
        [
            "net.ipv4.tcp_tw_reuse: 1 -> 2",
            "net.ipv4.ip_local_port_range: 10240 65535 -> 32768 60999"
        ]
    );
    assert_eq!(values(&fake), before);
    assert!(!fake.store().path().exists());
}

#[test]
fn a_record_that_stays_does_not_hide_what_failed() {
    let fake = usual_box();
    let change = Change { name: BACKLOG.into(), old: "4096".into(), new: "16384".into() };
    // There is no record, so it cannot be removed.
    let failure = roll_back(&fake.system(), &fake.store(), &[change], "it says no");
    let text = failure.refusal.to_string();
    assert!(text.starts_with("cannot set net.core.somaxconn to 16384: it says no"), "{text}");
    assert!(text.contains("cannot remove ") && text.contains("tune.json: No such file"), "{text}");
    assert!(text.contains("\n  cure: `ringshot tune revert --state-dir "), "{text}");
}

#[test]
fn a_value_that_the_kernel_does_not_take_counts_as_failed() {
    let fake = usual_box();
    fake.swallows_writes(SYN);
    let before = values(&fake);
    let text = what(apply_to(&fake));
    assert!(text.contains("the kernel answers"), "{text}");
    assert_eq!(values(&fake), before);
    assert!(!fake.store().path().exists());
}

#[test]
fn without_root_nothing_happens() {
    let fake = usual_box();
    let before = values(&fake);
    let (system, store) = (fake.unprivileged(), fake.store());
    let text = what(apply(&system, &store, &knobs(&NAMES), "client", 0));
    assert!(text.starts_with("not permitted"), "{text}");
    assert_eq!(values(&fake), before);
    assert!(!fake.state_directory().exists());
    assert!(what(revert(&system, &store)).starts_with("not permitted"));
}

#[test]
fn twice_is_refused_and_a_deviation_named() {
    let fake = usual_box();
    apply_to(&fake).expect("applied");
    let applied = values(&fake);
    let text = what(apply_to(&fake));
    assert!(text.starts_with("already applied at 1970-01-01 00:00:00 UTC (client)\n"), "{text}");
    assert!(text.contains("ringshot tune revert --state-dir "), "{text}");
    assert_eq!(values(&fake), applied);

    fake.set(REUSE, "0");
    let text = what(apply_to(&fake));
    assert!(text.contains("net.ipv4.tcp_tw_reuse no longer as applied"), "{text}");
    assert!(!text.contains(BACKLOG), "{text}");
}

#[test]
fn what_somebody_else_changed_is_put_back_and_named() {
    let fake = usual_box();
    let before = values(&fake);
    apply_to(&fake).expect("applied");
    fake.set(REUSE, "0");
    let restored = revert(&fake.system(), &fake.store()).expect("reverted");
    let others: Vec<_> =
        restored.iter().filter(|done| matches!(done, Restored::FromOthers(_))).collect();
    let change = Change { name: REUSE.into(), old: "0".into(), new: "2".into() };
    assert_eq!(others, [&Restored::FromOthers(change)]);
    assert_eq!(values(&fake), before);
}

#[test]
fn a_crash_in_the_middle_is_reverted() {
    let fake = usual_box();
    let before = values(&fake);
    apply_to(&fake).expect("applied");
    // As if the process had been killed after the first two writes.
    fake.set(BACKLOG, "4096");
    fake.set(SYN, "2048");
    assert!(what(apply_to(&fake)).contains("only half of them are left"));
    let restored = revert(&fake.system(), &fake.store()).expect("reverted");
    let unchanged = |name: &str| Restored::Unchanged(name.into());
    assert_eq!(restored[..2], [unchanged(SYN), unchanged(BACKLOG)]);
    assert!(matches!(restored[2..], [Restored::Back(_), Restored::Back(_)]));
    assert_eq!(values(&fake), before);
}

#[test]
fn a_setting_that_cannot_be_put_back_keeps_the_state() {
    let fake = usual_box();
    apply_to(&fake).expect("applied");
    fake.read_only(REUSE);
    let failure = revert(&fake.system(), &fake.store()).expect_err("one is stuck");
    assert!(failure.refusal.what.contains(REUSE), "{}", failure.refusal);
    assert_eq!(failure.written.len(), 3, "the others are back");
    assert!(fake.store().path().exists());
    fake.remove(REUSE);
    let restored = revert(&fake.system(), &fake.store()).expect("reverted");
    assert!(restored.contains(&Restored::Gone(REUSE.into())));
}

#[test]
fn another_namespace_is_left_alone() {
    let fake = usual_box();
    apply_to(&fake).expect("applied");
    let applied = values(&fake);
    fake.enter_namespace("net:[2]");
    let text = what(revert(&fake.system(), &fake.store()));
    assert!(text.contains("net:[1]") && text.contains("net:[2]"), "{text}");
    assert!(what(apply_to(&fake)).contains("another network namespace"));
    assert_eq!(values(&fake), applied);
    assert!(fake.store().path().exists());
}

#[test]
fn after_a_restart_there_is_only_a_record_to_forget() {
    let fake = usual_box();
    apply_to(&fake).expect("applied");
    fake.set("kernel.random.boot_id", "second-boot");
    fake.set(REUSE, "2");
    let values_then = values(&fake);
    let text = what(revert(&fake.system(), &fake.store()));
    assert!(text.contains("restarted") && text.contains("--forget"), "{text}");
    assert!(what(apply_to(&fake)).contains("--forget"));
    assert_eq!(forget(&fake.system(), &fake.store()), Ok(()));
    assert_eq!(values(&fake), values_then);
    assert!(forget(&fake.system(), &fake.store()).is_err());
    apply_to(&fake).expect("applied again");
}

#[test]
fn what_is_in_force_is_not_forgotten() {
    let fake = usual_box();
    let before = values(&fake);
    apply_to(&fake).expect("applied");
    let text = forget(&fake.system(), &fake.store()).expect_err("in force").to_string();
    assert!(text.contains("still in force here"), "{text}");
    assert!(text.contains("`ringshot tune revert --state-dir "), "{text}");
    revert(&fake.system(), &fake.store()).expect("what it takes is still there");
    assert_eq!(values(&fake), before);
}

#[test]
fn nobody_forgets_while_another_is_at_work() {
    let fake = usual_box();
    apply_to(&fake).expect("applied");
    fake.enter_namespace("net:[2]");
    let held = fake.store().lock().expect("no error").expect("nobody else");
    let text = forget(&fake.system(), &fake.store()).expect_err("locked").to_string();
    assert!(text.starts_with("another ringshot tune is running"), "{text}");
    assert!(fake.store().path().exists());
    drop(held);
    assert_eq!(forget(&fake.system(), &fake.store()), Ok(()));
    assert!(!fake.store().path().exists());
}

#[test]
fn a_damaged_state_changes_nothing() {
    let fake = usual_box();
    let before = values(&fake);
    fake.file("state/tune.json", "{");
    assert!(what(apply_to(&fake)).starts_with("cannot read "));
    assert!(what(revert(&fake.system(), &fake.store())).starts_with("cannot read "));
    assert_eq!(values(&fake), before);
}

#[test]
fn an_unwritable_store_changes_nothing() {
    let fake = usual_box();
    let before = values(&fake);
    fake.file("state", "not a directory");
    let told = what(apply_to(&fake));
    assert!(
        told.contains("state is not a directory") && told.contains("--state-dir DIR"),
        "{told}"
    );
    assert_eq!(values(&fake), before);
}

#[test]
fn a_state_that_others_could_have_written_changes_nothing() {
    let fake = usual_box();
    apply_to(&fake).expect("applied");
    let applied = values(&fake);
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(fake.state_directory(), mode).expect("set");
    };
    mode(0o777);
    for told in [what(revert(&fake.system(), &fake.store())), what(apply_to(&fake))] {
        assert!(told.contains("/state (mode 0777), so its contents cannot be trusted"), "{told}");
    }
    assert_eq!(values(&fake), applied);
    mode(0o755);
    revert(&fake.system(), &fake.store()).expect("reverted");
}
