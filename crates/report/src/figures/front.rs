//! Which cells are worth a look: the one rule that tables, pictures, the page and plans go by.
//!
//! A cell is on the front unless another one costs no more and is better beyond the error of their paired
//! difference, or is exactly as good and costs less. What chance alone may have put in order stays.

use std::cmp::Ordering;

use strait_schema::WindowSums;

use super::pairs::{self, Loss};

/// What the front of a table says of itself.
pub(crate) const RULE: &str = "no other cell with as few bits has a KLD lower by more than the error of their paired difference";

/// The same for a front that goes by perplexity.
pub(crate) const RULE_OF_PERPLEXITY: &str = "no other cell with as few bits has a ΔPPL lower by more than the error of their paired difference";

/// A cell that may be on a front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Bits, bytes or time.
    pub(crate) cost: f64,
    /// What is lost.
    pub(crate) loss: f64,
    /// Its standard error, for cells whose windows cannot be paired.
    pub(crate) error: f64,
    pub(crate) windows: &'a [WindowSums],
}

/// Which candidates are on the front. One whose cost or loss is no number is not.
pub(crate) fn front(candidates: &[Candidate<'_>], by: Loss) -> Vec<bool> {
    let mut order: Vec<usize> = (0..candidates.len())
        .filter(|&at| !candidates[at].cost.is_nan() && !candidates[at].loss.is_nan())
        .collect();
    let cheaper = |a: &usize, b: &usize| {
        let (a, b) = (&candidates[*a], &candidates[*b]);
        a.cost.total_cmp(&b.cost).then(a.loss.total_cmp(&b.loss))
    };
    order.sort_by(cheaper);
    let mut on = vec![false; candidates.len()];
    // The best so far beat most others: they come first, so that thousands of cells take no time.
    let mut best: Vec<usize> = Vec::new();
    for (rank, &at) in order.iter().enumerate() {
        let cell = &candidates[at];
        let as_cheap =
            order[rank + 1..].iter().take_while(|&&other| candidates[other].cost <= cell.cost);
        let others = best.iter().rev().chain(&order[..rank]).chain(as_cheap);
        on[at] = !others.into_iter().any(|&other| beats(&candidates[other], cell, by));
        if best.last().is_none_or(|&last| cell.loss < candidates[last].loss) {
            best.push(at);
        }
    }
    on
}

/// Whether the other is better beyond the error, or cheaper and exactly as good. It costs no more.
fn beats(other: &Candidate<'_>, cell: &Candidate<'_>, by: Loss) -> bool {
    let paired = pairs::match_up(other.windows, cell.windows);
    let (value, error) = if paired {
        let each = pairs::differences(other.windows, cell.windows, by);
        let value = pairs::mean(each.iter().copied());
        (value, pairs::error(&each, value))
    } else {
        (cell.loss - other.loss, None)
    };
    // Errors of cells on the same tokens go together, so both as if apart are more than that of their difference.
    let error = error.unwrap_or_else(|| cell.error.hypot(other.error));
    match value.partial_cmp(&0.0) {
        Some(Ordering::Greater) => value > error,
        Some(Ordering::Equal) => error == 0.0 && other.cost < cell.cost,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strait_metrics::PairedSums;

    fn windows(kld: &[f64]) -> Vec<WindowSums> {
        let window = |(index, &kld_sum): (usize, &f64)| WindowSums {
            index,
            scored: 1,
            sums: PairedSums::default(),
            kld_sum,
            same_top: 0,
        };
        kld.iter().enumerate().map(window).collect()
    }

    fn marks(cells: &[(f64, &[f64])]) -> Vec<bool> {
        let windows: Vec<Vec<WindowSums>> = cells.iter().map(|(_, kld)| windows(kld)).collect();
        let candidate =
            |(&(cost, kld), windows): (&(f64, &[f64]), &'static [WindowSums])| Candidate {
                cost,
                loss: kld.iter().sum::<f64>() / kld.len() as f64,
                error: 0.0,
                windows,
            };
        let windows: Vec<&'static [WindowSums]> =
            windows.into_iter().map(|windows| &*windows.leak()).collect();
        let candidates: Vec<Candidate<'_>> = cells.iter().zip(windows).map(candidate).collect();
        front(&candidates, Loss::Divergence)
    }

    #[test]
    fn a_difference_within_its_paired_error_beats_nobody() {
        // Both lose a tenth more with eight bits; only where windows agree is that more than chance.
        let four: &[f64] = &[1.0, 2.0, 3.0, 4.0];
        assert_eq!(marks(&[(4.0, four), (8.0, &[1.1, 2.1, 3.1, 4.1])]), [true, false]);
        assert_eq!(marks(&[(4.0, four), (8.0, &[2.1, 1.1, 4.1, 3.1])]), [true, true]);
    }

    #[test]
    fn equals_stay_together_and_the_cheaper_of_exact_ones_stays() {
        let one: &[f64] = &[1.0, 1.0];
        assert_eq!(marks(&[(4.0, one), (4.0, one), (5.0, one)]), [true, true, false]);
        assert_eq!(marks(&[(32.0, &[0.0, 0.0]), (20.0, &[0.0, 0.0])]), [false, true]);
        assert_eq!(marks(&[(4.0, &[2.0, 2.0]), (4.0, one)]), [false, true]);
    }

    #[test]
    fn without_common_windows_both_errors_count() {
        let cell = |cost, loss, error| Candidate { cost, loss, error, windows: &[] };
        let on = |cells: &[Candidate<'_>]| front(cells, Loss::Likelihood);
        assert_eq!(on(&[cell(4.0, 1.0, 0.3), cell(8.0, 1.4, 0.3)]), [true, true]);
        assert_eq!(on(&[cell(4.0, 1.0, 0.3), cell(8.0, 1.5, 0.3)]), [true, false]);
        assert_eq!(on(&[cell(f64::NAN, 1.0, 0.0), cell(4.0, f64::NAN, 0.0)]), [false, false]);
    }

    #[test]
    fn what_anyone_beats_is_not_on_it_even_if_the_best_so_far_do_not() {
        // The cheapest is best on average but scatters; the second beats the third in every window.
        let cells: [(f64, &[f64]); 3] =
            [(1.0, &[0.0, 4.0]), (2.0, &[2.0, 2.2]), (3.0, &[2.5, 2.7])];
        assert_eq!(marks(&cells), [true, true, false]);
    }
}
