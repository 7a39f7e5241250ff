//! The records that lie in `results/`: what they say must not change when the code does.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use strait_schema::{
    CellCache, CellCacheCodec, CellCompressor, CellData, CellKind, CellModel, CellOverride,
    CellPartition, CellPress, CellProtocol, CellSide, EDITED, Environment, Experiment, Join,
    MaxWindows, Record, RecordCell, Role, WindowsEnvironment,
};

use super::root;

/// Every record of every folder of `results/`.
pub(crate) fn records() -> Vec<PathBuf> {
    let children = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let folders = children(root().join("results")).filter(|path| path.is_dir());
    let files = folders.flat_map(children);
    let mut records: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    records.sort();
    records
}

/// Without keys that hold null: records of earlier releases lack keys that came later.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        scalar => scalar,
    }
}

#[test]
fn every_record_keeps_its_identity_and_its_text() {
    let (mut roles, mut earlier) = (Vec::new(), 0);
    for path in records() {
        let text = fs::read_to_string(&path).unwrap();
        let record = Record::load(&path).unwrap();
        assert_eq!(record.cell.identity(), record.id, "{}", path.display());
        assert!(path.ends_with(record.file_name()), "{}", path.display());
        roles.push(record.cell.kind.role());

        let written = serde_json::to_string_pretty(&record).unwrap() + "\n";
        if written != text {
            earlier += 1;
            let [written, text] = [&written, &text].map(|text| {
                let value: Value = serde_json::from_str(text).unwrap();
                without_nulls(value)
            });
            assert_eq!(written, text, "{}", path.display());
        }
    }
    let count = |role: Role| roles.iter().filter(|&&found| found == role).count();
    assert!(count(Role::Baseline) >= 12 && count(Role::Noise) >= 2 && count(Role::Model) >= 5);
    assert!(count(Role::Links) >= 496 && count(Role::Cache) >= 224);
    assert!(earlier <= 16, "{earlier} records are written otherwise than they were");
}

#[test]
fn a_cell_of_two_kinds_is_refused() {
    let text = fs::read_to_string(root().join("crates/schema/tests/record.json")).unwrap();
    let mut two: Value = serde_json::from_str(&text).unwrap();
    two["cell"]["noise"] = json!(0.5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.json");
    fs::write(&path, two.to_string()).unwrap();
    let error = Record::load(&path).unwrap_err().to_string();
    let expected = "two of `compressor`, `cache`, `noise` and `reference`";
    assert!(error.contains(expected), "{error}");

    two["cell"]["compressor"] = Value::Null;
    let cell = serde_json::from_value(two["cell"].clone());
    let record = Record { cell: cell.unwrap(), ..serde_json::from_str(&text).unwrap() };
    assert_eq!(record.cell.kind, CellKind::Noise { size: 0.5 });
    assert!(!record.cell.is_baseline());
}

#[test]
fn totals_that_are_not_the_sums_of_the_windows_are_refused() {
    let path = root().join("crates/schema/tests/record.json");
    let whole: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    type Change = dyn Fn(&mut Value);
    let load = |change: &Change| {
        let mut record = whole.clone();
        change(&mut record);
        fs::write(&path, record.to_string()).unwrap();
        Record::load(&path)
    };
    load(&|_| ()).unwrap();
    let changes: [(&str, &Change); 5] = [
        ("scored", &|record| record["windows"].as_array_mut().unwrap().clear()),
        ("sums.a", &|record| record["windows"][0]["sums"]["a"] = json!(1.0)),
        ("sums.d", &|record| record["scores"]["sums"]["d"] = json!(0.0)),
        ("kld_sum", &|record| record["scores"]["kld"]["mean"] = json!(0.0)),
        ("same_top", &|record| record["windows"][0]["same_top"] = json!(0)),
    ];
    for (field, change) in changes {
        let error = load(change).unwrap_err().to_string();
        assert!(error.contains(&format!("found {field} of the windows")), "{field}: {error}");
    }
}

/// The cell that an experiment file asks for. What only model, text and plugins know is that of the record: `files`,
/// hashes, names of links, versions.
fn planned(file: &Experiment, record: &Record) -> RecordCell {
    let cell = &record.cell;
    let section = file.model.iter().last().unwrap();
    let partition = file.partition(cell.model.layers).unwrap();
    let protocol = &file.protocol;
    let max_windows = match protocol.max_windows.unwrap() {
        MaxWindows::All => None,
        MaxWindows::Count(count) => Some(count),
    };
    RecordCell {
        model: CellModel {
            source: section.source.clone(),
            dtype: section.dtype,
            load_in: section.load_in,
            tokenizer: section.tokenizer.clone(),
            ignore: section.ignore.clone(),
            ..cell.model.clone()
        },
        data: CellData {
            source: file.data.source.clone(),
            split: file.data.split.clone(),
            sample_idx: file.data.sample_idx,
            max_documents: file.data.max_documents,
            key: file.data.key.clone(),
            join: file.data.join,
            ..cell.data.clone()
        },
        protocol: CellProtocol {
            preset: protocol.preset,
            window: protocol.window.unwrap(),
            stride: protocol.stride.unwrap(),
            context: protocol.context,
            max_windows,
            first_k_tokens: file.data.first_k_tokens,
            bos: protocol.bos,
            fingerprint: cell.protocol.fingerprint.clone(),
        },
        partition: CellPartition {
            cuts: partition.cuts,
            nodes: partition.nodes,
            links: partition.links.iter().map(|link| link.name.clone()).collect(),
        },
        kind: kind(file, cell),
        chunk_tokens: file.run.chunk_tokens,
        seed: file.run.seed,
    }
}

fn kind(file: &Experiment, cell: &RecordCell) -> CellKind {
    let (codecs, caches) = (file.cells().unwrap(), file.caches().unwrap());
    assert!(codecs.len() + caches.len() <= 1);
    match &cell.kind {
        CellKind::Links(codec) => {
            let spec = &codecs[0];
            assert_eq!(spec.artifact.is_some(), codec.artifact_sha256.is_some());
            let side = codec.side.as_ref().zip(spec.side.as_ref());
            CellKind::Links(Box::new(CellCompressor {
                codec: spec.codec.clone(),
                params: spec.params.clone(),
                links: spec.links.clone().unwrap_or((0..cell.partition.links.len()).collect()),
                side: side.map(|(known, asked)| CellSide {
                    metric: asked.metric,
                    layers: asked.layers.clone(),
                    aggregate: asked.aggregate,
                    weights: asked.weights.clone(),
                    weights_sha256: known
                        .weights_sha256
                        .clone()
                        .filter(|_| asked.weights.is_some()),
                }),
                artifact: spec.artifact_template(),
                ..(**codec).clone()
            }))
        }
        CellKind::Cache(cache) => {
            let asked = &caches[0].section;
            let codec = |table: &Map<String, Value>| {
                let mut params = table.clone();
                let codec = params.remove("codec").unwrap();
                CellCacheCodec { codec: codec.as_str().unwrap().to_owned(), params }
            };
            let then = asked.then.iter().map(|press| CellPress {
                press: press.press.clone(),
                params: press.params.clone(),
                ratio: press.ratio,
                size: press.size,
            });
            let overrides = asked.overrides.iter().map(|own| CellOverride {
                layers: own.layers.clone(),
                key: own.key.as_ref().map(codec),
                value: own.value.as_ref().map(codec),
            });
            CellKind::Cache(Box::new(CellCache {
                interval: file.kv.interval,
                press: asked.press.clone(),
                params: asked.params.clone(),
                ratio: asked.ratio,
                size: asked.size,
                then: then.collect(),
                reposition: asked.reposition,
                // Of a release; no file asks for it.
                gapless: cache.gapless,
                cut_later_keys: asked.cut_later_keys,
                key: asked.key.as_ref().map(codec),
                value: asked.value.as_ref().map(codec),
                overrides: overrides.collect(),
                sinks: asked.sinks,
                recent: asked.recent,
                before_rope: asked.before_rope,
                layers: asked.layers.clone(),
                plugins: cache.plugins.clone(),
            }))
        }
        // How much noise is not the file's to say.
        CellKind::Noise { .. } if file.run.noise_floor => cell.kind.clone(),
        CellKind::Model { .. } if file.model.others().len() == 1 => cell.kind.clone(),
        _ => CellKind::Baseline,
    }
}

/// The record of the model that another one is compared with.
fn reference(record: &Record, all: &[Record]) -> Option<Record> {
    let id = record.cell.reference()?;
    all.iter().find(|other| other.id == id).cloned()
}

#[test]
fn the_experiment_file_of_every_record_asks_for_that_cell() {
    let all: Vec<Record> = records().iter().map(|path| Record::load(path).unwrap()).collect();
    assert!(all.len() >= 739);
    for record in &all {
        let reference = reference(record, &all);
        assert_eq!(reference.is_some(), record.cell.reference().is_some());
        let text = record.experiment_file(reference.as_ref()).unwrap();
        let file = Experiment::parse(&text, "cell.toml")
            .unwrap_or_else(|error| panic!("{}: {error}\n{text}", record.label));
        // A parameter that is null is completed to null by its plugin.
        let written = |cell: &RecordCell| without_nulls(serde_json::to_value(cell).unwrap());
        let (again, cell) = (planned(&file, record), &record.cell);
        assert_eq!(written(&again), written(cell), "{}\n{text}", record.label);
        let pins = file.plugins.pin.len();
        let inner_unknown = cell.compressor().is_some_and(|codec| !codec.inner.is_empty());
        let plugins = usize::from(cell.compressor().is_some() && !inner_unknown)
            + cell.cache().map_or(0, |cache| cache.plugins.len());
        assert_eq!(pins, plugins, "{text}");
        if let Some(label) = &record.cell.reference() {
            assert_eq!(file.model.iter().count(), 2, "{label}");
        } else if let Some(spec) = file.cells().unwrap().first() {
            assert_eq!(spec.label, record.label);
        }
    }
}

#[test]
fn what_a_file_must_not_lose_is_in_it() {
    let path = root().join("crates/schema/tests/record.json");
    let mut record: Record = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    record.cell.data.join = Some(Join::Space);
    record.cell.data.key = Some("body".to_owned());
    record.environment.streaming = true;
    record.environment.device = "cuda:1 NVIDIA L4".to_owned();
    let CellKind::Links(codec) = &mut record.cell.kind else { panic!("a codec on links") };
    codec.artifact = Some("artifacts/a-{link}.bin".into());
    codec.inner = [("cast".to_owned(), "0".repeat(64))].into();
    codec.inner_files = [("cast".to_owned(), "libstrait_cast.so".to_owned())].into();
    let text = record.experiment_file(None).unwrap();
    let file = Experiment::parse(&text, "cell.toml").unwrap();
    assert_eq!((file.data.join, file.data.key.as_deref()), (Some(Join::Space), Some("body")));
    assert_eq!((file.model.device.as_str(), file.model.weights.streaming), ("cuda:1", true));
    assert_eq!(file.compressor[0].artifact, Some("artifacts/a-{link}.bin".into()));
    assert_eq!(file.plugins.pin.len(), 2, "{text}");

    // Where stages were on several devices a record does not say which was where.
    record.environment.device = "cuda:0 NVIDIA L4, cuda:1 NVIDIA L4".to_owned();
    assert_eq!(record.experiment(None).model.device, "auto");
    // A label with braces would be a template.
    record.label = "a {b}".to_owned();
    assert_eq!(record.experiment(None).compressor[0].label, None);
}

/// Gives every scalar of a value, with its path, to `check`.
fn each_scalar(value: &Value, path: &str, check: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| each_scalar(value, &format!("{path}/{key}"), check));
        }
        Value::Array(values) => values.iter().enumerate().for_each(|(at, value)| {
            each_scalar(value, &format!("{path}/{at}"), check);
        }),
        scalar => check(path, scalar),
    }
}

#[test]
fn every_edit_of_a_record_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let committed = root().join("crates/schema/tests/record.json");
    let unsealed = Record::load(committed).unwrap();
    assert_eq!(unsealed.content_sha256, None);
    unsealed.save(&path).unwrap();
    let sealed = Record::load(&path).unwrap();
    assert!(sealed.content_sha256.is_some() && !sealed.warnings.iter().any(|text| text == EDITED));
    assert_eq!(Record { content_sha256: None, ..sealed.clone() }, unsealed);

    let whole: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let (mut warned, mut refused) = (0, 0);
    each_scalar(&whole, "", &mut |at, scalar| {
        let mut edited = whole.clone();
        *edited.pointer_mut(at).unwrap() = match scalar {
            Value::String(text) => json!(format!("{text}x")),
            Value::Number(number) if number.is_f64() => {
                json!(number.as_f64().unwrap() * (1.0 + 1e-15) + 1e-300)
            }
            Value::Number(number) => json!(number.as_u64().unwrap() + 1),
            Value::Bool(on) => json!(!on),
            _ => json!(1),
        };
        if edited == whole {
            return;
        }
        fs::write(&path, edited.to_string()).unwrap();
        match Record::load(&path) {
            Ok(record) => {
                warned += 1;
                assert_eq!(record.warnings.last().map(String::as_str), Some(EDITED), "{at}");
            }
            Err(_) => refused += 1,
        }
    });
    assert!(warned > 40 && refused > 20, "{warned} warned, {refused} refused");

    // The order of keys and the spaces between them are no content. What was edited says so for ever.
    fs::write(&path, whole.to_string()).unwrap();
    assert_eq!(Record::load(&path).unwrap(), sealed);
    let mut edited = whole.clone();
    edited["label"] = json!("another");
    fs::write(&path, edited.to_string()).unwrap();
    Record::load(&path).unwrap().save(&path).unwrap();
    let kept = Record::load(&path).unwrap();
    assert_eq!(kept.warnings.iter().filter(|text| *text == EDITED).count(), 1);
}

#[test]
fn windows_of_several_environments_are_warned_of() {
    let committed = root().join("crates/schema/tests/record.json");
    let mut record = Record::load(committed).unwrap();
    assert_eq!(record.mixed_environments(), None);
    let first = record.environment.clone();
    let second =
        Environment { threads: 3, commit: Some("0123456789abcdef".to_owned()), ..first.clone() };
    let threads = first.threads;
    record.environments = vec![
        WindowsEnvironment { first: 0, last: 1, environment: first.clone() },
        WindowsEnvironment { first: 2, last: 2, environment: second.clone() },
    ];
    let warning = record.mixed_environments().unwrap();
    let expected = format!("from window 2 on threads {threads}, then 3");
    assert!(warning.ends_with(&expected), "an unknown commit is no difference: {warning}");
    let third = Environment { dirty: Some(true), ..second.clone() };
    let commit = ("commit", "0123456789ab".to_owned(), "0123456789ab with changes".to_owned());
    assert_eq!(second.differences(&third), [commit]);
}

#[test]
fn where_an_artifact_lies_is_no_part_of_the_identity() {
    for path in records() {
        let record = Record::load(&path).unwrap();
        let mut moved = record.cell.clone();
        moved.data.join = Some(Join::Space);
        if let CellKind::Links(codec) = &mut moved.kind {
            codec.artifact = Some("elsewhere".into());
            codec.inner_files = [("a".to_owned(), "b".to_owned())].into();
            if let Some(side) = &mut codec.side {
                side.weights = Some("elsewhere".into());
            }
        }
        assert_eq!(moved.identity(), record.id);
        assert_eq!(moved.identity_differences(&record.cell), []);
        moved.seed += 1;
        let [(key, moved, recorded)] = &moved.identity_differences(&record.cell)[..] else {
            panic!()
        };
        assert_eq!((&**key, &**moved), ("seed", &*(record.cell.seed + 1).to_string()));
        assert_eq!(*recorded, record.cell.seed.to_string());
    }
}
