//! compressed-tensors: several groups of modules, each with its own scheme, in one configuration.
//!
//! Source: compressed-tensors 0.20 (`quantization/quant_config.py`, `utils/match.py`, `compressors/`) and, for the older
//! packing and `g_idx`, 0.10. All arithmetic is in the dtype of the scales, NVFP4's in f32 rounded to bf16.

mod arguments;
mod fp4;
mod naive;
mod packed;
mod transform;

use serde_json::Value;

use arguments::Arguments;
use transform::Transforms;

use super::config::{Section, brief};
use super::fold::Fold;
use super::parts::{EXPORT_AGAIN, Module};
use super::targets::{self, Target};
use super::{Plan, WeightsError};

/// The supported formats, as messages list them.
const SUPPORTED: &str = "dense, naive-quantized, int-quantized, float-quantized, pack-quantized, \
                         nvfp4-pack-quantized, mxfp4-pack-quantized, mxfp8-quantized, mixed-precision";

/// How the weights of a group are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    Dense,
    Naive,
    Packed,
    Nvfp4,
    Mxfp4,
    Mxfp8,
}

/// The `quantization_config` of `quant_method = "compressed-tensors"`.
pub(in crate::quantized) struct Config {
    groups: Vec<Group>,
    ignore: Vec<Target>,
    transforms: Transforms,
}

struct Group {
    targets: Vec<Target>,
    /// How weights are quantized; `None` if the group quantizes activations only.
    weights: Option<Arguments>,
    /// How weights are stored; `None` if it follows from the stored tensors.
    storage: Option<Storage>,
}

impl Config {
    /// Reads the configuration and appends what is quantized besides weights to `weights_only`.
    pub(in crate::quantized) fn parse(
        section: &Section<'_>,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        let storage = storage(section)?;
        sparsity(section)?;
        weights_only.extend(also_quantized(section, "kv_cache_scheme", "KV cache"));
        let mut ignore = Vec::new();
        for text in section.texts("ignore")? {
            ignore.push(Target::parse(section.path(), &section.place("ignore"), text)?);
        }
        let mut groups = Vec::new();
        if let Some(list) = section.section("config_groups")? {
            for group in list.sections() {
                groups.push(Group::parse(&group?, storage, weights_only)?);
            }
        } else if storage != Some(Storage::Dense) {
            return Err(section.bad("config_groups", "an object of groups", "nothing"));
        }
        let transforms = Transforms::parse(section)?;
        Ok(Self { groups, ignore, transforms })
    }

    /// What is done to the inputs of a module.
    pub(in crate::quantized) fn fold(
        &self,
        module: &Module<'_>,
    ) -> Result<Option<Fold>, WeightsError> {
        self.transforms.fold(module)
    }

    /// Plans modules that a group targets.
    pub(in crate::quantized) fn plan(
        &self,
        module: &Module<'_>,
    ) -> Result<Option<Plan>, WeightsError> {
        let stored = Storage::of(module);
        let ignored = targets::any(&self.ignore, module.name)?;
        let group = if ignored { None } else { self.group(module.name)? };
        let weights = group.and_then(|group| Some((group.weights.as_ref()?, group.storage)));
        let Some((arguments, storage)) = weights else {
            return match stored {
                Some(part) => Err(self.unexpected(module, part, ignored)?),
                None => Ok(None),
            };
        };
        if stored.is_none() && !narrow(module.dtype("weight")) {
            return Ok(None);
        }
        let plan = match storage.unwrap_or_else(|| arguments.storage(module)) {
            Storage::Dense => return Ok(None),
            Storage::Naive => naive::plan(module, arguments)?,
            Storage::Packed => packed::plan(module, arguments)?,
            Storage::Nvfp4 => fp4::nvfp4(module, arguments)?,
            Storage::Mxfp4 => fp4::mxfp4(module, arguments)?,
            Storage::Mxfp8 => naive::mxfp8(module, arguments)?,
        };
        module.absorb(&[
            "input_scale",
            "input_zero_point",
            "input_global_scale",
            "output_scale",
            "output_zero_point",
        ]);
        Ok(Some(plan))
    }

    /// The group of a module: a match by name takes precedence over one by pattern, and that over one by class.
    /// Among equals the alphabetically first target wins; of a target that two groups name, the last group.
    fn group(&self, name: &str) -> Result<Option<&Group>, WeightsError> {
        let mut best: Option<((u8, &str), &Group)> = None;
        for group in &self.groups {
            for target in &group.targets {
                let Some(rank) = target.rank(name)? else { continue };
                let key = (rank, target.text());
                if best.is_none_or(|(known, _)| key <= known) {
                    best = Some((key, group));
                }
            }
        }
        Ok(best.map(|(_, group)| group))
    }

    /// The error for a quantized module that no group covers.
    fn unexpected(
        &self,
        module: &Module<'_>,
        part: &str,
        ignored: bool,
    ) -> Result<WeightsError, WeightsError> {
        let part = module.need(part, "compressed-tensors")?;
        let expected = if ignored {
            "no quantized weight, as \"ignore\" names the module"
        } else {
            "a group in config_groups whose targets mean the module"
        };
        Ok(module.bad(&part, expected, &part.describe(), EXPORT_AGAIN))
    }
}

impl Group {
    fn parse(
        section: &Section<'_>,
        outer: Option<Storage>,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        for (key, what) in [
            ("input_activations", "input activations"),
            ("output_activations", "output activations"),
        ] {
            weights_only.extend(also_quantized(section, key, what));
        }
        let mut targets = Vec::new();
        for text in section.texts("targets")? {
            targets.push(Target::parse(section.path(), &section.place("targets"), text)?);
        }
        let weights = section.section("weights")?.map(|weights| Arguments::parse(&weights));
        let storage = storage(section)?.or(outer);
        Ok(Self { targets, weights: weights.transpose()?, storage })
    }
}

impl Storage {
    /// The part that identifies a quantized module.
    fn of(module: &Module<'_>) -> Option<&'static str> {
        ["weight_packed", "weight_scale"].into_iter().find(|part| module.has(part))
    }
}

/// The member `format`; `None` if it is absent or says that groups differ.
fn storage(section: &Section<'_>) -> Result<Option<Storage>, WeightsError> {
    Ok(Some(match section.text("format")? {
        None | Some("mixed-precision") => return Ok(None),
        Some("dense") => Storage::Dense,
        Some("naive-quantized" | "int-quantized" | "float-quantized") => Storage::Naive,
        Some("pack-quantized") => Storage::Packed,
        Some("nvfp4-pack-quantized") => Storage::Nvfp4,
        Some("mxfp4-pack-quantized") => Storage::Mxfp4,
        Some("mxfp8-quantized" | "mxfp8-pack-quantized") => Storage::Mxfp8,
        Some(other) => return Err(section.bad("format", SUPPORTED, &format!("\"{other}\""))),
    }))
}

/// What the member `key` quantizes besides weights, as a record describes it.
fn also_quantized(section: &Section<'_>, key: &str, what: &str) -> Option<String> {
    let arguments = section.get(key)?;
    let text = |key: &str| arguments.get(key).and_then(Value::as_str);
    let kind = if text("type") == Some("float") { "fp" } else { "int" };
    let bits = arguments.get("num_bits").and_then(Value::as_u64).unwrap_or(8);
    let strategy = text("strategy").map_or_else(String::new, |name| format!(" by {name}"));
    Some(brief(&Value::String(format!("{what} {kind}{bits}{strategy}"))).replace('"', ""))
}

/// Rejects weights that are also stored sparsely.
fn sparsity(section: &Section<'_>) -> Result<(), WeightsError> {
    let format = section.get("sparsity_config").and_then(|sparsity| sparsity.get("format"));
    match format.and_then(Value::as_str) {
        None | Some("dense") => Ok(()),
        Some(other) => Err(section.bad("sparsity_config.format", "\"dense\"", other)),
    }
}

/// Whether a weight of this type cannot be meant literally.
fn narrow(dtype: Option<&str>) -> bool {
    dtype.is_some_and(|dtype| !matches!(dtype, "F64" | "F32" | "F16" | "BF16"))
}
