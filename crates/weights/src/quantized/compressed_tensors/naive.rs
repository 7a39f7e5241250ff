//! Weights stored as one byte per value: `naive-quantized`, `int-quantized`, `float-quantized` and
//! `mxfp8-quantized`.

use super::arguments::{Arguments, Strategy};
use super::packed;
use crate::WeightsError;
use crate::quantized::Plan;
use crate::quantized::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use crate::quantized::numbers::{E4M3, I8, Precision};
use crate::quantized::parts::{EXPORT_AGAIN, Module};

/// Number of inputs that share an MXFP8 scale.
const MX_GROUP: usize = 32;

/// Plans a weight of I8 or F8_E4M3 with scales of any strategy; the result has the dtype of the scales.
pub(super) fn plan(module: &Module<'_>, arguments: &Arguments) -> Result<Plan, WeightsError> {
    let format = arguments.describe();
    let weight = module.need("weight", &format)?;
    let shape = weight.matrix(module)?;
    let codes = if arguments.float {
        module.check_dtype(&weight, &["F8_E4M3"])?;
        CodesPart::Bytes(weight, &E4M3)
    } else {
        module.check_dtype(&weight, &["I8"])?;
        CodesPart::Bytes(weight, &I8)
    };
    let part = module.need("weight_scale", &format)?;
    let (tile, tiles) = arguments.strategy.tiles(module, &part, shape)?;
    arguments.strategy.check(module, &part, &["F32", "F16", "BF16"], tiles)?;
    let zeros = match module.take("weight_zero_point")? {
        None if arguments.symmetric => Zeros::None,
        None => return Err(module.missing("weight_zero_point", &format)),
        Some(zeros) => {
            let types = &["I8", "F8_E4M3", "F32", "F16", "BF16"];
            arguments.strategy.check(module, &zeros, types, tiles)?;
            if arguments.symmetric { Zeros::Unused(zeros) } else { Zeros::Plain(zeros) }
        }
    };
    let order = packed::order(module, arguments, &format, shape[1], tiles[1])?;
    let precision = part.precision();
    let scale = ScalePart { part, kind: ScaleKind::Plain, tile, per_row: tiles[1] };
    let layout = Affine { codes, scale, zeros, order, precision };
    Ok(Plan { format, shape: shape.to_vec(), layout: Box::new(layout) })
}

/// Plans F8_E4M3 with one power of two for every 32 inputs, in bf16.
pub(super) fn mxfp8(module: &Module<'_>, arguments: &Arguments) -> Result<Plan, WeightsError> {
    let weight = module.need("weight", "mxfp8")?;
    let shape = weight.matrix(module)?;
    module.check_dtype(&weight, &["F8_E4M3"])?;
    let part = module.need("weight_scale", "mxfp8")?;
    if arguments.strategy != Strategy::Group(MX_GROUP) {
        let found = arguments.describe();
        return Err(module.bad(&part, "mxfp8 in groups of 32", &found, EXPORT_AGAIN));
    }
    let (tile, tiles) = arguments.strategy.tiles(module, &part, shape)?;
    module.check(&part, &["U8", "F8_E8M0"], &tiles)?;
    let layout = Affine {
        codes: CodesPart::Bytes(weight, &E4M3),
        scale: ScalePart { part, kind: ScaleKind::PowerOfTwo, tile, per_row: tiles[1] },
        zeros: Zeros::None,
        order: None,
        precision: Precision::BF16,
    };
    Ok(Plan { format: "mxfp8".to_owned(), shape: shape.to_vec(), layout: Box::new(layout) })
}
