//! One listener per thread, all on one port.
//!
//! `SO_REUSEPORT` gives every thread its own accept queue, so that threads neither wake each other
//! nor contend for a lock when connections are short.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Longer than any accept queue should get; the kernel cuts it down to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// Binds `count` listeners on `addr` and returns them with the address they got.
///
/// The listeners are blocking: io_uring wants them so, epoll switches them over itself.
pub(crate) fn listen_all(addr: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let explain = |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}"));
    refuse_shared_port(addr).map_err(explain)?;
    let first = listen(addr).map_err(explain)?;
    // Port 0 asked the kernel to choose; the others have to follow its choice.
    let chosen = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listen(chosen).map_err(explain)?);
    }
    Ok(listeners)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_socket(addr)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit this from the listener: no system call per connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Fails if anybody listens on the port already.
///
/// With `SO_REUSEPORT` alone, a second server of the same user would start without a complaint and
/// take half of the connections away from the first.
fn refuse_shared_port(addr: SocketAddr) -> io::Result<()> {
    if addr.port() == 0 {
        return Ok(());
    }
    new_socket(addr)?.bind(&addr.into())
}

fn new_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run in TIME_WAIT must not keep the port.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_share_the_chosen_port() {
        let listeners = listen_all("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert_ne!(ports[0], 0);
        assert_eq!(ports, [ports[0]; 3]);
    }

    #[test]
    fn a_port_in_use_is_refused_even_when_it_could_be_shared() {
        let first = listen_all("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let addr = first[0].local_addr().unwrap();
        let error = listen_all(addr, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    }
}
