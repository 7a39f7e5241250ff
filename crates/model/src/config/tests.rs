//! Keys, their defaults, and what is refused.

use std::path::Path;

use serde_json::{Value, json};
use strait_ops::RopeScaling;

use super::*;

fn small() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 100,
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut config = small();
    config[key] = value;
    config
}

fn rope(config: &Value) -> strait_ops::RopeConfig {
    let config = ModelConfig::from_json(config).unwrap();
    config.blocks[0].attention.rope.clone().unwrap()
}

fn families() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families")
}

fn read(path: &Path) -> Value {
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

#[test]
fn defaults() {
    let config = ModelConfig::from_json(&small()).unwrap();
    let attention = &config.blocks[1].attention;
    assert_eq!((attention.head_dim, attention.kv_heads, attention.window), (16, 4, None));
    let rope = attention.rope.as_ref().unwrap();
    assert_eq!((rope.theta, &rope.scaling, rope.rotated), (10_000.0, &RopeScaling::None, 16));
    assert_eq!(config.parameters(), 2 * (4 * 64 * 64 + 3 * 64 * 96 + 128) + 2 * 6400 + 64);

    let absent = ["head_dim", "num_key_value_heads", "tie_word_embeddings", "sliding_window"];
    let mut config = small();
    config["num_attention_heads"] = json!(32);
    for (family, head_dim, kv_heads, tied, window) in [
        ("mistral", 2, 8, false, Some(4096)),
        ("mixtral", 2, 8, false, None),
        ("qwen2", 2, 32, false, None),
        ("qwen3", 128, 32, false, None),
        ("qwen3_moe", 2, 4, false, None),
        ("gemma3_text", 256, 4, true, Some(4096)),
        ("phi3", 2, 32, false, None),
        ("olmo2", 2, 32, false, None),
        ("olmo3", 2, 32, false, Some(4096)),
        ("olmoe", 2, 32, false, None),
        ("smollm3", 2, 4, true, None),
        ("seed_oss", 128, 8, false, None),
        ("starcoder2", 2, 2, true, None),
        ("stablelm", 8, 32, false, None),
        ("exaone4", 2, 32, false, Some(4096)),
        ("ministral", 2, 8, false, Some(4096)),
        ("gemma", 256, 16, true, None),
        ("gemma2", 256, 4, true, Some(4096)),
        ("arcee", 2, 32, false, None),
        ("granite", 2, 32, false, None),
        ("phi", 8, 32, false, None),
        ("nemotron", 8, 32, false, None),
        ("qwen2_moe", 2, 16, false, None),
        ("minimax_m2", 128, 8, false, None),
        ("glm4_moe", 8, 8, false, None),
        ("glm4", 128, 2, false, None),
        ("ernie4_5", 128, 2, true, None),
        ("ernie4_5_moe", 2, 4, true, None),
        ("deepseek_v2", 192, 32, false, None),
    ] {
        // A quarter of a head's channels must be even.
        config["hidden_size"] =
            json!(if ["glm4_moe", "nemotron", "phi", "stablelm"].contains(&family) {
                256
            } else {
                64
            });
        config["model_type"] = json!(family);
        // Without a default of its own.
        config["num_experts_per_tok"] = match family {
            "deepseek_v2" => json!(6),
            _ => Value::Null,
        };
        assert!(absent.iter().all(|key| config.get(key).is_none()));
        let model = ModelConfig::from_json(&config).unwrap();
        let attention = &model.blocks[0].attention;
        let found = (attention.head_dim, attention.kv_heads, model.tied_head, attention.window);
        assert_eq!(found, (head_dim, kv_heads, tied, window), "{family}");
    }
}

#[test]
fn null_is_not_absent_where_it_says_something() {
    let mut config = with("model_type", json!("mistral"));
    config["num_attention_heads"] = json!(16);
    config["sliding_window"] = Value::Null;
    config["num_key_value_heads"] = Value::Null;
    let attention = &ModelConfig::from_json(&config).unwrap().blocks[0].attention;
    assert_eq!((attention.window, attention.kv_heads), (None, 16));
}

#[test]
fn both_styles_of_every_family_read_the_same() {
    let mut seen = 0;
    for folder in std::fs::read_dir(families()).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            let [older, newer] = ["config.json", "config.v5.json"]
                .map(|name| ModelConfig::from_json(&read(&folder.join(name))).unwrap());
            assert_eq!(older, newer, "{}", folder.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 50);
}

#[test]
fn frequencies_are_those_of_transformers() {
    let cases = read(&families().join("rope.json"));
    for case in cases.as_array().unwrap() {
        let name = &case["name"];
        let config = ModelConfig::from_json(&case["config"]).unwrap();
        let layer = case["layer"].as_u64().unwrap() as usize;
        let rope = config.blocks[layer].attention.rope.as_ref().unwrap();
        let expected = case["attention_factor"].as_f64().unwrap();
        assert!((rope.attention_factor - expected).abs() < 1e-12, "{name}");
        let length = case["length"].as_u64().unwrap() as usize;
        let found = rope.frequencies(rope.is_long(length));
        let expected = case["frequencies"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            let expected = expected.as_f64().unwrap();
            let error = (f64::from(*found) / expected - 1.0).abs();
            assert!(error < 2.5e-7, "{name}: {found} {expected}");
        }
    }
}

#[test]
fn the_older_table_wins() {
    let mut config = with("rope_scaling", json!({"type": "linear", "factor": 2.0}));
    config["rope_parameters"] = json!({"rope_type": "linear", "factor": 4.0, "rope_theta": 5.0});
    config["rope_theta"] = json!(7.0);
    let rope = rope(&config);
    assert_eq!((rope.theta, rope.scaling), (7.0, RopeScaling::Linear { factor: 2.0 }));
}

#[test]
fn unknown_family_lists_the_known_ones() {
    let error = ModelConfig::from_json(&with("model_type", json!("mamba"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown architecture: expected \"model_type\" to be one of \"arcee\", \"deepseek_v2\", \"deepseek_v3\", \
         \"dots1\", \"ernie4_5\", \"ernie4_5_moe\", \"exaone4\", \"gemma\", \"gemma2\", \"gemma3_text\", \"glm4\", \"glm4_moe\", \"glm4_moe_lite\", \"gpt2\", \"gpt_bigcode\", \"gpt_neo\", \"gpt_neox\", \"granite\", \"kimi_k2\", \"llama\", \"minimax_m2\", \
         \"ministral\", \"mistral\", \"mixtral\", \"nemotron\", \"olmo2\", \"olmo3\", \"olmoe\", \"opt\", \"phi\", \"phi3\", \
         \"qwen2\", \"qwen2_5_vl_text\", \"qwen2_moe\", \"qwen2_vl_text\", \"qwen3\", \"qwen3_moe\", \
         \"qwen3_vl_text\", \"seed_oss\", \"smollm3\", \"stablelm\", \"starcoder2\", \"vaultgemma\", \"gemma3\", \"idefics3\", \"internvl\", \"llava\", \"llava_next\", \"mistral3\", \
         \"qwen2_5_vl\", \"qwen2_vl\", \"qwen3_vl\", \"smolvlm\", found \"mamba\"; use a \
         checkpoint of a supported family"
    );
}

#[test]
fn bad_values_name_the_key() {
    for (family, key, value, expected) in [
        ("llama", "hidden_size", json!(0), "a whole number above 0"),
        ("llama", "num_hidden_layers", json!(1_000_000_000), "at most 10000"),
        ("gpt2", "n_layer", json!(u64::MAX), "at most 10000"),
        ("llama", "vocab_size", json!(u64::MAX), "at most 2147483647"),
        ("llama", "num_attention_heads", json!(5), "a divisor of the hidden size 64"),
        ("llama", "num_key_value_heads", json!(3), "a divisor of 4"),
        ("llama", "head_dim", json!(15), "an even number, since"),
        ("llama", "hidden_act", json!("mish"), "\"silu\", \"gelu\""),
        ("llama", "rope_scaling", json!({"type": "ntk"}), "\"yarn\" or \"longrope\""),
        ("llama", "rope_scaling", json!({"type": "linear"}), "no such key"),
        ("llama", "mlp_bias", json!("yes"), "true or false"),
        ("llama", "partial_rotary_factor", json!(0.5), "1.0 in this family"),
        ("phi3", "partial_rotary_factor", json!(0.2), "an even number of 16 channels"),
        (
            "phi3",
            "rope_scaling",
            json!({"type": "su", "short_factor": [1.0], "long_factor": [1.0]}),
            "8 numbers above 0, found 1 values",
        ),
        ("gemma3_text", "attn_logit_softcapping", json!(50.0), "null, the only value"),
        ("gemma3_text", "use_bidirectional_attention", json!(true), "false, the only value"),
        ("gemma3_text", "layer_types", json!(["full_attention"]), "2 times \"full_attention\""),
        ("gemma3", "text_config", Value::Null, "an object"),
        ("mixtral", "num_experts_per_tok", json!(9), "at most 8, the number of experts"),
        ("qwen3_moe", "mlp_only_layers", json!([0.5]), "a list of layer numbers"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", json!(true), "false, the only value"),
        ("gpt2", "scale_attn_weights", json!(false), "true, the only value"),
        ("gpt2", "add_cross_attention", json!(true), "false, the only value"),
        ("gpt_bigcode", "scale_attn_weights", json!(false), "true, the only value"),
        ("gpt_neo", "attention_types", json!([[["global"], 2]]), "for 24 layers, as [[KINDS"),
        ("gpt_neo", "attention_types", json!([[["global"], u64::MAX]]), "\"local\" for 24"),
        ("stablelm", "qk_layernorm", json!(true), "false, the only value"),
        ("phi", "qk_layernorm", json!(true), "false, the only value"),
        ("opt", "do_layer_norm_before", json!(false), "true, the only value"),
        ("opt", "word_embed_proj_dim", json!(32), "64, the only value"),
        ("gemma2", "attn_logit_softcapping", json!(0), "a number above 0"),
        ("granite", "residual_multiplier", json!(0), "a number above 0"),
        ("smollm3", "no_rope_layers", json!([1]), "2 times 1 or 0"),
        ("olmo3", "layer_types", json!(["full_attention"]), "2 times \"full_attention\""),
        ("olmoe", "num_experts_per_tok", json!(65), "at most 64, the number of experts"),
        ("exaone4", "sliding_window_pattern", json!("LLLG"), "a whole number above 0"),
        ("deepseek_v3", "scoring_func", json!("softmax"), "\"sigmoid\", the only value"),
        ("deepseek_v3", "n_group", json!(7), "equally large"),
        ("deepseek_v3", "topk_group", json!(9), "at most 8, the number of groups"),
        ("deepseek_v3", "num_experts_per_tok", json!(129), "at most 128, which 4 of 8 groups hold"),
        ("deepseek_v3", "num_key_value_heads", json!(2), "4, as many as there are query heads"),
        ("deepseek_v3", "n_shared_experts", json!(2_000_000), "fit into memory"),
        ("deepseek_v3", "kv_lora_rank", json!(0), "a whole number above 0"),
        ("glm4_moe_lite", "mlp_layer_types", json!(["dense"]), "2 times \"dense\" or \"sparse\""),
        ("ernie4_5_moe", "moe_layer_end_index", json!(-2), "the number of a layer, or -1"),
        ("ernie4_5_moe", "use_bias", json!(true), "false, the only value"),
        ("minimax_m2", "use_qk_norm", json!(false), "true, the only value"),
        ("qwen2_moe", "mlp_only_layers", json!(3), "a list of layer numbers"),
    ] {
        let mut config = with(key, value);
        config["model_type"] = json!(family);
        config["num_key_value_heads"] = match key {
            "num_key_value_heads" => config[key].clone(),
            _ => json!(4),
        };
        let message = ModelConfig::from_json(&config).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(key) || key == "rope_scaling", "{message}");
    }
}

#[test]
fn the_text_part_of_a_multimodal_model() {
    let mut text = with("model_type", json!("gemma3_text"));
    text["num_key_value_heads"] = json!(2);
    let whole = json!({"model_type": "gemma3", "text_config": text});
    let model = ModelConfig::from_json(&whole).unwrap();
    assert_eq!(model, ModelConfig::from_json(&whole["text_config"]).unwrap());
    assert!(model.tied_head && model.shape.embedding_scale == 8.0);
}

#[test]
fn text_parts_are_found_by_the_model_around_them() {
    let wrapped = |around: &str, inner: Value| {
        let mut text = small();
        // Mistral's default, 8, does not fit four heads.
        text["num_key_value_heads"] = json!(2);
        text["model_type"] = inner;
        ModelConfig::from_json(&json!({"model_type": around, "text_config": text}))
            .map(|model| model.model_type)
    };
    assert_eq!(wrapped("llava", Value::Null).unwrap(), "llama");
    assert_eq!(wrapped("llava", json!("mistral")).unwrap(), "mistral");
    assert_eq!(wrapped("of_tomorrow", json!("qwen2")).unwrap(), "qwen2");
    assert!(wrapped("of_tomorrow", Value::Null).is_err());
    let error = wrapped("llava", json!("mamba")).unwrap_err().to_string();
    assert!(error.contains("found \"mamba\""), "{error}");
}

#[test]
fn dynamic_positions_are_those_of_the_original_context_up_to_its_end() {
    let mut config = with("rope_scaling", json!({"type": "dynamic", "factor": 2.0}));
    config["max_position_embeddings"] = json!(64);
    let model = ModelConfig::from_json(&config).unwrap();
    assert_eq!((model.longest, model.max_positions), (Some(64), 64));
    assert_eq!(rope(&config).scaling, RopeScaling::None);
    assert_eq!(ModelConfig::from_json(&small()).unwrap().longest, None);
}
