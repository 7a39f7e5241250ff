//! Named presses and codecs against the implementations that they are named after, at the level of
//! likelihoods: the same windows of the same model through kvpress and the hqq package
//! (`plugins/presses-basic/golden/likelihoods.py`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::harness::Bench;

/// How far a window's sum may be from the other implementation's, as a share. Both compute in f32, in other
/// orders: most cells agree to 2e-7, and where an entry at the border of what is kept gives way to another
/// with nearly its score, as in `knorm`, to 2e-4.
const TOLERANCE: f64 = 5e-4;
/// The same for codecs, where a value at the border of two codes may fall to either side.
const CODEC_TOLERANCE: f64 = 1e-4;
/// Standard deviations that a cell with other random directions may be from the mean over those drawn there.
const DEVIATIONS: f64 = 4.0;

/// Sums of negative log-likelihoods of every window.
type Sums = Vec<f64>;

/// One part of the golden values.
fn golden(part: &str) -> Value {
    let text = include_str!("../../../../plugins/presses-basic/golden/likelihoods.json");
    serde_json::from_str::<Value>(text).unwrap()[part].take()
}

fn golden_sums(part: &str) -> BTreeMap<String, Sums> {
    serde_json::from_value(golden(part)).unwrap()
}

/// The cells of kvpress, as strait says them.
const PREFILLED: &[(&str, &str)] = &[
    ("streaming-llm", "press = 'streaming-llm', ratio = 0.5"),
    ("knorm", "press = 'knorm', ratio = 0.5"),
    ("knorm 0.25", "press = 'knorm', ratio = 0.25"),
    ("keydiff", "press = 'keydiff', ratio = 0.5"),
    ("lagkv", "press = 'lagkv', ratio = 0.4921875, params = { lag = 32 }"),
    ("lagkv cross", "press = 'lagkv', ratio = 0.5, params = { lag = 32, cross = true }"),
    ("cur", "press = 'cur', ratio = 0.5"),
    ("snapkv", "press = 'snapkv', ratio = 0.5, params = { window = 16 }"),
    ("snapkv 0.75", "press = 'snapkv', ratio = 0.75, params = { window = 16 }"),
    ("pyramidkv", "press = 'pyramidkv', ratio = 0.5, params = { window = 8, pyramid_window = 8 }"),
    ("tova", "press = 'tova', ratio = 0.5"),
    ("observed-attention", "press = 'observed-attention', ratio = 0.5"),
    ("expected-attention", "press = 'expected-attention', ratio = 0.5"),
    ("cap", "press = 'cap', ratio = 0.5"),
    (
        "non-causal-attention",
        "press = 'non-causal-attention', ratio = 0.5, params = { chunk = 64 }",
    ),
    ("think 0.25", "press = 'think', ratio = 0.25"),
    ("think 0.5", "press = 'think', ratio = 0.5"),
    (
        "simlayer",
        "press = 'simlayer', params = { threshold = 0.5, queries = 4, initial = 4, recent = 60, watched = 64 }",
    ),
    ("snapkv adakv", "press = 'snapkv', ratio = 0.5, params = { window = 16, budget = 'adakv' }"),
    (
        "snapkv criticalkv",
        "press = 'snapkv', ratio = 0.5, params = { window = 16, budget = 'criticalkv' }",
    ),
    (
        "snapkv criticaladakv",
        "press = 'snapkv', ratio = 0.5, params = { window = 16, budget = 'criticaladakv' }",
    ),
    (
        "snapkv chunkkv",
        "press = 'snapkv', ratio = 0.5, params = { window = 16, unit = 'chunkkv', unit_size = 16 }",
    ),
    ("knorm chunk", "press = 'knorm', ratio = 0.5, params = { unit = 'chunk', unit_size = 32 }"),
    (
        "keydiff block",
        "press = 'keydiff', ratio = 0.5, params = { unit = 'block', unit_size = 32 }",
    ),
    ("knorm merge", "press = 'knorm', ratio = 0.5, params = { merge = true }"),
    (
        "snapkv, then think",
        "press = 'snapkv', ratio = 0.5, params = { window = 16 }, then = [{ press = 'think', ratio = 0.25 }]",
    ),
    ("streaming-llm reposition", "press = 'streaming-llm', ratio = 0.5, reposition = true"),
    ("streaming-llm reposition 0.75", "press = 'streaming-llm', ratio = 0.75, reposition = true"),
    ("knorm reposition", "press = 'knorm', ratio = 0.5, reposition = true"),
];

/// Cells with random directions; theirs are others.
const DRAWN: &[(&str, &str)] = &[
    ("random", "press = 'random', ratio = 0.5"),
    ("leverage", "press = 'leverage', ratio = 0.5"),
    ("compactor", "press = 'compactor', ratio = 0.5, params = { chunk = 61 }"),
];

const PREFILL: &str =
    "[protocol]\npreset = \"prefill-suffix\"\ncontext = 256\nwindow = 320\nstride = 320\n";

const STREAMING: &[(&str, &str)] = &[
    ("keydiff", "press = 'keydiff', size = 96"),
    ("streaming-llm reposition", "press = 'streaming-llm', size = 96, reposition = true"),
    ("knorm", "press = 'knorm', size = 96"),
    ("knorm reposition", "press = 'knorm', size = 96, reposition = true"),
];

/// Runs `[[cache]]` cells in f32 under a protocol.
fn run_caches(bench: &Bench, protocol: &str, cells: &[(&str, &str)]) -> BTreeMap<String, Sums> {
    let table = |(label, keys): &(&str, &str)| format!("{{ label = '{label}', {keys} }}");
    let tables: Vec<String> = cells.iter().map(table).collect();
    run(bench, &format!("cache = [\n{}\n]\n", tables.join(",\n")), protocol)
}

/// Runs cells on the tokens of the golden values; gives the sums of every window by label.
fn run(bench: &Bench, cells: &str, protocol: &str) -> BTreeMap<String, Sums> {
    bench.experiment("");
    let text = std::fs::read_to_string(bench.path().join("test.toml")).unwrap();
    let text = text.replace("first_k_tokens = 1500", "first_k_tokens = 640");
    let text = text.replace("device = \"cpu\"", "device = \"cpu\"\ndtype = \"f32\"");
    let start = text.find("[protocol]").unwrap();
    bench.write("test.toml", &format!("{cells}{}{protocol}", &text[..start]));
    bench.run_ok(&["-o", "out", "--fresh"]);
    let tokens = golden("tokens_sha256");
    let sums = |record: &Value| -> Sums {
        assert_eq!(record["status"], "finished", "{}", record["label"]);
        assert_eq!(record["cell"]["data"]["tokens_sha256"], tokens);
        let windows = record["windows"].as_array().unwrap();
        windows.iter().map(|window| window["sums"]["a"].as_f64().unwrap()).collect()
    };
    let records = bench.records("out");
    records.iter().map(|(label, record)| (label.clone(), sums(record))).collect()
}

fn compare(found: &BTreeMap<String, Sums>, expected: &BTreeMap<String, Sums>, tolerance: f64) {
    let mut wrong = Vec::new();
    for (label, expected) in expected {
        let found = found.get(label).unwrap_or_else(|| panic!("no cell {label:?}"));
        assert_eq!(found.len(), expected.len(), "{label}");
        for (window, (found, expected)) in found.iter().zip(expected).enumerate() {
            if (found / expected - 1.0).abs() > tolerance {
                wrong.push(format!("{label}, window {window}: {found}, expected {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn presses_are_those_of_kvpress() {
    let bench = Bench::new(&[
        "presses-basic",
        "presses-attention",
        "presses-compactor",
        "presses-expected",
    ]);
    let found = run_caches(&bench, PREFILL, &[PREFILLED, DRAWN].concat());
    compare(&found, &golden_sums("prefilled"), TOLERANCE);
    let drawn: BTreeMap<String, Vec<Sums>> = serde_json::from_value(golden("drawn")).unwrap();
    for (label, draws) in drawn {
        for (window, found) in found[&label].iter().enumerate() {
            let sums: Vec<f64> = draws.iter().map(|draw| draw[window]).collect();
            let mean = sums.iter().sum::<f64>() / sums.len() as f64;
            let squares = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>();
            let deviation = (squares / (sums.len() - 1) as f64).sqrt();
            assert!(
                (found - mean).abs() <= (DEVIATIONS * deviation).max(TOLERANCE * mean),
                "{label}, window {window}: {found}, expected {mean} ± {deviation}"
            );
        }
    }
}

#[test]
fn presses_while_streaming_are_those_of_kvpress() {
    let bench = Bench::new(&["presses-basic"]);
    let protocol = "[protocol]\npreset = \"gptq\"\nwindow = 320\n[kv]\ninterval = 64\n";
    compare(&run_caches(&bench, protocol, STREAMING), &golden_sums("streaming"), TOLERANCE);
}

#[test]
fn hqq_is_that_of_its_package() {
    let bench = Bench::new(&["hqq"]);
    let golden = golden_sums("hqq");
    let cell = |bits: &String| {
        format!(
            "{{ label = '{bits}', codec = 'hqq', params = {{ bits = {bits}, scale_dtype = 'f32' }} }}"
        )
    };
    let cells = golden.keys().map(cell).collect::<Vec<_>>().join(", ");
    let protocol = format!("{PREFILL}[partition]\ncuts = [3]\n");
    let found = run(&bench, &format!("compressor = [{cells}]\n"), &protocol);
    compare(&found, &golden, CODEC_TOLERANCE);
}
