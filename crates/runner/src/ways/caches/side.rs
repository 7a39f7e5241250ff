//! Side information of presses: what they ask for, and what is asked of the model.

use strait_loader::{
    ATTENTION_COUNT, ATTENTION_SUM, HIDDEN_STATES, OUTPUT_NORM, PressInstance, QUERIES, SideNeed,
    SideRef, WINDOW_ATTENTION,
};
use strait_model::{AttentionShape, CachedLayer, ProbeRequest};

use super::ledger::{EntryCost, LayerLedger, TokenRows};

/// What presses ask for, together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Queries of so many last tokens.
    queries: usize,
    /// Attention of so many last queries.
    window: usize,
    /// Attention received by every entry.
    sums: bool,
    /// What the block reads of so many last tokens.
    states: usize,
    /// How much every value can add to the stream.
    outputs: bool,
}

/// What was seen of a layer in a run of tokens.
#[derive(Debug, Default)]
pub(crate) struct SideInformation {
    /// `[tokens, head_dim]` of every query head.
    queries: TokenRows,
    /// `[rows, entries]` of every query head.
    window: TokenRows,
    /// `[entries]` of every query head.
    sums: Vec<Vec<f32>>,
    /// `[tokens, hidden]`.
    states: TokenRows,
    /// `[entries]` of every query head.
    outputs: Vec<Vec<f32>>,
}

impl Wanted {
    /// What a press asks for.
    ///
    /// # Errors
    /// A name that this host cannot give.
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

    /// Looks at a layer just after a run of tokens.
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
    /// Adds what a run showed, as far as it is `wanted`, to what is known of its tokens and of those before
    /// it, and the attention that entries received to what they had received; what else is known of every
    /// entry replaces what was known.
    pub(crate) fn add_to(&self, ledger: &mut LayerLedger, wanted: Wanted) {
        if wanted.queries > 0 {
            ledger.queries.follow(&self.queries, wanted.queries);
        }
        if wanted.states > 0 {
            ledger.states.follow(&self.states, wanted.states);
        }
        // What is seen for several cells together is not wanted by each.
        let group = |all: &[Vec<f32>]| (all.len() / ledger.heads.len().max(1)).max(1);
        let (outputs, window) = (&self.outputs, &self.window.heads);
        let groups = [group(outputs), group(window)];
        if wanted.outputs {
            for (head, outputs) in ledger.heads.iter_mut().zip(outputs.chunks(groups[0])) {
                head.outputs = outputs.to_vec();
            }
        }
        if wanted.window > 0 {
            for (head, window) in ledger.heads.iter_mut().zip(window.chunks(groups[1])) {
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
                    // Every query from an entry's own on has seen it, within the window.
                    let count = |entry: &EntryCost| {
                        let queries = seen.saturating_sub(entry.token as usize);
                        shape.window.map_or(queries, |window| queries.min(window)) as f32
                    };
                    let counts =
                        ledger.heads.iter().flat_map(|head| head.entries.iter().map(count));
                    (ATTENTION_COUNT, (0, counts.collect()))
                }
            };
            arrays.push(Array { name, tokens, values });
        }
        arrays
    }
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
