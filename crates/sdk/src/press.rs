//! Plugin kind 2: presses, which choose the entries of a layer's KV cache that stay.
//!
//! ```
//! use strait_sdk::prelude::*;
//!
//! /// Keeps the entries with the shortest keys.
//! struct Shortest;
//!
//! impl Press for Shortest {
//!     const INFO: PressInfo = PressInfo {
//!         id: "shortest",
//!         summary: "the entries with the shortest keys stay",
//!         ..PressInfo::DEFAULT
//!     };
//!     type Params = NoParams;
//!
//!     fn open(_: NoParams) -> Result<Self> {
//!         Ok(Shortest)
//!     }
//!     fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
//!         let length = |key: &[f32]| key.iter().map(|x| x * x).sum::<f32>();
//!         Ok(layer.heads().iter().map(|head| head.keys().map(|key| -length(key)).collect()).collect())
//!     }
//! }
//! strait_sdk::export!(presses: Shortest);
//! # fn main() {}
//! ```

mod attention;
mod budget;
mod data;
mod layer;
mod merge;
mod opened;
mod rank;
mod rope;
mod selection;
mod side;
mod units;

pub use attention::{dot, scores, softmax};
pub use data::{HeadData, LayerData, SideData};
pub use layer::{Head, Layer};
pub use opened::{Opened, describe};
pub use rope::Rope;
pub use selection::{Allocation, Selection, Unit};
pub use side::{Need, PerHead, Queries};
pub use strait_abi::press as abi;

use crate::{Error, Params, Result};

/// Score of every entry, `[kv_heads][entries]`; the highest stay. NaN goes first.
pub type Scores = Vec<Vec<f32>>;

/// Chooses the entries of a layer's cache that stay.
///
/// Most presses give [`score`](Press::score) and leave the choice to the SDK, which offers its
/// common parameters for that: sinks, recent entries, budgets per head and per layer, chunks and
/// blocks, merging. An instance is used by one thread at a time, for the layers in their order.
/// Panics are caught and end the instance.
pub trait Press: Sized + Send + 'static {
    /// Name, summary and properties.
    const INFO: PressInfo;

    /// The parameter table without the common parameters; [`NoParams`](crate::NoParams) for none.
    type Params: Params;

    /// Opens an instance with checked parameters.
    ///
    /// # Errors
    /// Parameters that do not fit together.
    fn open(params: Self::Params) -> Result<Self>;

    /// What it wants to know beside keys and values.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// The score of every entry.
    ///
    /// # Errors
    /// Side information that is not there; a layer that this press cannot score.
    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let _ = layer;
        Err(Error::new(format!("press `{}` has no scores", Self::INFO.id)))
    }

    /// What stays of a layer. By default the SDK chooses by the scores.
    ///
    /// # Errors
    /// Those of [`score`](Press::score).
    fn press(&mut self, layer: &Layer<'_>, selection: &Selection) -> Result<Vec<Kept>> {
        selection.press(layer, &mut |part| self.score(part))
    }

    /// Forgets everything learnt from earlier layers; called at the start of every sequence.
    fn reset(&mut self) {}
}

/// What one kv head keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Indices of the kept entries, ascending, each once.
    pub entries: Vec<usize>,
    /// `[kept, head_dim]`: keys in place of the kept ones.
    pub keys: Option<Vec<f32>>,
    /// `[kept, value_dim]`: values in place of the kept ones.
    pub values: Option<Vec<f32>>,
    /// Key channels to keep, ascending, each once; all if `None`.
    pub key_channels: Option<Vec<usize>>,
}

impl Kept {
    /// These entries, unchanged.
    pub fn entries(entries: Vec<usize>) -> Self {
        Kept { entries, ..Kept::default() }
    }
}

/// What a press says about itself. Start from [`PressInfo::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PressInfo {
    /// Name in TOML files, `[a-z0-9.-]`, unique among all presses.
    pub id: &'static str,
    /// What it does, one line.
    pub summary: &'static str,
    /// Link to the paper or specification; may be empty.
    pub paper: &'static str,
    /// What the ratio or size of an experiment bounds.
    pub budget: Budget,
    /// Side information that it may ask for, names of [`abi`].
    pub side_information: &'static [&'static str],
    /// Default of the common parameter `sinks`.
    pub sinks: usize,
    /// Default of the common parameter `layers`.
    pub layers: &'static str,
}

impl PressInfo {
    /// Empty texts, a budget of entries, no side information, no sinks, every layer alike.
    pub const DEFAULT: PressInfo = PressInfo {
        id: "",
        summary: "",
        paper: "",
        budget: Budget::Entries,
        side_information: &[],
        sinks: 0,
        layers: "even",
    };
}

/// What the ratio or size of an experiment bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Budget {
    /// Entries: the press scores them, the SDK chooses, and the common parameters are offered.
    Entries,
    /// Key channels; every entry stays.
    Channels,
    /// Nothing: the press decides by itself how much stays.
    Own,
}

impl Budget {
    /// Name in the description: `entries`, `channels` or `own`.
    pub const fn name(self) -> &'static str {
        match self {
            Budget::Entries => "entries",
            Budget::Channels => "channels",
            Budget::Own => "own",
        }
    }
}
