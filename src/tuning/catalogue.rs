//! The catalogue of knobs: the TOML files in `kernel-tuning/`, embedded and parsed once.

use crate::kernel::sysctl::same;
use serde::Deserialize;
use std::sync::LazyLock;

/// The files of the catalogue, in the order in which they are shown.
pub(super) const SOURCES: [(&str, &str); 6] = [
    ("ports-and-time-wait", include_str!("../../kernel-tuning/ports-and-time-wait.toml")),
    ("backlog-and-syn", include_str!("../../kernel-tuning/backlog-and-syn.toml")),
    ("descriptors", include_str!("../../kernel-tuning/descriptors.toml")),
    ("socket-memory", include_str!("../../kernel-tuning/socket-memory.toml")),
    ("conntrack", include_str!("../../kernel-tuning/conntrack.toml")),
    ("loopback-and-nic-queues", include_str!("../../kernel-tuning/loopback-and-nic-queues.toml")),
];

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
    // The files are part of the binary, and a test parses them.
    groups: SOURCES
        .map(|(file, text)| {
            KnobGroup::parse(text).unwrap_or_else(|error| panic!("{file}.toml: {error}"))
        })
        .into(),
});

/// All knobs that ringshot knows.
pub(crate) fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}

#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    /// The groups, in the order in which they are shown.
    pub groups: Vec<KnobGroup>,
}

/// The knobs of one file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnobGroup {
    /// The group's name for people.
    pub title: String,
    /// What the knobs have in common.
    pub prose: String,
    #[serde(default, rename = "knob")]
    pub knobs: Vec<Knob>,
    /// Settings that older guides recommend and that do not help.
    #[serde(default)]
    pub obsolete: Vec<Outdated>,
}

/// One thing that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Knob {
    /// As `sysctl` has it, or the name of a limit or tool.
    pub name: String,
    /// What kind of thing it is.
    pub kind: KnobKind,
    /// Which side it matters to.
    pub roles: Vec<KnobRole>,
    /// What the kernel sets itself.
    pub default: Option<String>,
    /// The value in the generated files; none where there is only a rule.
    pub recommended: Option<String>,
    /// How the recommended value and the current one go together.
    #[serde(default)]
    pub change: Adjustment,
    /// What the value follows from.
    pub rule: String,
    /// What it limits.
    pub why: String,
    /// What a changed value may spoil.
    pub risk: String,
    /// Since when, and what has changed.
    pub kernels: String,
}

/// What kind of thing a knob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KnobKind {
    /// A file under `/proc/sys`.
    Sysctl,
    /// A resource limit of a process.
    Limit,
    /// Something that another tool sets; described here, never set.
    Tool,
}

/// Which side a knob matters to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KnobRole {
    /// The side that opens connections.
    Client,
    /// The side that accepts them.
    Server,
    /// The machine as a whole, whatever it does.
    Host,
}

/// How the recommended value and the current one go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Adjustment {
    /// The recommended value, whatever is set.
    #[default]
    Exact,
    /// The larger of the two: a machine that has more keeps it.
    Raise,
    /// The range that holds both.
    Widen,
}

/// A setting that older guides recommend and that does not help.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outdated {
    /// As `sysctl` has it.
    pub name: String,
    /// Only values below this one are bad.
    pub below: Option<i128>,
    /// Since which kernel.
    pub since: String,
    /// What became of it.
    pub why: String,
    /// What to do.
    pub instead: String,
}

impl Catalogue {
    pub(crate) fn knob(&self, name: &str) -> Option<&Knob> {
        self.knobs().find(|knob| knob.name == name)
    }

    /// All knobs, group after group.
    pub(crate) fn knobs(&self) -> impl Iterator<Item = &Knob> {
        self.groups.iter().flat_map(|group| &group.knobs)
    }

    /// Settings that do not help.
    pub(crate) fn outdated(&self) -> impl Iterator<Item = &Outdated> {
        self.groups.iter().flat_map(|group| &group.obsolete)
    }
}

impl KnobGroup {
    fn parse(text: &str) -> Result<KnobGroup, toml::de::Error> {
        let mut group: KnobGroup = toml::from_str(text)?;
        group.prose = one_line(&group.prose);
        for knob in &mut group.knobs {
            for text in [&mut knob.rule, &mut knob.why, &mut knob.risk, &mut knob.kernels] {
                *text = one_line(text);
            }
        }
        for outdated in &mut group.obsolete {
            for text in [&mut outdated.why, &mut outdated.instead] {
                *text = one_line(text);
            }
        }
        Ok(group)
    }
}

impl Knob {
    /// What to set where that is set now; `None` when there is nothing to change.
    pub(crate) fn target(&self, current: &str) -> Option<String> {
        let recommended = self.recommended.as_deref()?;
        let target = match (self.change, numbers(current), numbers(recommended)) {
            (Adjustment::Raise, Some(now), Some(wanted)) if now.len() == wanted.len() => {
                joined(now.iter().zip(&wanted).map(|(now, wanted)| *now.max(wanted)))
            }
            (Adjustment::Widen, Some(now), Some(wanted)) if now.len() == 2 && wanted.len() == 2 => {
                joined([now[0].min(wanted[0]), now[1].max(wanted[1])])
            }
            _ => recommended.into(),
        };
        (!same(&target, current)).then_some(target)
    }
}

/// The whole numbers in a value, if that is all it has.
pub(crate) fn numbers(value: &str) -> Option<Vec<i128>> {
    value.split_whitespace().map(|word| word.parse().ok()).collect()
}

fn joined(numbers: impl IntoIterator<Item = i128>) -> String {
    let words: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    words.join(" ")
}

/// The files break their lines to suit an editor; the pages that show them wrap them again.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_file_says_what_a_reader_needs() {
        let mut names = HashSet::new();
        for (file, text) in SOURCES {
            let group = KnobGroup::parse(text).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(!group.title.is_empty() && !group.prose.is_empty(), "{file}");
            assert!(!group.knobs.is_empty(), "{file}");
            for knob in &group.knobs {
                assert!(names.insert(knob.name.clone()), "{} twice", knob.name);
                for text in [&knob.rule, &knob.why, &knob.risk, &knob.kernels] {
                    assert!(text.ends_with('.') && text.len() > 5, "{}: {text:?}", knob.name);
                }
                assert!(!knob.roles.is_empty(), "{}", knob.name);
            }
            for outdated in &group.obsolete {
                for text in [&outdated.since, &outdated.why, &outdated.instead] {
                    assert!(text.len() > 5, "{}", outdated.name);
                }
            }
        }
        assert_eq!(catalogue().groups.len(), SOURCES.len());
    }

    #[test]
    fn every_recommended_value_is_made_of_whole_numbers() {
        for knob in catalogue().knobs() {
            let Some(value) = &knob.recommended else { continue };
            let numbers = numbers(value).unwrap_or_else(|| panic!("{}: {value:?}", knob.name));
            assert!(!numbers.is_empty(), "{}", knob.name);
            assert_ne!(knob.kind, KnobKind::Tool, "{}: a tool has a rule only", knob.name);
            if knob.change == Adjustment::Widen {
                assert_eq!(numbers.len(), 2, "{}", knob.name);
            }
        }
    }

    #[test]
    fn sysctls_are_named_as_sysctl_names_them() {
        for knob in catalogue().knobs().filter(|knob| knob.kind == KnobKind::Sysctl) {
            let known = knob.name.starts_with("net.") || knob.name.starts_with("fs.");
            assert!(known && !knob.name.contains('/'), "{}", knob.name);
        }
    }

    #[test]
    fn a_knob_is_found_by_name() {
        let range = catalogue().knob("net.ipv4.ip_local_port_range").expect("the port range");
        assert_eq!(range.roles, [KnobRole::Client]);
        assert!(catalogue().knob("net.ipv4.tcp_tw_recycle").is_none());
    }

    #[test]
    fn a_box_that_has_more_keeps_it() {
        let knob = |name| catalogue().knob(name).expect("a knob");
        let backlog = knob("net.core.somaxconn");
        assert_eq!(backlog.target("128").as_deref(), Some("16384"));
        assert_eq!(backlog.target("65535"), None);
        assert_eq!(knob("fs.file-max").target("9223372036854775807"), None);
        let range = knob("net.ipv4.ip_local_port_range");
        assert_eq!(range.target("32768\t60999").as_deref(), Some("10240 65535"));
        assert_eq!(range.target("1024\t60999").as_deref(), Some("1024 65535"));
        assert_eq!(range.target("1024\t65535"), None);
        assert_eq!(knob("net.ipv4.tcp_tw_reuse").target("2").as_deref(), Some("1"));
        assert_eq!(knob("net.ipv4.tcp_tw_reuse").target("1"), None);
        assert_eq!(knob("net.ipv4.tcp_timestamps").target("2"), None);
        assert_eq!(knob("net.ipv4.tcp_mem").target("1 2 3"), None);
    }
}
