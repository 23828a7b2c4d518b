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
//!
//! What is received lies in one of a few buffers. A read that finds none free waits its turn:
//!
//! ```text
//!   read ── no buffer ──► waiting ──► the next turn gives buffers back ──► read
//! ```

mod pool;
mod wait;

use super::{
    Address, COMPLETIONS_MAX, Completion, Config, Demand, Driver, Extent, Handover, Op, Patience,
    SINK_BYTES, SlotId, Token, extent, scoped,
};
use pool::Pool;
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

/// What a receive wants: bytes, or only the number of at most so many.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Bytes,
    Number(u32),
}

impl From<Demand> for Wanted {
    fn from(demand: Demand) -> Wanted {
        match demand {
            Demand::Read => Wanted::Bytes,
            Demand::Discard(count) => Wanted::Number(count.min(SINK_BYTES as u64) as u32),
        }
    }
}

/// What the driver knows of a slot.
#[derive(Debug, Default)]
struct Place {
    socket: Option<OwnedFd>,
    generation: u32,
    /// A receive that found nothing, or no buffer.
    wanted: Option<Wanted>,
    /// Where the latest receive has put its bytes.
    buffer: Option<u8>,
    /// The handshake is under way.
    connecting: bool,
    /// A send found no room, and its completion is owed.
    blocked: bool,
    /// The slot stands in the line for a buffer.
    waiting: bool,
    /// The socket may have bytes or the end of the stream.
    readable: bool,
    /// The peer has closed its side.
    ended: bool,
    /// The peer has sent urgent data, at which a receive stops short.
    urgent: bool,
}

/// What has completed, with the buffer that it holds.
struct Ready {
    completion: Completion,
    buffer: Option<u8>,
}

/// The driver over epoll. Made and used on one thread.
pub struct EpollDriver {
    waiter: Waiter,
    config: Config,
    /// The target's addresses, as the kernel reads them.
    addresses: Vec<SocketAddrAny>,
    places: Vec<Place>,
    pool: Pool,
    /// Whose read found no buffer, first come, first served.
    waiting: VecDeque<SlotId>,
    /// The buffers of what the latest turn has brought.
    lent: Vec<u8>,
    /// Where bytes go that nobody reads.
    sink: Vec<u8>,
    /// What has completed and was not brought yet.
    ready: VecDeque<Ready>,
}

impl EpollDriver {
    /// Sets up the epoll instance and the buffers.
    ///
    /// # Errors
    /// The kernel's answer to the set-up.
    pub fn new(config: Config) -> io::Result<EpollDriver> {
        let slots = config.slots as usize;
        Ok(EpollDriver {
            waiter: Waiter::new(config.slots.clamp(64, EVENTS_MAX) as usize)?,
            places: (0..slots).map(|_| Place::default()).collect(),
            pool: Pool::new(config.receive_buffer_bytes),
            waiting: VecDeque::new(),
            lent: Vec::with_capacity(COMPLETIONS_MAX),
            sink: vec![0; SINK_BYTES],
            // Connect or receive, and send, of each event.
            ready: VecDeque::with_capacity(2 * slots.min(EVENTS_MAX as usize)),
            addresses: config
                .addresses
                .iter()
                .map(Address::to_kernel)
                .collect::<io::Result<_>>()?,
            config,
        })
    }

    /// The place of a connection, if it is still the one that has it.
    fn place(&mut self, slot: SlotId) -> &mut Place {
        let place = &mut self.places[slot.index as usize];
        debug_assert_eq!(place.generation, slot.generation, "a verb for an earlier connection");
        place
    }

    fn tell(&mut self, op: Op, slot: SlotId, result: Result<usize, Errno>) {
        let result = result.map_err(io::Error::from);
        let completion = Completion { token: Token { op, slot }, result, more: false };
        self.ready.push_back(Ready { completion, buffer: None });
    }

    /// Makes the socket and sends the SYN; what failed, and how.
    fn begin(
        &mut self,
        slot: SlotId,
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
    fn wake(&mut self, slot: SlotId, flags: EventFlags) {
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
                self.tell(Op::Connect, slot, result);
            }
            return;
        }
        if writable && std::mem::take(&mut place.blocked) {
            // Nothing is sent yet: whoever hands over the rest learns whether it can be.
            self.tell(Op::Send, slot, Ok(0));
        }
        let place = &mut self.places[slot.index as usize];
        if place.readable
            && let Some(wanted) = place.wanted.take()
        {
            self.read(slot, wanted);
        }
    }

    /// Takes what the socket has, or remembers that it is wanted.
    fn read(&mut self, slot: SlotId, wanted: Wanted) {
        let place = &mut self.places[slot.index as usize];
        let Some(socket) = &place.socket else { return };
        place.buffer = None;
        // Of what nobody reads TCP need not make a copy.
        let (taken, buffer, flags) = match wanted {
            Wanted::Number(count) => (None, &mut self.sink[..count as usize], RecvFlags::TRUNC),
            Wanted::Bytes => match self.pool.take() {
                Some(taken) => (Some(taken), self.pool.buffer_mut(taken), RecvFlags::empty()),
                None => {
                    place.wanted = Some(wanted);
                    if !std::mem::replace(&mut place.waiting, true) {
                        self.waiting.push_back(slot);
                    }
                    return;
                }
            },
        };
        let len = buffer.len();
        let result = net::recv(socket, buffer, flags).map(|(_, count)| count);
        match taken {
            Some(taken) if matches!(result, Ok(1..)) => place.buffer = Some(taken),
            Some(taken) => self.pool.give_back(taken),
            None => {}
        }
        let more = match result {
            Err(Errno::AGAIN) => {
                place.readable = false;
                place.wanted = Some(wanted);
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
        let token = Token { op: Op::Receive, slot };
        let completion = Completion { token, result: result.map_err(io::Error::from), more };
        self.ready.push_back(Ready { completion, buffer: place.buffer });
    }

    /// Gives the buffers back that the latest turn has brought, and lets reads that wait have them.
    ///
    /// While some still wait, all buffers are in what is ready to be brought: this turn brings it.
    fn give_buffers_back(&mut self) {
        self.lent.drain(..).for_each(|buffer| self.pool.give_back(buffer));
        while !self.pool.is_empty()
            && let Some(slot) = self.waiting.pop_front()
        {
            let place = &mut self.places[slot.index as usize];
            // The slot may have gone to another connection.
            if place.generation != slot.generation {
                continue;
            }
            place.waiting = false;
            // The receive may have been cancelled.
            if place.readable
                && let Some(wanted) = place.wanted.take()
            {
                self.read(slot, wanted);
            }
        }
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

    fn open(&mut self, slot: SlotId, address: usize, source: Option<SocketAddr>) {
        let place = &mut self.places[slot.index as usize];
        debug_assert!(place.socket.is_none(), "the slot still has a socket");
        *place = Place { generation: slot.generation, ..Place::default() };
        if let Err((op, errno)) = self.begin(slot, address, source) {
            self.tell(op, slot, Err(errno));
        }
    }

    fn send(&mut self, slot: SlotId, bytes: &[u8]) -> Handover {
        let place = self.place(slot);
        let sent = match &place.socket {
            Some(socket) => net::send(socket, bytes, SendFlags::NOSIGNAL),
            None => Err(Errno::NOTCONN),
        };
        match sent {
            Ok(taken) if taken == bytes.len() => return Handover { taken, confirmed: false },
            Ok(_) | Err(Errno::AGAIN) => place.blocked = true,
            Err(errno) => self.tell(Op::Send, slot, Err(errno)),
        }
        Handover { taken: sent.unwrap_or(0), confirmed: true }
    }

    fn receive(&mut self, slot: SlotId, demand: Demand) {
        let place = self.place(slot);
        match place.readable {
            true => self.read(slot, demand.into()),
            // The edge will come.
            false => place.wanted = Some(demand.into()),
        }
    }

    fn received(&self, slot: SlotId, count: usize) -> &[u8] {
        match self.places[slot.index as usize].buffer {
            Some(buffer) => {
                &self.pool.buffer(buffer)[..count.min(self.config.receive_buffer_bytes)]
            }
            None => &[],
        }
    }

    fn extent(&mut self, slot: SlotId, extent: Extent) {
        let measured = match &self.place(slot).socket {
            Some(socket) => extent::measure(socket.as_fd(), extent),
            None => Err(Errno::NOTCONN.into()),
        };
        let result = measured.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::OPNOTSUPP));
        self.tell(Op::Extent, slot, result);
    }

    fn close(&mut self, slot: SlotId) {
        // Closing takes the socket out of the epoll instance, too: nobody else has it.
        self.place(slot).socket = None;
    }

    fn cancel(&mut self, slot: SlotId, op: Op) {
        let place = self.place(slot);
        let was_under_way = match op {
            Op::Connect => std::mem::take(&mut place.connecting),
            Op::Send => std::mem::take(&mut place.blocked),
            Op::Receive => place.wanted.take().is_some(),
            _ => false,
        };
        if was_under_way {
            self.tell(op, slot, Err(Errno::CANCELED));
        }
    }

    fn has_more(&self) -> bool {
        !self.ready.is_empty() || !self.waiting.is_empty()
    }

    /// Comes back with the first event, however many were wanted: epoll cannot hold out for more.
    fn turn(&mut self, patience: Patience, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.give_buffers_back();
        let timeout_ns = if self.ready.is_empty() { patience.timeout_ns } else { 0 };
        let count = self.waiter.wait(timeout_ns)?;
        for at in 0..count {
            let (bits, flags) = self.waiter.event(at);
            if let Some(token) = Token::from_bits(bits) {
                self.wake(token.slot, flags);
            }
        }
        let portion = self.ready.len().min(COMPLETIONS_MAX);
        for Ready { completion, buffer } in self.ready.drain(..portion) {
            self.lent.extend(buffer);
            completions.push(completion);
        }
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

    /// How many reads wait for a buffer.
    pub(super) fn starving(&self) -> usize {
        self.waiting.len()
    }

    /// How many buffers are not free.
    pub(super) fn buffers_held(&self) -> usize {
        self.pool.taken()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.pool.bytes()
    }

    pub(super) fn constant(&self) -> std::sync::Arc<[u8]> {
        self.config.constant.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<Place>(), 24);
    }
}
