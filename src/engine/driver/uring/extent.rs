//! How far the bytes of a connection have come. The kernel says it by getsockopt(2), for which a
//! direct descriptor needs a plain one beside it for a moment (6.8).

use super::{Tier, UringDriver};
use crate::engine::driver::{Completion, Extent, Op, SlotId, Token, extent};
use io_uring::{opcode, types};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

impl UringDriver {
    pub(super) fn ask_extent(&mut self, slot: SlotId, extent: Extent) {
        let place = &mut self.places[slot.index as usize];
        place.set_extent(extent);
        let token = Token { op: Op::Extent, slot };
        if self.features.tier == Tier::Direct {
            let entry = opcode::FixedFdInstall::new(types::Fixed(slot.index), 0).build();
            self.outstanding += 1;
            self.push(&entry.user_data(token.to_bits()));
            return;
        }
        // SAFETY: the place keeps the socket open, for longer than this call.
        let socket = (place.fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(place.fd) });
        let closed = || io::Error::from_raw_os_error(libc::EBADF);
        let result = socket.ok_or_else(closed).and_then(|fd| extent::measure(fd, extent));
        self.early.push(Completion { token, result, more: false });
    }
}

/// A plain descriptor was made, or it was not: what is asked of it.
pub(super) fn answer(token: Token, installed: i32, wanted: Extent) -> Completion {
    let result = if installed >= 0 {
        // SAFETY: the kernel has made this descriptor for us, and nobody else knows of it.
        let socket = unsafe { OwnedFd::from_raw_fd(installed) };
        extent::measure(socket.as_fd(), wanted)
    } else {
        Err(io::Error::from_raw_os_error(-installed))
    };
    Completion { token, result, more: false }
}
