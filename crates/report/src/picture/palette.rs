//! Colours and shapes: one of each for a family of codecs, the same in every picture.

use std::collections::BTreeSet;

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

/// How many shapes there are besides the baseline's. With twelve colours, sixty families differ.
pub(crate) const SHAPES: usize = 5;

/// The families of the rows, the baseline's left out, in alphabetical order: so a family keeps its
/// look when cells come and go.
pub(crate) fn families<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<String> {
    let names: BTreeSet<&str> =
        rows.into_iter().filter(|row| !row.is_baseline()).map(|row| row.codec.as_str()).collect();
    names.into_iter().map(str::to_owned).collect()
}
