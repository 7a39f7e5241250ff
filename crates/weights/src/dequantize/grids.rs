//! The codebooks of the IQ formats, unpacked from `grids.txt` at compile time.

/// The data: for each codebook a line with its name, then lines of hexadecimal digits.
const TEXT: &[u8] = include_bytes!("grids.txt");

/// Levels of the 2-bit formats.
const TWO_BITS: [i8; 3] = [8, 25, 43];

pub(super) static IQ2_XXS: [[i8; 8]; 256] = unpack(b"IQ2_XXS", 2, &TWO_BITS);
pub(super) static IQ2_XS: [[i8; 8]; 512] = unpack(b"IQ2_XS", 2, &TWO_BITS);
pub(super) static IQ2_S: [[i8; 8]; 1024] = unpack(b"IQ2_S", 2, &TWO_BITS);
pub(super) static IQ3_XXS: [[i8; 4]; 256] = unpack(b"IQ3_XXS", 4, &[4, 12, 20, 28, 36, 44, 52, 62]);
pub(super) static IQ3_S: [[i8; 4]; 512] = unpack(b"IQ3_S", 4, &[1, 3, 5, 7, 9, 11, 13, 15]);
pub(super) static IQ1_S: [[i8; 8]; 2048] = unpack(b"IQ1_S", 2, &[-1, 0, 1]);

/// The sign bits of eight f32 values for each byte: bit i negates value i.
pub(super) static SIGNS: [[u32; 8]; 256] = {
    let mut signs = [[0; 8]; 256];
    let mut at = 0;
    while at < 256 * 8 {
        signs[at / 8][at % 8] = ((at as u32 / 8) >> (at % 8) & 1) << 31;
        at += 1;
    }
    signs
};

/// The byte of signs that seven bits encode: the eighth bit makes the number of negations even.
#[inline(always)]
pub(super) fn even_signs(seven: u8) -> usize {
    let seven = seven & 127;
    usize::from(seven | ((seven.count_ones() as u8 & 1) << 7))
}

/// Unpacks codebook `name`, whose components of `bits` bits select among `levels`.
const fn unpack<const WIDTH: usize, const ENTRIES: usize>(
    name: &[u8],
    bits: usize,
    levels: &[i8],
) -> [[i8; WIDTH]; ENTRIES] {
    let mut grid = [[0; WIDTH]; ENTRIES];
    let mut at = after_line(name);
    let mut component = 0;
    while component < ENTRIES * WIDTH {
        while TEXT[at] == b'\n' {
            at += 1;
        }
        let mut byte = digit(TEXT[at]) << 4 | digit(TEXT[at + 1]);
        at += 2;
        let mut left = 8;
        while left > 0 {
            let level = byte & ((1 << bits) - 1);
            grid[component / WIDTH][component % WIDTH] = levels[level];
            byte >>= bits;
            left -= bits;
            component += 1;
        }
    }
    grid
}

/// The position after the line that consists of `name`.
const fn after_line(name: &[u8]) -> usize {
    let mut start = 0;
    loop {
        let mut length = 0;
        while TEXT[start + length] != b'\n' {
            length += 1;
        }
        let mut same = 0;
        while same < length && same < name.len() && TEXT[start + same] == name[same] {
            same += 1;
        }
        start += length + 1;
        if same == length && same == name.len() {
            return start;
        }
    }
}

const fn digit(letter: u8) -> usize {
    assert!(letter.is_ascii_hexdigit());
    (match letter {
        b'0'..=b'9' => letter - b'0',
        _ => letter.to_ascii_lowercase() - b'a' + 10,
    }) as usize
}
