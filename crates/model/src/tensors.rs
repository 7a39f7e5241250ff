//! A model's tensors by their purpose; names, fused and transposed layouts are resolved here.

use std::iter::once;
use std::ops::Range;

use strait_ops::{
    AttentionTensors, FeedForwardTensors, HeadNorms, LinearTensors, MlpTensors, NormKind,
    NormTensors, Shared,
};

use crate::config::{Experts, HeadNorm, LayerConfig, ModelConfig, SharedExpert};
use crate::error::ModelError;
use crate::names::{Names, Network, Up};
use crate::source::{SourceTensor, TensorSource, read};

mod projections;

/// Which network of an MLP block.
#[derive(Clone, Copy)]
enum Role {
    /// The only one.
    Dense,
    /// That of an expert.
    Expert(usize),
    /// That of the expert that all tokens share, with this many channels.
    Shared(usize),
}

/// Reads the tensors of one model.
pub(crate) struct Tensors<'a> {
    source: &'a dyn TensorSource,
    config: &'a ModelConfig,
    names: Names,
    prefix: &'static str,
}

impl<'a> Tensors<'a> {
    pub(crate) fn new(source: &'a dyn TensorSource, config: &'a ModelConfig) -> Tensors<'a> {
        let names = config.names;
        let prefix = names.prefix(|name| source.contains(name));
        Tensors { source, config, names, prefix }
    }

    /// Whether the head is the embedding. A checkpoint whose configuration says so may still store
    /// a separate head.
    ///
    /// # Errors
    /// When embedding or head cannot be read.
    pub(crate) fn tied_head(&self) -> Result<bool, ModelError> {
        let embedding = format!("{}{}.weight", self.prefix, self.names.embedding);
        let head = self.head_name();
        if !self.config.tied_head || !self.source.contains(&head) {
            return Ok(self.config.tied_head);
        }
        if !self.source.contains(&embedding) {
            return Ok(true);
        }
        let shape = self.table_shape();
        Ok(read(self.source, &embedding, &shape)? == read(self.source, &head, &shape)?)
    }

    pub(crate) fn embedding(&self) -> Result<Vec<f32>, ModelError> {
        let name = format!("{}{}.weight", self.prefix, self.names.embedding);
        let head = self.head_name();
        let only_head =
            self.config.tied_head && !self.source.contains(&name) && self.source.contains(&head);
        read(self.source, if only_head { &head } else { &name }, &self.table_shape())
    }

    pub(crate) fn head(&self) -> Result<Vec<f32>, ModelError> {
        read(self.source, &self.head_name(), &self.table_shape())
    }

    /// The bias of the logits, if there is one.
    pub(crate) fn head_bias(&self) -> Result<Option<Vec<f32>>, ModelError> {
        let name = self.head_name().replace(".weight", ".bias");
        let shape = [self.config.shape.vocab];
        self.config.head_bias.then(|| read(self.source, &name, &shape)).transpose()
    }

    /// The table of learned positions, if there is one.
    pub(crate) fn positions(&self) -> Result<Option<Vec<f32>>, ModelError> {
        let name = format!("{}{}.weight", self.prefix, self.names.positions);
        let (skipped, hidden) = (self.config.skipped_positions, self.config.shape.hidden);
        let rows = |rows| read(self.source, &name, &[rows + skipped, hidden]);
        let table = self.config.positions.map(rows).transpose()?;
        Ok(table.map(|table| table[skipped * hidden..].to_vec()))
    }

    pub(crate) fn final_norm(&self) -> Result<NormTensors, ModelError> {
        let name = format!("{}{}", self.prefix, self.names.final_norm);
        let mut norm = self.norm(&name, self.config.shape.hidden)?;
        let divisor = self.config.folded.logits;
        if divisor != 1.0 {
            let values = norm.weight.iter_mut().chain(norm.bias.iter_mut().flatten());
            values.for_each(|value| *value /= divisor as f32);
        }
        Ok(norm)
    }

    /// The attention block of layer `number`.
    pub(crate) fn attention(&self, number: usize) -> Result<AttentionTensors, ModelError> {
        let (layer, names) = (self.layer(number)?, self.names);
        let shape = layer.attention.clone();
        let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let values = shape.heads * shape.value_dim;
        let projections = self.projections(number, layer)?;
        let of_heads = |all: usize| match layer.head_norm {
            Some(HeadNorm::All) => all,
            _ => shape.head_dim,
        };
        let head_norms = match layer.head_norm {
            None => None,
            Some(_) => Some(HeadNorms {
                query: self.norm(&self.name(number, names.query_norm), of_heads(queries))?,
                key: self.norm(&self.name(number, names.key_norm), of_heads(keys))?,
            }),
        };
        Ok(AttentionTensors {
            norm_in: self.layer_norm(number, names.attention_in)?,
            projections,
            head_norms,
            output: self.last(number, names.output, values, layer.output_bias)?,
            norm_out: self.layer_norm(number, names.attention_out)?,
            shape,
        })
    }

    /// The MLP block of layer `number`. Each network is passed to `prepare` before the next is
    /// read.
    pub(crate) fn mlp<F>(
        &self,
        number: usize,
        mut prepare: impl FnMut(FeedForwardTensors) -> F,
    ) -> Result<MlpTensors<F>, ModelError> {
        let network = match self.layer(number)?.mlp.experts {
            None => strait_ops::Network::Dense(prepare(self.network(number, Role::Dense)?)),
            Some(Experts { count, routing, correction, shared }) => {
                let experts = (0..count)
                    .map(|expert| Ok(prepare(self.network(number, Role::Expert(expert))?)));
                let experts = experts.collect::<Result<_, ModelError>>()?;
                let router = self.router(number, count)?;
                let correction = correction.then(|| self.correction(number, count)).transpose()?;
                let shared = match shared {
                    None => None,
                    Some(SharedExpert { inner, gate }) => Some(Box::new(Shared {
                        network: prepare(self.network(number, Role::Shared(inner))?),
                        gate: gate.then(|| self.shared_gate(number)).transpose()?,
                    })),
                };
                strait_ops::Network::Experts { router, routing, correction, experts, shared }
            }
        };
        let norms = [self.names.mlp_in, self.names.mlp_out];
        let [norm_in, norm_out] = norms.map(|name| self.layer_norm(number, name));
        Ok(MlpTensors { norm_in: norm_in?, network, norm_out: norm_out? })
    }

    /// A network of the MLP of layer `number`.
    fn network(&self, number: usize, role: Role) -> Result<FeedForwardTensors, ModelError> {
        let (layer, names, hidden) = (self.layer(number)?, self.names, self.config.shape.hidden);
        let (mut inner, bias) = (layer.mlp.inner, layer.mlp.bias);
        let (Network { up, down }, prefix) = match role {
            Role::Dense => (names.network, String::new()),
            Role::Expert(expert) => (names.expert, format!("{}{expert}.", names.experts)),
            Role::Shared(own) => {
                inner = own;
                (names.shared, String::new())
            }
        };
        let linear = |name: &str, outputs: usize, inputs: usize| {
            self.linear(number, &format!("{prefix}{name}"), outputs, inputs, bias)
        };
        let (gate, up) = match up {
            Up::Plain(up) => (None, linear(up, inner, hidden)?),
            Up::Gated { gate, up } => {
                (Some(linear(gate, inner, hidden)?), linear(up, inner, hidden)?)
            }
            Up::Stacked(name) => {
                let both = linear(name, 2 * inner, hidden)?;
                (Some(take(&both, once(0..inner))), take(&both, once(inner..2 * inner)))
            }
        };
        let down = self.last(number, &format!("{prefix}{down}"), inner, bias)?;
        Ok(FeedForwardTensors { activation: layer.mlp.activation, gate, up, down })
    }

    /// The router of layer `number`, for `experts` experts.
    fn router(&self, number: usize, experts: usize) -> Result<LinearTensors, ModelError> {
        self.stored_linear(number, self.names.router, experts, self.config.shape.hidden, false)
    }

    /// What is added to the scores of `experts` experts for the choice.
    fn correction(&self, number: usize, experts: usize) -> Result<Vec<f32>, ModelError> {
        let stored = self.names.correction;
        read(self.source, &self.name(number, stored.name), &stored.shape(experts))
    }

    /// The gate of the expert that all tokens share.
    fn shared_gate(&self, number: usize) -> Result<LinearTensors, ModelError> {
        self.linear(number, self.names.shared_gate, 1, self.config.shape.hidden, false)
    }

    /// The description of layer `number`.
    ///
    /// # Errors
    /// When the model has fewer layers.
    pub(crate) fn layer(&self, number: usize) -> Result<&'a LayerConfig, ModelError> {
        let layers = self.config.layers;
        let last = layers.saturating_sub(1);
        let missing = ModelError::CutPastEnd { cut: number, last, layers };
        self.config.blocks.get(number).ok_or(missing)
    }

    fn name(&self, number: usize, name: &str) -> String {
        format!("{}{}{number}.{name}", self.prefix, self.names.layer)
    }

    fn head_name(&self) -> String {
        let names = self.names.head.iter().map(|name| format!("{name}.weight"));
        let first = names.clone().next().unwrap_or_default();
        names.into_iter().find(|name| self.source.contains(name)).unwrap_or(first)
    }

    fn table_shape(&self) -> [usize; 2] {
        [self.config.shape.vocab, self.config.shape.hidden]
    }

    fn layer_norm(
        &self,
        number: usize,
        name: Option<&str>,
    ) -> Result<Option<NormTensors>, ModelError> {
        let hidden = self.config.shape.hidden;
        name.map(|name| self.norm(&self.name(number, name), hidden)).transpose()
    }

    fn norm(&self, name: &str, channels: usize) -> Result<NormTensors, ModelError> {
        let vector = |part: &str| read(self.source, &format!("{name}.{part}"), &[channels]);
        let bias = match self.config.shape.norm.kind {
            NormKind::Layer => Some(vector("bias")?),
            _ => None,
        };
        let mut weight = vector("weight")?;
        let added = self.config.folded.norms;
        if added != 0.0 {
            weight.iter_mut().for_each(|weight| *weight += added as f32);
        }
        Ok(NormTensors { weight, bias, eps: None })
    }

    /// The last projection of a block, to the stream.
    fn last(
        &self,
        number: usize,
        name: &str,
        inputs: usize,
        bias: bool,
    ) -> Result<LinearTensors, ModelError> {
        let mut linear = self.linear(number, name, self.config.shape.hidden, inputs, bias)?;
        let factor = self.config.folded.blocks;
        if factor != 1.0 {
            let values = linear.weight.iter_mut().chain(linear.bias.iter_mut().flatten());
            values.for_each(|value| *value *= factor as f32);
        }
        Ok(linear)
    }

    fn linear(
        &self,
        number: usize,
        name: &str,
        outputs: usize,
        inputs: usize,
        bias: bool,
    ) -> Result<LinearTensors, ModelError> {
        let mut linear = self.stored_linear(number, name, outputs, inputs, bias)?;
        let data = std::mem::take(&mut linear.weight);
        let mut weight = SourceTensor { shape: vec![outputs, inputs], data };
        self.source.finish_linear(&mut weight).map_err(|source| ModelError::Tensor {
            name: format!("{}.weight", self.name(number, name)),
            source,
        })?;
        linear.weight = weight.data;
        Ok(linear)
    }

    fn stored_linear(
        &self,
        number: usize,
        name: &str,
        outputs: usize,
        inputs: usize,
        bias: bool,
    ) -> Result<LinearTensors, ModelError> {
        let name = self.name(number, name);
        let weight = format!("{name}.weight");
        let weight = if self.names.transposed {
            transpose(&read(self.source, &weight, &[inputs, outputs])?, outputs)
        } else {
            read(self.source, &weight, &[outputs, inputs])?
        };
        let bias =
            if bias { Some(read(self.source, &format!("{name}.bias"), &[outputs])?) } else { None };
        Ok(LinearTensors { weight, bias, outputs, inputs })
    }
}

/// Selects rows of a matrix, with their biases.
fn take(all: &LinearTensors, rows: impl IntoIterator<Item = Range<usize>>) -> LinearTensors {
    let (mut weight, mut bias) = (Vec::new(), all.bias.as_ref().map(|_| Vec::new()));
    for rows in rows {
        weight.extend_from_slice(&all.weight[rows.start * all.inputs..rows.end * all.inputs]);
        if let (Some(bias), Some(all)) = (&mut bias, &all.bias) {
            bias.extend_from_slice(&all[rows]);
        }
    }
    LinearTensors { outputs: weight.len() / all.inputs.max(1), weight, bias, inputs: all.inputs }
}

/// Transposes `[inputs, outputs]` to `[outputs, inputs]`.
fn transpose(weight: &[f32], outputs: usize) -> Vec<f32> {
    (0..outputs).flat_map(|output| weight.iter().skip(output).step_by(outputs).copied()).collect()
}
