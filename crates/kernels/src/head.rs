//! The head's comparison: likelihood, divergence and agreement of a row of logits in one kernel.

use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::launch::{cubes, empty, float, int, units};
use crate::reduce::{Fold, fold, place_of_largest};

/// The results for rows of logits.
pub struct Compared<R: Runtime> {
    /// The logarithms of the sums of the exponentials, `[rows]` in f32.
    pub log_total: TensorHandle<R>,
    /// The most likely tokens, the first among equals, `[rows]` in i32.
    pub top: TensorHandle<R>,
    /// Figures `[rows, 3]` in f32. With a reference: negative log-likelihood, divergence from the
    /// reference, and 1 where both have the same most likely token. Without one: negative
    /// log-likelihood, probability of the most likely token, and 1.
    pub figures: TensorHandle<R>,
}

/// Logits that others are compared with, and their results.
pub struct Reference<'a, R: Runtime> {
    /// The logits `[rows, vocab]`, contiguous in f32.
    pub logits: &'a TensorHandle<R>,
    /// The `log_total` of [`Compared`].
    pub log_total: &'a TensorHandle<R>,
    /// The `top` of [`Compared`].
    pub top: &'a TensorHandle<R>,
}

/// Figures of `logits` `[rows, vocab]` (contiguous f32); row `i` predicts the i32 token
/// `targets[i]`.
pub fn compare<R: Runtime>(
    client: &ComputeClient<R>,
    logits: &TensorHandle<R>,
    targets: &TensorHandle<R>,
    reference: Option<&Reference<'_, R>>,
) -> Compared<R> {
    let (rows, vocab) = (logits.shape()[0], logits.shape()[1]);
    let compared = Compared {
        log_total: empty(client, &[rows], float()),
        top: empty(client, &[rows], int()),
        figures: empty(client, &[rows, 3], float()),
    };
    if rows * vocab == 0 {
        return compared;
    }
    let units = units(vocab);
    // Without a reference the kernel still needs its arguments, but does not read them.
    let own = Reference { logits, log_total: logits, top: targets };
    let other = reference.unwrap_or(&own);
    compare_rows::launch::<R>(
        client,
        cubes(rows),
        CubeDim::new_1d(units),
        logits.clone().into_arg(),
        targets.clone().into_arg(),
        other.logits.clone().into_arg(),
        other.log_total.clone().into_arg(),
        other.top.clone().into_arg(),
        compared.log_total.clone().into_arg(),
        compared.top.clone().into_arg(),
        compared.figures.clone().into_arg(),
        reference.is_some(),
        units,
    );
    compared
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "what a launch needs")]
fn compare_rows(
    logits: &Tensor<f32>,
    targets: &Tensor<i32>,
    other: &Tensor<f32>,
    other_total: &Tensor<f32>,
    other_top: &Tensor<i32>,
    log_total_out: &mut Tensor<f32>,
    top_out: &mut Tensor<i32>,
    figures: &mut Tensor<f32>,
    #[comptime] with_reference: bool,
    #[comptime] units: u32,
) {
    let mut scratch = SharedMemory::<f32>::new(units as usize);
    let mut places = SharedMemory::<u32>::new(units as usize);
    let row = CUBE_POS;
    let vocab = logits.shape(1);
    if row < logits.shape(0) {
        let from = row * vocab;
        let first = UNIT_POS as usize;
        let step = units as usize;

        let mut own_highest = f32::MIN.runtime();
        let mut own_place = u32::MAX.runtime();
        let mut token = first;
        while token < vocab {
            let logit = logits[from + token];
            if logit > own_highest {
                own_highest = logit;
                own_place = token as u32;
            }
            token += step;
        }
        let top = place_of_largest(own_highest, own_place, &mut scratch, &mut places, units);
        let highest = logits[from + top as usize];
        let top = top as i32;

        let mut total = 0.0f32;
        let mut token = first;
        while token < vocab {
            total += (logits[from + token] - highest).exp();
            token += step;
        }
        let log_total = highest + fold(total, &mut scratch, Fold::Sum, units).ln();

        let mut second = (highest - log_total).exp();
        let mut third = 1.0f32;
        if with_reference {
            let reference_total = other_total[row];
            let mut mass = 0.0f32;
            let mut drift = 0.0f32;
            let mut token = first;
            while token < vocab {
                let reference = other[from + token];
                let probability = (reference - reference_total).exp();
                mass += probability;
                drift += probability * (reference - logits[from + token]);
                token += step;
            }
            let mass = fold(mass, &mut scratch, Fold::Sum, units);
            let drift = fold(drift, &mut scratch, Fold::Sum, units);
            second = drift / mass + (log_total - reference_total);
            third = 0.0;
            if top == other_top[row] {
                third = 1.0;
            }
        }

        if UNIT_POS == 0 {
            log_total_out[row] = log_total;
            top_out[row] = top;
            figures[row * 3] = log_total - logits[from + targets[row] as usize];
            figures[row * 3 + 1] = second;
            figures[row * 3 + 2] = third;
        }
    }
}
