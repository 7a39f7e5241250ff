//! A run told twice: to the live lines of the terminal, and to the trackers of `[track]`.

use std::path::PathBuf;
use std::time::Duration;

use strait_runner::{CellIntro, CellProgress, Observer, Progress, unix_s};
use strait_schema::{Experiment, Record};
use strait_track::{
    CellStart, Event, Mlflow, Point, RunStart, StatusFile, TensorBoard, Tracker, Trackers, Wandb,
};

use crate::live::Live;

/// What the end of a run waits for trackers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Live lines and trackers.
pub(crate) struct Follow {
    live: Live,
    trackers: Trackers,
    start: RunStart,
}

impl Follow {
    /// The trackers that the experiment names, and the status file of its results folder.
    pub(crate) fn new(experiment: &Experiment, live: Live) -> Self {
        let config = serde_json::to_value(experiment).ok();
        let config = config.and_then(|config| config.as_object().cloned()).unwrap_or_default();
        let start =
            RunStart { experiment: experiment.name.clone(), config, windows: 0, cells: Vec::new() };
        Self { live, trackers: Trackers::start(trackers(experiment)), start }
    }

    /// Tells the trackers how it ended, and waits for them.
    pub(crate) fn finish(&mut self, records: &[Record]) {
        self.trackers.finish(Event::End(records.to_vec()), unix_s(), PATIENCE);
    }

    fn tell(&mut self, event: Event) {
        self.trackers.tell(event, unix_s());
    }
}

fn trackers(experiment: &Experiment) -> Vec<Box<dyn Tracker>> {
    let results = experiment.output_dir();
    let track = &experiment.track;
    let every = track.every_windows;
    let status = StatusFile::new(results.clone(), &experiment.name);
    let mut trackers: Vec<Box<dyn Tracker>> = vec![Box::new(status)];
    let folder = |dir: &Option<PathBuf>, default: PathBuf| dir.clone().unwrap_or(default);
    if let Some(wandb) = &track.wandb {
        let folder = folder(&wandb.dir, results.clone());
        trackers.push(Box::new(Wandb::new(folder, wandb.project.clone(), every)));
    }
    if let Some(board) = &track.tensorboard {
        let folder = folder(&board.dir, results.join("tensorboard"));
        trackers.push(Box::new(TensorBoard::new(folder, every)));
    }
    if let Some(mlflow) = &track.mlflow {
        let token = std::env::var("MLFLOW_TRACKING_TOKEN").ok();
        trackers.push(Box::new(Mlflow::new(&mlflow.server, token, every)));
    }
    trackers
}

impl Progress for Follow {
    fn start(&mut self, file: &str, size: u64, done: u64) {
        self.live.start(file, size, done);
    }

    fn advance(&mut self, bytes: u64) {
        self.live.advance(bytes);
    }

    fn finish(&mut self) {
        Progress::finish(&mut self.live);
    }
}

impl Observer for Follow {
    fn step(&mut self, what: &str) {
        self.live.step(what);
        self.tell(Event::Step(what.to_owned()));
    }

    fn begin(&mut self, cells: &[CellIntro], windows: usize) {
        self.live.begin(cells, windows);
        let start = |cell: &CellIntro| CellStart {
            label: cell.label.clone(),
            codec: cell.family.clone(),
            role: cell.role,
            windows_done: cell.windows_done,
            finished: cell.finished,
        };
        let cells = cells.iter().map(start).collect();
        self.tell(Event::Start(RunStart { windows, cells, ..self.start.clone() }));
    }

    fn window(&mut self, cell: usize, progress: &CellProgress, eta: Option<Duration>) {
        self.live.window(cell, progress, eta);
        let point = Point {
            windows_done: progress.windows_done,
            tokens: progress.scored,
            nll: progress.nll,
            ppl: progress.ppl,
            ppl_delta: progress.ppl_delta,
            ppl_delta_error: progress.ppl_delta_error,
            kld_mean: progress.kld_mean,
            total_bytes: progress.payload_bytes,
            total_tokens: progress.tokens,
            messages: progress.messages,
            bits_per_value: progress.bits_per_value,
        };
        self.tell(Event::Window { cell, point, eta_s: eta.map(|eta| eta.as_secs_f64()) });
    }

    fn failed(&mut self, cell: usize, reason: &str) {
        self.live.failed(cell, reason);
        self.tell(Event::Failed { cell, reason: reason.to_owned() });
    }

    fn end(&mut self) {
        self.live.end();
    }
}
