//! The dynamic 8-bit table of [8-bit optimizers](https://arxiv.org/abs/2110.02861), as in
//! bitsandbytes.

/// The table: 256 ascending values in (-1, 1], denser near 0.
///
/// For i from 0 to 6: the midpoints of 2^i even intervals of [0.1, 1], times 10^(i-6), with both
/// signs; and 0 and 1. Each entry is rounded once; bitsandbytes computes in f32, in an order that
/// depends on the CPU, and differs by one unit in the last place here and there.
#[allow(clippy::cast_possible_truncation)]
pub fn dynamic_map() -> [f32; 256] {
    let mut map = [0.0; 256];
    let mut next = 1;
    for i in 0..7_i32 {
        let intervals = 1_u8 << i;
        for k in 0..intervals {
            let middle = 0.1 + 0.9 * (f64::from(k) + 0.5) / f64::from(intervals);
            let value = (middle * 10_f64.powi(i - 6)) as f32;
            map[next] = value;
            map[next + 1] = -value;
            next += 2;
        }
    }
    map[255] = 1.0;
    map.sort_unstable_by(f32::total_cmp);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ascends_and_is_symmetric_but_for_its_ends() {
        let map = dynamic_map();
        assert!(map.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((map[127], map[255]), (0.0, 1.0));
        assert!((0..127).all(|i| map[i] == -map[254 - i]));
    }
}
