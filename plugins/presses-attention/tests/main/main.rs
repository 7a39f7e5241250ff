//! The scores of the papers' formulas, computed by PyTorch.

#![allow(clippy::unwrap_used, clippy::panic)]

use strait_conformance::golden_presses;
use strait_presses_attention::*;

#[test]
fn scores_are_those_of_the_formulas() {
    for case in golden_presses(include_str!("../../golden/golden.json")) {
        match case.press.as_str() {
            "snapkv" => case.check::<SnapKv>(),
            "pyramidkv" => case.check::<PyramidKv>(),
            "tova" => case.check::<Tova>(),
            "observed-attention" => case.check::<ObservedAttention>(),
            "simlayer" => case.check::<SimLayer>(),
            "think" => case.check::<Think>(),
            other => panic!("no press `{other}`"),
        }
    }
}

#[test]
fn an_even_kernel_is_refused() {
    let layer = &golden_presses(include_str!("../../golden/golden.json"))[0].layer;
    let error = layer.score::<SnapKv>(&serde_json::json!({ "kernel": 4 })).unwrap_err();
    assert_eq!(error.to_string(), "kernel: expected an odd number, found 4");
}
