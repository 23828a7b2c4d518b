//! The product: the driver over io_uring.
//!
//! A connection costs these entries, in one `io_uring_enter` per turn together with those of all
//! the other slots, and no other system call:
//!
//! ```text
//!   SOCKET SETSOCKOPT.. [BIND] CONNECT │ SEND  RECV │ RECV (the peer's FIN) │ CLOSE
//!   └──── open ─────────────────────┘   └ exchange ┘                          and the next SOCKET
//! ```
//!
//! Successes that tell nothing new post no completion.

#![allow(unsafe_code)]

mod extent;
mod memory;
mod open;
mod place;
mod receive;
mod source;
pub mod tier;

use super::{
    Address, COMPLETIONS_MAX, Completion, Config, Demand, Driver, Extent, Handover, Op, Patience,
    SlotId, TRANSFER_BYTES_MAX, Token, prefetch,
};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use memory::{Memory, NO_BLOCK, NO_BUFFER};
use place::{EarlyFailure, NO_SOCKET, Place, bit, fact};
use rustix::net::SocketAddrAny;
use source::Sources;
use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
pub use tier::{Features, Tier, Unavailable, probe};

/// Run what completes operations (`IORING_ENTER_GETEVENTS`); missing from the crate's exports.
const ENTER_GETEVENTS: u32 = 1;

/// Sends up to this size fit into the emptiest socket buffer that Linux hands out, so nobody needs
/// to be told that they are done.
const QUIET_SEND_BYTES_MAX: usize = 8 * 1024;

/// The largest submission queue: room for the answers to the completions of one turn.
const SUBMISSIONS_MAX: u32 = 512;

/// Entries that a slot may need in one turn: a socket given back and the next one opened.
const ENTRIES_MAX: usize = 8;

/// In what the kernel hands back of a quiet send, in place of the operation: the send that is told
/// of is another one, and both may be under way.
const QUIET_SEND: u64 = 15 << 60;

/// Reads what the kernel hands back: whose it is, and whether it is that of a quiet send.
fn read_token(bits: u64) -> Option<(Token, bool)> {
    let quiet = bits & QUIET_SEND == QUIET_SEND;
    let bits = if quiet { bits & !QUIET_SEND | (Op::Send as u64) << 60 } else { bits };
    Some((Token::from_bits(bits)?, quiet))
}

/// The driver over a ring. Made and used on one thread.
pub struct UringDriver {
    ring: IoUring,
    features: Features,
    config: Config,
    /// The target's addresses, as the kernel reads them.
    addresses: Vec<SocketAddrAny>,
    places: Vec<Place>,
    sources: Sources,
    /// Given back by `drop`, or never.
    memory: ManuallyDrop<Memory>,
    /// Operations whose completion has not come yet.
    outstanding: u64,
    /// Plain descriptors that were made in the ring and wait to be connected.
    unconnected: Vec<SlotId>,
    /// Receives that found no buffer, first come, first served; some may have been cancelled.
    starved: VecDeque<SlotId>,
    overflows: u64,
    submit_ns: u64,
    /// Taken from the queue and not looked at yet; empty between two calls.
    posted: Vec<(Token, bool, cqueue::Entry)>,
    /// Taken before the turn they belong to, as the kernel had no room for more.
    early: Vec<Completion>,
    /// A queue was too full to submit: told by the next turn.
    broken: Option<io::Error>,
}

/// A ring for so many slots, with its table of direct descriptors.
fn ring(features: Features, slots: u32) -> io::Result<IoUring> {
    // Small enough to stay in the cache, large enough for a busy turn.
    let submissions = (slots.saturating_mul(4)).next_power_of_two().clamp(64, SUBMISSIONS_MAX);
    let completions = (slots.saturating_mul(2)).next_power_of_two().clamp(1024, 65536);
    let ring = tier::build(features.tier, submissions, completions)?;
    if features.tier == Tier::Direct {
        ring.submitter().register_files_sparse(slots)?;
    }
    Ok(ring)
}

/// Sets up the rings of a run and gives them back: whether there is memory for them must be known
/// while there is still a choice.
///
/// # Errors
/// Why they cannot be had.
pub fn rehearse(features: Features, rings: u32, slots: u32) -> Result<(), Unavailable> {
    match (0..rings).map(|_| ring(features, slots)).collect::<io::Result<Vec<_>>>() {
        // Too few descriptors are too few for any driver; the check of the limit has the numbers.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Ok(()),
        Err(error) => Err(tier::explain(&error)),
        Ok(_) => Ok(()),
    }
}

impl UringDriver {
    /// Sets up the ring, the direct table and the buffers.
    ///
    /// # Errors
    /// The kernel's answer to the set-up.
    pub fn new(config: Config, features: Features) -> io::Result<UringDriver> {
        let slots = config.slots;
        let over_unix = config.addresses.iter().any(|address| address.unix().is_some());
        let features = if over_unix { features.for_unix_sockets() } else { features };
        let ring = ring(features, slots)?;
        let memory = Memory::new(
            &ring.submitter(),
            slots as usize,
            config.receive_buffer_bytes,
            features.buffer_ring,
        );
        let sources = match features.tier {
            Tier::Direct => Sources::in_turn(ring.params().sq_entries() as usize),
            Tier::Plain | Tier::Basic => Sources::by_slot(slots as usize),
        };
        let nobody = SlotId { index: 0, generation: 0 };
        Ok(UringDriver {
            ring,
            features,
            addresses: config
                .addresses
                .iter()
                .map(Address::to_kernel)
                .collect::<io::Result<_>>()?,
            places: vec![Place::new(nobody, 0); slots as usize],
            sources,
            memory: ManuallyDrop::new(memory),
            config,
            outstanding: 0,
            unconnected: Vec::with_capacity(COMPLETIONS_MAX),
            starved: VecDeque::new(),
            overflows: 0,
            submit_ns: 0,
            posted: Vec::with_capacity(COMPLETIONS_MAX),
            early: Vec::new(),
            broken: None,
        })
    }

    fn is_direct(&self) -> bool {
        self.features.tier == Tier::Direct
    }

    /// Successes that nobody needs to hear of are not posted, where the kernel can do that.
    fn quiet(&self) -> squeue::Flags {
        if self.features.tier >= Tier::Plain {
            squeue::Flags::SKIP_SUCCESS
        } else {
            squeue::Flags::empty()
        }
    }

    /// Puts an entry into the queue; a full queue is submitted first.
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: whatever the entries of this file point to is owned by the driver and stays in
        // place until the operation has completed: buffers and constant block live in `memory` and
        // `config`, and `drop` gives neither back unless the kernel has said that nothing is under
        // way; addresses are read while the entry is submitted, option values are read then, too.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.submit();
            if self.broken.is_some() {
                return;
            }
        }
    }

    /// Room for entries that must reach the kernel in one go.
    fn reserve(&mut self, entries: usize) {
        let queue = self.ring.submission();
        let free = queue.capacity() - queue.len();
        drop(queue);
        if free < entries {
            self.submit();
        }
    }

    /// Submits what is queued, without waiting.
    fn submit(&mut self) {
        let begin_ns = self.now_ns();
        let submitted = self.ring.submit();
        self.submit_ns += self.now_ns() - begin_ns;
        let Err(error) = submitted else { return };
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // The kernel takes nothing more before completions have been taken.
            Some(libc::EBUSY | libc::EAGAIN) => {
                let mut early = std::mem::take(&mut self.early);
                self.harvest(&mut early, usize::MAX);
                self.early = early;
            }
            _ => self.broken = Some(error),
        }
    }

    /// Translates what the kernel posted until there are `most` completions, keeping to itself what
    /// only concerns the driver.
    fn harvest(&mut self, completions: &mut Vec<Completion>, most: usize) {
        let room = most.saturating_sub(completions.len());
        let mut posted = std::mem::take(&mut self.posted);
        for entry in self.ring.completion().take(room) {
            let Some((token, quiet)) = read_token(entry.user_data()) else { continue };
            prefetch(&self.places[token.slot.index as usize], 1);
            if token.op == Op::Receive {
                self.memory.receive.prefetch(token.slot.index as usize, entry.flags());
            }
            posted.push((token, quiet, entry));
        }
        for (token, quiet, entry) in posted.drain(..) {
            let result = entry.result();
            let place = &mut self.places[token.slot.index as usize];
            let current = place.generation == token.slot.generation;
            let mut token = token;
            let mut errno = -result;
            match token.op {
                Op::Close | Op::Cancel => continue,
                Op::Extent => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    completions.push(extent::answer(token, result, place.extent()));
                    continue;
                }
                // With plain descriptors the socket comes first, and is connected when it is there.
                Op::Socket if result >= 0 => {
                    if !matches!(self.features.tier, Tier::Direct) {
                        place.fd = result;
                        self.unconnected.push(token.slot);
                    }
                    continue;
                }
                Op::Socket if self.features.tier != Tier::Direct => {}
                // The bind or connect that was queued behind it fails too, and tells.
                Op::Socket | Op::Option => {
                    if current && result < 0 {
                        place.failed_early.get_or_insert(EarlyFailure::new(token.op, errno));
                    }
                    continue;
                }
                // A bind only posts when it has failed, and then the connect behind it does not.
                Op::Bind | Op::Connect => {
                    if current && let Some(first) = place.failed_early.take() {
                        (token.op, errno) = (first.op, first.errno());
                    }
                }
                // Its connection is gone, it was sent, or it was cancelled as its socket was given
                // back.
                Op::Send if !current || quiet && (result >= 0 || place.fd == NO_SOCKET) => continue,
                // The send behind it tells.
                Op::Send if quiet && place.under_way & bit(Op::Send) != 0 => {
                    place.failed_early.get_or_insert(EarlyFailure::new(Op::Send, errno));
                    continue;
                }
                // Was not counted as outstanding when it was queued.
                Op::Send if quiet => self.outstanding += 1,
                Op::Send => {
                    self.memory.send.give_back(std::mem::replace(&mut place.block, NO_BLOCK));
                    errno = place.failed_early.take().map_or(errno, EarlyFailure::errno);
                }
                Op::Receive => {
                    place.buffer = self.memory.receive.lend(entry.flags());
                    if errno == libc::ENOBUFS && place.buffer == NO_BUFFER {
                        if self.starve(token.slot) {
                            continue;
                        }
                        errno = libc::ECANCELED;
                    }
                    let place = &mut self.places[token.slot.index as usize];
                    place.set(fact::MORE, cqueue::sock_nonempty(entry.flags()));
                    if result > 0 {
                        place.set(fact::HEARD, true);
                    }
                }
            }
            let place = &mut self.places[token.slot.index as usize];
            if token.op == Op::Socket {
                place.fd = NO_SOCKET;
            }
            place.under_way &= !bit(token.op);
            self.outstanding = self.outstanding.saturating_sub(1);
            let result = match errno {
                errno if errno > 0 => Err(io::Error::from_raw_os_error(errno)),
                _ => Ok(result as usize),
            };
            completions.push(Completion { token, result, more: place.is(fact::MORE) });
        }
        self.posted = posted;
    }

    /// Asks the kernel to end the operation that it knows by these bits.
    fn push_cancel(&mut self, slot: SlotId, bits: u64) {
        let token = Token { op: Op::Cancel, slot }.to_bits();
        let entry = opcode::AsyncCancel::new(bits).build();
        self.push(&entry.user_data(token).flags(self.quiet()));
    }

    /// Submits, and takes what is there.
    fn look(&mut self) -> io::Result<usize> {
        let queued = self.ring.submission().len() as u32;
        // SAFETY: the entries of the queue are valid, see `push`; there is no argument. (The safe
        // ways in do not ask for completions unless they also wait for one.)
        unsafe { self.ring.submitter().enter::<()>(queued, 0, ENTER_GETEVENTS, None) }
    }

    fn wait(&mut self, patience: Patience) -> io::Result<usize> {
        let timeout = types::Timespec::from(Duration::from_nanos(patience.timeout_ns));
        let mut args = types::SubmitArgs::new().timespec(&timeout);
        let mut want = patience.want.max(1) as usize;
        if want > 1 {
            match self.features.minimum_wait {
                true => args = args.min_wait_usec((patience.linger_ns / 1000) as u32),
                false => want = 1,
            }
        }
        self.ring.submitter().submit_with_args(want, &args)
    }

    fn enter(&mut self, patience: Patience) -> io::Result<()> {
        let entered = match patience.timeout_ns {
            0 => self.look(),
            _ => self.wait(patience),
        };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The wait was over, or a signal ended it; EBUSY and EAGAIN: the kernel asks us
                // to take completions first.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }
}

impl Driver for UringDriver {
    fn now_ns(&self) -> u64 {
        self.config.epoch.elapsed().as_nanos() as u64
    }

    fn open(&mut self, slot: SlotId, address: usize, source: Option<SocketAddr>) {
        self.open_socket(slot, address, source);
    }

    fn send(&mut self, slot: SlotId, bytes: &[u8]) -> Handover {
        let constant = self.config.constant.as_ptr_range();
        let is_constant =
            constant.contains(&bytes.as_ptr()) && bytes.as_ptr_range().end <= constant.end;
        let place = &mut self.places[slot.index as usize];
        debug_assert_eq!(place.block, NO_BLOCK, "one send at a time");
        let (block, bytes) = match is_constant {
            true => (NO_BLOCK, &bytes[..bytes.len().min(TRANSFER_BYTES_MAX)]),
            false => self.memory.send.copy(bytes),
        };
        // Behind one that may still wait for room, only what will be told keeps the order: the kernel
        // may exchange two sends that are under way on one socket.
        let is_alone = place.take(fact::HEARD);
        let is_quiet = is_constant && is_alone && bytes.len() <= QUIET_SEND_BYTES_MAX;
        if is_alone {
            place.set(fact::QUIET_SEND, is_quiet);
        }
        let handover = Handover { taken: bytes.len(), confirmed: !is_quiet };
        // WAITALL: a short send would count as success.
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let (pointer, len) = (bytes.as_ptr(), bytes.len() as u32);
        if handover.confirmed {
            place.block = block;
            place.under_way |= bit(Op::Send);
            self.outstanding += 1;
        }
        let fd = place.fd;
        let entry = match self.is_direct() {
            true => opcode::Send::new(types::Fixed(slot.index), pointer, len).flags(flags).build(),
            false => opcode::Send::new(types::Fd(fd), pointer, len).flags(flags).build(),
        };
        let token = Token { op: Op::Send, slot }.to_bits();
        let entry = match is_quiet {
            true => entry.user_data(token | QUIET_SEND).flags(self.quiet()),
            false => entry.user_data(token),
        };
        self.push(&entry);
        handover
    }

    fn receive(&mut self, slot: SlotId, demand: Demand) {
        let place = &mut self.places[slot.index as usize];
        place.under_way |= bit(Op::Receive);
        place.set(fact::CANCELLED, false);
        self.outstanding += 1;
        self.push_receive(slot, demand);
    }

    fn received(&self, slot: SlotId, count: usize) -> &[u8] {
        let index = slot.index as usize;
        self.memory.receive.received(index, self.places[index].buffer, count)
    }

    fn extent(&mut self, slot: SlotId, extent: Extent) {
        self.ask_extent(slot, extent);
    }

    fn close(&mut self, slot: SlotId) {
        let place = &mut self.places[slot.index as usize];
        let fd = std::mem::replace(&mut place.fd, NO_SOCKET);
        if fd == NO_SOCKET {
            return;
        }
        // A send that still waits for room would hold the socket open, unseen by anybody.
        if place.is(fact::QUIET_SEND) && !place.is(fact::HEARD) {
            self.push_cancel(slot, Token { op: Op::Send, slot }.to_bits() | QUIET_SEND);
        }
        let entry = match self.is_direct() {
            true => opcode::Close::new(types::Fixed(slot.index)).build(),
            false => opcode::Close::new(types::Fd(fd)).build(),
        };
        let token = Token { op: Op::Close, slot }.to_bits();
        self.push(&entry.user_data(token).flags(self.quiet()));
    }

    fn cancel(&mut self, slot: SlotId, op: Op) {
        if op != Op::Receive || !self.cancel_starved(slot) {
            self.push_cancel(slot, Token { op, slot }.to_bits());
        }
    }

    fn has_more(&self) -> bool {
        // SAFETY: one of each, and nobody else has them meanwhile.
        let (posted, asked) =
            unsafe { (self.ring.completion_shared(), self.ring.submission_shared()) };
        // The kernel runs some twenty of what is ready in one go, and says when there is more.
        !self.early.is_empty() || !self.starved.is_empty() || !posted.is_empty() || asked.taskrun()
    }

    fn is_full(&self) -> bool {
        // SAFETY: there is one queue, and nobody else has it meanwhile.
        let queue = unsafe { self.ring.submission_shared() };
        queue.capacity() - queue.len() < ENTRIES_MAX
    }

    fn turn(&mut self, patience: Patience, completions: &mut Vec<Completion>) -> io::Result<()> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        if self.ring.submission().cq_overflow() {
            self.overflows += 1;
        }
        self.give_buffers_back();
        let has_more = !self.early.is_empty()
            || !self.starved.is_empty()
            || !self.ring.completion().is_empty();
        let timeout_ns = if has_more { 0 } else { patience.timeout_ns };
        self.enter(Patience { timeout_ns, ..patience })?;
        let most = completions.len() + COMPLETIONS_MAX;
        completions.extend(self.early.drain(..self.early.len().min(COMPLETIONS_MAX)));
        self.harvest(completions, most);
        self.connect_new_sockets();
        Ok(())
    }

    fn submit_ns(&self) -> u64 {
        self.submit_ns
    }

    fn overflows(&self) -> u64 {
        self.overflows
    }
}

impl UringDriver {
    /// Asks the kernel to end everything that is under way, which it can do from 6.0 on; whether
    /// nothing is left.
    fn cancel_all(&self) -> bool {
        let within = types::Timespec::from(Duration::from_secs(1));
        let cancelled =
            self.ring.submitter().register_sync_cancel(Some(within), types::CancelBuilder::any());
        matches!(cancelled.map_err(|error| error.raw_os_error()), Ok(()) | Err(Some(libc::ENOENT)))
    }
}

impl Drop for UringDriver {
    /// Ends what is under way, so that the kernel lets go of the buffers before they are freed.
    fn drop(&mut self) {
        // What waits is kept in at most 256 lists, newest first, and a cancellation walks one of them.
        // So the latest come first, and nothing is cancelled that is not there. (To cancel all of it
        // with one request takes longer: 2.2 s for 18,000, as it meets those again that it has
        // cancelled before.)
        for index in (0..self.places.len()).rev() {
            let Place { fd, generation, under_way, .. } = self.places[index];
            if fd == NO_SOCKET {
                continue;
            }
            let slot = SlotId { index: index as u32, generation };
            for op in [Op::Connect, Op::Send, Op::Receive] {
                if under_way & bit(op) != 0 {
                    self.cancel(slot, op);
                }
            }
            self.close(slot);
        }
        self.submit();
        let patience = Patience { want: 1, linger_ns: 0, timeout_ns: 100_000_000 };
        let give_up = Instant::now() + Duration::from_secs(1);
        let mut completions = Vec::new();
        while self.outstanding > 0 && Instant::now() < give_up {
            completions.clear();
            self.harvest(&mut completions, usize::MAX);
            // Sockets that were still to be connected: closing them is the end of their `open`.
            while let Some(slot) = self.unconnected.pop() {
                self.outstanding -= 1;
                self.close(slot);
                self.submit();
            }
            if completions.is_empty() && self.enter(patience).is_err() {
                break;
            }
        }
        // Sends that nobody hears of are not counted: whatever is left is ended once more.
        if !self.cancel_all() || self.outstanding > 0 {
            // What the kernel may still write to or read is never given back.
            std::mem::forget(self.config.constant.clone());
            return;
        }
        // SAFETY: nothing is under way that uses it, and neither does anybody else from here on.
        unsafe { ManuallyDrop::drop(&mut self.memory) };
    }
}

#[cfg(test)]
impl UringDriver {
    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// How many receives wait for a buffer.
    pub(super) fn starving(&self) -> usize {
        self.starved.len()
    }

    /// How many buffers are neither the kernel's nor free.
    pub(super) fn buffers_held(&self) -> usize {
        self.memory.held(&self.ring)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub(super) fn constant(&self) -> std::sync::Arc<[u8]> {
        self.config.constant.clone()
    }
}
