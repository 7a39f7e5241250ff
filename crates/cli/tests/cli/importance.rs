//! Importances of tokens from the model's attention to a codec, and what is made of the results.

use std::fs;

use serde_json::Value;

use super::harness::{Bench, nll};

const PLUGINS: [&str; 3] = ["importance", "affine", "cast"];

fn said(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_sweep_over_cuts_and_metrics_shares_its_prefix_and_changes_no_number() {
    let bench = Bench::new(&PLUGINS);
    let low = "low = { codec = \"affine\", bits = 4, granularity = \"tensor\" }";
    bench.experiment(&format!(
        "[output]\ndir = \"swept\"\n[run]\nbatch_windows = 2\n\
         [[compressor]]\nlabel = \"L{{cut}} {{side.metric}} {{fraction}}\"\ncodec = \"mixed\"\n\
         params = {{ {low} }}\n\
         sweep = {{ cut = [1, 4], \"side.metric\" = [\"column-mean\", \"last-row\", \"hidden-norm\"], \
         fraction = [0.5] }}\n\
         [[compressor]]\nlabel = \"L{{cut}} norm\"\ncodec = \"mixed\"\n\
         params = {{ {low}, importance = \"norm\", fraction = 0.5 }}\nsweep = {{ cut = [1, 4] }}\n"
    ));
    bench.run_ok(&[]);
    // The same cells one at a time, and nobody looks while the baseline runs.
    bench.experiment(&format!(
        "[output]\ndir = \"single\"\n[partition]\ncuts = [1, 4]\n[run]\ncell_batch = 1\n\
         [[compressor]]\nlabel = \"L4 column-mean 0.5\"\ncodec = \"mixed\"\nlinks = [1]\n\
         params = {{ {low}, fraction = 0.5 }}\nside = {{}}\n"
    ));
    bench.run_ok(&[]);
    bench.experiment("[output]\ndir = \"plain\"\n[partition]\ncuts = [1, 4]\n");
    bench.run_ok(&[]);
    let of = |folder: &str, label: &str| nll(&bench.record(folder, label));
    assert_eq!(of("swept", "baseline"), of("plain", "baseline"));
    assert_eq!(of("swept", "L4 column-mean 0.5"), of("single", "L4 column-mean 0.5"));
    for cut in [1, 4] {
        let by_norm = of("swept", &format!("L{cut} norm"));
        assert_eq!(of("swept", &format!("L{cut} hidden-norm 0.5")), by_norm);
        assert_ne!(of("swept", &format!("L{cut} column-mean 0.5")), by_norm);
        assert_ne!(of("swept", &format!("L{cut} last-row 0.5")), by_norm);
    }
    let record = bench.record("swept", "L4 last-row 0.5");
    assert_eq!(record["cell"]["compressor"]["links"], serde_json::json!([1]));
    assert_eq!(record["cell"]["compressor"]["side"]["metric"], "last-row");
    let [first, second] = [0, 1].map(|link: usize| record["links"][link].clone());
    assert_eq!(first["payload_bytes"], first["raw_bytes"]);
    assert!(second["payload_bytes"].as_u64() < second["raw_bytes"].as_u64());
    assert_eq!((&first["tokens"], &first["messages"]), (&second["tokens"], &second["messages"]));

    let table = said(&bench, &["table", "swept", "--by", "cut,side.metric,fraction"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("PPL by cut") && lines[1].contains("fraction 0.5"), "{table}");
    assert_eq!(lines.len(), 2 + 6, "{table}");
    let json: Value = serde_json::from_str(&said(
        &bench,
        &[
            "table",
            "swept",
            "--by",
            "cut,fraction",
            "--where",
            "side.metric=last-row",
            "--of",
            "bits",
            "--json",
        ],
    ))
    .unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert!(json[0]["bits_per_value"].as_f64().unwrap() < 16.0);
    let output = bench.command(&["table", "swept", "--by", "cut,fraction"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("name another key"));

    let plan = ["plan", "swept", "--bandwidth", "20", "--rtt", "4", "--max-delta-ppl", "1000"];
    let text = said(&bench, &plan);
    assert!(text.contains("uncompressed") && text.contains("generate: L"), "{text}");
    assert!(text.contains("\n* ") && text.contains("paired difference"), "{text}");
    let plan: Value =
        serde_json::from_str(&said(&bench, &[&plan[..], &["--json"]].concat())).unwrap();
    let choices = plan["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 8 + 2);
    let bytes = |choice: &Value| choice["decode_bytes"].as_f64().unwrap();
    assert!(choices.iter().all(|choice| bytes(choice) <= 768.0));
    assert_eq!(plan["decode"], choices[0]);
    let output = bench
        .command(&["plan", "swept", "--bandwidth", "20", "--max-delta-ppl", "-1000"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn later_links_are_told_of_the_states_of_their_own_cell() {
    let bench = Bench::new(&PLUGINS);
    let cells = "[partition]\nplan = \"ring-2\"\n\
        [[compressor]]\nlabel = \"mean\"\ncodec = \"mixed\"\nside = { aggregate = \"mean\" }\n\
        [[compressor]]\nlabel = \"running\"\ncodec = \"mixed\"\n\
        side = { metric = \"value-norm\", aggregate = \"running-mean\" }\n\
        [[compressor]]\nlabel = \"named\"\ncodec = \"mixed\"\nside = { metric = \"entropy\", layers = [0, 1] }\n\
        [[compressor]]\ncodec = \"affine\"\nparams = { bits = 4 }\n";
    for (dir, run) in [("a", "batch_windows = 1"), ("b", "batch_windows = 3\ncell_batch = 4")] {
        bench.experiment(&format!("[output]\ndir = {dir:?}\n[run]\n{run}\n{cells}"));
        bench.run_ok(&[]);
    }
    for (label, record) in bench.records("a") {
        assert_eq!(nll(&record), nll(&bench.record("b", &label)), "{label}");
    }
}

#[test]
fn chunks_know_their_own_past_alone() {
    let bench = Bench::new(&PLUGINS);
    bench.experiment(
        "[run]\nchunk_tokens = 16\n[[compressor]]\nlabel = \"{cut} {side.metric}\"\ncodec = \"mixed\"\n\
         params = { causal = true }\nsweep = { cut = [2], \"side.metric\" = [\"column-mean\", \"last-row\", \"entropy\"] }\n",
    );
    bench.run_ok(&[]);
    let record = bench.record("results/test", "2 last-row");
    assert_eq!(record["status"], "finished");
    let link = &record["links"][0];
    // Ten windows of 256 tokens and one of 220.
    assert_eq!((&link["messages"], &link["tokens"]), (&174.into(), &2780.into()));
}

#[test]
fn head_weights_are_read_and_checked() {
    let bench = Bench::new(&PLUGINS);
    let weights = |heads: usize| serde_json::json!(vec![vec![0.5; heads]; 8]).to_string();
    let cell = |side: &str| {
        bench.experiment(&format!(
            "[partition]\ncuts = [3]\n[[compressor]]\nlabel = \"weighted\"\ncodec = \"mixed\"\nside = {side}\n\
             [[compressor]]\nlabel = \"mean\"\ncodec = \"mixed\"\nside = {{}}\n"
        ));
    };
    let file = "{ metric = \"head-weighted\", weights = \"heads.json\" }";
    cell(file);
    bench.write("heads.json", &weights(6));
    bench.run_ok(&[]);
    // Equal weights give the order of the mean.
    let of = |label: &str| nll(&bench.record("results/test", label));
    assert_eq!(of("weighted"), of("mean"));
    let refused = |expected: &str| {
        let output = bench.run(&[]);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(expected), "{stderr}");
    };
    bench.write("heads.json", &weights(5));
    refused("8 arrays of 6 finite numbers");
    cell("{ metric = \"head-weighted\" }");
    refused("a file of head weights");
    cell("{ layers = [5] }");
    refused("layers from 0 to 3");
    bench.experiment("[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"affine\"\nside = {}\n");
    refused("a codec that asks for the side information `importance`");
    bench.experiment(
        "[[compressor]]\ncodec = \"mixed\"\nside = { metric = \"last-row\" }\n\
         sweep = { cut = [3], \"side.metric\" = [\"entropy\"] }\n",
    );
    refused("keep the key in `side` for one value");
    bench.experiment("[[compressor]]\ncodec = \"mixed\"\nsweep = { cut = [7] }\n");
    refused("a cut after layer 0 to 6");
    bench.experiment(
        "[partition]\ncuts = [2]\n[[compressor]]\ncodec = \"mixed\"\nsweep = { cut = [3] }\n",
    );
    refused("one of the partition's cuts, [2]");
    // A codec that asks and is told nothing says what to do.
    bench.experiment("[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"mixed\"\n");
    let output = bench.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let reason = bench.record("results/test", "mixed")["reason"].to_string();
    assert!(reason.contains("say with `side` of the compressor"), "{reason}");
}

#[test]
fn an_analysis_leaves_tables_and_pictures() {
    let bench = Bench::new(&[]);
    bench.experiment(
        "[[compressor]]\ncodec = \"mixed\"\n\
         sweep = { cut = [3], \"side.metric\" = [\"column-mean\", \"hidden-norm\"] }\n",
    );
    let assets = super::harness::root().join("assets");
    let text = said(
        &bench,
        &["analyze", "importance", "test.toml", "--assets", assets.to_str().unwrap(), "-o", "look"],
    );
    assert!(text.contains("column-mean: Spearman") && text.contains("31 files"), "{text}");
    let read = |name: &str| fs::read_to_string(bench.path().join("look").join(name)).unwrap();
    for name in
        ["spearman-column-mean", "jaccard-hidden-norm", "cosine", "channel-largest", "token-norm"]
    {
        assert!(read(&format!("{name}.svg")).contains("wiki-4m"), "{name}");
        let png = fs::read(bench.path().join(format!("look/{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "{name}");
    }
    let numbers = |name: &str| -> Vec<Vec<f64>> {
        let text = read(name);
        let lines = text.lines().skip(1);
        lines.map(|line| line.split(',').skip(1).map(|x| x.parse().unwrap()).collect()).collect()
    };
    for name in ["spearman-column-mean.csv", "jaccard-hidden-norm.csv", "cosine.csv"] {
        let matrix = numbers(name);
        assert_eq!(matrix.len(), 8);
        for (a, row) in matrix.iter().enumerate() {
            assert!((row[a] - 1.0).abs() < 1e-5, "{name}");
            assert!(row.iter().enumerate().all(|(b, x)| (x - matrix[b][a]).abs() < 1e-5), "{name}");
        }
        assert!(matrix[0][7] < 0.9, "{name}");
    }
    assert!(numbers("wasserstein.csv")[2][2].abs() < 1e-9);
    assert_eq!(numbers("channel-largest.csv")[0].len(), 192);
    assert_eq!(
        read("massive.csv").lines().next(),
        Some("window,layer,position,token,channel,value")
    );
}

#[test]
fn heads_are_weighed_by_their_relevance() {
    let bench = Bench::new(&PLUGINS);
    let words = ["river", "stone", "the", "old", "bridge", "of", "a", "small", "town", "was"];
    let text: Vec<&str> = (0..900).map(|i: usize| words[(i * i * 7 + i / 3) % 10]).collect();
    bench.write("calibration.txt", &text.join(" "));
    let fit = "[fit]\nsource = \"calibration.txt\"\ntokens = 300\n";
    bench.experiment(fit);
    let assets = super::harness::root().join("assets");
    let analyze =
        ["analyze", "heads", "test.toml", "--assets", assets.to_str().unwrap(), "-o", "look"];
    let summary = said(&bench, &analyze);
    assert!(summary.contains("8 layers of ") && summary.contains("4 files"), "{summary}");
    let read = |name: &str| fs::read_to_string(bench.path().join("look").join(name)).unwrap();
    let shares: Vec<Vec<f64>> = serde_json::from_str(&read("heads.json")).unwrap();
    assert_eq!(shares.len(), 8);
    for shares in &shares {
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{shares:?}");
        assert!(shares.iter().all(|share| *share > 0.0), "{shares:?}");
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!(most > 1.2 / shares.len() as f64, "all heads alike: {shares:?}");
    }
    assert_eq!(read("heads.csv").lines().count(), 9);
    assert!(read("heads.svg").contains("Relevance of each head"));

    let cell = |label: &str, side: &str| {
        format!(
            "[[compressor]]\nlabel = {label:?}\ncodec = \"mixed\"\nside = {{ {side} }}\n\
             params = {{ fraction = 0.5, low = {{ codec = \"affine\", bits = 3 }} }}\n"
        )
    };
    let weighted = "metric = \"head-weighted\", weights = \"look/heads.json\"";
    bench.experiment(&format!(
        "[partition]\nplan = \"ring-2\"\n{}{}",
        cell("weighted", weighted),
        cell("even", "metric = \"column-mean\"")
    ));
    bench.run_ok(&["-o", "out"]);
    let [weighted, even] = ["weighted", "even"].map(|label| bench.record("out", label));
    assert_eq!(
        weighted["cell"]["compressor"]["side"]["weights_sha256"].as_str().unwrap().len(),
        64
    );
    assert_ne!(nll(&weighted), nll(&even));
}
