//! The quickstart, whole: reference perplexity, table, picture, and what a user looks up.

use super::harness::{Bench, root};

/// PyTorch Transformers on the same tokens and windows (assets/models/wiki-4m/README.md).
const REFERENCE_PPL: f64 = 46.087_040;

#[test]
fn the_quickstart_reproduces_the_reference_and_leaves_everything_it_promises() {
    let bench = Bench::new(&["raw", "cast", "affine", "blockfloat"]);
    let config = root().join("configs/quickstart.toml");
    let arguments = ["run", config.to_str().unwrap(), "--plugins", "plugins", "--device", "cpu"];
    let output = bench.command(&arguments).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");

    let folder = "results/quickstart";
    let baseline = bench.record(folder, "baseline");
    let sums = &baseline["scores"]["sums"];
    let ppl = (sums["a"].as_f64().unwrap() / sums["n"].as_f64().unwrap()).exp();
    assert_eq!(sums["n"], 16_383);
    assert!((ppl / REFERENCE_PPL - 1.0).abs() < 1e-4, "{ppl}");

    let path = bench.path().join(folder);
    let csv = std::fs::read_to_string(path.join("summary.csv")).unwrap();
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    for column in [
        "label",
        "codec",
        "status",
        "ppl",
        "ppl_delta",
        "ppl_delta_error",
        "kld_mean",
        "top1_agreement",
        "bytes_per_token",
        "bits_per_value",
        "encode_s",
        "decode_s",
        "scored_tokens",
    ] {
        assert!(header.contains(&column), "{column} is not in {header:?}");
    }
    let records = bench.records(folder);
    assert!(records.len() >= 9);
    assert_eq!(csv.lines().count(), records.len() + 1);
    for (label, record) in &records {
        assert_eq!(record["status"], "finished", "{label}: {}", record["reason"]);
        assert!(stdout.contains(label.as_str()), "{label} is not in the table:\n{stdout}");
    }
    assert!(std::fs::read_to_string(path.join("pareto.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn codecs_are_listed_described_and_checked() {
    let bench = Bench::new(&["raw", "affine"]);
    let run = |arguments: &[&str]| {
        let output = bench.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let list = run(&["plugins", "list"]);
    assert!(list.contains("affine") && list.contains("libstrait_raw.so"), "{list}");
    let show = run(&["plugins", "show", "affine"]);
    for word in ["bits", "granularity", "default", "lossy"] {
        assert!(show.contains(word), "{word} is not in {show}");
    }
    let check = run(&["plugins", "check", "plugins/libstrait_affine.so"]);
    assert!(check.contains("affine"), "{check}");
}

#[test]
fn the_printed_schemas_are_the_committed_ones() {
    let bench = Bench::new(&[]);
    for of in ["experiment", "record"] {
        let output = bench.command(&["schema", of]).output().unwrap();
        let file = root().join(format!("docs/{of}.schema.json"));
        let same = output.stdout == std::fs::read(file).unwrap();
        assert!(same, "docs/{of}.schema.json is not what the types say");
    }
}

#[test]
fn inspect_says_what_a_checkpoint_costs() {
    let bench = Bench::new(&[]);
    let model = root().join("assets/models/wiki-4m");
    let model = model.to_str().unwrap();
    let output = bench.command(&["inspect", model, "--layers"]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = std::fs::read_to_string(root().join("crates/cli/tests/inspect.txt")).unwrap();
    assert_eq!(text, expected);

    let output = bench.command(&["inspect", model, "--json"]).output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["parameters"], 3_935_424);
    assert_eq!(summary["layers"].as_array().unwrap().len(), 8);

    let output = bench.command(&["inspect", "no/such/model"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
