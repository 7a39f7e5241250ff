//! expected-attention, cap: presses that guess the queries to come from the queries so far.
//!
//! Papers: <https://arxiv.org/abs/2510.00636>, <https://arxiv.org/abs/2604.25975>. Kept per entry: its
//! key and value as they are.
//!
//! ```
//! # strait_conformance::check_press_example::<strait_presses_expected::ExpectedAttention>(r#"
//! [[press]]
//! press = "expected-attention"
//! params = { future = 512, budget = "adakv" }
//! # "#);
//! ```
//!
//! Limits: with `budget = "criticalkv"`, which weighs by values itself, set `value_norm = false`.

mod cap;
mod expected;
mod future;

pub use cap::Cap;
pub use expected::ExpectedAttention;

strait_sdk::export!(presses: ExpectedAttention, Cap);

#[cfg(test)]
mod conformance {
    use super::*;
    use strait_conformance::{case, check_press};

    check_press!(mod expected: ExpectedAttention, [
        case!({}),
        case!({ "covariance": false, "sinks": 1 }),
        case!({ "value_norm": false, "budget": "criticalkv" }),
    ]);
    check_press!(mod cap: Cap, [case!({}), case!({ "future": 0, "sinks": 0, "tau": 1.0 })]);
}
