//! gpt-oss checkpoints (`quant_method = "mxfp4"`): the experts' weights of one layer as one tensor of MXFP4.
//!
//! `…experts.gate_up_proj_blocks` holds `[experts, outputs, groups, 16]` bytes of two values each, the first in
//! the low nibble; `…_scales` holds an E8M0 scale for each group of 32 inputs. The dense tensor is that of
//! Transformers: `…experts.gate_up_proj`, turned to `[experts, inputs, outputs]`, in bf16.
//!
//! Source: transformers 5.24 (`integrations/mxfp4.py`).

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::codes::Codes;
use super::config::Section;
use super::grid::Grid;
use super::numbers::{E2M1, Precision};
use super::parts::{EXPORT_AGAIN, Module, Reader};
use super::{Layout, Plan, WeightsError};

/// Number of inputs that share a scale.
const GROUP: usize = 32;

/// The matrices of all experts, which Transformers multiplies from the right.
struct Experts(Affine);

/// Reads the configuration, which names nothing that the tensors do not tell.
pub(super) fn check(section: &Section<'_>) -> Result<(), WeightsError> {
    match section.flag("dequantize")? {
        Some(true) => Err(section.bad("dequantize", "false, for stored blocks", "true")),
        _ => Ok(()),
    }
}

/// Weight and part of a stored tensor's name, if it is a part of a quantized weight.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    ["_blocks", "_scales"].into_iter().find_map(|part| Some((name.strip_suffix(part)?, &part[1..])))
}

/// Plans weights of blocks and scales.
pub(super) fn plan(module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
    if !module.has("blocks") && !module.has("scales") {
        return Ok(None);
    }
    let codes = module.need("blocks", "mxfp4")?;
    let &[experts, outputs, groups, bytes] = codes.shape.as_slice() else {
        return Err(module.bad(&codes, "four axes", &codes.describe(), EXPORT_AGAIN));
    };
    module.check(&codes, &["U8"], &[experts, outputs, groups, GROUP / 2])?;
    let part = module.need("scales", "mxfp4")?;
    module.check(&part, &["U8"], &[experts, outputs, groups])?;
    let scale = ScalePart { part, kind: ScaleKind::PowerOfTwo, tile: [1, GROUP], per_row: groups };
    let layout = Affine {
        codes: CodesPart::Nibbles(codes, E2M1),
        scale,
        zeros: Zeros::None,
        order: None,
        precision: Precision::BF16,
    };
    let shape = vec![experts, outputs, groups * bytes * 2];
    let format = "mxfp4 experts".to_owned();
    Ok(Some(Plan { format, shape, layout: Box::new(Experts(layout)) }))
}

impl Layout for Experts {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        self.0.open(reader)
    }

    fn turned(&self) -> bool {
        true
    }
}
