//! The quantization of a whole checkpoint, decided once from its configuration.

use std::path::Path;

use serde_json::Value;

use super::config::{self, Section};
use super::fold::Fold;
use super::parts::Module;
use super::{
    Plan, WeightsError, aqlm, awq, bitnet, bitsandbytes, block_fp8, compressed_tensors, fbgemm,
    gptq, harmless, hqq, mlx, modelopt, mxfp4, quanto, quark, torchao, vptq,
};
use crate::tensor::StoredTensor;
use crate::unread::Unread;

/// The supported methods, as messages list them.
const METHODS: &str = "compressed-tensors, modelopt, fp8, gptq, awq, auto-round, bitsandbytes, torchao, \
     mlx, hqq, aqlm, vptq, quanto, quark, fbgemm_fp8, mxfp4, bitnet";

/// Name suffixes that occur only in quantized checkpoints.
const MARKS: [&str; 10] = [
    ".weight_packed",
    ".qweight",
    ".weight_scale",
    ".weight_scale_inv",
    ".SCB",
    ".weight.quant_map",
    "._weight_qdata",
    ".W_q",
    ".codebooks",
    "_proj_blocks",
];

/// How weights are quantized.
pub(super) enum Scheme {
    /// Weights are not quantized.
    None,
    CompressedTensors(compressed_tensors::Config),
    ModelOpt(modelopt::Config),
    BlockFp8(block_fp8::Config),
    Gptq(gptq::Config),
    Awq(awq::Config),
    BitsAndBytes,
    Mlx(mlx::Config),
    TorchAo(torchao::Config),
    Hqq,
    Aqlm,
    Fbgemm(fbgemm::Config),
    Quanto,
    Quark(quark::Config),
    Mxfp4,
    BitNet(bitnet::Config),
    Vptq(vptq::Config),
}

/// A scheme with the other contents of its configuration.
pub(super) struct Configured {
    pub(super) scheme: Scheme,
    /// Keys that nothing read.
    pub(super) unread: Vec<Unread>,
    /// What is quantized besides weights, without repetition.
    pub(super) weights_only: Vec<String>,
}

/// Reads `quantization_config`. Without one, tensors of quantized weights are rejected, because their meaning
/// is unknown, except Quanto's, which need none.
pub(super) fn read(
    path: &Path,
    model: &Value,
    tensors: &[StoredTensor],
) -> Result<Configured, WeightsError> {
    let Some((key, value)) = model.as_object().and_then(config::section_of) else {
        let bare = |scheme| Configured { scheme, unread: Vec::new(), weights_only: Vec::new() };
        if tensors.iter().any(|tensor| tensor.info.name.ends_with(quanto::MARK)) {
            return Ok(bare(Scheme::Quanto));
        }
        return match tensors
            .iter()
            .find(|tensor| MARKS.iter().any(|mark| tensor.info.name.ends_with(mark)))
        {
            None => Ok(bare(Scheme::None)),
            Some(tensor) => Err(WeightsError::QuantizationConfig {
                path: path.to_path_buf(),
                key: "quantization_config".to_owned(),
                expected: "an object in config.json that says what the quantized tensors mean"
                    .to_owned(),
                found: format!("none, but a tensor \"{}\"", tensor.info.name),
            }),
        };
    };
    let section = Section::new(path, key, value)?;
    let mut weights_only = Vec::new();
    let scheme = Scheme::new(&section, model, tensors, &mut weights_only)?;
    let mut unread = section.unread(scheme.harmless());
    unread.extend(contradiction(model, key, value));
    weights_only.sort();
    weights_only.dedup();
    Ok(Configured { scheme, unread, weights_only })
}

/// MLX's own key beside `value`, the content of `key`, where the two differ: tools write both alike.
fn contradiction(model: &Value, key: &str, value: &Value) -> Option<Unread> {
    let own = model.get("quantization").filter(|own| !own.is_null() && *own != value)?;
    (key != "quantization")
        .then(|| Unread { name: "quantization".to_owned(), about: config::brief(own) })
}

impl Scheme {
    fn new(
        section: &Section<'_>,
        model: &Value,
        tensors: &[StoredTensor],
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        let method = section.text("quant_method")?;
        Ok(match method {
            // Older files of compressed-tensors name no method.
            Some("compressed-tensors") => {
                Self::CompressedTensors(compressed_tensors::Config::parse(section, weights_only)?)
            }
            None if section.has("config_groups") => {
                Self::CompressedTensors(compressed_tensors::Config::parse(section, weights_only)?)
            }
            Some("modelopt" | "modelopt_fp4" | "modelopt_mixed") => {
                Self::ModelOpt(modelopt::Config::parse(section, model, weights_only)?)
            }
            Some("fp8") => Self::BlockFp8(block_fp8::Config::parse(section, model, weights_only)?),
            Some("gptq") => Self::Gptq(gptq::Config::parse(section)?),
            Some("awq") => Self::Awq(awq::Config::parse(section)?),
            Some("auto-round" | "intel/auto-round") => Self::auto_round(section, weights_only)?,
            Some("torchao") => Self::TorchAo(torchao::Config::parse(section, model, weights_only)?),
            Some("hqq") => {
                hqq::check(section)?;
                Self::Hqq
            }
            Some("aqlm") => Self::Aqlm,
            Some("fbgemm_fp8") => Self::Fbgemm(fbgemm::Config::new(model, weights_only)),
            Some("quanto") => {
                quanto::check(section, weights_only)?;
                Self::Quanto
            }
            Some("quark") => Self::Quark(quark::Config::parse(section, model, weights_only)?),
            Some("mxfp4") => {
                mxfp4::check(section)?;
                Self::Mxfp4
            }
            Some("bitnet") => Self::BitNet(bitnet::Config::parse(section, weights_only)?),
            Some("vptq") => Self::Vptq(vptq::Config::parse(section)?),
            // MLX names no method.
            None | Some("mlx") if section.has("group_size") && section.has("bits") => {
                if model.get("quantize_activations").and_then(Value::as_bool) == Some(true) {
                    weights_only.push("input activations".to_owned());
                }
                Self::Mlx(mlx::Config::parse(section, tensors)?)
            }
            Some("bitsandbytes") => Self::BitsAndBytes,
            // Transformers wrote nothing more before there were other methods.
            None if section.flag("load_in_8bit")? == Some(true)
                || section.flag("load_in_4bit")? == Some(true) =>
            {
                Self::BitsAndBytes
            }
            other => {
                let found = other.map_or("nothing".to_owned(), |other| format!("\"{other}\""));
                return Err(section.bad("quant_method", METHODS, &found));
            }
        })
    }

    /// The scheme of AutoRound, which uses the packing of other tools.
    fn auto_round(
        section: &Section<'_>,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        if let Some(bits) = section.integer("act_bits")?.filter(|bits| *bits < 16) {
            weights_only.push(format!("input activations int{bits}"));
        }
        if let Some(kind) = section.text("data_type")?.filter(|kind| *kind != "int") {
            return Err(section.bad("data_type", "\"int\"", &format!("\"{kind}\"")));
        }
        match section.text("packing_format")?.or(section.text("backend")?) {
            Some("auto_round:auto_gptq" | "auto_round:gptq") => {
                Ok(Self::Gptq(gptq::Config::of_auto_round(section)?))
            }
            Some("auto_round:auto_awq" | "auto_round:awq") => {
                Ok(Self::Awq(awq::Config::of_auto_round(section)?))
            }
            found => {
                let found = found.map_or("nothing".to_owned(), |found| format!("\"{found}\""));
                let expected = "\"auto_round:auto_gptq\" or \"auto_round:auto_awq\"";
                Err(section.bad("packing_format", expected, &found))
            }
        }
    }

    /// Keys of the configuration that may go unread.
    fn harmless(&self) -> &'static [crate::unread::Harmless] {
        match self {
            Self::None => &[],
            Self::CompressedTensors(_) => harmless::COMPRESSED_TENSORS,
            Self::ModelOpt(_) => harmless::MODELOPT,
            Self::BlockFp8(_) => harmless::BLOCK_FP8,
            Self::Gptq(_) => harmless::GPTQ,
            Self::Awq(_) => harmless::AWQ,
            Self::BitsAndBytes => harmless::BITSANDBYTES,
            Self::Mlx(_) => harmless::MLX,
            Self::TorchAo(_) => harmless::TORCHAO,
            Self::Hqq => harmless::HQQ,
            Self::Vptq(_) => harmless::VPTQ,
            Self::Aqlm => harmless::AQLM,
            Self::Fbgemm(_) => harmless::FBGEMM,
            Self::Quanto | Self::Mxfp4 | Self::BitNet(_) => harmless::MODULES,
            Self::Quark(_) => harmless::QUARK,
        }
    }

    /// How names of stored tensors split into a module's and a part's.
    pub(super) fn split(&self) -> fn(&str) -> Option<(&str, &str)> {
        match self {
            Self::Mxfp4 => mxfp4::split,
            Self::Vptq(_) => vptq::split,
            _ => super::split,
        }
    }

    /// What the name of a dense weight adds to its module's.
    pub(super) fn suffix(&self) -> &'static str {
        if matches!(self, Self::Mxfp4) { "" } else { ".weight" }
    }

    /// The plans for the dense weights of `module`, by their names; none if it is not quantized.
    pub(super) fn plans(&self, module: &Module<'_>) -> Result<Vec<(String, Plan)>, WeightsError> {
        if let Self::Mlx(config) = self {
            return config.plan(module);
        }
        Ok(self.plan(module)?.map(|plan| (module.dense_name(), plan)).into_iter().collect())
    }

    /// The plan for the only weight of `module`, if it is quantized.
    fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        match self {
            // MLX has plans of several weights.
            Self::None | Self::Mlx(_) => Ok(None),
            Self::CompressedTensors(config) => config.plan(module),
            Self::ModelOpt(config) => config.plan(module),
            Self::BlockFp8(config) => config.plan(module),
            Self::Gptq(config) => config.plan(module),
            Self::Awq(config) => config.plan(module),
            Self::BitsAndBytes => bitsandbytes::plan(module),
            Self::TorchAo(config) => config.plan(module),
            Self::Hqq => hqq::plan(module),
            Self::Vptq(config) => config.plan(module),
            Self::Aqlm => aqlm::plan(module),
            Self::Fbgemm(config) => config.plan(module),
            Self::Quanto => quanto::plan(module),
            Self::Quark(config) => config.plan(module),
            Self::Mxfp4 => mxfp4::plan(module),
            Self::BitNet(config) => config.plan(module),
        }
    }

    /// The transform that the model applies to the inputs of `module`; `quantized` says whether it has a plan.
    pub(super) fn fold(
        &self,
        module: &Module<'_>,
        quantized: bool,
    ) -> Result<Option<Fold>, WeightsError> {
        match self {
            Self::CompressedTensors(config) => config.fold(module),
            Self::ModelOpt(_) if quantized => {
                Ok(module.take("pre_quant_scale")?.map(Fold::Columns))
            }
            Self::TorchAo(_) if quantized => torchao::Config::fold(module),
            _ => Ok(None),
        }
    }
}
