//! torchao checkpoints, as Transformers saves them: integers in bytes (`Int8Tensor`, `IntxUnpackedToInt8Tensor`)
//! and floats of eight bits (`Float8Tensor`).
//!
//! `weight = (code - zero) * scale` in the model's dtype, with one scale for the tensor, a row, a group of
//! inputs or a block. The parts of a weight are named `_weight_qdata` and so on.
//!
//! Source: torchao 0.18 (`quantization/quantize_/workflows`, `prototype/safetensors/safetensors_support.py`).

use serde_json::Value;

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::config::{Section, model_precision};
use super::fold::Fold;
use super::numbers::{E4M3, E5M2, I8, Precision};
use super::parts::{EXPORT_AGAIN, Module, Part};
use super::{Plan, WeightsError};

/// The supported kinds of `quant_type`, as messages list them.
const KINDS: &str = "Int8WeightOnlyConfig, Int8DynamicActivationInt8WeightConfig, \
     Int8StaticActivationInt8WeightConfig, IntxWeightOnlyConfig, Int8DynamicActivationIntxWeightConfig, \
     Float8WeightOnlyConfig, Float8DynamicActivationFloat8WeightConfig or FqnToConfig";

/// Keys of a kind's `_data` that describe what types and shapes of the stored tensors tell, how codes were found,
/// or how the model is run.
const DESCRIBED: [&str; 14] = [
    "granularity",
    "weight_granularity",
    "weight_dtype",
    "mapping_type",
    "weight_mapping_type",
    "act_mapping_type",
    "scale_dtype",
    "weight_scale_dtype",
    "intx_packing_format",
    "intx_choose_qparams_algorithm",
    "packing_format",
    "activation_dtype",
    "mm_config",
    "kernel_preference",
];

/// What those keys hold.
const LEAVES: [&str; 9] = [
    "_type",
    "_data",
    "dim",
    "axis",
    "group_size",
    "block_size",
    "emulate",
    "use_fast_accum",
    "pad_inner_dim",
];

/// The `quantization_config` of `quant_method = "torchao"`.
pub(super) struct Config {
    precision: Precision,
    /// Width of the integers in bytes, or 8 if modules differ.
    bits: u32,
    /// Whether integers always have zero points.
    needs_zeros: bool,
}

impl Config {
    pub(super) fn parse(
        section: &Section<'_>,
        model: &Value,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        let kinds = section.section("quant_type")?;
        let kinds = kinds.ok_or_else(|| section.bad("quant_type", "an object", "nothing"))?;
        let mut found = Kinds::default();
        for kind in kinds.objects() {
            found.read(&kind?)?;
        }
        weights_only
            .extend(found.activations.iter().map(|kind| format!("input activations {kind}")));
        found.widths.dedup();
        let bits = if let [bits] = found.widths[..] { bits } else { 8 };
        Ok(Self { precision: model_precision(model), bits, needs_zeros: found.needs_zeros })
    }

    /// Plans modules with a `_weight_qdata`.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if !module.has("_weight_qdata") {
            return Ok(None);
        }
        let codes = module.need("_weight_qdata", "torchao")?;
        module.check_dtype(&codes, &["I8", "F8_E4M3", "F8_E5M2"])?;
        let [rows, columns] = codes.matrix(module)?;
        let part = module.need("_weight_scale", "torchao")?;
        module.check_dtype(&part, &["F32", "F16", "BF16"])?;
        let tile = tile(module, &part, [rows, columns])?;
        let per_row = columns / tile[1];
        let zeros = match module.take("_weight_zero_point")? {
            None if self.needs_zeros && codes.dtype == "I8" => {
                return Err(module.missing("_weight_zero_point", "torchao"));
            }
            None => Zeros::None,
            Some(zeros) => {
                module.check(&zeros, &["I8"], &part.shape)?;
                Zeros::Plain(zeros)
            }
        };
        // Scales of inputs that are quantized with a fixed grid, which is not simulated.
        module.absorb(&["_weight_act_quant_scale", "_weight_act_quant_zero_point"]);
        let (kind, table) = match codes.dtype.as_str() {
            "I8" => (format!("int{}", self.bits), &I8),
            "F8_E4M3" => ("fp8".to_owned(), &E4M3),
            _ => ("fp8 e5m2".to_owned(), &E5M2),
        };
        let format = format!("torchao {kind} {}", name_of(tile, [rows, columns]));
        let scale = ScalePart { part, kind: ScaleKind::Plain, tile, per_row };
        let codes = CodesPart::Bytes(codes, table);
        let layout = Affine { codes, scale, zeros, order: None, precision: self.precision };
        Ok(Some(Plan { format, shape: vec![rows, columns], layout: Box::new(layout) }))
    }

    /// What the model multiplies the inputs of a quantized module by (AWQ, SmoothQuant).
    pub(super) fn fold(module: &Module<'_>) -> Result<Option<Fold>, WeightsError> {
        Ok(module.take("_weight_act_pre_scale")?.map(Fold::Columns))
    }
}

/// What the members of `quant_type` say.
#[derive(Default)]
struct Kinds {
    /// Widths of integers in bytes.
    widths: Vec<u32>,
    needs_zeros: bool,
    /// How activations are quantized.
    activations: Vec<&'static str>,
}

impl Kinds {
    /// Reads one member, or the members for single modules that it lists.
    fn read(&mut self, kind: &Section<'_>) -> Result<(), WeightsError> {
        let name = kind.text("_type")?.unwrap_or_default();
        let data = kind.section("_data")?;
        if let Some(data) = &data {
            DESCRIBED.iter().try_for_each(|key| data.describes(key, &LEAVES))?;
        }
        match name {
            "Int8WeightOnlyConfig" => self.widths.push(8),
            "Int8DynamicActivationInt8WeightConfig" | "Int8StaticActivationInt8WeightConfig" => {
                self.widths.push(8);
                self.activations.push("int8");
            }
            "IntxWeightOnlyConfig" | "Int8DynamicActivationIntxWeightConfig" => {
                self.widths.push(data.as_ref().map_or(Ok(8), width)?);
                self.needs_zeros = true;
                if name != "IntxWeightOnlyConfig" {
                    self.activations.push("int8");
                }
            }
            "Float8WeightOnlyConfig" => {}
            "Float8DynamicActivationFloat8WeightConfig" => self.activations.push("FP8"),
            "FqnToConfig" | "ModuleFqnToConfig" => {
                let data = data.ok_or_else(|| kind.bad("_data", "an object", "nothing"))?;
                for key in ["fqn_to_config", "module_fqn_to_config"] {
                    let Some(modules) = data.section(key)? else { continue };
                    // A module without a configuration stays dense.
                    for module in modules.objects() {
                        self.read(&module?)?;
                    }
                }
            }
            _ => return Err(kind.bad("_type", KINDS, &format!("\"{name}\""))),
        }
        Ok(())
    }
}

/// The width that `weight_dtype` of a configuration for integers of any width names.
fn width(data: &Section<'_>) -> Result<u32, WeightsError> {
    let Some(dtype) = data.section("weight_dtype")? else { return Ok(8) };
    dtype.text("_type")?;
    let name = dtype.text("_data")?.unwrap_or_default();
    let bits = name.strip_prefix("int").and_then(|bits| bits.parse().ok());
    bits.filter(|bits| (1..=8).contains(bits))
        .ok_or_else(|| dtype.bad("_data", "int1 to int8", &format!("\"{name}\"")))
}

/// Rows and columns that share a scale.
fn tile(module: &Module<'_>, scale: &Part, size: [usize; 2]) -> Result<[usize; 2], WeightsError> {
    let counts = match scale.shape[..] {
        [] => [1, 1],
        [rows] => [rows, 1],
        [rows, columns] => [rows, columns],
        _ => [0, 0],
    };
    let whole = |axis: usize| counts[axis] > 0 && size[axis].is_multiple_of(counts[axis]);
    if whole(0) && whole(1) {
        return Ok([0, 1].map(|axis| (size[axis] / counts[axis]).max(1)));
    }
    let expected = format!("as many rows and columns as divide {size:?}");
    Err(module.bad(scale, &expected, &scale.describe(), EXPORT_AGAIN))
}

/// How the format's name tells the tile.
fn name_of(tile: [usize; 2], size: [usize; 2]) -> String {
    match tile {
        _ if tile == size && size[0] > 1 => "tensor".to_owned(),
        [1, columns] if columns == size[1] => "channel".to_owned(),
        [1, columns] => format!("g{columns}"),
        [rows, columns] => format!("block {rows}x{columns}"),
    }
}
