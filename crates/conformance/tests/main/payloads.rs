//! The bytes that the codecs of this repository write, cell by cell of the catalogue: a plugin that is
//! rebuilt, from sources that were moved about, say, must write the same ones, or its results are no
//! longer those of its committed records.
//!
//! The hashes were made on an x86-64 CPU with AVX-512. To accept new ones, after a change that is meant to
//! change payloads: `UPDATE_PAYLOADS=1 cargo test --release -p strait-conformance payloads`, and run again
//! what the codec's records came from: `results/catalogue/payloads.txt` says which bytes its records were
//! measured with, in lines of the same form.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use strait_conformance::{Fingerprint, fingerprint_codec};
use strait_schema::Experiment;

#[test]
fn codecs_write_the_bytes_that_they_wrote() {
    offer_inner_codecs();
    let mut found = String::new();
    for cell in Experiment::load(root().join("configs/catalogue.toml")).unwrap().cells().unwrap() {
        let label = &cell.label;
        let Fingerprint { payloads, values } = fingerprint(&cell.codec, &cell.params)
            .unwrap_or_else(|error| panic!("{label}: {error}"));
        writeln!(found, "{} {} {label}", &payloads[..16], &values[..16]).unwrap();
    }
    let golden = root().join("crates/conformance/golden/payloads.txt");
    if std::env::var_os("UPDATE_PAYLOADS").is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    let changed: Vec<&str> =
        found.lines().filter(|line| !expected.lines().any(|known| known == *line)).collect();
    assert!(
        changed.is_empty() && found.lines().count() == expected.lines().count(),
        "payloads or decoded values (the second hash) have changed; see the head of this file:\n{}",
        changed.join("\n")
    );
}

#[test]
fn records_of_the_catalogue_were_measured_with_these_bytes() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let written = read("crates/conformance/golden/payloads.txt");
    let measured = read("results/catalogue/payloads.txt");
    let of = |lines: &str, label: &str| {
        let line = lines.lines().find(|line| line.splitn(3, ' ').nth(2) == Some(label));
        line.map(str::to_owned)
    };
    let mut others = Vec::new();
    for entry in std::fs::read_dir(root().join("results/catalogue")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let record: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let label = record["label"].as_str().unwrap();
        if record["cell"]["compressor"].is_null() {
            continue;
        }
        let known = of(&measured, label);
        if known.is_none() || known != of(&written, label) {
            others.push(label.to_owned());
        }
    }
    assert!(
        others.is_empty(),
        "the codecs of these records write other bytes now: {others:?}; run the records again (strait run --fresh) and put \
         their lines of crates/conformance/golden/payloads.txt into results/catalogue/payloads.txt"
    );
}

/// The codecs that others of the catalogue have inside.
fn offer_inner_codecs() {
    strait_sdk::offer::<strait_affine::Affine>();
    strait_sdk::offer::<strait_blockfloat::Blockfloat>();
    strait_sdk::offer::<strait_cast::Cast>();
}

fn fingerprint(codec: &str, params: &Map<String, Value>) -> Result<Fingerprint, String> {
    let of = match codec {
        "affine" => fingerprint_codec::<strait_affine::Affine>,
        "blockfloat" => fingerprint_codec::<strait_blockfloat::Blockfloat>,
        "cast" => fingerprint_codec::<strait_cast::Cast>,
        "channels" => fingerprint_codec::<strait_importance::Channels>,
        "delta" => fingerprint_codec::<strait_delta::Delta>,
        "exl3" => fingerprint_codec::<strait_hadamard::Exl3>,
        "frontier" => fingerprint_codec::<strait_frontier::Frontier>,
        "frontier-fitted" => fingerprint_codec::<strait_frontier::FrontierFitted>,
        "ggml" => fingerprint_codec::<strait_ggml::Ggml>,
        "hadamard" => fingerprint_codec::<strait_hadamard::Hadamard>,
        "hivemind" => fingerprint_codec::<strait_hivemind::Hivemind>,
        "hqq" => fingerprint_codec::<strait_hqq::Hqq>,
        "lossless" => fingerprint_codec::<strait_lossless::Lossless>,
        "lowrank" => fingerprint_codec::<strait_lowrank::Lowrank>,
        "mixed" => fingerprint_codec::<strait_importance::Mixed>,
        "mx" => fingerprint_codec::<strait_blockfloat::Mx>,
        "nvfp4" => fingerprint_codec::<strait_blockfloat::Nvfp4>,
        "outlier.columns" => fingerprint_codec::<strait_outlier::Columns>,
        "outlier.tokens" => fingerprint_codec::<strait_outlier::Tokens>,
        "outlier.values" => fingerprint_codec::<strait_outlier::Values>,
        "pca" => fingerprint_codec::<strait_lowrank::Pca>,
        "rowcolmean" => fingerprint_codec::<strait_rowcolmean::Rowcolmean>,
        "sparse" => fingerprint_codec::<strait_sparse::Sparse>,
        "spectral" => fingerprint_codec::<strait_spectral::Spectral>,
        "tahquant" => fingerprint_codec::<strait_tahquant::Tahquant>,
        other => return Err(format!("no such codec here: {other}; add it to this list")),
    };
    of(params)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
