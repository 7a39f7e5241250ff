//! A codec that misbehaves fails its own cell; the others go on.

use super::harness::Bench;

#[test]
fn hostile_codecs_fail_alone() {
    let bench = Bench::new(&["affine", "hostile"]);
    let hostile = [
        ("panic", "open"),
        ("panic", "encode"),
        ("panic", "decode"),
        ("panic", "reset"),
        ("error", "encode"),
        ("error", "decode"),
    ];
    let mut cells = String::new();
    for (codec, at) in hostile {
        cells += &format!(
            "[[compressor]]\nlabel = \"{codec} {at}\"\ncodec = \"hostile.{codec}\"\nparams = {{ at = \"{at}\" }}\n"
        );
    }
    for (label, params) in [("too much", "factor = 100"), ("too little", "missing = 1")] {
        cells += &format!(
            "[[compressor]]\nlabel = \"{label}\"\ncodec = \"hostile.length\"\nparams = {{ {params} }}\n"
        );
    }
    for cheat in ["static-cheat", "instance-cheat", "half-filled"] {
        cells += &format!("[[compressor]]\ncodec = \"hostile.{cheat}\"\n");
    }
    bench.experiment(&format!(
        "[partition]\ncuts = [3]\n{cells}[[compressor]]\ncodec = \"affine\"\n"
    ));
    let output = bench.run(&["-o", "results"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let failing = hostile.map(|(codec, at)| format!("{codec} {at}"));
    let lengths = ["too much", "too little"].map(str::to_owned);
    let cheats =
        ["static-cheat", "instance-cheat", "half-filled"].map(|id| format!("hostile.{id}"));
    for label in failing.iter().chain(&lengths).chain(&cheats) {
        let record = bench.record("results", label);
        assert_eq!(record["status"], "failed", "{label}");
        assert!(record["reason"].as_str().unwrap().len() > 10, "{label}");
        assert!(record["scores"].is_null());
    }
    for label in ["affine", "baseline"] {
        assert_eq!(bench.record("results", label)["status"], "finished", "{label}");
    }
}
