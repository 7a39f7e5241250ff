//! Cells that compress the KV cache: what is kept is exact, what is removed is gone, bytes are counted.

use serde_json::Value;

use super::harness::{Bench, nll};

const BOTH_MODES: [&str; 2] = [
    "[protocol]\npreset = \"prefill-suffix\"\ncontext = 192\nwindow = 256\nstride = 256\n",
    "[protocol]\nwindow = 256\nstride = 128\n[kv]\ninterval = 64\n",
];

fn experiment(bench: &Bench, more: &str) {
    bench.experiment("");
    let text = std::fs::read_to_string(bench.path().join("test.toml")).unwrap();
    let start = text.find("[protocol]").unwrap();
    bench.write("test.toml", &format!("{}{more}", &text[..start]));
}

fn bytes(record: &Value) -> (u64, u64) {
    let sum = |key: &str| {
        record["links"].as_array().unwrap().iter().map(|link| link[key].as_u64().unwrap()).sum()
    };
    (sum("payload_bytes"), sum("raw_bytes"))
}

#[test]
fn nothing_removed_is_the_baseline_to_the_last_bit_in_both_modes() {
    let bench = Bench::new(&["presses-basic", "raw", "cast"]);
    for mode in BOTH_MODES {
        let cells = "
[[cache]]
press = \"knorm\"
ratio = 0
[[cache]]
label = \"raw\"
key = { codec = \"raw\" }
value = { codec = \"raw\" }
[[cache]]
label = \"f32 before rope\"
key = { codec = \"cast\", to = \"f32\" }
before_rope = true
recent = 16
sinks = 2
";
        experiment(&bench, &format!("{mode}{cells}"));
        bench.run_ok(&["-o", "out", "--fresh"]);
        let whole = nll(&bench.record("out", "baseline"));
        for label in ["knorm", "raw", "f32 before rope"] {
            let record = bench.record("out", label);
            assert_eq!(nll(&record), whole, "{label}");
            let (stored, raw) = bytes(&record);
            assert_eq!(stored, raw, "{label}");
        }
        std::fs::remove_dir_all(bench.path().join("out")).unwrap();
    }
}

#[test]
fn bytes_follow_the_ratio_and_the_bits_and_cells_do_not_touch_each_other() {
    let bench = Bench::new(&["presses-basic", "presses-attention", "affine"]);
    for mode in BOTH_MODES {
        let cells = "
[[cache]]
press = \"random\"
sweep = { ratio = [0.25, 0.5, 0.75] }
[[cache]]
press = \"snapkv\"
params = { window = 8 }
ratio = 0.5
[[cache]]
press = \"observed-attention\"
ratio = 0.5
[[cache]]
label = \"critical\"
press = \"snapkv\"
params = { window = 8, budget = \"criticalkv\" }
ratio = 0.5
[[cache]]
press = \"random\"
ratio = 0.25
then = [{ press = \"snapkv\", params = { window = 8 }, ratio = 0.5 }, { press = \"think\", ratio = 0.5 }]
[[cache]]
label = \"4 bits but in layer 2\"
key = { codec = \"affine\", bits = 4 }
value = { codec = \"affine\", bits = 4 }
overrides = [{ layers = [2], key = { codec = \"affine\", bits = 8 } }]
[[cache]]
label = \"4 bits\"
key = { codec = \"affine\", bits = 4 }
value = { codec = \"affine\", bits = 4 }
";
        experiment(&bench, &format!("{mode}{cells}"));
        bench.run_ok(&["-o", "out", "--fresh"]);
        for (label, least, most) in [
            ("random ratio=0.25", 0.74, 0.76),
            ("random ratio=0.5", 0.49, 0.51),
            ("random ratio=0.75", 0.24, 0.26),
            ("snapkv", 0.49, 0.51),
            ("observed-attention", 0.49, 0.51),
            ("critical", 0.49, 0.51),
            // Three quarters of half of the entries, with whole values and half of the keys' channels.
            ("random + snapkv + think", 0.27, 0.29),
            ("4 bits", 0.12, 0.20),
            // 4 bits and a scale in 7 layers, 32 bits of the values and 8 of the keys in one.
            ("4 bits but in layer 2", 0.17, 0.25),
        ] {
            let (stored, raw) = bytes(&bench.record("out", label));
            let share = stored as f64 / raw as f64;
            assert!((least..=most).contains(&share), "{label}: {share}");
        }
        let together = nll(&bench.record("out", "snapkv"));
        let alone = "[[cache]]\npress = \"snapkv\"\nparams = { window = 8 }\nratio = 0.5\n";
        experiment(&bench, &format!("{mode}{alone}"));
        bench.run_ok(&["-o", "alone", "--fresh"]);
        assert_eq!(nll(&bench.record("alone", "snapkv")), together);
        for folder in ["out", "alone"] {
            std::fs::remove_dir_all(bench.path().join(folder)).unwrap();
        }
    }
}

#[test]
fn later_keys_are_whole_unless_they_are_to_be_cut() {
    let bench = Bench::new(&["presses-attention", "affine"]);
    for mode in BOTH_MODES {
        let cells = "
[[cache]]
label = \"whole\"
press = \"think\"
ratio = 0.5
[[cache]]
label = \"cut\"
press = \"think\"
ratio = 0.5
cut_later_keys = true
[[cache]]
label = \"coded\"
press = \"think\"
ratio = 0.5
key = { codec = \"affine\", bits = 8 }
recent = 16
";
        experiment(&bench, &format!("{mode}{cells}"));
        bench.run_ok(&["-o", "out", "--fresh"]);
        let record = |label: &str| bench.record("out", label);
        let sum = |label: &str| -> f64 {
            nll(&record(label)).iter().map(|sum| sum.parse::<f64>().unwrap()).sum()
        };
        let share = |label: &str| {
            let (stored, raw) = bytes(&record(label));
            stored as f64 / raw as f64
        };
        // Half of the channels of the keys; of 8 bits and a scale each, but for the last tokens.
        assert!((share("whole") - 0.75).abs() < 1e-9 && (share("cut") - 0.75).abs() < 1e-9);
        assert!((0.56..0.62).contains(&share("coded")), "{}", share("coded"));
        assert!(sum("whole") != sum("baseline") && sum("whole") != sum("cut"), "{mode}");
        assert!((sum("coded") / sum("whole") - 1.0).abs() < 2e-3, "{mode}");
        let kld = |label: &str| record(label)["scores"]["kld"]["mean"].as_f64().unwrap();
        if mode == BOTH_MODES[0] {
            // Scored tokens attend to one another's keys: whole ones cost less.
            assert!(kld("whole") < kld("cut"), "{} {}", kld("whole"), kld("cut"));
        }
        assert_eq!(record("cut")["cell"]["cache"]["cut_later_keys"], true);
        std::fs::remove_dir_all(bench.path().join("out")).unwrap();
    }
}

#[test]
fn a_press_that_fails_ends_its_cell_alone() {
    let bench = Bench::new(&["presses-basic", "hostile"]);
    let mut cells = format!("{}[[cache]]\npress = \"knorm\"\nratio = 0.5\n", BOTH_MODES[0]);
    let faults = [
        "panic_in_press",
        "error",
        "heads",
        "order",
        "beyond",
        "huge",
        "values",
        "nan",
        "some_channels",
    ];
    for fault in faults {
        cells += &format!(
            "[[cache]]\nlabel = \"{fault}\"\npress = \"hostile.press\"\nratio = 0.5\nparams = {{ fault = \"{fault}\" }}\n"
        );
    }
    experiment(&bench, &cells);
    let output = bench.run(&["-o", "out"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.record("out", "knorm")["status"], "finished");
    for fault in faults {
        assert_eq!(bench.record("out", fault)["status"], "failed", "{fault}");
    }
}

#[test]
fn mistakes_are_named() {
    let bench = Bench::new(&["presses-basic", "presses-attention", "affine"]);
    for (cells, expected) in [
        ("[[cache]]\nratio = 0.5\n", "a press, or a codec"),
        ("[[cache]]\npress = \"knrm\"\n", "knorm"),
        ("[[cache]]\npress = \"knorm\"\nratio = 0.5\nsize = 3\n", "not both"),
        ("[[cache]]\npress = \"knorm\"\nparams = { sink = 1 }\n", "sinks"),
        (
            "[[cache]]\npress = \"knorm\"\nthen = [{ press = \"knorm\", ratio = 2 }]\n",
            "a share from 0",
        ),
        ("[[cache]]\npress = \"knorm\"\nthen = [{ press = \"knrm\" }]\n", "knorm"),
        (
            "[[cache]]\nkey = { codec = \"affine\" }\nthen = [{ press = \"knorm\" }]\n",
            "before them",
        ),
        (
            "[[cache]]\noverrides = [{ layers = [1], key = { codec = \"afine\" } }]\n",
            "no such codec",
        ),
        (
            "[[cache]]\npress = \"knorm\"\noverrides = [{ layers = [1] }, { layers = [0, 1] }]\n",
            "layer 1 again",
        ),
        ("[[cache]]\npress = \"knorm\"\noverrides = [{ layers = [99] }]\n", "layers from 0 to"),
        ("[[cache]]\nkey = { bits = 4 }\n", "the id of a codec"),
        ("[[cache]]\nkey = { codec = \"affine\", bts = 4 }\n", "bits"),
        ("[[cache]]\npress = \"knorm\"\nlayers = [99]\n", "layers from 0 to"),
        ("[[cache]]\npress = \"think\"\nreposition = true\n", "all their channels"),
        (
            "[[cache]]\npress = \"knorm\"\nreposition = true\nthen = [{ press = \"think\" }]\n",
            "all their channels",
        ),
    ] {
        experiment(&bench, &format!("{}{cells}", BOTH_MODES[0]));
        let output = bench.run(&["-o", "out"]);
        let stderr = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        assert!(!output.status.success() && stderr.contains(expected), "{cells}: {stderr}");
    }
}
