//! What is done with results: reports, pictures, tables, comparisons, trackers, and the help itself.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::harness::{Bench, root};

/// Two cells, tracked, with a server that is not there.
const TRACKED: &str = "[partition]\nplan = \"ring-2\"\n\
    [track]\nevery_windows = 2\nwandb = {}\ntensorboard = {}\n\
    mlflow = { server = \"http://127.0.0.1:9\" }\n\
    [[compressor]]\ncodec = \"affine\"\nsweep = { bits = [8, 4] }\n";

/// The committed records of a real run.
fn smollm2() -> String {
    root().join("results/smollm2").to_str().unwrap().to_owned()
}

fn text(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn files(folder: &Path, end: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                files(&path, end)
            } else {
                usize::from(path.to_string_lossy().contains(end))
            }
        })
        .sum()
}

#[test]
fn a_run_is_tracked_and_a_tracker_that_fails_costs_nothing() {
    let bench = Bench::new(&["affine"]);
    bench.experiment(TRACKED);
    let stderr = bench.run_ok(&[]);
    assert!(stderr.contains("MLflow is told nothing more"), "{stderr}");
    let results = bench.path().join("results/test");
    assert_eq!(files(&results.join("wandb"), ".wandb"), 3);
    assert_eq!(files(&results.join("tensorboard"), "events.out.tfevents"), 3);
    assert_eq!(bench.records("results/test").len(), 3);

    let seen = text(&bench, &["watch", "results/test", "--once"]);
    assert!(seen.starts_with("test  ended\n") && seen.contains("affine bits=4"), "{seen}");
    assert!(seen.lines().all(|line| line.chars().count() <= 80), "{seen}");
    let status: Value =
        serde_json::from_str(&text(&bench, &["watch", "results/test", "--json"])).unwrap();
    assert_eq!(status["cells"].as_array().unwrap().len(), 3);

    let said = text(&bench, &["report", "results/test", "-o", "r.html"]);
    assert!(said.starts_with("r.html: 3 cells"), "{said}");
    let html = fs::read_to_string(bench.path().join("r.html")).unwrap();
    assert_eq!(html.matches("<tr id=\"row-").count(), 3);

    let again = bench.run(&["--json"]);
    let table: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(table["rows"].as_array().unwrap().len(), 3);
}

#[test]
fn pictures_and_tables() {
    let bench = Bench::new(&[]);
    let results = smollm2();
    text(&bench, &["plot", &results, "-o", "a.svg", "-y", "kld", "-x", "bytes"]);
    assert!(fs::read_to_string(bench.path().join("a.svg")).unwrap().contains("mean divergence"));
    text(&bench, &["plot", &results, "-o", "a.png", "--scale", "1"]);
    assert!(fs::read(bench.path().join("a.png")).unwrap().starts_with(b"\x89PNG"));
    text(&bench, &["plot", &results, "-o", "a.pdf", "-y", "ppl"]);
    assert!(fs::read(bench.path().join("a.pdf")).unwrap().starts_with(b"%PDF-1.4"));
    let output = bench.command(&["plot", &results, "-o", "a.gif"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    for (format, start) in
        [("text", "smollm2"), ("markdown", "SmolLM2"), ("latex", "% needs"), ("csv", "label,codec")]
    {
        assert!(text(&bench, &["table", &results, "-f", format]).starts_with(start), "{format}");
    }
    let table: Value = serde_json::from_str(&text(&bench, &["table", &results, "--json"])).unwrap();
    assert_eq!(table["rows"].as_array().unwrap().len(), 16);
}

#[test]
fn comparisons_refuse_other_protocols() {
    let bench = Bench::new(&[]);
    let folder = smollm2();
    let record = |name: &str| {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut found =
            entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(name));
        found.next().unwrap().to_str().unwrap().to_owned()
    };
    let (a, b) = (record("int8-g64"), record("int4-g64"));
    let said = text(&bench, &["compare", &a, &b]);
    assert!(said.starts_with("int8 g64 → int4 g64") && said.contains("p < 0.0001 ***"), "{said}");
    let value: Value = serde_json::from_str(&text(&bench, &["compare", &a, &b, "--json"])).unwrap();
    assert!(value[0]["ppl"]["value"].as_f64().unwrap() > 3.0);
    let other = root().join("crates/schema/tests/record.json");
    let output = bench.command(&["compare", &a, other.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("expected records of one protocol"), "{stderr}");
}

#[test]
fn imported_results_stand_in_the_same_table() {
    let bench = Bench::new(&[]);
    let old = root().join("crates/report/tests/data");
    let said = text(&bench, &["import", old.to_str().unwrap(), "-o", "old"]);
    assert!(said.contains("bnb_nf4") && said.contains("5 results, bytes as declared"), "{said}");
    let table = text(&bench, &["table", &smollm2(), "old"]);
    assert!(table.contains("bnb_nf4†") && table.contains("int8 g64"), "{table}");
}

#[test]
fn help_completions_and_manual() {
    let bench = Bench::new(&[]);
    let help = text(&bench, &["--help"]);
    assert!(help.contains("Exit codes: 0 everything finished"), "{help}");
    for command in ["run", "report", "plot", "table", "compare", "watch", "serve", "import"] {
        assert!(help.contains(&format!("  {command} ")), "{command}");
        let help = text(&bench, &[command, "--help"]);
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{command}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(text(&bench, &["completions", shell]).contains("compare"), "{shell}");
    }
    assert!(text(&bench, &["man"]).contains(".TH strait 1"));
    text(&bench, &["man", "--dir", "man"]);
    assert!(bench.path().join("man/strait-report.1").exists());
}
