//! What a cell does shows in its figures, or the run says so: neither a cell that rightly changes
//! nothing nor a codec beside a broken model is to blame.

use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Bench, nll, root};

/// A folder with a small model and a text.
fn case(name: &str) -> PathBuf {
    root().join("crates/cli/tests/cases").join(name)
}

fn write(bench: &Bench, model: &std::path::Path, dtype: &str, rest: &str) {
    let text = case("baseline-not-finite").join("text.txt");
    let head = format!(
        "name = \"test\"\n[model]\nsource = {model:?}\ndtype = \"{dtype}\"\ndevice = \"cpu\"\n[data]\nsource = {text:?}\n"
    );
    bench.write("test.toml", &format!("{head}{rest}"));
}

const LINKS: &str = "
[protocol]
window = 128
stride = 64
[partition]
cuts = [0]
[[compressor]]
codec = \"raw\"
[[compressor]]
codec = \"affine\"
";

/// Runs a model that is not finite and gives what standard error says.
fn broken(bench: &Bench, windows: &str) -> String {
    let output = bench.run(&["-o", "out"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains(&format!("window {windows}: the uncompressed model's output")),
        "{stderr}"
    );
    // No cell is to blame.
    assert!(!stderr.contains("failed"), "{stderr}");
    assert!(bench.records("out").is_empty());
    stderr
}

#[test]
fn a_model_that_leaves_its_dtype_ends_the_run_at_the_first_window() {
    let bench = Bench::new(&["raw", "affine"]);
    write(&bench, &case("baseline-not-finite").join("model"), "f16", LINKS);
    let stderr = broken(&bench, "0");
    assert!(stderr.contains("not finite in f16") && stderr.contains("bf16"), "{stderr}");
    // In the dtype that it was made for nothing is wrong with it.
    write(&bench, &case("baseline-not-finite").join("model"), "bf16", LINKS);
    bench.run_ok(&["-o", "out"]);
}

#[test]
fn a_model_with_a_weight_or_a_position_that_is_not_a_number_ends_the_run() {
    let bench = Bench::new(&["raw", "affine"]);
    let copy = |name: &str, from: &std::path::Path, file: &str| {
        std::fs::create_dir_all(bench.path().join(name)).unwrap();
        std::fs::copy(from.join(file), bench.path().join(name).join(file)).unwrap();
    };
    let files = ["config.json", "tokenizer.json", "model.safetensors"];
    let healthy = case("baseline-not-finite").join("model");
    files.iter().for_each(|file| copy("weight", &healthy, file));
    let weights = bench.path().join("weight/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 2;
    bytes[last..].copy_from_slice(&0x7fc0_u16.to_le_bytes());
    std::fs::write(&weights, bytes).unwrap();
    write(&bench, &bench.path().join("weight"), "f32", LINKS);
    let stderr = broken(&bench, "0");
    assert!(stderr.contains("not finite in f32"), "{stderr}");

    // Positions that a configuration scales beyond all bounds.
    files.iter().for_each(|file| copy("position", &healthy, file));
    let config = bench.path().join("position/config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    json["rope_parameters"] =
        serde_json::json!({"rope_type": "linear", "factor": 1e-310, "rope_theta": 10000.0});
    std::fs::write(&config, json.to_string()).unwrap();
    write(&bench, &bench.path().join("position"), "f32", LINKS);
    broken(&bench, "0");
}

#[test]
fn a_press_that_removes_nothing_is_no_failure_where_attention_has_a_window() {
    let bench = Bench::new(&["presses-basic", "raw"]);
    let model = case("press-ratio-0-window").join("model");
    let modes = [
        "[protocol]\npreset = \"prefill-suffix\"\ncontext = 64\nwindow = 96\n",
        "[protocol]\nwindow = 96\nstride = 48\n[kv]\ninterval = 32\n",
    ];
    for mode in modes {
        let cells = "
[[cache]]
label = \"knorm 0\"
press = \"knorm\"
ratio = 0.0
[[cache]]
label = \"knorm of all\"
press = \"knorm\"
size = 500
[[cache]]
label = \"raw\"
key = { codec = \"raw\" }
value = { codec = \"raw\" }
";
        write(&bench, &model, "f32", &format!("{mode}{cells}"));
        bench.run_ok(&["-o", "out", "--fresh"]);
        let whole = bench.record("out", "baseline");
        for label in ["knorm 0", "knorm of all", "raw"] {
            let record = bench.record("out", label);
            assert_eq!(record["status"], "finished", "{label}");
            assert_eq!(nll(&record), nll(&whole), "{label}");
            for part in record["links"].as_array().unwrap() {
                assert_eq!(part["payload_bytes"], part["raw_bytes"], "{label}");
                assert!(part["raw_bytes"].as_u64() > Some(0));
            }
        }
        assert_eq!(bench.record("out", "knorm 0")["warnings"].as_array().unwrap().len(), 0);
        std::fs::remove_dir_all(bench.path().join("out")).unwrap();
    }
}
