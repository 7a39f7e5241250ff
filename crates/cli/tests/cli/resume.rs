//! A run that is killed, or run again, ends in the same records.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::harness::{Bench, root};

const CELLS: &str = "
[partition]
plan = \"ring-4\"
[[compressor]]
codec = \"affine\"
params = { granularity = \"group\", group = 64 }
sweep = { bits = [8, 4, 3] }
[[compressor]]
codec = \"raw\"
";

/// The record without what may differ between two runs: how long they took, and the hash that covers it.
fn timeless(mut record: Value) -> Value {
    let record_map = record.as_object_mut().unwrap();
    record_map.remove("timing");
    record_map.remove("content_sha256");
    for link in record["links"].as_array_mut().unwrap() {
        let link = link.as_object_mut().unwrap();
        link.remove("encode_s");
        link.remove("decode_s");
    }
    record
}

#[test]
fn killing_a_run_five_times_changes_nothing() {
    let bench = Bench::new(&["affine", "raw"]);
    bench.experiment(CELLS);
    bench.run_ok(&["-o", "undisturbed"]);
    let assets = root().join("assets");
    let arguments = ["run", "test.toml", "--assets", assets.to_str().unwrap(), "-o", "disturbed"];
    // Which moment a kill hits differs from machine to machine; the seed only spreads them.
    let mut seed = u64::from(std::process::id());
    let mut partial = 0;
    for _ in 0..5 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child =
            bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300 + (seed >> 33) % 700));
        // A run that has ended by itself needs no kill, and there is then nothing to resume.
        let _ = child.kill();
        child.wait().unwrap();
        let journals = bench.path().join("disturbed/journal");
        partial += usize::from(journals.exists());
    }
    assert!(partial > 0, "every kill came before the run had begun");
    bench.run_ok(&["-o", "disturbed"]);
    let (whole, pieces) = (bench.records("undisturbed"), bench.records("disturbed"));
    assert_eq!(whole.len(), 5);
    assert_eq!(pieces.len(), 5);
    for ((label, whole), (_, pieces)) in whole.into_iter().zip(pieces) {
        assert_eq!(timeless(whole), timeless(pieces), "{label}");
    }
}

#[test]
fn a_journal_cut_at_any_window_is_gone_on_with() {
    let bench = Bench::new(&["affine", "raw"]);
    bench.experiment(CELLS);
    bench.run_ok(&["-o", "results"]);
    let before = bench.records("results");
    // The records go and every journal loses another part of its end.
    let mut journals: Vec<_> = std::fs::read_dir(bench.path().join("results/journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .collect();
    journals.sort();
    for (i, path) in journals.iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() * i / journals.len()]).unwrap();
    }
    for entry in std::fs::read_dir(bench.path().join("results")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            std::fs::remove_file(path).unwrap();
        }
    }
    bench.run_ok(&["-o", "results"]);
    let after = bench.records("results");
    assert_eq!(before.len(), after.len());
    for ((label, before), (_, after)) in before.into_iter().zip(after) {
        assert_eq!(timeless(before), timeless(after), "{label}");
    }
}

#[test]
fn finished_cells_are_not_run_again_and_a_new_one_is() {
    let bench = Bench::new(&["affine", "raw"]);
    bench.experiment(CELLS);
    bench.run_ok(&["-o", "results"]);
    let before = bench.records("results");
    let again = bench.run_ok(&["-o", "results"]);
    assert!(!again.contains("load the model"), "{again}");
    assert!(again.contains("5 of 5 cells had a finished record"), "{again}");
    assert_eq!(bench.records("results"), before);

    let fresh = bench.run_ok(&["-o", "results", "--fresh"]);
    assert!(fresh.contains("load the model") && !fresh.contains("finished"), "{fresh}");
    let rerun = bench.records("results");
    assert_eq!(rerun.len(), before.len());
    for ((label, rerun), (_, before)) in rerun.into_iter().zip(before) {
        assert_eq!(timeless(rerun), timeless(before), "{label}");
    }
    let before = bench.records("results");

    bench.experiment(&format!(
        "{CELLS}[[compressor]]\ncodec = \"affine\"\nparams = {{ bits = 2 }}\n"
    ));
    let more = bench.run_ok(&["-o", "results"]);
    assert_eq!(more.matches("finished by an earlier run").count(), 5, "{more}");
    assert_eq!(bench.records("results").len(), 6);
    let of = |records: &[(String, Value)], label: &str| {
        records.iter().find(|(name, _)| name == label).unwrap().1.clone()
    };
    let after = bench.records("results");
    assert_eq!(of(&after, "raw"), of(&before, "raw"));
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_does() {
    let bench = Bench::new(&["affine", "raw"]);
    bench.experiment(CELLS);
    let assets = root().join("assets");
    for (signal, folder) in [("-INT", "interrupted"), ("-TERM", "terminated")] {
        let arguments = ["run", "test.toml", "--assets", assets.to_str().unwrap(), "-o", folder];
        let child =
            bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // The lock shows that signals are being listened for.
        while !bench.path().join(folder).join("journal/lock").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{signal}: {stderr}");
        assert!(stderr.contains("`strait run test.toml` goes on from here"), "{stderr}");
        bench.run_ok(&["-o", folder]);
        assert_eq!(bench.records(folder).len(), 5);
    }
}

/// The journals of a results folder.
fn journals(bench: &Bench) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(bench.path().join("results/journal")) else {
        return Vec::new();
    };
    let mut journals: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .collect();
    journals.sort();
    journals
}

#[test]
fn a_journal_that_is_shortened_or_removed_during_a_run_ends_it() {
    let bench = Bench::new(&["raw"]);
    let shorten = |path: &std::path::Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(3000).unwrap();
    };
    let remove = |path: &std::path::Path| std::fs::remove_file(path).unwrap();
    type Damage = fn(&std::path::Path);
    for (expected, damage) in [("changed", shorten as Damage), ("read the journal", remove)] {
        bench.experiment(
            "[partition]\ncuts = [3]\n[run]\nthreads = 1\n[[compressor]]\ncodec = \"raw\"\n",
        );
        let assets = root().join("assets");
        let arguments = ["run", "test.toml", "--assets", assets.to_str().unwrap(), "-o", "results"];
        let child =
            bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // The second window of a cell is on its way.
        let begun = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().len() > 4000;
        while !journals(&bench).iter().any(begun) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let journals = journals(&bench);
        damage(journals.iter().find(|path| begun(path)).unwrap());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(expected) || stderr.contains("expected the journal"), "{stderr}");
        for (label, record) in bench.records("results") {
            let windows = record["windows"].as_array().unwrap().len();
            assert_eq!(windows, 11, "{label}: a record of {windows} windows");
        }
        // What is whole stays, and the rest runs again.
        bench.run_ok(&["-o", "results"]);
        for (label, record) in bench.records("results") {
            assert_eq!(record["status"], "finished", "{label}");
            assert_eq!(record["windows"].as_array().unwrap().len(), 11, "{label}");
        }
        std::fs::remove_dir_all(bench.path().join("results")).unwrap();
    }
}

#[test]
fn the_journal_of_another_cell_is_noticed() {
    let bench = Bench::new(&["affine", "raw"]);
    bench.experiment(CELLS);
    bench.run_ok(&["-o", "results"]);
    let before = bench.records("results");
    let journals = journals(&bench);
    let kept = bench.path().join("kept");
    std::fs::rename(&journals[0], &kept).unwrap();
    std::fs::rename(&journals[1], &journals[0]).unwrap();
    std::fs::rename(&kept, &journals[1]).unwrap();
    for entry in std::fs::read_dir(bench.path().join("results")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let output = bench.run(&["-o", "results"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("expected the journal of the cell"), "{stderr}");
    assert!(bench.records("results").is_empty());
    bench.run_ok(&["-o", "results", "--fresh"]);
    assert_eq!(bench.records("results").len(), before.len());
}
