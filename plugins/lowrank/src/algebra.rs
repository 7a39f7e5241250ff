//! Leading eigenvectors by subspace iteration, the pivoted QR decomposition, and products of matrices.
//!
//! Matrices are row-major; bases are stored as rows.

use strait_sdk::simd::vectorize;

/// Values in one accumulator row; a multiple of every vector width.
const LANES: usize = 16;

/// Directions that are carried along beyond the wanted ones, for accuracy.
const EXTRA: usize = 8;

/// The `rank` leading eigenvectors of the symmetric matrix S = XᵀX, as rows `[rank, columns]`, with the
/// eigenvalues; X is `[rows, columns]`. Fewer than `rank` when X has not as many rows or columns.
pub(crate) fn leading(
    x: &[f32],
    columns: usize,
    rank: usize,
    iterations: usize,
) -> (Vec<f32>, Vec<f64>) {
    let rows = x.len().checked_div(columns).unwrap_or(0);
    let most = rows.min(columns);
    let (rank, count) = (rank.min(most), (rank + EXTRA).min(most));
    if count == 0 {
        return (Vec::new(), Vec::new());
    }
    // S itself is the smaller of the two when there are many rows.
    let square = (rows > 2 * columns).then(|| transposed_times(x, columns, x, columns));
    let apply = |v: &[f32]| match &square {
        Some(square) => times(v, columns, square, columns),
        None => times(&dots(v, x, columns), rows, x, columns),
    };
    let mut v = start(count * columns);
    orthonormalize(&mut v, columns);
    for _ in 0..iterations {
        v = apply(&v);
        orthonormalize(&mut v, columns);
    }
    let small = dots(&apply(&v), &v, columns);
    let (values, vectors) = eigen(count, small.iter().map(|x| f64::from(*x)).collect());
    #[allow(clippy::cast_possible_truncation)]
    let turn: Vec<f32> = vectors[..rank * count].iter().map(|x| *x as f32).collect();
    let mut leading = times(&turn, count, &v, columns);
    orthonormalize(&mut leading, columns);
    (leading, values.into_iter().take(rank).map(|value| value.max(0.0)).collect())
}

/// A B for A `[m, inner]` and B `[inner, n]`.
pub(crate) fn times(a: &[f32], inner: usize, b: &[f32], n: usize) -> Vec<f32> {
    let m = a.len().checked_div(inner).unwrap_or(0);
    let mut c = vec![0.0; m * n];
    for (a, c) in a.chunks(inner.max(1)).zip(c.chunks_mut(n.max(1))) {
        vectorize(
            #[inline(always)]
            || {
                for (factor, b) in a.iter().zip(b.chunks_exact(n.max(1))) {
                    for (c, b) in c.iter_mut().zip(b) {
                        *c += factor * b;
                    }
                }
            },
        );
    }
    c
}

/// Aᵀ B for A `[rows, m]` and B `[rows, n]`.
pub(crate) fn transposed_times(a: &[f32], m: usize, b: &[f32], n: usize) -> Vec<f32> {
    let mut c = vec![0.0; m * n];
    for (a, b) in a.chunks(m.max(1)).zip(b.chunks(n.max(1))) {
        vectorize(
            #[inline(always)]
            || {
                for (factor, c) in a.iter().zip(c.chunks_exact_mut(n.max(1))) {
                    for (c, b) in c.iter_mut().zip(b) {
                        *c += factor * b;
                    }
                }
            },
        );
    }
    c
}

/// A Bᵀ for A `[m, inner]` and B `[n, inner]`.
pub(crate) fn dots(a: &[f32], b: &[f32], inner: usize) -> Vec<f32> {
    let mut c = Vec::new();
    for a in a.chunks(inner.max(1)) {
        vectorize(
            #[inline(always)]
            || c.extend(b.chunks(inner.max(1)).map(|b| dot(a, b))),
        );
    }
    c
}

/// Transposes `[rows, columns]`.
pub(crate) fn transposed(x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len().checked_div(columns).unwrap_or(0);
    let mut turned = vec![0.0; x.len()];
    for (i, row) in x.chunks(columns.max(1)).enumerate() {
        for (j, value) in row.iter().enumerate() {
            turned[j * rows + i] = *value;
        }
    }
    turned
}

/// Pivoted QR of the matrix whose columns are the rows of `x`, `[count, length]`: the chosen rows in
/// their order, and the coefficients of every row in them, `[count, rank]`.
pub(crate) fn interpolate(mut x: Vec<f32>, length: usize, rank: usize) -> (Vec<usize>, Vec<f32>) {
    let count = x.len().checked_div(length).unwrap_or(0);
    let rank = rank.min(count);
    let mut triangle = vec![0.0_f64; rank * count];
    let mut chosen: Vec<usize> = Vec::new();
    let norm = |row: &[f32]| dot(row, row);
    let least =
        1e-12 * x.chunks(length.max(1)).map(norm).fold(0.0_f32, |most, norm| most.max(norm));
    let mut independent = rank;
    let mut unit = vec![0.0; length];
    for step in 0..rank {
        let norms = x.chunks(length.max(1)).map(norm);
        let free = norms.enumerate().filter(|(i, _)| !chosen.contains(i));
        // The first of equals.
        let (pivot, norm) =
            free.fold((0, -1.0), |best, next| if next.1 > best.1 { next } else { best });
        chosen.push(pivot);
        if norm <= least || independent < step {
            independent = independent.min(step);
            continue;
        }
        let root = norm.sqrt();
        let row = x[pivot * length..][..length].iter();
        unit.iter_mut().zip(row).for_each(|(unit, value)| *unit = value / root);
        for (i, row) in x.chunks_mut(length.max(1)).enumerate() {
            vectorize(
                #[inline(always)]
                || {
                    let part = dot(row, &unit);
                    triangle[step * count + i] = f64::from(part);
                    row.iter_mut().zip(&unit).for_each(|(value, unit)| *value -= part * unit);
                },
            );
        }
    }
    let mut coefficients = vec![0.0; count * rank];
    let mut solved = vec![0.0_f64; independent];
    for i in 0..count {
        if let Some(place) = chosen.iter().position(|pivot| *pivot == i) {
            coefficients[i * rank + place] = 1.0;
            continue;
        }
        for step in (0..independent).rev() {
            let row = &triangle[step * count..][..count];
            let known: f64 =
                (step + 1..independent).map(|later| row[chosen[later]] * solved[later]).sum();
            solved[step] = (row[i] - known) / row[chosen[step]];
        }
        for (coefficient, value) in coefficients[i * rank..].iter_mut().zip(&solved) {
            #[allow(clippy::cast_possible_truncation)]
            let value = *value as f32;
            *coefficient = if value.is_finite() { value } else { 0.0 };
        }
    }
    (chosen, coefficients)
}

/// Makes rows orthonormal, in order; a row in the span of those before it becomes 0.
fn orthonormalize(v: &mut [f32], columns: usize) {
    for i in 0..v.len() / columns.max(1) {
        let (before, rest) = v.split_at_mut(i * columns);
        let row = &mut rest[..columns];
        vectorize(
            #[inline(always)]
            || {
                let mut length = dot(row, row).sqrt();
                // Twice: what rounding leaves of the others the first time is gone after the second.
                for _ in 0..2 {
                    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
                    row.iter_mut().for_each(|value| *value *= scale);
                    for other in before.chunks_exact(columns) {
                        let part = dot(row, other);
                        row.iter_mut().zip(other).for_each(|(value, other)| *value -= part * other);
                    }
                    length = dot(row, row).sqrt();
                    length = if length > 1e-5 { length } else { 0.0 };
                }
                let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
                row.iter_mut().for_each(|value| *value *= scale);
            },
        );
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += a * b;
    }
    sums.iter().sum()
}

/// A fixed matrix without structure: the same on every run.
fn start(count: usize) -> Vec<f32> {
    let mut state = 0_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[allow(clippy::cast_precision_loss)]
        let unit = ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32;
        unit - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Eigenvalues of a symmetric matrix of order `n`, descending, and its eigenvectors as rows, by the cyclic
/// method of Jacobi.
fn eigen(n: usize, mut a: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    let mut v: Vec<f64> = (0..n * n).map(|at| f64::from(u8::from(at / n == at % n))).collect();
    let size: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..30 {
        let off: f64 = (0..n * n).filter(|at| at / n != at % n).map(|at| a[at] * a[at]).sum();
        if off <= 1e-22 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for matrix in [&mut a, &mut v] {
                    for k in 0..n {
                        let (x, y) = (matrix[p * n + k], matrix[q * n + k]);
                        (matrix[p * n + k], matrix[q * n + k]) = (c * x - s * y, s * x + c * y);
                    }
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[j * n + j].total_cmp(&a[i * n + i]));
    let values = order.iter().map(|i| a[i * n + i]).collect();
    let mut vectors = Vec::with_capacity(n * n);
    order.iter().for_each(|i| vectors.extend_from_slice(&v[i * n..][..n]));
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_a_known_matrix() {
        // 2 - 2 cos(k pi / 5), the second difference of 4 points.
        let a = [2., -1., 0., 0., -1., 2., -1., 0., 0., -1., 2., -1., 0., 0., -1., 2.];
        let (values, vectors) = eigen(4, a.to_vec());
        for (k, value) in values.iter().enumerate() {
            let expected = 2.0 - 2.0 * ((4 - k) as f64 * std::f64::consts::PI / 5.0).cos();
            assert!((value - expected).abs() < 1e-12, "{value} {expected}");
            let row = &vectors[k * 4..][..4];
            let image = a.chunks(4).map(|a| a.iter().zip(row).map(|(a, v)| a * v).sum::<f64>());
            for (image, v) in image.zip(row) {
                assert!((image - value * v).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_matrix_of_low_rank_is_found_again() {
        let (rows, columns) = (30, 20);
        let (a, b) = (start(rows * 3), start(3 * columns + 5));
        let x = times(&a, 3, &b[5..], columns);
        let (v, values) = leading(&x, columns, 3, 4);
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        let back = times(&dots(&x, &v, columns), 3, &v, columns);
        assert!(x.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-5));

        let turned = transposed(&x, columns);
        assert_eq!(transposed(&turned, rows), x);
        let (chosen, z) = interpolate(turned.clone(), rows, 3);
        let kept: Vec<f32> =
            chosen.iter().flat_map(|i| &turned[i * rows..][..rows]).copied().collect();
        let back = times(&z, 3, &kept, rows);
        assert!(turned.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-4));
        // More than there is: the others are 0.
        let (chosen, z) = interpolate(turned, rows, 6);
        assert_eq!((chosen.len(), z.len()), (6, columns * 6));
        assert!(z.iter().all(|z| z.is_finite()));
    }

    #[test]
    fn nothing_has_no_directions() {
        assert_eq!(leading(&[], 5, 2, 4), (Vec::new(), Vec::new()));
        let (v, values) = leading(&[0.0; 12], 4, 2, 4);
        assert_eq!((v, values), (vec![0.0; 8], vec![0.0; 2]));
        assert_eq!(interpolate(vec![0.0; 12], 4, 2).0, [0, 1]);
    }
}
