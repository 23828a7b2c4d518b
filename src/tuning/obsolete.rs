//! Settings in the machine's files that do not help, or that harm: those that older guides
//! recommend, and those that this kernel does not have.

use super::catalogue::catalogue;
use crate::kernel::sysctl;
use crate::kernel::system::System;
use serde::Serialize;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where settings are read from at boot; a file hides those of its name in directories below.
const DIRECTORIES: [&str; 5] =
    ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];
/// The oldest place, which has a name of its own.
const CLASSIC: &str = "etc/sysctl.conf";

/// A setting that does nothing, does something else than intended, or harms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Obsolete {
    /// The file it is in.
    pub file: PathBuf,
    /// Which line, counted from 1.
    pub line: usize,
    /// As `sysctl` has it.
    pub name: String,
    /// What is wrong with it and what to do, in sentences.
    pub text: String,
}

/// Looks through the files of the machine with this root directory.
pub(crate) fn scan(root: &Path) -> Vec<Obsolete> {
    let system = System::in_directory(root, false);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for path in files(root) {
        // /etc/sysctl.d/99-sysctl.conf is often a link to /etc/sysctl.conf, /lib one to /usr/lib.
        let Ok(real) = path.canonicalize() else { continue };
        if !real.is_file() || !seen.insert(real.clone()) {
            continue;
        }
        let Ok(bytes) = fs::read(&real) else { continue };
        for (at, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            if let Some((name, text)) = judge(&system, line) {
                let file = Path::new("/").join(real.strip_prefix(root).unwrap_or(&real));
                found.push(Obsolete { file, line: at + 1, name, text });
            }
        }
    }
    found
}

/// The files in the order in which they count.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut names = HashSet::new();
    let mut files = vec![root.join(CLASSIC)];
    for directory in DIRECTORIES {
        let Ok(entries) = fs::read_dir(root.join(directory)) else { continue };
        let mut here: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        here.sort();
        here.retain(|path| path.extension().is_some_and(|ending| ending == "conf"));
        here.retain(|path| path.file_name().is_some_and(|name| names.insert(name.to_owned())));
        files.append(&mut here);
    }
    files
}

/// The name, and what is wrong with a line; `None` if nothing is.
fn judge(system: &System, line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    // With a minus the author did not count on the setting being there.
    let (key, lenient) = match key.trim().strip_prefix('-') {
        Some(key) => (key.trim(), true),
        None => (key.trim(), false),
    };
    if key.contains(['*', '?', '[']) {
        return None;
    }
    let path = sysctl::path(key)?;
    let name = sysctl_name(&path);
    let outdated = catalogue().outdated().find(|outdated| {
        let low = |limit| value.trim().parse().is_ok_and(|value: i128| value < limit);
        sysctl::path(&outdated.name).as_ref() == Some(&path) && outdated.below.is_none_or(low)
    });
    if let Some(outdated) = outdated {
        let text = format!("{}. {} {}", capital(&outdated.since), outdated.why, outdated.instead);
        return Some((name, text));
    }
    (!lenient && !system.has(key)).then(|| {
        let text = "Not in this kernel, not in this network namespace, or its module is not \
                    loaded: it does nothing here. Remove the line, or put a minus before the name \
                    if other machines need it.";
        (name, text.into())
    })
}

/// As `sysctl -a` prints it.
fn sysctl_name(path: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        c => c,
    };
    path.chars().map(swap).collect()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeBox;
    use std::os::unix::fs::symlink;

    fn found(fake: &FakeBox) -> Vec<(String, usize, String)> {
        let show = |one: Obsolete| (one.file.display().to_string(), one.line, one.name);
        scan(&fake.root().canonicalize().expect("a root")).into_iter().map(show).collect()
    }

    fn at(file: &str, line: usize, name: &str) -> (String, usize, String) {
        (file.into(), line, name.into())
    }

    #[test]
    fn old_advice_is_found_with_its_line() {
        let fake = FakeBox::new(&[
            ("net.ipv4.tcp_fin_timeout", "60"),
            ("net.ipv4.tcp_max_tw_buckets", "131072"),
            ("net.ipv4.tcp_low_latency", "0"),
            ("net.ipv4.tcp_tw_reuse", "2"),
        ]);
        fake.file(
            "etc/sysctl.conf",
            "# net.ipv4.tcp_tw_recycle = 1\n\nnet.ipv4.tcp_tw_recycle=1\nnet/ipv4/tcp_fin_timeout = \
             15\nnet.ipv4.tcp_max_tw_buckets = 5000\nnet.ipv4.tcp_tw_reuse = 1\n",
        );
        fake.file(
            "usr/lib/sysctl.d/50-x.conf",
            "net.ipv4.tcp_max_tw_buckets = 262144\n-net.ipv4.tcp_low_latency = 1\n",
        );
        assert_eq!(
            found(&fake),
            [
                at("/etc/sysctl.conf", 3, "net.ipv4.tcp_tw_recycle"),
                at("/etc/sysctl.conf", 4, "net.ipv4.tcp_fin_timeout"),
                at("/etc/sysctl.conf", 5, "net.ipv4.tcp_max_tw_buckets"),
                at("/usr/lib/sysctl.d/50-x.conf", 2, "net.ipv4.tcp_low_latency"),
            ]
        );
        let first = &scan(fake.root())[0];
        assert!(first.text.starts_with("Removed in 4.12. "), "{}", first.text);
        assert!(first.text.contains("Remove the line"), "{}", first.text);
    }

    #[test]
    fn what_this_kernel_lacks_is_found() {
        let fake = FakeBox::new(&[("net.ipv4.conf.eth0/1.rp_filter", "1")]);
        fake.file(
            "etc/sysctl.d/10.conf",
            "net.ipv4.no_such = 1\n-net.ipv4.nor_this = 1\nnet.ipv4.conf.*.rp_filter = 1\n\
             net.ipv4.conf.eth0/1.rp_filter = 1\nnet/ipv4/conf/eth0.1/rp_filter = 1\nnonsense\n\
             ; net.comment = 1\n",
        );
        assert_eq!(found(&fake), [at("/etc/sysctl.d/10.conf", 1, "net.ipv4.no_such")]);
    }

    #[test]
    fn a_file_counts_once_and_hides_others_of_its_name() {
        let fake = FakeBox::new(&[]);
        fake.file("etc/sysctl.conf", "net.ipv4.tcp_tw_recycle = 1\n");
        fake.file("etc/sysctl.d/20.conf", "# nothing\n");
        fake.file("usr/lib/sysctl.d/20.conf", "net.ipv4.tcp_tw_recycle = 1\n");
        fake.file("usr/lib/sysctl.d/30.conf", "net.ipv4.tcp_tw_recycle = 1\n");
        fake.file("usr/lib/sysctl.d/README", "net.ipv4.tcp_tw_recycle = 1\n");
        symlink("../sysctl.conf", fake.root().join("etc/sysctl.d/99-sysctl.conf")).expect("a link");
        symlink("/dev/null", fake.root().join("etc/sysctl.d/30.conf")).expect("a link");
        assert_eq!(found(&fake), [at("/etc/sysctl.conf", 1, "net.ipv4.tcp_tw_recycle")]);
    }
}
