//! The scores of the papers' formulas, computed by PyTorch.

#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use strait_codec_kit::scores::standardize;
use strait_conformance::golden_presses;
use strait_presses_compactor::*;

#[test]
fn scores_are_those_of_the_formulas() {
    for case in golden_presses(include_str!("../../golden/golden.json")) {
        match case.press.as_str() {
            "non-causal-attention" => case.check::<NonCausalAttention>(),
            "compactor" => case.check::<Compactor>(),
            other => panic!("no press `{other}`"),
        }
    }
}

#[test]
fn leverage_is_that_of_the_formula() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/leverage.json")).unwrap();
    let numbers = |key: &str| -> Vec<f64> {
        golden[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let keys: Vec<f32> = numbers("keys").iter().map(|x| *x as f32).collect();
    let found = leverage(&keys, 8, &numbers("directions")).unwrap();
    assert_eq!(found.len(), 40);
    for (found, expected) in found.iter().zip(numbers("scores")) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn leverage_looks_at_keys_before_rope_and_at_every_direction() {
    let layer = &golden_presses(include_str!("../../golden/golden.json"))[0].layer;
    let score = |layer: &strait_sdk::press::LayerData, sketch: usize| {
        layer.score::<Leverage>(&json!({ "sketch": sketch })).unwrap()
    };
    let mut plain = layer.clone();
    let keys: Vec<Vec<f32>> = layer.with_request(|request| {
        let read = strait_sdk::press::Layer::new(&request).unwrap();
        (0..2).map(|head| read.plain_keys(head).to_vec()).collect()
    });
    plain.keys_rotated = false;
    for (head, keys) in plain.kv_heads.iter_mut().zip(keys) {
        head.keys = keys;
    }
    for (a, b) in score(layer, 48).iter().flatten().zip(score(&plain, 48).iter().flatten()) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    // With many directions the sketch keeps the geometry: the exact leverage has rank 8.
    let mut exact: Vec<Vec<f32>> = plain
        .kv_heads
        .iter()
        .map(|head| {
            let unit: Vec<f64> = (0..64).map(|i| f64::from(u8::from(i % 9 == 0))).collect();
            leverage(&head.keys, 8, &unit).unwrap()
        })
        .collect();
    standardize(&mut exact);
    for (a, b) in score(layer, 300).iter().flatten().zip(exact.iter().flatten()) {
        assert!((a - b).abs() < 0.2, "{a} {b}");
    }
}

#[test]
fn compactor_adds_its_parts() {
    let layer = &golden_presses(include_str!("../../golden/golden.json"))[0].layer;
    let score = |blending: Value| {
        let params = json!({ "blending": blending, "first": 0, "last": 0 });
        layer.score::<Compactor>(&params).unwrap()
    };
    let (attention, blend) = (score(json!(0.0)), score(json!(0.35)));
    let leverage = layer.score::<Leverage>(&json!({})).unwrap();
    for head in 0..2 {
        for entry in 0..40 {
            let sum = 0.35 * leverage[head][entry] + attention[head][entry];
            assert!((blend[head][entry] - sum).abs() < 1e-5);
        }
    }
    assert_eq!(score(Value::Null), score(json!(layer.ratio)));
}
