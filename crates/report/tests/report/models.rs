//! Models side by side, the noise floor, and cells that compress the KV cache.

use std::collections::BTreeMap;

use serde_json::Value;
use strait_report::{Collection, Comparison, Page, Picture, Report, TableStyle, XAxis};
use strait_schema::{
    CellCache, CellCacheCodec, CellKind, CellOverride, CellPress, Experiment, Record,
};

use super::figures::{plain, record, records};

/// Records of models that are compared, and of the reference under noise.
fn models() -> Vec<Record> {
    let reference = plain("full", 0.0, 0.0);
    let mut records = vec![reference.clone()];
    let others = [("Q8_0", 17, 0.0031, 0.0042), ("Q4_K", 9, 0.92, 0.05), ("nf4", 9, 1.31, 0.06)];
    for (format, sixteenths, delta, error) in others {
        let mut other = plain(&format!("full {format}"), delta, error);
        other.cell.kind = CellKind::Model { reference: reference.id.clone() };
        let storage = other.cell.model.storage.as_mut().unwrap();
        storage.format = format.to_owned();
        storage.decoder_bytes = storage.decoder_values * sixteenths / 16;
        storage.bytes = storage.decoder_bytes + storage.head_bytes;
        records.push(other);
    }
    records[3].fail("window 0: the model's output is not finite");
    let mut noisy = plain("noise floor", -0.0012, 0.0035);
    noisy.cell.kind = CellKind::Noise { size: 1.0 / 512.0 };
    records.push(noisy);
    for record in &mut records {
        record.links.clear();
        record.cell.partition.links.clear();
        record.cell.partition.cuts.clear();
        record.id = record.cell.identity();
    }
    let reference = records[0].id.clone();
    for (at, record) in records.iter_mut().enumerate().filter(|(_, r)| r.cell.reference().is_some())
    {
        let hash = format!("{at}").repeat(64);
        record.cell.model.files.insert("model.safetensors".to_owned(), hash);
        record.cell.kind = CellKind::Model { reference: reference.clone() };
        record.id = record.cell.identity();
    }
    records
}

#[test]
fn models_are_compared_by_the_bits_of_their_weights() {
    let report = Report::from_records(&models()).unwrap();
    insta::assert_snapshot!("models_table", report.terminal(&TableStyle::default()));
    let of = |x| Picture { x, ..Picture::default() };
    assert!(report.picture_svg(&of(XAxis::Gib)).contains(">GiB of all weights (logarithmic)<"));
    assert!(
        !report.is_empty_picture(&of(XAxis::Gib)) && report.is_empty_picture(&of(XAxis::Bytes))
    );
    insta::assert_snapshot!("models_markdown", report.markdown());
    insta::assert_snapshot!("models_csv", report.csv());
    let svg = report.pareto_svg();
    assert!(svg.contains("bits per weight of the decoder") && svg.contains(">full Q4_K</text>"));
    assert!(!svg.contains("noise floor"));
    let row = report.rows.iter().find(|row| row.label == "full Q4_K").unwrap();
    assert_eq!((row.bits, row.codec.as_str()), (Some(4.5), "Q4_K"));
    assert_eq!(row.gib_without_embeddings.unwrap() * 1024.0 * 1048576.0, 1_769_472.0 + 1_572_864.0);
}

#[test]
fn differences_are_shown_in_units_of_the_noise_floor() {
    let mut records = records();
    let mut noisy = plain("noise floor", -0.0012, 0.0035);
    noisy.cell.kind = CellKind::Noise { size: 1.0 / 512.0 };
    noisy.links.clear();
    noisy.id = noisy.cell.identity();
    records.push(noisy);
    let report = Report::from_records(&records).unwrap();
    insta::assert_snapshot!(
        "noise_table",
        report.terminal(&TableStyle { width: 110, color: false })
    );
    let row = report.rows.iter().find(|row| row.label == "int4 g64").unwrap();
    let floor = report.noise_floor.unwrap();
    assert!((floor.ppl_delta / 0.0035 - 1.0).abs() < 1e-3, "{floor:?}");
    assert_eq!(row.ppl_delta_floors, Some(row.ppl_delta.unwrap() / floor.ppl_delta));
    assert_eq!(row.kld_floors, Some(row.kld_mean.unwrap() / floor.kld));
    assert!(report.markdown().contains("| ΔPPL / noise floor | KLD / noise floor |"));
    let baseline = report.rows.iter().find(|row| row.is_baseline()).unwrap();
    assert_eq!(baseline.kld_floors, None);
}

/// A record of a cell that compresses the KV cache: keys at `bits`, values at half of that.
fn cached(label: &str, press: Option<&str>, bits: f64, delta: f64) -> Record {
    let mut record = record(label, "none", bits, delta, 0.02);
    for link in &mut record.links {
        (link.encode_s, link.decode_s) = (0.0, 0.0);
        link.distortion.squared_error = 0.0;
    }
    let codec = |bits: u32| {
        let params = serde_json::json!({"bits": bits, "group": 64, "seed": null});
        let params = params.as_object().unwrap().clone();
        Some(CellCacheCodec { codec: "affine".to_owned(), params })
    };
    record.cell.kind = CellKind::Cache(Box::new(CellCache {
        interval: Some(128),
        press: press.map(str::to_owned),
        params: press.map_or_else(Default::default, |_| {
            serde_json::json!({"window": 16}).as_object().unwrap().clone()
        }),
        ratio: press.map(|_| 0.5),
        size: None,
        then: press
            .map(|_| CellPress {
                press: "think".to_owned(),
                params: serde_json::json!({"window": 8}).as_object().unwrap().clone(),
                ratio: Some(0.25),
                size: None,
            })
            .into_iter()
            .collect(),
        reposition: press.is_some(),
        gapless: false,
        cut_later_keys: false,
        key: codec(8),
        value: codec(4),
        overrides: press
            .map(|_| CellOverride { layers: vec![0], key: codec(6), value: None })
            .into_iter()
            .collect(),
        sinks: 4,
        recent: 0,
        before_rope: false,
        layers: Some(vec![0, 2]),
        plugins: BTreeMap::from([("libstrait_affine.so".to_owned(), "0".repeat(64))]),
    }));
    record.cell.partition.links.clear();
    record.cell.partition.cuts.clear();
    record.links.truncate(2);
    record.links[0].name = "keys".to_owned();
    record.links[1].name = "values".to_owned();
    record.links[1].payload_bytes /= 2;
    record.id = record.cell.identity();
    record
}

/// A baseline without links and two cells that compress its cache.
fn caches() -> Vec<Record> {
    let mut baseline = plain("baseline", 0.0, 0.0);
    baseline.links.clear();
    baseline.cell.partition.links.clear();
    baseline.cell.partition.cuts.clear();
    baseline.id = baseline.cell.identity();
    vec![
        baseline,
        cached("keys and values", None, 8.0, 0.3),
        cached("snap", Some("snapkv"), 4.0, 1.1),
    ]
}

#[test]
fn a_compressed_cache_has_bits_of_keys_and_values() {
    let report = Report::from_records(&caches()).unwrap();
    let row = |label: &str| report.rows.iter().find(|row| row.label == label).unwrap();
    let (codec, press) = (row("keys and values"), row("snap"));
    assert_eq!((codec.codec.as_str(), press.codec.as_str()), ("affine", "snapkv"));
    assert_eq!((codec.cached, codec.bits_per_value, codec.bits), (true, Some(6.0), Some(6.0)));
    // 192 keys of 8 bits and 192 values of 4.
    assert_eq!(codec.bytes_per_token, Some(192.0 + 96.0));
    assert!(report.subtitle.ends_with("KV cache"), "{}", report.subtitle);
    let svg = |x| report.picture_svg(&Picture { x, bare: true, ..Picture::default() });
    assert!(svg(XAxis::Bits).contains(">bits per cached value (logarithmic)<"));
    assert!(svg(XAxis::Bytes).contains(">bytes of keys and values per token (logarithmic)<"));
    let both = Report::from_records(&[caches(), records()].concat()).unwrap();
    assert!(both.pareto_svg().contains(">bits per value, on the links or cached (logarithmic)<"));
}

#[test]
fn tables_of_models_and_floors_in_latex_and_json() {
    let report = Report::from_records(&models()).unwrap();
    insta::assert_snapshot!("models_latex", report.latex());
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    let rows = json["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["label"] == "full Q4_K").unwrap();
    assert_eq!((&row["bits_per_weight"], &row["bits_per_value"]), (&4.5.into(), &Value::Null));
    assert!(row["kld_floors"].as_f64().unwrap() > 1.0);
}

#[test]
fn a_comparison_of_models_has_weights_and_floors() {
    let models = models();
    let [full, q8] = [0, 1].map(|at: usize| std::slice::from_ref(&models[at]));
    let comparisons = Comparison::of_results(full, &models[1..3]).unwrap();
    let (bits, gib) = (comparisons[1].bits_per_weight_b, comparisons[1].gib_b);
    assert_eq!((comparisons[1].bits_per_weight_a, bits), (Some(16.0), Some(4.5)));
    assert!(gib < comparisons[1].gib_a && comparisons[1].ppl_floors.is_none());
    assert_eq!(comparisons[1].bits_a, None);
    // With the noise floor among the records a difference has its units.
    let measured = Comparison::of_results(q8, &models).unwrap();
    let floors = measured.iter().find(|c| c.b == "full Q4_K").unwrap();
    assert!(floors.ppl_floors.unwrap() > 200.0 && floors.kld_floors.unwrap() > 700.0);
    insta::assert_snapshot!("models_comparison", Comparison::text(&measured[1..2]));
    // The same weights are not worth a line.
    let noise = Comparison::new(&models[0], &models[4]).unwrap();
    assert!(!Comparison::text(&[noise]).contains("bits/weight"));
}

#[test]
fn models_have_a_group_of_their_own_beside_codecs_of_the_reference() {
    let mut records = records();
    let mut models = models();
    for record in &mut models {
        record.experiment = "models".to_owned();
    }
    records.append(&mut models);
    let collection = Collection { records, ..Collection::default() };
    let groups = collection.groups().unwrap();
    assert_eq!(groups.len(), 2);
    let labels = |at: usize| -> Vec<&str> {
        groups[at].report.rows.iter().map(|row| row.label.as_str()).collect()
    };
    assert!(labels(0).contains(&"int8 g64") && !labels(0).contains(&"full"));
    assert_eq!(labels(1), ["full", "full Q8_0", "full Q4_K", "noise floor", "full nf4"]);
    assert!(!groups[0].report.models && groups[1].report.models);

    // A reference that another experiment measured is found.
    let mut apart = self::models();
    apart[0].experiment = "earlier".to_owned();
    let collection = Collection { records: apart, ..Collection::default() };
    let groups = collection.groups().unwrap();
    let found = groups.iter().find(|group| group.report.models).unwrap();
    assert!(found.report.rows.iter().any(|row| row.label == "earlier/full"));
}

/// The experiment files of a page, by label of their cell.
fn files(records: Vec<Record>) -> BTreeMap<String, Experiment> {
    let html = Page::new(&Collection { records, ..Collection::default() }).unwrap().html();
    let details = crate::page::details(&html).concat();
    let texts =
        details.split("<pre><code>").skip(1).map(|rest| rest.split("</code>").next().unwrap());
    texts
        .map(|text| {
            let text = text.replace("&quot;", "\"").replace("&gt;", ">").replace("&#39;", "'");
            let label = text[2..].split(" of ").next().unwrap().to_owned();
            (label, Experiment::parse(&text, "cell.toml").unwrap_or_else(|e| panic!("{e}\n{text}")))
        })
        .collect()
}

#[test]
fn experiment_files_of_models_and_caches_ask_for_those_cells() {
    let models = files(models());
    let file = &models["full Q4_K"];
    let names: Vec<String> = file.model.iter().map(strait_schema::ModelSection::name).collect();
    assert_eq!(names, ["full", "full Q4_K"]);
    assert!(models["noise floor"].run.noise_floor && !models["full"].run.noise_floor);

    let caches = self::caches();
    let files = files(caches.clone());
    for record in &caches[1..] {
        let cell = record.cell.cache().unwrap();
        let file = &files[&record.label];
        let specs = file.caches().unwrap();
        assert_eq!((specs.len(), &specs[0].label), (1, &record.label));
        let section = &specs[0].section;
        assert_eq!(file.kv.interval, cell.interval);
        assert_eq!(section.press, cell.press);
        assert_eq!((section.ratio, section.size, section.sinks), (cell.ratio, None, 4));
        assert_eq!((&section.params, section.reposition), (&cell.params, cell.reposition));
        assert_eq!(section.layers, cell.layers);
        let key = serde_json::json!({"codec": "affine", "bits": 8, "group": 64});
        assert_eq!(section.key.as_ref(), key.as_object());
    }
}

#[test]
fn the_page_shows_the_columns_that_its_cells_need() {
    let table = |records: Vec<Record>| {
        let page = Page::new(&Collection { records, ..Collection::default() }).unwrap().html();
        let from = page.find("<table class=\"cells").unwrap();
        page[from..].split_once(" id=\"cells\"").unwrap().0.to_owned()
    };
    assert_eq!(table(records()), "<table class=\"cells no-weights no-floors\"");
    assert_eq!(table(models()), "<table class=\"cells no-values\"");
    assert_eq!(table([models(), caches()].concat()), "<table class=\"cells\"");
    let html =
        Page::new(&Collection { records: models(), ..Collection::default() }).unwrap().html();
    assert_eq!(crate::page::data(&html)["groups"][0]["unit"], "weights");
    let html =
        Page::new(&Collection { records: caches(), ..Collection::default() }).unwrap().html();
    assert_eq!(crate::page::data(&html)["groups"][0]["unit"], "cache");
    assert!(crate::page::details(&html).concat().contains("<th>cache</th>"));
}
