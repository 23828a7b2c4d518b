//! When the answers are due that do not come at once.

use std::time::Duration;

use crate::{
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
}

/// What to do with a request whose answer is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Answer it then.
    At(Moment),
    /// Refuse it, and say what could be asked for.
    Bad(&'static str),
}

const TOO_MANY_MIXES: Due = Due::Bad("expected at most 64 different mixes\n");

/// What the threads of a server share in order to know when answers are due.
#[derive(Debug)]
pub(crate) struct Schedule {
    mixes: Few<Mix, Spread>,
}

impl Schedule {
    pub(crate) fn new() -> Self {
        Schedule { mixes: Few::new() }
    }

    /// What to do with a request that came in `now`.
    pub(crate) fn due(&self, wait: Wait, now: Moment) -> Due {
        match wait {
            Wait::Delay(delay) => Due::At(now + delay),
            Wait::Mix(mix) => self
                .mixes
                .with(mix, Spread::new, |spread| spread.next(&mix))
                .map_or(TOO_MANY_MIXES, |delay| Due::At(now + delay)),
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
    fn too_many_mixes_are_refused_and_the_first_go_on() {
        let schedule = Schedule::new();
        let now = Moment { ns: 1_000_000_000 };
        let due = |n: usize| {
            let slow = Duration::from_millis(n as u64);
            let mix = Mix { fast: Duration::ZERO, slow, percent: 100.0 };
            schedule.due(Wait::Mix(mix), now)
        };
        let (last, beyond) = (FEW - 1, FEW);
        for n in 0..FEW {
            assert!(matches!(due(n), Due::At(_)), "{n}");
        }
        assert_eq!(due(beyond), TOO_MANY_MIXES);
        assert!(matches!(due(last), Due::At(_)));
        assert!(matches!(TOO_MANY_MIXES, Due::Bad(text) if text.contains(&FEW.to_string())));
    }
}
