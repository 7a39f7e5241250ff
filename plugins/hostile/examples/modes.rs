//! Prints the table of hostile modes as JSON, for `cargo xtask soak`.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use strait_hostile::{MODES, Outcome};
use strait_sdk::serde_json::{Value, json};

fn main() {
    let modes: Vec<Value> = MODES
        .iter()
        .map(|mode| {
            let (outcome, words) = match mode.outcome {
                Outcome::Fails(words) => ("fails", words),
                Outcome::Ends(words) => ("ends", words),
                Outcome::Warns(words) => ("warns", words),
                Outcome::Finishes => ("finishes", ""),
            };
            json!({ "id": mode.id, "params": mode.params, "outcome": outcome, "words": words })
        })
        .collect();
    println!("{}", Value::from(modes));
}
