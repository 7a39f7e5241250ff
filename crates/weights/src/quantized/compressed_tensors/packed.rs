//! The format `pack-quantized`: integers of 1 to 8 bits in 32-bit words along the inputs, with scales of any
//! strategy.
//!
//! Releases before 0.18 put whole values into a word and left its upper bits unused where the width does not
//! divide 32; later ones write one dense stream. The number of words per row distinguishes them. Zero points
//! are packed along the outputs in the same way.

use super::arguments::{Arguments, Strategy};
use crate::WeightsError;
use crate::quantized::Plan;
use crate::quantized::affine::{Affine, CodesPart, Order, ScaleKind, ScalePart, Zeros};
use crate::quantized::codes::Packing;
use crate::quantized::parts::{EXPORT_AGAIN, Module, Part};

pub(super) fn plan(module: &Module<'_>, arguments: &Arguments) -> Result<Plan, WeightsError> {
    let format = format!("packed {}", arguments.describe());
    let weight = module.need("weight_packed", &format)?;
    module.check_dtype(&weight, &["I32"])?;
    let [rows, words_per_row] = weight.matrix(module)?;
    let columns = columns(module, &format, rows)?;
    let packing = packing(module, &weight, arguments.bits, columns, words_per_row)?;
    let offset = (1u32 << (arguments.bits - 1)) as f32;

    let part = module.need("weight_scale", &format)?;
    let (tile, tiles) = arguments.strategy.tiles(module, &part, [rows, columns])?;
    arguments.strategy.check(module, &part, &["F32", "F16", "BF16"], tiles)?;
    let zeros = match module.take("weight_zero_point")? {
        None if arguments.symmetric => Zeros::None,
        None => return Err(module.missing("weight_zero_point", &format)),
        Some(zeros) if arguments.symmetric => Zeros::Unused(zeros),
        Some(zeros) if matches!(arguments.strategy, Strategy::Group(_) | Strategy::Channel) => {
            let words = packing.words(rows).unwrap_or(usize::MAX);
            module.check(&zeros, &["I32"], &[words, tiles[1]])?;
            Zeros::Words { part: zeros, outputs: rows, groups: tiles[1], packing, offset }
        }
        Some(zeros) => {
            arguments.strategy.check(module, &zeros, &["I8"], tiles)?;
            Zeros::Plain(zeros)
        }
    };
    let order = order(module, arguments, &format, columns, tiles[1])?;
    let format = match order {
        Some(_) if arguments.act_order => format!("{format} act-order"),
        _ => format,
    };
    let precision = part.precision();
    let layout = Affine {
        codes: CodesPart::Words { part: weight, words_per_row, packing, offset },
        scale: ScalePart { part, kind: ScaleKind::Plain, tile, per_row: tiles[1] },
        zeros,
        order,
        precision,
    };
    Ok(Plan { format, shape: vec![rows, columns], layout: Box::new(layout) })
}

/// The group of each input, if inputs were quantized in another order than they are stored in. If all inputs
/// share a scale, their groups do not matter.
pub(super) fn order(
    module: &Module<'_>,
    arguments: &Arguments,
    format: &str,
    columns: usize,
    groups: usize,
) -> Result<Option<Order>, WeightsError> {
    match (module.take("weight_g_idx")?, arguments.strategy) {
        (Some(part), Strategy::Group(group_size)) => {
            module.check(&part, &["I32", "I64"], &[columns])?;
            Ok(Some(Order { part, groups, group_size }))
        }
        (None, Strategy::Group(_)) if arguments.act_order => {
            Err(module.missing("weight_g_idx", format))
        }
        _ => Ok(None),
    }
}

/// The number of inputs, from `weight_shape`, whose outputs must equal `rows`.
fn columns(module: &Module<'_>, format: &str, rows: usize) -> Result<usize, WeightsError> {
    let part = module.need("weight_shape", format)?;
    let sizes = module.reader().integers(&part)?;
    match sizes.as_slice() {
        &[outputs, inputs] if usize::try_from(outputs) == Ok(rows) => usize::try_from(inputs).ok(),
        _ => None,
    }
    .ok_or_else(|| {
        let expected = format!("{rows} outputs, as weight_packed has, and the inputs");
        module.bad(&part, &expected, &format!("{sizes:?}"), EXPORT_AGAIN)
    })
}

/// The packing that `words_per_row` words for `columns` values imply.
fn packing(
    module: &Module<'_>,
    weight: &Part,
    bits: u32,
    columns: usize,
    words_per_row: usize,
) -> Result<Packing, WeightsError> {
    let (dense, whole) = (Packing::dense(bits), Packing::whole_values(bits));
    let counts = [dense.words(columns), whole.words(columns)];
    let [is_dense, is_whole] = counts.map(|words| words == Some(words_per_row));
    // Within one word both packings are the same.
    let same = 32 % bits == 0 || columns <= (32 / bits) as usize;
    match (is_dense, is_whole) {
        (true, false) => Ok(dense),
        (false, true) => Ok(whole),
        (true, true) if same => Ok(dense),
        _ => {
            let expected = format!(
                "{:?} words a row for {columns} values of {bits} bits in a dense stream, or {:?} with whole values a word, \
                 and not both",
                counts[0].unwrap_or(usize::MAX),
                counts[1].unwrap_or(usize::MAX)
            );
            Err(module.bad(weight, &expected, &weight.describe(), EXPORT_AGAIN))
        }
    }
}
