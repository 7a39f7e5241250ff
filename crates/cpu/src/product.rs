//! Matrix products on the two units that a CPU may have for them: vectors and tiles.
//!
//! A [`Left`] operand is weights, keys or values in blocks of [`ROWS`] outputs; a [`Right`] operand is
//! one panel of tokens. In f32 and f16, products run on the vectors in f32. In bf16 they run on the tiles
//! if the CPU has them, and otherwise on the vectors: the same products, exact in f32, summed in another
//! order.

use aligned_vec::{AVec, ConstAlign};
use pulp::Simd;
use rayon::prelude::*;
use strait_ops::Dtype;

use crate::amx::{self, COLUMN_STEP, LEFT_TILE, RIGHT_STEP, STEP, Tiles};
use crate::kernel::{MR, tile};
use crate::panels::{Floats, zeros};

/// Number of outputs in a block.
pub(crate) const ROWS: usize = 2 * MR;

/// The unit that computes products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Fused multiply-adds of f32 vectors.
    Vectors,
    /// Tiles of bf16.
    Tiles,
}

impl Unit {
    /// The fastest unit that multiplies values of `dtype` exactly.
    pub(crate) fn of(dtype: Dtype) -> Unit {
        if dtype == Dtype::Bf16 && amx::available() { Unit::Tiles } else { Unit::Vectors }
    }

    /// Size of a value in an operand, in bytes.
    pub(crate) fn size(self) -> usize {
        match self {
            Unit::Vectors => 4,
            Unit::Tiles => 2,
        }
    }

    /// Prepares the unit on this thread.
    #[inline(always)]
    pub(crate) fn start(self) -> Started {
        match self {
            Unit::Vectors => Started(None),
            Unit::Tiles => Started(Tiles::configure()),
        }
    }
}

/// A unit that is prepared on this thread.
pub(crate) struct Started(Option<Tiles>);

impl Started {
    /// Computes `out[i][t] = Σ_k left[i][k] right[k][t]`, added to `out` with `ADD`.
    #[inline(always)]
    pub(crate) fn product<S: Simd, const NR: usize, const ADD: bool>(
        &self,
        simd: S,
        left: LeftBlock<'_>,
        right: Right<'_, NR>,
        out: &mut [[f32; NR]; ROWS],
    ) {
        match (left, right, &self.0) {
            (LeftBlock::Vectors([low, high]), Right::Rows(rows), _) => {
                let (out, _) = out.as_chunks_mut::<MR>();
                tile::<S, NR, ADD>(simd, low, rows, &mut out[0]);
                tile::<S, NR, ADD>(simd, high, rows, &mut out[1]);
            }
            (LeftBlock::Tiles(left), Right::Pairs(pairs), Some(tiles)) => {
                tiles.product(left, pairs, out, ADD);
            }
            _ => unreachable!("both operands are laid out for the unit that was started"),
        }
    }

    /// Like [`Started::product`] on the tiles, for one token.
    #[inline(always)]
    pub(crate) fn column(&self, left: LeftBlock<'_>, column: &Column, out: &mut [f32; ROWS]) {
        match (left, column, &self.0) {
            (LeftBlock::Tiles(left), Column::Pairs(pairs), Some(tiles)) => {
                tiles.column(left, pairs, out);
            }
            _ => unreachable!("both operands are laid out for the unit that was started"),
        }
    }
}

/// One token, in the layout of either unit.
pub(crate) enum Column {
    Rows(Vec<f32>),
    /// Pairs of neighbouring inputs `[steps, 16, 16]`, of which the first in every row is the token's.
    Pairs(Pairs),
}

impl Column {
    pub(crate) fn new(unit: Unit, values: &[f32]) -> Column {
        match unit {
            Unit::Vectors => Column::Rows(values.to_vec()),
            Unit::Tiles => {
                let mut pairs =
                    aligned_vec::avec!([64]| 0; values.len().div_ceil(STEP) * COLUMN_STEP);
                for (row, pair) in pairs.chunks_exact_mut(16).zip(values.chunks(2)) {
                    let odd = pair.get(1).map_or(0, |odd| bf16_bits(*odd));
                    row[0] = bf16_bits(pair[0]) | odd << 16;
                }
                Column::Pairs(pairs)
            }
        }
    }
}

/// Matrices `[outputs, inputs]` in blocks of [`ROWS`] outputs, padded with zeros.
pub(crate) struct Left {
    inputs: usize,
    data: LeftData,
}

enum LeftData {
    /// `[blocks, 2, inputs, MR]`.
    Vectors(Floats),
    /// `[blocks, inputs / STEP, ROWS, STEP]` bf16.
    Tiles(AVec<u16, ConstAlign<64>>),
}

/// One block of a [`Left`].
#[derive(Clone, Copy)]
pub(crate) enum LeftBlock<'a> {
    /// Two halves `[inputs, MR]`.
    Vectors([&'a [[f32; MR]]; 2]),
    /// `[inputs / STEP, ROWS, STEP]`.
    Tiles(&'a [u16]),
}

impl Left {
    /// Makes `blocks` blocks of zeros. A block that is filled piece by piece has inputs in whole steps.
    pub(crate) fn zeros(unit: Unit, blocks: usize, inputs: usize) -> Left {
        match unit {
            Unit::Vectors => {
                Left { inputs, data: LeftData::Vectors(zeros(blocks * inputs * ROWS)) }
            }
            Unit::Tiles => {
                let inputs = inputs.next_multiple_of(STEP);
                let data = aligned_vec::avec!([64]| 0; blocks * inputs * ROWS);
                Left { inputs, data: LeftData::Tiles(data) }
            }
        }
    }

    /// Makes room for `blocks` blocks of `inputs` inputs, like [`Left::zeros`]; old contents may remain
    /// where nothing is filled in.
    pub(crate) fn reuse(&mut self, unit: Unit, blocks: usize, inputs: usize) {
        let (whole, length) = match unit {
            Unit::Vectors => (inputs, blocks * inputs * ROWS),
            Unit::Tiles => {
                let whole = inputs.next_multiple_of(STEP);
                (whole, blocks * whole * ROWS)
            }
        };
        let fits = match &self.data {
            LeftData::Vectors(data) => unit == Unit::Vectors && data.len() == length,
            LeftData::Tiles(data) => unit == Unit::Tiles && data.len() == length,
        };
        if !fits || self.inputs != whole {
            *self = Left::zeros(unit, blocks, inputs);
        }
    }

    /// Calls `fill` for every group of `group` blocks, in parallel.
    pub(crate) fn fill(&mut self, group: usize, fill: impl Fn(usize, LeftGroup<'_>) + Sync) {
        let (inputs, size) = (self.inputs, (group * self.inputs * ROWS).max(1));
        match &mut self.data {
            LeftData::Vectors(data) => data
                .par_chunks_mut(size)
                .enumerate()
                .for_each(|(index, data)| fill(index, LeftGroup::Vectors { inputs, data })),
            LeftData::Tiles(data) => data
                .par_chunks_mut(size)
                .enumerate()
                .for_each(|(index, data)| fill(index, LeftGroup::Tiles { inputs, data })),
        }
    }

    #[inline(always)]
    pub(crate) fn block(&self, index: usize) -> LeftBlock<'_> {
        let size = self.inputs * ROWS;
        let range = index * size..(index + 1) * size;
        match &self.data {
            LeftData::Vectors(data) => {
                let (low, high) = data[range].split_at(size / 2);
                LeftBlock::Vectors([low.as_chunks().0, high.as_chunks().0])
            }
            LeftData::Tiles(data) => LeftBlock::Tiles(&data[range]),
        }
    }

    /// The value at `[output, input]`.
    pub(crate) fn value(&self, output: usize, input: usize) -> f32 {
        match self.block(output / ROWS) {
            LeftBlock::Vectors(halves) => halves[output % ROWS / MR][input][output % MR],
            LeftBlock::Tiles(tiles) => {
                let at = input / STEP * LEFT_TILE + output % ROWS * STEP + input % STEP;
                f32::from_bits(u32::from(tiles[at]) << 16)
            }
        }
    }
}

impl<'a> LeftBlock<'a> {
    /// The same block restricted to `count` inputs from `from` on; both are in whole steps, or reach the
    /// last input.
    #[inline(always)]
    pub(crate) fn inputs(self, from: usize, count: usize) -> LeftBlock<'a> {
        match self {
            LeftBlock::Vectors(halves) => {
                LeftBlock::Vectors(halves.map(|half| &half[from..from + count]))
            }
            LeftBlock::Tiles(tiles) => {
                let end = from + count.next_multiple_of(STEP);
                LeftBlock::Tiles(&tiles[from * ROWS..end * ROWS])
            }
        }
    }
}

/// Some blocks of a [`Left`] that are being filled.
pub(crate) enum LeftGroup<'a> {
    Vectors { inputs: usize, data: &'a mut [f32] },
    Tiles { inputs: usize, data: &'a mut [u16] },
}

impl LeftGroup<'_> {
    /// Sets inputs `from..` of `output`, counted from the group's first.
    pub(crate) fn set_output(&mut self, output: usize, from: usize, values: &[f32]) {
        match self {
            LeftGroup::Vectors { inputs, data } => {
                let start = output / MR * *inputs + from;
                let column = data.as_chunks_mut::<MR>().0[start..].iter_mut();
                for (target, value) in column.zip(values) {
                    target[output % MR] = *value;
                }
            }
            LeftGroup::Tiles { inputs, data } => {
                let tiles = output / ROWS * *inputs * ROWS;
                let (mut at, mut values) = (from, values);
                while !values.is_empty() {
                    let (piece, rest) = values.split_at(values.len().min(STEP - at % STEP));
                    let start = tiles + at / STEP * LEFT_TILE + output % ROWS * STEP + at % STEP;
                    for (target, value) in data[start..][..piece.len()].iter_mut().zip(piece) {
                        *target = bf16_bits(*value) as u16;
                    }
                    (at, values) = (at + piece.len(), rest);
                }
            }
        }
    }

    /// Sets `input` of the outputs from `from` on, counted from the group's first.
    pub(crate) fn set_input(&mut self, input: usize, from: usize, values: &[f32]) {
        match self {
            LeftGroup::Vectors { inputs, data } => {
                for (output, value) in (from..).zip(values) {
                    data[(output / MR * *inputs + input) * MR + output % MR] = *value;
                }
            }
            LeftGroup::Tiles { inputs, data } => {
                let inside = input / STEP * LEFT_TILE + input % STEP;
                for (output, value) in (from..).zip(values) {
                    let at = output / ROWS * *inputs * ROWS + output % ROWS * STEP + inside;
                    data[at] = bf16_bits(*value) as u16;
                }
            }
        }
    }
}

/// One panel of tokens, `[inputs, NR]`.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, const NR: usize> {
    Rows(&'a [[f32; NR]]),
    /// `[steps, NR / 16, 16, 16]` pairs of neighbouring inputs.
    Pairs(&'a [u32]),
}

impl<'a, const NR: usize> Right<'a, NR> {
    /// Uses `rows` directly, or as pairs in `pairs`.
    #[inline(always)]
    pub(crate) fn new(unit: Unit, rows: &'a [[f32; NR]], pairs: &'a mut Pairs) -> Right<'a, NR> {
        if unit == Unit::Vectors {
            return Right::Rows(rows);
        }
        let pairs = grow(pairs, rows.len().div_ceil(STEP) * RIGHT_STEP);
        pack(rows, pairs);
        Right::Pairs(pairs)
    }
}

/// Pairs of neighbouring inputs, for the tiles.
pub(crate) type Pairs = AVec<u32, ConstAlign<64>>;

/// Memory for panels, in the layout of either unit.
#[derive(Debug)]
pub(crate) struct PanelMemory {
    rows: Floats,
    pairs: Pairs,
}

impl PanelMemory {
    pub(crate) fn new() -> PanelMemory {
        PanelMemory { rows: AVec::new(64), pairs: AVec::new(64) }
    }
}

/// Panels while they are written, and right operands afterwards.
pub(crate) struct Rights<'a, const NR: usize> {
    /// The panels `[panels, inputs, NR]`, or one panel that waits to be packed.
    rows: &'a mut [[f32; NR]],
    pairs: Option<&'a mut [u32]>,
    inputs: usize,
    size: usize,
}

impl<'a, const NR: usize> Rights<'a, NR> {
    /// Makes room for `panels` panels `[inputs, NR]`.
    #[inline(always)]
    pub(crate) fn new(
        unit: Unit,
        panels: usize,
        inputs: usize,
        memory: &'a mut PanelMemory,
    ) -> Rights<'a, NR> {
        let size = inputs.div_ceil(STEP) * RIGHT_STEP;
        let (count, pairs) = match unit {
            Unit::Vectors => (panels, None),
            Unit::Tiles => (1, Some(grow(&mut memory.pairs, panels * size))),
        };
        let rows = grow(&mut memory.rows, count * inputs * NR).as_chunks_mut().0;
        Rights { rows, pairs, inputs, size }
    }

    /// Where panel `index` is written, before [`Rights::commit`].
    #[inline(always)]
    pub(crate) fn staging(&mut self, index: usize) -> &mut [[f32; NR]] {
        let index = if self.pairs.is_some() { 0 } else { index };
        &mut self.rows[index * self.inputs..(index + 1) * self.inputs]
    }

    /// Makes the contents of [`Rights::staging`] panel `index`.
    #[inline(always)]
    pub(crate) fn commit(&mut self, index: usize) {
        if let Some(pairs) = &mut self.pairs {
            pack(self.rows, &mut pairs[index * self.size..(index + 1) * self.size]);
        }
    }

    /// Writes inputs `from..` of panel `index`, an even number of [`ROWS`] from the first.
    #[inline(always)]
    pub(crate) fn set(&mut self, index: usize, from: usize, rows: &[[f32; NR]]) {
        match &mut self.pairs {
            None => {
                self.rows[index * self.inputs + from..][..rows.len()].copy_from_slice(rows);
            }
            Some(pairs) => {
                let pairs = &mut pairs[index * self.size..(index + 1) * self.size];
                let step = &mut pairs[from / STEP * RIGHT_STEP..][..RIGHT_STEP];
                if from + rows.len() == self.inputs {
                    clear(step, from % STEP + rows.len());
                }
                pack_step(rows, from % STEP / 2, step);
            }
        }
    }

    /// Panel `index`.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> Right<'_, NR> {
        match &self.pairs {
            None => Right::Rows(&self.rows[index * self.inputs..(index + 1) * self.inputs]),
            Some(pairs) => Right::Pairs(&pairs[index * self.size..(index + 1) * self.size]),
        }
    }
}

fn grow<T: Copy + Default>(buffer: &mut AVec<T, ConstAlign<64>>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    &mut buffer[..length]
}

/// Rounds rows to bf16 and pairs neighbours; pads the last step with zeros.
#[inline(always)]
fn pack<const NR: usize>(rows: &[[f32; NR]], pairs: &mut [u32]) {
    for (rows, step) in rows.chunks(STEP).zip(pairs.chunks_exact_mut(RIGHT_STEP)) {
        clear(step, rows.len());
        pack_step(rows, 0, step);
    }
}

/// Zeros the inputs of a step from `filled` on.
#[inline(always)]
fn clear(step: &mut [u32], filled: usize) {
    if filled < STEP {
        for tile in step.chunks_exact_mut(STEP / 2 * 16) {
            tile[filled / 2 * 16..].fill(0);
        }
    }
}

/// Writes rows as pairs `first..` of a step.
#[inline(always)]
fn pack_step<const NR: usize>(rows: &[[f32; NR]], first: usize, step: &mut [u32]) {
    for (pair, rows) in (first..).zip(rows.chunks(2)) {
        let zero = [0.0; NR];
        let (even, odd) = (&rows[0], rows.get(1).unwrap_or(&zero));
        let groups = even.as_chunks::<16>().0.iter().zip(odd.as_chunks::<16>().0);
        for (group, (even, odd)) in groups.enumerate() {
            let at = (group * 16 + pair) * 16;
            for (out, (even, odd)) in step[at..at + 16].iter_mut().zip(even.iter().zip(odd)) {
                *out = bf16_bits(*even) | bf16_bits(*odd) << 16;
            }
        }
    }
}

/// The bits of the nearest bf16, ties to even.
#[inline(always)]
fn bf16_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1))) >> 16;
    if value.is_nan() { (bits >> 16) | 0x40 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Task, dispatch};

    /// Multiplies one block by one panel on a unit, twice, adding the second time.
    struct Twice<'a> {
        unit: Unit,
        left: &'a Left,
        inputs: usize,
        right: &'a [f32],
    }

    impl Task for Twice<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<S: Simd, const NR: usize>(self, simd: S) -> Vec<f32> {
            let ready = self.unit.start();
            let rows: Vec<[f32; NR]> =
                (0..self.inputs).map(|k| std::array::from_fn(|t| self.right[k * 48 + t])).collect();
            let mut pairs = Pairs::new(64);
            let right = Right::new(self.unit, &rows, &mut pairs);
            let mut out = [[0.0; NR]; ROWS];
            ready.product::<S, NR, false>(simd, self.left.block(1), right, &mut out);
            ready.product::<S, NR, true>(simd, self.left.block(1), right, &mut out);
            out.as_flattened().to_vec()
        }
    }

    #[test]
    fn both_units_give_the_product() {
        for inputs in [1, 31, 32, 33, 200] {
            let value = |i: usize| 4.0 * ((i * 2_654_435_761) % 255) as f32 / 256.0 - 2.0;
            let rounded = |i: usize| {
                let mut one = [value(i)];
                Dtype::Bf16.round(&mut one);
                one[0]
            };
            let right: Vec<f32> = (0..inputs * 48).map(|i| rounded(i + 7)).collect();
            for dtype in [Dtype::F32, Dtype::Bf16] {
                let unit = Unit::of(dtype);
                let mut left = Left::zeros(unit, 2, inputs);
                left.fill(2, |_, mut group| {
                    for output in 0..2 * ROWS {
                        let row: Vec<f32> =
                            (0..inputs).map(|k| rounded(output * inputs + k)).collect();
                        group.set_output(output, 0, &row);
                    }
                });
                let found = dispatch(Twice { unit, left: &left, inputs, right: &right });
                let lanes = found.len() / ROWS;
                for (at, found) in found.iter().enumerate() {
                    let (output, token) = (ROWS + at / lanes, at % lanes);
                    let products = (0..inputs).map(|k| {
                        let left = f64::from(rounded(output * inputs + k));
                        left * f64::from(right[k * 48 + token])
                    });
                    let expected = 2.0 * products.clone().sum::<f64>();
                    let size = 2.0 * products.map(f64::abs).sum::<f64>();
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error <= 1e-6 * size, "{unit:?}, {inputs} inputs: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_left_operand_can_be_filled_by_inputs_too() {
        for unit in [Unit::Vectors, Unit::of(Dtype::Bf16)] {
            let (mut rows, mut columns) = (Left::zeros(unit, 2, 40), Left::zeros(unit, 2, 40));
            let value = |output: usize, input: usize| (output * 4 + input) as f32;
            rows.fill(2, |_, mut group| {
                for output in 0..32 {
                    let row: Vec<f32> = (8..40).map(|input| value(output, input)).collect();
                    group.set_output(output, 8, &row);
                }
            });
            columns.fill(2, |_, mut group| {
                for input in 8..40 {
                    let column: Vec<f32> = (0..32).map(|output| value(output, input)).collect();
                    group.set_input(input, 0, &column);
                }
            });
            for (output, input) in [(0, 8), (5, 39), (17, 31), (31, 32)] {
                assert_eq!(rows.value(output, input), value(output, input), "{unit:?}");
                assert_eq!(columns.value(output, input), value(output, input), "{unit:?}");
            }
        }
    }
}
