//! The records that lie in `results/`: what they say must not change when the code does.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use strait_schema::{CellKind, Record, Role};

use super::root;

/// Every record of every folder of `results/`.
fn records() -> Vec<PathBuf> {
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
