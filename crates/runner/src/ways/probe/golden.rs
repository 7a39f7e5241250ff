//! Importances against those that PyTorch computes from Transformers' attention probabilities.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use strait_model::{Device, Dtype, Model, RunInput};
use strait_schema::{Aggregate, Metric};
use strait_weights::Checkpoint;

use super::{HeadWeights, Kind, Probe, Probed, Probes, SideRequest};

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let most = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 2e-5 * most, "{what}: {found} and {expected}");
    }
}

#[test]
fn every_metric_is_that_of_pytorch() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(package.join("golden/importance.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let chunk = golden["chunk"].as_u64().unwrap() as usize;
    for (name, golden) in golden["models"].as_object().unwrap() {
        let path = package.join("../model/tests/families").join(name);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let mut model = Model::load(&checkpoint, &[], &[Device::Cpu], Dtype::F32).unwrap();
        let layers = model.config().layers;
        let tokens: Vec<u32> = floats(&golden["tokens"]).iter().map(|x| *x as u32).collect();
        let weights = golden["weights"].as_array().unwrap().iter().map(floats).collect();
        let weights = Arc::new(HeadWeights { sha256: String::new(), layers: weights });
        let kind = |metric| Kind {
            metric,
            weights: (metric == Metric::HeadWeighted).then(|| Arc::clone(&weights)),
        };
        let metrics = Metric::ALL.into_iter().filter(|metric| *metric != Metric::HiddenNorm);
        let wanted: Vec<(usize, Kind)> = metrics
            .flat_map(|metric| (0..layers).map(move |layer| (layer, metric)))
            .map(|(layer, metric)| (layer, kind(metric)))
            .collect();
        for (key, chunk) in [("whole", None), ("chunks", Some(chunk))] {
            // The second sequence is probed as the first is, wherever it stands in the batch.
            let other: Vec<u32> = tokens.iter().rev().copied().collect();
            let both = [other, tokens.clone()].concat();
            let mut probe = Probe::new(vec![Vec::new(), wanted.clone()], chunk);
            let mut probes = [Probes::default(), Probes::default()];
            let stage = &mut *model.stages()[0];
            probe.run(stage, RunInput::Tokens { tokens: &both, batch: 2 }).unwrap();
            probe.add_to(&mut probes);
            for (layer, kind) in &wanted {
                let expected = floats(&golden[key][layer][kind.metric.name()]);
                let what = format!("{name}, layer {layer}, {}, {key}", kind.metric.name());
                close(probes[1].get(*layer, kind).unwrap(), &expected, &what);
                assert!(probes[0].get(*layer, kind).is_none());
            }
            if chunk.is_some() {
                continue;
            }
            for by in [Aggregate::Last, Aggregate::Mean, Aggregate::RunningMean, Aggregate::Maximum]
            {
                let request = SideRequest {
                    kind: kind(Metric::ColumnMean),
                    aggregate: by,
                    layers: vec![(0..layers).collect()],
                };
                let probed = Probed { shared: &probes, own: &[] };
                let found = request.importances(0, 1, probed, &[], 1).unwrap();
                close(&found, &floats(&golden["aggregates"][by.name()]), by.name());
            }
        }
    }
}

#[test]
fn norms_of_hidden_states_are_those_of_pytorch() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(package.join("golden/importance.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    for (name, golden) in golden["models"].as_object().unwrap() {
        let path = package.join("../model/tests/families").join(name);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let mut model = Model::load(&checkpoint, &[0, 1], &[Device::Cpu], Dtype::F32).unwrap();
        let tokens: Vec<u32> = floats(&golden["tokens"]).iter().map(|x| *x as u32).collect();
        let input = RunInput::Tokens { tokens: &tokens, batch: 1 };
        let mut states = model.stages()[0].run(input, None).unwrap();
        let kind = Kind { metric: Metric::HiddenNorm, weights: None };
        let request = SideRequest { kind, aggregate: Aggregate::Last, layers: vec![Vec::new(); 2] };
        for link in 0..2 {
            let probed = Probed { shared: &[], own: &[] };
            let values = states.to_f32();
            let found = request.importances(link, 0, probed, &values, states.channels).unwrap();
            close(&found, &floats(&golden["whole"][link]["hidden-norm"]), name);
            states = model.stages()[1].run(RunInput::Hidden(&states), None).unwrap();
        }
    }
}
