//! leverage, non-causal-attention, compactor: geometry of the keys and attention within chunks, and
//! the blend of the two, as in Compactor.
//!
//! Paper: <https://arxiv.org/abs/2507.08143>. Kept per entry: its key and value as they are.
//!
//! ```
//! # strait_conformance::check_press_example::<strait_presses_compactor::Compactor>(r#"
//! [[press]]
//! press = "compactor"
//! params = { chunk = 256, sketch = 48 }
//! # "#);
//! ```
//!
//! Limits: the two with attention need the query of every entry's token, so they press a prefill.

mod compactor;
mod leverage;
mod noncausal;

pub use compactor::Compactor;
pub use leverage::{Leverage, leverage};
pub use noncausal::{NonCausalAttention, column_sums};

strait_sdk::export!(presses: Leverage, NonCausalAttention, Compactor);

#[cfg(test)]
mod conformance {
    use super::*;
    use strait_conformance::{case, check_press};

    check_press!(mod leverage: Leverage, [case!({}), case!({ "sketch": 2, "budget": "adakv" })]);
    check_press!(mod noncausal: NonCausalAttention, [case!({}), case!({ "chunk": 3 })]);
    check_press!(mod compactor: Compactor, [
        case!({}),
        case!({ "chunk": 4, "sketch": 3, "blending": 0.35, "first": 1, "last": 1 }),
    ]);
}
