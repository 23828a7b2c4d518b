//! Connections that are closed as soon as they are established.

use super::Attempts;
use crate::engine::driver::scoped;
use crate::engine::ports::{Ports, Rotation};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How many source ports are tried where the first ones are taken.
const PORTS_TRIED_MAX: usize = 64;

/// Attempts over sockets, from the source addresses and ports that the run will use.
pub(super) struct Knocks<'a> {
    addresses: &'a [SocketAddr],
    ports: &'a Ports,
    rotation: Rotation,
    epoch: Instant,
    under_way: Vec<(usize, Socket)>,
    /// Attempts that ended as they started.
    ended: Vec<(usize, Result<(), i32>)>,
}

impl<'a> Knocks<'a> {
    pub(super) fn new(addresses: &'a [SocketAddr], ports: &'a Ports) -> Knocks<'a> {
        Knocks {
            addresses,
            ports,
            rotation: ports.rotation(0, 1),
            epoch: Instant::now(),
            under_way: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// A socket that connects; `None` when it is connected, and closed again, already.
    fn connect(&mut self, number: usize) -> io::Result<Option<Socket>> {
        let tries = self.rotation.tries(number).min(PORTS_TRIED_MAX);
        let mut tried = 0;
        loop {
            let from = self.rotation.next(number);
            let taken = match self.connect_from(self.addresses[number], from) {
                Err(error) => error,
                connecting => return connecting,
            };
            let is_taken =
                matches!(taken.raw_os_error(), Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL));
            tried += 1;
            if !is_taken || tried > tries {
                return Err(taken);
            }
        }
    }

    fn connect_from(&self, to: SocketAddr, from: Option<SocketAddr>) -> io::Result<Option<Socket>> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        for option in self.ports.socket_options() {
            option.set(socket.as_raw_fd())?;
        }
        if let Some(from) = from {
            socket.bind(&SockAddr::from(scoped(from, &to.into())))?;
        }
        match socket.connect(&SockAddr::from(to)) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(Some(socket)),
            connected => connected.map(|()| None),
        }
    }
}

impl Attempts for Knocks<'_> {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn begin(&mut self, number: usize) {
        match self.connect(number) {
            Ok(Some(socket)) => self.under_way.push((number, socket)),
            Ok(None) => self.ended.push((number, Ok(()))),
            Err(error) => self.ended.push((number, Err(errno(&error)))),
        }
    }

    fn wait(&mut self, until: Duration) -> Vec<(usize, Result<(), i32>)> {
        let mut ended = std::mem::take(&mut self.ended);
        let left = until.saturating_sub(self.now());
        let mut ready: Vec<PollFd<'_>> =
            self.under_way.iter().map(|(_, at)| PollFd::new(at, PollFlags::OUT)).collect();
        let timeout = match ended.is_empty() {
            true => Timespec::try_from(left).ok(),
            false => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
        };
        // A signal that is handled wakes it early, and the time is looked at again.
        if poll(&mut ready, timeout.as_ref()).is_err() {
            return ended;
        }
        let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut at = 0;
        self.under_way.retain(|(number, socket)| {
            let is_ready = ready[at];
            at += 1;
            if is_ready {
                let failed = socket.take_error().unwrap_or_else(Some);
                ended.push((*number, failed.map_or(Ok(()), |error| Err(errno(&error)))));
            }
            !is_ready
        });
        ended
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
