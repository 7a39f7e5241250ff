//! Every hostile mode in one run: each cell ends as the table says, and the others have the numbers that
//! they have alone. Then what cannot stand in a table: a plugin that hangs while the user waits, one that
//! ends the process from a thread of its own, and checks that survive.

use std::process::Stdio;
use std::time::Duration;

use strait_hostile::{MODES, Mode, Outcome};
use strait_loader::{CallNote, End};

use super::harness::{Bench, nll, root};

/// One thread more than the one that a plugin holds.
fn experiment(bench: &Bench, timeout_s: u64, cells: &str) {
    bench.experiment(&format!(
        "[run]\nthreads = 2\ncall_timeout_s = {timeout_s}\n[partition]\ncuts = [3]\n\
         [[compressor]]\ncodec = \"affine\"\n{cells}"
    ));
}

fn label(at: usize, mode: &Mode) -> String {
    format!("{at:02} {}", mode.id)
}

/// The mode as a cell.
fn cell(at: usize, mode: &Mode) -> String {
    let Mode { id, params, .. } = mode;
    let (table, key) = match *id {
        "hostile.press" => ("cache", "press"),
        _ => ("compressor", "codec"),
    };
    let label = label(at, mode);
    let ratio = if table == "cache" { "ratio = 0.5\n" } else { "" };
    format!("[[{table}]]\nlabel = {label:?}\n{key} = {id:?}\n{ratio}params = {{ {params} }}\n")
}

#[test]
fn every_hostile_mode_costs_its_own_cell_and_no_other() {
    let bench = Bench::new(&["affine", "hostile"]);
    experiment(&bench, 4, "");
    bench.run_ok(&["-o", "alone"]);

    let cells: String = MODES.iter().enumerate().map(|(at, mode)| cell(at, mode)).collect();
    let last = "[[compressor]]\nlabel = \"last\"\ncodec = \"affine\"\nparams = { bits = 4 }\n";
    experiment(&bench, 4, &format!("{cells}{last}"));
    let output = bench.run(&["-o", "results"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for cell in ["baseline", "affine"] {
        let (alone, beside) = (bench.record("alone", cell), bench.record("results", cell));
        assert_eq!(nll(&beside), nll(&alone), "{cell}");
    }
    assert_eq!(bench.record("results", "last")["status"], "finished");

    for (at, mode) in MODES.iter().enumerate() {
        let label = label(at, mode);
        let what = format!("{label} {}", mode.params);
        let record = bench.record("results", &label);
        let (reason, warnings) = (record["reason"].to_string(), record["warnings"].to_string());
        let has = |text: &str, words: &str| text.contains(&format!("{words:?}").replace('"', ""));
        let mut lines = stderr.lines().filter(|line| line.contains("starting again"));
        let crashed = lines.any(|line| line.contains(&format!("cell {label:?}: ")));
        match mode.outcome {
            Outcome::Fails(words) => {
                assert!(record["status"] == "failed" && has(&reason, words), "{what}: {reason}");
                assert!(!crashed, "{what}: {stderr}");
                assert!(reason.len() < 4000, "{what}: {}", reason.len());
            }
            Outcome::Ends(words) => {
                assert!(record["status"] == "failed" && has(&reason, words), "{what}: {reason}");
                // Of two that end the process at the same time only the first is told of.
                assert!(has(&reason, "plugin libstrait_hostile.so, codec"), "{what}: {reason}");
            }
            Outcome::Warns(words) => {
                assert_eq!(record["status"], "finished", "{what}: {reason}");
                assert!(has(&warnings, words) && !crashed, "{what}: {warnings}");
            }
            Outcome::Finishes => {
                assert_eq!(record["status"], "finished", "{what}: {reason}");
                assert!(!crashed, "{what}: {stderr}");
                assert!(!warnings.contains("cannot carry"), "{what}: {warnings}");
            }
        }
    }

    let again = bench.run(&["-o", "results"]);
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("starting again"), "what crashed is left out: {stderr}");
}

#[test]
fn a_cell_that_crashed_is_run_again_when_the_user_says_so() {
    let bench = Bench::new(&["affine", "hostile"]);
    let crash = "[[compressor]]\nlabel = \"crash\"\ncodec = \"hostile.ends\"\nparams = { how = \"abort\" }\n";
    experiment(&bench, 0, crash);
    for fresh in [&["-o", "results"][..], &["-o", "results", "--fresh"]] {
        let output = bench.run(fresh);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.matches("starting again without this cell").count(), 1, "{stderr}");
        assert_eq!(bench.record("results", "crash")["status"], "failed");
        assert_eq!(bench.record("results", "affine")["status"], "finished");
    }
}

#[test]
fn an_exit_in_a_thread_of_a_plugin_is_no_success() {
    let bench = Bench::new(&["hostile"]);
    bench.experiment(
        "[run]\nthreads = 1\n[partition]\ncuts = [3]\n[[compressor]]\nlabel = \"thread\"\n\
         codec = \"hostile.ends\"\nparams = { how = \"exit_in_thread\" }\n",
    );
    let output = bench.run(&["-o", "results"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cell \"thread\": encode ended the process"), "{stderr}");
    assert_eq!(bench.record("results", "thread")["status"], "failed");
}

#[test]
fn a_run_that_a_plugin_holds_can_be_stopped() {
    let bench = Bench::new(&["affine", "hostile"]);
    let hang =
        "[[compressor]]\nlabel = \"hang\"\ncodec = \"hostile.ends\"\nparams = { how = \"loop\" }\n";
    experiment(&bench, 0, hang);
    let assets = root().join("assets");
    for (folder, interrupts) in [("once", 1), ("twice", 2)] {
        let arguments = ["run", "test.toml", "--assets", assets.to_str().unwrap(), "-o", folder];
        let mut command = bench.command(&arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let note = bench.path().join(folder).join("journal/calls");
        let hanging = || {
            let calls = CallNote::read(&note).unwrap();
            calls.into_iter().find(|call| call.place.contains("hostile.ends"))
        };
        while hanging().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        for _ in 0..interrupts {
            let pid = child.id().to_string();
            std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        let told = stderr.contains("stopped while plugin libstrait_hostile.so");
        assert_eq!(told, interrupts == 1, "{stderr}");
        assert_eq!(hanging().unwrap().end, End::Unknown, "its cell is not to blame");
    }
}

#[test]
fn a_check_survives_what_it_checks_and_lets_nothing_pass_from_side_to_side() {
    let bench = Bench::new(&["affine", "hostile"]);
    let check = |file: &str| {
        let output = bench.command(&["plugins", "check", file]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = check("plugins/libstrait_affine.so");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = check("plugins/libstrait_hostile.so");
    assert_eq!(code, Some(1), "{text}");
    let failed = |codec: &str, check: &str, words: &str| {
        let start = format!("{codec}: {check} with ");
        assert!(
            text.lines().any(|line| line.starts_with(&start) && line.contains(words)),
            "{start}: {text}"
        );
    };
    failed("hostile.ends", "keeps_its_payload_size", "its process ended with exit code 2");
    failed(
        "hostile.file-cheat",
        "decodes_in_a_second_instance",
        "the encoder's message is not here",
    );
    failed(
        "hostile.address-cheat",
        "decodes_in_a_second_instance",
        "its process ended with signal 11",
    );
    failed("hostile.static-cheat", "decodes_in_a_second_instance", "message is not here");
    failed("hostile.writes", "forgets_at_reset", "wrote to the message");
    failed("hostile.floats", "pays_for_what_it_decodes", "left the arithmetic changed");
    let passed = |codec: &str| {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{codec}: ")));
        lines.clone().count() > 10 && lines.clone().all(|line| line.ends_with(": ok"))
    };
    assert!(passed("hostile.error"), "{text}");
}
