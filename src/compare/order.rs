//! In which order a round goes: whoever comes first finds the box as the last round left it, and
//! whoever follows a tool finds it as that one did.
//!
//! ```text
//!   four of them      A B D C        three of them      A B C      C B A
//!                     B C A D                           B C A      A C B
//!                     C D B A                           C A B      B A C
//!                     D A C B
//! ```
//!
//! This is the square of E. J. Williams (1949). In as many rounds as there are tools everybody has
//! every place once, and comes directly behind every other one once. Where their number is odd, one
//! square cannot do the latter, and so the next one is its mirror image.

/// The order of a round, from 0 on, by the numbers of those who take part.
pub(crate) fn order(round: u32, of: usize) -> Vec<usize> {
    if of == 0 {
        return Vec::new();
    }
    let round = round as usize;
    // The first row goes to and fro: 0, 1, -1, 2, -2 ...
    let first_row = (0..of).map(|place| match place % 2 {
        1 => place.div_ceil(2),
        _ => of - place / 2,
    });
    let mut order: Vec<usize> = first_row.map(|one| (one + round % of) % of).collect();
    if of % 2 == 1 && (round / of) % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_every_place_and_every_neighbour_equally_often() {
        for of in 1..=6 {
            let mut places = vec![vec![0; of]; of];
            let mut behind = vec![vec![0; of]; of];
            for round in 0..2 * of as u32 {
                let order = order(round, of);
                for (place, &one) in order.iter().enumerate() {
                    places[one][place] += 1;
                }
                for pair in order.windows(2) {
                    behind[pair[1]][pair[0]] += 1;
                }
            }
            for one in 0..of {
                assert_eq!(places[one], vec![2; of], "{one} of {of}");
                let twice: Vec<i32> = (0..of).map(|other| 2 * i32::from(other != one)).collect();
                assert_eq!(behind[one], twice, "{one} of {of}");
            }
        }
    }

    #[test]
    fn two_take_turns() {
        let orders: Vec<Vec<usize>> = (0..4).map(|round| order(round, 2)).collect();
        assert_eq!(orders, [[0, 1], [1, 0], [0, 1], [1, 0]]);
        assert_eq!(order(3, 4), [3, 0, 2, 1]);
        assert_eq!(order(7, 0), Vec::<usize>::new());
    }
}
