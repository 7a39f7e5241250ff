//! The head's comparison: likelihood, divergence and agreement in one pass over a row of logits.

use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::launch::{cubes, empty, units};
use crate::reduce::{largest, place_of_largest, sum};

/// What a row of logits comes to, `[rows]` each.
pub struct Compared<R: Runtime> {
    /// The highest logit, f32.
    pub highest: TensorHandle<R>,
    /// The logarithm of the sum of the exponentials, f32.
    pub log_total: TensorHandle<R>,
    /// The most likely token, of equal ones the first, i32.
    pub top: TensorHandle<R>,
    /// Figures `[rows, 3]`, f32: likelihood's negative logarithm, then divergence from the reference
    /// and 1 where both have the same most likely token; without one, the most likely token's
    /// probability and 1.
    pub figures: TensorHandle<R>,
}

/// Figures of `logits` `[rows, vocab]` (f32, without gaps) without a reference; row `i` predicts the
/// i32 token `targets[i]`.
pub fn summarize<R: Runtime>(
    client: &ComputeClient<R>,
    logits: &TensorHandle<R>,
    targets: &TensorHandle<R>,
) -> Compared<R> {
    launch(client, logits, targets, None)
}

/// The same with divergence from a reference's logits and what they came to.
pub fn compare<R: Runtime>(
    client: &ComputeClient<R>,
    logits: &TensorHandle<R>,
    targets: &TensorHandle<R>,
    reference: (&TensorHandle<R>, &TensorHandle<R>, &TensorHandle<R>),
) -> Compared<R> {
    launch(client, logits, targets, Some(reference))
}

/// The reference is its logits, the logarithms of its sums, and its most likely tokens.
fn launch<R: Runtime>(
    client: &ComputeClient<R>,
    logits: &TensorHandle<R>,
    targets: &TensorHandle<R>,
    reference: Option<(&TensorHandle<R>, &TensorHandle<R>, &TensorHandle<R>)>,
) -> Compared<R> {
    let (rows, vocab) = (logits.shape()[0], logits.shape()[1]);
    let of = |shape: &[usize]| empty(client, shape, f32::as_type_native_unchecked().storage_type());
    let top = empty(client, &[rows], i32::as_type_native_unchecked().storage_type());
    let compared =
        Compared { highest: of(&[rows]), log_total: of(&[rows]), top, figures: of(&[rows, 3]) };
    if rows * vocab == 0 {
        return compared;
    }
    let units = units(vocab);
    let (other, other_total, other_top) = reference.unwrap_or((logits, logits, targets));
    compare_rows::launch::<R>(
        client,
        cubes(rows),
        CubeDim::new_1d(units),
        logits.clone().into_arg(),
        targets.clone().into_arg(),
        other.clone().into_arg(),
        other_total.clone().into_arg(),
        other_top.clone().into_arg(),
        compared.highest.clone().into_arg(),
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
    highest_out: &mut Tensor<f32>,
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
        let highest = largest(own_highest, &mut scratch, units);
        let top = place_of_largest(own_highest, own_place, &mut scratch, &mut places, units) as i32;

        let mut total = 0.0f32;
        let mut token = first;
        while token < vocab {
            total += (logits[from + token] - highest).exp();
            token += step;
        }
        let log_total = highest + sum(total, &mut scratch, units).ln();

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
            let mass = sum(mass, &mut scratch, units);
            let drift = sum(drift, &mut scratch, units);
            second = drift / mass + (log_total - reference_total);
            third = 0.0;
            if top == other_top[row] {
                third = 1.0;
            }
        }

        if UNIT_POS == 0 {
            highest_out[row] = highest;
            log_total_out[row] = log_total;
            top_out[row] = top;
            figures[row * 3] = log_total - logits[from + targets[row] as usize];
            figures[row * 3 + 1] = second;
            figures[row * 3 + 2] = third;
        }
    }
}
