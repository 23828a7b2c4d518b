//! `ringshot tune` against a real kernel, in a network namespace of its own: no setting of the
//! machine itself is ever changed here.

mod support;

use ringshot::cure;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use support::netns::{self, Namespace, isolated};

/// Settings that every network namespace has of its own.
const KNOBS: [&str; 3] =
    ["net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse", "net.core.somaxconn"];
const BEFORE: [&str; 3] = ["32768\t60999", "2", "4096"];
const TARGETS: [&str; 3] = ["10240\t65535", "1", "16384"];
const NOBODY: u32 = 65_534;

/// A namespace whose settings are all to be changed, whatever the machine's are.
fn usual(namespace: &Namespace) {
    for (name, value) in KNOBS.iter().zip(BEFORE) {
        namespace.set(name, value);
    }
}

fn values(namespace: &Namespace) -> Vec<String> {
    KNOBS.iter().map(|name| namespace.get(name)).collect()
}

/// Not there at first; removed when dropped.
struct StateDirectory(PathBuf);

impl StateDirectory {
    fn new(name: &str) -> StateDirectory {
        // The name of a directory that was new, and is gone again.
        let name = format!("ringshot-tune-{name}-");
        let directory = tempfile::Builder::new().prefix(&name).tempdir().expect("a directory");
        StateDirectory(directory.path().to_owned())
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program in the namespace of the calling thread.
fn command(state: &StateDirectory, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringshot"));
    command.arg("tune").args(arguments).arg("--state-dir").arg(&state.0).stdin(Stdio::null());
    command
}

fn tune(state: &StateDirectory, arguments: &[&str]) -> Output {
    command(state, arguments).output().expect("the program")
}

/// The program, started by a shell script that changes what the box looks like.
fn tune_behind(script: &str, state: &StateDirectory, arguments: &[&str]) -> Output {
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "--pid", "--fork", "--mount-proc", "sh", "-ec", script, "sh"]);
    let tune = command(state, arguments);
    shell.arg(tune.get_program()).args(tune.get_args());
    shell.stdin(Stdio::null()).output().expect("unshare")
}

fn own(values: [&str; 3]) -> Vec<String> {
    values.map(str::to_owned).to_vec()
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
    isolated(&[], |namespace| {
        let state = StateDirectory::new("apply");
        usual(namespace);
        let applied = tune(&state, &with_knobs("apply"));
        assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
        let out = text(&applied.stdout);
        for name in KNOBS {
            assert!(out.contains(&format!("{name}: ")) && out.contains(" -> "), "{out}");
        }
        assert_eq!(values(namespace), TARGETS);

        let shown = tune(&state, &with_knobs("show"));
        assert!(text(&shown.stdout).contains("applied"), "{}", text(&shown.stdout));
        for (again, why) in [
            (with_knobs("apply"), "already applied at "),
            (vec!["revert", "--forget"], "still in force here"),
        ] {
            let refused = tune(&state, &again);
            assert_eq!(refused.status.code(), Some(1));
            assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
        }
        assert_eq!(values(namespace), TARGETS);

        let reverted = tune(&state, &["revert"]);
        assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted.stderr));
        assert_eq!(values(namespace), BEFORE);
        assert!(!state.0.join("tune.json").exists());
        let again = tune(&state, &["revert"]);
        assert_eq!(again.status.code(), Some(1));
        assert!(text(&again.stderr).contains("nothing to revert"), "{}", text(&again.stderr));
    });
}

#[test]
fn a_record_that_root_has_not_written_is_not_believed() {
    const FORWARD: &str = "net.ipv4.ip_forward";
    isolated(&[], |namespace| {
        let state = StateDirectory::new("forged");
        usual(namespace);
        assert_eq!(tune(&state, &with_knobs("apply")).status.code(), Some(0));
        let (forward, path) = (namespace.get(FORWARD), state.0.join("tune.json"));
        let refused = |why: &str| {
            let refused = tune(&state, &["revert"]);
            let told = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{told}");
            assert!(told.contains(why) && told.contains("\n  cure: "), "{told}");
            assert_eq!(
                (values(namespace), namespace.get(FORWARD)),
                (own(TARGETS), forward.clone())
            );
        };
        let record = std::fs::read_to_string(&path).expect("a record");
        let forged = record.replace(KNOBS[2], FORWARD).replace("\"4096\"", "\"1\"");
        std::fs::write(&path, forged).expect("written");
        refused("tune.json: it names \"net.ipv4.ip_forward\"");
        std::fs::write(&path, record).expect("written");
        let mode = |mode| std::fs::set_permissions(&state.0, Permissions::from_mode(mode));
        mode(0o777).expect("set");
        refused("(mode 0777), so its contents cannot be trusted");
        mode(0o755).expect("set");
        assert_eq!(tune(&state, &["revert"]).status.code(), Some(0));
        assert_eq!(values(namespace), BEFORE);
    });
}

#[test]
fn another_namespace_is_another_matter() {
    isolated(&[], |namespace| {
        let state = StateDirectory::new("other");
        usual(namespace);
        assert_eq!(tune(&state, &with_knobs("apply")).status.code(), Some(0));
        isolated(&[], |other| {
            assert_ne!(values(other), TARGETS, "it got nothing of what was applied");
            usual(other);
            let wrong = tune(&state, &["revert"]);
            assert_eq!(wrong.status.code(), Some(1));
            let told = text(&wrong.stderr);
            assert!(told.contains("another network namespace"), "{told}");
            assert_eq!(values(other), BEFORE);
        });
        assert_eq!(values(namespace), TARGETS);
        assert_eq!(tune(&state, &["revert"]).status.code(), Some(0));
        assert_eq!(values(namespace), BEFORE);
    });
}

#[test]
fn without_root_nothing_changes() {
    isolated(&["install"], |namespace| {
        let state = StateDirectory::new("nobody");
        usual(namespace);
        // The program may lie below a directory that is closed to others. It is copied by another
        // process: what a neighbour starts meanwhile must not have it open for writing.
        let directory = tempfile::tempdir().expect("a directory");
        let open = Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).expect("set");
        let program = directory.path().join("ringshot");
        let mut install = Command::new("install");
        install.args(["-m", "755", env!("CARGO_BIN_EXE_ringshot")]).arg(&program);
        assert!(install.status().expect("install").success());
        let mut nobody = Command::new(program);
        nobody.args(command(&state, &with_knobs("apply")).get_args()).stdin(Stdio::null());
        let Ok(refused) = nobody.current_dir("/").uid(NOBODY).gid(NOBODY).output() else {
            return netns::skip("nobody may start a program from the temporary directory");
        };
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains("not permitted"), "{}", text(&refused.stderr));
        assert_eq!(text(&refused.stdout), "");
        assert_eq!(values(namespace), BEFORE);
        assert!(!state.0.exists());
    });
}

#[test]
fn a_read_only_proc_is_told_as_what_it_is() {
    isolated(&["unshare", "mount"], |namespace| {
        let state = StateDirectory::new("read-only");
        usual(namespace);
        let script = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; \"$@\"";
        let refused = tune_behind(script, &state, &with_knobs("apply"));
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("mounted read-only here") && told.contains(KNOBS[2]), "{told}");
        assert!(told.contains("cure: in a container, set them from the host"), "{told}");
        assert!(!told.contains("leave it out"), "{told}");
        assert_eq!(values(namespace), BEFORE);
        assert!(!state.0.exists());
    });
}

#[test]
fn a_setting_of_the_whole_box_is_skipped_in_a_namespace() {
    isolated(&["unshare", "mount"], |_| {
        // The first process of its own /proc stays in one namespace, the program is in another;
        // and what it might write to is a file that only looks like the setting.
        let state = StateDirectory::new("whole-box");
        std::fs::create_dir_all(&state.0).expect("a directory");
        let limit = state.0.join("limit");
        std::fs::write(&limit, "1000\n").expect("a file");
        let stand_in = format!("mount --bind '{}' /proc/sys/fs/file-max; ", limit.display());
        let arguments = ["apply", "--knob", "fs.file-max"];

        let skipped = tune_behind(&(stand_in.clone() + "unshare --net \"$@\""), &state, &arguments);
        let told = text(&skipped.stdout);
        assert_eq!(skipped.status.code(), Some(0), "{}", text(&skipped.stderr));
        assert!(told.contains("fs.file-max: skipped: belongs to the whole machine"), "{told}");
        assert_eq!(std::fs::read_to_string(&limit).expect("a value"), "1000\n");

        let applied = tune_behind(&(stand_in + "\"$@\""), &state, &arguments);
        let told = text(&applied.stdout);
        assert!(told.contains("fs.file-max: 1000 -> 2097152"), "{told}{}", text(&applied.stderr));
    });
}

#[test]
fn what_is_not_tracked_makes_no_entry() {
    const ENTRIES: &str = "net.netfilter.nf_conntrack_count";
    isolated(&["nft"], |namespace| {
        namespace.track_connections();
        let mut listeners = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener")];
        match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
            Ok(listener) => listeners.push(listener),
            Err(error) => eprintln!("skipped: no IPv6 here: {error}"),
        }
        for listener in &listeners {
            let port = listener.local_addr().expect("an address").port();
            let cure = cure::notrack(port);
            let pasted = Command::new("sh").arg("-ec").arg(cure.trim_matches('`')).output();
            let pasted = pasted.expect("a shell");
            assert!(pasted.status.success(), "{cure}\n{}", text(&pasted.stderr));
            (0..5).for_each(|_| exchange(listener));
            assert_eq!(namespace.get(ENTRIES), "0", "{cure}");
        }
        // Without the cure there is something to see.
        let undone = Command::new("nft").args(["delete", "table", "inet", "ringshot_raw"]).status();
        assert!(undone.expect("nft").success());
        exchange(&listeners[0]);
        assert_ne!(namespace.get(ENTRIES), "0");
    });
}

/// A connection with a byte in both directions, closed by the server first.
fn exchange(listener: &TcpListener) {
    let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("open");
    let (mut server, _) = listener.accept().expect("accepted");
    let mut byte = [0];
    client.write_all(b"?").and_then(|()| server.read_exact(&mut byte)).expect("asked");
    server.write_all(b"!").and_then(|()| client.read_exact(&mut byte)).expect("answered");
    drop(server);
    assert_eq!(client.read(&mut byte).expect("the end"), 0);
}
