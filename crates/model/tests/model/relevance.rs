//! Relevance of heads against that of PyTorch's autograd in f64, on tiny checkpoints of many families.

use std::path::Path;

use serde_json::Value;
use strait_model::head_relevance;
use strait_weights::Checkpoint;

#[test]
fn relevance_of_heads_is_that_of_autograd() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let text = std::fs::read_to_string(tests.join("relevance/relevance.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    for (name, golden) in golden["models"].as_object().unwrap() {
        let checkpoint = Checkpoint::open(&tests.join("families").join(name)).unwrap();
        let windows: Vec<Vec<u32>> = serde_json::from_value(golden["windows"].clone()).unwrap();
        let heads: Vec<Vec<f64>> = serde_json::from_value(golden["heads"].clone()).unwrap();
        let mut steps = Vec::new();
        let found = head_relevance(&checkpoint, &windows, &mut |done, all| steps.push((done, all)));
        let found = found.unwrap();
        assert_eq!(found.len(), heads.len(), "{name}");
        for (layer, (found, expected)) in found.iter().zip(&heads).enumerate() {
            assert_eq!(found.len(), expected.len(), "{name}, layer {layer}");
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs();
                assert!(error <= 1e-4, "{name}, layer {layer}: {found} and {expected}");
            }
        }
        let all = 2 * heads.len();
        assert_eq!(steps, (0..all).map(|done| (done, all)).collect::<Vec<_>>());
    }
}

#[test]
fn windows_that_say_nothing_are_refused() {
    let family = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/llama");
    let checkpoint = Checkpoint::open(&family).unwrap();
    let message = |windows: &[Vec<u32>]| {
        head_relevance(&checkpoint, windows, &mut |_, _| {}).unwrap_err().to_string()
    };
    assert!(message(&[vec![1]]).contains("at least 2"));
    assert!(
        message(&[vec![1, u32::MAX]]).contains("vocabulary"),
        "{}",
        message(&[vec![1, u32::MAX]])
    );
}
