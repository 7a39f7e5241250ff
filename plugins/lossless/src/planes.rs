//! Elements to planes of bytes and back, one plane for each byte of an element.

use strait_sdk::Dtype;

use crate::Split;

/// Takes the elements apart: `planes` has as many bytes as `bytes`, plane after plane, the exponents
/// first.
#[inline(always)]
pub(crate) fn split(split: Split, dtype: Dtype, bytes: &[u8], planes: &mut [u8]) {
    let count = bytes.len() / dtype.size();
    if dtype == Dtype::F32 {
        let (first, rest) = planes.split_at_mut(count);
        let (second, rest) = rest.split_at_mut(count);
        let (third, fourth) = rest.split_at_mut(count);
        let elements = bytes.as_chunks::<4>().0.iter();
        let low = third.iter_mut().zip(fourth);
        for ((element, (first, second)), (third, fourth)) in
            elements.zip(first.iter_mut().zip(second)).zip(low)
        {
            let word = turn_32(split, u32::from_le_bytes(*element));
            [*fourth, *third, *second, *first] = word.to_le_bytes();
        }
    } else {
        let (first, second) = planes.split_at_mut(count);
        let elements = bytes.as_chunks::<2>().0.iter();
        for (element, (first, second)) in elements.zip(first.iter_mut().zip(second)) {
            [*second, *first] = turn_16(split, u16::from_le_bytes(*element)).to_le_bytes();
        }
    }
}

/// Puts the elements together again.
#[inline(always)]
pub(crate) fn join(split: Split, dtype: Dtype, planes: &[u8], bytes: &mut [u8]) {
    let count = bytes.len() / dtype.size();
    if dtype == Dtype::F32 {
        let (first, rest) = planes.split_at(count);
        let (second, rest) = rest.split_at(count);
        let (third, fourth) = rest.split_at(count);
        let elements = bytes.as_chunks_mut::<4>().0.iter_mut();
        let low = third.iter().zip(fourth);
        for ((element, (first, second)), (third, fourth)) in
            elements.zip(first.iter().zip(second)).zip(low)
        {
            let word = u32::from_le_bytes([*fourth, *third, *second, *first]);
            *element = back_32(split, word).to_le_bytes();
        }
    } else {
        let (first, second) = planes.split_at(count);
        let elements = bytes.as_chunks_mut::<2>().0.iter_mut();
        for (element, (first, second)) in elements.zip(first.iter().zip(second)) {
            *element = back_16(split, u16::from_le_bytes([*second, *first])).to_le_bytes();
        }
    }
}

/// Moves the sign from the front to behind the first eight bits that follow it.
#[inline(always)]
fn turn_32(split: Split, word: u32) -> u32 {
    match split {
        Split::Bytes => word,
        Split::Exponent => {
            ((word << 1) & 0xff00_0000) | ((word >> 8) & 0x80_0000) | (word & 0x7f_ffff)
        }
    }
}

#[inline(always)]
fn back_32(split: Split, word: u32) -> u32 {
    match split {
        Split::Bytes => word,
        Split::Exponent => {
            ((word >> 1) & 0x7f80_0000) | ((word << 8) & 0x8000_0000) | (word & 0x7f_ffff)
        }
    }
}

#[inline(always)]
fn turn_16(split: Split, word: u16) -> u16 {
    match split {
        Split::Bytes => word,
        Split::Exponent => ((word << 1) & 0xff00) | ((word >> 8) & 0x80) | (word & 0x7f),
    }
}

#[inline(always)]
fn back_16(split: Split, word: u16) -> u16 {
    match split {
        Split::Bytes => word,
        Split::Exponent => ((word >> 1) & 0x7f80) | ((word << 8) & 0x8000) | (word & 0x7f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_16_bit_pattern_comes_back() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for kind in [Split::Exponent, Split::Bytes] {
            let (mut planes, mut back) = (vec![0; bytes.len()], vec![0; bytes.len()]);
            split(kind, Dtype::BF16, &bytes, &mut planes);
            join(kind, Dtype::BF16, &planes, &mut back);
            assert_eq!(back, bytes);
        }
    }

    #[test]
    fn exponents_come_first() {
        let values = [1.0_f32, -1.5, f32::from_bits(0xffc0_1234)];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut planes = [0; 12];
        split(Split::Exponent, Dtype::F32, &bytes, &mut planes);
        assert_eq!(planes, [127, 127, 255, 0, 0xc0, 0xc0, 0, 0, 0x12, 0, 0, 0x34]);
        let mut back = [0; 12];
        join(Split::Exponent, Dtype::F32, &planes, &mut back);
        assert_eq!(back[..], bytes[..]);
    }
}
