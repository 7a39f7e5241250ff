//! The same few names in the vocabulary of each crate. The crates do not know one another, so the
//! one that knows them all translates.

use strait_data::{BosRule, Join, Preset};
use strait_loader::Dtype;

/// The dtype of a message.
pub(crate) fn loader_dtype(dtype: strait_model::Dtype) -> Dtype {
    match dtype {
        strait_model::Dtype::F32 => Dtype::F32,
        strait_model::Dtype::F16 => Dtype::F16,
        strait_model::Dtype::Bf16 => Dtype::BF16,
    }
}

/// The dtype of a model.
pub(crate) fn model_dtype(dtype: strait_schema::Dtype) -> strait_model::Dtype {
    match dtype {
        strait_schema::Dtype::F32 => strait_model::Dtype::F32,
        strait_schema::Dtype::F16 => strait_model::Dtype::F16,
        strait_schema::Dtype::Bf16 => strait_model::Dtype::Bf16,
    }
}

/// What weights are quantized to on load.
pub(crate) fn load_in(kind: strait_schema::LoadIn) -> strait_weights::load_in::LoadIn {
    match kind {
        strait_schema::LoadIn::Int8 => strait_weights::load_in::LoadIn::Int8,
        strait_schema::LoadIn::Nf4 => strait_weights::load_in::LoadIn::Nf4,
        strait_schema::LoadIn::Fp4 => strait_weights::load_in::LoadIn::Fp4,
    }
}

/// The preset of a protocol.
pub(crate) fn preset(preset: strait_schema::Preset) -> Preset {
    match preset {
        strait_schema::Preset::HfStride => Preset::HfStride,
        strait_schema::Preset::Gptq => Preset::Gptq,
        strait_schema::Preset::Exl3 => Preset::Exl3,
        strait_schema::Preset::Llamacpp => Preset::Llamacpp,
        strait_schema::Preset::PrefillSuffix => Preset::PrefillSuffix,
    }
}

/// The join rule of a text.
pub(crate) fn join(join: strait_schema::Join) -> Join {
    match join {
        strait_schema::Join::BlankLine => Join::BlankLine,
        strait_schema::Join::Line => Join::Line,
        strait_schema::Join::NonEmptyBlankLine => Join::NonEmptyBlankLine,
        strait_schema::Join::Lines => Join::Lines,
        strait_schema::Join::Space => Join::Space,
    }
}

/// The join rule of a text, for its record.
pub(crate) fn schema_join(join: Join) -> strait_schema::Join {
    match join {
        Join::BlankLine => strait_schema::Join::BlankLine,
        Join::Line => strait_schema::Join::Line,
        Join::NonEmptyBlankLine => strait_schema::Join::NonEmptyBlankLine,
        Join::Lines => strait_schema::Join::Lines,
        Join::Space => strait_schema::Join::Space,
    }
}

/// Where the beginning token stands.
pub(crate) fn bos(rule: strait_schema::Bos) -> BosRule {
    match rule {
        strait_schema::Bos::Tokenizer => BosRule::Tokenizer,
        strait_schema::Bos::EachWindow => BosRule::EachWindow,
        strait_schema::Bos::Never => BosRule::Never,
    }
}
