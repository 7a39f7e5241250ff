//! Caches of keys and values on a device, and probes of the attention to them.
//!
//! Key heads may keep different tokens: all are padded to the longest, and the padding has a position
//! that no query reaches.

use burn_tensor::{DType, FloatDType, Int, Tensor, TensorData};
use strait_ops::{AttentionShape, CacheContents, HeadEntries, OpsError, ProbeRequest, ProbeResult};

use crate::attention::{Causal, Entries};
use crate::kernels::Kernels;
use crate::ops::attention::{Attention, Ropes};
use crate::ops::tensors::Maker;

/// A position after all others.
const NOWHERE: i32 = i32::MAX;

/// Keys and values of one sequence in one attention block.
pub(crate) struct Cache<B: Kernels> {
    /// Whether keys are kept rotated by their positions (RoPE).
    pub(crate) rotated: bool,
    kv_heads: usize,
    /// Channels of a key, and of a value.
    dim: usize,
    value_dim: usize,
    /// The entries; `None` before the first token.
    entries: Option<Entries<B>>,
    /// Key channels that are kept, for every key head.
    channels: Vec<Option<Vec<u16>>>,
}

impl<B: Kernels> Cache<B> {
    pub(crate) fn new(shape: &AttentionShape, rotated: bool) -> Cache<B> {
        let AttentionShape { kv_heads, head_dim: dim, value_dim, .. } = *shape;
        Cache { rotated, kv_heads, dim, value_dim, entries: None, channels: vec![None; kv_heads] }
    }

    /// Adds keys `[1, kv_heads, tokens, dim]` and values `[1, kv_heads, tokens, value_dim]` from `first_position` on.
    pub(crate) fn add(
        &mut self,
        key: Tensor<B, 4>,
        value: Tensor<B, 4>,
        first_position: usize,
        maker: &Maker<B>,
    ) {
        let [_, kv_heads, tokens, dim] = key.dims();
        let mut key = key;
        if self.channels.iter().any(Option::is_some) {
            let mut kept = vec![0.0; kv_heads * dim];
            for (kept, channels) in kept.chunks_exact_mut(dim).zip(&self.channels) {
                match channels {
                    None => kept.fill(1.0),
                    Some(channels) => channels.iter().for_each(|&c| kept[usize::from(c)] = 1.0),
                }
            }
            key = key * maker.values(kept, [1, kv_heads, 1, dim]);
        }
        let positions: Vec<i32> = (0..kv_heads)
            .flat_map(|_| (first_position..first_position + tokens).map(|p| p as i32))
            .collect();
        let positions = integers(positions, [1, kv_heads, 1, tokens], maker);
        let fresh = Entries { keys: key, values: value, positions };
        self.entries = Some(match self.entries.take() {
            None => fresh,
            Some(known) => Entries {
                keys: Tensor::cat(vec![known.keys, fresh.keys], 2),
                values: Tensor::cat(vec![known.values, fresh.values], 2),
                positions: Tensor::cat(vec![known.positions, fresh.positions], 3),
            },
        });
    }

    /// What attention reads: keys that are rotated in a sequence of `length` tokens, values, positions.
    pub(crate) fn seen(
        &self,
        weights: &Attention<B>,
        length: usize,
        maker: &Maker<B>,
        ropes: &mut Ropes<B>,
    ) -> Entries<B> {
        let Some(Entries { keys, values, positions }) = self.entries.clone() else {
            let none = |dim| Tensor::zeros([1, self.kv_heads, 0, dim], &maker.device);
            let positions = integers(Vec::new(), [1, self.kv_heads, 1, 0], maker);
            return Entries { keys: none(self.dim), values: none(self.value_dim), positions };
        };
        let keys = match (self.rotated, weights.rope) {
            (false, Some(place)) => ropes.turn_at(place, keys, positions.clone(), length, maker),
            _ => keys,
        };
        Entries { keys, values, positions }
    }

    pub(crate) fn contents(
        &self,
        floats: impl Fn(Tensor<B, 4>) -> Result<Vec<f32>, OpsError>,
    ) -> Result<CacheContents, OpsError> {
        let Some(Entries { keys, values, positions }) = &self.entries else {
            return Ok(CacheContents { heads: vec![HeadEntries::default(); self.kv_heads] });
        };
        let [_, _, entries, dim] = keys.dims();
        let keys = floats(keys.clone().cast(FloatDType::F32))?;
        let values = floats(values.clone().cast(FloatDType::F32))?;
        let positions: Vec<i32> = positions.clone().into_data().iter().collect();
        let heads = (0..self.kv_heads).map(|head| {
            let mut kept =
                HeadEntries { key_channels: self.channels[head].clone(), ..HeadEntries::default() };
            for entry in head * entries..(head + 1) * entries {
                if positions[entry] == NOWHERE {
                    continue;
                }
                kept.positions.push(positions[entry] as u32);
                let key = &keys[entry * dim..][..dim];
                match &kept.key_channels {
                    None => kept.keys.extend_from_slice(key),
                    Some(channels) => {
                        kept.keys.extend(channels.iter().map(|&c| key[usize::from(c)]))
                    }
                }
                kept.values.extend_from_slice(&values[entry * self.value_dim..][..self.value_dim]);
            }
            kept
        });
        Ok(CacheContents { heads: heads.collect() })
    }

    pub(crate) fn set(&mut self, contents: CacheContents, maker: &Maker<B>) {
        let (heads, dim, value_dim) = (contents.heads, self.dim, self.value_dim);
        let longest = heads.iter().map(HeadEntries::len).max().unwrap_or(0);
        self.channels = heads.iter().map(|head| head.key_channels.clone()).collect();
        if longest == 0 {
            self.entries = None;
            return;
        }
        let shape = |dim| [1, heads.len(), longest, dim];
        let mut keys = vec![0.0; heads.len() * longest * dim];
        let mut values = vec![0.0; heads.len() * longest * value_dim];
        let mut positions = vec![NOWHERE; heads.len() * longest];
        for (index, head) in heads.iter().enumerate() {
            let first = index * longest;
            for (entry, position) in head.positions.iter().enumerate() {
                let at = (first + entry) * dim;
                head.key(entry, &mut keys[at..at + dim]);
                let own = &head.values[entry * value_dim..][..value_dim];
                values[(first + entry) * value_dim..][..value_dim].copy_from_slice(own);
                positions[first + entry] = *position as i32;
            }
        }
        let positions = integers(positions, [1, heads.len(), 1, longest], maker);
        let keys = maker.values(keys, shape(dim));
        let values = maker.values(values, shape(value_dim));
        self.entries = Some(Entries { keys, values, positions });
    }
}

/// Answers `request` about queries `[1, heads, tokens, dim]`, given unrotated and rotated, of tokens
/// from `first_position` on, and about `outputs` `[1, heads, 1, entries]`, which are included if
/// present.
pub(crate) fn probe<B: Kernels>(
    [plain, rotated]: [Tensor<B, 4>; 2],
    causal: &Causal,
    entries: Entries<B>,
    outputs: Option<Tensor<B, 4>>,
    first_position: usize,
    request: &ProbeRequest,
    floats: impl Fn(Tensor<B, 4>) -> Result<Vec<f32>, OpsError>,
) -> Result<ProbeResult, OpsError> {
    let heads = plain.dims()[1];
    let (first, rows) = (request.rows.start, request.rows.len());
    let split = |values: Vec<f32>| -> Vec<Vec<f32>> {
        match values.len() / heads.max(1) {
            0 => vec![Vec::new(); heads],
            size => values.chunks_exact(size).map(<[f32]>::to_vec).collect(),
        }
    };
    let mut result = ProbeResult::default();
    if request.queries {
        result.queries = split(floats(plain.narrow(2, first, rows).cast(FloatDType::F32))?);
    }
    // Padding entries are removed on the host.
    let [_, kv_heads, _, count] = entries.positions.dims();
    let positions: Vec<i32> = entries.positions.clone().into_data().iter().collect();
    let real = |head: usize| {
        let positions = &positions[head / (heads / kv_heads) * count..][..count];
        positions.iter().map(|&position| position != NOWHERE).collect::<Vec<bool>>()
    };
    let keep = |values: Vec<Vec<f32>>| -> Vec<Vec<f32>> {
        let kept = values.into_iter().enumerate().map(|(head, values)| {
            let real = real(head);
            let entries = values.into_iter().enumerate();
            entries.filter(|(at, _)| real[at % count]).map(|(_, value)| value).collect()
        });
        kept.collect()
    };
    if let Some(outputs) = outputs {
        result.outputs = keep(split(floats(outputs)?));
    }
    if !request.attention() || rows == 0 {
        return Ok(result);
    }
    let query = rotated.narrow(2, first, rows);
    let mut sums: Option<Tensor<B, 4>> = None;
    let (mut each, mut entropy) = (Vec::new(), Vec::new());
    causal.probabilities(query, &entries, first_position + first, |shares: Tensor<B, 4>| {
        if request.each {
            each.push(shares.clone());
        }
        if request.entropy {
            let logs = shares.clone().clamp_min(1e-38).log();
            entropy.push((shares.clone() * logs).sum_dim(3).neg());
        }
        let part = shares.sum_dim(2);
        sums = Some(match sums.take() {
            None => part,
            Some(sums) => sums + part,
        });
    });
    if let (true, Some(sums)) = (request.sums, sums) {
        result.sums = keep(split(floats(sums)?));
    }
    if request.each {
        result.each = keep(split(floats(Tensor::cat(each, 2))?));
    }
    if request.entropy {
        result.entropy = split(floats(Tensor::cat(entropy, 2))?);
    }
    Ok(result)
}

fn integers<B: Kernels>(
    values: Vec<i32>,
    shape: [usize; 4],
    maker: &Maker<B>,
) -> Tensor<B, 4, Int> {
    Tensor::from_data(TensorData::new(values, shape), (&maker.device, DType::I32))
}
