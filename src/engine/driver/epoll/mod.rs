//! The fallback: the driver over epoll, for kernels and containers without io_uring, and what the
//! ring is measured against: everything above the driver is the same.
//!
//! A verb makes its system call at once and never blocks. What the call could not do is remembered
//! in the slot's place, and done when the socket is ready:
//!
//! ```text
//!   open ──► socket setsockopt.. [bind] connect epoll_ctl ──┐
//!   send ──► send ──────── no room ──► blocked ─────────────┤   epoll_pwait2
//!   receive ─► recv ────── nothing there ──► wanted ────────┴──► turn ──► completions
//!   close ──► close
//! ```
//!
//! A socket is registered once, for everything and edge-triggered, so that a connection costs one
//! `epoll_ctl` and no removal. An edge is lost unless somebody keeps it: `readable` stays set until
//! the socket has been emptied.

mod wait;

use super::{
    Address, BUFFER_GAP_BYTES, COMPLETIONS_MAX, Completion, Config, Demand, Driver, Extent,
    Handover, Op, Patience, SINK_BYTES, Slot, Token, extent, scoped,
};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use wait::Waiter;

/// Events taken in one turn; the rest comes with the next one.
const EVENTS_MAX: u32 = 512;

/// What the driver knows of a slot.
#[derive(Debug, Default)]
struct Place {
    socket: Option<OwnedFd>,
    generation: u32,
    /// The handshake is under way.
    connecting: bool,
    /// A send found no room, and its completion is owed.
    blocked: bool,
    /// A receive that found nothing.
    wanted: Option<Demand>,
    /// The socket may have bytes or the end of the stream.
    readable: bool,
    /// The peer has closed its side.
    ended: bool,
    /// The peer has sent urgent data, at which a receive stops short.
    urgent: bool,
}

/// The driver over epoll. Made and used on one thread.
pub struct EpollDriver {
    waiter: Waiter,
    config: Config,
    /// The target's addresses, as the kernel reads them.
    addresses: Vec<SocketAddrAny>,
    places: Vec<Place>,
    /// One receive buffer a slot, which the kernel backs page by page when it is first touched.
    received: Vec<u8>,
    /// Where bytes go that nobody reads.
    sink: Vec<u8>,
    /// What has completed and was not taken yet.
    ready: VecDeque<Completion>,
}

impl EpollDriver {
    /// Sets up the epoll instance and the buffers.
    ///
    /// # Errors
    /// The kernel's answer to the set-up.
    pub fn new(config: Config) -> io::Result<EpollDriver> {
        let slots = config.slots as usize;
        let stride = config.receive_buffer_bytes + BUFFER_GAP_BYTES;
        Ok(EpollDriver {
            waiter: Waiter::new(config.slots.clamp(64, EVENTS_MAX) as usize)?,
            places: (0..slots).map(|_| Place::default()).collect(),
            received: vec![0; slots * stride],
            sink: vec![0; SINK_BYTES],
            // Connect or receive, and send, of each slot.
            ready: VecDeque::with_capacity(2 * slots),
            addresses: config
                .addresses
                .iter()
                .map(Address::to_kernel)
                .collect::<io::Result<_>>()?,
            config,
        })
    }

    /// The place of a connection, if it is still the one that has it.
    fn place(&mut self, slot: Slot) -> &mut Place {
        let place = &mut self.places[slot.index as usize];
        debug_assert_eq!(place.generation, slot.generation, "a verb for an earlier connection");
        place
    }

    fn tell(&mut self, op: Op, slot: Slot, result: Result<usize, Errno>, more: bool) {
        let result = result.map_err(io::Error::from);
        self.ready.push_back(Completion { token: Token { op, slot }, result, more });
    }

    /// Makes the socket and sends the SYN; what failed, and how.
    fn begin(
        &mut self,
        slot: Slot,
        address: usize,
        source: Option<SocketAddr>,
    ) -> Result<(), (Op, Errno)> {
        let target = &self.addresses[address];
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(target.address_family(), SocketType::STREAM, flags, None)
            .map_err(|errno| (Op::Socket, errno))?;
        let place = &mut self.places[slot.index as usize];
        let socket = place.socket.insert(socket);
        for option in &self.config.options {
            let set = option.set(socket.as_raw_fd());
            set.map_err(|error| (Op::Option, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        if let Some(source) = source {
            let source = scoped(source, &self.config.addresses[address]);
            net::bind(&*socket, &source).map_err(|errno| (Op::Bind, errno))?;
        }
        // A unix socket answers at once: connected, or EAGAIN where its queue is full.
        match net::connect(&*socket, target) {
            Ok(()) | Err(Errno::INPROGRESS) => place.connecting = true,
            Err(errno) => return Err((Op::Connect, errno)),
        }
        // Afterwards: a socket that is not connected would report that it has hung up.
        let all =
            EventFlags::IN | EventFlags::PRI | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(Token { op: Op::Connect, slot }.to_bits());
        epoll::add(&self.waiter, &*socket, data, all).map_err(|errno| {
            place.connecting = false;
            (Op::Socket, errno)
        })
    }

    /// A socket is ready for something.
    fn wake(&mut self, slot: Slot, flags: EventFlags) {
        let place = &mut self.places[slot.index as usize];
        if place.generation != slot.generation || place.socket.is_none() {
            return;
        }
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        place.ended |= flags.contains(EventFlags::RDHUP);
        place.urgent |= flags.contains(EventFlags::PRI);
        place.readable |= broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
        let writable = broken || flags.contains(EventFlags::OUT);
        if place.connecting {
            if writable {
                place.connecting = false;
                let result = if broken { failure(place) } else { Ok(0) };
                self.tell(Op::Connect, slot, result, false);
            }
            return;
        }
        if writable && std::mem::take(&mut place.blocked) {
            // Nothing is sent yet: whoever hands over the rest learns whether it can be.
            self.tell(Op::Send, slot, Ok(0), false);
        }
        let place = &mut self.places[slot.index as usize];
        if place.readable
            && let Some(demand) = place.wanted.take()
        {
            self.read(slot, demand);
        }
    }

    /// Takes what the socket has, or remembers that it is wanted.
    fn read(&mut self, slot: Slot, demand: Demand) {
        let index = slot.index as usize;
        let place = &mut self.places[index];
        let Some(socket) = &place.socket else { return };
        // Of what nobody reads TCP need not make a copy.
        let (buffer, flags) = match demand {
            Demand::Read => {
                let start = index * (self.config.receive_buffer_bytes + BUFFER_GAP_BYTES);
                let buffer = &mut self.received[start..start + self.config.receive_buffer_bytes];
                (buffer, RecvFlags::empty())
            }
            Demand::Discard(count) => {
                let len = usize::try_from(count).unwrap_or(usize::MAX).min(SINK_BYTES);
                (&mut self.sink[..len], RecvFlags::TRUNC)
            }
        };
        let len = buffer.len();
        let result = net::recv(socket, buffer, flags).map(|(_, count)| count);
        let more = match result {
            Err(Errno::AGAIN) => {
                place.readable = false;
                place.wanted = Some(demand);
                return;
            }
            // What came less than there was room for has emptied the socket (epoll(7)): the next
            // bytes will be an edge. What filled it may have done so exactly.
            Ok(count @ 1..) => {
                let left = count == len && rustix::io::ioctl_fionread(socket).is_ok_and(|n| n > 0);
                place.readable = left || place.ended || place.urgent;
                left || place.ended
            }
            _ => false,
        };
        self.tell(Op::Receive, slot, result, more);
    }
}

/// The error of a socket that is ready because it is broken.
fn failure(place: &Place) -> Result<usize, Errno> {
    match place.socket.as_ref().map(net::sockopt::socket_error) {
        Some(Ok(Err(errno)) | Err(errno)) => Err(errno),
        _ => Ok(0),
    }
}

impl Driver for EpollDriver {
    fn now_ns(&self) -> u64 {
        self.config.epoch.elapsed().as_nanos() as u64
    }

    fn open(&mut self, slot: Slot, address: usize, source: Option<SocketAddr>) {
        let place = &mut self.places[slot.index as usize];
        debug_assert!(place.socket.is_none(), "the slot still has a socket");
        *place = Place { generation: slot.generation, ..Place::default() };
        if let Err((op, errno)) = self.begin(slot, address, source) {
            self.tell(op, slot, Err(errno), false);
        }
    }

    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Handover {
        let place = self.place(slot);
        let sent = match &place.socket {
            Some(socket) => net::send(socket, bytes, SendFlags::NOSIGNAL),
            None => Err(Errno::NOTCONN),
        };
        match sent {
            Ok(taken) if taken == bytes.len() => return Handover { taken, confirmed: false },
            Ok(_) | Err(Errno::AGAIN) => place.blocked = true,
            Err(errno) => self.tell(Op::Send, slot, Err(errno), false),
        }
        Handover { taken: sent.unwrap_or(0), confirmed: true }
    }

    fn receive(&mut self, slot: Slot, demand: Demand) {
        let place = self.place(slot);
        match place.readable {
            true => self.read(slot, demand),
            // The edge will come.
            false => place.wanted = Some(demand),
        }
    }

    fn received(&self, slot: Slot, count: usize) -> &[u8] {
        let bytes = self.config.receive_buffer_bytes;
        let start = slot.index as usize * (bytes + BUFFER_GAP_BYTES);
        &self.received[start..start + count.min(bytes)]
    }

    fn extent(&mut self, slot: Slot, extent: Extent) {
        let measured = match &self.place(slot).socket {
            Some(socket) => extent::measure(socket.as_fd(), extent),
            None => Err(Errno::NOTCONN.into()),
        };
        let result = measured.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::OPNOTSUPP));
        self.tell(Op::Extent, slot, result, false);
    }

    fn close(&mut self, slot: Slot) {
        // Closing takes the socket out of the epoll instance, too: nobody else has it.
        self.place(slot).socket = None;
    }

    fn cancel(&mut self, slot: Slot, op: Op) {
        let place = self.place(slot);
        let was_under_way = match op {
            Op::Connect => std::mem::take(&mut place.connecting),
            Op::Send => std::mem::take(&mut place.blocked),
            Op::Receive => place.wanted.take().is_some(),
            _ => false,
        };
        if was_under_way {
            self.tell(op, slot, Err(Errno::CANCELED), false);
        }
    }

    fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Comes back with the first event, however many were wanted: epoll cannot hold out for more.
    fn turn(&mut self, patience: Patience, completions: &mut Vec<Completion>) -> io::Result<()> {
        let timeout_ns = if self.ready.is_empty() { patience.timeout_ns } else { 0 };
        let count = self.waiter.wait(timeout_ns)?;
        for at in 0..count {
            let (bits, flags) = self.waiter.event(at);
            if let Some(token) = Token::from_bits(bits) {
                self.wake(token.slot, flags);
            }
        }
        let portion = self.ready.len().min(COMPLETIONS_MAX);
        completions.extend(self.ready.drain(..portion));
        Ok(())
    }
}

#[cfg(test)]
impl EpollDriver {
    pub(super) fn outstanding(&self) -> u64 {
        let owed = |place: &Place| {
            u64::from(place.connecting)
                + u64::from(place.blocked)
                + u64::from(place.wanted.is_some())
        };
        self.places.iter().map(owed).sum::<u64>() + self.ready.len() as u64
    }

    pub(super) fn constant(&self) -> std::sync::Arc<[u8]> {
        self.config.constant.clone()
    }
}
