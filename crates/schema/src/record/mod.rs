//! The record of one cell: raw counts and sums, everything needed to run it again, no ratios.

mod again;
mod cell;
mod content;
mod environment;
mod identity;
mod imported;
mod kind;
mod side;
mod speed;
mod status;
mod store;
mod written;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strait_metrics::{
    ConfidenceBucket, Distortion, Divergence, PairedSums, ProbabilityShift, Shortfall,
};

pub use self::cell::{
    CellCache, CellCacheCodec, CellCompressor, CellData, CellModel, CellOverride, CellPartition,
    CellPress, CellProtocol, CellStorage, RecordCell,
};
pub use self::content::EDITED;
pub use self::environment::{Environment, WindowsEnvironment};
pub use self::imported::{IMPORTED_SCHEMA, IMPORTED_SUFFIX, Imported, ImportedSite};
pub use self::kind::{CellKind, Role};
pub use self::side::CellSide;
pub use self::speed::SpeedCounts;
pub use self::status::{RunStatus, RunningCell, RunningFigures};

/// The version of the record format that this release writes and reads.
pub const RECORD_SCHEMA: u32 = 1;

/// What is known about one cell after its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of this format: 1.
    pub schema: u32,
    /// Identity of the cell: SHA-256 (hexadecimal) of everything that decides its numbers.
    pub id: String,
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the cell in tables, unique in the experiment; `baseline` is the identity codec.
    pub label: String,
    /// Whether the cell went through all windows.
    pub status: Status,
    /// Why it failed; null when it finished.
    pub reason: Option<String>,
    /// What was measured.
    pub cell: RecordCell,
    /// What it was measured with, its last windows if there were several environments.
    pub environment: Environment,
    /// Where windows were measured under different ones: each with its windows, in order. Absent where one
    /// environment is that of all windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<WindowsEnvironment>,
    /// Totals over all windows; null when the cell failed.
    pub scores: Option<Scores>,
    /// Sums of each window, in order.
    pub windows: Vec<WindowSums>,
    /// Traffic of each link, in order.
    pub links: Vec<LinkCounts>,
    /// Where the time went.
    pub timing: Timing,
    /// Speed and memory of generation behind each context; empty if they were not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speed: Vec<SpeedCounts>,
    /// What a reader should know before believing the numbers.
    pub warnings: Vec<String>,
    /// SHA-256 (hexadecimal) of everything else in the record, as JSON without spaces and with sorted keys: a record
    /// that was edited does not have it. Absent in records of releases that wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
}

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All windows are in the scores.
    Finished,
    /// It stopped; the reason says why.
    Failed,
}

/// Totals over all scored tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Sums of negative log-likelihood (nats) of the cell and of the baseline, paired by token.
    pub sums: PairedSums,
    /// Distribution over tokens of KL(baseline ‖ cell) in nats.
    pub kld: Divergence,
    /// On how many tokens cell and baseline prefer the same next token.
    pub agreement: AgreementCounts,
    /// Change of the correct token's probability; null in records of releases that did not have it.
    #[serde(default)]
    pub shift: Option<ProbabilityShift>,
    /// Divergence by the baseline's largest probability; null if that probability was not kept.
    #[serde(default)]
    pub confidence: Option<Vec<ConfidenceBucket>>,
}

/// How often cell and baseline agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementCounts {
    /// Scored tokens with the same most likely next token.
    pub same: u64,
    /// Scored tokens.
    pub n: u64,
}

/// Sums over the scored tokens of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSums {
    /// Position of the window, from 0.
    pub index: usize,
    /// Scored tokens.
    pub scored: u64,
    /// Sums of negative log-likelihood (nats).
    pub sums: PairedSums,
    /// Sum of KL(baseline ‖ cell) in nats.
    pub kld_sum: f64,
    /// Scored tokens with the same most likely next token.
    pub same_top: u64,
}

/// What crossed one link in the whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkCounts {
    /// The link, `after:7 node0->node1`.
    pub name: String,
    /// Messages, or chunks of messages.
    pub messages: u64,
    /// Tokens in them, once for every window that a token is part of.
    pub tokens: u64,
    /// Values in them: tokens × channels.
    pub values: u64,
    /// Bytes that the codec wrote, as the host counted them.
    pub payload_bytes: u64,
    /// Bytes of the same messages in the model's dtype.
    pub raw_bytes: u64,
    /// Seconds in encode.
    pub encode_s: f64,
    /// Seconds in decode.
    pub decode_s: f64,
    /// How far the decoded values are from the originals.
    pub distortion: Distortion,
    /// Sequences whose payload cannot carry what arrived; absent where there are none.
    #[serde(default, skip_serializing_if = "Shortfall::is_none")]
    pub shortfall: Shortfall,
}

/// Where the time of a cell went. Passes that cells share are divided evenly among them; the first
/// stage, which runs once for all cells, is the baseline's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Seconds of the run that its windows took, over interruptions; all cells together take the time
    /// of the run.
    pub wall_s: f64,
    /// Seconds in the model's stages and the scoring.
    pub model_s: f64,
    /// Seconds in encode and decode.
    pub codec_s: f64,
    /// Seconds in each stage, in order; empty if they were not measured apart.
    pub stage_s: Vec<f64>,
}

impl LinkCounts {
    /// Nothing has crossed yet.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            messages: 0,
            tokens: 0,
            values: 0,
            payload_bytes: 0,
            raw_bytes: 0,
            encode_s: 0.0,
            decode_s: 0.0,
            distortion: Distortion::default(),
            shortfall: Shortfall::default(),
        }
    }

    /// Adds what else crossed the same link.
    pub fn merge(&mut self, other: &Self) {
        self.messages += other.messages;
        self.tokens += other.tokens;
        self.values += other.values;
        self.payload_bytes += other.payload_bytes;
        self.raw_bytes += other.raw_bytes;
        self.encode_s += other.encode_s;
        self.decode_s += other.decode_s;
        self.distortion.merge(&other.distortion);
        self.shortfall.merge(&other.shortfall);
    }
}

impl Record {
    /// Turns this into the record of a failed cell: the scores go, since they do not cover all
    /// windows, and so do window sums that are not finite.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.status = Status::Failed;
        self.reason = Some(reason.into());
        self.scores = None;
        self.windows.retain(|window| window.sums.is_finite() && window.kld_sum.is_finite());
    }

    /// A warning for every link whose payloads cannot carry the values that arrived, the artifact of
    /// the codec added to them. Nothing keeps a plugin from handing messages to its decoder behind the
    /// host's back; this is where it shows.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<String> {
        let static_bytes = self.cell.compressor().map_or(0, |codec| codec.static_bytes);
        let short = self.links.iter().filter(|link| link.shortfall.stands(static_bytes));
        let warning = |link: &LinkCounts| {
            let LinkCounts { name, shortfall, .. } = link;
            format!(
                "{name}: {} payload bytes cannot carry values as exact as arrived, which need about {}: does the decoder know what was not counted?",
                shortfall.payload_bytes, shortfall.needed_bytes
            )
        };
        short.map(warning).collect()
    }

    /// A warning where windows were measured under different environments, with what changed.
    #[must_use]
    pub fn mixed_environments(&self) -> Option<String> {
        environment::warning(&self.environments)
    }

    /// Whether the cell went through all windows.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status == Status::Finished
    }
}
