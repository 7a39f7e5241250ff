//! The inner product that everything is built from, and the choice of vector width.
//!
//! Activations are stored in panels `[channels, NR]`: the lanes of a vector are tokens. Weights are
//! stored in blocks `[inputs, MR]` of `MR` outputs. One tile is `MR` outputs for `NR` tokens,
//! summed over the inputs in their order. A token's result therefore depends neither on the tokens
//! beside it nor on how work is split among threads.

use pulp::{Simd, WithSimd};

use crate::instructions::arch;

/// Outputs of a tile.
pub(crate) const MR: usize = 8;
/// Number of vectors that one output occupies in registers.
const VECTORS: usize = 3;

/// Work that is compiled for every vector width.
///
/// Everything in `run` must be inlined into it to be compiled with the wide vectors, so it must not
/// pass closures to functions that may remain calls.
pub(crate) trait Task {
    type Output;
    /// Runs the work; `NR` is the number of tokens in a panel.
    fn run<S: Simd, const NR: usize>(self, simd: S) -> Self::Output;
}

/// Runs `task` with the widest vectors that the CPU has, or that the environment allows.
pub(crate) fn dispatch<T: Task>(task: T) -> T::Output {
    arch().dispatch(Widest(task))
}

/// Number of tokens in a panel on this CPU.
pub(crate) fn panel_tokens() -> usize {
    struct Width;
    impl Task for Width {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd, const NR: usize>(self, _: S) -> usize {
            NR
        }
    }
    dispatch(Width)
}

struct Widest<T>(T);

impl<T: Task> WithSimd for Widest<T> {
    type Output = T::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T::Output {
        if const { S::F32_LANES == 16 } {
            self.0.run::<S, 48>(simd)
        } else {
            self.0.run::<S, 24>(simd)
        }
    }
}

/// Computes `out[i][t] = Σ_k a[k][i] * b[k][t]`, added to `out` with `ADD`; `out` has `MR` rows.
#[inline(always)]
pub(crate) fn tile<S: Simd, const NR: usize, const ADD: bool>(
    simd: S,
    a: &[[f32; MR]],
    b: &[[f32; NR]],
    out: &mut [[f32; NR]; MR],
) {
    for group in 0..NR / (VECTORS * S::F32_LANES) {
        if const { S::REGISTER_COUNT >= 32 } {
            rows::<S, NR, MR, ADD>(simd, a, b, out, 0, group);
        } else {
            rows::<S, NR, 4, ADD>(simd, a, b, out, 0, group);
            rows::<S, NR, 4, ADD>(simd, a, b, out, 4, group);
        }
    }
}

#[inline(always)]
fn rows<S: Simd, const NR: usize, const ROWS: usize, const ADD: bool>(
    simd: S,
    a: &[[f32; MR]],
    b: &[[f32; NR]],
    out: &mut [[f32; NR]; MR],
    first: usize,
    group: usize,
) {
    let columns = group * VECTORS;
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    if ADD {
        for i in 0..ROWS {
            let row = S::as_simd_f32s(&out[first + i]).0;
            sums[i].copy_from_slice(&row[columns..columns + VECTORS]);
        }
    }
    for (a, b) in a.iter().zip(b) {
        let b = S::as_simd_f32s(b).0;
        let b = [b[columns], b[columns + 1], b[columns + 2]];
        for i in 0..ROWS {
            let weight = simd.splat_f32s(a[first + i]);
            for v in 0..VECTORS {
                sums[i][v] = simd.mul_add_f32s(weight, b[v], sums[i][v]);
            }
        }
    }
    for i in 0..ROWS {
        let row = S::as_mut_simd_f32s(&mut out[first + i]).0;
        row[columns..columns + VECTORS].copy_from_slice(&sums[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Check;
    impl Task for Check {
        type Output = ();
        fn run<S: Simd, const NR: usize>(self, simd: S) {
            let a: Vec<[f32; MR]> =
                (0..5).map(|k| [0, 1, 2, 3, 4, 5, 6, 7].map(|i| (k * i) as f32)).collect();
            let b: Vec<[f32; NR]> =
                (0..5).map(|k| std::array::from_fn(|t| (k + t) as f32)).collect();
            let mut out = [[0.5; NR]; MR];
            tile::<S, NR, true>(simd, &a, &b, &mut out);
            for (i, row) in out.iter().enumerate() {
                for (t, &value) in row.iter().enumerate() {
                    let sum: usize = (0..5).map(|k| k * i * (k + t)).sum();
                    assert_eq!(value, sum as f32 + 0.5);
                }
            }
        }
    }

    #[test]
    fn a_tile_is_the_product() {
        dispatch(Check);
        Widest(Check).with_simd(pulp::Scalar);
    }
}
