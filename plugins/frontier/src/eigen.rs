//! Eigenvectors of a symmetric matrix: Householder's tridiagonal form, then implicit QL steps
//! ([Golub and Van Loan, Matrix Computations](https://jhupbooks.press.jhu.edu/title/matrix-computations), section 8.3).

use strait_sdk::simd::vectorize;

/// Eigenvalues, largest first, and a row-major matrix with an eigenvector in each row.
pub(crate) fn eigen(matrix: Vec<f64>, width: usize) -> (Vec<f64>, Vec<f64>) {
    let mut matrix = matrix;
    let (mut diagonal, mut beside, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
    vectorize(
        #[inline(always)]
        || {
            (diagonal, beside, vectors) = tridiagonal(&mut matrix, width);
            ql(&mut diagonal, &mut beside, &mut vectors, width);
        },
    );
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|a, b| diagonal[*b].total_cmp(&diagonal[*a]));
    let sorted = order.iter().flat_map(|row| &vectors[row * width..][..width]).copied().collect();
    (order.iter().map(|row| diagonal[*row]).collect(), sorted)
}

/// Diagonal, the elements beside it (after each), and the transposed orthogonal factor.
#[inline(always)]
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n];
    let mut reflectors: Vec<(usize, Vec<f64>)> = Vec::new();
    for k in 0..n.saturating_sub(2) {
        // The reflector that leaves one element of column k below the diagonal.
        let mut v: Vec<f64> = (k + 1..n).map(|row| a[row * n + k]).collect();
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let alpha = if v[0] > 0.0 { -norm } else { norm };
        beside[k] = alpha;
        v[0] -= alpha;
        let square: f64 = v.iter().map(|v| v * v).sum();
        if square <= 0.0 {
            continue;
        }
        let scale = (2.0 / square).sqrt();
        v.iter_mut().for_each(|v| *v *= scale);
        // A ← (I − v vᵀ) A (I − v vᵀ) = A − v wᵀ − w vᵀ with w = A v − ½ (vᵀ A v) v.
        let mut w: Vec<f64> = (k + 1..n)
            .map(|row| a[row * n + k + 1..][..v.len()].iter().zip(&v).map(|(a, v)| a * v).sum())
            .collect();
        let half = 0.5 * w.iter().zip(&v).map(|(w, v)| w * v).sum::<f64>();
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= half * v);
        for (row, (vr, wr)) in (k + 1..n).zip(v.iter().zip(&w)) {
            let row = &mut a[row * n + k + 1..][..v.len()];
            for (a, (v, w)) in row.iter_mut().zip(v.iter().zip(&w)) {
                *a -= vr * w + wr * v;
            }
        }
        reflectors.push((k + 1, v));
    }
    if n > 1 {
        beside[n - 2] = a[(n - 1) * n + n - 2];
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    // Qᵀ = H_last … H_first, applied from the left to the rows of the identity.
    let mut q = vec![0.0; n * n];
    (0..n).for_each(|i| q[i * n + i] = 1.0);
    let mut sums = vec![0.0; n];
    for (start, v) in &reflectors {
        sums.fill(0.0);
        for (row, v) in (*start..n).zip(v) {
            let row = &q[row * n..][..n];
            sums.iter_mut().zip(row).for_each(|(sum, q)| *sum += v * q);
        }
        for (row, v) in (*start..n).zip(v) {
            let row = &mut q[row * n..][..n];
            row.iter_mut().zip(&sums).for_each(|(q, sum)| *q -= v * sum);
        }
    }
    (diagonal, beside, q)
}

/// Rotates until nothing is left beside the diagonal; rows of `vectors` follow.
#[inline(always)]
fn ql(d: &mut [f64], e: &mut [f64], vectors: &mut [f64], n: usize) {
    for l in 0..n {
        for _ in 0..60 {
            let small = |i: usize| e[i].abs() <= f64::EPSILON * (d[i].abs() + d[i + 1].abs());
            let m = (l..n - 1).find(|i| small(*i)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            // Wilkinson's shift.
            let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let r = g.hypot(1.0);
            let mut g = d[m] - d[l] + e[l] / (g + if g >= 0.0 { r } else { -r });
            let (mut sine, mut cosine, mut shift) = (1.0_f64, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let (f, b) = (sine * e[i], cosine * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= shift;
                    e[m] = 0.0;
                    whole = false;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                let g2 = d[i + 1] - shift;
                let r2 = (d[i] - g2) * sine + 2.0 * cosine * b;
                shift = sine * r2;
                d[i + 1] = g2 + shift;
                g = cosine * r2 - b;
                let (upper, lower) = vectors.split_at_mut((i + 1) * n);
                for (a, b) in upper[i * n..].iter_mut().zip(&mut lower[..n]) {
                    let f = *b;
                    *b = sine * *a + cosine * f;
                    *a = cosine * *a - sine * f;
                }
            }
            if whole {
                d[l] -= shift;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_orthonormal_and_diagonalise() {
        let mut state = 1_u32;
        for n in [1, 2, 3, 8, 40] {
            let mut a = vec![0.0; n * n];
            for row in 0..n {
                for column in 0..=row {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let value = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
                    a[row * n + column] = value;
                    a[column * n + row] = value;
                }
            }
            let (values, vectors) = eigen(a.clone(), n);
            assert!(values.is_sorted_by(|a, b| a >= b));
            for i in 0..n {
                for j in 0..n {
                    let (u, v) = (&vectors[i * n..][..n], &vectors[j * n..][..n]);
                    let product: f64 = u.iter().zip(v).map(|(u, v)| u * v).sum();
                    let form: f64 = (0..n)
                        .map(|r| u[r] * (0..n).map(|c| a[r * n + c] * v[c]).sum::<f64>())
                        .sum();
                    let one = f64::from(u8::from(i == j));
                    assert!((product - one).abs() < 1e-12, "{n}: {i} {j}: {product}");
                    assert!((form - one * values[i]).abs() < 1e-11, "{n}: {i} {j}: {form}");
                }
            }
        }
    }

    #[test]
    fn equal_and_zero_eigenvalues_are_no_trouble() {
        let (values, vectors) = eigen(vec![0.0; 9], 3);
        assert_eq!(values, [0.0; 3]);
        assert_eq!(vectors.iter().map(|v| v.abs()).sum::<f64>(), 3.0);
        let (values, _) = eigen(vec![1.0; 16], 4);
        assert!((values[0] - 4.0).abs() < 1e-12 && values[1].abs() < 1e-12);
    }
}
