//! Searches against servers that are functions of the rate.

use super::*;
use proptest::prelude::*;

/// More trials than any search in these tests needs.
const TRIALS_MAX: usize = 20_000;

/// The whole search: `passes` is asked about a rate and the number of trials so far.
fn search(
    bounds: &Bounds,
    mut passes: impl FnMut(f64, usize) -> bool,
) -> (Vec<Trial>, SearchVerdict) {
    let mut trials = Vec::new();
    while trials.len() < TRIALS_MAX {
        match next(&trials, bounds) {
            Decision::Done(verdict) => return (trials, verdict),
            Decision::Try { rate_per_s, .. } => {
                let pass = passes(rate_per_s, trials.len());
                trials.push(Trial { rate_per_s, pass, generator_limited: false });
            }
        }
    }
    panic!("no end with {bounds:?}")
}

fn trial(rate_per_s: f64, pass: bool) -> Trial {
    Trial { rate_per_s, pass, generator_limited: false }
}

/// The found rate and the next one; everything else is a failure of the test.
fn edge(verdict: SearchVerdict) -> (f64, f64) {
    match verdict {
        SearchVerdict::Found { rate_per_s, next_broken_per_s } => (rate_per_s, next_broken_per_s),
        other => panic!("{other:?}"),
    }
}

/// Whether the verdict brackets the capacity, as precisely as asked.
fn brackets(verdict: SearchVerdict, capacity_per_s: f64) -> bool {
    let (low, high) = edge(verdict);
    low <= capacity_per_s && capacity_per_s < high && high / low <= 1.02
}

/// Evenly distributed below 1 (Marsaglia, "Xorshift RNGs", 2003).
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn a_search_doubles_bisects_and_confirms() {
    let (trials, verdict) = search(&Bounds::default(), |rate, _| rate <= 3200.0);
    let tried: Vec<f64> = trials.iter().map(|trial| trial.rate_per_s).collect();
    let expected =
        [1000.0, 2000.0, 4000.0, 2830.0, 3360.0, 3080.0, 3220.0, 3150.0, 3180.0, 3180.0, 3220.0];
    assert_eq!((tried.as_slice(), edge(verdict)), (&expected[..], (3180.0, 3220.0)));
}

#[test]
fn the_capacity_is_bracketed_in_a_logarithm_of_trials() {
    for capacity in [1.5, 31.7, 640.0, 999.0, 1000.0, 1001.0, 12_345.6, 65_536.0, 1e5, 1e6, 9e6] {
        let (trials, verdict) = search(&Bounds::default(), |rate, _| rate <= capacity);
        assert!(brackets(verdict, capacity), "{capacity}: {verdict:?}");
        // The first one, one for each factor of 2, six for a factor of 2 down to 2%, the edge.
        let factor = f64::max(capacity / 1000.0, 1000.0 / capacity);
        let expected = 1 + factor.log2().floor() as usize + 1 + 6 + 2;
        assert!(trials.len() <= expected, "{capacity}: {} of {expected}", trials.len());
    }
    let (trials, _) = search(&Bounds::default(), |rate, _| rate <= 1e5);
    assert!(trials.len() <= 16, "{}", trials.len());
}

#[test]
fn rates_are_readable_and_distinct() {
    let bounds = Bounds { precision_ratio: 0.001, ..Bounds::default() };
    for capacity in [7.77, 1002.3, 99_950.0, 123_456.0] {
        let (trials, verdict) = search(&bounds, |rate, _| rate <= capacity);
        let (low, high) = edge(verdict);
        assert!(low <= capacity && capacity < high && high / low <= 1.001, "{verdict:?}");
        for trial in trials {
            assert_eq!(trial.rate_per_s, readable(trial.rate_per_s, 5), "{capacity}");
        }
    }
}

#[test]
fn a_search_at_a_noisy_edge_finds_it() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let (mut close, mut most) = (0, 0);
    for _ in 0..300 {
        // Between 100 and 1,000,000 per second.
        let capacity = 10f64.powf(2.0 + 4.0 * random.next());
        let (trials, verdict) = search(&Bounds::default(), |rate, _| {
            let chance = 1.0 / (1.0 + ((rate - capacity) / (0.01 * capacity)).exp());
            random.next() < chance
        });
        let (low, _) = edge(verdict);
        close += usize::from((low / capacity - 1.0).abs() <= 0.05);
        most = most.max(trials.len());
    }
    assert!(close >= 297, "{close} of 300");
    assert!(most <= 40, "{most} trials");
}

#[test]
fn no_single_wrong_vote_spoils_the_answer() {
    for capacity in [150.0, 999.0, 3200.0, 47_110.0, 1e6] {
        let (undisturbed, _) = search(&Bounds::default(), |rate, _| rate <= capacity);
        for wrong in 0..undisturbed.len() {
            let (trials, verdict) =
                search(&Bounds::default(), |rate, number| (rate <= capacity) != (number == wrong));
            assert!(brackets(verdict, capacity), "{capacity}, {wrong}: {verdict:?}\n{trials:#?}");
            let most = undisturbed.len() + 20;
            assert!(trials.len() <= most, "{capacity}, {wrong}: {} of {most}", trials.len());
        }
    }
}

#[test]
fn limits_that_are_broken_at_any_load() {
    let (trials, verdict) = search(&Bounds::default(), |_, _| false);
    assert_eq!(verdict, SearchVerdict::NothingPasses { lowest_per_s: 1.0 });
    assert_eq!(trials.len(), 1 + 10 + 1, "1000/s, ten halves of it, and the last one again");
}

#[test]
fn limits_that_no_load_breaks() {
    let bounds = Bounds { highest_per_s: 64_000.0, ..Bounds::default() };
    let (trials, verdict) = search(&bounds, |_, _| true);
    assert_eq!(verdict, SearchVerdict::NothingBreaks { highest_per_s: 64_000.0 });
    assert_eq!(trials.len(), 1 + 6 + 1, "1000/s, six doubles of it, and the last one again");
    // A single wrong vote is outvoted here as well.
    for wrong in 0..trials.len() {
        let (_, verdict) = search(&bounds, |_, number| number != wrong);
        assert_eq!(verdict, SearchVerdict::NothingBreaks { highest_per_s: 64_000.0 }, "{wrong}");
    }
}

#[test]
fn the_first_rate_is_within_the_bounds() {
    let bounds = Bounds { first_per_s: 5.0, lowest_per_s: 10.0, ..Bounds::default() };
    assert_eq!(next(&[], &bounds), Decision::Try { rate_per_s: 10.0, purpose: Purpose::Doubling });
    let bounds = Bounds { first_per_s: 1e9, ..bounds };
    assert_eq!(next(&[], &bounds), Decision::Try { rate_per_s: 1e7, purpose: Purpose::Doubling });
}

#[test]
fn a_tie_is_broken_before_anything_else() {
    let once_more = Decision::Try { rate_per_s: 1000.0, purpose: Purpose::Confirmation };
    let tied = [trial(1000.0, true), trial(1000.0, false)];
    assert_eq!(next(&tied, &Bounds::default()), once_more);
    let amid = [tied[0], trial(500.0, true), trial(2000.0, false), tied[1], trial(1500.0, true)];
    assert_eq!(next(&amid, &Bounds::default()), once_more);
    // Of four trials from elsewhere, a tie is no pass, and no fifth trial is made.
    let four = [tied, tied].concat();
    let halving = Decision::Try { rate_per_s: 500.0, purpose: Purpose::Halving };
    assert_eq!(next(&four, &Bounds::default()), halving);
}

#[test]
fn the_lowest_rate_that_breaks_is_trusted_when_confirmed() {
    // 2000/s broke the limits and 8000/s kept them: once more, before anything is built on it.
    let mut trials = vec![trial(1990.0, true), trial(2000.0, false), trial(8000.0, true)];
    let once_more = Decision::Try { rate_per_s: 2000.0, purpose: Purpose::Confirmation };
    assert_eq!(next(&trials, &Bounds::default()), once_more);
    trials.extend([trial(2000.0, false), trial(1990.0, true)]);
    let found = SearchVerdict::Found { rate_per_s: 1990.0, next_broken_per_s: 2000.0 };
    assert_eq!(next(&trials, &Bounds::default()), Decision::Done(found));
}

#[test]
fn more_votes_may_be_asked_for() {
    for agreeing in 0..=5 {
        let bounds = Bounds { agreeing, ..Bounds::default() };
        let (trials, verdict) = search(&bounds, |rate, _| rate <= 3200.0);
        let (low, high) = edge(verdict);
        for end in [low, high] {
            let votes = trials.iter().filter(|trial| trial.rate_per_s == end).count();
            assert_eq!(votes, agreeing.max(1) as usize);
        }
    }
}

#[test]
fn the_generator_was_the_limit_when_most_of_the_upper_end_says_so() {
    let broken = |generator_limited| Trial { generator_limited, ..trial(2000.0, false) };
    let limited_pass = Trial { generator_limited: true, ..trial(2000.0, true) };
    for (trials, expected) in [
        (vec![broken(true), broken(true)], true),
        (vec![broken(true), limited_pass, broken(false)], false),
        (vec![broken(true), broken(false), broken(true)], true),
        (vec![limited_pass, broken(false), broken(false)], false),
        (vec![trial(1990.0, false)], false),
    ] {
        assert_eq!(generator_was_limit(&trials, 2000.0), expected, "{trials:?}");
    }
}

#[test]
fn the_curve_is_filled_where_nothing_was_tried() {
    let (mut trials, verdict) = search(&Bounds::default(), |rate, _| rate <= 1e5);
    let (found, _) = edge(verdict);
    let mut points = Vec::new();
    while let Some(rate_per_s) = curve(&trials, found) {
        points.push((rate_per_s / found * 100.0).round());
        trials.push(trial(rate_per_s, true));
        assert_eq!(next(&trials, &Bounds::default()), Decision::Done(verdict));
    }
    // 90% is where the bisection has been.
    assert_eq!(points, [50.0, 75.0, 25.0, 10.0]);
    assert_eq!(curve(&[], 1000.0), Some(500.0));
    assert_eq!(curve(&[trial(540.0, true)], 1000.0), Some(750.0));
    assert_eq!(curve(&[trial(541.0, true)], 1000.0), Some(500.0));
}

#[test]
fn a_point_of_the_curve_that_breaks_is_looked_at_again() {
    let (mut trials, verdict) = search(&Bounds::default(), |rate, _| rate <= 1e5);
    trials.push(trial(50_000.0, false));
    let once_more = Decision::Try { rate_per_s: 50_000.0, purpose: Purpose::Confirmation };
    assert_eq!(next(&trials, &Bounds::default()), once_more);
    trials.push(trial(50_000.0, true));
    assert_eq!(next(&trials, &Bounds::default()), once_more);
    trials.push(trial(50_000.0, true));
    assert_eq!(next(&trials, &Bounds::default()), Decision::Done(verdict));
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (1e-2..1e8, 0.005..0.5, 0.1..100.0, 0.0..7.0, 0u32..4).prop_map(
        |(first_per_s, precision_ratio, lowest_per_s, decades, agreeing)| {
            let highest_per_s = lowest_per_s * 10f64.powf(decades);
            Bounds { first_per_s, precision_ratio, lowest_per_s, highest_per_s, agreeing }
        },
    )
}

/// As many trials as the gaps between rates allow: see the head of the module.
fn trials_max(bounds: &Bounds) -> usize {
    let range = (bounds.highest_per_s / bounds.lowest_per_s).ln();
    let rates = 4.0 * range / bounds.precision_ratio.ln_1p() + 5.0;
    (2 * bounds.agreeing.max(1) - 1) as usize * rates as usize
}

/// What the search would have done at each point of a search that was done.
fn resumed(trials: &[Trial], verdict: SearchVerdict, bounds: &Bounds) -> Result<(), TestCaseError> {
    for done in 0..=trials.len() {
        let mut table = trials[..done].to_vec();
        table.reverse();
        match next(&table, bounds) {
            Decision::Try { rate_per_s, .. } => {
                prop_assert_eq!(rate_per_s, trials[done].rate_per_s)
            }
            Decision::Done(answer) => prop_assert_eq!((done, answer), (trials.len(), verdict)),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_search_of_any_server_ends(
        bounds in bounds(), seed in 1u64.., chance in 0.0..=1.0, capacity in 1e-2..1e8,
    ) {
        let mut random = Xorshift(seed);
        // As often as the chance says, a server that answers as it likes.
        let (trials, verdict) = search(&bounds, |rate, _| match random.next() < chance {
            true => random.next() < 0.5,
            false => rate <= capacity,
        });
        prop_assert!(trials.len() <= trials_max(&bounds), "{} trials", trials.len());
        let mut counts = std::collections::BTreeMap::new();
        for trial in &trials {
            let within = bounds.lowest_per_s..=bounds.highest_per_s;
            prop_assert!(within.contains(&trial.rate_per_s));
            let count = counts.entry(trial.rate_per_s.to_bits()).or_insert(0);
            *count += 1;
            prop_assert!(*count < 2 * bounds.agreeing.max(1));
        }
        resumed(&trials, verdict, &bounds)?;
    }

    #[test]
    fn a_search_of_a_contrary_server_ends(
        // The first answer at each rate, and those after it.
        firsts in prop::collection::vec(any::<bool>(), 1..8),
        others in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let bounds = Bounds { precision_ratio: 0.1, highest_per_s: 1e5, ..Bounds::default() };
        let mut seen = std::collections::BTreeSet::new();
        let (trials, _) = search(&bounds, |rate, number| match seen.insert(rate.to_bits()) {
            true => firsts[number % firsts.len()],
            false => others[number % others.len()],
        });
        prop_assert!(trials.len() <= trials_max(&bounds), "{} trials", trials.len());
    }

    #[test]
    fn a_steady_server_is_bracketed(capacity in 2.0..9e6, first_per_s in 1.0..1e7) {
        let bounds = Bounds { first_per_s, ..Bounds::default() };
        let (trials, verdict) = search(&bounds, |rate, _| rate <= capacity);
        prop_assert!(brackets(verdict, capacity), "{:?}", verdict);
        prop_assert!(trials.len() <= 1 + 24 + 6 + 2);
        resumed(&trials, verdict, &bounds)?;
    }
}

#[test]
fn what_is_known_so_far_is_what_most_trials_say() {
    let trial =
        |&(rate_per_s, pass): &(f64, bool)| Trial { rate_per_s, pass, generator_limited: false };
    let known = |trials: &[(f64, bool)]| {
        let trials: Vec<Trial> = trials.iter().map(trial).collect();
        so_far(&trials, &Bounds::default())
    };
    assert_eq!(known(&[]), (None, None));
    assert_eq!(known(&[(1000.0, true)]), (Some(1000.0), None));
    assert_eq!(known(&[(1000.0, false)]), (None, Some(1000.0)));
    assert_eq!(known(&[(1000.0, true), (2000.0, false)]), (Some(1000.0), Some(2000.0)));
    // An accident that was outvoted.
    let outvoted = [(1000.0, false), (1000.0, true), (1000.0, true), (2000.0, true)];
    assert_eq!(known(&outvoted), (Some(2000.0), None));
    // One below rates that have passed, and nobody had time to look again.
    let accident = [(2000.0, true), (2000.0, true), (2040.0, false), (200.0, false)];
    assert_eq!(known(&accident), (Some(2000.0), Some(2040.0)));
    // That was no accident.
    let twice = [(2000.0, true), (2040.0, false), (200.0, false), (200.0, false)];
    assert_eq!(known(&twice), (None, Some(200.0)));
}
