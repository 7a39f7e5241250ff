//! Every kind of wrong input is one clear error with exit code 2, before anything has run.

use std::os::unix::fs::PermissionsExt;

use super::harness::{Bench, root};

/// Runs `test.toml` and returns the error, which must be the only output.
fn error(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    let at = stderr.find("error: ").unwrap_or_else(|| panic!("no error in {stderr}"));
    let message = stderr[at + 7..].trim_end().replace(bench.path().to_str().unwrap(), "DIR");
    message.replace(root().to_str().unwrap(), "ROOT")
}

/// The error of an experiment whose text is `text`.
fn error_of(text: &str) -> String {
    let bench = Bench::new(&["affine"]);
    bench.write("test.toml", text);
    error(&bench, &[])
}

fn experiment(model: &str, more: &str) -> String {
    format!(
        "name = \"test\"\n[model]\nsource = {model:?}\ndevice = \"cpu\"\n[data]\nsource = \"wikitext-2-raw\"\nfirst_k_tokens = 600\n[protocol]\nwindow = 256\nstride = 128\n{more}"
    )
}

fn model() -> String {
    root().join("assets/models/wiki-4m").to_str().unwrap().to_owned()
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in:\n{message}");
    }
}

#[test]
fn a_missing_experiment_file() {
    let bench = Bench::new(&[]);
    assert_says(&error(&bench, &[]), &["test.toml", "cannot be read"]);
}

#[test]
fn a_misspelt_key() {
    let message = error_of(&experiment(&model(), "[partition]\nplann = \"none\"\n"));
    assert_says(&message, &["test.toml:12", "plann", "unknown key", "did you mean `plan`?"]);
}

#[test]
fn a_missing_model() {
    assert_says(&error_of(&experiment("no/such/model", "")), &["no/such/model", "no such model"]);
}

#[test]
fn a_truncated_model() {
    let bench = Bench::new(&[]);
    let copy = copy_of_model(&bench);
    let weights = copy.join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    bench.write("test.toml", &experiment("model", ""));
    assert_says(&error(&bench, &[]), &["model.safetensors"]);
}

#[test]
fn a_missing_tokenizer() {
    let bench = Bench::new(&[]);
    std::fs::remove_file(copy_of_model(&bench).join("tokenizer.json")).unwrap();
    bench.write("test.toml", &experiment("model", ""));
    assert_says(&error(&bench, &[]), &["tokenizer.json"]);
}

#[test]
fn a_size_that_nobody_has_room_for() {
    for size in ["1000000000", "18446744073709551615"] {
        let bench = Bench::new(&[]);
        edit_config(&bench, "\"num_hidden_layers\": 8", &format!("\"num_hidden_layers\": {size}"));
        assert_says(&error(&bench, &[]), &["num_hidden_layers", "expected 8", size]);
        let bench = Bench::new(&[]);
        edit_config(&bench, "\"vocab_size\": 4096", &format!("\"vocab_size\": {size}"));
        assert_says(&error(&bench, &[]), &[size]);
    }
}

#[test]
fn a_layer_that_the_configuration_does_not_know() {
    let bench = Bench::new(&[]);
    edit_config(&bench, "\"num_hidden_layers\": 8", "\"num_hidden_layers\": 7");
    let message = error(&bench, &[]);
    assert_says(&message, &["model.layers.7.", "7 layers, the checkpoint has 8", "ignore = ["]);
}

#[test]
fn something_else_in_a_files_place() {
    let bench = Bench::new(&[]);
    let weights = copy_of_model(&bench).join("model.safetensors");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    for (content, parts) in [
        (pointer, ["model.safetensors", "git lfs pull"]),
        ("<!DOCTYPE html>", ["model.safetensors", "web page"]),
    ] {
        std::fs::write(&weights, content).unwrap();
        bench.write("test.toml", &experiment("model", ""));
        assert_says(&error(&bench, &[]), &parts);
    }
}

#[test]
fn names_that_others_use() {
    let message = error_of(&experiment("owner/name", ""));
    assert_says(&message, &["\"hf:owner/name\""]);
    let text = experiment(&model(), "").replace("wikitext-2-raw", "wikitext2");
    assert_says(&error_of(&text), &["it is called \"wikitext-2-raw\" here"]);
}

#[test]
fn an_unknown_architecture() {
    let bench = Bench::new(&[]);
    edit_config(&bench, "\"model_type\": \"llama\"", "\"model_type\": \"mamba\"");
    assert_says(&error(&bench, &[]), &["mamba", "llama"]);
}

#[test]
fn a_tensor_of_the_wrong_shape() {
    let bench = Bench::new(&[]);
    edit_config(&bench, "\"intermediate_size\": 512", "\"intermediate_size\": 511");
    assert_says(&error(&bench, &[]), &["mlp", "511", "512"]);
}

#[test]
fn a_layer_that_is_not_in_the_file() {
    let bench = Bench::new(&[]);
    edit_config(&bench, "\"num_hidden_layers\": 8", "\"num_hidden_layers\": 9");
    let parts = ["num_hidden_layers", "expected 8, as many layers", "found 9"];
    assert_says(&error(&bench, &[]), &parts);
}

#[test]
fn a_cut_past_the_last_layer() {
    let message = error_of(&experiment(&model(), "[partition]\ncuts = [3, 9]\n"));
    assert_says(&message, &["test.toml:12", "partition.cuts[1]", "found 9", "8"]);
}

#[test]
fn an_unknown_codec() {
    let more = "[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"afine\"\n";
    let message = error_of(&experiment(&model(), more));
    assert_says(&message, &["afine", "affine", "plugins"]);
}

#[test]
fn a_misspelt_parameter() {
    let more =
        "[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"affine\"\nparams = { bitts = 4 }\n";
    let message = error_of(&experiment(&model(), more));
    assert_says(&message, &["test.toml:15", "bitts", "did you mean `bits`?"]);
}

#[test]
fn a_parameter_out_of_range() {
    let more =
        "[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"affine\"\nparams = { bits = 9 }\n";
    let message = error_of(&experiment(&model(), more));
    assert_says(&message, &["test.toml:15", "bits", "8", "found 9"]);
}

#[test]
fn two_cells_that_are_the_same() {
    let more = "[partition]\ncuts = [3]\n[[compressor]]\nlabel = \"a\"\ncodec = \"affine\"\n[[compressor]]\nlabel = \"b\"\ncodec = \"affine\"\n";
    assert_says(&error_of(&experiment(&model(), more)), &["test.toml:16", "\"a\""]);
}

#[test]
fn a_text_that_is_shorter_than_a_window() {
    let text = experiment(&model(), "").replace("stride = 128", "preset = \"gptq\"");
    let text = text.replace("first_k_tokens = 600", "first_k_tokens = 100");
    assert_says(&error_of(&text), &["100", "256"]);
}

#[test]
fn a_text_that_is_not_there() {
    let text = experiment(&model(), "").replace("wikitext-2-raw", "no-such-text.txt");
    assert_says(&error_of(&text), &["no-such-text.txt"]);
}

#[test]
fn a_gpu_that_is_not_there() {
    let text = experiment(&model(), "").replace("device = \"cpu\"", "device = \"cuda:77\"");
    assert_says(&error_of(&text), &["cuda:77", "cannot be used", "\"cpu\""]);
}

#[test]
fn a_results_folder_that_cannot_be_written() {
    let bench = Bench::new(&[]);
    bench.write("test.toml", &experiment(&model(), ""));
    bench.write("taken", "a file");
    let message = error(&bench, &["-o", "taken/results"]);
    assert_says(&message, &["cannot create the results folder taken/results"]);

    // Root writes everywhere, so this half says something for other users only.
    let closed = bench.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_err() {
        let message = error(&bench, &["-o", "closed/results"]);
        assert_says(&message, &["cannot create the results folder closed/results"]);
    }
}

#[test]
fn a_pinned_plugin_with_another_hash() {
    let zeros = "0".repeat(64);
    let more = format!(
        "[plugins.pin]\n\"libstrait_affine.so\" = \"sha256:{zeros}\"\n[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"affine\"\n"
    );
    let message = error_of(&experiment(&model(), &more));
    assert_says(&message, &["libstrait_affine.so", &zeros]);
}

fn copy_of_model(bench: &Bench) -> std::path::PathBuf {
    let copy = bench.path().join("model");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(model()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn edit_config(bench: &Bench, from: &str, to: &str) {
    let config = copy_of_model(bench).join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(from));
    std::fs::write(&config, text.replace(from, to)).unwrap();
    bench.write("test.toml", &experiment("model", ""));
}
