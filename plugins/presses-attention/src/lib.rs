//! snapkv, pyramidkv, tova, observed-attention, simlayer, think: presses that look at the attention
//! of queries that the model has already made.
//!
//! Papers: each file names its own. Kept per entry: its key and value as they are; think removes key
//! channels instead, and keeps the indices of the others once for each kv head.
//!
//! ```
//! # strait_conformance::check_press_example::<strait_presses_attention::SnapKv>(r#"
//! [[press]]
//! press = "snapkv"
//! params = { window = 32, budget = "adakv" }
//! # "#);
//! ```
//!
//! Limits: presses with a window ask for the queries of its tokens; with fewer tokens than that they
//! use what there is.

mod observed;
mod simlayer;
mod snapkv;
mod think;
mod tova;

pub use observed::ObservedAttention;
pub use simlayer::SimLayer;
pub use snapkv::{PyramidKv, SnapKv};
pub use think::Think;
pub use tova::Tova;

strait_sdk::export!(
    presses: SnapKv, PyramidKv, Tova, ObservedAttention, SimLayer, Think
);

#[cfg(test)]
mod conformance {
    use super::*;
    use strait_conformance::{case, check_press};

    check_press!(mod snapkv: SnapKv, [
        case!({}),
        case!({ "window": 2, "kernel": 3 }),
        case!({ "window": 1, "unit": "chunk", "unit_size": 4 }),
        case!({ "window": 2, "budget": "criticaladakv" }),
        case!({ "window": 3, "unit": "chunkkv", "unit_size": 2 }),
    ]);
    check_press!(mod pyramidkv: PyramidKv, [case!({}), case!({ "window": 2, "pyramid_window": 2 })]);
    check_press!(mod tova: Tova, [case!({}), case!({ "unit": "block", "unit_size": 2 })]);
    check_press!(mod observed: ObservedAttention, [case!({}), case!({ "budget": "adakv" })]);
    check_press!(mod simlayer: SimLayer, [case!({}), case!({ "threshold": 0.0, "recent": 2 }), case!({ "threshold": 0.0, "recent": 2, "watched": 3 })]);
    check_press!(mod think: Think, [case!({}), case!({ "channels": 0.25, "window": 2 })]);
}
