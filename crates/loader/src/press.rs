//! Presses: plugins of kind 2, opened like codecs and called once for each layer of a cache.

mod check;
mod entry;
mod error;
mod instance;
mod layer;

pub use entry::PressEntry;
pub use error::PressError;
pub use instance::PressInstance;
pub use layer::{KeptHead, KvHeadRef, LayerBudget, LayerRef, RopeLayout, RopeRef, SideRef};
pub use strait_abi::descriptor::PressDescriptor;
pub use strait_abi::press::{
    ATTENTION_COUNT, ATTENTION_SUM, HIDDEN_STATES, OUTPUT_NORM, PressNeeds, QUERIES, SideNeed,
    WINDOW_ATTENTION,
};
