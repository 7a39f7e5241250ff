//! Four-bit floats, two per byte: `nvfp4-pack-quantized` and `mxfp4-pack-quantized`.
//!
//! NVFP4 stores an F8_E4M3 scale for every 16 inputs and divides it by one F32 number of the tensor; MXFP4
//! stores a power of two for every 32 inputs. Both results are bf16, NVFP4's after arithmetic in f32.

use super::arguments::{Arguments, Strategy};
use crate::WeightsError;
use crate::quantized::Plan;
use crate::quantized::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use crate::quantized::numbers::{E2M1, Precision};
use crate::quantized::parts::{EXPORT_AGAIN, Module, Part};

pub(super) fn nvfp4(module: &Module<'_>, arguments: &Arguments) -> Result<Plan, WeightsError> {
    let (weight, shape, per_row) = packed(module, arguments, "nvfp4", 16)?;
    let part = module.need("weight_scale", "nvfp4")?;
    module.check(&part, &["F8_E4M3"], &[shape[0], per_row])?;
    let global = module.need("weight_global_scale", "nvfp4")?;
    module.check(&global, &["F32"], &[1])?;
    let scale = ScalePart { part, kind: ScaleKind::Over(global), tile: [1, 16], per_row };
    Ok(finish("nvfp4", weight, shape, scale))
}

pub(super) fn mxfp4(module: &Module<'_>, arguments: &Arguments) -> Result<Plan, WeightsError> {
    let (weight, shape, per_row) = packed(module, arguments, "mxfp4", 32)?;
    let part = module.need("weight_scale", "mxfp4")?;
    module.check(&part, &["U8", "F8_E8M0"], &[shape[0], per_row])?;
    let scale = ScalePart { part, kind: ScaleKind::PowerOfTwo, tile: [1, 32], per_row };
    Ok(finish("mxfp4", weight, shape, scale))
}

/// The nibbles, the dense shape, and the number of groups per row.
fn packed(
    module: &Module<'_>,
    arguments: &Arguments,
    format: &str,
    group: usize,
) -> Result<(Part, [usize; 2], usize), WeightsError> {
    let weight = module.need("weight_packed", format)?;
    module.check_dtype(&weight, &["U8"])?;
    let [rows, bytes] = weight.matrix(module)?;
    let columns = bytes.saturating_mul(2);
    if !arguments.symmetric || arguments.strategy != Strategy::Group(group) {
        let expected = format!("{format}: symmetric groups of {group}");
        return Err(module.bad(&weight, &expected, &arguments.describe(), EXPORT_AGAIN));
    }
    if columns % group != 0 {
        let expected = format!("a multiple of {group} inputs");
        return Err(module.bad(&weight, &expected, &columns.to_string(), EXPORT_AGAIN));
    }
    Ok((weight, [rows, columns], columns / group))
}

fn finish(format: &str, weight: Part, shape: [usize; 2], scale: ScalePart) -> Plan {
    let layout = Affine {
        codes: CodesPart::Nibbles(weight, E2M1),
        scale,
        zeros: Zeros::None,
        order: None,
        precision: Precision::BF16,
    };
    Plan { format: format.to_owned(), shape: shape.to_vec(), layout: Box::new(layout) }
}
