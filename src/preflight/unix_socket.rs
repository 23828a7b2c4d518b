//! Whether a unix socket can be connected to, as far as that can be seen without a connection: the
//! server would count one.

use crate::kernel::{UnixSocket, unix_sockets};
use crate::words::Refusal;
use crate::words::text::escape;
use nix::unistd::{AccessFlags, eaccess};
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::os::unix::fs::FileTypeExt;

/// Refuses a path that is not a server's socket, or that this process may not use. Whether a server
/// listens is left to the run: one in another network namespace is not seen from here.
///
/// # Errors
/// The obstacle, and the cure.
pub(crate) fn check(socket: &UnixSocket) -> Result<(), Refusal> {
    let shown = escape(&socket.to_string());
    let refuse =
        |what: String, cure: &str| Err(Refusal { what, cure: cure.replace("PATH", &shown) });
    if let UnixSocket::File(path) = socket {
        let file = match std::fs::metadata(path) {
            Ok(file) => file,
            Err(error) if error.kind() == NotFound => {
                let cure = match shown.strip_prefix('@') {
                    Some(name) => format!("a name without a file: --abstract-unix-socket {name}"),
                    None => "start the server, or give its path: `ss -lx` lists the sockets that \
                             servers listen on"
                        .into(),
                };
                return refuse(format!("there is no unix socket {shown}"), &cure);
            }
            Err(error) if error.kind() == PermissionDenied => {
                return refuse(
                    format!("no permission to reach the unix socket {shown}"),
                    "run ringshot as a user that may search its directories (`namei -l PATH`)",
                );
            }
            Err(error) => {
                return refuse(
                    format!("the unix socket {shown} cannot be used: {error}"),
                    "give the path of the server's socket",
                );
            }
        };
        if !file.file_type().is_socket() {
            let what = if file.is_dir() { "a directory" } else { "a file" };
            return refuse(
                format!("{shown} is {what}, not a unix socket"),
                "give the path that the server listens on: `ss -lx`",
            );
        }
        if eaccess(path, AccessFlags::W_OK) == Err(nix::errno::Errno::EACCES) {
            return refuse(
                format!("no permission to connect to the unix socket {shown}"),
                "run ringshot as a user, or with a group, that may write to it (`ls -l PATH`)",
            );
        }
    }
    let bound = unix_sockets::bound(socket).unwrap_or_default();
    if !bound.is_empty() && bound.iter().all(|bound| bound.kind != libc::SOCK_STREAM) {
        return refuse(
            format!("the unix socket {shown} is not a stream socket, and HTTP needs one"),
            "give the path that the HTTP server listens on: `ss -lx`",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::path::Path;

    fn refusal(path: &Path) -> String {
        check(&UnixSocket::File(path.into())).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_no_socket_of_a_server_is_refused_with_the_cure() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        let _datagram = UnixDatagram::bind(at("datagram")).unwrap();
        for (name, what, cure) in [
            ("missing", "there is no unix socket", "`ss -lx`"),
            ("missing/too", "there is no unix socket", "`ss -lx`"),
            ("dangling", "there is no unix socket", "`ss -lx`"),
            ("file/behind", "cannot be used: Not a directory", "the server's socket"),
            ("file", "is a file, not a unix socket", "the path that the server listens on"),
            ("", "is a directory, not a unix socket", "the path that the server listens on"),
            ("datagram", "is not a stream socket", "the HTTP server"),
            ("m\x1b[2J", r"m\x1b[2J", "`ss -lx`"),
        ] {
            let refusal = refusal(&at(name));
            let (one, other) = refusal.split_once("\n  cure: ").expect("a cure");
            assert!(one.contains(what) && other.contains(cure), "{name}: {refusal}");
        }
        let at_sign = refusal(Path::new("@app"));
        assert!(at_sign.contains("--abstract-unix-socket app"), "{at_sign}");
    }

    #[test]
    fn a_stream_socket_is_taken_whether_or_not_somebody_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let socket = UnixSocket::File(path);
        assert_eq!(check(&socket), Ok(()));
        drop(listener);
        assert_eq!(check(&socket), Ok(()), "the run says that it is refused");
        assert_eq!(check(&UnixSocket::Abstract("ringshot-nobody".into())), Ok(()));
    }

    #[test]
    fn a_missing_right_is_named() {
        if nix::unistd::geteuid().is_root() {
            eprintln!("skipped: root may do everything (tests/unix_socket.rs has this, too)");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert!(refusal(&path).contains("no permission to connect"));
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o000)).unwrap();
        let refused = refusal(&path);
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(refused.contains("no permission to reach"), "{refused}");
    }
}
