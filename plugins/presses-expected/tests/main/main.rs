//! The scores of the papers' formulas, computed by PyTorch.

#![allow(clippy::unwrap_used, clippy::panic)]

use strait_conformance::golden_presses;
use strait_presses_expected::*;

#[test]
fn scores_are_those_of_the_formulas() {
    for case in golden_presses(include_str!("../../golden/golden.json")) {
        match case.press.as_str() {
            "expected-attention" => case.check::<ExpectedAttention>(),
            "cap" => case.check::<Cap>(),
            other => panic!("no press `{other}`"),
        }
    }
}
