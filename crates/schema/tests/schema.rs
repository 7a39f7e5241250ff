//! What an author of an experiment and a reader of records meet: error messages, the sweep's
//! labels, the record's text, the committed JSON Schemas and the shipped experiments.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "schema/committed.rs"]
mod committed;

use std::fs;
use std::path::{Path, PathBuf};

use strait_schema::{
    CellCompressor, CellKind, Experiment, LoadIn, MaxWindows, ModelSection, Models, Record,
    SchemaError, json_schema_experiment, json_schema_record,
};

/// The smallest file that is complete, without a compressor.
const HEAD: &str = r#"name = "demo"
[model]
source = "assets/models/wiki-4m"
[data]
source = "wikitext-2-raw"
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Each mistake with its message, as one text to read through.
fn report(mistakes: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (title, text) in mistakes {
        let error = Experiment::parse(text, "demo.toml")
            .and_then(|experiment| experiment.partition(8).map(|_| ()))
            .expect_err(title);
        out.push_str(&format!("== {title}\n{error}\n\n"));
    }
    out
}

fn with(tail: &str) -> String {
    format!("{HEAD}{tail}")
}

fn compressor(body: &str) -> String {
    with(&format!("[partition]\nplan = \"ring-4\"\n[[compressor]]\n{body}\n"))
}

#[test]
fn errors_about_keys_and_values() {
    let mistakes = [
        ("not TOML", with("[partition\nplan = 1\n")),
        ("a key twice", with("[run]\nseed = 1\nseed = 2\n")),
        ("unknown key with a near one", with("[protocol]\nwindows = 512\n")),
        ("unknown key without a near one", with("[run]\ncolour = \"red\"\n")),
        ("unknown table", with("[protocoll]\nwindow = 512\n")),
        ("missing table", "name = \"demo\"\n".to_owned()),
        ("missing key", HEAD.replace("source = \"assets/models/wiki-4m\"\n", "")),
        ("string for an integer", with("[protocol]\nwindow = \"512\"\n")),
        ("float for an integer", with("[protocol]\nwindow = 512.0\n")),
        ("table for a string", with("[plugins]\ndir = { path = \"plugins\" }\n")),
        ("value for an array", with("[partition]\ncuts = 3\n")),
        (
            "value for a table",
            "name = \"demo\"\ndata = { source = \"x\" }\nmodel = \"wiki-4m\"\n".to_owned(),
        ),
        ("element of an array", with("[partition]\ncuts = [1, \"2\", 3]\n")),
        ("below the range", with("[protocol]\nwindow = 1\n")),
        ("above the range", with("[protocol]\nwindow = 10_000_000\n")),
        (
            "one row and the first rows",
            HEAD.replace("[data]\n", "[data]\nsample_idx = 3\nmax_documents = 5\n"),
        ),
        ("no windows", with("[protocol]\nmax_windows = 0\n")),
        ("another word for all", with("[protocol]\nmax_windows = \"every\"\n")),
        ("a list of windows", with("[protocol]\nmax_windows = [1, 2]\n")),
        ("negative", with("[run]\nthreads = -1\n")),
        ("beyond 64 bits", with("[run]\nseed = 99999999999999999999\n")),
        ("a choice spelt wrong", with("[protocol]\npreset = \"hf-strid\"\n")),
        ("a choice in another spelling", HEAD.replace("wiki-4m\"", "wiki-4m\"\ndtype = \"F32\"")),
        ("a choice that nothing is near to", with("[protocol]\npreset = \"wikitext\"\n")),
        ("empty string", HEAD.replace("\"wikitext-2-raw\"", "\"\"")),
        ("name with a space", HEAD.replace("\"demo\"", "\"my demo\"")),
        ("name that leaves the folder", HEAD.replace("\"demo\"", "\"..\"")),
        ("device", HEAD.replace("wiki-4m\"", "wiki-4m\"\ndevice = \"cuda\"")),
        ("stride over window", with("[protocol]\nwindow = 256\nstride = 512\n")),
        ("pin without a hash", with("[plugins]\npin = { \"libx.so\" = \"abc\" }\n")),
        ("pin of a path", with(&format!("[plugins.pin]\n\"a/x.so\" = \"sha256:{:064}\"\n", 0))),
    ];
    insta::assert_snapshot!("keys", report(&mistakes));
}

/// An experiment of these `[[model]]` tables.
fn models(tables: &[&str]) -> String {
    let tables: String = tables.iter().map(|table| format!("[[model]]\n{table}\n")).collect();
    format!("name = \"demo\"\n{tables}[data]\nsource = \"wikitext-2-raw\"\n")
}

#[test]
fn several_models() {
    let text = models(&[
        "source = \"models/full/\"\nweights = { streaming = true }",
        "source = \"hf:owner/small.gguf\"\ndtype = \"bf16\"",
        "source = \"models/full\"\nload_in = \"nf4\"",
        "label = \"mine\"\nsource = \"models/full\"\nload_in = \"int8\"",
    ]);
    let experiment = Experiment::parse(&text, "demo.toml").unwrap();
    let names: Vec<String> = experiment.model.iter().map(ModelSection::name).collect();
    assert_eq!(names, ["full", "small", "full nf4", "mine"]);
    assert_eq!(experiment.baseline_label(), "full");
    assert!(experiment.model.weights.streaming);
    assert_eq!(experiment.model.others()[1].load_in, Some(LoadIn::Nf4));
    assert_eq!(experiment.place(&experiment.model_key(2, "load_in")).line, 10);
    // As JSON, which is TOML's data, it reads the same.
    let value = serde_json::to_value(&experiment.model).unwrap();
    let again: Models = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), value);

    let one = Experiment::parse(&models(&["source = \"a\""]), "demo.toml").unwrap();
    assert!(one.model.others().is_empty());
    assert_eq!(
        (one.baseline_label().as_str(), one.model_key(0, "x").as_str()),
        ("baseline", "model[0].x")
    );
    assert_eq!(Experiment::parse(HEAD, "demo.toml").unwrap().model_key(0, "x"), "model.x");
}

#[test]
fn errors_about_models() {
    let two = ["source = \"a\"", "source = \"b\""];
    let mistakes = [
        ("a key of the second", models(&["source = \"a\"", "source = \"b\"\ndevise = \"cpu\""])),
        ("a type in the second", models(&["source = \"a\"", "source = 3"])),
        ("no source", models(&["source = \"a\"", "dtype = \"bf16\""])),
        ("no models", "name = \"demo\"\nmodel = []\n[data]\nsource = \"x\"\n".to_owned()),
        ("names", "name = \"demo\"\nmodel = [\"a\"]\n[data]\nsource = \"x\"\n".to_owned()),
        ("the same label", models(&["source = \"x/a\"", "source = \"y/a\""])),
        ("the label of noise", models(&["source = \"a\"\nlabel = \"noise floor\""])),
        ("device", models(&["source = \"a\"", "source = \"b\"\ndevice = \"gpu\""])),
        ("load_in", models(&["source = \"a\"\nload_in = \"nf3\""])),
        ("weights", models(&["source = \"a\"\nweights = { stream = true }"])),
        ("with codecs", models(&two) + "[[compressor]]\ncodec = \"raw\"\n"),
        ("with cuts", models(&two) + "[partition]\ncuts = [1]\n"),
        ("a codec called as noise", compressor("codec = \"raw\"\nlabel = \"noise floor\"")),
    ];
    insta::assert_snapshot!("models", report(&mistakes));
}

#[test]
fn errors_about_the_partition() {
    let plan = |body: &str| with(&format!("[partition]\n{body}\n"));
    let mistakes = [
        ("plan and cuts", plan("plan = \"ring-4\"\ncuts = [1]")),
        ("plan of another shape", plan("plan = \"star-4\"")),
        ("plan with one node", plan("plan = \"ring-1\"")),
        ("plan without a number", plan("plan = \"ring\"")),
        ("too few layers", plan("plan = \"ring-5\"")),
        ("cuts not increasing", plan("cuts = [1, 3, 3]")),
        ("cut past the last layer", plan("cuts = [1, 63]")),
        ("cut after the last layer", plan("cuts = [7]")),
        ("too few nodes for a plan", plan("plan = \"ring-4\"\nnodes = [\"a\", \"b\"]")),
        ("too few nodes for cuts", plan("cuts = [1, 3]\nnodes = [\"a\", \"b\"]")),
        ("neighbours on one node", plan("cuts = [1, 3]\nnodes = [\"a\", \"a\", \"b\"]")),
        ("node name", plan("cuts = [1]\nnodes = [\"a\", \"b->c\"]")),
        ("devices by stage", plan("plan = \"ring-2\"\ndevices = [\"cpu\", \"cpu\", \"cpu\"]")),
        ("device", plan("plan = \"ring-2\"\ndevices = [\"cpu\", \"gpu\"]")),
        ("no partition", with("[[compressor]]\ncodec = \"raw\"\n")),
    ];
    insta::assert_snapshot!("partition", report(&mistakes));
}

#[test]
fn errors_about_compressors() {
    let mistakes = [
        ("no codec", compressor("label = \"x\"")),
        ("codec id", compressor("codec = \"My Codec\"")),
        ("empty label", compressor("codec = \"raw\"\nlabel = \" \"")),
        ("date as parameter", compressor("codec = \"raw\"\nparams = { since = 2025-01-01 }")),
        ("infinity as parameter", compressor("codec = \"raw\"\nparams = { clip = inf }")),
        ("sweep of one value", compressor("codec = \"affine\"\nsweep = { bits = 4 }")),
        ("empty sweep", compressor("codec = \"affine\"\nsweep = { bits = [] }")),
        ("value swept twice", compressor("codec = \"affine\"\nsweep = { bits = [4, 3, 4] }")),
        (
            "fixed and swept",
            compressor("codec = \"affine\"\nparams = { bits = 8 }\nsweep = { bits = [4, 3] }"),
        ),
        (
            "duplicate label",
            compressor("codec = \"affine\"\n[[compressor]]\ncodec = \"raw\"\nlabel = \"affine\""),
        ),
        (
            "duplicate automatic label",
            compressor("codec = \"raw\"\n[[compressor]]\ncodec = \"raw\""),
        ),
        ("label of the baseline", compressor("codec = \"raw\"\nlabel = \"baseline\"")),
        (
            "label with an unknown parameter",
            compressor("codec = \"affine\"\nlabel = \"int{bit}\"\nsweep = { bits = [4, 3] }"),
        ),
        ("no links", compressor("codec = \"raw\"\nlinks = []")),
        ("link twice", compressor("codec = \"raw\"\nlinks = [0, 0]")),
        ("link that is not there", compressor("codec = \"raw\"\nlinks = [0, 4]")),
        (
            "link without cuts",
            with("[partition]\nplan = \"none\"\n[[compressor]]\ncodec = \"raw\"\nlinks = [0]\n"),
        ),
        (
            "sweep without end",
            compressor(&format!(
                "codec = \"x\"\n[compressor.sweep]\na = {0:?}\nb = {0:?}\nc = {0:?}",
                (0..30).collect::<Vec<_>>()
            )),
        ),
    ];
    insta::assert_snapshot!("compressors", report(&mistakes));
}

#[test]
fn errors_that_other_crates_raise_name_the_line() {
    let text = compressor(
        "codec = \"affine\"\nparams = { group = 64,\n  granularity = \"grup\" }\nsweep = { bits = [8, 9] }",
    );
    let experiment = Experiment::parse(&text, "demo.toml").unwrap();
    let errors = [
        experiment.param_error(0, "granularity", "a choice", "\"grup\"", Some("group".to_owned())),
        experiment.param_error(0, "bits", "an integer from 1 to 8", "9", None),
        experiment.param_error(0, "not_written", "a value", "nothing", None),
        experiment.value_error("compressor[0].codec", "a known codec", "\"affine\"", None),
        experiment.value_error("model.source", "a model", "no such folder", None),
    ];
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("from_outside", text.join("\n"));
    assert_eq!(experiment.param_line(0, "bits"), 12);
}

#[test]
fn errors_about_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cell.json");
    let good = fs::read_to_string(root().join("crates/schema/tests/record.json")).unwrap();
    let cases = [
        ("cut off", good[..good.len() / 2].to_owned()),
        ("not a record", "{}".to_owned()),
        ("another version", good.replace("\"schema\": 1", "\"schema\": 7")),
        ("unknown key", good.replace("\"wall_s\"", "\"wall_ms\"")),
        ("changed by hand", good.replace("\"seed\": 0", "\"seed\": 1")),
    ];
    let mut out = String::new();
    for (title, text) in cases {
        fs::write(&path, text).unwrap();
        let error = Record::load(&path).expect_err(title).to_string();
        let error = error.replace(&folder.path().display().to_string(), "results");
        out.push_str(&format!("== {title}\n{error}\n\n"));
    }
    fs::write(&path, &good).unwrap();
    let mut record = Record::load(&path).unwrap();
    record.windows[0].kld_sum = f64::NAN;
    out.push_str(&format!("== NaN\n{}\n", record.save(&path).unwrap_err()));
    let mut record = Record::load(&path).unwrap();
    record.scores.as_mut().unwrap().shift.as_mut().unwrap().p01 = f64::INFINITY;
    out.push_str(&format!("== infinity\n{}\n", record.save(&path).unwrap_err()));
    assert_eq!(fs::read_to_string(&path).unwrap(), good, "a refused save leaves the old file");
    insta::assert_snapshot!("records", out);

    let missing = Record::load(folder.path().join("none.json")).unwrap_err();
    assert!(matches!(missing, SchemaError::Read { .. }), "{missing}");
    let unwritable = Record::load(&path).unwrap().save(folder.path().join("no/cell.json"));
    assert!(matches!(unwritable, Err(SchemaError::Write { .. })), "{unwritable:?}");
}

#[test]
fn a_record_comes_back_byte_for_byte() {
    let text = fs::read_to_string(root().join("crates/schema/tests/record.json")).unwrap();
    let record = Record::load(root().join("crates/schema/tests/record.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(record.file_name());
    record.save(&path).unwrap();
    let (written, sealed) = (fs::read_to_string(&path).unwrap(), Record::load(&path).unwrap());
    // All that is new is the hash of the rest.
    let hash = sealed.content_sha256.clone().unwrap();
    assert_eq!(written.replace(&format!(",\n  \"content_sha256\": \"{hash}\""), ""), text);
    sealed.save(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(Record { content_sha256: None, ..sealed }, record);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files, [path], "the temporary file is gone");
}

#[test]
fn a_record_of_an_earlier_release_is_read() {
    let text = fs::read_to_string(root().join("crates/schema/tests/record.json")).unwrap();
    let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
    old["scores"].as_object_mut().unwrap().retain(|key, _| key != "shift" && key != "confidence");
    for key in ["noise", "reference"] {
        old["cell"].as_object_mut().unwrap().remove(key).unwrap();
    }
    for key in ["load_in", "storage"] {
        old["cell"]["model"].as_object_mut().unwrap().remove(key).unwrap();
    }
    old["cell"]["data"].as_object_mut().unwrap().remove("scored_bytes").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.json");
    fs::write(&path, old.to_string()).unwrap();
    let record = Record::load(&path).unwrap();
    assert_eq!(record.cell.data.scored_bytes, None);
    let scores = record.scores.unwrap();
    assert!(scores.shift.is_none() && scores.confidence.is_none());
}

fn codec(record: &mut Record) -> &mut CellCompressor {
    match &mut record.cell.kind {
        CellKind::Links(codec) => codec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn identity_is_what_decides_the_numbers() {
    let record = Record::load(root().join("crates/schema/tests/record.json")).unwrap();
    let same = |change: fn(&mut Record)| {
        let mut changed = record.clone();
        change(&mut changed);
        changed.cell.identity() == record.cell.identity()
    };
    assert!(same(|r| r.label.push('x')));
    assert!(same(|r| r.environment.threads += 1));
    assert!(same(|r| r.environment.device = "cuda:0".to_owned()));
    assert!(same(|r| r.cell.model.source = "elsewhere".to_owned()));
    assert!(same(|r| r.cell.data.source = "elsewhere".to_owned()));
    assert!(same(|r| r.cell.data.scored_bytes = None));
    assert!(same(|r| r.cell.partition.nodes[1] = "paris".to_owned()));
    assert!(same(|r| codec(r).plugin = "other.so".to_owned()));
    assert!(same(|r| r.cell.model.storage = None));
    assert!(!same(|r| r.cell.model.load_in = Some(LoadIn::Nf4)));
    assert!(!same(|r| r.cell.kind = CellKind::Noise { size: 0.5 }));
    assert!(!same(|r| r.cell.kind = CellKind::Model { reference: r.id.clone() }));
    assert!(!same(|r| r.cell.seed += 1));
    assert!(!same(|r| r.cell.chunk_tokens = Some(1)));
    assert!(!same(|r| r.cell.partition.cuts[0] += 1));
    assert!(!same(|r| r.cell.kind = CellKind::Baseline));
    assert!(!same(|r| codec(r).links = vec![0]));
    assert!(!same(|r| codec(r).params["bits"] = 3.into()));
    assert!(!same(|r| codec(r).plugin_sha256.replace_range(..1, "f")));
    assert!(!same(|r| {
        let inner = &mut codec(r).inner;
        inner.insert("raw".to_owned(), "ab".to_owned());
    }));
    assert!(!same(|r| r.cell.protocol.fingerprint.replace_range(..1, "f")));
    assert!(!same(|r| r.cell.model.files.get_mut("config.json").unwrap().push('0')));
}

#[test]
fn sweeps_and_labels() {
    let text = compressor(
        r#"codec = "raw"
[[compressor]]
codec = "affine"
params = { granularity = "group" }
sweep = { group = [32, 64], bits = [4, 3] }
[[compressor]]
label = "nf4, {absmax} absmax"
codec = "blockfloat"
params = { code = "nf4" }
sweep = { absmax = ["f32", "f16"] }
links = [1, 2]
[[compressor]]
label = "int{bits} token"
codec = "affine"
sweep = { bits = [8], symmetric = [true, false] }"#,
    );
    let experiment = Experiment::parse(&text, "demo.toml").unwrap();
    let mut out = String::new();
    for cell in experiment.cells().unwrap() {
        let params = serde_json::to_string(&cell.params).unwrap();
        out.push_str(&format!("line {}: {} {params} {:?}\n", cell.line, cell.label, cell.links));
    }
    insta::assert_snapshot!("cells", out);
}

#[test]
fn a_label_that_sweeps_make_is_checked_like_a_written_one() {
    let text = |how: &str, label: &str| {
        format!(
            "name = \"a\"\n[model]\nsource = \"m\"\n[data]\nsource = \"t.txt\"\n[partition]\nplan = \"ring-2\"\n\
             [[compressor]]\ncodec = \"bad\"\n{label}\nsweep = {{ how = [{how}, \"q\"] }}\n"
        )
    };
    let long = format!("{:?}", "x".repeat(260));
    for label in ["label = \"L {how}\"", ""] {
        for (how, found) in [
            (long.as_str(), "characters, "),
            ("\"a\\u001b[2J\"", "\\u{1b}[2J"),
            ("\"a\\nb\"", "a\\nb"),
        ] {
            let error = Experiment::parse(&text(how, label), "a.toml").unwrap_err().to_string();
            assert!(error.contains("`compressor[0].label`: expected 1 to 200"), "{error}");
            assert!(error.contains(found) && error.len() < 400, "{error}");
        }
        let fits = format!("{:?}", "x".repeat(150));
        assert_eq!(
            Experiment::parse(&text(&fits, label), "a.toml").unwrap().cells().unwrap().len(),
            2
        );
    }
    let cache = "name = \"a\"\n[model]\nsource = \"m\"\n[data]\nsource = \"t.txt\"\n[[cache]]\npress = \"p\"\n\
                 ratio = 0.5\nlabel = \"{params.how}\"\nsweep = { \"params.how\" = [\"a\\u0007\"] }\n";
    let error = Experiment::parse(cache, "a.toml").and_then(|file| file.caches()).unwrap_err();
    assert!(error.to_string().contains("`cache[0].label`: expected 1 to 200"), "{error}");
}

#[test]
fn inner_codecs_are_swept_and_labelled() {
    let text = compressor(
        r#"codec = "hadamard"
params = { inner = { codec = "affine", granularity = "group",
  group = 32 } }
sweep = { "inner.bits" = [4, 3] }
[[compressor]]
codec = "hadamard"
label = "{inner.codec}"
params = { inner = "affine" }
sweep = { "inner.bits" = [2] }
[[compressor]]
codec = "hadamard"
sweep = { inner = ["raw", { codec = "affine", bits = 2 }] }"#,
    );
    let experiment = Experiment::parse(&text, "demo.toml").unwrap();
    let cells = experiment.cells().unwrap();
    let written = |i: usize| format!("{}: {}", cells[i].label, cells[i].params["inner"]);
    assert_eq!(
        written(1),
        r#"hadamard inner.bits=3: {"codec":"affine","granularity":"group","group":32,"bits":3}"#
    );
    assert_eq!(written(2), r#"affine inner.bits=2: {"codec":"affine","bits":2}"#);
    assert_eq!(written(3), r#"hadamard inner=raw: "raw""#);
    assert!(written(4).starts_with("hadamard inner=affine(bits=2): "));
    let place = |compressor, key| {
        let error = experiment.param_error(compressor, key, "this", "that", None).to_string();
        error.split(": expected").next().unwrap().to_owned()
    };
    assert_eq!(place(0, "inner.group"), "demo.toml:11: `compressor[0].params.inner.group`");
    assert_eq!(place(0, "inner.bits"), "demo.toml:12: `compressor[0].sweep.\"inner.bits\"`");
    assert_eq!(place(2, "inner.bits"), "demo.toml:20: `compressor[2].sweep.inner`");
    let twice = compressor(
        "codec = \"a\"\nparams = { inner = { codec = \"b\", bits = 1 } }\n\
         sweep = { \"inner.bits\" = [2] }",
    );
    let error = Experiment::parse(&twice, "demo.toml").unwrap_err().to_string();
    assert!(error.contains("`compressor[0].params.inner.bits`"), "{error}");
}

#[test]
fn defaults() {
    let experiment = Experiment::parse(HEAD, "demo.toml").unwrap();
    insta::assert_json_snapshot!("defaults", experiment);
    assert!(experiment.cells().unwrap().is_empty());
    assert!(experiment.partition(8).unwrap().links.is_empty());
    assert_eq!(experiment.output_dir(), Path::new("results/demo"));
}

#[test]
fn devices() {
    for device in ["auto", "cpu", "cpu:plain", "cuda:0", "cuda:17"] {
        let head = HEAD.replace("wiki-4m\"", &format!("wiki-4m\"\ndevice = \"{device}\""));
        let experiment = Experiment::parse(&head, "demo.toml").unwrap();
        assert_eq!(experiment.model.device, device);
    }
}

#[test]
fn window_limits() {
    let limit = |tail: &str| {
        let experiment = Experiment::parse(&with(tail), "demo.toml").unwrap();
        experiment.protocol.max_windows
    };
    assert_eq!(limit(""), None);
    assert_eq!(limit("[protocol]\nmax_windows = 100\n"), Some(MaxWindows::Count(100)));
    assert_eq!(limit("[protocol]\nmax_windows = \"all\"\n"), Some(MaxWindows::All));
}

#[test]
fn paths_fall_back_to_the_folders_above_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let configs = folder.path().join("configs/deep");
    fs::create_dir_all(&configs).unwrap();
    fs::write(folder.path().join("only-here.txt"), "text").unwrap();
    fs::write(configs.join("demo.toml"), HEAD).unwrap();
    let experiment = Experiment::load(configs.join("demo.toml")).unwrap();
    assert_eq!(experiment.base_dir("only-here.txt"), folder.path());
    assert_eq!(experiment.resolve("only-here.txt"), folder.path().join("only-here.txt"));
    // `Cargo.toml` is in the current directory of a test, which comes first.
    fs::write(folder.path().join("Cargo.toml"), "").unwrap();
    assert_eq!(experiment.resolve("Cargo.toml"), Path::new("Cargo.toml"));
    assert_eq!(experiment.resolve("nowhere.txt"), Path::new("nowhere.txt"));
    assert_eq!(experiment.resolve("/nowhere"), Path::new("/nowhere"));
}

#[test]
fn shipped_experiments_are_complete() {
    for (name, layers, least) in [("quickstart", 8, 12), ("smollm2", 30, 10)] {
        let experiment = Experiment::load(root().join(format!("configs/{name}.toml"))).unwrap();
        assert_eq!(experiment.name, name);
        let cells = experiment.cells().unwrap();
        assert!(cells.len() >= least, "{name} has {} cells", cells.len());
        assert_eq!(experiment.partition(layers).unwrap().links.len(), 4);
    }
    for (name, models) in [("formats", 6), ("gemma3", 1)] {
        let experiment = Experiment::load(root().join(format!("configs/{name}.toml"))).unwrap();
        assert_eq!(experiment.name, name);
        assert_eq!(experiment.model.iter().count(), models);
        assert!(experiment.run.noise_floor);
    }
}

/// Set to rewrite the committed schemas instead of comparing them.
const UPDATE: &str = "STRAIT_UPDATE_SCHEMAS";

#[test]
fn the_committed_schemas_are_fresh() {
    for (name, schema) in
        [("experiment", json_schema_experiment()), ("record", json_schema_record())]
    {
        let path = root().join(format!("docs/{name}.schema.json"));
        let text = strait_schema::render(&schema);
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&path, text).unwrap();
            continue;
        }
        assert!(
            fs::read_to_string(&path).is_ok_and(|committed| committed == text),
            "docs/{name}.schema.json is not what the types say; \
             run `{UPDATE}=1 cargo test --release -p strait-schema` and commit the result"
        );
    }
}

#[test]
fn swept_cuts_and_sides() {
    let text = with(
        "[[compressor]]\nlabel = \"L{cut} {side.metric}\"\ncodec = \"mixed\"\nparams = { fraction = 0.5 }\n\
         side = { aggregate = \"mean\" }\n\
         sweep = { cut = [5, 2], \"side.metric\" = [\"last-row\", \"entropy\"] }\n",
    );
    let experiment = Experiment::parse(&text, "demo.toml").unwrap();
    let cells = experiment.cells().unwrap();
    let labels: Vec<&str> = cells.iter().map(|cell| &*cell.label).collect();
    assert_eq!(labels, ["L5 last-row", "L5 entropy", "L2 last-row", "L2 entropy"]);
    let first = &cells[0];
    assert_eq!((first.cut, first.params.len(), first.links.as_ref()), (Some(5), 1, None));
    let side = first.side.as_ref().unwrap();
    assert_eq!((side.metric.name(), side.aggregate.name()), ("last-row", "mean"));
    assert_eq!(experiment.partition(8).unwrap().cuts, [2, 5]);

    let refused = |tail: &str| {
        let text = with(&format!("[[compressor]]\ncodec = \"mixed\"\n{tail}\n"));
        let error = Experiment::parse(&text, "demo.toml");
        error.and_then(|experiment| experiment.partition(8).map(|_| ())).unwrap_err().to_string()
    };
    for (tail, expected) in [
        ("sweep = { cut = [7] }", "a cut after layer 0 to 6"),
        ("sweep = { cut = [\"a\"] }", "layers to cut after, integers from 0"),
        ("sweep = { bits = [1] }", "plan = \"ring-4\" or cuts"),
        ("links = [0]\nsweep = { cut = [1] }", "sweep `cut`"),
        ("sweep = { cut = [1], \"side.metric\" = [\"size\"] }", "unknown variant `size`"),
        ("side = { metric = \"head-weighted\" }\nsweep = { cut = [1] }", "a file of head weights"),
        ("side = { layers = [2, 1] }\nsweep = { cut = [3] }", "in rising order"),
        ("side = { metric = \"size\" }\nsweep = { cut = [1] }", "\"column-mean\""),
    ] {
        let found = refused(tail);
        assert!(found.contains(expected), "{tail}: {found}");
    }
}
