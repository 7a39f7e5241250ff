//! non-causal-attention: attention that entries receive from all queries of their chunk, later and
//! earlier ones.

use std::ops::Range;

use strait_codec_kit::scores::{average_pool, norm, standardize};
use strait_sdk::prelude::*;
use strait_sdk::press::abi::QUERIES;
use strait_sdk::press::{self, softmax};

/// Parameters of non-causal-attention.
#[derive(Params, Debug)]
pub struct NonCausalParams {
    /// Entries of a chunk.
    #[param(default = 256, min = 1)]
    chunk: usize,
}

/// Sum over the chunk's queries of `softmax(q k)`, without causality and without the factor
/// `1 / sqrt(d)`; mean over the heads of a group; times `|v|`; averaged over 3 neighbours;
/// standardized over the layer. The last chunk may be shorter.
#[derive(Debug)]
pub struct NonCausalAttention(NonCausalParams);

impl Press for NonCausalAttention {
    const INFO: PressInfo = PressInfo {
        id: "non-causal-attention",
        summary: "the entries that the queries of their chunk attend to, later and earlier ones",
        paper: "https://arxiv.org/abs/2507.08143",
        side_information: &[QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = NonCausalParams;

    fn open(params: NonCausalParams) -> Result<Self> {
        Ok(NonCausalAttention(params))
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::AllQueries]
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        scores(layer, self.0.chunk, |kv_head| 0..layer.heads()[kv_head].len())
    }
}

/// Standardized scores of the entries `range(kv head)` of each head, which are cut into chunks.
pub(crate) fn scores(
    layer: &Layer<'_>,
    chunk: usize,
    range: impl Fn(usize) -> Range<usize>,
) -> Result<Scores> {
    let (dim, group) = (layer.head_dim(), layer.group());
    let queries = layer.queries()?;
    let mut scores = Vec::with_capacity(layer.heads().len());
    for (kv_head, head) in layer.heads().iter().enumerate() {
        let range = range(kv_head);
        let keys = layer.rotated_keys(kv_head);
        let keys = &keys[range.start * dim..range.end * dim];
        let positions = &head.positions()[range.clone()];
        let mut mean = vec![0.0; range.len()];
        for attention_head in kv_head * group..(kv_head + 1) * group {
            let all: Vec<&[f32]> = queries.head(attention_head).collect();
            let query = |position: &u32| {
                let position = *position as usize;
                let token = position.checked_sub(queries.first_position());
                let Some(row) = token.and_then(|token| all.get(token)) else {
                    return Err(Error::new(format!(
                        "expected the query of every entry's token, found none of position \
                         {position}; press a whole prefill"
                    )));
                };
                let mut row = row.to_vec();
                layer.rope().rotate(&mut row, position);
                Ok(row)
            };
            let rotated = positions.iter().map(query).collect::<Result<Vec<_>>>()?.concat();
            let sums = column_sums(&rotated, keys, dim, chunk);
            mean.iter_mut().zip(sums).for_each(|(mean, sum)| *mean += sum / group as f32);
        }
        let values = head.values().skip(range.start);
        let weighed: Vec<f32> = mean.iter().zip(values).map(|(a, value)| a * norm(value)).collect();
        scores.push(average_pool(&weighed, 3));
    }
    standardize(&mut scores);
    Ok(scores)
}

/// For each key, the sum of the attention that the queries of its chunk pay to it. Queries and keys
/// are `[entries, dim]`, rotated.
pub fn column_sums(queries: &[f32], keys: &[f32], dim: usize, chunk: usize) -> Vec<f32> {
    let mut sums = Vec::with_capacity(keys.len() / dim);
    let mut attention = Vec::new();
    for (queries, keys) in queries.chunks(chunk * dim).zip(keys.chunks(chunk * dim)) {
        let mut chunk_sums = vec![0.0; keys.len() / dim];
        for query in queries.chunks_exact(dim) {
            press::scores(query, keys, &mut attention);
            softmax(&mut attention);
            chunk_sums.iter_mut().zip(&attention).for_each(|(sum, a)| *sum += a);
        }
        sums.extend(chunk_sums);
    }
    sums
}
