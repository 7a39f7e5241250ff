//! Several models on one text, models quantized on load, and the noise floor.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Bench, nll, root};

fn small() -> String {
    root().join("assets/models/wiki-4m").to_str().unwrap().to_owned()
}

/// Writes `test.toml` with these `[[model]]` tables, whose source is the small model unless they say
/// another, and more at its end.
fn experiment(bench: &Bench, models: &[&str], more: &str) {
    let mut text = "name = \"test\"\n".to_owned();
    for model in models {
        text += "[[model]]\n";
        if !model.contains("device = ") {
            text += "device = \"cpu\"\n";
        }
        if !model.contains("source = ") {
            text += &format!("source = {:?}\n", small());
        }
        text += &format!("{model}\n");
    }
    text += "[data]\nsource = \"wikitext-2-raw\"\nfirst_k_tokens = 1500\n";
    text += &format!("[protocol]\nwindow = 256\nstride = 128\n{more}");
    bench.write("test.toml", &text);
}

fn sum(record: &Value, key: &str) -> f64 {
    record["scores"]["sums"][key].as_f64().unwrap()
}

#[test]
fn models_are_compared_with_the_first() {
    let bench = Bench::new(&[]);
    let full = "label = \"full\"";
    let half = "label = \"half\"\ndtype = \"bf16\"";
    let (int8, nf4) = ("load_in = \"int8\"", "load_in = \"nf4\"\nweights = { streaming = true }");
    experiment(&bench, &[full, half, int8, nf4], "[run]\nbatch_windows = 2\nnoise_floor = true\n");
    bench.run_ok(&["-o", "results"]);
    let record = |label: &str| bench.record("results", label);
    let reference = record("full");
    for (label, bits, least, most) in [
        ("half", 16.0, 1e-6, 1e-3),
        ("wiki-4m int8", 8.14, 1e-6, 1e-3),
        ("wiki-4m nf4", 4.5, 1e-3, 0.1),
        ("noise floor", 16.0, 1e-7, 1e-3),
    ] {
        let record = record(label);
        let kld = record["scores"]["kld"]["mean"].as_f64().unwrap();
        assert!((least..most).contains(&kld), "{label}: {kld}");
        assert_eq!(sum(&record, "b"), sum(&reference, "a"), "{label}");
        let storage = &record["cell"]["model"]["storage"];
        let count = |key: &str| storage[key].as_f64().unwrap();
        let found = 8.0 * count("decoder_bytes") / count("decoder_values");
        assert!((found - bits).abs() < 0.01, "{label}: {found}");
        let own = record["cell"]["reference"].is_null();
        assert_eq!(own, label == "noise floor", "{label}");
        assert!(own || record["cell"]["reference"] == reference["id"]);
    }
    assert_eq!(record("noise floor")["cell"]["noise"], 1.0 / 512.0);
    assert_eq!(record("wiki-4m nf4")["cell"]["model"]["load_in"], "nf4");

    let table = fs::read_to_string(bench.path().join("results/table.md")).unwrap();
    assert!(table.starts_with("4 models · wikitext-2-raw test"), "{table}");
    for part in ["| model | bits/weight |", "| wiki-4m nf4", "KLD / noise floor"] {
        assert!(table.replace('*', "").contains(part), "{part:?} is not in {table}");
    }
    let picture = fs::read_to_string(bench.path().join("results/pareto.svg")).unwrap();
    assert!(picture.contains("bits per weight") && picture.contains(">wiki-4m nf4</text>"));

    // Nothing runs twice; another model runs with the reference alone.
    let before = bench.records("results");
    let again = bench.run_ok(&["-o", "results"]);
    assert!(again.contains("5 of 5 cells had a finished record"), "{again}");
    let more = [full, half, int8, nf4, "load_in = \"fp4\""];
    experiment(&bench, &more, "[run]\nnoise_floor = true\n");
    let output = bench.run_ok(&["-o", "results"]);
    assert!(output.contains("5 of 6 cells had a finished record"), "{output}");
    let after = bench.records("results");
    assert_eq!(after.len(), 6);
    for record in &before {
        assert!(after.contains(record), "{}", record.0);
    }

    // The reference is the cell that a file with this model alone has.
    experiment(&bench, &[full], "");
    let alone = bench.run_ok(&["-o", "results"]);
    assert!(alone.contains("1 of 1 cells had a finished record"), "{alone}");
}

#[test]
fn a_model_compared_with_itself_has_no_divergence() {
    let bench = Bench::new(&[]);
    // Another file of the same model: the identity is its content, which here is not the same.
    let copy = copy(&bench, "copy");
    let config = fs::read_to_string(copy.join("config.json")).unwrap();
    fs::write(copy.join("config.json"), config + "\n").unwrap();
    experiment(&bench, &["", "source = \"copy\"\nweights = { streaming = true }"], "");
    bench.run_ok(&["-o", "results"]);
    let (full, copy) = (bench.record("results", "wiki-4m"), bench.record("results", "copy"));
    assert_eq!(nll(&full), nll(&copy));
    assert_eq!(copy["scores"]["kld"]["max"], 0.0);
    let agreement = &copy["scores"]["agreement"];
    assert_eq!(agreement["same"], agreement["n"]);
}

#[test]
fn a_quantized_model_is_cut_and_compressed_like_any_other() {
    let bench = Bench::new(&["affine"]);
    let cells = "[partition]\nplan = \"ring-4\"\n[[compressor]]\ncodec = \"affine\"\n";
    let noise = "[run]\nnoise_floor = true\n";
    experiment(&bench, &["load_in = \"nf4\""], &format!("{cells}{noise}"));
    bench.run_ok(&["-o", "cut"]);
    let streamed = "load_in = \"nf4\"\nweights = { streaming = true }";
    experiment(&bench, &[streamed], &format!("{cells}{noise}batch_windows = 3\n"));
    bench.run_ok(&["-o", "streamed"]);
    experiment(&bench, &["load_in = \"nf4\""], noise);
    bench.run_ok(&["-o", "whole"]);
    for label in ["baseline", "affine", "noise floor"] {
        let cut = bench.record("cut", label);
        let streamed = bench.record("streamed", label);
        assert_eq!(nll(&cut), nll(&streamed), "{label}");
        assert_eq!(cut["id"], streamed["id"], "{label}");
        if label != "affine" {
            assert_eq!(nll(&cut), nll(&bench.record("whole", label)), "{label}");
        }
    }
    assert_ne!(nll(&bench.record("cut", "noise floor")), nll(&bench.record("cut", "baseline")));

    // Another seed is another noise.
    experiment(&bench, &["load_in = \"nf4\""], &format!("{noise}seed = 1\n"));
    bench.run_ok(&["-o", "seed"]);
    let noise = |folder: &str| nll(&bench.record(folder, "noise floor"));
    assert_ne!(noise("seed"), noise("whole"));
    experiment(&bench, &[""], "");
    bench.run_ok(&["-o", "dense"]);
    let baseline = |folder: &str| bench.record(folder, "baseline");
    assert_ne!(baseline("dense")["id"], baseline("whole")["id"]);
}

/// The error of an experiment that must not run.
fn refused(bench: &Bench) -> String {
    let output = bench.run(&[]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    message
}

#[test]
fn models_that_do_not_compare_are_refused() {
    let bench = Bench::new(&[]);
    let tokenizer = copy(&bench, "tokens").join("tokenizer.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&tokenizer).unwrap()).unwrap();
    let vocab = value["model"]["vocab"].as_object_mut().unwrap();
    let (the, of) = (vocab["Ġthe"].clone(), vocab["Ġof"].clone());
    vocab.insert("Ġthe".to_owned(), of);
    vocab.insert("Ġof".to_owned(), the);
    fs::write(&tokenizer, value.to_string()).unwrap();
    experiment(&bench, &["", "source = \"tokens\""], "");
    let message = refused(&bench);
    assert!(message.contains("model[1].source") && message.contains("tokenizer"), "{message}");
    assert!(message.contains("bits per byte"), "{message}");

    let other = root().join("crates/model/tests/families/llama");
    let tokenizer = root().join("assets/models/wiki-4m/tokenizer.json");
    let section = format!("source = {other:?}\ntokenizer = {tokenizer:?}");
    experiment(&bench, &["", &section], "");
    let message = refused(&bench);
    assert!(message.contains("4096 entries") && message.contains("131"), "{message}");

    experiment(&bench, &["label = \"a\"", "label = \"b\""], "");
    let message = refused(&bench);
    assert!(message.contains("model[1].source") && message.contains("\"a\" again"), "{message}");

    experiment(&bench, &["", "label = \"half\"\ndevice = \"cuda:99\""], "");
    let message = refused(&bench);
    assert!(message.contains("cuda:99"), "{message}");
}

fn copy(bench: &Bench, name: &str) -> PathBuf {
    let copy = bench.path().join(name);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(small()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[test]
fn specifications_of_compare_q_run_as_they_are() {
    let bench = Bench::new(&[]);
    let model = root().join("assets/models/wiki-4m");
    // Another model with the same tokenizer: one bit of one weight is another.
    let other = bench.path().join("other");
    fs::create_dir(&other).unwrap();
    for entry in fs::read_dir(&model).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), other.join(entry.file_name())).unwrap();
    }
    let weights = other.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let low = bytes.len() - 4;
    bytes[low] ^= 1;
    fs::write(&weights, bytes).unwrap();
    bench.write(
        "wiki2.json",
        &format!(
            "{{\"tokenize_fn\": \"transformers\", \"tokenizer_dir\": {model:?}, \"dataset\": \"wiki2\", \
             \"eval_stride\": 64, \"eval_len\": 128, \"max_rows\": 3}}"
        ),
    );
    bench.write(
        "models.json",
        &format!(
            "[{{\"model_dir\": {other:?}, \"load_fn\": \"transformers\", \"fwd_fn\": \"transformers\", \"label\": \"again\"}}, \
             {{\"model_dir\": {model:?}, \"load_fn\": \"transformers_auto\", \"fwd_fn\": \"transformers\", \"label\": \"HF\", \
             \"out_logits\": \"logits\"}}]"
        ),
    );
    let assets = root().join("assets");
    let specs = ["-d", "wiki2.json", "-m", "models.json"];
    let run =
        [&["run", "--device", "cpu", "--assets", assets.to_str().unwrap()], &specs[..]].concat();
    let output = bench.command(&run).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let records = bench.records("results/wiki2-models");
    let labels: Vec<&str> = records.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["HF", "again"]);
    for (label, record) in &records {
        assert_eq!(record["windows"].as_array().unwrap().len(), 3, "{label}");
        assert_eq!(record["windows"][0]["scored"], 127, "{label}");
        assert!(record["scores"]["kld"]["mean"].as_f64().unwrap() < 1e-3, "{label}");
        assert_eq!(record["cell"]["data"]["join"], "non-empty-blank-line", "{label}");
    }
    // The file is there to be looked at and run again, and nobody else's is overwritten.
    let made = bench.command(&[&["import-spec"], &specs[..]].concat()).output().unwrap();
    assert!(made.status.success());
    bench.write("wiki2-models.toml", "name = \"mine\"\n");
    let refused = bench.command(&[&["import-spec"], &specs[..]].concat()).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("says something else; name another file"), "{stderr}");
}
