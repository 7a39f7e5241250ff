//! Hadamard matrices of orders that are not powers of two, after Paley.

/// The largest odd part of an order: K up to 180 values are mixed by a dense matrix.
const MOST_ODD: usize = 45;

/// The order K of the dense factor of a Hadamard matrix of order `n` = K 2^k: 1, or 4 times the odd
/// part of `n`. `None` where neither of Paley's constructions over a prime field gives one.
pub(crate) fn core(n: usize) -> Option<usize> {
    if n == 0 {
        return None;
    }
    let odd = n >> n.trailing_zeros();
    if odd == 1 {
        return Some(1);
    }
    let core = 4 * odd;
    let known = odd <= MOST_ODD && (is_prime(core - 1) || second_prime(core).is_some());
    (known && n.is_multiple_of(core)).then_some(core)
}

/// The matrix of order `core`, row by row, of ones and minus ones.
pub(crate) fn matrix(core: usize) -> Vec<f32> {
    match (core, second_prime(core)) {
        (0 | 1, _) => vec![1.0; core],
        (_, None) => first(core),
        (_, Some(_)) if is_prime(core - 1) => first(core),
        (_, Some(prime)) => second(prime),
    }
}

/// The prime q = 1 (mod 4) with 2 (q + 1) = `core`.
fn second_prime(core: usize) -> Option<usize> {
    let prime = (core / 2).checked_sub(1)?;
    (prime % 4 == 1 && is_prime(prime)).then_some(prime)
}

/// Paley's first construction, of order q + 1 for a prime q = 3 (mod 4): a skew matrix plus the unit
/// matrix.
fn first(core: usize) -> Vec<f32> {
    let squares = squares(core - 1);
    let entry = |i: usize, j: usize| match (i, j) {
        (0, _) => 1.0,
        (_, 0) => -1.0,
        _ if i == j => 1.0,
        _ => squares[(j + core - 1 - i) % (core - 1)],
    };
    (0..core * core).map(|at| entry(at / core, at % core)).collect()
}

/// Paley's second construction, of order 2 (q + 1) for a prime q = 1 (mod 4): each entry of a symmetric
/// matrix of order q + 1 becomes a block of two by two.
fn second(prime: usize) -> Vec<f32> {
    let squares = squares(prime);
    let conference = |i: usize, j: usize| match (i, j) {
        _ if i == j => 0.0,
        (0, _) | (_, 0) => 1.0,
        _ => squares[(i + prime - j) % prime],
    };
    let core = 2 * (prime + 1);
    let entry = |i: usize, j: usize| {
        let value = conference(i / 2, j / 2);
        let off = match (i % 2, j % 2) {
            (1, 1) => -value,
            _ => value,
        };
        let diagonal = if i.is_multiple_of(2) && j.is_multiple_of(2) { 1.0 } else { -1.0 };
        if i / 2 == j / 2 { diagonal } else { off }
    };
    (0..core * core).map(|at| entry(at / core, at % core)).collect()
}

/// The Legendre symbol of 0 to q - 1.
fn squares(prime: usize) -> Vec<f32> {
    let mut symbols = vec![-1.0; prime];
    for x in 1..prime {
        symbols[x * x % prime] = 1.0;
    }
    symbols[0] = 0.0;
    symbols
}

fn is_prime(n: usize) -> bool {
    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_matrix_is_orthogonal() {
        for core in [1, 12, 20, 28, 36, 44, 60, 68, 76, 84, 108, 124, 132, 140, 148, 164, 180] {
            assert_eq!(super::core(core), Some(core));
            let h = matrix(core);
            assert!(h.iter().all(|entry| entry.abs() == 1.0));
            for i in 0..core {
                for j in 0..core {
                    let dot: f32 = (0..core).map(|k| h[i * core + k] * h[j * core + k]).sum();
                    assert_eq!(dot, if i == j { core as f32 } else { 0.0 }, "order {core}");
                }
            }
        }
    }

    #[test]
    fn widths_of_models_have_a_whole_rotation() {
        for (n, order) in [(576, 36), (768, 12), (896, 28), (960, 60), (1536, 12), (2048, 1)]
            .into_iter()
            .chain([(2560, 20), (3584, 28), (4096, 1), (5120, 20), (1, 1), (2, 1)])
        {
            assert_eq!(core(n), Some(order), "{n}");
        }
        for none in [0, 3, 7, 52, 129, 47 * 4] {
            assert_eq!(core(none), None, "{none}");
        }
    }
}
