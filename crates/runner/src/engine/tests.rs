//! Tests the scheduler with made-up stages and ways: no model, no file.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use strait_data::Window;
use strait_model::SequenceScores;

use super::*;
use crate::book::journal::WindowEntry;

/// A stage that counts the batches on its device.
#[derive(Default)]
struct FakeStage {
    on_device: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
}

/// What a made-up batch does between its start and its score.
enum Act {
    /// Goes through every stage and scores this likelihood.
    Score(f64),
    /// Its cell cannot continue.
    FailCell,
    /// Ends the run.
    FailRun,
    /// Panics in a stage.
    Panic,
    /// Meets another batch outside the stages, which only two lanes can do.
    Meet(Arc<Barrier>),
    /// Signals that it has begun, and waits for permission to continue.
    Wait(Sender<()>, Mutex<Receiver<()>>),
    /// Sets the signal that ends the run.
    Stop(Arc<AtomicBool>),
}

struct FakeBatch<'w> {
    cell: usize,
    act: &'w mut Act,
    begun: &'w AtomicUsize,
}

struct FakeWay {
    cells: Vec<(usize, Act)>,
    begun: Arc<AtomicUsize>,
}

/// The reference of these tests is the likelihood of the baseline.
type FakeRoad<'a> = Road<'a, FakeStage, f64>;

impl Way<FakeStage, f64> for FakeWay {
    fn batches<'w>(
        &'w mut self,
        chosen: &Chosen<'_>,
        _: &mut FakeRoad<'_>,
    ) -> Result<Vec<BoxedBatch<'w, FakeStage, f64>>, RunnerError> {
        let Self { cells, begun } = self;
        let mut batches: Vec<BoxedBatch<'w, FakeStage, f64>> = Vec::new();
        for (cell, act) in cells.iter_mut().filter(|(cell, _)| *cell == 0 || chosen(*cell)) {
            batches.push(Box::new(FakeBatch { cell: *cell, act, begun }));
        }
        Ok(batches)
    }
}

impl Batch<FakeStage, f64> for FakeBatch<'_> {
    fn travel(&mut self, road: &mut FakeRoad<'_>) -> Result<Arrived<f64>, RunnerError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let mut nll = self.cell as f64;
        match &*self.act {
            Act::Score(likelihood) => nll = *likelihood,
            Act::FailCell => {
                let trip = Trip { cell: self.cell, windows: Err("it cannot".to_owned()) };
                return Ok(Arrived { trips: vec![trip], reference: None });
            }
            Act::FailRun => return Err(RunnerError::internal("the machine is full")),
            Act::Panic => {
                let stage =
                    |_: &mut FakeStage| -> Result<(), RunnerError> { panic!("no such layer") };
                road.stage(0, 0, "panic", stage)?;
            }
            Act::Meet(barrier) => {
                barrier.wait();
            }
            Act::Wait(begun, leave) => {
                begun.send(()).unwrap();
                leave.lock().unwrap().recv().unwrap();
            }
            Act::Stop(stop) => stop.store(true, Ordering::Relaxed),
        }
        for stage in 0..road.stages_of(0) {
            road.stage(0, stage, "forward", pass)?;
        }
        if self.cell == 0 {
            let trips = vec![trip(road, self.cell, nll, true)];
            return Ok(Arrived { trips, reference: Some(nll) });
        }
        let base = road.compare(0, 0, "score", |_, base| Ok::<_, RunnerError>(*base))?;
        let trips = vec![trip(road, self.cell, nll - base, false)];
        Ok(Arrived { trips, reference: None })
    }
}

/// Runs a stage and checks that nothing else is on its device.
fn pass(stage: &mut FakeStage) -> Result<(), RunnerError> {
    assert_eq!(stage.on_device.fetch_add(1, Ordering::Relaxed), 0);
    std::thread::sleep(Duration::from_micros(100));
    stage.on_device.fetch_sub(1, Ordering::Relaxed);
    stage.runs.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn trip(road: &FakeRoad<'_>, cell: usize, nll: f64, baseline: bool) -> Trip {
    let scores = |window: usize| SequenceScores {
        nll: vec![nll + window as f64],
        top_probability: if baseline { vec![0.5] } else { Vec::new() },
        ..SequenceScores::default()
    };
    let windows = (0..road.group.windows)
        .map(|window| Measured { scores: scores(window), links: Vec::new(), kept: Vec::new() })
        .collect();
    Trip { cell, windows: Ok(windows) }
}

/// What a run of one group delivered, by cell, and how it ended.
struct Found {
    delivered: Vec<(usize, Result<Vec<WindowEntry>, String>)>,
    outcome: Result<(), RunnerError>,
    begun: usize,
    /// How often each stage ran.
    runs: Vec<usize>,
}

impl Found {
    fn cells(&self) -> Vec<usize> {
        let mut compared = self.delivered.iter().filter(|(_, windows)| windows.is_ok());
        assert!(compared.next().is_none_or(|(cell, _)| *cell == 0), "the baseline comes first");
        let mut cells: Vec<usize> = self.delivered.iter().map(|(cell, _)| *cell).collect();
        cells.sort_unstable();
        cells
    }

    fn error(&self) -> String {
        self.outcome.as_ref().unwrap_err().to_string()
    }
}

/// Runs two windows of two tokens through two stages on devices with these names.
fn run(acts: Vec<Act>, devices: [&str; 2], stop: &AtomicBool) -> Found {
    let stream = [1_u32, 2, 3, 4, 5];
    let protocol = strait_data::Protocol::new(strait_data::Preset::HfStride, Some(2), Some(2));
    let windows: Vec<Window> = protocol.windows(stream.len(), None).unwrap();
    let windows = &windows[..2];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let trace = Trace::open(None).unwrap();
    let mut stages = [FakeStage::default(), FakeStage::default()];
    if devices[0] == devices[1] {
        stages[1].on_device = Arc::clone(&stages[0].on_device);
    }
    let runs = stages.each_ref().map(|stage| Arc::clone(&stage.runs));
    let begun = Arc::new(AtomicUsize::new(0));
    let cells = acts.into_iter().enumerate().collect();
    let way = FakeWay { cells, begun: Arc::clone(&begun) };
    let mut ways: [Box<dyn Way<FakeStage, f64>>; 1] = [Box::new(way)];
    let mut delivered = Vec::new();
    let named = devices.into_iter().map(str::to_owned).zip(stages.map(Box::new)).collect();
    let outcome = {
        let stages = Stages::new(vec![named], &pool, &trace);
        let schedule = Schedule { stages: &stages, stop };
        let mut deliver = |cell, entries| {
            delivered.push((cell, entries));
            Ok(())
        };
        schedule.run(windows, &stream, &mut ways, &|_| true, &mut deliver)
    };
    let runs = runs.iter().map(|runs| runs.load(Ordering::Relaxed)).collect();
    Found { delivered, outcome, begun: begun.load(Ordering::Relaxed), runs }
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

#[test]
fn every_cell_is_delivered_beside_the_baseline() {
    let acts = (0..20).map(|cell| Act::Score(10.0 + f64::from(cell))).collect();
    let found = run(acts, ["cpu", "gpu"], &never());
    found.outcome.as_ref().unwrap();
    assert_eq!(found.cells(), (0..20).collect::<Vec<_>>());
    assert_eq!(found.runs, [20, 20]);
    for (cell, entries) in &found.delivered {
        let entries = entries.as_ref().unwrap();
        for (window, entry) in entries.iter().enumerate() {
            let own = if *cell == 0 { 10.0 } else { *cell as f64 };
            assert_eq!(entry.index, window);
            assert_eq!(entry.nll, [own + window as f64]);
            assert_eq!(
                (&entry.base_nll[..], &entry.base_top[..]),
                (&[10.0 + window as f64][..], &[0.5][..])
            );
            // A cell without a divergence of its own is the baseline, which always agrees with itself.
            assert_eq!((&entry.kld[..], &entry.same_top[..]), (&[0.0][..], &[true][..]));
            assert_eq!(entry.time.stage_s.len(), 2);
        }
    }
}

#[test]
fn there_is_a_lane_for_every_device_and_one_more() {
    // The baseline and two cells are outside the stages at the same time, or this never ends.
    let barrier = Arc::new(Barrier::new(3));
    let acts = (0..3).map(|_| Act::Meet(Arc::clone(&barrier))).collect();
    let found = run(acts, ["cpu", "gpu"], &never());
    found.outcome.as_ref().unwrap();
    assert_eq!(found.cells(), [0, 1, 2]);
}

#[test]
fn stages_on_one_device_take_turns() {
    let acts = (0..8).map(|_| Act::Score(1.0)).collect();
    let found = run(acts, ["cpu", "cpu"], &never());
    found.outcome.as_ref().unwrap();
    assert_eq!(found.runs, [8, 8]);
}

#[test]
fn a_cell_that_fails_is_delivered_as_failed_and_others_go_on() {
    let found =
        run(vec![Act::Score(1.0), Act::FailCell, Act::Score(2.0)], ["cpu", "gpu"], &never());
    found.outcome.as_ref().unwrap();
    assert_eq!(found.cells(), [0, 1, 2]);
    let failed = found.delivered.iter().find(|(cell, _)| *cell == 1).unwrap();
    assert_eq!(failed.1.as_ref().unwrap_err(), "it cannot");
}

#[test]
fn a_batch_that_ends_the_run_leaves_what_was_on_its_way() {
    let (begun, has_begun) = channel();
    let (leave, leaves) = channel();
    let mut acts = vec![Act::Score(1.0), Act::Wait(begun, Mutex::new(leaves)), Act::FailRun];
    acts.extend((0..40).map(|_| Act::Score(2.0)));
    let found = std::thread::scope(|scope| {
        scope.spawn(move || {
            // The cell is in progress when the run fails, and finishes after that.
            has_begun.recv().unwrap();
            std::thread::sleep(Duration::from_millis(20));
            leave.send(()).unwrap();
        });
        run(acts, ["cpu", "gpu"], &never())
    });
    assert_eq!(found.error(), "internal error: the machine is full");
    assert!(found.cells().contains(&1), "{:?}", found.cells());
    assert!(found.begun < 43, "no batch begins after an error");
}

#[test]
fn a_baseline_that_fails_ends_the_run_with_its_own_reason() {
    for act in [Act::FailRun, Act::Panic] {
        let expected =
            if matches!(act, Act::Panic) { "no such layer" } else { "the machine is full" };
        let acts = vec![act, Act::Score(1.0), Act::Score(2.0), Act::Score(3.0)];
        let found = run(acts, ["cpu", "gpu"], &never());
        assert!(found.error().contains(expected), "{}", found.error());
        assert!(found.delivered.is_empty());
    }
}

#[test]
fn a_panic_in_a_stage_is_an_error_of_the_run() {
    let found = run(vec![Act::Score(1.0), Act::Panic, Act::Score(2.0)], ["cpu", "gpu"], &never());
    assert_eq!(found.error(), "internal error: a stage panicked: no such layer");
    assert!(found.cells().contains(&0));
}

#[test]
fn a_stopped_run_ends_after_the_batches_at_work() {
    let stop = Arc::new(AtomicBool::new(false));
    let mut acts = vec![Act::Score(1.0), Act::Stop(Arc::clone(&stop))];
    acts.extend((0..40).map(|_| Act::Score(2.0)));
    let found = run(acts, ["cpu", "gpu"], &stop);
    found.outcome.as_ref().unwrap();
    assert!(found.cells().starts_with(&[0, 1]));
    assert!(found.cells().len() < 42, "{:?}", found.cells());

    // The baseline always runs: cells that have begun are compared with it.
    let found = run(vec![Act::Score(1.0), Act::Score(2.0)], ["cpu", "gpu"], &AtomicBool::new(true));
    found.outcome.as_ref().unwrap();
    assert_eq!(found.cells(), [0]);
}

#[test]
fn a_delivery_that_fails_ends_the_run() {
    let stream = [1_u32, 2, 3];
    let protocol = strait_data::Protocol::new(strait_data::Preset::HfStride, Some(2), Some(2));
    let windows: Vec<Window> = protocol.windows(stream.len(), None).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let trace = Trace::open(None).unwrap();
    let stage = Box::new(FakeStage::default());
    let stages = Stages::new(vec![vec![("cpu".to_owned(), stage)]], &pool, &trace);
    let begun = Arc::new(AtomicUsize::new(0));
    let cells = (0..40).map(|cell| (cell, Act::Score(1.0))).collect();
    let mut ways: [Box<dyn Way<FakeStage, f64>>; 1] =
        [Box::new(FakeWay { cells, begun: Arc::clone(&begun) })];
    let schedule = Schedule { stages: &stages, stop: &never() };
    let mut full = |_, _| Err(RunnerError::internal("the disk is full"));
    let outcome = schedule.run(&windows[..1], &stream, &mut ways, &|_| true, &mut full);
    assert_eq!(outcome.unwrap_err().to_string(), "internal error: the disk is full");
    assert!(begun.load(Ordering::Relaxed) < 40);
}
