//! The scores of the papers' formulas, computed by PyTorch.

#![allow(clippy::unwrap_used, clippy::panic)]

use strait_conformance::golden_presses;
use strait_presses_basic::*;

#[test]
fn scores_are_those_of_the_formulas() {
    for case in golden_presses(include_str!("../../golden/golden.json")) {
        match case.press.as_str() {
            "streaming-llm" => case.check::<StreamingLlm>(),
            "knorm" => case.check::<Knorm>(),
            "keydiff" => case.check::<KeyDiff>(),
            "lagkv" => case.check::<LagKv>(),
            "cur" => case.check::<Cur>(),
            other => panic!("no press `{other}`"),
        }
    }
}

#[test]
fn random_scores_follow_the_seed_and_nothing_else() {
    let cases = golden_presses(include_str!("../../golden/golden.json"));
    let mut layer = cases[0].layer.clone();
    let scores = |layer: &strait_sdk::press::LayerData| {
        layer.score::<Random>(&serde_json::json!({})).unwrap()
    };
    let first = scores(&layer);
    let mean = first.iter().flatten().sum::<f32>() / 80.0;
    assert!((0.35..0.65).contains(&mean), "{mean}");
    assert!(first.iter().flatten().all(|score| (0.0..1.0).contains(score)));
    assert_ne!(first[0], first[1]);
    layer.kv_heads[0].keys.fill(1.0);
    layer.ratio = 0.9;
    assert_eq!(scores(&layer), first);
    layer.seed = 1;
    assert_ne!(scores(&layer), first);
}

#[test]
fn a_random_projection_of_cur_follows_the_seed() {
    let cases = golden_presses(include_str!("../../golden/golden.json"));
    let mut layer = cases[0].layer.clone();
    let params = serde_json::json!({ "random_projection": true });
    let first = layer.score::<Cur>(&params).unwrap();
    assert_eq!(layer.score::<Cur>(&params).unwrap(), first);
    assert_ne!(layer.score::<Cur>(&serde_json::json!({})).unwrap(), first);
    layer.seed = 1;
    assert_ne!(layer.score::<Cur>(&params).unwrap(), first);
}
