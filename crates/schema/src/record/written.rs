//! A cell as it is written in a record. The format has a key for each kind of cell, of which a cell
//! fills at most one; in memory that is one [`CellKind`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cell::{
    CellCache, CellCompressor, CellData, CellModel, CellPartition, CellProtocol, RecordCell,
};
use super::kind::CellKind;

/// One point of an experiment, resolved: model × text × protocol × partition × codec.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCell {
    /// The model.
    model: CellModel,
    /// The text and its tokens.
    data: CellData,
    /// Windows and scored positions.
    protocol: CellProtocol,
    /// Where the model is cut.
    partition: CellPartition,
    /// The codec; null for the baseline.
    compressor: Option<CellCompressor>,
    /// What is done to the KV cache; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache: Option<CellCache>,
    /// Tokens of a message chunk; null for whole messages.
    chunk_tokens: Option<usize>,
    /// Seed of everything random.
    seed: u64,
    /// Standard deviation, relative to a value, of the noise after every layer; null without noise.
    #[serde(default)]
    noise: Option<f64>,
    /// Identity of the baseline that another model is compared with; null if this model is its own
    /// baseline.
    #[serde(default)]
    reference: Option<String>,
}

impl From<RecordCell> for WrittenCell {
    fn from(cell: RecordCell) -> Self {
        let RecordCell { model, data, protocol, partition, kind, chunk_tokens, seed } = cell;
        let mut written = Self {
            model,
            data,
            protocol,
            partition,
            compressor: None,
            cache: None,
            chunk_tokens,
            seed,
            noise: None,
            reference: None,
        };
        match kind {
            CellKind::Baseline => {}
            CellKind::Links(codec) => written.compressor = Some(*codec),
            CellKind::Cache(cache) => written.cache = Some(*cache),
            CellKind::Noise { size } => written.noise = Some(size),
            CellKind::Model { reference } => written.reference = Some(reference),
        }
        written
    }
}

impl TryFrom<WrittenCell> for RecordCell {
    type Error = &'static str;

    fn try_from(written: WrittenCell) -> Result<Self, Self::Error> {
        let kind = match (written.compressor, written.cache, written.noise, written.reference) {
            (None, None, None, None) => CellKind::Baseline,
            (Some(codec), None, None, None) => CellKind::Links(Box::new(codec)),
            (None, Some(cache), None, None) => CellKind::Cache(Box::new(cache)),
            (None, None, Some(size), None) => CellKind::Noise { size },
            (None, None, None, Some(reference)) => CellKind::Model { reference },
            _ => {
                return Err(
                    "two of `compressor`, `cache`, `noise` and `reference`: expected at most one of them",
                );
            }
        };
        let WrittenCell { model, data, protocol, partition, chunk_tokens, seed, .. } = written;
        Ok(Self { model, data, protocol, partition, kind, chunk_tokens, seed })
    }
}

impl JsonSchema for RecordCell {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RecordCell".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        WrittenCell::json_schema(generator)
    }
}
