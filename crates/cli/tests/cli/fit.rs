//! `strait fit`: artifacts of calibrated codecs, and what they are refused for.

use super::harness::Bench;

const CELLS: &str = "
[partition]
cuts = [1, 3]
[[compressor]]
label = \"pca\"
codec = \"pca\"
artifact = \"artifacts/{label}-{link}.bin\"
";

fn calibration(bench: &Bench) {
    let words = ["river", "stone", "the", "old", "bridge", "of", "a", "small", "town", "was"];
    let text: Vec<&str> = (0..3000).map(|i: usize| words[(i * i * 7 + i / 3) % 10]).collect();
    bench.write("calibration.txt", &text.join(" "));
}

#[test]
fn a_fitted_codec_has_an_artifact_for_every_link_and_runs_with_it() {
    let bench = Bench::new(&["affine", "lowrank"]);
    calibration(&bench);
    let fit = "[fit]\nsource = \"calibration.txt\"\ntokens = 1024\n";
    bench.experiment(&format!("{CELLS}{fit}"));
    let assets = super::harness::root().join("assets");
    let output = bench
        .command(&["fit", "test.toml", "--assets", assets.to_str().unwrap()])
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for link in 0..2 {
        let name = format!("artifacts/pca-{link}.bin");
        assert!(stdout.contains(&name), "{stdout}");
        assert!(std::fs::metadata(bench.path().join(&name)).unwrap().len() > 100);
    }
    bench.run_ok(&["-o", "out"]);
    let compressor = bench.record("out", "pca")["cell"]["compressor"].clone();
    let sizes = (0..2).map(|link| {
        std::fs::metadata(bench.path().join(format!("artifacts/pca-{link}.bin"))).unwrap().len()
    });
    assert_eq!(compressor["static_bytes"].as_u64().unwrap(), sizes.sum::<u64>());
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let bench = Bench::new(&["affine", "lowrank", "raw"]);
    calibration(&bench);
    for (more, expected) in [
        (CELLS.to_owned(), "a table [fit]"),
        (format!("{CELLS}[fit]\nsource = \"wikitext-2-raw\"\nsplit = \"test\"\n"), "not scored"),
        (
            format!(
                "{}[fit]\nsource = \"calibration.txt\"\n",
                CELLS.replace("codec = \"pca\"", "codec = \"raw\"")
            ),
            "a fit step",
        ),
    ] {
        bench.experiment(&more);
        let assets = super::harness::root().join("assets");
        let arguments = ["fit", "test.toml", "--assets", assets.to_str().unwrap()];
        let output = bench.command(&arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        assert!(!output.status.success() && stderr.contains(expected), "{expected}: {stderr}");
    }
}
