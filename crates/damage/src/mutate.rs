//! Damaged copies of files.

#![allow(clippy::ptr_arg, reason = "all operations have one type")]

use crate::Dice;
use crate::text;

/// What can happen to bytes; parts may come from another file.
pub(crate) type Operation = fn(&mut Vec<u8>, &[u8], &mut Dice);

/// Those that make sense for every file. What a disk or a copy does comes first, then what an attacker does.
const OPERATIONS: &[Operation] = &[
    flip_bit, flip_bit, set_byte, truncate, extend, zero, remove, repeat, swap, number, number,
    splice,
];

/// Integers at the borders of what fields of 1 to 8 bytes hold.
const INTEGERS: &[u64] = &[
    0,
    1,
    2,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];

/// A damaged copy of `whole`, by one to three operations; parts may come from `other`.
///
/// Files of text get operations on their numbers, strings and lines, too.
#[must_use]
pub fn mutate(whole: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let is_text = std::str::from_utf8(whole).is_ok();
    for _ in 0..=dice.below(4).min(2) {
        let of_text = is_text && dice.below(3) > 0;
        let operations = if of_text { text::OPERATIONS } else { OPERATIONS };
        if let Some(operation) = dice.one_of(operations) {
            operation(&mut bytes, other, dice);
        }
    }
    bytes
}

/// A place in a file: often in its head, where headers are, or near its end.
fn place(length: usize, dice: &mut Dice) -> usize {
    match dice.below(4) {
        0 => dice.below(length.min(64)),
        1 => dice.below(length.min(2048)),
        2 => length.saturating_sub(1 + dice.below(length.min(512))),
        _ => dice.below(length),
    }
}

/// A piece of a file: where it begins and ends.
fn piece(length: usize, dice: &mut Dice) -> (usize, usize) {
    let start = place(length, dice);
    let most = *dice.one_of(&[4, 64, 1024, usize::MAX]).unwrap_or(&4);
    (start, start + dice.below((length - start).min(most).saturating_add(1)))
}

fn flip_bit(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let at = place(bytes.len(), dice);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

fn set_byte(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let at = place(bytes.len(), dice);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = *dice.one_of(b"\0\xff\x7f\x80\x01\"{}[]\n\x1b 09-,").unwrap_or(&0);
    }
}

fn truncate(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let length = place(bytes.len(), dice);
    bytes.truncate(length);
}

fn extend(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let more = 1 + dice.below(64);
    bytes.extend((0..more).map(|_| dice.draw() as u8));
}

fn zero(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let (start, end) = piece(bytes.len(), dice);
    bytes[start..end].fill(0);
}

fn remove(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let (start, end) = piece(bytes.len(), dice);
    bytes.drain(start..end);
}

fn repeat(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let (start, end) = piece(bytes.len(), dice);
    let again = bytes[start..end].to_vec();
    bytes.splice(end..end, again);
}

fn swap(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let (start, end) = piece(bytes.len(), dice);
    let length = (end - start) / 2;
    let (first, second) = bytes[start..start + 2 * length].split_at_mut(length);
    first.swap_with_slice(second);
}

/// Writes an integer of 1, 4 or 8 bytes at the border of its range, or the length of the file.
fn number(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let at = place(bytes.len(), dice);
    let near = (bytes.len() as u64).wrapping_add(dice.below(9) as u64).wrapping_sub(4);
    let value = if dice.below(4) == 0 { near } else { *dice.one_of(INTEGERS).unwrap_or(&0) };
    let width = *dice.one_of(&[1, 4, 8]).unwrap_or(&8);
    for (byte, new) in bytes[at..].iter_mut().zip(&value.to_le_bytes()[..width]) {
        *byte = *new;
    }
}

/// The head of the file with the tail of another one.
fn splice(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let (head, tail) = (place(bytes.len(), dice), place(other.len(), dice));
    bytes.truncate(head);
    bytes.extend_from_slice(&other[tail..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_mutations_change_the_file_and_none_fails() {
        let text = br#"{"a": 12, "b": "word", "c": [1.5, true]}"#.as_slice();
        let files: [&[u8]; 5] = [b"", b"x", text, &[0xff; 3000], b"name = \"a\"\n[x]\ny = 3\n"];
        for whole in files {
            let made = |index| mutate(whole, text, &mut Dice::new(3, "any", index));
            let changed = (0..2000).filter(|&index| made(index) != whole).count();
            // Some operations do nothing on what is empty or all alike.
            let expected = if whole.is_empty() { 50 } else { 1000 };
            assert!(changed > expected, "{changed} of {} bytes", whole.len());
            assert!((0..2000).all(|index| made(index) == made(index)));
            assert!((0..2000).all(|index| made(index).len() < 1 << 20));
        }
    }
}
