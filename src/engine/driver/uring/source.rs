//! Where connections come from, as the kernel reads it, for as long as it may still read it.
//!
//! ```text
//!   in turn   [ latest ][ still queued ][ copied: free ] ...   as many as the queue has entries
//!   by slot   [ slot 0 ][ slot 1 ] ...                         made with the first source
//! ```
//!
//! The kernel copies a source when it takes the entry. So where bind goes into the ring at once, it
//! is enough to keep as many as the submission queue has entries, and to use their places in turn.
//! Where a source waits for its socket to be made, its slot keeps it.

use std::net::SocketAddr;

/// An address as the kernel reads it, of either kind.
#[derive(Clone, Copy)]
pub(super) union Source {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Default for Source {
    fn default() -> Source {
        // SAFETY: all zeros are a valid address of either kind.
        unsafe { std::mem::zeroed() }
    }
}

impl Source {
    fn new(address: SocketAddr) -> Source {
        let mut source = Source::default();
        match address {
            SocketAddr::V4(address) => {
                source.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                    sin_zero: [0; 8],
                };
            }
            SocketAddr::V6(address) => {
                source.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
            }
        }
        source
    }

    pub(super) fn pointer(&self) -> *const libc::sockaddr {
        (&raw const *self).cast()
    }

    pub(super) fn len(&self) -> libc::socklen_t {
        // SAFETY: the family is at the same place in both, and always set or zero.
        let family = libc::c_int::from(unsafe { self.v4.sin_family });
        match family {
            libc::AF_INET6 => size_of::<libc::sockaddr_in6>() as libc::socklen_t,
            _ => size_of::<libc::sockaddr_in>() as libc::socklen_t,
        }
    }
}

/// The sources that are kept; their places are made with the first of them.
pub(super) struct Sources {
    kept: Vec<Source>,
    places: usize,
    /// Places are used in turn, and this is the latest; otherwise each slot has its own.
    latest: Option<usize>,
}

impl Sources {
    pub(super) fn in_turn(places: usize) -> Sources {
        Sources { kept: Vec::new(), places, latest: Some(0) }
    }

    pub(super) fn by_slot(slots: usize) -> Sources {
        Sources { kept: Vec::new(), places: slots, latest: None }
    }

    pub(super) fn keep(&mut self, slot_index: usize, source: SocketAddr) {
        self.kept.resize(self.places, Source::default());
        let at = match &mut self.latest {
            Some(latest) => {
                *latest = (*latest + 1) % self.places;
                *latest
            }
            None => slot_index,
        };
        self.kept[at] = Source::new(source);
    }

    /// What was kept for this slot; where places are used in turn, it must be the latest.
    pub(super) fn of(&self, slot_index: usize) -> &Source {
        &self.kept[self.latest.unwrap_or(slot_index)]
    }
}
