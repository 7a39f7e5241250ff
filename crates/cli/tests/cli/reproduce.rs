//! A record reproduces itself: its cell is run again, and every window is compared.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use super::harness::{Bench, root};

/// Rows that are joined by spaces, a codec inside of another one, and chunks: everything that a record must not lose.
const CELLS: &str = "\n[partition]\ncuts = [2, 5]\n[run]\nchunk_tokens = 64\nseed = 7\n\
    [[compressor]]\nlabel = \"int4 | g64\"\ncodec = \"affine\"\nlinks = [1]\n\
    params = { bits = 4, granularity = \"group\", group = 64 }\n";

/// A run of one codec on rows of JSON, and the path of its record.
fn measured() -> (Bench, PathBuf) {
    let bench = Bench::new(&["affine"]);
    let rows =
        ["The river ran", "past the old mill", "and then to the sea.", "", "Nobody saw it go."];
    let rows: String =
        rows.iter().cycle().take(60).map(|row| json!({ "body": row }).to_string() + "\n").collect();
    bench.write("rows.jsonl", &rows);
    let model = root().join("assets/models/wiki-4m");
    let text = format!(
        "name = \"test\"\n[model]\nsource = {model:?}\ndevice = \"cpu\"\n\
         [data]\nsource = \"rows.jsonl\"\nkey = \"body\"\njoin = \"space\"\n\
         [protocol]\nwindow = 128\nstride = 64\nmax_windows = 3\n{CELLS}"
    );
    bench.write("test.toml", &text);
    bench.run_ok(&[]);
    let path = record_of(&bench, "int4");
    (bench, path)
}

fn record_of(bench: &Bench, begins: &str) -> PathBuf {
    let entries = fs::read_dir(bench.path().join("results/test")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(begins)).unwrap()
}

fn reproduce(bench: &Bench, arguments: &[&str]) -> (Output, String) {
    let output = bench.command(&[&["reproduce"], arguments].concat()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = arguments.contains(&"--json");
    let fits = |line: &str| json || line.chars().count() <= 80 || line.contains("cargo");
    assert!(text.lines().all(fits), "{text}");
    (output, text)
}

#[test]
fn a_record_reproduces_itself_to_the_bit() {
    let (bench, path) = measured();
    let record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(record["cell"]["data"]["join"], "space");
    let environment = &record["environment"];
    assert_eq!(environment["plugins_dir"], "plugins");
    assert!(environment["rustc"].as_str().unwrap().starts_with("rustc "), "{environment}");
    let commit = environment["commit"].as_str();
    assert!(commit.is_none_or(|commit| commit.len() == 40 && environment["dirty"].is_boolean()));
    assert_eq!(record["content_sha256"].as_str().unwrap().len(), 64);

    let baseline = record_of(&bench, "baseline");
    let both = [path.to_str().unwrap(), baseline.to_str().unwrap()];
    let (output, text) = reproduce(&bench, &[&both[..], &["-o", "again"]].concat());
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("reproduced: all 3 windows equal to the bit\n").count(), 2, "{text}");
    assert!(text.contains("int4 | g64 of test, record "), "{text}");

    // What was run again is the same cell, down to its identity.
    let again = bench.path().join("again").join(path.file_stem().unwrap());
    let again = fs::read_to_string(again.join(path.file_name().unwrap())).unwrap();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["id"], &again["windows"]), (&record["id"], &record["windows"]));
    // The file on its own does the same, pinned to the plugin.
    let file = bench.path().join("again").join(path.file_stem().unwrap()).join("experiment.toml");
    let file = fs::read_to_string(file).unwrap();
    assert!(file.contains("join = \"space\"") && file.contains("[plugins.pin]"), "{file}");
    bench.write("cell.toml", &file);
    let output = bench.command(&["run", "cell.toml", "-o", "alone"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.record("alone", "int4 | g64")["id"], record["id"]);
}

#[test]
fn what_differs_is_named() {
    let (bench, path) = measured();
    // Another build that writes the same bytes.
    let plugin = bench.path().join("plugins/libstrait_affine.so");
    let mut bytes = fs::read(&plugin).unwrap();
    bytes.push(0);
    fs::write(&plugin, bytes).unwrap();
    let (output, text) = reproduce(&bench, &[path.to_str().unwrap(), "--threads", "1"]);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let told = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("libstrait_affine.so: recorded sha256 "), "{text}");
    assert!(told.contains("cargo xtask build-plugin affine"), "{text}");
    assert!(told.ends_with("equal to the bit, with other builds of its plugins"), "{text}");

    // A number that was never measured.
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let kld = record["windows"][1]["kld_sum"].as_f64().unwrap();
    record["windows"][1]["kld_sum"] = json!(kld + 1e-9);
    fs::write(&path, record.to_string()).unwrap();
    let (output, text) = reproduce(&bench, &[path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("not reproduced: windows differ") && text.contains("2/3"), "{text}");
    let (output, text) = reproduce(&bench, &[path.to_str().unwrap(), "--tolerance", "1e-6"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let (output, text) = reproduce(&bench, &[path.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&seen[0]["figures"][2]["equal"], &seen[0]["figures"][0]["equal"]),
        (&json!(2), &json!(3))
    );

    // Everything that shows the record says that it was edited.
    let results = bench.path().join("results/test");
    for command in ["table", "report", "plot"] {
        let output = bench.command(&[command, results.to_str().unwrap()]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.contains("edited: "), "{command}: {stderr}");
        assert!(stderr.contains("int4-g64-"), "{stderr}");
    }
    let compared = [path.to_str().unwrap(), results.to_str().unwrap()];
    let output = bench.command(&[&["compare"], &compared[..]].concat()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("warning: int4 | g64: edited: "), "{stdout}");

    fs::remove_file(&plugin).unwrap();
    let (output, _) = reproduce(&bench, &[path.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cargo xtask build-plugin affine"), "{stderr}");
}
