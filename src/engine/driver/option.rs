//! A socket option in the form that setsockopt(2) and the ring both take.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;

/// A socket option, set on every connection before it is opened.
#[derive(Clone, Copy, Debug)]
pub struct SocketOption {
    pub(super) level: libc::c_int,
    pub(super) name: libc::c_int,
    value: OptionValue,
}

/// Room for the largest value, and how many bytes of it the option takes: at most all of them, as the
/// two constructors see to.
#[derive(Clone, Copy, Debug)]
struct OptionValue([libc::c_int; 2], usize);

impl SocketOption {
    /// An option that takes one integer.
    pub fn int(level: libc::c_int, name: libc::c_int, value: libc::c_int) -> SocketOption {
        SocketOption { level, name, value: OptionValue([value, 0], size_of::<libc::c_int>()) }
    }

    /// `SO_LINGER` with zero seconds: closing sends a reset.
    pub fn reset_on_close() -> SocketOption {
        // struct linger { int l_onoff; int l_linger; }
        let value = OptionValue([1, 0], size_of::<libc::linger>());
        SocketOption { level: libc::SOL_SOCKET, name: libc::SO_LINGER, value }
    }

    /// Where the value is, for as long as this option stays in its place.
    pub(super) fn pointer(&self) -> *const libc::c_void {
        (&raw const self.value.0).cast()
    }

    /// The size of the value in bytes.
    pub(super) fn len(&self) -> libc::socklen_t {
        self.value.1 as libc::socklen_t
    }

    /// Sets it by setsockopt(2).
    pub(crate) fn set(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: `len` bytes from `pointer` on are in the value, and the kernel only reads them.
        match unsafe { libc::setsockopt(fd, self.level, self.name, self.pointer(), self.len()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
