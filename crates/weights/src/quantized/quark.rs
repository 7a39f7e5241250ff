//! AMD Quark checkpoints: floats of eight bits, MXFP4, and integers of 8 or 4 bits.
//!
//! `weight = (code - zero) * scale` in f32, rounded to the model's dtype. 4-bit integers in groups are packed as
//! AWQ packs them, in its order (`pack_method = "reorder"`) or in plain order.
//!
//! Source: quark 0.13 (`torch/utils/pack.py`, `torch/export/nn/modules/realquantizer.py`).

use serde_json::Value;

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::awq::Awq;
use super::codes::Octets;
use super::config::{Section, brief, model_precision};
use super::numbers::{E2M1, E4M3, E5M2, I8, Precision};
use super::parts::{EXPORT_AGAIN, Module, Part};
use super::{Plan, WeightsError};

/// What is supported of `weight`, as messages list it.
const KINDS: &str = "fp8_e4m3, fp8_e5m2 or int8 of a tensor or its channels, int4 or uint4 of groups, \
     or fp4 of groups with scales of e8m0";

/// Algorithms that leave nothing to do where the model runs.
const ALGORITHMS: [&str; 7] =
    ["autoround", "autosmoothquant", "awq", "gptaq", "gptq", "qronos", "smooth"];

/// The `quantization_config` of `quant_method = "quark"`.
pub(super) struct Config {
    precision: Precision,
    octets: Octets,
}

impl Config {
    pub(super) fn parse(
        section: &Section<'_>,
        model: &Value,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        let mut kinds = Kinds::default();
        if let Some(global) = section.section("global_quant_config")? {
            kinds.read(&global, weights_only)?;
        }
        for key in ["layer_quant_config", "layer_type_quant_config"] {
            let Some(layers) = section.section(key)? else { continue };
            for layer in layers.objects() {
                kinds.read(&layer?, weights_only)?;
            }
        }
        if kinds.signed && kinds.unsigned {
            let expected = "integers of 4 bits that are all signed or all unsigned";
            return Err(section.bad("layer_quant_config", expected, "both"));
        }
        if let Some(cache) = section.section("kv_cache_quant_config")? {
            for layer in cache.objects() {
                layer?.read_whole();
                weights_only.push("KV cache".to_owned());
            }
        }
        for algorithm in algorithms(section)? {
            let name = algorithm.text("name")?.unwrap_or_default();
            if !ALGORITHMS.contains(&name) {
                return Err(algorithm.bad("name", &ALGORITHMS.join(", "), &format!("\"{name}\"")));
            }
        }
        let nibbles = match section.section("export")? {
            None => Octets::AWQ.nibbles,
            Some(export) => read_export(&export)?,
        };
        let octets = Octets { nibbles, signed: kinds.signed };
        Ok(Self { precision: model_precision(model), octets })
    }

    /// Plans modules with a `weight_scale`, or with a weight that needs one.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        let codes = ["F8_E4M3", "F8_E5M2", "I8", "U8", "I32"];
        let quantized = module.dtype("weight").is_some_and(|dtype| codes.contains(&dtype));
        if !quantized && !module.has("weight_scale") {
            return Ok(None);
        }
        let codes = module.need("weight", "quark")?;
        let scales = module.need("weight_scale", "quark")?;
        // What belongs to activations, which are not quantized here.
        module.absorb(&["input_scale", "output_scale", "input_zero_point", "output_zero_point"]);
        let size = codes.matrix(module)?;
        match codes.dtype.as_str() {
            "I32" => self.groups(module, codes, scales, size).map(Some),
            "U8" => self.mx(module, codes, scales, size).map(Some),
            _ => self.bytes(module, codes, scales, size).map(Some),
        }
    }

    /// A code in every byte, with one scale for the tensor or a row.
    fn bytes(
        &self,
        module: &Module<'_>,
        codes: Part,
        part: Part,
        [rows, columns]: [usize; 2],
    ) -> Result<Plan, WeightsError> {
        module.check_dtype(&codes, &["F8_E4M3", "F8_E5M2", "I8"])?;
        module.check_dtype(&part, &["F32", "F16", "BF16"])?;
        let of_tensor = part.values() == 1;
        if !of_tensor {
            module.check(&part, &["F32", "F16", "BF16"], &[rows])?;
        }
        let (kind, table) = match codes.dtype.as_str() {
            "F8_E4M3" => ("fp8", &E4M3),
            "F8_E5M2" => ("fp8 e5m2", &E5M2),
            _ => ("int8", &I8),
        };
        let zeros = if kind == "int8" {
            let zeros = module.need("weight_zero_point", "quark")?;
            module.check(&zeros, &["I8"], &part.shape)?;
            Zeros::Plain(zeros)
        } else {
            Zeros::None
        };
        let tile = [if of_tensor { rows } else { 1 }, columns].map(|size| size.max(1));
        let scale = ScalePart { part, kind: ScaleKind::Plain, tile, per_row: 1 };
        let layout = Affine {
            codes: CodesPart::Bytes(codes, table),
            scale,
            zeros,
            order: None,
            precision: self.precision,
        };
        let format = format!("quark {kind} {}", if of_tensor { "tensor" } else { "channel" });
        Ok(Plan { format, shape: vec![rows, columns], layout: Box::new(layout) })
    }

    /// Two values of MXFP4 in every byte.
    fn mx(
        &self,
        module: &Module<'_>,
        codes: Part,
        part: Part,
        [rows, bytes]: [usize; 2],
    ) -> Result<Plan, WeightsError> {
        let columns = bytes.saturating_mul(2);
        let groups = part.matrix(module)?[1];
        module.check(&part, &["U8", "F8_E8M0"], &[rows, groups])?;
        if groups == 0 || columns % groups != 0 {
            let expected = format!("groups that divide {columns} inputs");
            return Err(module.bad(&part, &expected, &part.describe(), EXPORT_AGAIN));
        }
        let group_size = columns / groups;
        let kind = ScaleKind::PowerOfTwo;
        let scale = ScalePart { part, kind, tile: [1, group_size.max(1)], per_row: groups };
        let layout = Affine {
            codes: CodesPart::Nibbles(codes, E2M1),
            scale,
            zeros: Zeros::None,
            order: None,
            precision: self.precision,
        };
        let format = match group_size {
            32 => "quark mxfp4".to_owned(),
            other => format!("quark mxfp4 g{other}"),
        };
        Ok(Plan { format, shape: vec![rows, columns], layout: Box::new(layout) })
    }

    /// Integers of 4 bits, eight outputs a word.
    fn groups(
        &self,
        module: &Module<'_>,
        codes: Part,
        scales: Part,
        [inputs, words]: [usize; 2],
    ) -> Result<Plan, WeightsError> {
        let outputs = words.saturating_mul(8);
        let groups = scales.matrix(module)?[0];
        module.check(&scales, &["F32", "F16", "BF16"], &[groups, outputs])?;
        let zeros = module.need("weight_zero_point", "quark")?;
        module.check(&zeros, &["I32"], &[groups, words])?;
        if groups == 0 || inputs % groups != 0 {
            let expected = format!("groups that divide {inputs} inputs");
            return Err(module.bad(&scales, &expected, &scales.describe(), EXPORT_AGAIN));
        }
        let (group_size, octets) = ((inputs / groups).max(1), self.octets);
        let format = format!("quark int4 g{group_size}");
        let layout = Awq { codes, zeros, scales, group_size, outputs, groups, octets };
        Ok(Plan { format, shape: vec![outputs, inputs], layout: Box::new(layout) })
    }
}

/// What the settings of layers say about integers of 4 bits.
#[derive(Default)]
struct Kinds {
    signed: bool,
    unsigned: bool,
}

impl Kinds {
    /// Reads one group of settings.
    fn read(
        &mut self,
        layer: &Section<'_>,
        weights_only: &mut Vec<String>,
    ) -> Result<(), WeightsError> {
        for (key, what) in [("input_tensors", "input"), ("output_tensors", "output")] {
            if let Some(tensors) = layer.section(key)? {
                layer.describes(key, &["qscheme", "ch_axis", "scale_format", "zero_point_type"])?;
                let dtype = tensors.text("dtype")?.unwrap_or("quantized");
                weights_only.push(format!("{what} activations {dtype}"));
            }
        }
        if let Some(bias) = layer.get("bias") {
            return Err(layer.bad("bias", "nothing, for biases as they are", &brief(bias)));
        }
        let Some(weight) = layer.section("weight")? else { return Ok(()) };
        let dtype = weight.text("dtype")?.unwrap_or_default();
        let scheme = weight.text("qscheme")?.unwrap_or_default();
        let scales = weight.text("scale_format")?;
        match (dtype, scheme, scales) {
            ("fp8_e4m3" | "fp8_e5m2" | "int8", "per_tensor" | "per_channel", _) => {}
            ("int4", "per_group", _) => self.signed = true,
            ("uint4", "per_group", _) => self.unsigned = true,
            ("fp4", "per_group", Some("e8m0")) => {}
            _ => {
                let found = format!("{dtype} {scheme} {}", scales.unwrap_or_default());
                return Err(weight.bad("dtype", KINDS, found.trim_end()));
            }
        }
        if let Some(kind) = weight.text("zero_point_type")?.filter(|kind| *kind != "int32") {
            return Err(weight.bad("zero_point_type", "\"int32\"", &format!("\"{kind}\"")));
        }
        if let Some(axis) = weight.integer("ch_axis")? {
            let expected = if scheme == "per_group" { [-1, 1] } else { [0, 0] };
            if scheme != "per_tensor" && !expected.contains(&axis) {
                let expected = "outputs for channels and inputs for groups";
                return Err(weight.bad("ch_axis", expected, &axis.to_string()));
            }
        }
        Ok(())
    }
}

/// The nibble of each of eight integers that share a word.
fn read_export(export: &Section<'_>) -> Result<[u32; 8], WeightsError> {
    let format = export.text("weight_format")?.filter(|format| *format != "real_quantized");
    if let Some(format) = format {
        return Err(export.bad("weight_format", "\"real_quantized\"", &format!("\"{format}\"")));
    }
    match export.text("pack_method")? {
        None | Some("reorder") => Ok(Octets::AWQ.nibbles),
        Some("order") => Ok([0, 1, 2, 3, 4, 5, 6, 7]),
        Some(other) => {
            Err(export.bad("pack_method", "\"reorder\" or \"order\"", &format!("\"{other}\"")))
        }
    }
}

/// The algorithms that made the codes; older files name a single one.
fn algorithms<'a>(section: &Section<'a>) -> Result<Vec<Section<'a>>, WeightsError> {
    // Their other keys say how the codes were found.
    section.get("algo_config");
    match section.section("algo_config") {
        Ok(one) => Ok(one.into_iter().collect()),
        Err(_) => section.list("algo_config"),
    }
}
