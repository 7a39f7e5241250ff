//! What is refused, and with which words.

use strait_model::{Ahead, Device, Dtype, Hidden, Model, ModelError, OpsError, ScoreRange};

use crate::support::{Golden, Patched, embed, forward, load, model, next_tokens};

#[test]
fn a_missing_or_wrong_tensor_is_named() {
    let mut source = Patched::new("llama");
    source.missing = Some("model.layers.1.mlp.up_proj.weight");
    let message = source.load_error();
    assert!(message.contains("\"model.layers.1.mlp.up_proj.weight\""), "{message}");

    let mut source = Patched::new("llama");
    source.config["intermediate_size"] = 96.into();
    assert_eq!(
        source.load_error(),
        "tensor \"model.layers.0.mlp.gate_proj.weight\": expected shape [96, 40] from the \
         configuration, found [56, 40]; the weights and config.json do not belong together"
    );
}

#[test]
fn bad_arguments_are_refused() {
    let golden = Golden::read("llama");
    let mut loaded = load("llama", &[1], Device::Cpu, Dtype::F32);
    let [first, last] = loaded.stages() else { panic!("two stages") };

    let message = embed(first, &[1, 2, 131], 1).unwrap_err().to_string();
    assert!(message.starts_with("token 131 at position 2: expected an id below 131"), "{message}");
    assert!(matches!(embed(first, &[1, 2, 3], 2), Err(ModelError::Ops(OpsError::Size { .. }))));
    assert!(matches!(embed(last, &[1], 1), Err(ModelError::StagePart { .. })));

    let state = embed(first, &golden.tokens, 2).unwrap();
    let range = next_tokens(&golden.tokens[..40]);
    let both = [range.clone(), range.clone()];
    assert!(matches!(
        first.reference(&state, Ahead::Layers, &both),
        Err(ModelError::StagePart { .. })
    ));
    assert!(matches!(
        last.reference(&state, Ahead::Layers, &both[..1]),
        Err(ModelError::Ops(OpsError::Size { .. }))
    ));
    let late = ScoreRange { first_position: 2, ..range.clone() };
    let message = last.reference(&state, Ahead::Layers, &[range.clone(), late]);
    let message = message.unwrap_err().to_string();
    assert_eq!(message, "score range, end: expected at most 40, found 41");

    let (_, kept) = last.reference(&state, Ahead::Layers, &both).unwrap();
    assert_eq!(kept.sequences(), 2);
    assert!(kept.size_bytes() >= 2 * 39 * 131 * 4);
    let foreign = last.score(&state, Ahead::Layers, &both, &kept, &[0, 2]);
    assert!(matches!(foreign, Err(ModelError::ForeignReference)));

    assert!(matches!(forward(last, &state), Err(ModelError::LastStage { .. })));
    let wide = Hidden::zeros(1, 2, 50, Dtype::F32);
    assert!(matches!(forward(last, &wide), Err(ModelError::Ops(OpsError::Size { .. }))));
    let half = Hidden::zeros(1, 2, 40, Dtype::F16);
    assert!(matches!(forward(last, &half), Err(ModelError::Ops(OpsError::HiddenDtype { .. }))));

    let devices = [Device::Cpu; 2];
    let error = Model::load(&model("llama"), &[], &devices, Dtype::F32).err().unwrap();
    let expected = "devices: expected 1 (for all stages) or 1 (one for each stage), found 2";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn learned_positions_have_an_end() {
    let mut model = load("gpt2", &[], Device::Cpu, Dtype::F32);
    let message = embed(&mut model.stages()[0], &[1; 49], 1).unwrap_err().to_string();
    assert_eq!(
        message,
        "sequence of 49 tokens: expected at most 48, the positions that the model has learned; use \
         a shorter window"
    );
}
