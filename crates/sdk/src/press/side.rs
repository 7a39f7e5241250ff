//! Side information of a layer: queries, attention that was observed, hidden states.

use std::borrow::Cow;

use strait_abi::press::{
    ATTENTION_COUNT, ATTENTION_SUM, HIDDEN_STATES, LayerRequest, OUTPUT_NORM, QUERIES, SideNeed,
    WINDOW_ATTENTION,
};

use super::{Head, Layer};
use crate::{Error, Result};

/// What a press wants to know beside keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// Queries before rope of the last tokens.
    Queries(usize),
    /// Queries before rope of every token.
    AllQueries,
    /// Attention that each entry has received, and from how many queries.
    AttentionSum,
    /// Attention of the last queries.
    WindowAttention(usize),
    /// Input of the layer's attention, of every token.
    HiddenStates,
    /// The 1-norm of what each value adds to the layer's output.
    OutputNorm,
}

impl Need {
    /// The needs as the boundary has them.
    pub(crate) fn encode(self) -> Vec<SideNeed> {
        let need = |name: &str, tokens| SideNeed { name: name.to_owned(), tokens };
        match self {
            Need::Queries(tokens) => vec![need(QUERIES, Some(tokens))],
            Need::AllQueries => vec![need(QUERIES, None)],
            Need::AttentionSum => vec![need(ATTENTION_SUM, None), need(ATTENTION_COUNT, None)],
            Need::WindowAttention(tokens) => vec![need(WINDOW_ATTENTION, Some(tokens))],
            Need::HiddenStates => vec![need(HIDDEN_STATES, None)],
            Need::OutputNorm => vec![need(OUTPUT_NORM, None)],
        }
    }
}

/// Queries before rope, `[heads, tokens, head_dim]`, of the last tokens.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    tokens: usize,
    first_position: usize,
    head_dim: usize,
    values: &'a [f32],
}

/// One array for each head, each as long as its kv head has entries (times a number of tokens).
#[derive(Clone, Debug, PartialEq)]
pub struct PerHead<'a> {
    tokens: usize,
    rows: Vec<Cow<'a, [f32]>>,
}

/// Everything that the host gave, checked against the layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Side<'a> {
    queries: Option<(usize, Cow<'a, [f32]>)>,
    attention_sum: Option<PerHead<'a>>,
    attention_count: Option<PerHead<'a>>,
    window_attention: Option<PerHead<'a>>,
    output_norm: Option<PerHead<'a>>,
    hidden_states: Option<(usize, Cow<'a, [f32]>)>,
}

impl Layer<'_> {
    /// Queries before rope.
    ///
    /// # Errors
    /// When the press has not asked for them with [`Need::Queries`].
    pub fn queries(&self) -> Result<Queries<'_>> {
        let (tokens, values) = self.side.queries.as_ref().ok_or_else(|| missing(QUERIES))?;
        Ok(Queries {
            tokens: *tokens,
            first_position: self.tokens_seen - tokens,
            head_dim: self.head_dim(),
            values,
        })
    }

    /// Attention that each entry has received, a row for each attention head.
    ///
    /// # Errors
    /// When the press has not asked for it with [`Need::AttentionSum`].
    pub fn attention_sum(&self) -> Result<&PerHead<'_>> {
        self.side.attention_sum.as_ref().ok_or_else(|| missing(ATTENTION_SUM))
    }

    /// From how many queries [`attention_sum`](Layer::attention_sum) is, a row for each kv head.
    ///
    /// # Errors
    /// When the press has not asked for it with [`Need::AttentionSum`].
    pub fn attention_count(&self) -> Result<&PerHead<'_>> {
        self.side.attention_count.as_ref().ok_or_else(|| missing(ATTENTION_COUNT))
    }

    /// Attention of the last queries, `[tokens, entries]` for each attention head.
    ///
    /// # Errors
    /// When the press has not asked for it with [`Need::WindowAttention`].
    pub fn window_attention(&self) -> Result<&PerHead<'_>> {
        self.side.window_attention.as_ref().ok_or_else(|| missing(WINDOW_ATTENTION))
    }

    /// The 1-norm of what each value adds to the output, a row for each attention head.
    ///
    /// # Errors
    /// When the press has not asked for it with [`Need::OutputNorm`].
    pub fn output_norm(&self) -> Result<&PerHead<'_>> {
        self.side.output_norm.as_ref().ok_or_else(|| missing(OUTPUT_NORM))
    }

    /// Input of the layer's attention: tokens, and `[tokens, hidden]`.
    ///
    /// # Errors
    /// When the press has not asked for it with [`Need::HiddenStates`].
    pub fn hidden_states(&self) -> Result<(usize, &[f32])> {
        let states = self.side.hidden_states.as_ref().ok_or_else(|| missing(HIDDEN_STATES))?;
        Ok((states.0, &states.1))
    }
}

fn missing(name: &str) -> Error {
    Error::new(format!("expected `{name}` from the host, found none; ask for it in `needs`"))
}

impl<'a> Queries<'a> {
    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Position of the first token.
    pub fn first_position(&self) -> usize {
        self.first_position
    }

    /// The queries of one attention head, one slice `[head_dim]` for each token.
    pub fn head(&self, head: usize) -> std::slice::ChunksExact<'a, f32> {
        let size = self.tokens * self.head_dim;
        self.values[head * size..][..size].chunks_exact(self.head_dim)
    }
}

impl<'a> PerHead<'a> {
    /// Tokens of each row; 1 where the array is not over tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The array of one head, `[tokens, entries]`.
    pub fn head(&self, head: usize) -> &[f32] {
        &self.rows[head]
    }

    /// Splits the rows of all heads, each of `tokens` times the entries of its kv head.
    fn split(
        name: &str,
        values: &'a [f32],
        tokens: usize,
        lengths: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let mut rest = values;
        let mut rows = Vec::new();
        for length in lengths {
            let wanted = length.checked_mul(tokens).filter(|wanted| *wanted <= rest.len());
            let Some((row, after)) = wanted.and_then(|wanted| rest.split_at_checked(wanted)) else {
                return Err(wrong_size(name, values.len()));
            };
            rows.push(Cow::Borrowed(row));
            rest = after;
        }
        if !rest.is_empty() {
            return Err(wrong_size(name, values.len()));
        }
        Ok(PerHead { tokens, rows })
    }

    /// The entries `from[head * kv_heads / heads]` of every row.
    fn part<'b>(&self, from: &[Vec<usize>]) -> PerHead<'b> {
        let group = (self.rows.len() / from.len()).max(1);
        let rows = self.rows.iter().enumerate().map(|(head, row)| {
            let length = row.len() / self.tokens.max(1);
            let rows = row.chunks_exact(length.max(1));
            rows.flat_map(|row| from[head / group].iter().map(|e| row[*e])).collect()
        });
        PerHead { tokens: self.tokens, rows: rows.collect() }
    }
}

fn wrong_size(name: &str, found: usize) -> Error {
    Error::new(format!("`{name}`: its {found} numbers do not fit the layer"))
}

impl<'a> Side<'a> {
    pub(super) fn new(request: &LayerRequest<'a>, kv_heads: &[Head<'_>]) -> Result<Self> {
        let group = request.heads / kv_heads.len();
        let lengths = |of_each: usize| {
            kv_heads.iter().flat_map(move |head| std::iter::repeat_n(head.len(), of_each))
        };
        let mut side = Side::default();
        for array in request.side.as_slice() {
            let (name, values) = (array.name.as_str(), array.values.as_slice());
            let per_head = |tokens, of_each| PerHead::split(name, values, tokens, lengths(of_each));
            match name {
                QUERIES => {
                    let expected = [request.heads, array.tokens, request.head_dim];
                    let expected = expected.iter().try_fold(1, |n: usize, x| n.checked_mul(*x));
                    if expected != Some(values.len()) || array.tokens > request.tokens_seen {
                        return Err(wrong_size(name, values.len()));
                    }
                    side.queries = Some((array.tokens, Cow::Borrowed(values)));
                }
                ATTENTION_SUM => side.attention_sum = Some(per_head(1, group)?),
                ATTENTION_COUNT => side.attention_count = Some(per_head(1, 1)?),
                WINDOW_ATTENTION => side.window_attention = Some(per_head(array.tokens, group)?),
                OUTPUT_NORM => side.output_norm = Some(per_head(1, group)?),
                HIDDEN_STATES => {
                    if values.len().checked_rem(array.tokens).unwrap_or(values.len()) != 0 {
                        return Err(wrong_size(name, values.len()));
                    }
                    side.hidden_states = Some((array.tokens, Cow::Borrowed(values)));
                }
                _ => {}
            }
        }
        Ok(side)
    }

    /// The side information of [`Layer::part`]. Attention that was observed stays as it was; queries
    /// and hidden states are those of the positions from `begin` to `end`.
    pub(super) fn part<'b>(
        &self,
        layer: &Layer<'_>,
        from: &[Vec<usize>],
        begin: usize,
        end: usize,
    ) -> Side<'b> {
        let per_head = |array: &Option<PerHead<'_>>| array.as_ref().map(|array| array.part(from));
        let over_tokens = |array: &Option<(usize, Cow<'_, [f32]>)>, heads: usize| {
            array.as_ref().map(|(tokens, values)| {
                let first = layer.tokens_seen - (*tokens).min(layer.tokens_seen);
                let (low, high) =
                    (begin.clamp(first, first + tokens), end.clamp(first, first + tokens));
                let size = values.len().checked_div(heads * tokens).unwrap_or(0);
                let rows = (0..heads).flat_map(|head| {
                    let row = head * tokens;
                    &values[(row + low - first) * size..(row + high.max(low) - first) * size]
                });
                (high.max(low) - low, rows.copied().collect())
            })
        };
        Side {
            queries: over_tokens(&self.queries, layer.query_heads),
            attention_sum: per_head(&self.attention_sum),
            attention_count: per_head(&self.attention_count),
            window_attention: per_head(&self.window_attention),
            output_norm: per_head(&self.output_norm),
            hidden_states: over_tokens(&self.hidden_states, 1),
        }
    }
}
