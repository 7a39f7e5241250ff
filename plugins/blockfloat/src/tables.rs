//! The 4-bit tables of bitsandbytes, and the nearest-value search.
//!
//! Source: `bitsandbytes/functional.py` (NF4: [QLoRA](https://arxiv.org/abs/2305.14314), appendix E;
//! dynamic 8 bit: [8-bit optimizers](https://arxiv.org/abs/2110.02861)).

/// Sixteen values in ascending order, and the midpoints between them.
#[derive(Debug)]
pub(crate) struct Table {
    /// Value of each code.
    pub(crate) values: [f32; 16],
    /// Code `i` becomes `i + 1` above `midpoints[i]`.
    pub(crate) midpoints: [f32; 15],
}

/// Sixteen quantiles of the normal distribution, scaled to [-1, 1].
pub(crate) static NF4: Table = Table::new([
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
]);

/// Sign, two exponent bits and one mantissa bit, scaled to [-1, 1]; zero has two codes.
pub(crate) static FP4: Table = Table::new([
    -1.0,
    -0.666_666_7,
    -0.5,
    -0.333_333_34,
    -0.25,
    -0.166_666_67,
    -0.005_208_333_5,
    0.0,
    0.0,
    0.005_208_333_5,
    0.166_666_67,
    0.25,
    0.333_333_34,
    0.5,
    0.666_666_7,
    1.0,
]);

impl Table {
    const fn new(values: [f32; 16]) -> Table {
        let mut midpoints = [0.0; 15];
        let mut i = 0;
        while i < 15 {
            midpoints[i] = (values[i] + values[i + 1]) / 2.0;
            i += 1;
        }
        Table { values, midpoints }
    }

    /// The code of the nearest value (the lower one on a tie); NaN counts as 0.
    #[inline(always)]
    pub(crate) fn code(&self, value: f32) -> u8 {
        let value = if value.is_nan() { 0.0 } else { value };
        let mut code = 0;
        for midpoint in &self.midpoints {
            code += u8::from(value > *midpoint);
        }
        code
    }
}

/// Index of the nearest entry of an ascending table; the lower one on a tie.
pub(crate) fn nearest(map: &[f32; 256], value: f32) -> u8 {
    let above = map.partition_point(|entry| *entry < value).min(255);
    let below = above.saturating_sub(1);
    let index =
        if (value - map[below]).abs() <= (value - map[above]).abs() { below } else { above };
    u8::try_from(index).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use strait_codec_kit::dynamic_map;

    use super::*;

    #[test]
    fn codes_are_nearest() {
        for table in [&NF4, &FP4] {
            for i in -1200..=1200_i16 {
                let value = f32::from(i) / 1000.0;
                let chosen = table.values[usize::from(table.code(value))];
                let best = table
                    .values
                    .iter()
                    .map(|entry| (entry - value).abs())
                    .fold(f32::INFINITY, f32::min);
                assert!((chosen - value).abs() <= best + 1e-6, "{value}: {chosen}");
            }
        }
        assert_eq!(NF4.code(f32::NAN), 7);
        assert_eq!(NF4.code(f32::INFINITY), 15);
        assert_eq!(FP4.code(f32::NEG_INFINITY), 0);
    }

    #[test]
    fn the_dynamic_map_is_that_of_bitsandbytes() {
        let golden: &[u8] = include_bytes!("../golden/dynamic_map.bin");
        for (ours, golden) in dynamic_map().iter().zip(golden.as_chunks::<4>().0) {
            let golden = f32::from_le_bytes(*golden);
            assert!(ours.to_bits().abs_diff(golden.to_bits()) <= 1, "{ours} {golden}");
        }
    }

    #[test]
    fn every_entry_of_the_dynamic_map_is_its_own_nearest() {
        let map = dynamic_map();
        for i in 0..=255_u8 {
            assert_eq!(nearest(&map, map[usize::from(i)]), i);
        }
        assert_eq!(nearest(&map, -5.0), 0);
        assert_eq!(nearest(&map, 5.0), 255);
    }
}
