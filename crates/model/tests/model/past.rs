//! Caches: runs of tokens against whole sequences, single tokens, what is removed, and what is probed.

use std::error::Error;

use strait_model::{
    Ahead, CacheVisitor, CachedLayer, CachedRun, Device, Dtype, Hidden, Model, ModelError,
    ProbeRequest, ProbeResult, RunInput, ScoreRange, Stage, StageCaches,
};

use crate::support::{FAMILIES, devices, embed, load, next_tokens, relative_error};

/// Largest difference between sums in another order, relative to the largest value of a row.
const ORDER: f64 = 2e-5;

fn tokens(model: &Model, length: usize) -> Vec<u32> {
    let vocab = model.config().shape.vocab;
    (0..length).map(|i| (i * i * 31 % vocab) as u32).collect()
}

fn caches(model: &mut Model, sequences: usize, rotated: bool) -> Vec<StageCaches> {
    model.stages().iter_mut().map(|stage| stage.open_caches(sequences, rotated)).collect()
}

/// States after all layers of one sequence that goes through in runs of these lengths.
fn in_runs(
    model: &mut Model,
    tokens: &[u32],
    runs: &[usize],
    rotated: bool,
    visitor: &mut dyn CacheVisitor,
) -> Vec<f32> {
    let mut caches = caches(model, 1, rotated);
    let (mut first, mut states) = (0, Vec::new());
    for &length in runs {
        let part = &tokens[first..first + length];
        let mut hidden: Option<Hidden> = None;
        for (stage, caches) in model.stages().iter_mut().zip(&mut caches) {
            let input = match &hidden {
                None => RunInput::Tokens { tokens: part, batch: 1 },
                Some(hidden) => RunInput::Hidden(hidden),
            };
            let cached = CachedRun { caches, first_position: first, visitor: Some(&mut *visitor) };
            hidden = Some(stage.run(input, Some(cached)).unwrap());
        }
        states.extend(hidden.unwrap().to_f32());
        first += length;
    }
    assert_eq!(first, tokens.len());
    states
}

/// Touches nothing.
struct Nothing;

impl CacheVisitor for Nothing {
    fn probes(&self, _: usize) -> bool {
        false
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        assert!(layer.probe(&ProbeRequest::at(0..1)).is_err());
        Ok(())
    }
}

/// Reads every cache and writes the same back.
struct Rewrite;

impl CacheVisitor for Rewrite {
    fn probes(&self, _: usize) -> bool {
        false
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        let contents = layer.contents()?;
        for head in &contents.heads {
            let expected: Vec<u32> = (0..layer.positions().end as u32).collect();
            assert_eq!(head.positions, expected);
        }
        layer.replace(contents)?;
        Ok(())
    }
}

#[test]
fn runs_of_tokens_give_what_whole_sequences_give_to_the_last_bit() {
    for name in FAMILIES {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut model = load(name, &[0], Device::Cpu, dtype);
            let length = model.config().positions.unwrap_or(300).min(300);
            let tokens = tokens(&model, length);
            let whole = in_runs(&mut model, &tokens, &[length], true, &mut Nothing);
            let runs = [length / 9, 2, length / 3, length - length / 9 - length / 3 - 2];
            let parts = in_runs(&mut model, &tokens, &runs, true, &mut Rewrite);
            assert_eq!(parts, whole, "{name} in {dtype}");
            // LongRoPE turns by the length so far, and a cache keeps what was rotated.
            let later = in_runs(&mut model, &tokens, &runs, false, &mut Rewrite);
            if name != "phi3" && name != "phi3-partial" {
                assert_eq!(later, whole, "{name} in {dtype}, rotated later");
            }
            let stages = model.stages();
            let states = embed(&mut stages[0], &tokens, 1).unwrap();
            let last = stages.last_mut().unwrap();
            let (scores, _) =
                last.reference(&states, Ahead::Layers, &[next_tokens(&tokens)]).unwrap();
            let shape = [1, length, states.channels];
            let states = Hidden::from_f32(&whole, shape, dtype).unwrap();
            let (after, kept) =
                last.reference(&states, Ahead::Head, &[next_tokens(&tokens)]).unwrap();
            assert_eq!(scores, after, "{name} in {dtype}");
            let again =
                last.score(&states, Ahead::Head, &[next_tokens(&tokens)], &kept, &[0]).unwrap();
            assert_eq!(again[0].nll, after[0].nll);
            assert!(again[0].kld.iter().all(|&kld| kld == 0.0));
        }
    }
}

#[test]
fn single_tokens_and_other_devices_agree() {
    for device in devices() {
        for name in FAMILIES {
            let mut reference = load(name, &[], Device::Cpu, Dtype::F32);
            let length = reference.config().positions.unwrap_or(90).min(90);
            let tokens = tokens(&reference, length);
            let whole = in_runs(&mut reference, &tokens, &[length], true, &mut Nothing);
            let channels = whole.len() / length;
            let mut model = load(name, &[], device, Dtype::F32);
            let runs: Vec<usize> = [length - 30].into_iter().chain([1; 20]).chain([10]).collect();
            for rotated in [true, false] {
                if !rotated && name.starts_with("phi3") {
                    continue;
                }
                let parts = in_runs(&mut model, &tokens, &runs, rotated, &mut Rewrite);
                let error = relative_error(&parts, &whole, channels);
                assert!(error < ORDER, "{name} on {device}, rotated {rotated}: {error}");
            }
        }
    }
}

/// Keeps other tokens in every key head after the first run.
struct Thin;

impl CacheVisitor for Thin {
    fn probes(&self, _: usize) -> bool {
        false
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        if layer.positions().start > 0 {
            return Ok(());
        }
        let (mut contents, dim) = (layer.contents()?, layer.shape().head_dim);
        let value_dim = layer.shape().value_dim;
        for (index, head) in contents.heads.iter_mut().enumerate() {
            let keep: Vec<usize> =
                (0..head.len()).filter(|entry| entry % (index + 2) != 1 || *entry > 50).collect();
            let rows = |values: &[f32], width: usize| {
                keep.iter().flat_map(|&e| values[e * width..(e + 1) * width].to_vec()).collect()
            };
            let keys: Vec<f32> = rows(&head.keys, dim);
            head.values = rows(&head.values, value_dim);
            head.positions = keep.iter().map(|&entry| head.positions[entry]).collect();
            // Half of the channels of the keys go, too.
            let channels: Vec<u16> = (0..dim as u16).filter(|c| c % 2 == 0).collect();
            head.keys = keys
                .chunks_exact(dim)
                .flat_map(|key| channels.iter().map(|&c| key[usize::from(c)]).collect::<Vec<_>>())
                .collect();
            head.key_channels = Some(channels);
        }
        layer.replace(contents)?;
        Ok(())
    }
}

#[test]
fn what_is_removed_is_gone_on_every_device() {
    for name in ["llama", "gpt2", "mistral", "gemma3", "gpt-neox", "qwen3"] {
        let mut reference = load(name, &[], Device::Cpu, Dtype::F32);
        let length = reference.config().positions.unwrap_or(90).min(90);
        let first = length - 30;
        let tokens = tokens(&reference, length);
        let whole = in_runs(&mut reference, &tokens, &[first, 30], true, &mut Nothing);
        let thin = in_runs(&mut reference, &tokens, &[first, 30], true, &mut Thin);
        let channels = whole.len() / length;
        assert_eq!(thin[..first * channels], whole[..first * channels], "{name}");
        assert!(relative_error(&thin, &whole, channels) > 1e-3, "{name}");
        let runs: Vec<usize> = [first].into_iter().chain([1; 30]).collect();
        for device in devices() {
            let mut model = load(name, &[], device, Dtype::F32);
            for runs in [&[first, 30][..], &runs] {
                let found = in_runs(&mut model, &tokens, runs, true, &mut Thin);
                let error = relative_error(&found, &thin, channels);
                assert!(error < ORDER, "{name} on {device}: {error}");
            }
        }
    }
}

/// Keeps what it sees of one layer.
struct Watch {
    layer: usize,
    rows: std::ops::Range<usize>,
    found: Vec<ProbeResult>,
    inputs: Vec<Vec<f32>>,
}

impl CacheVisitor for Watch {
    fn probes(&self, layer: usize) -> bool {
        layer == self.layer
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        if layer.number() == self.layer {
            let rows = self.rows.start.min(layer.positions().len())
                ..self.rows.end.min(layer.positions().len());
            let request = ProbeRequest {
                queries: true,
                sums: true,
                each: true,
                entropy: true,
                states: true,
                outputs: true,
                ..ProbeRequest::at(rows)
            };
            self.found.push(layer.probe(&request)?);
            self.inputs.push(layer.hidden()?.to_f32());
        }
        Ok(())
    }
}

#[test]
fn attention_is_seen_as_it_is() {
    for name in FAMILIES {
        let see = |device: Device| {
            let mut model = load(name, &[], device, Dtype::F32);
            let length = model.config().positions.unwrap_or(60).min(60);
            let tokens = tokens(&model, length);
            let rows = 3..40;
            let mut watch = Watch { layer: 1, rows, found: Vec::new(), inputs: Vec::new() };
            in_runs(&mut model, &tokens, &[length - 15, 15], true, &mut watch);
            let heads = model.config().blocks[1].attention.clone();
            (watch, heads, length)
        };
        let (own, shape, length) = see(Device::Cpu);
        let runs = [(0, length - 15), (length - 15, length)];
        for (found, (start, entries)) in own.found.iter().zip(runs) {
            let rows = (entries - start).min(40) - 3;
            assert_eq!((found.queries.len(), found.outputs.len()), (shape.heads, shape.heads));
            assert!(!found.states.is_empty() && found.states.len().is_multiple_of(rows));
            for head in 0..shape.heads {
                assert_eq!(found.queries[head].len(), rows * shape.head_dim);
                let each = &found.each[head];
                assert_eq!((each.len(), found.sums[head].len()), (rows * entries, entries));
                assert_eq!(found.outputs[head].len(), entries);
                for (row, shares) in each.chunks_exact(entries).enumerate() {
                    let total: f32 = shares.iter().sum();
                    assert!((total - 1.0).abs() < 1e-5, "{name}: {total}");
                    let position = start + 3 + row;
                    assert!(shares[position + 1..].iter().all(|&share| share == 0.0));
                    if let Some(window) = shape.window {
                        let hidden = (position + 1).saturating_sub(window);
                        assert!(shares[..hidden].iter().all(|&share| share == 0.0));
                    }
                    let entropy: f32 =
                        shares.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum();
                    assert!((entropy - found.entropy[head][row]).abs() < 1e-4);
                }
                for (entry, sum) in found.sums[head].iter().enumerate() {
                    let expected: f32 = each.iter().skip(entry).step_by(entries).sum();
                    assert!((sum - expected).abs() < 1e-4);
                }
            }
        }
        for device in devices().into_iter().skip(1) {
            let (other, ..) = see(device);
            assert_eq!(other.inputs.len(), 2);
            for (own, other) in own.found.iter().zip(&other.found) {
                let pairs = [
                    (&own.queries, &other.queries),
                    (&own.sums, &other.sums),
                    (&own.each, &other.each),
                    (&own.entropy, &other.entropy),
                    (&own.outputs, &other.outputs),
                    (&vec![own.states.clone()], &vec![other.states.clone()]),
                ];
                for (own, other) in pairs {
                    let (own, other) = (own.concat(), other.concat());
                    assert!(relative_error(&other, &own, own.len()) < ORDER, "{name} on {device}");
                }
            }
        }
    }
}

#[test]
fn logits_of_a_row_give_its_likelihood() {
    for device in devices() {
        let mut model = load("llama", &[], device, Dtype::F32);
        let tokens = tokens(&model, 50);
        let stages = model.stages();
        let states = embed(&mut stages[0], &tokens, 1).unwrap();
        let range = ScoreRange { first_position: 9, targets: vec![7; 12] };
        let (scores, kept) = stages[0].reference(&states, Ahead::Layers, &[range]).unwrap();
        for row in [0, 11] {
            let logits = stages[0].logits(&kept, 0, row).unwrap();
            let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            let nll = total.ln() - f64::from(logits[7]);
            assert!((nll - scores[0].nll[row]).abs() < 1e-5, "{device}");
        }
        assert!(stages[0].logits(&kept, 0, 12).is_err() && stages[0].logits(&kept, 1, 0).is_err());
    }
}

/// A first run with caches.
fn cached(
    stage: &mut Box<dyn Stage>,
    input: RunInput<'_>,
    caches: &mut StageCaches,
) -> Result<Hidden, ModelError> {
    stage.run(input, Some(CachedRun { caches, first_position: 0, visitor: None }))
}

#[test]
fn caches_must_fit() {
    let mut model = load("llama", &[0], Device::Cpu, Dtype::F32);
    let mut caches = caches(&mut model, 2, true);
    let stages = model.stages();
    let tokens = |tokens| RunInput::Tokens { tokens, batch: 2 };
    let (first, rest) = caches.split_at_mut(1);
    let error = cached(&mut stages[0], tokens(&[1, 2, 3]), &mut first[0]).unwrap_err();
    assert_eq!(error.to_string(), "tokens: expected a multiple of the batch 2, above 0, found 3");
    let hidden = cached(&mut stages[0], tokens(&[1, 2]), &mut first[0]).unwrap();
    assert!(cached(&mut stages[1], tokens(&[1, 2]), &mut rest[0]).is_err());
    assert!(cached(&mut stages[1], RunInput::Hidden(&hidden), &mut rest[0]).is_ok());
    let alone = RunInput::Tokens { tokens: &[1], batch: 1 };
    let error = cached(&mut stages[0], alone, &mut first[0]).unwrap_err();
    assert_eq!(error.to_string(), "caches: expected 1, found 2");
    if stages[0].layers().len() != stages[1].layers().len() {
        assert!(cached(&mut stages[1], RunInput::Hidden(&hidden), &mut first[0]).is_err());
    }
}
