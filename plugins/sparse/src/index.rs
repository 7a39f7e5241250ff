//! Sets of channels as bits: a bitmap, Rice-coded gaps, or fields of a fixed width.

use strait_codec_kit::bits::{BitReader, BitWriter};
use strait_sdk::prelude::*;

use crate::Index;

/// How the sets of one message are stored; its byte leads the payload: 0 bitmap, 1 fixed, 2 + r Rice
/// codes with r lower bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Bitmap,
    Fixed,
    Rice(u32),
}

/// Rice codes keep at most this many lower bits.
const MOST_LOWER: u32 = 20;

impl Coding {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Coding::Bitmap => 0,
            Coding::Fixed => 1,
            #[allow(clippy::cast_possible_truncation)]
            Coding::Rice(lower) => 2 + lower as u8,
        }
    }

    pub(crate) fn of_byte(byte: u8) -> Result<Coding> {
        match byte {
            0 => Ok(Coding::Bitmap),
            1 => Ok(Coding::Fixed),
            _ if u32::from(byte) - 2 <= MOST_LOWER => Ok(Coding::Rice(u32::from(byte) - 2)),
            _ => Err(Error::new(format!(
                "index coding: expected 0 to {}, found {byte}",
                MOST_LOWER + 2
            ))),
        }
    }

    /// The coding of a message whose sets, `k` channels each, lie in `chosen` one after the other.
    pub(crate) fn choose(index: Index, channels: usize, k: usize, chosen: &[u32]) -> Coding {
        let rows = chosen.len() / k.max(1);
        let bitmap = (rows * channels, Coding::Bitmap);
        let fixed = (chosen.len() * width(channels) as usize, Coding::Fixed);
        match index {
            Index::Bitmap => Coding::Bitmap,
            Index::Fixed => Coding::Fixed,
            Index::Delta => best_rice(k, chosen).1,
            Index::Auto => {
                // The first of equals: a bitmap is the fastest.
                let rice = best_rice(k, chosen);
                [bitmap, fixed, rice].into_iter().min_by_key(|(bits, _)| *bits).unwrap_or(bitmap).1
            }
        }
    }

    /// Largest number of bits of one set.
    pub(crate) fn most_bits(index: Index, channels: usize, k: usize) -> usize {
        let fixed = k * width(channels) as usize;
        match index {
            Index::Bitmap => channels,
            Index::Fixed => fixed,
            Index::Auto => fixed.min(channels),
            // With no lower bits: a one per channel kept and a zero for each other channel.
            Index::Delta => channels,
        }
    }

    /// Writes one set, ascending.
    pub(crate) fn write(self, channels: usize, chosen: &[u32], writer: &mut BitWriter<'_>) {
        match self {
            Coding::Bitmap => {
                // In words of 16 channels.
                let mut rest = chosen;
                for first in (0..channels).step_by(16) {
                    let mut word = 0;
                    while let Some((channel, after)) = rest.split_first()
                        && (*channel as usize) < first + 16
                    {
                        #[allow(clippy::cast_possible_truncation)]
                        let bit = *channel - first as u32;
                        word |= 1 << bit;
                        rest = after;
                    }
                    #[allow(clippy::cast_possible_truncation)]
                    writer.put(word, (channels - first).min(16) as u32);
                }
            }
            Coding::Fixed => {
                let width = width(channels);
                chosen.iter().for_each(|channel| writer.put(*channel, width));
            }
            Coding::Rice(lower) => {
                for gap in gaps(chosen) {
                    let mut upper = gap >> lower;
                    while upper >= 16 {
                        writer.put(0, 16);
                        upper -= 16;
                    }
                    writer.put(1 << upper, upper + 1);
                    writer.put(gap, lower);
                }
            }
        }
    }

    /// Reads one set of `k` channels, ascending, all of them below `channels`.
    pub(crate) fn read(
        self,
        channels: usize,
        k: usize,
        reader: &mut BitReader<'_>,
        chosen: &mut Vec<u32>,
    ) -> Result<()> {
        chosen.clear();
        #[allow(clippy::cast_possible_truncation)]
        let channels_u32 = channels as u32;
        match self {
            Coding::Bitmap => {
                for first in (0..channels_u32).step_by(16) {
                    let mut word = reader.get((channels_u32 - first).min(16))?;
                    while word != 0 {
                        chosen.push(first + word.trailing_zeros());
                        word &= word - 1;
                    }
                }
                if chosen.len() != k {
                    return Err(wrong(k, channels));
                }
            }
            Coding::Fixed => {
                let width = width(channels);
                for _ in 0..k {
                    chosen.push(reader.get(width)?);
                }
            }
            Coding::Rice(lower) => {
                let mut next = 0_u32;
                for _ in 0..k {
                    let mut upper = 0_u32;
                    while reader.get(1)? == 0 {
                        upper += 1;
                    }
                    let gap = (u64::from(upper) << lower) | u64::from(reader.get(lower)?);
                    let channel = u64::from(next) + gap;
                    if channel >= u64::from(channels_u32) {
                        return Err(wrong(k, channels));
                    }
                    #[allow(clippy::cast_possible_truncation)]
                    chosen.push(channel as u32);
                    next = chosen.last().map_or(0, |channel| channel + 1);
                }
            }
        }
        let ascending = chosen.windows(2).all(|pair| pair[0] < pair[1]);
        if ascending && chosen.last().is_none_or(|last| *last < channels_u32) {
            return Ok(());
        }
        Err(wrong(k, channels))
    }
}

/// Bits of the best Rice code, and that code.
fn best_rice(k: usize, chosen: &[u32]) -> (usize, Coding) {
    let bits = |lower: u32| -> usize {
        let uppers = chosen.chunks(k.max(1)).flat_map(gaps).map(|gap| (gap >> lower) as usize);
        uppers.sum::<usize>() + chosen.len() * (1 + lower as usize)
    };
    // The number of bits falls and then rises with the lower bits.
    let mut best = (bits(0), 0);
    for lower in 1..=MOST_LOWER {
        let found = bits(lower);
        if found >= best.0 {
            break;
        }
        best = (found, lower);
    }
    (best.0, Coding::Rice(best.1))
}

/// Channels left out before each kept one.
fn gaps(chosen: &[u32]) -> impl Iterator<Item = u32> {
    let mut next = 0;
    chosen.iter().map(move |channel| {
        let gap = channel - next;
        next = channel + 1;
        gap
    })
}

/// Bits of a channel's number.
fn width(channels: usize) -> u32 {
    usize::BITS - channels.saturating_sub(1).leading_zeros()
}

#[cold]
fn wrong(k: usize, channels: usize) -> Error {
    Error::new(format!("indices: expected {k} ascending ones below {channels}, found others"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_in_every_coding() {
        for (channels, chosen) in [
            (1, vec![0]),
            (9, vec![0, 8]),
            (129, (0..129).collect()),
            (500, vec![3, 4, 77, 78, 300, 499]),
            (70_000, vec![69_999]),
        ] {
            for index in [Index::Auto, Index::Bitmap, Index::Delta, Index::Fixed] {
                let coding = Coding::choose(index, channels, chosen.len(), &chosen);
                assert_eq!(Coding::of_byte(coding.byte()).unwrap(), coding);
                let mut bytes = Vec::new();
                let mut writer = BitWriter::new(&mut bytes);
                coding.write(channels, &chosen, &mut writer);
                writer.finish();
                assert!(bytes.len() * 8 < Coding::most_bits(index, channels, chosen.len()) + 8);
                let mut back = Vec::new();
                let mut reader = BitReader::new(&bytes);
                coding.read(channels, chosen.len(), &mut reader, &mut back).unwrap();
                reader.finish().unwrap();
                assert_eq!(back, chosen);
            }
        }
    }

    #[test]
    fn auto_takes_the_smallest() {
        let few: Vec<u32> = vec![70];
        assert_eq!(Coding::choose(Index::Auto, 128, 1, &few), Coding::Fixed);
        let half: Vec<u32> = (1..128).step_by(2).collect();
        assert_eq!(Coding::choose(Index::Auto, 128, 64, &half), Coding::Bitmap);
        let few: Vec<u32> = (0..1280).step_by(16).collect();
        assert_eq!(Coding::choose(Index::Auto, 1280, 80, &few), Coding::Rice(3));
    }
}
