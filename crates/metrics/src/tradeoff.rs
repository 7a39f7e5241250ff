//! Choosing between cells: which lie on the Pareto front, and on which links a codec pays off.

/// Indices of the points `(cost, loss)` that no other point dominates, cheapest first.
///
/// A point is dominated by another that is no worse in both and better in one. Equal points are kept
/// together; a point with a NaN is never on the front.
#[must_use]
pub fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..points.len()).filter(|&i| !points[i].0.is_nan() && !points[i].1.is_nan()).collect();
    order.sort_by(|&i, &j| {
        let (a, b) = (points[i], points[j]);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut front: Vec<usize> = Vec::new();
    for i in order {
        match front.last().map(|&last| points[last]) {
            Some(last) if points[i].1 >= last.1 && points[i] != last => {}
            _ => front.push(i),
        }
    }
    front
}

/// The bandwidth in bits per second below which a codec makes a message arrive earlier: `bytes saved
/// / bandwidth > encode_s + decode_s`.
///
/// Infinite if the codec takes no time, 0 if it saves no bytes. Bytes and seconds refer to the same
/// messages.
#[must_use]
pub fn break_even_bits_per_s(
    raw_bytes: u64,
    payload_bytes: u64,
    encode_s: f64,
    decode_s: f64,
) -> f64 {
    match raw_bytes.saturating_sub(payload_bytes) {
        0 => 0.0,
        saved => 8.0 * saved as f64 / (encode_s + decode_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_the_lower_left_edge() {
        let points =
            [(8.0, 0.1), (4.0, 0.5), (4.0, 0.7), (6.0, 0.6), (2.0, 3.0), (16.0, 0.0), (9.0, 0.1)];
        assert_eq!(pareto_front(&points), [4, 1, 0, 5]);
    }

    #[test]
    fn equal_points_stay_and_nan_never_wins() {
        let points = [(1.0, 1.0), (1.0, 1.0), (0.5, f64::NAN), (f64::NAN, 0.0), (2.0, 1.0)];
        assert_eq!(pareto_front(&points), [0, 1]);
        assert_eq!(pareto_front(&[(0.0, 1.0), (-0.0, 1.0)]).len(), 2);
        assert!(pareto_front(&[]).is_empty());
    }

    #[test]
    fn break_even() {
        // 1 MB saved for 8 ms of work pays below 1 Gbit/s.
        assert_eq!(break_even_bits_per_s(2_000_000, 1_000_000, 0.005, 0.003), 1e9);
        assert_eq!(break_even_bits_per_s(10, 10, 0.0, 0.0), 0.0);
        assert_eq!(break_even_bits_per_s(10, 20, 1.0, 1.0), 0.0);
        assert_eq!(break_even_bits_per_s(10, 5, 0.0, 0.0), f64::INFINITY);
    }
}
