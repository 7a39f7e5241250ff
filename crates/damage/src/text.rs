//! Damage of text files: their numbers, strings, names and lines.

use crate::Dice;
use crate::mutate::Operation;

/// Operations on JSON and TOML alike.
pub(crate) const OPERATIONS: &[Operation] =
    &[replace_number, replace_number, replace_string, replace_string, drop_line, repeat_line, nest];

/// What stands in the place of a number.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "2",
    "0.5",
    "1e999",
    "-1e999",
    "1e-320",
    "NaN",
    "nan",
    "inf",
    "65536",
    "1000000000",
    "2147483648",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999999999999999999",
    "null",
    "true",
    "\"7\"",
    "[]",
    "[1, 2]",
    "{}",
];

/// What stands in the place of a string: nothing, another type, what a terminal obeys, what a file system
/// obeys, what is long.
const STRINGS: &[&str] = &[
    "\"\"",
    "null",
    "0",
    "[]",
    "{}",
    "true",
    "\"\\u001b[2J\\u001b]0;title\\u0007\"",
    "\"\\u202e\\u2066hidden\"",
    "\"\u{1b}[31m\"",
    "\"../../../etc/hostname\"",
    "\"a/b\\u0000c\"",
    "\"{rows}\"",
    "\"é\u{10ffff}\"",
];

fn replace_number(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let is_number = |byte: &u8| byte.is_ascii_digit() || b".-+eE".contains(byte);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_number(byte)).count();
        if bytes[at..at + length].iter().any(u8::is_ascii_digit) {
            found.push(at..at + length);
        }
        at += length.max(1);
    }
    if let (Some(range), Some(new)) = (dice.one_of(&found).cloned(), dice.one_of(NUMBERS)) {
        bytes.splice(range, new.bytes());
    }
}

fn replace_string(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let quotes: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'"').collect();
    let pairs: Vec<_> = quotes.as_chunks::<2>().0.iter().map(|[a, b]| *a..b + 1).collect();
    let Some(range) = dice.one_of(&pairs).cloned() else { return };
    if dice.below(16) == 0 {
        let long = format!("\"{}\"", "x".repeat(20_000));
        bytes.splice(range, long.into_bytes());
    } else if let Some(new) = dice.one_of(STRINGS) {
        bytes.splice(range, new.bytes());
    }
}

/// The lines, with what ends them.
fn lines(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    let ends = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| {
        start += line.len();
        start - line.len()..start
    });
    ends.collect()
}

fn drop_line(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    if let Some(range) = dice.one_of(&lines(bytes)) {
        bytes.drain(range.clone());
    }
}

/// Repeats a line, or puts one of another file in its place.
fn repeat_line(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let source = if dice.below(2) == 0 { bytes.clone() } else { other.to_vec() };
    let (line, at) = (dice.one_of(&lines(&source)).cloned(), dice.one_of(&lines(bytes)).cloned());
    if let (Some(line), Some(at)) = (line, at) {
        bytes.splice(at.start..at.start, source[line].iter().copied());
    }
}

/// Opens thousands of lists in the place of a value, which is more than a recursive reader has stack for.
fn nest(bytes: &mut Vec<u8>, _: &[u8], dice: &mut Dice) {
    let values: Vec<usize> =
        (0..bytes.len()).filter(|&at| b":=".contains(&bytes[at])).map(|at| at + 1).collect();
    if let Some(&at) = dice.one_of(&values) {
        let depth = *dice.one_of(&[3, 200, 20_000]).unwrap_or(&3);
        bytes.splice(at..at, std::iter::repeat_n(b'[', depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_does_what_its_name_says() {
        let text = b"a = \"x\"\nb = 12.5\n";
        let damaged = |at: usize| {
            let made: std::collections::BTreeSet<String> = (0..400)
                .map(|index| {
                    let mut bytes = text.to_vec();
                    OPERATIONS[at](&mut bytes, b"c = 1\n", &mut Dice::new(1, "text", index));
                    String::from_utf8(bytes).unwrap()
                })
                .collect();
            made
        };
        assert!(damaged(0).contains("a = \"x\"\nb = -1\n"));
        assert!(damaged(2).contains("a = null\nb = 12.5\n"));
        assert_eq!(damaged(4).into_iter().collect::<Vec<_>>(), ["a = \"x\"\n", "b = 12.5\n"]);
        assert!(damaged(5).contains("c = 1\na = \"x\"\nb = 12.5\n"));
        assert!(damaged(6).iter().any(|text| text.contains("b =[[[ 12.5")));
    }
}
