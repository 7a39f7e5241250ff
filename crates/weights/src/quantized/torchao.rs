//! torchao checkpoints with 8-bit integers and one scale per row (`Int8WeightOnlyConfig`), as Transformers
//! saves them.
//!
//! `weight = code * scale` in the dtype of the scales. The parts of a weight are named `_weight_qdata` and so
//! on.
//!
//! Source: torchao 0.18 (`quantization/quantize_/workflows/int8/int8_tensor.py`,
//! `prototype/safetensors/safetensors_support.py`).

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::config::Section;
use super::numbers::I8;
use super::parts::Module;
use super::{Plan, WeightsError};

/// The `quantization_config` of `quant_method = "torchao"`.
pub(super) struct Config;

impl Config {
    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let kinds = section.section("quant_type")?;
        let kinds = kinds.ok_or_else(|| section.bad("quant_type", "an object", "nothing"))?;
        for kind in kinds.sections() {
            let kind = kind?;
            let name = kind.text("_type")?.unwrap_or_default();
            if name != "Int8WeightOnlyConfig" {
                let found = format!("\"{name}\"");
                return Err(kind.bad("_type", "\"Int8WeightOnlyConfig\"", &found));
            }
            if let Some(data) = kind.section("_data")? {
                if let Some(size) = data.integer("group_size")? {
                    return Err(data.bad("group_size", "null, for rows", &size.to_string()));
                }
                if let Some(granularity) = data.section("granularity")? {
                    granularity.get("_data");
                    let kind = granularity.text("_type")?.unwrap_or_default();
                    if kind != "PerRow" {
                        let found = format!("\"{kind}\"");
                        return Err(granularity.bad("_type", "\"PerRow\"", &found));
                    }
                }
            }
        }
        Ok(Self)
    }

    /// Plans modules with a `_weight_qdata`.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if !module.has("_weight_qdata") {
            return Ok(None);
        }
        let codes = module.need("_weight_qdata", "torchao")?;
        module.check_dtype(&codes, &["I8"])?;
        let [rows, columns] = codes.matrix(module)?;
        let part = module.need("_weight_scale", "torchao")?;
        let dtypes = &["F32", "F16", "BF16"];
        if part.shape == [rows] {
            module.check_dtype(&part, dtypes)?;
        } else {
            module.check(&part, dtypes, &[rows, 1])?;
        }
        let zeros = module.take("_weight_zero_point")?.map_or(Zeros::None, Zeros::Unused);
        let precision = part.precision();
        let tile = [1, columns.max(1)];
        let scale = ScalePart { part, kind: ScaleKind::Plain, tile, per_row: 1 };
        let codes = CodesPart::Bytes(codes, &I8);
        let layout = Affine { codes, scale, zeros, order: None, precision };
        let shape = vec![rows, columns];
        Ok(Some(Plan {
            format: "torchao int8 channel".to_owned(),
            shape,
            layout: Box::new(layout),
        }))
    }
}
