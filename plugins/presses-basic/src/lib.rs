//! random, streaming-llm, knorm, keydiff, lagkv, cur: presses that look at positions, keys and values
//! alone, so they cost next to nothing and ask the host for nothing.
//!
//! Papers: each file names its own. Kept per entry: its key and value as they are; nothing else.
//!
//! ```
//! # strait_conformance::check_press_example::<strait_presses_basic::KeyDiff>(r#"
//! [[press]]
//! press = "keydiff"
//! params = { sinks = 4, unit = "block", unit_size = 128 }
//! # "#);
//! ```
//!
//! Limits: a score that is not a number counts as the lowest.

mod cur;
mod keydiff;
mod knorm;
mod lagkv;
mod random;
mod streaming;

pub use cur::{Cur, Leverage};
pub use keydiff::KeyDiff;
pub use knorm::Knorm;
pub use lagkv::LagKv;
pub use random::Random;
pub use streaming::StreamingLlm;

strait_sdk::export!(presses: Random, StreamingLlm, Knorm, KeyDiff, LagKv, Cur);

#[cfg(test)]
mod conformance {
    use super::*;
    use strait_conformance::{case, check_press};

    check_press!(mod random: Random, [case!({}), case!({ "sinks": 2, "budget": "adakv" })]);
    check_press!(mod streaming: StreamingLlm, [case!({}), case!({ "sinks": 0 })]);
    check_press!(mod knorm: Knorm, [case!({}), case!({ "unit": "block", "unit_size": 3 })]);
    check_press!(mod keydiff: KeyDiff, [case!({}), case!({ "merge": true, "budget": "adakv" })]);
    check_press!(mod lagkv: LagKv, [case!({}), case!({ "lag": 3 }), case!({ "lag": 3, "cross": true })]);
    check_press!(mod cur: Cur, [
        case!({}),
        case!({ "leverage": "kv_avg", "window": 0 }),
        case!({ "random_projection": true }),
    ]);
}
