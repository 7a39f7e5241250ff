//! Lists the tensors that a model reads, before any of them is read.

use std::collections::HashSet;

use strait_ops::NormKind;
use strait_weights::{Checkpoint, Reading};

use crate::config::unread::unread_keys;
use crate::config::{Experts, HeadNorm, LatentConfig, LayerConfig, ModelConfig};
use crate::error::ModelError;
use crate::names::{LatentNames, Network, Projections, Up};

impl ModelConfig {
    /// Rejects a checkpoint that lacks a tensor of the model or has one of another shape, and one that contains
    /// more than the model reads: a tensor, or a key that changes the arithmetic. Whatever the patterns
    /// `ignore` match may go unread.
    ///
    /// # Errors
    /// The first tensor that does not fit, or everything that goes unread.
    pub fn check(&self, checkpoint: &Checkpoint, ignore: &[String]) -> Result<(), ModelError> {
        let mut tensors = HashSet::new();
        let contains = |name: &str| checkpoint.info(name).is_some();
        self.each_tensor(&contains, &mut |name, shape| {
            let Some(info) = checkpoint.info(&name) else {
                // Requested so that the message contains the nearest name.
                return checkpoint.tensor(&name).map(drop).map_err(ModelError::from);
            };
            if info.shape != shape {
                let (expected, found) = (shape.to_vec(), info.shape.clone());
                return Err(ModelError::TensorShape { name, expected, found });
            }
            tensors.insert(name);
            Ok(())
        })?;
        let keys = unread_keys(checkpoint.config(), self.model_type);
        let reading = Reading { tensors, layers: self.layers, further: self.further, keys };
        Ok(checkpoint.check_unread(&reading, ignore)?)
    }

    /// Calls `visit` with name and stored shape of each tensor that the model reads from a checkpoint;
    /// `contains` tells which tensors that has.
    ///
    /// # Errors
    /// The first error of `visit`, which ends the walk: counts in a configuration may be larger than any
    /// checkpoint.
    pub fn each_tensor(
        &self,
        contains: &dyn Fn(&str) -> bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), ModelError> {
        let prefix = self.names.prefix(contains);
        let mut tensors = Walk { config: self, prefix, visit };
        tensors.tables(contains)?;
        (0..self.layers).try_for_each(|number| tensors.layer(number))
    }
}

/// Receives the name and stored shape of a tensor.
type Visit<'a> = dyn FnMut(String, &[usize]) -> Result<(), ModelError> + 'a;

/// A walk over all tensors.
struct Walk<'a> {
    config: &'a ModelConfig,
    prefix: &'static str,
    visit: &'a mut Visit<'a>,
}

impl Walk<'_> {
    /// Visits embedding, learned positions, final norm and head.
    fn tables(&mut self, contains: &dyn Fn(&str) -> bool) -> Result<(), ModelError> {
        let (names, hidden) = (self.config.names, self.config.shape.hidden);
        let table = [self.config.shape.vocab, hidden];
        let embedding = format!("{}{}.weight", self.prefix, names.embedding);
        let heads = names.head.iter().map(|name| format!("{name}.weight"));
        let head = heads.clone().find(|name| contains(name));
        // A tied head may be stored too, or may be the only one stored.
        let only_head = self.config.tied_head && head.is_some() && !contains(&embedding);
        if !only_head {
            (self.visit)(embedding, &table)?;
        }
        if let Some(head) = head.or_else(|| heads.clone().next().filter(|_| !self.config.tied_head))
        {
            if self.config.head_bias {
                (self.visit)(head.replace(".weight", ".bias"), &table[..1])?;
            }
            (self.visit)(head, &table)?;
        }
        if let Some(rows) = self.config.positions {
            let rows = rows + self.config.skipped_positions;
            (self.visit)(format!("{}{}.weight", self.prefix, names.positions), &[rows, hidden])?;
        }
        self.norm(format!("{}{}", self.prefix, names.final_norm), hidden)
    }

    fn layer(&mut self, number: usize) -> Result<(), ModelError> {
        let config = self.config;
        let (names, hidden) = (config.names, config.shape.hidden);
        let Some(layer) = config.blocks.get(number) else { return Ok(()) };
        let at = format!("{}{}{number}.", self.prefix, names.layer);
        for norm in names.layer_norms() {
            self.norm(format!("{at}{norm}"), hidden)?;
        }
        self.attention(&at, layer)?;
        let mlp = &layer.mlp;
        match mlp.experts {
            None => self.network(&at, names.network, mlp.inner, mlp.bias),
            Some(Experts { count, correction, shared, .. }) => {
                self.linear(format!("{at}{}", names.router), [count, hidden], false)?;
                if correction {
                    let shape = names.correction.shape(count);
                    (self.visit)(format!("{at}{}", names.correction.name), &shape)?;
                }
                if let Some(shared) = shared {
                    self.network(&at, names.shared, shared.inner, mlp.bias)?;
                    if shared.gate {
                        self.linear(format!("{at}{}", names.shared_gate), [1, hidden], false)?;
                    }
                }
                (0..count).try_for_each(|expert| {
                    let at = format!("{at}{}{expert}.", names.experts);
                    self.network(&at, names.expert, mlp.inner, mlp.bias)
                })
            }
        }
    }

    fn attention(&mut self, at: &str, layer: &LayerConfig) -> Result<(), ModelError> {
        let (names, hidden) = (self.config.names, self.config.shape.hidden);
        let shape = &layer.attention;
        let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let values = shape.kv_heads * shape.value_dim;
        let bias = layer.qkv_bias;
        match names.projections {
            _ if layer.latent.is_some() => self.latent(at, layer, names.latent)?,
            Projections::Apart { query, key, value } => {
                self.linear(format!("{at}{query}"), [queries, hidden], bias)?;
                self.linear(format!("{at}{key}"), [keys, hidden], bias)?;
                self.linear(format!("{at}{value}"), [values, hidden], bias)?;
            }
            Projections::Stacked(name) => {
                self.linear(format!("{at}{name}"), [queries + keys + values, hidden], bias)?;
            }
            Projections::ByHead(name) => {
                self.linear(format!("{at}{name}"), [3 * queries, hidden], bias)?;
            }
        }
        let context = shape.heads * shape.value_dim;
        self.linear(format!("{at}{}", names.output), [hidden, context], layer.output_bias)?;
        let of_heads = |all: usize| match layer.head_norm {
            Some(HeadNorm::All) => all,
            _ => shape.head_dim,
        };
        if layer.head_norm.is_some() {
            self.norm(format!("{at}{}", names.query_norm), of_heads(queries))?;
            self.norm(format!("{at}{}", names.key_norm), of_heads(keys))?;
        }
        Ok(())
    }

    fn latent(
        &mut self,
        at: &str,
        layer: &LayerConfig,
        names: LatentNames,
    ) -> Result<(), ModelError> {
        let (shape, hidden, bias) = (&layer.attention, self.config.shape.hidden, layer.qkv_bias);
        let Some(LatentConfig { query_rank, rank, shared }) = layer.latent else { return Ok(()) };
        let queries = shape.heads * shape.head_dim;
        match query_rank {
            None => self.linear(format!("{at}{}", names.query), [queries, hidden], false)?,
            Some(rank) => {
                self.linear(format!("{at}{}", names.query_down), [rank, hidden], bias)?;
                self.norm(format!("{at}{}", names.query_norm), rank)?;
                self.linear(format!("{at}{}", names.query_up), [queries, rank], false)?;
            }
        }
        self.linear(format!("{at}{}", names.down), [rank + shared, hidden], bias)?;
        self.norm(format!("{at}{}", names.norm), rank)?;
        let up = shape.heads * (shape.head_dim - shared + shape.value_dim);
        self.linear(format!("{at}{}", names.up), [up, rank], false)
    }

    fn network(
        &mut self,
        at: &str,
        network: Network,
        inner: usize,
        bias: bool,
    ) -> Result<(), ModelError> {
        let hidden = self.config.shape.hidden;
        match network.up {
            Up::Plain(up) => self.linear(format!("{at}{up}"), [inner, hidden], bias)?,
            Up::Gated { gate, up } => {
                self.linear(format!("{at}{gate}"), [inner, hidden], bias)?;
                self.linear(format!("{at}{up}"), [inner, hidden], bias)?;
            }
            Up::Stacked(name) => self.linear(format!("{at}{name}"), [2 * inner, hidden], bias)?,
        }
        self.linear(format!("{at}{}", network.down), [hidden, inner], bias)
    }

    /// Visits a linear layer `[outputs, inputs]`.
    fn linear(
        &mut self,
        name: String,
        [outputs, inputs]: [usize; 2],
        bias: bool,
    ) -> Result<(), ModelError> {
        let stored =
            if self.config.names.transposed { [inputs, outputs] } else { [outputs, inputs] };
        (self.visit)(format!("{name}.weight"), &stored)?;
        if bias { (self.visit)(format!("{name}.bias"), &[outputs]) } else { Ok(()) }
    }

    fn norm(&mut self, name: String, channels: usize) -> Result<(), ModelError> {
        (self.visit)(format!("{name}.weight"), &[channels])?;
        match self.config.shape.norm.kind {
            NormKind::Layer => (self.visit)(format!("{name}.bias"), &[channels]),
            _ => Ok(()),
        }
    }
}
