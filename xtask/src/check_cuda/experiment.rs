//! A row's experiment file: one from `xtask/check-cuda` with the row's model, dtype and devices.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::rows::Row;

/// The text of an experiment as it is stored.
pub(super) fn template(root: &Path, name: &str) -> Result<String> {
    let path = root.join("xtask/check-cuda").join(format!("{name}.toml"));
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// The experiment of a row, on its own devices or on the one that it is compared with. Made-up models
/// are in `models`.
pub(super) fn text(
    template: &str,
    row: &Row,
    reference: bool,
    models: &Path,
    threads: usize,
) -> Result<String> {
    let mut table: Table = template.parse()?;
    let on: &[&str] = if reference { &[row.reference_device()] } else { row.devices };
    let (first, several) = (on.first().copied().unwrap_or("cpu"), on.len() > 1);
    for model in model_tables(&mut table)? {
        model.insert("device".to_owned(), first.into());
        model.insert("dtype".to_owned(), row.dtype.into());
        if let Some(name) = row.model {
            model.insert("source".to_owned(), models.join(name).display().to_string().into());
        }
    }
    if several {
        let devices: Vec<Value> = on.iter().copied().map(Value::from).collect();
        section(&mut table, "partition")?.insert("devices".to_owned(), devices.into());
    }
    if table.contains_key("cache") {
        section(&mut table, "output")?.insert("per_token".to_owned(), true.into());
    }
    // Several rows run side by side, and no number depends on the number of threads.
    let threads = i64::try_from(threads)?;
    section(&mut table, "run")?.insert("threads".to_owned(), threads.into());
    Ok(toml::to_string(&table)?)
}

fn model_tables(table: &mut Table) -> Result<Vec<&mut Table>> {
    match table.get_mut("model") {
        Some(Value::Table(model)) => Ok(vec![model]),
        Some(Value::Array(models)) => {
            Ok(models.iter_mut().filter_map(Value::as_table_mut).collect())
        }
        _ => bail!("expected [model] or [[model]] in the experiment"),
    }
}

fn section<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Table> {
    let section = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
    section.as_table_mut().with_context(|| format!("expected [{name}] to be a table"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::rows;
    use super::*;
    use crate::workspace::Workspace;

    fn made(name: &str, reference: bool) -> Table {
        let root = Workspace::load().unwrap().root;
        let rows = rows::all(true);
        let row = rows.iter().find(|row| row.name == name).unwrap();
        let template = template(&root, row.experiment).unwrap();
        text(&template, row, reference, Path::new("models"), 1).unwrap().parse().unwrap()
    }

    #[test]
    fn a_row_runs_on_its_devices_and_is_compared_on_the_cpu() {
        let table = made("cuda:0 and cuda:1 f32", false);
        let devices: Vec<_> = table["partition"]["devices"].as_array().unwrap().clone();
        assert_eq!(devices, [Value::from("cuda:0"), Value::from("cuda:1")]);
        let reference = made("cuda:0 and cuda:1 f32", true);
        assert!(!reference["partition"].as_table().unwrap().contains_key("devices"));
        assert_eq!(reference["model"]["device"].as_str(), Some("cpu"));
        assert_eq!(made("links bf16", true)["model"]["device"].as_str(), Some("cpu:plain"));

        let table = made("models and noise floor f16", false);
        for model in table["model"].as_array().unwrap() {
            assert_eq!(model["device"].as_str(), Some("cuda:0"));
            assert_eq!(model["dtype"].as_str(), Some("f16"));
        }
        let table = made("family llama f32", false);
        assert_eq!(table["model"]["source"].as_str(), Some("models/llama"));
        assert_eq!(table["run"]["threads"].as_integer(), Some(1));
    }

    #[test]
    fn every_experiment_is_one_of_some_row() {
        let root = Workspace::load().unwrap().root;
        let used: BTreeSet<String> =
            rows::all(true).iter().map(|row| format!("{}.toml", row.experiment)).collect();
        let kept: BTreeSet<String> = fs::read_dir(root.join("xtask/check-cuda"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".toml"))
            .collect();
        assert_eq!(used, kept);
    }
}
