//! FBGEMM checkpoints (`quant_method = "fbgemm_fp8"`): floats of eight bits with one scale a row.
//!
//! `weight = code * scale` in f32, rounded to the model's dtype.
//!
//! Source: transformers 5.24 (`integrations/fbgemm_fp8.py`).

use serde_json::Value;

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::config::model_precision;
use super::numbers::{E4M3, Precision};
use super::parts::Module;
use super::{Plan, WeightsError};

/// The `quantization_config` of `quant_method = "fbgemm_fp8"`, which names nothing that matters here.
pub(super) struct Config {
    precision: Precision,
}

impl Config {
    /// Reads the model's dtype; inputs are always quantized.
    pub(super) fn new(model: &Value, weights_only: &mut Vec<String>) -> Self {
        weights_only.push("input activations FP8".to_owned());
        Self { precision: model_precision(model) }
    }

    /// Plans modules whose weight is F8_E4M3 or has a scale.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if module.dtype("weight") != Some("F8_E4M3") && !module.has("weight_scale") {
            return Ok(None);
        }
        let codes = module.need("weight", "fbgemm_fp8")?;
        module.check_dtype(&codes, &["F8_E4M3"])?;
        let [rows, columns] = codes.matrix(module)?;
        let part = module.need("weight_scale", "fbgemm_fp8")?;
        module.check(&part, &["F32", "F16", "BF16"], &[rows, 1])?;
        let tile = [1, columns.max(1)];
        let layout = Affine {
            codes: CodesPart::Bytes(codes, &E4M3),
            scale: ScalePart { part, kind: ScaleKind::Plain, tile, per_row: 1 },
            zeros: Zeros::None,
            order: None,
            precision: self.precision,
        };
        let format = "fbgemm fp8 channel".to_owned();
        Ok(Some(Plan { format, shape: vec![rows, columns], layout: Box::new(layout) }))
    }
}
