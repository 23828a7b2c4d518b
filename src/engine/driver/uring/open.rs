//! Opening a connection: socket, options, source, connect.
//!
//! With a direct descriptor all of it goes into the ring together. Socket, options and connect are
//! *not* linked: each is done while the batch is submitted, before the next one is looked at, so
//! the order holds by itself and the round through the kernel's task list that every link costs is
//! saved. Only bind and connect are a link, because a connect after a failed bind would go out
//! from a port that nobody has chosen. (A head of a link that posts no success takes the rest of
//! the link along in silence when it fails: its own completion is then the only one.)
//!
//! With a plain descriptor the number must be known first: the socket is made in one turn, and the
//! rest follows in the next.
//!
//! A unix socket is connected by system calls, with a no-operation in the ring that tells of it.
//! connect(2) answers there without a packet and without waiting, with EAGAIN where the server's
//! queue is full. The ring would hide that: it tries 64 times more (0.3 ms of CPU time), then leaves
//! the operation to a kernel thread of its own, which waits without an end.

use super::UringDriver;
use super::memory::NO_BLOCK;
use super::place::{DIRECT_SOCKET, EarlyFailure, NO_SOCKET, Place, bit, fact};
use super::tier::Tier;
use crate::engine::driver::{Op, SlotId, Token, scoped};
use io_uring::{opcode, squeue, types};
use std::io;
use std::net::SocketAddr;

/// Entries pushed for one `open` beside the options: socket, bind, connect.
const OPEN_ENTRIES: usize = 3;

impl UringDriver {
    pub(super) fn open_socket(&mut self, slot: SlotId, address: usize, source: Option<SocketAddr>) {
        let index = slot.index as usize;
        let domain = libc::c_int::from(self.addresses[address].address_family().as_raw());
        debug_assert_eq!(self.places[index].fd, NO_SOCKET, "the slot still has a socket");
        debug_assert_eq!(self.places[index].block, NO_BLOCK, "the slot still sends");
        let mut place = Place::new(slot, address);
        place.under_way = bit(Op::Connect);
        if let Some(source) = source {
            place.set(fact::BINDS, true);
            self.sources.keep(index, scoped(source, &self.config.addresses[address]));
        }
        self.places[index] = place;
        self.outstanding += 1;
        let token = Token { op: Op::Socket, slot }.to_bits();
        if domain == libc::AF_UNIX {
            return self.open_unix_socket(slot);
        }
        match self.features.tier {
            Tier::Direct => {
                self.places[index].fd = DIRECT_SOCKET;
                // All of it in one batch: the order of submission is what orders it.
                self.reserve(OPEN_ENTRIES + self.config.options.len());
                let at = types::DestinationSlot::try_from_slot_target(slot.index).ok();
                let entry = opcode::Socket::new(domain, libc::SOCK_STREAM, 0).file_index(at);
                self.push(&entry.build().user_data(token).flags(self.quiet()));
                self.push_rest(slot);
            }
            Tier::Plain => {
                let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
                let entry = opcode::Socket::new(domain, kind, 0).build();
                self.push(&entry.user_data(token));
            }
            Tier::Basic => self.open_by_system_call(slot, domain),
        }
    }

    /// Queues options, source and connect for a socket that exists or is about to.
    fn push_rest(&mut self, slot: SlotId) {
        if self.features.options_in_ring {
            self.push_options(slot);
        }
        if self.places[slot.index as usize].is(fact::BINDS) && self.features.bind_in_ring {
            self.push_bind(slot);
        }
        self.push_connect(slot);
    }

    fn push_options(&mut self, slot: SlotId) {
        let fd = self.places[slot.index as usize].fd;
        for index in 0..self.config.options.len() {
            let option = &self.config.options[index];
            let (level, name) = (option.level as u32, option.name as u32);
            let (value, len) = (option.pointer(), option.len());
            let entry = match self.is_direct() {
                true => {
                    let fd = types::Fixed(slot.index);
                    opcode::SetSockOpt::new(fd, level, name, value, len).build()
                }
                false => opcode::SetSockOpt::new(types::Fd(fd), level, name, value, len).build(),
            };
            let token = Token { op: Op::Option, slot };
            self.push(&entry.user_data(token.to_bits()).flags(self.quiet()));
        }
    }

    /// The head of a link: the connect behind it only runs when the source is bound.
    fn push_bind(&mut self, slot: SlotId) {
        let fd = self.places[slot.index as usize].fd;
        let source = self.sources.of(slot.index as usize);
        let (name, len) = (source.pointer(), source.len());
        let entry = match self.is_direct() {
            true => opcode::Bind::new(types::Fixed(slot.index), name, len).build(),
            false => opcode::Bind::new(types::Fd(fd), name, len).build(),
        };
        let token = Token { op: Op::Bind, slot }.to_bits();
        let flags = self.quiet() | squeue::Flags::IO_LINK;
        self.push(&entry.user_data(token).flags(flags));
    }

    fn push_connect(&mut self, slot: SlotId) {
        let place = self.places[slot.index as usize];
        let address = &self.addresses[place.address as usize];
        let (name, len) = (address.as_ptr().cast(), address.addr_len());
        let entry = match self.is_direct() {
            true => opcode::Connect::new(types::Fixed(slot.index), name, len).build(),
            false => opcode::Connect::new(types::Fd(place.fd), name, len).build(),
        };
        self.push(&entry.user_data(Token { op: Op::Connect, slot }.to_bits()));
    }

    /// For kernels without a socket operation: socket(2) and the rest.
    fn open_by_system_call(&mut self, slot: SlotId, domain: libc::c_int) {
        let place = &mut self.places[slot.index as usize];
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            place.failed_early = Some(EarlyFailure::new(Op::Socket, last_errno()));
        } else {
            place.fd = fd;
        }
        self.prepare_and_connect(slot);
    }

    /// Connected by system calls; a no-operation carries the result back.
    fn open_unix_socket(&mut self, slot: SlotId) {
        let place = &mut self.places[slot.index as usize];
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
        if fd < 0 {
            place.failed_early = Some(EarlyFailure::new(Op::Socket, last_errno()));
        } else {
            place.fd = fd;
            let address = &self.addresses[place.address as usize];
            // SAFETY: an address of that length.
            if unsafe { libc::connect(fd, address.as_ptr().cast(), address.addr_len()) } != 0 {
                place.failed_early = Some(EarlyFailure::new(Op::Connect, last_errno()));
            }
            // What follows goes through the ring, which may wait.
            // SAFETY: no pointers; our own descriptor.
            unsafe { libc::fcntl(fd, libc::F_SETFL, 0) };
        }
        let token = Token { op: Op::Connect, slot }.to_bits();
        self.push(&opcode::Nop::new().build().user_data(token));
    }

    /// Connects the plain sockets that the ring has made meanwhile.
    pub(super) fn connect_new_sockets(&mut self) {
        while let Some(slot) = self.unconnected.pop() {
            // A link must not be torn apart by a full queue.
            self.reserve(OPEN_ENTRIES + self.config.options.len());
            self.prepare_and_connect(slot);
        }
    }

    /// Does by system calls what this ring cannot, and leaves the rest to it.
    fn prepare_and_connect(&mut self, slot: SlotId) {
        let binds = self.places[slot.index as usize].is(fact::BINDS) && !self.features.bind_in_ring;
        // A bind needs the options first, and the ring comes later than a system call.
        if binds || !self.features.options_in_ring {
            self.set_options_by_system_call(slot);
        }
        if binds {
            self.bind_by_system_call(slot);
        }
        if self.places[slot.index as usize].failed_early.is_some() {
            // Must not reach anybody: connecting no socket at all carries the failure back.
            return self.push_no_connect(slot);
        }
        match binds {
            true => self.push_connect(slot),
            false => self.push_rest(slot),
        }
    }

    /// A completion for an `open` that has failed already.
    fn push_no_connect(&mut self, slot: SlotId) {
        let address = &self.addresses[0];
        let (name, len) = (address.as_ptr().cast(), address.addr_len());
        let entry = opcode::Connect::new(types::Fd(NO_SOCKET), name, len).build();
        self.push(&entry.user_data(Token { op: Op::Connect, slot }.to_bits()));
    }

    fn set_options_by_system_call(&mut self, slot: SlotId) {
        let place = &mut self.places[slot.index as usize];
        for option in &self.config.options {
            if let Err(error) = option.set(place.fd) {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                place.failed_early.get_or_insert(EarlyFailure::new(Op::Option, errno));
            }
        }
    }

    fn bind_by_system_call(&mut self, slot: SlotId) {
        let place = &mut self.places[slot.index as usize];
        let source = self.sources.of(slot.index as usize);
        // SAFETY: the source is an address of that length.
        if unsafe { libc::bind(place.fd, source.pointer(), source.len()) } != 0 {
            place.failed_early.get_or_insert(EarlyFailure::new(Op::Bind, last_errno()));
        }
    }
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
