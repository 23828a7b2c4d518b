//! How much too early to ask to be woken.
//!
//! A sleeping thread on an idle CPU runs some tens of microseconds after the time that it asked for:
//! the CPU has to come out of its idle state, in a virtual machine by way of the host. All of that
//! would be in `total`. So a worker asks to be woken earlier by as much as its waits have been late
//! lately, and looks at its ring instead of sleeping for the rest, which is a few microseconds.
//!
//! ```text
//!   asked to be woken        woken       due
//!        │◄──── late ─────────►│◄─ looks ─►│
//!        │◄───────────── lead ────────────►│
//! ```

/// Beyond this it was not the wake-up that was late: something else had the CPU.
const LEAD_NS_MAX: u64 = 100_000;

/// Three wake-ups in four come in time: the steps up and down balance at the third quartile.
const STEP_UP_NS: u64 = 3_000;
const STEP_DOWN_NS: u64 = 1_000;

/// Follows how late wake-ups are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lead {
    ns: u64,
}

impl Lead {
    /// How much earlier to ask.
    pub fn ns(&self) -> u64 {
        self.ns
    }

    /// A wake-up came this long after the time that was asked for.
    pub fn learn(&mut self, late_ns: u64) {
        self.ns = match late_ns > self.ns {
            true => (self.ns + STEP_UP_NS).min(LEAD_NS_MAX),
            false => self.ns.saturating_sub(STEP_DOWN_NS),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_wake_ups_in_four_come_in_time() {
        let (mut lead, mut random) = (Lead::default(), fastrand::Rng::with_seed(1));
        let mut in_time = 0;
        for number in 0..10_000 {
            let late_ns = random.u64(20_000..60_000);
            in_time += usize::from(number >= 1000 && late_ns <= lead.ns());
            lead.learn(late_ns);
        }
        assert!((0.7..0.8).contains(&(in_time as f64 / 9000.0)), "{in_time}");
    }

    #[test]
    fn a_busy_box_is_not_waited_for() {
        let mut lead = Lead::default();
        (0..1000).for_each(|_| lead.learn(5_000_000));
        assert_eq!(lead.ns(), LEAD_NS_MAX);
        (0..1000).for_each(|_| lead.learn(0));
        assert_eq!(lead.ns(), 0);
    }
}
