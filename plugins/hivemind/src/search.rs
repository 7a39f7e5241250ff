//! The bucket of a value among 256.

/// The 255 ascending borders between 256 buckets, and infinity.
pub(crate) type Borders = [f32; 256];

/// Values that are searched for side by side.
const LANES: usize = 32;

/// The number of borders below each value (at most 255), of value × `factor`.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn buckets(borders: &Borders, factor: f32, values: &[f32], codes: &mut [u8]) {
    let (whole, rest) = values.as_chunks::<LANES>();
    let (whole_codes, rest_codes) = codes.as_chunks_mut::<LANES>();
    for (values, codes) in whole.iter().zip(whole_codes) {
        *codes = lanes(borders, factor, values);
    }
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    rest_codes.copy_from_slice(&lanes(borders, factor, &last)[..rest.len()]);
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn lanes(borders: &Borders, factor: f32, values: &[f32; LANES]) -> [u8; LANES] {
    let mut found = [0_u32; LANES];
    let mut scaled = [0.0; LANES];
    for lane in 0..LANES {
        scaled[lane] = values[lane] * factor;
    }
    let mut step = 128;
    while step > 0 {
        for lane in 0..LANES {
            let border = borders[((found[lane] + step - 1) & 255) as usize];
            found[lane] += if border < scaled[lane] { step } else { 0 };
        }
        step /= 2;
    }
    let mut codes = [0; LANES];
    for lane in 0..LANES {
        codes[lane] = found[lane] as u8;
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_the_number_of_borders_below() {
        let mut borders = [f32::INFINITY; 256];
        for (i, border) in borders.iter_mut().take(255).enumerate() {
            *border = (i / 2) as f32;
        }
        let values: Vec<f32> = (-10..600).map(|i| i as f32 / 4.0).collect();
        let mut codes = vec![0; values.len()];
        buckets(&borders, 0.5, &values, &mut codes);
        for (value, code) in values.iter().zip(codes) {
            let below = borders.iter().filter(|border| **border < value * 0.5).count();
            assert_eq!(usize::from(code), below.min(255), "{value}");
        }
    }
}
