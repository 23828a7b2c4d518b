//! Waiting to the microsecond.
//!
//! tokio's own timer counts whole milliseconds and rounds up, which makes a `/delay/20` of 21 ms. A
//! timerfd is exact. There is one per thread, armed for the earliest of all waits, so that ten
//! thousand delayed answers need no ten thousand descriptors.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::{io::unix::AsyncFd, sync::oneshot};

use crate::clock::{Moment, NS_PER_S};

/// Has the runtime watch a descriptor.
///
/// The function is deprecated because a type may hand out another descriptor later than the one
/// it registered. An `OwnedFd` cannot, and the replacement is `unsafe`, which this crate forbids.
#[allow(deprecated)]
fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

/// One thread's timer.
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    // Never contended: all users are tasks of one thread. It makes them `Send`.
    waits: Mutex<Waits>,
}

#[derive(Default)]
struct Waits {
    /// The number tells apart waits for the same nanosecond.
    by_deadline: BTreeMap<(Moment, u64), oneshot::Sender<()>>,
    started: u64,
}

impl Alarm {
    /// Starts the timer and the task that watches it; to be called on a running tokio runtime.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let alarm = Arc::new(Alarm { timer: watch(timer)?, waits: Mutex::default() });
        tokio::spawn(alarm.clone().ring());
        Ok(alarm)
    }

    /// Returns at the deadline, or right away if the timer is broken.
    pub(crate) async fn wait_until(&self, deadline: Moment) {
        let (wake, woken) = oneshot::channel();
        self.enqueue(deadline, wake);
        // An error means that the sender was dropped with the timer: nothing to wait for.
        let _ = woken.await;
    }

    fn enqueue(&self, deadline: Moment, wake: oneshot::Sender<()>) {
        let mut waits = self.lock();
        waits.started += 1;
        let key = (deadline, waits.started);
        waits.by_deadline.insert(key, wake);
        let earliest = waits.by_deadline.first_key_value().map(|(key, _)| *key);
        if earliest == Some(key) && self.arm(deadline).is_err() {
            waits.by_deadline.remove(&key);
        }
    }

    /// The watching task: wakes whoever is due each time the timer expires.
    async fn ring(self: Arc<Self>) {
        while let Ok(mut guard) = self.timer.readable().await {
            // Reading takes the expiry off the timer; there is nothing to learn from its count.
            let _ = guard.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            guard.clear_ready();
            self.wake_due();
        }
    }

    fn wake_due(&self) {
        let mut waits = self.lock();
        let now = Moment::now();
        while let Some(first) = waits.by_deadline.first_entry() {
            let (deadline, _) = *first.key();
            if deadline > now && self.arm(deadline).is_ok() {
                return;
            }
            // Whoever gave up waiting is not there to be woken.
            let _ = first.remove().send(());
        }
    }

    fn arm(&self, deadline: Moment) -> io::Result<()> {
        let it_value = Timespec {
            tv_sec: (deadline.ns / NS_PER_S) as i64,
            tv_nsec: (deadline.ns % NS_PER_S) as i64,
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        // Absolute, so that the time between taking the deadline and arming it is not lost.
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waits_end_in_the_order_of_their_deadlines() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let alarm = Alarm::start().unwrap();
            let order = Arc::new(Mutex::new(Vec::new()));
            // One for all: a busy machine may let time pass between the first steps of two tasks.
            let begin = Moment::now();
            let tasks: Vec<_> = [15, 5, 10, 0]
                .into_iter()
                .map(|ms| {
                    let (alarm, order) = (alarm.clone(), order.clone());
                    tokio::spawn(async move {
                        let wait = Duration::from_millis(ms);
                        alarm.wait_until(begin + wait).await;
                        assert!(begin.elapsed() >= wait);
                        order.lock().unwrap().push(ms);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*order.lock().unwrap(), [0, 5, 10, 15]);
        });
    }
}
