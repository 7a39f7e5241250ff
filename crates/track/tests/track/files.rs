//! Files of Weights & Biases and TensorBoard, the status file, and trackers that cannot write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use strait_schema::RunStatus;
use strait_track::{
    Event, Field, Reader, StatusFile, TensorBoard, TrackError, Tracker, Trackers, Wandb, frames,
    scalars,
};

use crate::run::{BEGAN_S, events, record, tell};

/// The files below a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out
}

/// The bytes of a field that is there once.
fn field(message: &[u8], wanted: u32) -> Option<Vec<u8>> {
    Reader(message).find_map(|(number, field)| match field {
        Field::Bytes(bytes) if number == wanted => Some(bytes.to_vec()),
        _ => None,
    })
}

/// Items of a history, summary or config record: key (or nested key) to JSON.
fn items(message: &[u8], key: u32) -> BTreeMap<String, Value> {
    let each = Reader(message).filter_map(|(number, value)| match (number, value) {
        (1, Field::Bytes(item)) => Some(item),
        _ => None,
    });
    each.map(|item| {
        let name = String::from_utf8(field(item, key).unwrap()).unwrap();
        (name, serde_json::from_slice(&field(item, 16).unwrap()).unwrap())
    })
    .collect()
}

#[test]
fn weights_and_biases() {
    let dir = tempfile::tempdir().unwrap();
    tell(&mut Wandb::new(dir.path().to_owned(), "project x".to_owned(), 2)).unwrap();
    let runs = files(dir.path());
    assert_eq!(runs.len(), 3, "a run a cell, not for that which was finished before: {runs:?}");
    let mut histories = BTreeMap::new();
    for path in &runs {
        let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let id = name.strip_prefix("run-").unwrap().strip_suffix(".wandb").unwrap();
        assert!(folder.starts_with("offline-run-2026") && folder.ends_with(id), "{folder} {name}");
        assert!(path.parent().unwrap().join("files").is_dir());
        let records = frames(&fs::read(path).unwrap());
        let run = records.iter().find_map(|record| field(record, 17)).unwrap();
        assert_eq!(field(&run, 1).unwrap(), id.as_bytes());
        assert_eq!(field(&run, 3).unwrap(), b"project x");
        let config = items(&field(&run, 4).unwrap(), 1);
        assert_eq!(config["model"]["source"], "m");
        let label = String::from_utf8(field(&run, 8).unwrap()).unwrap();
        assert_eq!(config["label"], *label);
        // Header, run, …, exit, footer, numbered from 1.
        assert!(field(&records[0], 21).is_some());
        assert!(field(records.last().unwrap(), 22).is_some());
        for (at, record) in records.iter().enumerate() {
            assert!(Reader(record).any(|(n, v)| (n, v) == (1, Field::Varint(at as u64 + 1))));
        }
        let history: Vec<_> = records.iter().filter_map(|record| field(record, 2)).collect();
        let summary = records.iter().filter_map(|record| field(record, 3)).next_back().unwrap();
        histories.insert(label, (history, items(&summary, 2)));
    }
    let (history, summary) = &histories["int4 g64"];
    assert_eq!(history.len(), 4, "windows 2, 4, 6 and the end");
    let first = items(&history[0], 2);
    assert_eq!((&first["_step"], &first["eval_batch/batch_idx"]), (&1.into(), &1.0.into()));
    assert_eq!(first["eval_batch/batch_tokens"], 512.0);
    assert!(!first.contains_key("paired/ppl_delta_error"), "NaN is not logged");
    let second = items(&history[1], 2);
    assert_eq!(second["eval_batch/batch_tokens"], 512.0);
    assert_eq!(second["eval_total/total_tokens"], 1024.0);
    let batch = second["eval_batch/batch_ppl"].as_f64().unwrap();
    assert!((batch - (3.0 + 2.0 / 512.0_f64).exp()).abs() < 1e-9);
    assert_eq!(second["traffic/bytes_per_token"], 10.0);
    let ppl = record("x").scores.unwrap().sums.summary().ppl;
    assert_eq!(summary["eval/ppl_final"], ppl);
    assert_eq!(summary["status"], "finished");
    assert_eq!(histories["bad/one"].1["status"], "failed: the codec panicked");
}

#[test]
fn tensorboard() {
    let dir = tempfile::tempdir().unwrap();
    tell(&mut TensorBoard::new(dir.path().to_owned(), 3)).unwrap();
    let runs = files(dir.path());
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs[1].starts_with(dir.path().join("demo/int4-g64")));
    let name = runs[1].file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("events.out.tfevents.17900"), "{name}");
    let values = scalars(&fs::read(&runs[1]).unwrap());
    let steps: Vec<u64> =
        values.iter().filter(|v| v.1 == "eval_total/total_avg_ppl").map(|v| v.0).collect();
    assert_eq!(steps, [2, 5]);
    let last = values.iter().find(|v| v.1 == "eval/ppl_final").unwrap();
    let ppl = record("x").scores.unwrap().sums.summary().ppl;
    assert!((f64::from(last.2) - ppl).abs() < 1e-4 * ppl);
}

#[test]
fn the_status_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("journal")).unwrap();
    let mut file = StatusFile::new(dir.path().to_owned(), "demo");
    let events = events();
    let (last, before) = events.split_last().unwrap();
    for (event, time_s) in before {
        file.event(event, *time_s).unwrap();
    }
    let status = RunStatus::load(dir.path()).unwrap().unwrap();
    assert_eq!((status.experiment.as_str(), status.windows, status.ended), ("demo", 6, false));
    assert_eq!(status.cells[1].windows_done, 6);
    assert_eq!(status.cells[1].figures.unwrap().bytes_per_token, Some(10.0));
    assert_eq!(status.cells[1].figures.unwrap().ppl_delta_error, None);
    assert_eq!(status.cells[2].reason.as_deref(), Some("the codec panicked"));
    file.event(&last.0, last.1).unwrap();
    let ended = RunStatus::load(dir.path()).unwrap().unwrap();
    assert!(ended.ended && ended.beat > status.beat && ended.cells[1].finished);
    assert!(!ended.cells[2].finished);
    assert!(RunStatus::load(&dir.path().join("journal")).unwrap().is_none());
}

/// Writing often would cost a shared folder more than it tells.
#[test]
fn the_status_file_is_not_written_for_every_window() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("journal")).unwrap();
    let mut file = StatusFile::new(dir.path().to_owned(), "demo");
    for (event, _) in events().iter().filter(|(event, _)| !matches!(event, Event::End(_))) {
        file.event(event, BEGAN_S).unwrap();
    }
    let status = RunStatus::load(dir.path()).unwrap().unwrap();
    assert_eq!(status.beat, 3, "the step, the start and the failure");
}

#[test]
fn a_tracker_that_cannot_write_ends_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = tell(&mut Wandb::new(file.clone(), "p".to_owned(), 1)).unwrap_err();
    assert!(matches!(error, TrackError::Write { .. }), "{error}");
    assert!(tell(&mut TensorBoard::new(file.clone(), 1)).is_err());
    // Beside one that fails, the other sees everything.
    let board = dir.path().join("board");
    let mut trackers = Trackers::start(vec![
        Box::new(Wandb::new(file, "p".to_owned(), 1)),
        Box::new(TensorBoard::new(board.clone(), 1)),
    ]);
    let mut events = events();
    let (end, time_s) = events.pop().unwrap();
    for (event, time_s) in events {
        trackers.tell(event, time_s);
    }
    trackers.finish(end, time_s, Duration::from_secs(30));
    assert_eq!(files(&board).len(), 2);
}

/// One that hangs is left behind: the run waits no longer than it said.
#[test]
fn a_tracker_that_hangs_is_left() {
    struct Hangs(std::sync::mpsc::Receiver<()>);
    impl Tracker for Hangs {
        fn name(&self) -> &'static str {
            "hangs"
        }
        fn event(&mut self, _: &Event, _: f64) -> Result<(), TrackError> {
            let _ = self.0.recv();
            Ok(())
        }
    }
    let (release, wait) = std::sync::mpsc::channel();
    let mut trackers = Trackers::start(vec![Box::new(Hangs(wait))]);
    for _ in 0..3 {
        for (event, time_s) in events() {
            trackers.tell(event, time_s);
        }
    }
    trackers.finish(Event::End(Vec::new()), BEGAN_S, Duration::from_millis(20));
    drop(release);
}
