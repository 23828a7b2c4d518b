//! A machine for tests: a directory with a `/proc/sys` of its own.

use super::system::System;
use crate::kernel::sysctl;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Removed when dropped.
pub(crate) struct FakeBox {
    root: PathBuf,
}

impl FakeBox {
    pub(crate) fn new(sysctls: &[(&str, &str)]) -> FakeBox {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringshot-tuning-{}-{number}", process::id());
        let fake = FakeBox { root: std::env::temp_dir().join(name) };
        fake.file("proc/self/limits", "Max open files            1024    524288    files\n");
        fake.set("kernel.random.boot_id", "first-boot");
        fake.namespace_of("1", "net:[1]");
        fake.enter_namespace("net:[1]");
        for (name, value) in sysctls {
            fake.set(name, value);
        }
        fake
    }

    pub(crate) fn system(&self) -> System {
        System::in_directory(&self.root, true)
    }

    pub(crate) fn unprivileged(&self) -> System {
        System::in_directory(&self.root, false)
    }

    pub(crate) fn state_directory(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        let directory = path.parent().expect("a directory");
        // Whatever the umask is: what others may write to is not trusted.
        DirBuilder::new().recursive(true).mode(0o755).create(directory).expect("a directory");
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o644).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
    }

    pub(crate) fn set(&self, name: &str, value: &str) {
        self.file(
            &format!("proc/sys/{}", sysctl::path(name).expect("a name")),
            &format!("{value}\n"),
        );
    }

    pub(crate) fn value(&self, name: &str) -> String {
        let text = fs::read_to_string(self.sysctl(name)).expect("a value");
        text.trim_end_matches('\n').into()
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.sysctl(name)).expect("removed");
    }

    /// As sysctls are that belong to another namespace.
    pub(crate) fn read_only(&self, name: &str) {
        fs::set_permissions(self.sysctl(name), fs::Permissions::from_mode(0o444)).expect("a mode");
    }

    /// A file that takes every value and keeps none.
    pub(crate) fn swallows_writes(&self, name: &str) {
        self.link(name, "/dev/null");
    }

    /// A file that holds a number and refuses large ones, even to root: what a process may set
    /// there ends at 1000.
    pub(crate) fn refuses_writes(&self, name: &str) {
        self.link(name, "/proc/self/oom_score_adj");
    }

    pub(crate) fn enter_namespace(&self, namespace: &str) {
        self.namespace_of("self", namespace);
    }

    /// As the kernel does from users who may not look into the machine's first process.
    pub(crate) fn hide_first_namespace(&self) {
        fs::remove_file(self.root.join("proc/1/ns/net")).expect("removed");
    }

    fn namespace_of(&self, process: &str, namespace: &str) {
        let link = self.root.join("proc").join(process).join("ns/net");
        fs::create_dir_all(link.parent().expect("a directory")).expect("a directory");
        let _ = fs::remove_file(&link);
        symlink(namespace, link).expect("a link");
    }

    fn link(&self, name: &str, to: &str) {
        let path = self.sysctl(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        let _ = fs::remove_file(&path);
        symlink(to, path).expect("a link");
    }

    fn sysctl(&self, name: &str) -> PathBuf {
        self.root.join("proc/sys").join(sysctl::path(name).expect("a name"))
    }
}

impl Drop for FakeBox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
