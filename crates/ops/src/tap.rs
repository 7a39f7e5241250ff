//! Sites, the named places in a layer where bytes can move, and taps, which read or replace the
//! tensors there.

use std::error::Error;

use crate::hidden::Hidden;

/// A named place in every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    /// The hidden states that leave the layer. They cross a link where the model is cut.
    LayerOutput,
    /// What the attention block adds to the residual stream, after its output norm. A tap that names a
    /// [degree](Tap::degree) gets the partial sums of the last projection instead, before that norm.
    AttentionOutput,
    /// What the MLP block adds to the residual stream, with partial sums as for `AttentionOutput`.
    MlpOutput,
    /// The inputs of every expert of a mixture: one row for each of its tokens, after the block's
    /// norm. A shared expert is not among them: every token reads it, so it is wherever tokens are.
    ExpertDispatch,
    /// The outputs of every expert, each row times its token's share.
    ExpertCombine,
    /// Keys of the run's tokens, `[batch, tokens, kv_heads * head_dim]`, as attention or a cache reads
    /// them: RoPE-rotated, unless they go to a cache that keeps them unrotated.
    Keys,
    /// Values of the run's tokens, `[batch, tokens, kv_heads * value_dim]`.
    Values,
}

impl Site {
    /// Every site.
    pub const ALL: [Site; 7] = [
        Site::LayerOutput,
        Site::AttentionOutput,
        Site::MlpOutput,
        Site::ExpertDispatch,
        Site::ExpertCombine,
        Site::Keys,
        Site::Values,
    ];

    /// The site's name, such as `attention-output`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Site::LayerOutput => "layer-output",
            Site::AttentionOutput => "attention-output",
            Site::MlpOutput => "mlp-output",
            Site::ExpertDispatch => "expert-dispatch",
            Site::ExpertCombine => "expert-combine",
            Site::Keys => "keys",
            Site::Values => "values",
        }
    }
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a tap is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The site.
    pub site: Site,
    /// Number of the layer in the model.
    pub layer: usize,
    /// Position of the run's first token.
    pub first_position: usize,
}

/// A tensor at a site, or the part of it that belongs to one rank or one expert.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// `[batch, tokens, channels]` in the model's dtype; a partial sum is in f32. For an expert, the
    /// rows of its tokens: `[1, rows, channels]`.
    pub states: Hidden,
    /// For an expert, the token of every row, as `sequence * tokens + token`. `None` where every token
    /// has its own row.
    pub tokens: Option<Vec<usize>>,
}

/// Reads or replaces the tensors at some sites.
///
/// # Examples
///
/// ```
/// use std::error::Error;
/// use strait_ops::{Part, Place, Site, Tap};
///
/// /// Erases the values of layer 3.
/// struct NoValues;
///
/// impl Tap for NoValues {
///     fn wants(&self, site: Site, layer: usize) -> bool {
///         site == Site::Values && layer == 3
///     }
///
///     fn visit(
///         &mut self,
///         _: Place,
///         parts: &mut Vec<Part>,
///     ) -> Result<(), Box<dyn Error + Send + Sync>> {
///         for part in parts {
///             part.states.data.fill(0);
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Tap: Send {
    /// Whether the tap is called at this site of this layer. A site that is not wanted costs nothing.
    fn wants(&self, site: Site, layer: usize) -> bool;

    /// The degree of tensor parallelism: with one, attention heads and MLP channels are split evenly
    /// among that many ranks, and the outputs of the blocks come as the ranks' partial sums. Rank 0
    /// adds the bias. Experts are split like any other MLP; while they are, their inputs and outputs
    /// are not shown separately.
    fn degree(&self) -> Option<usize> {
        None
    }

    /// Whether the tap also needs positions that are not scored. The last layer otherwise leaves them
    /// out, and they hold anything finite.
    fn every_position(&self) -> bool {
        true
    }

    /// Called with the tensor at a site: one part per rank or per expert, in order, or a single part.
    /// The model continues with what the tap leaves in `parts`:
    ///
    /// - for partial sums, any number of parts, which are added up in f32 in their order;
    /// - for [`Site::ExpertCombine`], any number of parts with their tokens: every token adds up its
    ///   rows in the order of the parts;
    /// - elsewhere, the same parts in the same shapes, with values changed or unchanged.
    ///
    /// # Errors
    /// Whatever the tap reports; it ends the run of tokens.
    fn visit(
        &mut self,
        place: Place,
        parts: &mut Vec<Part>,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}
