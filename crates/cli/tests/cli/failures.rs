//! A codec that misbehaves fails its own cell; the others go on.

use super::harness::Bench;

#[test]
fn hostile_codecs_fail_alone() {
    let bench = Bench::new(&["affine", "hostile"]);
    let hostile = ["panic-encode", "panic-decode", "panic-open", "error-encode", "write-too-much"];
    let cells: String =
        hostile.iter().map(|id| format!("[[compressor]]\ncodec = \"hostile.{id}\"\n")).collect();
    bench.experiment(&format!(
        "[partition]\ncuts = [3]\n{cells}[[compressor]]\ncodec = \"affine\"\n"
    ));
    let output = bench.run(&["-o", "results"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    for id in hostile {
        let record = bench.record("results", &format!("hostile.{id}"));
        assert_eq!(record["status"], "failed", "{id}");
        assert!(record["reason"].as_str().unwrap().len() > 10, "{id}");
        assert!(record["scores"].is_null());
    }
    for label in ["affine", "baseline"] {
        assert_eq!(bench.record("results", label)["status"], "finished", "{label}");
    }
}
