//! Peak memory does not grow with the number of windows or cells; a timeline is a readable trace.

use std::fs;

use serde_json::Value;

use super::harness::{Bench, root};

/// Runs and gives the largest resident set that was seen, in MiB, with the number of windows.
#[cfg(target_os = "linux")]
fn peak(tokens: usize, groups: &str) -> (usize, usize) {
    let bench = Bench::new(&["affine"]);
    bench.experiment(&format!(
        "[partition]\nplan = \"ring-4\"\n\
         [[compressor]]\nlabel = \"int{{bits}} g{{group}}\"\ncodec = \"affine\"\n\
         sweep = {{ bits = [8, 7, 6, 5, 4, 3, 2], group = {groups} }}\n"
    ));
    let text = fs::read_to_string(bench.path().join("test.toml")).unwrap();
    let text = text.replace("first_k_tokens = 1500", &format!("first_k_tokens = {tokens}"));
    // A short text: tokenizing all of WikiText would be the peak of both runs.
    bench.write("test.toml", &text.replace("wikitext-2-raw", "text.txt"));
    let prose = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    bench.write("text.txt", &prose.repeat(6));
    let assets = root().join("assets");
    let peak = bench.peak_kib(&["run", "test.toml", "--assets", assets.to_str().unwrap()]);
    let records = bench.records("results/test");
    (peak / 1024, records[0].1["windows"].as_array().unwrap().len())
}

#[cfg(target_os = "linux")]
#[test]
fn peak_memory_is_flat_in_windows_and_cells() {
    // The cells of the short run fill a pass too, so that only their number and the windows differ.
    let (short, few) = peak(1500, "[64]");
    let (long, many) = peak(8000, "[32, 64]");
    assert!(few < 15 && many > 60, "{few} and {many} windows");
    assert!(short > 20, "{short} MiB is less than the weights");
    assert!(long < short + 48, "{short} MiB for {few} windows, {long} MiB for {many}");
}

#[test]
fn a_trace_has_every_stage_and_link() {
    let bench = Bench::new(&["affine"]);
    bench.experiment("[[compressor]]\ncodec = \"affine\"\n[partition]\ncuts = [1, 3]\n");
    bench.run_ok(&["--trace", "trace.json"]);
    let text = fs::read_to_string(bench.path().join("trace.json")).unwrap();
    let trace: Vec<Value> = serde_json::from_str(&text).unwrap();
    let count = |name: &str| {
        trace.iter().filter(|event| event["name"].as_str().unwrap().starts_with(name)).count()
    };
    let windows = bench.record("results/test", "baseline")["windows"].as_array().unwrap().len();
    assert_eq!(count("load the model"), 1);
    assert_eq!(count("stage 0: shared prefix"), windows);
    assert_eq!(count("stage 2: baseline"), windows);
    for name in ["stage 1: forward", "codecs of link 0", "codecs of link 1", "journal"] {
        assert!(count(name) > windows, "{name}: {}", count(name));
    }
    assert!(trace.iter().all(|event| event["ph"] == "M" || event["dur"].as_f64().unwrap() >= 0.0));
    let stages = bench.record("results/test", "baseline")["timing"]["stage_s"].clone();
    assert!(stages.as_array().unwrap().iter().all(|seconds| seconds.as_f64().unwrap() > 0.0));

    let output = bench.run(&["--fresh", "--trace", "no/such/folder.json"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("cannot write the trace no/such/folder.json"), "{message}");
}
