//! A control group for a test of its own, in whichever version this machine has its controllers.
//!
//! The group is below the root of the tree, and goes with its last process and this value. Where it
//! cannot be made (it takes root, and a tree that is not read-only) the test says so and is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::netns::skip;

/// A group with a limit.
pub struct Group {
    folder: PathBuf,
    is_version_two: bool,
}

impl Group {
    /// One with so many microseconds of CPU time in each 100 ms.
    pub fn with_quota(quota_us: u64) -> Option<Group> {
        made(Group::of("cpu").and_then(|group| {
            match group.is_version_two {
                true => group.set("cpu.max", &format!("{quota_us} 100000")),
                false => group
                    .set("cpu.cfs_period_us", "100000")?
                    .set("cpu.cfs_quota_us", &quota_us.to_string()),
            }
        }))
    }

    /// One with so much memory.
    pub fn with_memory(bytes: u64) -> Option<Group> {
        made(Group::of("memory").and_then(|group| {
            let name = if group.is_version_two { "memory.max" } else { "memory.limit_in_bytes" };
            group.set(name, &bytes.to_string())
        }))
    }

    fn of(controller: &str) -> Result<Group, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = Path::new("/sys/fs/cgroup");
        let (tree, is_version_two) = match root.join("cgroup.controllers").exists() {
            true => (root.to_owned(), true),
            false => (root.join(controller), false),
        };
        if is_version_two {
            // The processes of the root may stay there, whatever its groups have.
            let _ = fs::write(tree.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = tree.join(format!("ringshot-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Group { folder, is_version_two })
    }

    fn set(self, name: &str, value: &str) -> Result<Group, String> {
        let file = self.folder.join(name);
        fs::write(&file, value).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(self)
    }

    /// The program in this group, with arguments as a shell would split them.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(&self.folder);
        command.arg(env!("CARGO_BIN_EXE_ringshot")).args(arguments.split_whitespace());
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

fn made(group: Result<Group, String>) -> Option<Group> {
    group.inspect_err(|why| skip(&format!("no control group can be made here: {why}"))).ok()
}
