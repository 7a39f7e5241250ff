//! ModelOpt checkpoints: NVFP4 with a multiplying `weight_scale_2`, and FP8 with one scale per tensor or row.
//!
//! The stored type determines the format: U8 is NVFP4, F8_E4M3 is FP8, and anything else is not quantized. The
//! results are rounded to the model's dtype, as `modelopt` dequantizes.

use serde_json::Value;

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::config::{self, Section};
use super::numbers::{E2M1, E4M3, Precision};
use super::parts::{EXPORT_AGAIN, Module};
use super::{Plan, WeightsError};

/// E2M1 with two positive zeros, as in ModelOpt's table.
const VALUES: [f32; 16] = {
    let mut values = E2M1;
    values[8] = 0.0;
    values
};

/// Number of inputs that share an NVFP4 scale.
const GROUP: usize = 16;

/// The supported algorithms.
const ALGORITHMS: &[&str] =
    &["NVFP4", "W4A16_NVFP4", "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "MIXED_PRECISION"];

/// ModelOpt's `quantization_config`, or the `quantization` of its `hf_quant_config.json`.
pub(super) struct Config {
    precision: Precision,
}

impl Config {
    /// Reads the configuration and appends what is quantized besides weights to `weights_only`.
    pub(super) fn parse(
        section: &Section<'_>,
        model: &Value,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        if let Some(algorithm) = section.text("quant_algo")?
            && !ALGORITHMS.contains(&algorithm)
        {
            return Err(section.bad("quant_algo", &ALGORITHMS.join(", "), algorithm));
        }
        let group = section.integer("group_size")?;
        if section.text("quant_algo")?.is_some_and(|algorithm| algorithm.contains("NVFP4"))
            && group.is_some_and(|group| group != GROUP as i64)
        {
            let found = group.unwrap_or_default().to_string();
            return Err(section.bad("group_size", "16, the only size of NVFP4", &found));
        }
        if section.flag("has_zero_point")? == Some(true) {
            return Err(section.bad("has_zero_point", "false", "true"));
        }
        weights_only.extend(also_quantized(section));
        Ok(Self { precision: config::model_precision(model) })
    }

    /// Plans modules whose weight is U8 or F8_E4M3.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        let plan = match module.dtype("weight") {
            Some("U8") => self.nvfp4(module)?,
            Some("F8_E4M3") => self.fp8(module)?,
            _ => return Ok(None),
        };
        module.absorb(&["input_scale", "output_scale"]);
        Ok(Some(plan))
    }

    fn nvfp4(&self, module: &Module<'_>) -> Result<Plan, WeightsError> {
        let format = "NVFP4 of ModelOpt";
        let weight = module.need("weight", format)?;
        let [rows, bytes] = weight.matrix(module)?;
        let columns = bytes.saturating_mul(2);
        if columns % GROUP != 0 {
            let found = format!("{columns} inputs");
            return Err(module.bad(&weight, "a multiple of 16 inputs", &found, EXPORT_AGAIN));
        }
        let per_row = columns / GROUP;
        let part = module.need("weight_scale", format)?;
        module.check(&part, &["F8_E4M3"], &[rows, per_row])?;
        let global = module.need("weight_scale_2", format)?;
        module.check_dtype(&global, &["F32"])?;
        module.check_single(&global)?;
        let kind = ScaleKind::Times(global);
        Ok(Plan {
            format: "modelopt nvfp4".to_owned(),
            shape: vec![rows, columns],
            layout: Box::new(Affine {
                codes: CodesPart::Nibbles(weight, VALUES),
                scale: ScalePart { part, kind, tile: [1, GROUP], per_row },
                zeros: Zeros::None,
                order: None,
                precision: self.precision,
            }),
        })
    }

    fn fp8(&self, module: &Module<'_>) -> Result<Plan, WeightsError> {
        let weight = module.need("weight", "FP8 of ModelOpt")?;
        let [rows, columns] = weight.matrix(module)?;
        let part = module.need("weight_scale", "FP8 of ModelOpt")?;
        module.check_dtype(&part, &["F32", "BF16", "F16"])?;
        let per_channel = rows > 1 && (part.shape == [rows] || part.shape == [rows, 1]);
        if !per_channel {
            module.check_single(&part)?;
        }
        let tile = [if per_channel { 1 } else { rows.max(1) }, columns.max(1)];
        let layout = Affine {
            codes: CodesPart::Bytes(weight, &E4M3),
            scale: ScalePart { part, kind: ScaleKind::Rounded, tile, per_row: 1 },
            zeros: Zeros::None,
            order: None,
            precision: self.precision,
        };
        let format = if per_channel { "modelopt fp8 channel" } else { "modelopt fp8" };
        let shape = vec![rows, columns];
        Ok(Plan { format: format.to_owned(), shape, layout: Box::new(layout) })
    }
}

/// What the configuration quantizes besides weights: the inputs, unless an algorithm says that they stay in 16
/// bits.
fn also_quantized(section: &Section<'_>) -> Vec<String> {
    let layers = section.get("quantized_layers").and_then(Value::as_object);
    let of_layers = layers.into_iter().flat_map(|layers| layers.values());
    let algorithms = of_layers
        .map(|layer| layer.get("quant_algo"))
        .chain([section.get("quant_algo")])
        .filter_map(|algorithm| algorithm.and_then(Value::as_str))
        .filter(|algorithm| ALGORITHMS.contains(algorithm))
        .filter(|algorithm| !algorithm.contains("A16") && *algorithm != "MIXED_PRECISION");
    let mut found: Vec<String> =
        algorithms.map(|algorithm| format!("input activations {algorithm}")).collect();
    let groups = section.get("config_groups").and_then(Value::as_object);
    let inputs = |group: &Value| group.get("input_activations").is_some_and(|it| !it.is_null());
    if found.is_empty() && groups.is_some_and(|groups| groups.values().any(inputs)) {
        found.push("input activations".to_owned());
    }
    let cache = section.get("kv_cache_quant_algo").and_then(Value::as_str).is_some();
    if section.get("kv_cache_scheme").is_some() || cache {
        found.push("KV cache".to_owned());
    }
    found
}
