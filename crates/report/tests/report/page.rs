//! The report page as a document: what it holds before a script runs, and what its scripts are given.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use serde_json::Value;
use strait_report::{Collection, Page};
use strait_schema::{
    Experiment, Imported, ImportedSite, Record, RunStatus, RunningCell, RunningFigures,
};

/// The records that the repository keeps.
fn committed() -> Collection {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/smollm2");
    Collection::load(&[results]).unwrap()
}

/// A text that the page's scripts unpack.
fn unpacked(html: &str, id: &str) -> String {
    let begin = format!("<script type=\"text/plain\" id=\"packed-{id}\">");
    let from = html.find(&begin).unwrap() + begin.len();
    let to = html[from..].find("</script>").unwrap();
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters = html[from..from + to].trim_end_matches('=').as_bytes();
    let bytes = letters.chunks(4).flat_map(|four| {
        let bits = (0..4).fold(0_u32, |bits, at| {
            bits << 6 | u32::from(four.get(at).map_or(0, |&letter| value(letter)))
        });
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    let bytes: Vec<u8> = bytes.collect();
    let mut text = String::new();
    ZlibDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn data(html: &str) -> Value {
    serde_json::from_str(&unpacked(html, "data")).unwrap()
}

pub(crate) fn details(html: &str) -> Vec<String> {
    serde_json::from_str(&unpacked(html, "cell-details")).unwrap()
}

#[test]
fn one_file_that_loads_nothing() {
    let html = Page::new(&committed()).unwrap().html();
    assert!(html.starts_with("<!doctype html>"));
    assert!(html.contains("default-src 'none'"));
    assert!(!html.contains("connect-src"), "a page of a file asks no server");
    // Outside of the libraries, whose texts name addresses, nothing is fetched.
    for tag in ["<script src", "<link rel=\"stylesheet\"", "<img", "<iframe", "@import", "url("] {
        let own = html.split("<script>").next().unwrap();
        assert!(!own.contains(tag), "{tag}");
    }
    assert_eq!(html.matches("<script").count(), html.matches("</script>").count());
    assert!(html.len() < 500_000, "{} bytes", html.len());
}

#[test]
fn every_cell_has_a_row_details_and_figures() {
    let collection = committed();
    let html = Page::new(&collection).unwrap().html();
    let (data, details) = (data(&html), details(&html));
    let cells = data["cells"].as_array().unwrap();
    assert_eq!(details.len(), cells.len());
    assert_eq!(cells.len(), collection.records.len());
    for (at, cell) in cells.iter().enumerate() {
        assert_eq!(cell["key"], format!("cell-{at}"));
        assert_eq!(html.matches(&format!("id=\"row-{at}\"")).count(), 1);
        assert!(details[at].starts_with(&format!("<details id=\"cell-{at}\"")));
        let record = collection.records.iter().find(|r| cell["label"] == *r.label).unwrap();
        assert_eq!(cell["links"].as_array().unwrap().len(), record.links.len());
        assert!(details[at].contains(&record.id), "{} is not named", record.label);
        assert_eq!(cell["baseline"], record.cell.is_baseline());
        let ppl = record.scores.as_ref().unwrap().sums.summary().ppl;
        assert!((cell["ppl"].as_f64().unwrap() - ppl).abs() < 1e-9);
    }
    let on_front = |axes: &str| {
        let fronts = |cell: &&Value| cell["fronts"].as_array().unwrap().contains(&axes.into());
        cells.iter().filter(fronts).count()
    };
    assert_eq!([on_front("bits kld"), on_front("bits delta"), on_front("gib kld")], [12, 9, 0]);
    let families = data["families"].as_array().unwrap();
    let looks: Vec<(&str, u64, u64)> = families
        .iter()
        .map(|f| {
            (
                f["name"].as_str().unwrap(),
                f["color"].as_u64().unwrap(),
                f["shape"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(looks, [("affine", 0, 0), ("blockfloat", 1, 1), ("cast", 2, 2)]);
    assert_eq!(data["groups"].as_array().unwrap().len(), 1);
    // What the chart of errors needs: layers from the links' names, no number that JSON lacks.
    let link = &cells.iter().find(|cell| cell["label"] == "int8 g64").unwrap()["links"][1];
    assert_eq!(link["layer"], 10);
    assert!(link["sqnr_db"].as_f64().unwrap() > 20.0 && link["mse"].as_f64().unwrap() > 0.0);
    let exact = &cells.iter().find(|cell| cell["baseline"] == true).unwrap()["links"][0];
    assert_eq!((&exact["exact"], &exact["sqnr_db"]), (&Value::Bool(true), &Value::Null));
}

#[test]
fn the_experiment_file_of_a_cell_asks_for_that_cell() {
    let collection = committed();
    let html = Page::new(&collection).unwrap().html();
    let files: Vec<String> = details(&html)
        .iter()
        .flat_map(|details| details.split("<pre><code>").skip(1))
        .map(|rest| unescape(rest.split("</code>").next().unwrap()))
        .collect();
    assert_eq!(files.len(), collection.records.len());
    for text in files {
        let experiment =
            Experiment::parse(&text, "cell.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
        let label = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let record = collection.records.iter().find(|r| label.contains(&r.id[..12])).unwrap();
        let cell = &record.cell;
        assert_eq!(experiment.model.source, cell.model.source);
        assert_eq!(experiment.protocol.window, Some(cell.protocol.window));
        assert_eq!(experiment.data.first_k_tokens, cell.protocol.first_k_tokens);
        let partition = experiment.partition(cell.model.layers).unwrap();
        assert_eq!(
            (partition.cuts, partition.nodes),
            (cell.partition.cuts.clone(), cell.partition.nodes.clone())
        );
        let specs = experiment.cells().unwrap();
        match cell.compressor() {
            None => assert!(specs.is_empty()),
            Some(codec) => {
                assert_eq!(experiment.compressor[0].codec, codec.codec);
                // TOML has no null: what is null is left out.
                let mut params = codec.params.clone();
                params.retain(|_, value| !value.is_null());
                assert_eq!(experiment.compressor[0].params, params);
                assert_eq!(specs[0].label, record.label);
            }
        }
    }
}

fn unescape(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn labels_cannot_become_markup() {
    let mut collection = committed();
    collection.records[1].label = "</script><b onload='x'>&\"".to_owned();
    collection.records[1].experiment = "<i>".to_owned();
    let html = Page::new(&collection).unwrap().html();
    for text in [&html, &details(&html).concat()] {
        assert!(!text.contains("<b onload") && !text.contains("<i>"));
    }
    let data = data(&html);
    let labels: Vec<&str> = data["cells"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|cell| cell["label"].as_str())
        .collect();
    assert!(labels.iter().any(|label| label.contains("</script><b onload='x'>&\"")), "{labels:?}");
}

#[test]
fn other_protocols_imports_and_running_cells_have_groups_of_their_own() {
    let mut collection = committed();
    let mut other = collection.records[0].clone();
    other.cell.protocol.fingerprint = "0000000000000000".to_owned();
    other.id = other.cell.identity();
    other.experiment = "other".to_owned();
    collection.records.push(other);
    collection.imported.push(imported("none", true, 7.15));
    collection.imported.push(imported("nf4", false, 7.2));
    collection.running.push(RunStatus {
        experiment: "smollm2".to_owned(),
        windows: 20,
        cells: vec![RunningCell {
            label: "new cell".to_owned(),
            codec: "affine".to_owned(),
            windows_done: 3,
            figures: Some(RunningFigures {
                ppl: Some(22.5),
                ppl_delta: Some(0.5),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    });
    let page = Page::new(&collection).unwrap();
    let data = data(&page.html());
    assert_eq!(data["groups"].as_array().unwrap().len(), 3);
    let cell = |label: &str| {
        data["cells"].as_array().unwrap().iter().find(|cell| cell["label"] == label).unwrap()
    };
    assert_eq!(
        (&cell("new cell")["status"], &cell("new cell")["group"]),
        (&"running".into(), &0.into())
    );
    let nf4 = cell("nf4");
    assert_eq!((&nf4["status"], &nf4["fronts"]), (&"imported".into(), &serde_json::json!([])));
    assert!((nf4["delta"].as_f64().unwrap() - 0.05).abs() < 1e-9);
    let live: Value = serde_json::from_str(&page.live_json()).unwrap();
    assert_eq!(live["data"], data);
    assert!(page.live_html("live.json", 2).contains("connect-src 'self'"));
}

fn imported(label: &str, baseline: bool, ppl: f64) -> Imported {
    Imported {
        imported: 1,
        origin: "split-bench".to_owned(),
        file: "run.json".to_owned(),
        file_sha256: "00".to_owned(),
        label: label.to_owned(),
        family: label.to_owned(),
        site: ImportedSite::Links,
        model: "Qwen/Qwen3-32B".to_owned(),
        protocol: "window 2048 stride 512".to_owned(),
        baseline,
        scored_tokens: Some(9999),
        ppl,
        kld: None,
        bits_per_value: Some(16.0),
        bytes_per_token: None,
        warnings: Vec::new(),
    }
}

#[test]
fn folders_are_searched_and_what_is_left_out_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let nested: PathBuf = dir.path().join("deep/er");
    std::fs::create_dir_all(&nested).unwrap();
    let record: Record = committed().records[0].clone();
    record.save(nested.join("a.json")).unwrap();
    record.save(dir.path().join("copy.json")).unwrap();
    std::fs::write(dir.path().join("peers.json"), "{\"rows\": []}").unwrap();
    std::fs::write(dir.path().join("old.json"), "{\"schema\": 99, \"cell\": {}}").unwrap();
    imported("none", true, 7.0).save(dir.path().join("x.imported.json")).unwrap();
    let found = Collection::load(&[dir.path().to_owned()]).unwrap();
    assert_eq!((found.records.len(), found.imported.len()), (1, 1));
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    assert!(found.notes[0].contains("99"), "{:?}", found.notes);
    // A file that is named must be what it is named for.
    let error = Collection::load(&[dir.path().join("peers.json")]).unwrap_err().to_string();
    assert!(error.contains("peers.json"), "{error}");
    assert!(Page::new(&Collection::default()).is_err());
}
