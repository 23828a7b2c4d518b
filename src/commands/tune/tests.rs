use super::*;
use crate::kernel::fake::FakeBox;
use clap::Parser;

#[derive(Parser)]
struct Whole {
    #[command(flatten)]
    tune: TuneArgs,
}

const RANGE: &str = "net.ipv4.ip_local_port_range";
const REUSE: &str = "net.ipv4.tcp_tw_reuse";

fn usual_box() -> FakeBox {
    FakeBox::new(&[
        (RANGE, "32768\t60999"),
        (REUSE, "2"),
        ("net.ipv4.tcp_timestamps", "1"),
        ("net.core.somaxconn", "4096"),
        ("fs.file-max", "9223372036854775807"),
        ("fs.nr_open", "1048576"),
    ])
}

/// Exit code, standard output, standard error.
fn tune_as(fake: &FakeBox, system: &System, width: usize, line: &str) -> (u8, String, String) {
    let directory = fake.state_directory();
    let state = format!("--state-dir {}", directory.display());
    let words = format!("tune {state} {line}");
    let whole = Whole::try_parse_from(words.split_whitespace()).expect(line);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let style = Style { width, ..Style::PLAIN };
    let code = run_on(system, &whole.tune, style, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (code, text(out), text(err))
}

fn tune(fake: &FakeBox, line: &str) -> (u8, String, String) {
    tune_as(fake, &fake.system(), 80, line)
}

#[test]
fn every_change_is_printed_and_taken_back() {
    let fake = usual_box();
    let (code, out, err) = tune(&fake, "apply");
    assert_eq!((code, err.as_str()), (0, ""));
    let changes = format!("{RANGE}: 32768 60999 -> 10240 65535\n{REUSE}: 2 -> 1\n");
    assert!(out.starts_with(&changes), "{out}");
    assert!(out.contains("nf_conntrack_max: skipped: not in this kernel"), "{out}");
    assert!(!out.contains("somaxconn"), "a server's: {out}");
    assert_eq!(fake.value("net.core.somaxconn"), "4096");

    let (code, out, _) = tune(&fake, "");
    assert_eq!(code, 0);
    assert!(out.contains("  ≥ 10240 65535  applied\n"), "{out}");
    assert!(
        out.contains(&changes.replace("net.ipv4.ip", "  net.ipv4.ip").replace("\nnet", "\n  net"))
    );

    let (code, out, _) = tune(&fake, "revert");
    assert_eq!(code, 0);
    assert!(out.starts_with(&format!("{REUSE}: 1 -> 2\n{RANGE}: 10240 65535 -> 32768 60999\n")));
    assert_eq!(fake.value(RANGE), "32768\t60999");
    assert_eq!(tune(&fake, "revert").0, 1);
}

#[test]
fn only_the_named_knobs_change() {
    let fake = usual_box();
    let (code, out, _) = tune(&fake, &format!("apply --knob {REUSE} --knob net.core.somaxconn"));
    assert_eq!(code, 0, "{out}");
    assert_eq!(fake.value(RANGE), "32768\t60999");
    assert_eq!((fake.value(REUSE), fake.value("net.core.somaxconn")), ("1".into(), "16384".into()));
}

#[test]
fn a_name_that_cannot_be_applied_is_a_usage_error() {
    let fake = usual_box();
    for (line, what) in [
        ("apply --knob net.ipv4.nonsense", "not a setting of the catalogue"),
        ("show --knob net.ipv4.nonsense", "not a setting of the catalogue"),
        ("apply --knob net.ipv4.tcp_mem", "no recommended value"),
        ("apply --knob nofile", "a limit"),
    ] {
        let (code, out, err) = tune(&fake, line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}");
        assert!(err.starts_with("ringshot: --knob: ") && err.contains(what), "{line}: {err}");
        assert!(err.contains("\n  cure: "), "{err}");
    }
    assert!(!fake.state_directory().exists());
}

#[test]
fn without_root_apply_says_so_and_show_works() {
    let fake = usual_box();
    let system = fake.unprivileged();
    let (code, out, err) = tune_as(&fake, &system, 80, "apply");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("ringshot: not permitted"), "{err}");
    let (code, out, _) = tune_as(&fake, &system, 80, "show");
    assert_eq!(code, 0);
    let words: Vec<&str> = out.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("2 settings differ: `ringshot tune apply --role client"), "{out}");
    assert!(!fake.state_directory().exists());
}

#[test]
fn a_failure_shows_what_was_put_back() {
    let fake = usual_box();
    fake.refuses_writes("net.ipv4.tcp_max_tw_buckets");
    let (code, out, err) = tune(&fake, "apply");
    assert_eq!(code, 1);
    assert!(out.starts_with(&format!("back: {REUSE}: 1 -> 2\nback: {RANGE}: ")), "{out}");
    assert!(err.contains("cannot set net.ipv4.tcp_max_tw_buckets to 262144"), "{err}");
    assert_eq!((fake.value(RANGE), fake.value(REUSE)), ("32768\t60999".into(), "2".into()));
}

#[test]
fn the_page_is_as_wide_as_the_terminal() {
    let fake = usual_box();
    fake.file("etc/sysctl.conf", "net.ipv4.tcp_tw_recycle = 1\n");
    for width in [60, 80, 100] {
        for flags in ["", " --explain"] {
            let line = format!("show --role all{flags}");
            let (code, out, _) = tune_as(&fake, &fake.system(), width, &line);
            assert_eq!(code, 0);
            assert!(out.contains("/etc/sysctl.conf:1  net.ipv4.tcp_tw_recycle\n"), "{out}");
            // A command is not torn apart, however long it is.
            let text = out.lines().filter(|line| !line.contains("/state") && !line.contains('`'));
            for line in text {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn a_record_can_be_forgotten() {
    let fake = usual_box();
    tune(&fake, "apply");
    fake.set("kernel.random.boot_id", "second-boot");
    let (_, out, _) = tune(&fake, "show");
    assert!(out.contains("undone by the restart"), "{out}");
    let (code, _, err) = tune(&fake, "revert");
    assert!(code == 1 && err.contains("--forget"), "{err}");
    let (code, out, _) = tune(&fake, "revert --forget");
    assert_eq!((code, out.as_str()), (0, "the record is removed; no setting was changed\n"));
    assert_eq!(fake.value(REUSE), "1", "changes nothing");
}

#[test]
fn what_is_in_force_is_not_forgotten() {
    let fake = usual_box();
    tune(&fake, "apply");
    let (code, out, err) = tune(&fake, "revert --forget");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("still in force here"), "{err}");
    assert!(err.contains("\n  cure: `ringshot tune revert --state-dir "), "{err}");
    assert_eq!(tune(&fake, "revert").0, 0);
}

#[test]
fn a_record_that_cannot_be_read_is_told_with_a_cure() {
    let fake = usual_box();
    fake.file("state/tune.json", "{");
    let (code, out, err) = tune(&fake, "show");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("ringshot: cannot read "), "{err}");
    assert!(err.contains("\n  cure: if it was damaged: "), "{err}");
}

#[test]
fn a_page_that_cannot_be_written_is_told_without_a_cure() {
    let fake = usual_box();
    let directory = fake.state_directory();
    let words = ["tune", "--state-dir", directory.to_str().expect("UTF-8"), "show"];
    let whole = Whole::try_parse_from(words).expect("a command");
    let (mut nowhere, mut err): (&mut [u8], _) = (&mut [], Vec::new());
    let code = run_on(&fake.system(), &whole.tune, Style::PLAIN, &mut nowhere, &mut err);
    let err = String::from_utf8(err).expect("UTF-8");
    assert_eq!(code, 1, "{err}");
    assert!(err.starts_with("ringshot: cannot write ") && !err.contains("cure"), "{err}");
}

#[test]
fn what_was_applied_is_applied_although_nobody_could_read_it() {
    let fake = usual_box();
    let directory = fake.state_directory();
    let words = ["tune", "--state-dir", directory.to_str().expect("UTF-8"), "apply"];
    let whole = Whole::try_parse_from(words).expect("a command");
    let (mut nowhere, mut err): (&mut [u8], _) = (&mut [], Vec::new());
    let code = run_on(&fake.system(), &whole.tune, Style::PLAIN, &mut nowhere, &mut err);
    let err = String::from_utf8(err).expect("UTF-8");
    assert_eq!((code, fake.value(REUSE).as_str()), (0, "1"), "{err}");
    assert!(err.starts_with("ringshot: cannot write to standard output: "), "{err}");
}

#[test]
fn a_knob_of_the_whole_box_is_left_out_aloud() {
    let fake = usual_box();
    fake.set("fs.file-max", "1000");
    fake.enter_namespace("net:[2]");
    let told = "belongs to the whole machine: apply it outside of this network namespace";
    let (code, out, _) = tune_as(&fake, &fake.system(), 100, "show");
    assert_eq!(code, 0);
    assert!(out.contains("≥ 2097152      whole box\n"), "{out}");
    assert!(out.contains(&format!("\nfs.file-max {told}.\n")), "{out}");
    assert!(out.contains("2 settings differ"), "it does not count: {out}");
    let (code, out, _) = tune(&fake, "apply");
    assert_eq!(code, 0);
    assert!(out.contains(&format!("fs.file-max: skipped: {told}\n")), "{out}");
    assert_eq!(fake.value("fs.file-max"), "1000");
}

#[test]
fn a_group_is_explained_once_before_its_knobs() {
    let fake = usual_box();
    let (_, out, _) = tune_as(&fake, &fake.system(), 100, "show --role all --explain");
    let whole = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for group in &catalogue().groups {
        let first = &group.knobs[0];
        let explained = format!("{} {} {} default", group.title, group.prose, first.name);
        assert_eq!(whole.matches(&group.prose).count(), 1, "{}", group.title);
        assert!(whole.contains(&explained), "{explained}");
    }
    let (_, out, _) = tune(&fake, "show --role all");
    assert!(!out.contains("A connection is named by four numbers"), "{out}");
}

#[test]
fn lines_of_files_are_not_called_useless_when_they_harm() {
    let fake = usual_box();
    fake.file("etc/sysctl.conf", "net.ipv4.tcp_timestamps = 0\n");
    let (_, out, _) = tune(&fake, "show");
    let heading = "\nLines of this box's files that do not help, or that harm\n";
    assert!(out.contains(heading), "{out}");
    assert!(out.contains("Bad advice on every kernel. "), "{out}");
}

#[test]
fn the_real_box_is_shown_and_not_touched() {
    let fake = FakeBox::new(&[]);
    let (code, out, err) = tune_as(&fake, &System::this_box(), 100, "show --role all");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(RANGE), "{out}");
}
