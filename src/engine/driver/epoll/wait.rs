//! Waiting for events, to the nanosecond: epoll_wait(2) counts in whole milliseconds, in which a
//! schedule of 10,000 requests per second is due ten times.

#![allow(unsafe_code)]

use rustix::event::epoll::{self, CreateFlags, EventFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// An epoll instance and the events that were taken from it.
pub(super) struct Waiter {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// The kernel has epoll_pwait2(2) (5.11), and nobody forbids it.
    precise: bool,
}

impl Waiter {
    /// An instance from which up to `events` are taken at a time.
    pub(super) fn new(events: usize) -> io::Result<Waiter> {
        let mut waiter = Waiter {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; events],
            precise: true,
        };
        waiter.precise = waiter.wait_precisely(0).is_ok();
        Ok(waiter)
    }

    /// Waits for the first event; how many there are.
    pub(super) fn wait(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let waited = match self.precise {
            true => self.wait_precisely(timeout_ns),
            false => self.wait_in_two_steps(timeout_ns),
        };
        match waited {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            waited => waited,
        }
    }

    /// The event number `at` of the last wait: its data and what the socket is ready for.
    pub(super) fn event(&self, at: usize) -> (u64, EventFlags) {
        let event = self.events[at];
        (event.u64, EventFlags::from_bits_retain(event.events))
    }

    fn wait_precisely(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let timeout = timespec(timeout_ns);
        let (epoll, room) = (self.epoll.as_raw_fd(), self.events.len() as i32);
        // By its number: C libraries have it since 2022 only, and a program that asks for it by its
        // name does not even start with an earlier one.
        // SAFETY: `events` has room for that many; the timeout outlives the call and has the layout
        // that the kernel of a 64-bit machine reads; no signal mask, of size 0.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                epoll,
                self.events.as_mut_ptr(),
                room,
                &raw const timeout,
                ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        checked(count as libc::c_int)
    }

    /// The instance is itself a descriptor that can be waited for, by a call with a finer clock.
    fn wait_in_two_steps(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let (epoll, room) = (self.epoll.as_raw_fd(), self.events.len() as i32);
        if timeout_ns > 0 {
            let timeout = timespec(timeout_ns);
            let mut poll = libc::pollfd { fd: epoll, events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, as the count says; the timeout outlives the call; no signal mask.
            checked(unsafe { libc::ppoll(&mut poll, 1, &timeout, ptr::null()) })?;
        }
        // SAFETY: `events` has room for that many.
        checked(unsafe { libc::epoll_wait(epoll, self.events.as_mut_ptr(), room, 0) })
    }
}

impl AsFd for Waiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn timespec(ns: u64) -> libc::timespec {
    const NS_PER_S: u64 = 1_000_000_000;
    libc::timespec {
        tv_sec: (ns / NS_PER_S) as libc::time_t,
        tv_nsec: (ns % NS_PER_S) as libc::c_long,
    }
}

fn checked(count: libc::c_int) -> io::Result<usize> {
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_wait_without_events_ends_in_time_either_way() {
        for precise in [true, false] {
            let mut waiter = Waiter { precise, ..Waiter::new(4).expect("an instance") };
            for timeout_ns in [0, 300_000, 2_000_000] {
                let begin = Instant::now();
                assert_eq!(waiter.wait(timeout_ns).expect("a wait"), 0);
                assert!(begin.elapsed() >= Duration::from_nanos(timeout_ns), "{precise}");
            }
        }
    }

    #[test]
    fn an_event_is_seen_either_way() {
        for precise in [true, false] {
            let mut waiter = Waiter { precise, ..Waiter::new(4).expect("an instance") };
            let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
            let data = epoll::EventData::new_u64(7);
            epoll::add(&waiter, &near, data, EventFlags::IN).expect("registered");
            std::io::Write::write_all(&mut &far, b"x").expect("sent");
            assert_eq!(waiter.wait(10_000_000_000).expect("a wait"), 1);
            assert_eq!(waiter.event(0), (7, EventFlags::IN));
        }
    }
}
