//! When the answers are due that do not come at once.

use std::time::Duration;

use crate::{
    bucket::Bucket,
    clock::Moment,
    few::Few,
    mix::{Mix, Spread},
};

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wait {
    /// `/delay/MS`: that much time
    Delay(Duration),
    /// `/mix/FAST/SLOW/PERCENT`: one of two delays
    Mix(Mix),
    /// `/limited/RATE`: its turn, with so many of them per second
    Limited(f64),
}

/// What to do with a request whose answer is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Answer it then.
    At(Moment),
    /// Say that too many others wait already.
    Overloaded,
    /// Refuse it, and say what could be asked for.
    Bad(&'static str),
}

const TOO_MANY_RATES: Due = Due::Bad("expected at most 64 different rates\n");
const TOO_MANY_MIXES: Due = Due::Bad("expected at most 64 different mixes\n");

/// What the threads of a server share in order to know when answers are due.
#[derive(Debug)]
pub(crate) struct Schedule {
    mixes: Few<Mix, Spread>,
    limits: Few<f64, Bucket>,
}

impl Schedule {
    pub(crate) fn new() -> Self {
        Schedule { mixes: Few::new(), limits: Few::new() }
    }

    /// What to do with a request that came in `now`.
    pub(crate) fn due(&self, wait: Wait, now: Moment) -> Due {
        match wait {
            Wait::Delay(delay) => Due::At(now + delay),
            Wait::Mix(mix) => self
                .mixes
                .with(mix, Spread::new, |spread| spread.next(&mix))
                .map_or(TOO_MANY_MIXES, |delay| Due::At(now + delay)),
            Wait::Limited(rate) => self
                .limits
                .with(rate, || Bucket::new(rate), |bucket| bucket.take(now))
                .map_or(TOO_MANY_RATES, |turn| turn.map_or(Due::Overloaded, Due::At)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::few::FEW;

    #[test]
    fn mixes_do_not_disturb_each_other() {
        let schedule = Schedule::new();
        let now = Moment { ns: 1_000_000_000 };
        let ms = Duration::from_millis;
        let mixes = [2, 3].map(|slow| Mix { fast: ms(1), slow: ms(slow), percent: 50.0 });
        // One request for each in turn: one state for both would give one of them all slow ones.
        for turn in 0..100 {
            for mix in mixes {
                let delay = if turn % 2 == 0 { mix.slow } else { mix.fast };
                assert_eq!(schedule.due(Wait::Mix(mix), now), Due::At(now + delay));
            }
        }
    }

    #[test]
    fn limits_do_not_disturb_each_other() {
        let schedule = Schedule::new();
        let now = Moment { ns: 1_000_000_000 };
        let due = |rate| schedule.due(Wait::Limited(rate), now);
        let second = |n| Due::At(now + Duration::from_secs(n));
        for n in 0..=5 {
            assert_eq!((due(1.0), due(0.5)), (second(n), second(2 * n)), "{n}");
        }
        assert_eq!((due(1.0), due(0.5)), (second(6), Due::Overloaded));
    }

    #[test]
    fn too_many_are_refused_and_the_first_go_on() {
        let now = Moment { ns: 1_000_000_000 };
        let mix = |n: usize| {
            let slow = Duration::from_millis(n as u64);
            Wait::Mix(Mix { fast: Duration::ZERO, slow, percent: 100.0 })
        };
        let limited = |n: usize| Wait::Limited(n as f64 + 1.0);
        // In one schedule: neither takes up the other's room.
        let schedule = Schedule::new();
        let waits: [(&dyn Fn(usize) -> Wait, Due); 2] =
            [(&mix, TOO_MANY_MIXES), (&limited, TOO_MANY_RATES)];
        for (wait, refusal) in waits {
            for n in 0..FEW {
                assert!(matches!(schedule.due(wait(n), now), Due::At(_)), "{n}");
            }
            assert_eq!(schedule.due(wait(FEW), now), refusal);
            assert!(matches!(schedule.due(wait(FEW - 1), now), Due::At(_)));
            assert!(matches!(refusal, Due::Bad(text) if text.contains(&FEW.to_string())));
        }
    }
}
