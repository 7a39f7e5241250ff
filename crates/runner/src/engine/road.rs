//! The stages of all models on their devices, and one lane's path through them.

use std::sync::Mutex;

use rayon::ThreadPool;

use super::group::{Group, held};
use super::trace::{Lane, Trace};
use crate::clock::Stopwatch;
use crate::error::RunnerError;

/// The stages of the reference model and of those compared with it. Batches take turns on the devices
/// that these run on.
pub(crate) struct Stages<'a, S: ?Sized> {
    /// The stages of each model, the reference model first.
    models: Vec<Vec<DeviceStage<S>>>,
    /// One lock per device, held by the batch that the device serves.
    devices: Vec<Mutex<()>>,
    /// The thread pool for computation.
    pub(crate) pool: &'a ThreadPool,
    pub(crate) trace: &'a Trace,
    /// Time since a stage last finished its work.
    lap: Mutex<Stopwatch>,
}

/// A stage, with the index of its device.
struct DeviceStage<S: ?Sized> {
    device: usize,
    stage: Mutex<Box<S>>,
}

impl<'a, S: ?Sized + Send> Stages<'a, S> {
    /// The stages of each model with the names of their devices, the reference model first. Stages
    /// whose devices have the same name share a device.
    pub(crate) fn new(
        models: Vec<Vec<(String, Box<S>)>>,
        pool: &'a ThreadPool,
        trace: &'a Trace,
    ) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut placed = Vec::with_capacity(models.len());
        for stages in models {
            let mut of_model = Vec::with_capacity(stages.len());
            for (name, stage) in stages {
                let known = names.iter().position(|known| *known == name);
                let device = known.unwrap_or(names.len());
                if known.is_none() {
                    names.push(name);
                }
                of_model.push(DeviceStage { device, stage: Mutex::new(stage) });
            }
            placed.push(of_model);
        }
        let devices = names.iter().map(|_| Mutex::new(())).collect();
        Self { models: placed, devices, pool, trace, lap: Mutex::new(Stopwatch::start()) }
    }

    /// Number of devices that can work at the same time.
    pub(super) fn devices(&self) -> usize {
        self.devices.len()
    }
}

/// Seconds that a batch took.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spent {
    /// Wall time of the run: from the end of the previous piece of work, of whichever batch, to the
    /// end of each of this batch's pieces. Over all batches these add up to the time of the run.
    pub(crate) wall_s: f64,
    /// Seconds in each stage.
    pub(crate) stage_s: Vec<f64>,
}

impl Spent {
    /// Adds the time of work that was done for this batch before it began.
    pub(crate) fn add(&mut self, other: &Self) {
        self.wall_s += other.wall_s;
        let stages = self.stage_s.len().max(other.stage_s.len());
        self.stage_s.resize(stages, 0.0);
        for (spent, other) in self.stage_s.iter_mut().zip(&other.stage_s) {
            *spent += other;
        }
    }
}

/// The stages as one lane uses them for one batch.
pub(crate) struct Road<'a, S: ?Sized, R> {
    stages: &'a Stages<'a, S>,
    pub(crate) group: &'a Group<R>,
    lane: Lane,
    pub(crate) spent: Spent,
}

impl<'a, S: ?Sized + Send, R: Send> Road<'a, S, R> {
    pub(super) fn new(stages: &'a Stages<'a, S>, group: &'a Group<R>, lane: Lane) -> Self {
        Self { stages, group, lane, spent: Spent::default() }
    }

    /// Number of stages in a model.
    pub(crate) fn stages_of(&self, model: usize) -> usize {
        self.stages.models.get(model).map_or(0, Vec::len)
    }

    /// The thread pool for computation.
    pub(crate) fn pool(&self) -> &'a ThreadPool {
        self.stages.pool
    }

    /// Runs work on stage `index` of a model once its device is free.
    pub(crate) fn stage<T: Send, E: Send + Into<RunnerError>>(
        &mut self,
        model: usize,
        index: usize,
        what: &str,
        work: impl FnOnce(&mut S) -> Result<T, E> + Send,
    ) -> Result<T, RunnerError> {
        let of_model = self.stages.models.get(model);
        let Some(DeviceStage { device, stage }) = of_model.and_then(|stages| stages.get(index))
        else {
            return Err(RunnerError::internal(format!("model {model} has no stage {index}")));
        };
        let _serving = held(&self.stages.devices[*device]);
        let mut stage = held(stage);
        let stage: &mut S = &mut stage;
        let name = || format!("stage {index}: {what}");
        let run = || self.stages.pool.install(|| work(stage));
        let (result, took) = self.stages.trace.span(self.lane, name, run);
        self.spent.stage_s.resize(self.stages.models[model].len(), 0.0);
        self.spent.stage_s[index] += took;
        let lap = std::mem::replace(&mut *held(&self.stages.lap), Stopwatch::start());
        self.spent.wall_s += lap.seconds();
        result.map_err(Into::into)
    }

    /// Like [`Road::stage`], with the baseline's reference; waits until that is available.
    pub(crate) fn compare<T: Send, E: Send + Into<RunnerError>>(
        &mut self,
        model: usize,
        index: usize,
        what: &str,
        work: impl FnOnce(&mut S, &R) -> Result<T, E> + Send,
    ) -> Result<T, RunnerError> {
        let missing = || RunnerError::internal("the baseline ended without a reference");
        let group = self.group;
        // Waits before taking a device, because the baseline needs the devices to finish.
        if !group.await_reference() {
            return Err(missing());
        }
        self.stage(model, index, what, |stage| {
            let compared = group.with_reference(|reference| work(stage, reference));
            compared.map_or_else(|| Err(missing()), |result| result.map_err(Into::into))
        })
    }

    /// Runs `work` that needs no stage and shows it on the timeline.
    pub(crate) fn span<T>(&self, name: impl FnOnce() -> String, work: impl FnOnce() -> T) -> T {
        self.stages.trace.span(self.lane, name, work).0
    }
}
