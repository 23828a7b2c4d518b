//! The files that are ready to copy to `/etc`, generated from the catalogue. The program itself
//! does not need them: a test writes and compares them.

use super::catalogue::{Catalogue, Knob, KnobKind, KnobRole, SOURCES};
use crate::words::text::wrapped;
use std::fmt::Write;

/// Width of a comment, its `# ` included.
const COLUMNS: usize = 78;

/// One file to be copied to `/etc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GeneratedFile {
    /// Under `kernel-tuning/`.
    pub path: &'static str,
    /// What is in it.
    pub text: String,
}

/// All of them.
pub(crate) fn generate(catalogue: &Catalogue) -> Vec<GeneratedFile> {
    let sysctls = [
        (
            KnobRole::Client,
            "sysctl.d/60-ringshot-client.conf",
            "a machine that opens the connections",
        ),
        (
            KnobRole::Server,
            "sysctl.d/60-ringshot-server.conf",
            "a machine that accepts the connections",
        ),
        (
            KnobRole::Host,
            "sysctl.d/60-ringshot-host.conf",
            "the machine itself, whichever side it is",
        ),
    ];
    let mut files: Vec<GeneratedFile> = sysctls
        .map(|(role, path, what)| {
            let apply = format!("copy it to /etc/{path} and run `sysctl -p /etc/{path}`");
            let text = file(catalogue, |knob| sysctl(knob, role), what, &apply);
            GeneratedFile { path, text }
        })
        .into();
    let path = "limits.d/60-ringshot.conf";
    let apply = format!("copy it to /etc/security/{path} and log in again");
    files.push(GeneratedFile { path, text: file(catalogue, limit, "either side", &apply) });
    files
}

/// A file: where it comes from, then the knobs for which there is a line, group after group.
fn file(
    catalogue: &Catalogue,
    line: impl Fn(&Knob) -> Option<String>,
    what: &str,
    apply: &str,
) -> String {
    let mut text = String::from("# Generated from kernel-tuning/*.toml: do not edit.\n");
    comment(&mut text, &format!("For {what}. To use it, {apply}."));
    comment(
        &mut text,
        "If the machine already has a larger limit, leave the line out: a file like this one would \
         lower it, which `ringshot tune apply` never does.",
    );
    for ((file, _), group) in SOURCES.iter().zip(&catalogue.groups) {
        let knobs: Vec<(&Knob, String)> =
            group.knobs.iter().filter_map(|knob| Some((knob, line(knob)?))).collect();
        if !knobs.is_empty() {
            text.push('\n');
            comment(&mut text, &format!("--- {} ({file}.toml)", group.title));
        }
        for (knob, line) in knobs {
            text.push('\n');
            comment(&mut text, &knob.why);
            comment(&mut text, &format!("Risk: {}", knob.risk));
            writeln!(text, "{line}").expect("a string takes what is written");
        }
    }
    text
}

fn sysctl(knob: &Knob, role: KnobRole) -> Option<String> {
    let wanted = knob.kind == KnobKind::Sysctl && knob.roles.contains(&role);
    let value = knob.recommended.as_ref().filter(|_| wanted)?;
    // Settings of a module that may not be loaded: to lack them is no error.
    let lenient = if knob.name.starts_with("net.netfilter.") { "-" } else { "" };
    Some(format!("{lenient}{} = {value}", knob.name))
}

/// A wildcard does not cover root.
fn limit(knob: &Knob) -> Option<String> {
    let value = knob.recommended.as_ref().filter(|_| knob.kind == KnobKind::Limit)?;
    let name = &knob.name;
    Some(format!("*    hard {name} {value}\nroot hard {name} {value}"))
}

fn comment(text: &mut String, sentence: &str) {
    for line in wrapped(sentence, COLUMNS - 2) {
        writeln!(text, "# {line}").expect("a string takes what is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::catalogue::catalogue;
    use std::fs;
    use std::path::Path;

    /// Set it, and the test writes the files instead of comparing them.
    const BLESS: &str = "RINGSHOT_BLESS";

    #[test]
    fn the_files_are_what_the_catalogue_says() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernel-tuning");
        for file in generate(catalogue()) {
            let path = directory.join(file.path);
            if std::env::var_os(BLESS).is_some() {
                fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
                fs::write(&path, &file.text).expect("written");
            }
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == file.text,
                "kernel-tuning/{} differs from the catalogue; to regenerate:\n  {BLESS}=1 cargo \
                 test --lib tuning::files",
                file.path
            );
        }
    }

    #[test]
    fn a_line_for_every_value_and_a_reason_above_it() {
        let files = generate(catalogue());
        let client = &files[0].text;
        assert!(client.starts_with("# Generated from "));
        assert!(client.contains("\nnet.ipv4.ip_local_port_range = 10240 65535\n"), "{client}");
        assert!(!client.contains("somaxconn = "), "{client}");
        assert!(files[1].text.contains("\nnet.core.somaxconn = 16384\n"));
        assert!(files[3].text.contains("\nroot hard nofile 1048576\n"));
        for file in files {
            let mut before = "";
            for line in file.text.lines() {
                assert!(line.chars().count() <= COLUMNS, "{line}");
                let set = !line.is_empty() && !line.starts_with('#');
                let explained = before.starts_with('#') || before.starts_with("* ");
                assert!(!set || explained, "{}: {line}", file.path);
                before = line;
            }
        }
    }
}
