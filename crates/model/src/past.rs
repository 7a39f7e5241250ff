//! Runs of tokens that attend to a cache: prefill, changes to the cache, and the tokens that
//! follow.

use std::any::Any;
use std::error::Error;

use strait_ops::{
    AttentionShape, CacheContents, Hidden, Ops, OpsError, Past, ProbeRequest, ProbeResult,
};

use crate::decoder::{Decoder, Layer};
use crate::error::ModelError;
use crate::stage::CachedRun;

/// The caches of a stage: one for every layer and every sequence of a batch.
pub struct StageCaches {
    /// The backend's `Vec<Vec<O::Cache>>`, by layer and sequence.
    pub(crate) inner: Box<dyn Any + Send>,
    pub(crate) sequences: usize,
}

impl std::fmt::Debug for StageCaches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StageCaches {{ sequences: {} }}", self.sequences)
    }
}

/// Visits every layer's cache once a run of tokens has been through the layer.
pub trait CacheVisitor {
    /// Whether this layer's visit may [`probe`](CachedLayer::probe) or read
    /// [`hidden`](CachedLayer::hidden), which keeps the layer's input until then.
    fn probes(&self, layer: usize) -> bool;

    /// Inspects, and may change, what one layer keeps of one sequence.
    ///
    /// # Errors
    /// Whatever a press or codec reports; it ends the run of tokens.
    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// One layer's cache of one sequence, just after a run of tokens was added to it.
pub trait CachedLayer {
    /// Number of the layer in the model.
    fn number(&self) -> usize;
    /// Index of the sequence in the batch.
    fn sequence(&self) -> usize;
    /// The attention block.
    fn shape(&self) -> &AttentionShape;
    /// Positions of the run's tokens.
    fn positions(&self) -> std::ops::Range<usize>;
    /// What the cache holds.
    ///
    /// # Errors
    /// When the device fails.
    fn contents(&self) -> Result<CacheContents, ModelError>;
    /// Replaces what the cache holds.
    ///
    /// # Errors
    /// When the contents do not fit the block.
    fn replace(&mut self, contents: CacheContents) -> Result<(), ModelError>;
    /// Probes the attention of the run's tokens.
    ///
    /// # Errors
    /// When the visitor did not say that it probes, or the device fails.
    fn probe(&mut self, request: &ProbeRequest) -> Result<ProbeResult, ModelError>;
    /// The layer's input, `[1, tokens, hidden]`.
    ///
    /// # Errors
    /// When the visitor did not say that it probes, or the device fails.
    fn hidden(&mut self) -> Result<Hidden, ModelError>;
}

struct Cached<'a, O: Ops> {
    ops: &'a mut O,
    number: usize,
    sequence: usize,
    layer: &'a Layer<O>,
    shape: &'a AttentionShape,
    cache: &'a mut O::Cache,
    input: Option<&'a O::Stream>,
    positions: std::ops::Range<usize>,
}

impl<'a, O: Ops> Cached<'a, O> {
    /// The layer's input, which does not borrow `self`, so that `ops` can be used along with it.
    fn input(&self) -> Result<&'a O::Stream, ModelError> {
        self.input.ok_or(ModelError::NoLook { layer: self.number })
    }
}

impl<O: Ops> CachedLayer for Cached<'_, O> {
    fn number(&self) -> usize {
        self.number
    }

    fn sequence(&self) -> usize {
        self.sequence
    }

    fn shape(&self) -> &AttentionShape {
        self.shape
    }

    fn positions(&self) -> std::ops::Range<usize> {
        self.positions.clone()
    }

    fn contents(&self) -> Result<CacheContents, ModelError> {
        Ok(self.ops.cache_contents(self.cache)?)
    }

    fn replace(&mut self, contents: CacheContents) -> Result<(), ModelError> {
        fits(self.shape, &contents)?;
        self.ops.set_cache(self.cache, contents);
        Ok(())
    }

    fn probe(&mut self, request: &ProbeRequest) -> Result<ProbeResult, ModelError> {
        let tokens = self.positions.len();
        if request.rows.end > tokens || request.rows.start > request.rows.end {
            let expected = format!("rows of {tokens} tokens");
            return Err(OpsError::size("probe", expected, format!("{:?}", request.rows)).into());
        }
        let input = self.input()?;
        let past = (&*self.cache, self.positions.start);
        Ok(self.ops.probe(input, self.sequence, &self.layer.attention, past, request)?)
    }

    fn hidden(&mut self) -> Result<Hidden, ModelError> {
        let input = self.ops.copy(self.input()?);
        let all = self.ops.download(input)?;
        let mut own = Hidden::zeros(1, all.tokens, all.channels, all.dtype);
        own.data.copy_from_slice(all.sequence(self.sequence));
        Ok(own)
    }
}

/// Checks that contents fit a block.
pub(crate) fn fits(shape: &AttentionShape, contents: &CacheContents) -> Result<(), ModelError> {
    let AttentionShape { kv_heads, head_dim, value_dim, .. } = *shape;
    if contents.heads.len() != kv_heads {
        return Err(OpsError::size("cache, key heads", kv_heads, contents.heads.len()).into());
    }
    if let Some(head) = contents.heads.iter().position(|head| !head.fits(head_dim, value_dim)) {
        let expected =
            format!("rising positions with keys of {head_dim} and values of {value_dim} channels");
        return Err(OpsError::size("cache", expected, format!("others in key head {head}")).into());
    }
    Ok(())
}

impl<O: Ops> Decoder<O> {
    pub(crate) fn new_caches(&self, sequences: usize, rotated: bool) -> StageCaches {
        let of = |layer: usize| -> Vec<O::Cache> {
            let shape = &self.config.blocks[layer].attention;
            (0..sequences).map(|_| self.ops.open_cache(shape, rotated)).collect()
        };
        let caches: Vec<Vec<O::Cache>> = self.range.clone().map(of).collect();
        StageCaches { inner: Box::new(caches), sequences }
    }

    /// Replaces what a layer, given by its number in the model, keeps of one sequence.
    pub(crate) fn set_contents(
        &mut self,
        caches: &mut StageCaches,
        layer: usize,
        sequence: usize,
        contents: CacheContents,
    ) -> Result<(), ModelError> {
        let caches = caches.inner.downcast_mut::<Vec<Vec<O::Cache>>>();
        let layers = layer.checked_sub(self.range.start).zip(caches);
        let cache = layers.and_then(|(layer, caches)| caches.get_mut(layer)?.get_mut(sequence));
        let cache = cache.ok_or(ModelError::ForeignCaches)?;
        fits(&self.config.blocks[layer].attention, &contents)?;
        self.ops.set_cache(cache, contents);
        Ok(())
    }

    /// The caches of this stage's layers, for `batch` sequences of `tokens` tokens.
    pub(crate) fn caches_of<'a>(
        &self,
        run: CachedRun<'a>,
        batch: usize,
        tokens: usize,
    ) -> Result<LayerCaches<'a, O>, ModelError> {
        let CachedRun { caches: StageCaches { inner, sequences }, first_position, visitor } = run;
        let caches = inner.downcast_mut::<Vec<Vec<O::Cache>>>();
        let caches = caches.filter(|caches| caches.len() == self.range.len());
        let caches = caches.ok_or(ModelError::ForeignCaches)?;
        if batch != *sequences {
            return Err(OpsError::size("caches", batch, *sequences).into());
        }
        Ok(LayerCaches { caches, first_position, tokens, visitor })
    }
}

/// The caches of a stage while a run passes from layer to layer.
pub(crate) struct LayerCaches<'a, O: Ops> {
    /// Caches by layer of the stage and sequence.
    caches: &'a mut [Vec<O::Cache>],
    pub(crate) first_position: usize,
    tokens: usize,
    visitor: Option<&'a mut dyn CacheVisitor>,
}

impl<O: Ops> LayerCaches<'_, O> {
    /// Whether the visitor may probe layer `number` of the model.
    pub(crate) fn probes(&self, number: usize) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| visitor.probes(number))
    }

    /// What layer `index` of the stage attends to.
    pub(crate) fn past(&mut self, index: usize) -> Past<'_, O::Cache> {
        Past { caches: &mut self.caches[index], first_position: self.first_position }
    }

    /// Shows the visitor what layer `number` of the model, `index` of the stage, keeps of every
    /// sequence.
    pub(crate) fn visit(
        &mut self,
        (number, index): (usize, usize),
        ops: &mut O,
        (layer, shape): (&Layer<O>, &AttentionShape),
        input: Option<&O::Stream>,
    ) -> Result<(), ModelError> {
        let Some(visitor) = &mut self.visitor else { return Ok(()) };
        let positions = self.first_position..self.first_position + self.tokens;
        for (sequence, cache) in self.caches[index].iter_mut().enumerate() {
            let positions = positions.clone();
            let mut cached =
                Cached { ops, number, sequence, layer, shape, cache, input, positions };
            visitor.visit(&mut cached).map_err(ModelError::Visit)?;
        }
        Ok(())
    }
}
