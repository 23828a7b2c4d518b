//! What the kernel knows of the bytes of a connection: `TCP_INFO`.
//!
//! ```text
//!   the peer closed      its FIN acknowledges      the RST that followed     acknowledged
//!   before the request   not the request           (in answer to it)         not the request
//!   after it             the request               none                      the request
//! ```
//!
//! The acknowledgment of a FIN is counted before the end of the stream can be read, so there is
//! nothing to wait for. A RST acknowledges nothing: after one that no FIN came before, only what was
//! never sent is known not to have been read.

#![allow(unsafe_code)]

use super::Extent;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Where the numbers lie in `struct tcp_info`, in units of 8 bytes: `tcpi_bytes_acked` (Linux 4.1;
/// the SYN is one of them), `tcpi_bytes_sent` and `tcpi_bytes_retrans` (4.19).
const ACKNOWLEDGED: usize = 15;
const SENT: usize = 25;
const SENT_AGAIN: usize = 26;

/// How many bytes of a connection have come as far as `extent`.
pub(super) fn measure(socket: BorrowedFd<'_>, extent: Extent) -> io::Result<usize> {
    let mut info = [0_u64; SENT_AGAIN + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, and `info` has so many.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let told = len as usize / size_of::<u64>();
    let number = match extent {
        Extent::Acknowledged if told > ACKNOWLEDGED => info[ACKNOWLEDGED],
        Extent::Sent if told > SENT_AGAIN => info[SENT].saturating_sub(info[SENT_AGAIN]),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}
