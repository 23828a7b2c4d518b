//! `--unix-socket`: which socket connections go to, instead of the host and port of the URL.

use super::Plan;
use crate::engine::policy::CloseMode;
use crate::engine::ports::PortChoice;
use crate::kernel::UnixSocket;
use crate::plan::AddressChoice;
use crate::plan::flags::RunArgs;
use crate::words::UsageError;
use percent_encoding::percent_decode_str;

const FILE: &str = "--unix-socket";
const ABSTRACT: &str = "--abstract-unix-socket";

/// The socket that was asked for.
///
/// # Errors
/// A path or a name that no socket can have; both; no URL.
pub(super) fn asked(cli: &RunArgs) -> Result<Option<UnixSocket>, UsageError> {
    let (flag, socket) = match (&cli.unix_socket, &cli.abstract_unix_socket) {
        (None, None) => return Ok(None),
        (Some(path), None) => (FILE, UnixSocket::File(path.clone())),
        (None, Some(name)) => (ABSTRACT, UnixSocket::Abstract(name.clone())),
        (Some(_), Some(_)) => {
            return Err(UsageError(format!("{ABSTRACT}: {FILE} is given, too; leave one out")));
        }
    };
    let shown = flag_and_value(&socket);
    let max = UnixSocket::BYTES_MAX;
    match socket.bytes().len() {
        0 => Err(UsageError(format!(
            "{flag}: it is empty; give the socket that the server listens on"
        ))),
        bytes if bytes > max => Err(UsageError(format!(
            "{shown}: it has {bytes} bytes, but the address of a unix socket has room for {max}{}",
            match socket {
                UnixSocket::File(_) =>
                    "; give a shorter path, such as a symbolic link or a relative one",
                UnixSocket::Abstract(_) => "",
            }
        ))),
        _ if cli.url.is_none() => Err(UsageError(format!(
            "{shown}: the URL is missing, which gives the Host header and the path; add \
             http://localhost/"
        ))),
        _ => Ok(Some(socket)),
    }
}

/// Refuses flags that a unix socket rules out.
///
/// # Errors
/// The flag that contradicts it.
pub(super) fn check(plan: &Plan) -> Result<(), UsageError> {
    let Some(socket) = plan.unix_socket() else { return Ok(()) };
    let ports = plan.source_ports != PortChoice::Auto;
    for (flag, given, why) in [
        ("--source-ip", !plan.source_ips.names().is_empty(), "it has no addresses; leave it out"),
        (
            "--addresses all",
            plan.addresses == AddressChoice::All,
            "there is only one; leave it out",
        ),
        ("--source-ports", ports, "it has no ports; leave it out"),
        (
            "--close rst",
            plan.policy.close == CloseMode::Rst,
            "it has no reset; give --close client, which leaves no TIME_WAIT behind either",
        ),
    ] {
        if given {
            let shown = flag_and_value(socket);
            return Err(UsageError(format!("{flag}: {shown} is a unix socket, and {why}")));
        }
    }
    Ok(())
}

/// As it is typed.
fn flag_and_value(socket: &UnixSocket) -> String {
    let flag = match socket {
        UnixSocket::File(_) => FILE,
        UnixSocket::Abstract(_) => ABSTRACT,
    };
    format!("{flag} {}", quoted(&String::from_utf8_lossy(socket.bytes())))
}

fn quoted(text: &str) -> String {
    let quoted = shlex::try_quote(text).map_or_else(|_| text.into(), |quoted| quoted.into_owned());
    quoted
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
        .collect()
}

/// How a URL that names a unix socket is to be given, as nginx and others spell it: `unix:/path`,
/// `http://unix:/path:/page`, `http+unix://%2Fpath/page`.
pub(super) fn cure(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (path, target) = match scheme.to_ascii_lowercase().as_str() {
        "http+unix" => {
            let (host, target) = rest.split_once('/').unwrap_or((rest, ""));
            (percent_decode_str(host).decode_utf8_lossy().into_owned(), target)
        }
        "unix" => file(rest),
        "http" | "https" => file(rest.strip_prefix("unix:").filter(|rest| rest.starts_with('/'))?),
        _ => return None,
    };
    let url = quoted(&format!("http://localhost/{target}"));
    Some(format!("a unix socket is not part of the URL; give {FILE} {} {url}", quoted(&path)))
}

/// The path, and behind `:/` the target.
fn file(rest: &str) -> (String, &str) {
    // As many slashes as the spelling has, one belongs to the path.
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    let rest = &rest[slashes.saturating_sub(1)..];
    let (path, target) = rest.split_once(":/").unwrap_or((rest.trim_end_matches(':'), ""));
    (path.to_owned(), target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::driver::uring::Tier;
    use crate::plan::tests::plan;

    #[test]
    fn no_option_of_tcp_is_set_and_no_direct_descriptor_used() {
        for flags in [&[][..], &["-k"], &["-p", "8"], &["--close", "client"]] {
            let over_unix = [&["--unix-socket", "/run/app.sock", "http://a:81/x"], flags].concat();
            let plan = plan(&over_unix).unwrap();
            assert!(plan.socket_options().is_empty(), "{flags:?}");
            assert_eq!(plan.ring_tier, Tier::Plain);
            let endpoint = plan.endpoint.unwrap();
            assert_eq!((&*endpoint.host_header, &*endpoint.target), ("a:81", "/x"));
            assert_eq!(endpoint.socket, Some(UnixSocket::File("/run/app.sock".into())));
        }
        let basic = plan(&["--unix-socket", "/a", "http://a/", "--ring-tier", "basic"]).unwrap();
        assert_eq!(basic.ring_tier, Tier::Basic);
    }

    #[test]
    fn the_longest_path_is_taken_and_a_longer_one_is_not() {
        let asked = |path: &str| plan(&["--unix-socket", path, "http://a/"]);
        assert!(asked(&"x".repeat(UnixSocket::BYTES_MAX)).is_ok());
        let refused = asked(&"x".repeat(UnixSocket::BYTES_MAX + 1)).unwrap_err().0;
        assert!(refused.contains("has 108 bytes") && refused.contains("room for 107"), "{refused}");
        let empty = plan(&["--abstract-unix-socket", "", "http://a/"]).unwrap_err().0;
        assert!(empty.starts_with("--abstract-unix-socket: it is empty"), "{empty}");
        let steering = plan(&["--unix-socket", "a\x1b[2J"]).unwrap_err().0;
        assert!(!steering.contains('\x1b'), "{steering}");
    }

    #[test]
    fn a_url_that_names_a_socket_is_answered_with_the_flag() {
        for (url, cure_) in [
            ("http://unix:/run/app.sock:/", Some("/run/app.sock http://localhost/")),
            ("http://unix:/run/app.sock:/a?b", Some("/run/app.sock 'http://localhost/a?b'")),
            ("http://unix:/run/app.sock", Some("/run/app.sock http://localhost/")),
            ("http://unix:/run/app.sock:", Some("/run/app.sock http://localhost/")),
            ("http://unix:///run/app.sock", Some("/run/app.sock http://localhost/")),
            ("unix:/run/app.sock", Some("/run/app.sock http://localhost/")),
            ("unix:/run/app.sock:/x", Some("/run/app.sock http://localhost/x")),
            ("unix:///run/app.sock", Some("/run/app.sock http://localhost/")),
            ("unix://run/a b:/x", Some("'run/a b' http://localhost/x")),
            ("http+unix://%2Frun%2Fapp.sock/x/y", Some("/run/app.sock http://localhost/x/y")),
            // A machine may have that name.
            ("http://unix/", None),
            ("http://unix:8080/x:/y", None),
            ("unix:8080/", None),
            ("http://a/?next=http://unix:/x", None),
            ("ftp://unix:/x", None),
        ] {
            let found = cure(url);
            let given =
                found.as_deref().map(|text| text.split_once("give --unix-socket ").unwrap().1);
            assert_eq!(given, cure_, "{url}");
        }
    }
}
