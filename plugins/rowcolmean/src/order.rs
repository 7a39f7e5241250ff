//! Orders of tokens and channels: by their means, and as bits of the payload.

use strait_codec_kit::bits::{BitReader, BitWriter};
use strait_sdk::prelude::*;

/// The indices in ascending order of the means; of equal ones the first.
pub(crate) fn by_mean(means: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|a, b| means[*a].total_cmp(&means[*b]));
    order
}

/// Bytes of an order of so many.
pub(crate) fn bytes(count: usize) -> usize {
    (count * width(count) as usize).div_ceil(8)
}

/// Appends an order, ⌈log2 count⌉ bits each.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn write(order: &[usize], payload: &mut Vec<u8>) {
    let mut writer = BitWriter::new(payload);
    order.iter().for_each(|index| writer.put(*index as u32, width(order.len())));
    writer.finish();
}

/// Reads an order of `count` from [`bytes`] bytes.
pub(crate) fn read(payload: &[u8], count: usize) -> Result<Vec<usize>> {
    let mut reader = BitReader::new(payload);
    let mut seen = vec![false; count];
    let mut order = Vec::with_capacity(count);
    for _ in 0..count {
        let index = reader.get(width(count))? as usize;
        match seen.get_mut(index) {
            Some(seen) if !*seen => *seen = true,
            _ => {
                return Err(Error::new(format!(
                    "order: expected every number below {count} once, found {index} again or beyond"
                )));
            }
        }
        order.push(index);
    }
    reader.finish()?;
    Ok(order)
}

fn width(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_back_and_others_are_refused() {
        for count in [0, 1, 2, 5, 129] {
            let means: Vec<f64> = (0..count).map(|i| f64::from((i * 37) % 11)).collect();
            let order = by_mean(&means);
            assert!(order.windows(2).all(|pair| means[pair[0]] <= means[pair[1]]));
            let mut payload = Vec::new();
            write(&order, &mut payload);
            assert_eq!(payload.len(), bytes(count as usize));
            assert_eq!(read(&payload, count as usize).unwrap(), order);
        }
        assert!(read(&[0b1110_0100], 4).is_ok());
        assert!(read(&[0b1110_0000], 4).is_err());
        assert!(read(&[0b11], 3).is_err());
    }
}
