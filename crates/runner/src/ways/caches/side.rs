//! Side information of presses: what they request, and the probes of the model that provide it.

use strait_loader::{
    ATTENTION_COUNT, ATTENTION_SUM, HIDDEN_STATES, OUTPUT_NORM, PressInstance, QUERIES, SideNeed,
    SideRef, WINDOW_ATTENTION,
};
use strait_model::{AttentionShape, CachedLayer, ProbeRequest};

use super::ledger::{EntryCost, LayerLedger, TokenRows};

/// The union of what presses request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Number of last tokens whose queries are requested.
    queries: usize,
    /// Number of last queries whose attention is requested.
    window: usize,
    /// Whether the attention received by every entry is requested.
    sums: bool,
    /// Number of last tokens for which the attention block's input after its norm is requested.
    states: usize,
    /// Whether the 1-norm of what every value adds to the block's output is requested.
    outputs: bool,
}

/// What probes of a layer found in a run of tokens.
#[derive(Debug, Default)]
pub(crate) struct SideInformation {
    /// Queries of every query head, `[tokens, head_dim]`.
    queries: TokenRows,
    /// Attention of the last queries of every query head, `[rows, entries]`.
    window: TokenRows,
    /// Attention that the run's queries pay to each entry, `[entries]` for every query head.
    sums: Vec<Vec<f32>>,
    /// Input of the attention block after its norm, `[tokens, hidden]`.
    states: TokenRows,
    /// 1-norms of what each value adds to the block's output, `[entries]` for every query head.
    outputs: Vec<Vec<f32>>,
}

impl Wanted {
    /// What a press requests.
    ///
    /// # Errors
    /// When it requests a name that this host does not provide.
    pub(crate) fn of(press: &PressInstance) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for SideNeed { name, tokens } in press.needs() {
            let tokens = tokens.unwrap_or(usize::MAX);
            match name.as_str() {
                QUERIES => wanted.queries = wanted.queries.max(tokens),
                WINDOW_ATTENTION => wanted.window = wanted.window.max(tokens),
                ATTENTION_SUM | ATTENTION_COUNT => wanted.sums = true,
                HIDDEN_STATES => wanted.states = wanted.states.max(tokens),
                OUTPUT_NORM => wanted.outputs = true,
                other => {
                    return Err(format!(
                        "press `{}` asks for `{other}`: expected one of `{QUERIES}`, `{WINDOW_ATTENTION}`, `{ATTENTION_SUM}`, `{ATTENTION_COUNT}`, `{HIDDEN_STATES}` and `{OUTPUT_NORM}`, which this host gives",
                        press.id()
                    ));
                }
            }
        }
        Ok(wanted)
    }

    pub(crate) fn and(self, other: Wanted) -> Wanted {
        Wanted {
            queries: self.queries.max(other.queries),
            window: self.window.max(other.window),
            sums: self.sums || other.sums,
            states: self.states.max(other.states),
            outputs: self.outputs || other.outputs,
        }
    }

    pub(crate) fn anything(self) -> bool {
        self != Wanted::default()
    }

    /// Probes a layer just after a run of tokens.
    pub(crate) fn probe(
        self,
        layer: &mut dyn CachedLayer,
    ) -> Result<SideInformation, Box<dyn std::error::Error + Send + Sync>> {
        let tokens = layer.positions().len();
        let last = |count: usize| tokens.saturating_sub(count)..tokens;
        let mut side = SideInformation::default();
        if self.queries > 0 {
            let rows = last(self.queries);
            let count = rows.len();
            let seen = layer.probe(&ProbeRequest { queries: true, ..ProbeRequest::at(rows) })?;
            side.queries = TokenRows { count, heads: seen.queries };
        }
        if self.window > 0 {
            let rows = last(self.window);
            let count = rows.len();
            let seen = layer.probe(&ProbeRequest { each: true, ..ProbeRequest::at(rows) })?;
            side.window = TokenRows { count, heads: seen.each };
        }
        if self.sums {
            side.sums =
                layer.probe(&ProbeRequest { sums: true, ..ProbeRequest::at(0..tokens) })?.sums;
        }
        if self.states > 0 {
            let rows = last(self.states);
            let count = rows.len();
            let seen = layer.probe(&ProbeRequest { states: true, ..ProbeRequest::at(rows) })?;
            side.states = TokenRows { count, heads: vec![seen.states] };
        }
        if self.outputs {
            side.outputs =
                layer.probe(&ProbeRequest { outputs: true, ..ProbeRequest::at(0..0) })?.outputs;
        }
        Ok(side)
    }
}

impl SideInformation {
    /// Adds what a run's probes found to the ledger, as far as it is `wanted`: rows of tokens follow those of
    /// earlier tokens, and received attention adds up. Everything else replaces what an earlier run found.
    pub(crate) fn add_to(&self, ledger: &mut LayerLedger, wanted: Wanted) {
        if wanted.queries > 0 {
            ledger.queries.follow(&self.queries, wanted.queries);
        }
        if wanted.states > 0 {
            ledger.states.follow(&self.states, wanted.states);
        }
        // A probe for several cells may find more than this one wants.
        if wanted.outputs {
            let groups = by_key_head(&self.outputs, ledger.heads.len());
            for (head, outputs) in ledger.heads.iter_mut().zip(groups) {
                head.outputs = outputs.to_vec();
            }
        }
        if wanted.window > 0 {
            let groups = by_key_head(&self.window.heads, ledger.heads.len());
            for (head, window) in ledger.heads.iter_mut().zip(groups) {
                head.window = window.to_vec();
            }
        }
        let received = ledger.heads.iter_mut().flat_map(|head| &mut head.attention);
        for (received, sums) in received.zip(&self.sums) {
            received.iter_mut().zip(sums).for_each(|(received, sum)| *received += sum);
        }
    }

    /// The arrays that `press` asked for, as they cross the plugin boundary.
    pub(crate) fn arrays(
        &self,
        press: &PressInstance,
        ledger: &LayerLedger,
        seen: usize,
        shape: &AttentionShape,
    ) -> Vec<Array> {
        let tail = |rows: usize, heads: &[&Vec<f32>], wanted: Option<usize>| {
            let count = wanted.unwrap_or(rows).min(rows);
            let values = heads.iter().flat_map(|values| {
                let row = values.len() / rows.max(1);
                values[(rows - count) * row..].iter().copied()
            });
            (count, values.collect())
        };
        let of_tokens = |rows: &TokenRows, wanted| {
            tail(rows.count, &rows.heads.iter().collect::<Vec<_>>(), wanted)
        };
        let mut arrays = Vec::new();
        for SideNeed { name, tokens } in press.needs() {
            let (name, (tokens, values)) = match name.as_str() {
                QUERIES => (QUERIES, of_tokens(&ledger.queries, *tokens)),
                HIDDEN_STATES => (HIDDEN_STATES, of_tokens(&ledger.states, *tokens)),
                WINDOW_ATTENTION => {
                    let heads: Vec<_> = ledger.heads.iter().flat_map(|head| &head.window).collect();
                    (WINDOW_ATTENTION, tail(self.window.count, &heads, *tokens))
                }
                OUTPUT_NORM => {
                    let outputs = ledger.heads.iter().flat_map(|head| &head.outputs).flatten();
                    (OUTPUT_NORM, (0, outputs.copied().collect()))
                }
                ATTENTION_SUM => {
                    let received = ledger.heads.iter().flat_map(|head| &head.attention).flatten();
                    (ATTENTION_SUM, (0, received.copied().collect()))
                }
                _ => {
                    let entries = ledger.heads.iter().flat_map(|head| &head.entries);
                    let counts = entries.map(|entry| queries_of(entry, seen, shape.window));
                    (ATTENTION_COUNT, (0, counts.collect()))
                }
            };
            arrays.push(Array { name, tokens, values });
        }
        arrays
    }
}

/// Divides the rows of all query heads among the key heads that they attend to.
fn by_key_head(rows: &[Vec<f32>], key_heads: usize) -> impl Iterator<Item = &[Vec<f32>]> {
    // Chunks of at least 1, because a probe may have found no rows at all.
    rows.chunks((rows.len() / key_heads.max(1)).max(1))
}

/// Number of queries that have paid attention to an entry: its own and all later ones within the window.
fn queries_of(entry: &EntryCost, seen: usize, window: Option<usize>) -> f32 {
    let queries = seen.saturating_sub(entry.token as usize);
    window.map_or(queries, |window| queries.min(window)) as f32
}

/// One piece of side information.
pub(crate) struct Array {
    name: &'static str,
    tokens: usize,
    values: Vec<f32>,
}

impl Array {
    pub(crate) fn view(&self) -> SideRef<'_> {
        SideRef { name: self.name, tokens: self.tokens, values: &self.values }
    }
}
