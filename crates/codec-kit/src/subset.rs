//! Which of n things are chosen (tokens, channels), in the smallest of several forms.
//!
//! One byte names the form: 0 none, 1 all, 2 one bit each, 3 a list of numbers, 4 + r Rice codes of the
//! gaps with r lower bits (⌊gap / 2^r⌋ zeros, a one, the r lower bits). The last two start with how many
//! there are; 32 is added where they name those that are not chosen. Bits are filled up to a byte.
//! Nothing is written for n = 0.

use strait_sdk::{Error, Result};

use crate::bits::{BitReader, BitWriter};

const NONE: u8 = 0;
const ALL: u8 = 1;
const BITMAP: u8 = 2;
const LIST: u8 = 3;
const RICE: u8 = 4;
const COMPLEMENT: u8 = 32;

/// Rice codes keep at most this many lower bits.
const MOST_LOWER: u32 = 20;

/// The most bytes that [`write()`] appends for `n` things.
pub const fn most_bytes(n: usize) -> usize {
    if n == 0 { 0 } else { 1 + n.div_ceil(8) }
}

/// Appends the smallest form.
#[allow(clippy::cast_possible_truncation)]
pub fn write(chosen: &[bool], bytes: &mut Vec<u8>) {
    if chosen.is_empty() {
        return;
    }
    let count = chosen.iter().filter(|chosen| **chosen).count();
    if count == 0 || count == chosen.len() {
        bytes.push(if count == 0 { NONE } else { ALL });
        return;
    }
    // What is rarer is listed.
    let listed = count * 2 <= chosen.len();
    let width = width(chosen.len());
    let gaps = || gaps(chosen, listed);
    let few = count.min(chosen.len() - count);
    let (rice_bits, lower) = best_rice(gaps, few);
    let forms =
        [(chosen.len(), BITMAP), (few * width as usize, LIST), (rice_bits, RICE + lower as u8)];
    let counted = |(bits, form): (usize, u8)| match form {
        BITMAP => (bits, form),
        _ => (bits + width as usize, if listed { form } else { form + COMPLEMENT }),
    };
    // The first of equals: a bitmap is the fastest.
    let best = forms.map(counted).into_iter().min_by_key(|(bits, _)| *bits);
    let form = best.map_or(BITMAP, |(_, form)| form);
    bytes.push(form);
    let mut writer = BitWriter::new(bytes);
    if form == BITMAP {
        chosen.iter().for_each(|chosen| writer.put(u32::from(*chosen), 1));
        return writer.finish();
    }
    writer.put(few as u32, width);
    let mut next = 0;
    for gap in gaps() {
        if form % COMPLEMENT == LIST {
            writer.put(next + gap, width);
        } else {
            // `put` takes at most 32 bits, so a long run of zeros is written in pieces.
            let mut zeros = gap >> lower;
            while zeros >= 16 {
                writer.put(0, 16);
                zeros -= 16;
            }
            writer.put(1 << zeros, zeros + 1);
            writer.put(gap, lower);
        }
        next += gap + 1;
    }
    writer.finish();
}

/// Fills `chosen` from the start of `bytes` and returns what comes after.
///
/// # Errors
/// Bytes that [`write()`] cannot have written for so many things.
#[allow(clippy::cast_possible_truncation)]
pub fn read<'a>(bytes: &'a [u8], chosen: &mut [bool]) -> Result<&'a [u8]> {
    if chosen.is_empty() {
        return Ok(bytes);
    }
    let (form, body) = bytes.split_first().ok_or_else(|| Error::payload_length(1, 0))?;
    let mut reader = Counting { reader: BitReader::new(body), bits: 0 };
    match *form {
        NONE | ALL => chosen.fill(*form == ALL),
        BITMAP => {
            for chosen in chosen.iter_mut() {
                *chosen = reader.get(1)? == 1;
            }
        }
        form => {
            let (kind, listed) = (form % COMPLEMENT, form < COMPLEMENT);
            let lower = u32::from(kind).wrapping_sub(u32::from(RICE));
            if form >= 2 * COMPLEMENT || (kind != LIST && lower > MOST_LOWER) {
                return Err(Error::new(format!("subset: expected a known form, found {form}")));
            }
            let width = width(chosen.len());
            let count = reader.get(width)?;
            chosen.fill(!listed);
            let mut next = 0_u64;
            for _ in 0..count {
                let at = if kind == LIST {
                    u64::from(reader.get(width)?)
                } else {
                    let mut zeros = 0_u64;
                    while reader.get(1)? == 0 {
                        zeros += 1;
                    }
                    next + (zeros << lower) + u64::from(reader.get(lower)?)
                };
                // A damaged list may go back; gaps cannot.
                let known = if at < next { None } else { usize::try_from(at).ok() };
                let Some(place) = known.and_then(|at| chosen.get_mut(at)) else {
                    return Err(Error::new(format!(
                        "subset: expected ascending numbers below {}, found {at}",
                        chosen.len()
                    )));
                };
                *place = listed;
                next = at + 1;
            }
        }
    }
    Ok(&body[reader.bits.div_ceil(8)..])
}

/// A reader that knows how far it is.
struct Counting<'a> {
    reader: BitReader<'a>,
    bits: usize,
}

impl Counting<'_> {
    fn get(&mut self, width: u32) -> Result<u32> {
        self.bits += width as usize;
        self.reader.get(width)
    }
}

/// Bits of any number up to `n`.
fn width(n: usize) -> u32 {
    usize::BITS - n.leading_zeros()
}

/// For each thing that is chosen (or not), how many of the others come right before it.
fn gaps(chosen: &[bool], listed: bool) -> impl Iterator<Item = u32> {
    let mut next = 0;
    let places = chosen.iter().enumerate().filter(move |(_, chosen)| **chosen == listed);
    places.map(move |(at, _)| {
        let gap = at - next;
        next = at + 1;
        #[allow(clippy::cast_possible_truncation)]
        let gap = gap as u32;
        gap
    })
}

/// Bits of the best Rice code of `count` gaps, and its lower bits.
fn best_rice<I: Iterator<Item = u32>>(gaps: impl Fn() -> I, count: usize) -> (usize, u32) {
    let bits = |lower: u32| {
        gaps().map(|gap| (gap >> lower) as usize).sum::<usize>() + count * (1 + lower as usize)
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
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(chosen: &[bool]) -> (u8, usize) {
        let mut bytes = Vec::new();
        write(chosen, &mut bytes);
        (bytes[0], bytes.len())
    }

    #[test]
    fn the_smallest_form_is_taken() {
        let only =
            |places: &[usize], n| -> Vec<bool> { (0..n).map(|at| places.contains(&at)).collect() };
        assert_eq!(form(&[false; 9]), (NONE, 1));
        assert_eq!(form(&[true; 9]), (ALL, 1));
        assert_eq!(form(&[true, false, true, false, true]), (BITMAP, 2));
        // 10 bits for the count, and 10 for the number.
        assert_eq!(form(&only(&[600], 700)), (LIST, 4));
        let all_but_one: Vec<bool> = only(&[600], 700).iter().map(|chosen| !chosen).collect();
        assert_eq!(form(&all_but_one), (LIST + COMPLEMENT, 4));
        let sixteenth: Vec<usize> = (0..1280).step_by(16).collect();
        assert_eq!(
            form(&only(&sixteenth, 1280)),
            (RICE + 3, 1 + (11 + 80 * 5_usize - 1).div_ceil(8))
        );
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let mut chosen = [false; 20];
        for bytes in [&[][..], &[2, 0], &[3, 1], &[3, 0xff, 0xff, 0xff, 0xff], &[25, 0], &[64, 0]] {
            assert!(read(bytes, &mut chosen).is_err(), "{bytes:?}");
        }
        assert_eq!(read(&[7], &mut []).unwrap(), [7]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            chosen in prop::collection::vec(any::<u8>(), 0..400),
            share in any::<u8>(),
        ) {
            let chosen: Vec<bool> = chosen.iter().map(|byte| *byte < share).collect();
            let mut bytes = Vec::new();
            write(&chosen, &mut bytes);
            prop_assert!(bytes.len() <= most_bytes(chosen.len()));
            bytes.extend([1, 2, 3]);
            let mut back = vec![false; chosen.len()];
            prop_assert_eq!(read(&bytes, &mut back).unwrap(), [1, 2, 3]);
            prop_assert_eq!(back, chosen);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), n in 0..300_usize) {
            let _ = read(&bytes, &mut vec![false; n]);
        }
    }
}
