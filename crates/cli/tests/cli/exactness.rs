//! Lossless paths give the same likelihood to the last bit, whatever shares a pass.

use super::harness::{Bench, nll};

const LOSSLESS: &str = "
[partition]
plan = \"ring-4\"
[[compressor]]
codec = \"raw\"
[[compressor]]
label = \"cast to f32\"
codec = \"cast\"
params = { to = \"f32\" }
";

#[test]
fn raw_cast_to_f32_and_no_cuts_agree_to_the_last_bit() {
    let bench = Bench::new(&["raw", "cast"]);
    bench.experiment("[partition]\nplan = \"none\"\n");
    bench.run_ok(&["-o", "whole"]);
    bench.experiment(LOSSLESS);
    bench.run_ok(&["-o", "cut"]);
    let whole = nll(&bench.record("whole", "baseline"));
    assert_eq!(whole.len(), 11);
    for label in ["baseline", "raw", "cast to f32"] {
        let record = bench.record("cut", label);
        assert_eq!(nll(&record), whole, "{label}");
        let links = record["links"].as_array().unwrap();
        assert_eq!(links.len(), 4);
        assert_eq!(links[0]["payload_bytes"], links[0]["raw_bytes"], "{label}");
    }
}

#[test]
fn what_shares_a_pass_does_not_change_a_number() {
    let bench = Bench::new(&["affine"]);
    let cells = "
[partition]
cuts = [1, 5]
[[compressor]]
codec = \"affine\"
params = { granularity = \"group\", group = 64 }
sweep = { bits = [8, 4, 3] }
";
    let mut all = Vec::new();
    for run in ["", "cell_batch = 3", "batch_windows = 4", "cell_batch = 2\nthreads = 1"] {
        bench.experiment(&format!("[run]\n{run}\n{cells}"));
        bench.run_ok(&["-o", "results"]);
        let records = bench.records("results");
        assert_eq!(records.len(), 4);
        all.push(
            records.iter().map(|(label, record)| (label.clone(), nll(record))).collect::<Vec<_>>(),
        );
        std::fs::remove_dir_all(bench.path().join("results")).unwrap();
    }
    for other in &all[1..] {
        assert_eq!(*other, all[0]);
    }
}

#[test]
fn chunks_of_one_token_are_counted_as_messages_and_change_no_per_token_codec() {
    let bench = Bench::new(&["affine"]);
    let cells = "[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"affine\"\nparams = { bits = 8, granularity = \"token\" }\n";
    bench.experiment(cells);
    bench.run_ok(&["-o", "whole"]);
    bench.experiment(&format!("[run]\nchunk_tokens = 1\n{cells}"));
    bench.run_ok(&["-o", "chunks"]);
    let (whole, chunks) = (bench.record("whole", "affine"), bench.record("chunks", "affine"));
    assert_eq!(nll(&whole), nll(&chunks));
    let (whole, chunks) = (&whole["links"][0], &chunks["links"][0]);
    assert_eq!(chunks["messages"], chunks["tokens"]);
    assert_eq!(whole["messages"], 11);
    assert_eq!(whole["payload_bytes"], chunks["payload_bytes"]);
}

#[test]
fn a_codec_on_some_links_leaves_the_others_raw() {
    let bench = Bench::new(&["affine"]);
    bench.experiment(
        "[partition]\ncuts = [1, 5]\n[[compressor]]\ncodec = \"affine\"\nlinks = [1]\nparams = { bits = 4 }\n",
    );
    bench.run_ok(&["-o", "results"]);
    let record = bench.record("results", "affine");
    let links = record["links"].as_array().unwrap();
    assert_eq!(links[0]["payload_bytes"], links[0]["raw_bytes"]);
    let ratio =
        links[1]["raw_bytes"].as_f64().unwrap() / links[1]["payload_bytes"].as_f64().unwrap();
    assert!(ratio > 6.0, "{ratio}");
}

#[test]
fn codecs_that_do_nothing_or_the_same_are_pointed_out() {
    let bench = Bench::new(&["cast"]);
    // A group of all 192 channels is a token: two settings, one result.
    bench.experiment(
        "[partition]\ncuts = [3]
[[compressor]]\nlabel = \"nothing\"\ncodec = \"cast\"\nparams = { to = \"f32\" }
[[compressor]]\nlabel = \"token\"\ncodec = \"cast\"\nparams = { to = \"fp8_e4m3\", scale = \"token\" }
[[compressor]]\nlabel = \"group\"\ncodec = \"cast\"\nparams = { to = \"fp8_e4m3\", scale = \"group\", group = 192 }
[[compressor]]\nlabel = \"other\"\ncodec = \"cast\"\nparams = { to = \"fp8_e5m2\", scale = \"token\" }
",
    );
    bench.run_ok(&["-o", "results"]);
    let warnings = |label: &str| bench.record("results", label)["warnings"].to_string();
    assert!(warnings("nothing").contains("changed no value"), "{}", warnings("nothing"));
    for label in ["token", "group", "other", "baseline"] {
        assert_eq!(warnings(label), "[]", "{label} stands alone in its record");
    }
    let table = bench.command(&["table", "results"]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    for (one, other) in [("token", "group"), ("group", "token")] {
        let same = format!("{one}: every window has the same likelihood as \"{other}\"");
        assert!(table.contains(&same), "{table}");
    }
    assert!(!table.contains("other: every window"), "{table}");
}
