//! Queries, keys and values: how they are stacked in a checkpoint, and the order of their channels.

use std::iter::once;
use std::ops::Range;

use strait_ops::{LatentTensors, NormTensors, Projections};

use super::{Tensors, take};
use crate::config::{LatentConfig, LayerConfig};
use crate::error::ModelError;
use crate::names::{LatentNames, Projections as Stored};

/// Added to the mean square in norms of latents, whatever the model's other norms have.
const LATENT_EPS: f64 = 1e-6;

impl Tensors<'_> {
    /// What makes queries, keys and values of the input of layer `number`.
    pub(super) fn projections(
        &self,
        number: usize,
        layer: &LayerConfig,
    ) -> Result<Projections, ModelError> {
        let (shape, hidden) = (&layer.attention, self.config.shape.hidden);
        let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let values = shape.kv_heads * shape.value_dim;
        let linear =
            |name: &str, outputs: usize| self.linear(number, name, outputs, hidden, layer.qkv_bias);
        if let Some(latent) = layer.latent {
            let latent = self.latent(number, layer, (self.names.latent, latent))?;
            return Ok(Projections::Latent(Box::new(latent)));
        }
        let [query, key, value] = match self.names.projections {
            Stored::Apart { query, key, value } => {
                [linear(query, queries)?, linear(key, keys)?, linear(value, values)?]
            }
            Stored::Stacked(name) => {
                let all = linear(name, queries + keys + values)?;
                let ends = [queries, queries + keys, queries + keys + values];
                [0..ends[0], ends[0]..ends[1], ends[1]..ends[2]].map(|rows| take(&all, [rows]))
            }
            Stored::ByHead(name) => {
                let all = linear(name, 3 * queries)?;
                [0, 1, 2].map(|part| {
                    let rows = (0..shape.heads).map(|head| {
                        let first = (3 * head + part) * shape.head_dim;
                        first..first + shape.head_dim
                    });
                    take(&all, rows)
                })
            }
        };
        let [query, key] = [(query, shape.heads), (key, shape.kv_heads)].map(|(tensors, heads)| {
            if !layer.adjacent_pairs {
                return tensors;
            }
            let order = layer.order_of_rotated(0..layer.rotated());
            let rows = (0..heads).flat_map(|head| {
                let first = head * shape.head_dim;
                let rest = first + order.len()..first + shape.head_dim;
                order.iter().map(move |row| first + row..first + row + 1).chain([rest])
            });
            take(&tensors, rows)
        });
        Ok(Projections::Direct { query, key, value })
    }

    fn latent(
        &self,
        number: usize,
        layer: &LayerConfig,
        (names, latent): (LatentNames, LatentConfig),
    ) -> Result<LatentTensors, ModelError> {
        let (shape, hidden) = (&layer.attention, self.config.shape.hidden);
        let LatentConfig { query_rank, rank, shared } = latent;
        let (heads, own) = (shape.heads, shape.head_dim - shared);
        let bias = layer.qkv_bias;
        let norm = |name: &str, channels: usize| -> Result<NormTensors, ModelError> {
            let norm = self.norm(&self.name(number, name), channels)?;
            Ok(NormTensors { eps: Some(LATENT_EPS), ..norm })
        };
        let (query_down, query, inputs) = match query_rank {
            None => (None, names.query, hidden),
            Some(rank) => {
                let down = self.linear(number, names.query_down, rank, hidden, bias)?;
                (Some((down, norm(names.query_norm, rank)?)), names.query_up, rank)
            }
        };
        let query = self.linear(number, query, heads * shape.head_dim, inputs, false)?;
        let down = self.linear(number, names.down, rank + shared, hidden, bias)?;
        let width = own + shape.value_dim;
        let up = self.linear(number, names.up, heads * width, rank, false)?;
        let of_heads = |rows: Range<usize>| {
            (0..heads).map(move |head| head * width + rows.start..head * width + rows.end)
        };
        // The rotated channels come first here.
        let order = layer.order_of_rotated(own..shape.head_dim);
        let rows = (0..heads).flat_map(|head| {
            let first = head * shape.head_dim;
            order
                .iter()
                .map(move |row| first + row..first + row + 1)
                .chain(once(first..first + own))
        });
        let query = take(&query, rows);
        let order = layer.order_of_rotated(rank..rank + shared);
        let shared = order.iter().map(|&row| row..row + 1);
        let down = take(&down, once(0..rank).chain(shared));
        Ok(LatentTensors {
            query_down,
            query,
            down,
            norm: norm(names.norm, rank)?,
            key: take(&up, of_heads(0..own)),
            value: take(&up, of_heads(own..width)),
        })
    }
}

impl LayerConfig {
    /// Number of channels of a head that are rotated.
    fn rotated(&self) -> usize {
        self.attention.rope.as_ref().map_or(0, |rope| rope.rotated)
    }

    /// The stored rows of rotated channels, in the order that backends rotate them in.
    fn order_of_rotated(&self, stored: Range<usize>) -> Vec<usize> {
        if !self.adjacent_pairs {
            return stored.collect();
        }
        stored.clone().step_by(2).chain(stored.skip(1).step_by(2)).collect()
    }
}

#[cfg(test)]
mod tests {
    use strait_ops::LinearTensors;

    use super::*;

    #[test]
    fn rows_are_taken_one_by_one_and_in_runs() {
        let all = LinearTensors {
            weight: (0..8).map(|value| value as f32).collect(),
            bias: Some(vec![0.0, 1.0, 2.0, 3.0]),
            outputs: 4,
            inputs: 2,
        };
        let taken = take(&all, [1..2, 0..1, 2..4]);
        assert_eq!(taken.weight, [2.0, 3.0, 0.0, 1.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(taken.bias.unwrap(), [1.0, 0.0, 2.0, 3.0]);
    }
}
