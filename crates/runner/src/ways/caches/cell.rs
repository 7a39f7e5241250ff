//! What a cell does to the KV cache: planned, and open.

use serde_json::{Map, Value};
use strait_loader::{CellName, CodecEntry, PressEntry, PressInstance};
use strait_schema::LinkCounts;

use super::ledger::LayerLedger;
use super::side::Wanted;
use crate::book::journal::Kept;
use crate::ways::ends::Ends;

/// What a cell does to the cache, before it runs.
pub(crate) struct CachePlan {
    /// The presses in the order in which they are applied.
    pub(crate) presses: Vec<PlannedPress>,
    pub(crate) reposition: bool,
    /// Whether the keys of later tokens lose the channels, too, that a press removes.
    pub(crate) cut_later_keys: bool,
    /// The codecs of all layers, then those of selected layers.
    pub(crate) codecs: Vec<LayerCodecs>,
    /// For every layer of the model, which of `codecs` it has.
    pub(crate) codecs_of: Vec<usize>,
    pub(crate) sinks: usize,
    pub(crate) recent: usize,
    pub(crate) before_rope: bool,
    /// For every layer of the model, whether its cache is compressed.
    pub(crate) active: Vec<bool>,
    /// Whether to note which entries the presses keep.
    pub(crate) notes_kept: bool,
    /// Number of tokens in a run. `None` makes the context one run and the rest another, or takes
    /// [`INTERVAL`] without a context.
    pub(crate) interval: Option<usize>,
    /// Tokens of a window before the scored ones.
    pub(crate) context: Option<usize>,
    pub(crate) seed: u64,
}

/// Codecs of keys and values with their parameters.
#[derive(Default)]
pub(crate) struct LayerCodecs {
    pub(crate) key: Option<(CodecEntry, Map<String, Value>)>,
    pub(crate) value: Option<(CodecEntry, Map<String, Value>)>,
}

impl LayerCodecs {
    pub(crate) fn both(&self) -> impl Iterator<Item = &(CodecEntry, Map<String, Value>)> {
        [&self.key, &self.value].into_iter().flatten()
    }
}

/// A press with its parameters and what it keeps.
pub(crate) struct PlannedPress {
    pub(crate) entry: PressEntry,
    pub(crate) params: Map<String, Value>,
    pub(crate) budget: Budget,
}

/// How much a press keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Budget {
    /// All but this share of the tokens so far.
    Ratio(f64),
    /// This many tokens.
    Size(usize),
    /// All tokens, and all but this share of the key channels.
    Channels(f64),
}

/// Default of `interval` where the protocol has no context.
const INTERVAL: usize = 128;

impl CachePlan {
    /// The lengths of the runs into which a window of `tokens` tokens is divided.
    pub(crate) fn runs(&self, tokens: usize) -> Vec<usize> {
        let (first, interval) = match (self.context, self.interval) {
            (Some(context), None) => (context.min(tokens), tokens.max(1)),
            (Some(context), Some(interval)) => (context.min(tokens), interval),
            (None, interval) => (0, interval.unwrap_or(INTERVAL)),
        };
        let mut runs: Vec<usize> = if first > 0 { vec![first] } else { Vec::new() };
        let mut left = tokens - first;
        while left > 0 {
            runs.push(left.min(interval));
            left -= left.min(interval);
        }
        runs
    }

    /// The plan of an uncompressed cache, for a model with this many layers: only entries outside every
    /// later query's window are dropped.
    pub(crate) fn nothing(layers: usize) -> CachePlan {
        CachePlan {
            presses: Vec::new(),
            reposition: false,
            cut_later_keys: false,
            codecs: vec![LayerCodecs::default()],
            codecs_of: vec![0; layers],
            sinks: 0,
            recent: 0,
            before_rope: false,
            active: vec![false; layers],
            notes_kept: false,
            interval: None,
            context: None,
            seed: 0,
        }
    }

    /// The same plan for a cell, whose name is recorded in the note of calls that do not return.
    pub(crate) fn for_cell(mut self, cell: &CellName) -> CachePlan {
        for press in &mut self.presses {
            press.entry = press.entry.clone().for_cell(cell);
        }
        let codecs = self.codecs.iter_mut().flat_map(|codecs| [&mut codecs.key, &mut codecs.value]);
        for (entry, _) in codecs.flatten() {
            *entry = entry.clone().for_cell(cell.clone());
        }
        self
    }

    /// Whether nothing it names loses anything.
    pub(crate) fn lossless(&self) -> bool {
        let mut codecs = self.codecs.iter().flat_map(LayerCodecs::both);
        !self.removes() && codecs.all(|(entry, _)| entry.descriptor().lossless)
    }

    /// Whether its presses are asked to remove anything.
    pub(crate) fn removes(&self) -> bool {
        self.presses.iter().any(|press| match press.budget {
            Budget::Ratio(ratio) | Budget::Channels(ratio) => ratio > 0.0,
            Budget::Size(_) => true,
        })
    }

    /// Whether it has codecs, of all layers or of some.
    pub(crate) fn codes(&self) -> bool {
        self.codecs.iter().any(|codecs| codecs.both().next().is_some())
    }
}

/// A cell's presses and codecs, open, and the ledger of the window in progress.
pub(crate) struct OpenCache {
    pub(super) presses: Vec<PressInstance>,
    /// The union of what the presses request.
    pub(super) wanted: Wanted,
    /// For each of the plan's codecs the ends of keys and of values.
    pub(super) ends: Vec<[Option<Ends>; 2]>,
    /// What is known of the entries of every layer of the model.
    pub(super) layers: Vec<LayerLedger>,
    /// The cost of keys and of values in the current window.
    pub(super) counts: [LinkCounts; 2],
    /// What the presses kept in the current window, if the plan notes it.
    pub(super) kept: Vec<Kept>,
}

impl OpenCache {
    /// Opens press and codecs.
    ///
    /// # Errors
    /// What they say.
    pub(crate) fn open(plan: &CachePlan) -> Result<OpenCache, String> {
        let mut presses = Vec::with_capacity(plan.presses.len());
        let mut wanted = Wanted::default();
        for planned in &plan.presses {
            let press = planned.entry.open(&planned.params).map_err(|error| error.to_string())?;
            wanted = wanted.and(Wanted::of(&press)?);
            presses.push(press);
        }
        let mut ends = Vec::with_capacity(plan.codecs.len());
        for codecs in &plan.codecs {
            ends.push([open_ends(codecs.key.as_ref())?, open_ends(codecs.value.as_ref())?]);
        }
        let counts = no_counts();
        Ok(OpenCache { presses, wanted, ends, layers: Vec::new(), counts, kept: Vec::new() })
    }

    /// Begins a window of a model with so many layers.
    pub(crate) fn begin(&mut self, layers: usize) -> Result<(), String> {
        self.layers = (0..layers).map(|_| LayerLedger::default()).collect();
        self.counts = no_counts();
        self.kept.clear();
        self.presses
            .iter_mut()
            .try_for_each(|press| press.reset().map_err(|error| error.to_string()))
    }

    /// Whether a press asks for more than keys and values.
    pub(crate) fn probes(&self) -> bool {
        self.wanted.anything()
    }

    /// Forgets what is known of the entries of a sequence that will not be compressed again; counts stay.
    pub(crate) fn forget(&mut self) {
        self.layers = Vec::new();
    }
}

/// The counts of keys and of values before anything is cached.
fn no_counts() -> [LinkCounts; 2] {
    ["keys", "values"].map(LinkCounts::new)
}

fn open_ends(codec: Option<&(CodecEntry, Map<String, Value>)>) -> Result<Option<Ends>, String> {
    let Some((entry, params)) = codec else { return Ok(None) };
    Ends::open(entry, params, None).map(Some)
}
