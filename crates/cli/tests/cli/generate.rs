//! `strait generate` and `[speed]`: text from the small model, with and without a compressed cache.

use std::io::Read;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::harness::{Bench, root};

const CELLS: &str = "
[[cache]]
label = \"nothing\"
press = \"knorm\"
ratio = 0
[[cache]]
label = \"half\"
press = \"knorm\"
ratio = 0.5
[[cache]]
label = \"window\"
press = \"snapkv\"
params = { window = 8 }
ratio = 0.5
[[cache]]
label = \"4 bits\"
key = { codec = \"affine\", bits = 4 }
value = { codec = \"affine\", bits = 4 }
";

const PROMPT: &str = " = Robert Boulter = \n Robert Boulter is an English film , television and theatre \
actor . He had a guest @-@ starring role on the television series The Bill in 2000 . This was followed by \
a starring role in the play Herons written by Simon Stephens , which was performed in 2001 at the Royal \
Court Theatre .";

fn bench() -> Bench {
    let bench = Bench::new(&["presses-basic", "presses-attention", "affine"]);
    bench.experiment(CELLS);
    bench
}

/// `strait generate test.toml …` with the prompt.
fn generate(bench: &Bench, arguments: &[&str]) -> Output {
    let all = [&["generate", "test.toml", "-p", PROMPT], arguments].concat();
    bench.command(&all).output().unwrap()
}

fn json(bench: &Bench, arguments: &[&str]) -> Value {
    let output = generate(bench, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn text_is_streamed_and_its_cost_told_apart_from_it() {
    let bench = bench();
    let output = generate(&bench, &["-n", "24"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let told = json(&bench, &["-n", "24"]);
    assert_eq!(text, format!("{}\n", told["text"].as_str().unwrap()));
    assert_eq!((told["new_tokens"].as_u64(), told["ended"].as_str()), (Some(24), Some("length")));
    let summary = String::from_utf8(output.stderr).unwrap();
    for part in ["prompt tokens, 24 new", "first token after", "tokens/s", "100.0 % of"] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    // 8 layers, 2 heads of 32 channels, keys and values in f32.
    let tokens = told["prompt_tokens"].as_u64().unwrap();
    assert_eq!(told["cache_bytes"].as_u64(), Some(tokens * 8 * 2 * 32 * 2 * 4));
}

#[test]
fn a_press_of_nothing_gives_the_same_text_and_others_generate_from_what_they_left() {
    let bench = bench();
    let whole = json(&bench, &["-n", "40"]);
    let nothing = json(&bench, &["-n", "40", "--cell", "nothing"]);
    assert_eq!(nothing["tokens"], whole["tokens"]);
    assert_eq!(nothing["cache_bytes"], whole["cache_bytes"]);
    for label in ["half", "window"] {
        let half = json(&bench, &["-n", "40", "--cell", label]);
        // What snapkv keeps is enough for the text that this model repeats.
        if label == "half" {
            assert_ne!(half["tokens"], whole["tokens"]);
        }
        let share =
            half["cache_bytes"].as_f64().unwrap() / half["cache_raw_bytes"].as_f64().unwrap();
        assert!((share - 0.5).abs() < 0.02, "{label}: {share}");
    }
    let coded = json(&bench, &["-n", "40", "--cell", "4 bits"]);
    assert!(coded["cache_bytes"].as_u64().unwrap() * 6 < whole["cache_bytes"].as_u64().unwrap());
    // Compressed again while it grows: more is gone.
    let again = json(&bench, &["-n", "40", "--cell", "half", "--interval", "8"]);
    let once = json(&bench, &["-n", "40", "--cell", "half"]);
    assert_ne!(again["tokens"], once["tokens"]);
    let output = generate(&bench, &["-n", "40", "--cell", "window", "--interval", "8"]);
    assert!(error(&output).contains("expected a press that needs no queries or attention"));
}

#[test]
fn a_seed_draws_the_same_text_again() {
    let bench = bench();
    let drawn = |seed: &str| {
        json(&bench, &["-n", "30", "-t", "0.9", "--top-k", "50", "--top-p", "0.95", "--seed", seed])
    };
    let first = drawn("3");
    assert_eq!(first["tokens"], drawn("3")["tokens"]);
    assert_ne!(first["tokens"], drawn("4")["tokens"]);
    assert_ne!(first["tokens"], json(&bench, &["-n", "30"])["tokens"]);
}

#[test]
fn what_cannot_be_generated_says_why() {
    let bench = bench();
    let unknown = error(&generate(&bench, &["--cell", "quarter"]));
    assert!(
        unknown.contains("\"quarter\": expected one of \"baseline\", \"nothing\""),
        "{unknown}"
    );
    let output = bench.command(&["generate", "test.toml", "-p", ""]).output().unwrap();
    assert!(error(&output).contains("the prompt has no tokens"));
    let output = bench.command(&["generate", "test.toml", "-c", "gone.txt"]).output().unwrap();
    assert!(error(&output).contains("cannot read the context gone.txt"));
    assert!(error(&generate(&bench, &["--top-k", "4"])).contains("--temperature above 0"));
    assert!(
        error(&generate(&bench, &["-n", "3", "--min-new-tokens", "4"])).contains("at most the 3")
    );
    let output = bench.command(&["generate", "-p", "text"]).output().unwrap();
    assert!(error(&output).contains("expected an experiment file or --model SOURCE"));
}

#[test]
fn a_context_comes_from_a_file_or_a_pipe_and_a_closed_pipe_is_no_error() {
    let bench = Bench::new(&[]);
    bench.write("context.txt", PROMPT);
    let model = root().join("assets/models/wiki-4m");
    let model = model.to_str().unwrap();
    let of = |arguments: &[&str]| {
        let all = [&["generate", "--model", model, "-n", "8", "--json"], arguments].concat();
        let output = bench.command(&all).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["tokens"].clone()
    };
    assert_eq!(of(&["-c", "context.txt"]), of(&["-p", PROMPT]));
    assert_ne!(of(&["-c", "context.txt", "-p", " He"]), of(&["-p", PROMPT]));
    let mut child = bench
        .command(&[
            "generate",
            "--model",
            model,
            "-p",
            "The",
            "-n",
            "400",
            "--min-new-tokens",
            "400",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("error"), "{output:?}");
}

#[test]
fn speed_is_measured_for_every_cache_kept_and_shown() {
    let bench = bench();
    let speed = "[speed]\ncontexts = [48, 96]\nnew_tokens = 4\nrepeats = 2\n";
    bench.experiment(&format!("{CELLS}{speed}"));
    bench.run_ok(&["-o", "out"]);
    for (label, record) in bench.records("out") {
        let speed = record["speed"].as_array().unwrap();
        let contexts: Vec<_> =
            speed.iter().map(|counts| counts["context"].as_u64().unwrap()).collect();
        assert_eq!(contexts, [48, 96], "{label}");
        for counts in speed {
            for key in ["prefill_s", "decode_s"] {
                let times = counts[key].as_array().unwrap();
                assert!(times.len() == 2 && times.iter().all(|time| time.as_f64().unwrap() > 0.0));
            }
            let bytes = |key: &str| counts[key].as_f64().unwrap();
            let share = bytes("cache_bytes") / bytes("cache_raw_bytes");
            match label.as_str() {
                "half" | "window" => assert!((share - 0.5).abs() < 0.02, "{label} {share}"),
                "4 bits" => assert!(share < 0.2, "{label} {share}"),
                _ => assert_eq!(share, 1.0, "{label}"),
            }
        }
    }
    let shown = bench.command(&["table", "out"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("generation of 4 new tokens, the prefill left out"), "{shown}");
    let plot = |more: &[&str]| bench.command(&[&["plot", "out"], more].concat()).output().unwrap();
    assert!(plot(&["--speed", "-o", "speed.svg"]).status.success());
    let picture = std::fs::read_to_string(bench.path().join("speed.svg")).unwrap();
    for text in ["behind 96 tokens", "decode, tokens per second", "baseline", ">half<"] {
        assert!(picture.contains(text), "{text}: {picture}");
    }
    assert!(plot(&["--speed", "-o", "speed.png", "--scale", "1"]).status.success());
    let picture = std::fs::read(bench.path().join("speed.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(plot(&["--speed", "--up-to", "1"]).status.code(), Some(2));
    // What is measured is not measured again, unless something else is asked for.
    let before = bench.record("out", "half");
    bench.run_ok(&["-o", "out"]);
    assert_eq!(bench.record("out", "half"), before);
    bench.experiment(&format!("{CELLS}{}", speed.replace("[48, 96]", "[64]")));
    bench.run_ok(&["-o", "out"]);
    let after = bench.record("out", "half");
    assert_eq!(after["speed"][0]["context"].as_u64(), Some(64));
    assert_eq!(after["scores"], before["scores"]);
    bench.experiment("[speed]\ncontexts = [48, 9999]\n");
    let refused = error(&bench.run(&["-o", "out"]));
    assert!(refused.contains("speed.contexts[1]") && refused.contains("at most 1500"), "{refused}");
}
