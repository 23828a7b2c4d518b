//! `ringshot tune` against a real kernel, in a network namespace of its own: no setting of the
//! machine itself is ever named here. Needs root, `unshare` and `nsenter`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Settings that every network namespace has of its own.
const KNOBS: [&str; 3] =
    ["net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse", "net.core.somaxconn"];
const TARGETS: [&str; 3] = ["10240 65535", "1", "16384"];
const NOBODY: u32 = 65_534;

/// A network namespace that exists as long as this does.
struct Namespace {
    keeper: Child,
}

impl Namespace {
    /// `None`, said aloud, where this user or box cannot have one.
    fn new() -> Option<Namespace> {
        let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        let spawned = Command::new("unshare")
            .args(["--net", "sleep", "60"])
            .stderr(Stdio::null())
            .spawn()
            .ok()
            .map(|keeper| Namespace { keeper });
        let deadline = Instant::now() + Duration::from_secs(5);
        if let Some(mut namespace) = spawned {
            let link = format!("/proc/{}/ns/net", namespace.keeper.id());
            while Instant::now() < deadline
                && namespace.keeper.try_wait().is_ok_and(|c| c.is_none())
            {
                if std::fs::read_link(&link).is_ok_and(|theirs| theirs != own)
                    && namespace.command("true").status().is_ok_and(|status| status.success())
                {
                    return Some(namespace);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        eprintln!("skipped: needs root, unshare and nsenter for a network namespace");
        None
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper.id())).arg(program);
        command
    }

    fn tune(&self, state: &StateDirectory, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_ringshot"));
        command.arg("tune").args(arguments).arg("--state-dir").arg(&state.0);
        command.stdin(Stdio::null()).output().expect("nsenter")
    }

    fn values(&self) -> Vec<String> {
        let value = |name: &str| {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            let output = self.command("cat").arg(path).output().expect("cat");
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        KNOBS.map(value).into()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Removed when dropped.
struct StateDirectory(PathBuf);

impl StateDirectory {
    fn new(name: &str) -> StateDirectory {
        let name = format!("ringshot-tune-{}-{name}", std::process::id());
        StateDirectory(std::env::temp_dir().join(name))
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with_knobs(action: &'static str) -> Vec<&'static str> {
    let flags = KNOBS.iter().flat_map(|name| ["--knob", name]);
    [action].into_iter().chain(flags).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.into()).expect("UTF-8")
}

#[test]
fn settings_are_applied_and_put_back_to_the_byte() {
    let (Some(namespace), Some(other)) = (Namespace::new(), Namespace::new()) else { return };
    let state = StateDirectory::new("apply");
    let (before, elsewhere) = (namespace.values(), other.values());

    let applied = namespace.tune(&state, &with_knobs("apply"));
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    let out = text(&applied.stdout);
    let now: Vec<String> = namespace.values();
    for ((name, target), now) in KNOBS.iter().zip(TARGETS).zip(&now) {
        assert!(out.contains(&format!("{name}: ")) && out.contains(" -> "), "{out}");
        assert_eq!(now.split_whitespace().collect::<Vec<_>>().join(" "), target, "{name}");
    }
    assert_eq!(other.values(), elsewhere, "another namespace is another matter");

    let shown = namespace.tune(&state, &with_knobs("show"));
    assert!(text(&shown.stdout).contains("applied"), "{}", text(&shown.stdout));

    let twice = namespace.tune(&state, &with_knobs("apply"));
    assert_eq!(twice.status.code(), Some(1));
    assert!(text(&twice.stderr).contains("already applied at "), "{}", text(&twice.stderr));

    let wrong = other.tune(&state, &["revert"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("another network namespace"), "{}", text(&wrong.stderr));
    assert_eq!((namespace.values(), other.values()), (now, elsewhere));

    let reverted = namespace.tune(&state, &["revert"]);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted.stderr));
    assert_eq!(namespace.values(), before);
    assert!(!state.0.join("tune.json").exists());
    let again = namespace.tune(&state, &["revert"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("nothing to revert"), "{}", text(&again.stderr));
}

#[test]
fn without_root_nothing_changes() {
    let Some(namespace) = Namespace::new() else { return };
    let state = StateDirectory::new("nobody");
    let before = namespace.values();
    // nsenter itself needs root, so the namespace is not entered: what fails here must fail before
    // anything is looked at.
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringshot"));
    command.arg("tune").args(with_knobs("apply")).arg("--state-dir").arg(&state.0);
    let Ok(refused) = command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).output() else {
        eprintln!("skipped: the program lies where nobody may start it");
        return;
    };
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("not permitted"), "{}", text(&refused.stderr));
    assert_eq!(text(&refused.stdout), "");
    assert_eq!(namespace.values(), before);
    assert!(!state.0.exists());
}
