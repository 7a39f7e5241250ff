//! Colours and shapes: a family of codecs has the same look in every picture and on the page, whatever stands
//! beside it.

use std::collections::BTreeSet;

use super::svg::{BASELINE, Look};
use crate::Row;

/// Colour-blind-safe colours on white. The first six are those of Okabe and Ito,
/// <https://jfly.uni-koeln.de/color/>, without black, which is the baseline's, and yellow, which is too
/// pale; the others are of Paul Tol's "muted" scheme, <https://personal.sron.nl/~pault/>.
pub(crate) const COLORS: [&str; 12] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255",
    "#999933", "#44AA99", "#AA4499", "#117733",
];

/// The same hues where the ground is dark.
pub(crate) const COLORS_ON_DARK: [&str; 12] = [
    "#4FA8E0", "#F0844A", "#2CC79B", "#E59CC4", "#F2B632", "#8ECDF5", "#9A8BE8", "#D96C9A",
    "#C7C75A", "#7AD6C6", "#D980CB", "#5DBB7C",
];

/// How many shapes there are besides the baseline's: circle, square, triangle, triangle upside down, hexagon. With
/// twelve colours, sixty families differ.
pub(crate) const SHAPES: usize = 5;

/// The places of colour and shape of each known family: codecs, presses, formats of weights. An entry never changes,
/// so that a figure of last year is read with the eyes of today; a new family takes a pair that is free.
const LOOKS: [(&str, usize, usize); 54] = [
    ("affine", 0, 0),
    ("blockfloat", 1, 1),
    ("cast", 2, 2),
    ("channels", 3, 3),
    ("delta", 4, 4),
    ("exl3", 5, 0),
    ("frontier", 6, 1),
    ("frontier-fitted", 7, 2),
    ("ggml", 8, 3),
    ("hadamard", 9, 4),
    ("hivemind", 10, 0),
    ("hqq", 11, 1),
    ("lossless", 3, 2),
    ("lowrank", 0, 2),
    ("mixed", 1, 3),
    ("mx", 2, 4),
    ("nvfp4", 3, 0),
    ("outlier.columns", 4, 1),
    ("outlier.tokens", 5, 2),
    ("outlier.values", 6, 3),
    ("pca", 7, 4),
    ("raw", 8, 4),
    ("rowcolmean", 8, 0),
    ("sparse", 9, 1),
    ("spectral", 10, 2),
    ("tahquant", 11, 3),
    ("snapkv", 0, 1),
    ("knorm", 7, 0),
    ("keydiff", 2, 0),
    ("streaming-llm", 9, 0),
    ("expected-attention", 4, 0),
    ("tova", 11, 0),
    ("pyramidkv", 6, 0),
    ("observed-attention", 1, 0),
    ("lagkv", 8, 1),
    ("think", 3, 1),
    ("simlayer", 10, 1),
    ("compactor", 5, 1),
    ("leverage", 0, 3),
    ("non-causal-attention", 7, 1),
    ("cap", 2, 1),
    ("cur", 9, 2),
    ("random", 4, 2),
    ("noise floor", 11, 2),
    ("F32", 6, 2),
    ("F16", 1, 2),
    ("BF16", 8, 2),
    ("Q8_0", 3, 4),
    ("Q4_K", 10, 3),
    ("Q4_1", 5, 3),
    ("int8", 0, 4),
    ("int4", 7, 3),
    ("nf4", 2, 3),
    ("fp4", 9, 3),
];

/// The look of a family. That of an unknown one, a plugin from elsewhere, follows from its name alone.
pub(crate) fn look(family: &str) -> Look {
    let known = LOOKS.iter().find(|(name, ..)| *name == family);
    let (color, shape) = known.map_or_else(
        || {
            let place = hash(family) as usize % (COLORS.len() * SHAPES);
            (place % COLORS.len(), place / COLORS.len())
        },
        |&(_, color, shape)| (color, shape),
    );
    Look { color, shape }
}

/// The look of a row. A plugin may be called as the baseline is.
pub(crate) fn look_of(row: &Row) -> Look {
    if row.is_baseline() { BASELINE } else { look(&row.codec) }
}

/// FNV-1a, which is the same on every machine and in every release.
fn hash(name: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, step)
}

/// The families of the rows, the baseline's left out, in alphabetical order.
pub(crate) fn families<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<&'a str> {
    let names: BTreeSet<&str> =
        rows.into_iter().filter(|row| !row.is_baseline()).map(|row| row.codec.as_str()).collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_families_look_like_no_other() {
        let looks: BTreeSet<(usize, usize)> = LOOKS.map(|(_, color, shape)| (color, shape)).into();
        assert_eq!(looks.len(), LOOKS.len());
        assert!(looks.iter().all(|&(color, shape)| color < COLORS.len() && shape < SHAPES));
    }

    #[test]
    fn every_bundled_plugin_has_a_look_of_its_own() {
        let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins");
        let mut declared = 0;
        for folder in std::fs::read_dir(plugins).unwrap() {
            let Ok(manifest) = std::fs::read_to_string(folder.unwrap().path().join("Cargo.toml"))
            else {
                continue;
            };
            let lists = manifest.lines().filter_map(|line| {
                line.strip_prefix("codecs = [").or(line.strip_prefix("presses = ["))
            });
            for id in lists.flat_map(|list| list.split('"').skip(1).step_by(2)) {
                assert!(LOOKS.iter().any(|(name, ..)| *name == id), "{id} has no look");
                declared += 1;
            }
        }
        assert!(declared > 40, "{declared}");
    }

    #[test]
    fn an_unknown_family_keeps_its_look() {
        let Look { color, shape } = look("my-codec");
        assert_eq!((color, shape), (8, 2));
    }
}
