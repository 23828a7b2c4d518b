//! What to do about a failure; one line, for the table of errors.

use crate::engine::failure::{Failure, Kind, Phase};
use crate::kernel::Address;

/// What to do about a failure towards a target; one line, for the table of errors.
pub(crate) fn advice(failure: Failure, target: &Address) -> &'static str {
    match target {
        Address::Inet(_) => over_tcp(failure),
        Address::Unix(_) => over_unix(failure).unwrap_or_else(|| over_tcp(failure)),
    }
}

/// Where a unix socket means something else by it.
fn over_unix(failure: Failure) -> Option<&'static str> {
    use Kind::Errno;
    Some(match (failure.phase, failure.kind) {
        (Phase::Connect, Errno(libc::EAGAIN)) => {
            "the listen queue of the server is full: raise the backlog in its listen() and \
             net.core.somaxconn, or let it accept faster"
        }
        (Phase::Connect, Errno(libc::ECONNREFUSED)) => {
            "nothing listens on the unix socket: is the server running? The file stays when a \
             server ends"
        }
        (Phase::Connect, Errno(libc::ENOENT)) => {
            "the unix socket is gone: the server has ended or was restarted"
        }
        (Phase::Connect, Errno(libc::EACCES | libc::EPERM)) => {
            "no permission to write to the unix socket: `ls -l`, `namei -l`"
        }
        (Phase::Connect, Errno(libc::EPROTOTYPE)) => {
            "the unix socket is not a stream socket, and HTTP needs one"
        }
        (Phase::Receive, Errno(libc::ECONNRESET)) => {
            "the server closed before it had read the request: see its log and its limits on \
             requests"
        }
        (_, Errno(_)) if over_tcp(failure) == OTHER_ERRNO => {
            "see `man 2 connect`, `man 7 unix` for this errno"
        }
        _ => return None,
    })
}

/// For an errno that nothing better is known of.
const OTHER_ERRNO: &str = "see `man 2 connect`, `man 7 tcp` for this errno";

fn over_tcp(failure: Failure) -> &'static str {
    use Kind::{Body, Contract, Eof, Errno, Malformed, Peer, Status, Timeout, TooLarge};
    match (failure.phase, failure.kind) {
        (Phase::Connect, Errno(libc::ECONNREFUSED)) => {
            "nothing listens there: is the server running, on this address and port?"
        }
        (Phase::Connect, Errno(libc::EADDRNOTAVAIL)) => {
            "no source port is free for this target: use --source-ports auto, --close server or \
             rst, or more source addresses (--source-ip); or this machine has no address to reach \
             it from"
        }
        (Phase::Bind, Errno(libc::EADDRNOTAVAIL)) => {
            "the source address is not on this machine: `ip -brief address`, --source-ip"
        }
        (Phase::Connect, Errno(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
            "no route to this address: check `ip route get ADDRESS` and firewalls"
        }
        (Phase::Connect, Errno(libc::ETIMEDOUT) | Timeout) => {
            "no answer to the SYN: wrong address, a firewall, or a full accept queue \
             (`nstat -az TcpExtListenOverflows`)"
        }
        (Phase::Connect, Errno(libc::ECONNRESET)) => {
            "the server reset the handshake: a full accept queue with tcp_abort_on_overflow, \
             or a proxy in between"
        }
        (Phase::Connect, Errno(libc::EACCES | libc::EPERM)) => {
            "a local firewall or security module forbids it"
        }
        (Phase::Socket, Errno(libc::EMFILE | libc::ENFILE)) => {
            "out of descriptors: raise ulimit -n or sysctl fs.file-max"
        }
        (Phase::Socket, Errno(libc::ENOBUFS | libc::ENOMEM)) => {
            "out of kernel memory for sockets: use fewer connections, or raise sysctl \
             net.ipv4.tcp_mem"
        }
        (Phase::Socket, Errno(libc::ENOSPC)) => {
            "epoll watches too many sockets: raise sysctl fs.epoll.max_user_watches"
        }
        (Phase::Socket, Errno(libc::EAFNOSUPPORT)) => {
            "this address family is disabled here: use an address of the other one"
        }
        (Phase::Send, Errno(libc::EPIPE | libc::ECONNRESET)) => {
            "the server closed before it had read the request: see its log and its limits on \
             requests"
        }
        (Phase::Receive, Errno(libc::ECONNRESET)) => {
            "the server reset the connection: it crashed, ran out of workers, or limits clients"
        }
        (Phase::Response, Eof) => {
            "the server closed before the response was complete, or without one: see its log (a \
             crash, an abort) and its own time limits"
        }
        (Phase::Setup, Timeout) => "the server took too long to send its greeting: --timeout",
        (_, Timeout) => {
            "no complete response in time: the server is overloaded or stuck; --timeout"
        }
        (_, Malformed) => "ringshot cannot find the end of such a response; `curl -v` shows one",
        (_, TooLarge) => {
            "ringshot accepts heads up to 256 KiB, trailers up to 64 KiB and chunk-size lines up \
             to 4 KiB"
        }
        (_, Status) => "status outside 200-399: check the URL, the method and the headers",
        (_, Peer(_)) => "the server reported this itself: see its log",
        (_, Contract) => "the code of the protocol's session is at fault: a debug build says where",
        (_, Body) => "the body is not the expected one",
        (_, Eof) => "the server closed the connection",
        (_, Errno(_)) => OTHER_ERRNO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::UnixSocket;

    #[test]
    fn a_unix_socket_has_words_of_its_own_where_it_means_something_else() {
        let inet = Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 80)));
        let unix = Address::from(UnixSocket::File("/run/app.sock".into()));
        let connect = |errno| Failure::errno(Phase::Connect, errno);
        for (failure, words) in [
            (connect(libc::EAGAIN), "listen queue"),
            (connect(libc::ECONNREFUSED), "nothing listens on the unix socket"),
            (connect(libc::ENOENT), "the unix socket is gone"),
            (connect(libc::EACCES), "no permission"),
            (connect(libc::EPROTOTYPE), "not a stream socket"),
            (connect(libc::ENOTDIR), "man 7 unix"),
            (Failure::errno(Phase::Receive, libc::ECONNRESET), "had read the request"),
        ] {
            let advised = advice(failure, &unix);
            assert!(advised.contains(words), "{failure}: {advised}");
            assert!(!advised.contains("port") && !advised.contains("tcp"), "{failure}: {advised}");
            assert_ne!(advice(failure, &inet), advised, "{failure}");
        }
        let timeout = Failure::response(Kind::Timeout);
        assert_eq!(advice(timeout, &unix), advice(timeout, &inet));
    }
}
