//! A made-up run of three cells, one of which fails, as its observer would tell it.

use std::path::Path;

use serde_json::json;
use strait_schema::{Record, Role};
use strait_track::{CellStart, Event, Point, RunStart, Tracker};

pub(crate) const WINDOWS: usize = 6;
pub(crate) const BEGAN_S: f64 = 1_790_000_000.0;

/// The schema crate's example record under another label.
pub(crate) fn record(label: &str) -> Record {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/tests/record.json");
    Record { label: label.to_owned(), ..Record::load(path).unwrap() }
}

pub(crate) fn point(windows_done: usize) -> Point {
    let tokens = 256 * windows_done as u64;
    let nll = 3.0 * tokens as f64 + windows_done as f64;
    Point {
        windows_done,
        tokens,
        nll,
        ppl: (nll / tokens as f64).exp(),
        ppl_delta: 0.25,
        ppl_delta_error: f64::NAN,
        kld_mean: 0.01,
        total_bytes: 1000 * windows_done as u64,
        total_tokens: 100 * windows_done as u64,
        messages: 4 * windows_done as u64,
        bits_per_value: 4.5,
    }
}

/// All events of the run with their times.
pub(crate) fn events() -> Vec<(Event, f64)> {
    let cell = |label: &str, codec: &str| CellStart {
        label: label.to_owned(),
        codec: codec.to_owned(),
        role: if codec == "baseline" { Role::Baseline } else { Role::Links },
        windows_done: 0,
        finished: label == "done before",
    };
    let config = json!({"name": "demo", "model": {"source": "m", "dtype": "f32"}, "seed": 7, "compressor": [{"codec": "affine"}]});
    let start = RunStart {
        experiment: "demo".to_owned(),
        config: config.as_object().unwrap().clone(),
        windows: WINDOWS,
        cells: vec![
            cell("baseline", "baseline"),
            cell("int4 g64", "affine"),
            cell("bad/one", "affine"),
            cell("done before", "cast"),
        ],
    };
    let mut events = vec![Event::Step("load the model".to_owned()), Event::Start(start)];
    for done in 1..=WINDOWS {
        for cell in 0..2 {
            events.push(Event::Window { cell, point: point(done), eta_s: Some(2.0) });
        }
    }
    events.push(Event::Failed { cell: 2, reason: "the codec panicked".to_owned() });
    events.push(Event::End(vec![record("baseline"), record("int4 g64")]));
    events.into_iter().enumerate().map(|(at, event)| (event, BEGAN_S + at as f64)).collect()
}

/// Tells a tracker everything, until it gives up.
pub(crate) fn tell(tracker: &mut dyn Tracker) -> Result<(), strait_track::TrackError> {
    events().iter().try_for_each(|(event, time_s)| tracker.event(event, *time_s))
}
