//! What every command opens before it works: threads, plugins, the model, its text, and devices.

use std::path::Path;

use rayon::ThreadPool;
use strait_data::{Protocol, Text, TextSource, TokenStream, join_of};
use strait_hub::Hub;
use strait_loader::{HostServices, PluginSet};
use strait_model::{Device, Model, ModelConfig, open_device};
use strait_schema::{Experiment, MaxWindows, ModelSection, Partition};

use crate::error::RunnerError;
use crate::plan::OpenModel;
use crate::progress::Progress;

/// An experiment with the threads it asks for. Everything else is opened when a command needs it.
pub(crate) struct Workbench<'a> {
    pub(crate) experiment: &'a Experiment,
    /// The folder of the named data sets.
    assets: &'a Path,
    pool: ThreadPool,
}

impl<'a> Workbench<'a> {
    /// Starts the threads.
    pub(crate) fn new(experiment: &'a Experiment, assets: &'a Path) -> Result<Self, RunnerError> {
        let mut pool = rayon::ThreadPoolBuilder::new();
        if let Some(threads) = experiment.run.threads {
            pool = pool.num_threads(threads);
        }
        Ok(Self { experiment, assets, pool: pool.build().map_err(RunnerError::internal)? })
    }

    /// The threads that compute.
    pub(crate) fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// The plugins of the experiment's folder.
    pub(crate) fn plugins(&self) -> Result<PluginSet, RunnerError> {
        let section = &self.experiment.plugins;
        let dir = self.experiment.resolve(&section.dir);
        let services = HostServices { threads: self.pool.current_num_threads() };
        let plugins = PluginSet::scan(&dir, &section.pin, services)?;
        for (path, error) in plugins.failures() {
            log::warn!("{} was left out: {error}", path.display());
        }
        Ok(plugins)
    }

    /// One of the experiment's models, not loaded yet.
    pub(crate) fn model(
        &self,
        section: &ModelSection,
        progress: &mut dyn Progress,
    ) -> Result<OpenModel, RunnerError> {
        OpenModel::open(self.experiment, section, progress)
    }

    /// The first of the experiment's models.
    pub(crate) fn reference(&self, progress: &mut dyn Progress) -> Result<OpenModel, RunnerError> {
        self.model(&self.experiment.model, progress)
    }

    /// Where a model of this shape is cut, and the devices of its stages.
    pub(crate) fn devices(
        &self,
        config: &ModelConfig,
    ) -> Result<(Partition, Vec<Device>), RunnerError> {
        let partition = self.experiment.partition(config.layers)?;
        let devices = partition.devices.iter().map(|device| open_device(device));
        let devices = devices.collect::<Result<_, _>>()?;
        Ok((partition, devices))
    }

    /// Brings a model to its devices, on the threads that compute.
    pub(crate) fn load(
        &self,
        model: &OpenModel,
        cuts: &[usize],
        devices: &[Device],
    ) -> Result<Model, RunnerError> {
        Ok(self.pool.install(|| model.load(cuts, devices))?)
    }

    /// How the text is cut into windows.
    pub(crate) fn protocol(&self) -> Protocol {
        let (section, data) = (&self.experiment.protocol, &self.experiment.data);
        let preset = section.preset;
        let mut protocol = Protocol::new(preset, section.window, section.stride);
        protocol.context = section.context.or(protocol.context);
        protocol.max_windows = match section.max_windows {
            None => protocol.max_windows,
            Some(MaxWindows::All) => None,
            Some(MaxWindows::Count(count)) => Some(count),
        };
        protocol.bos = section.bos.unwrap_or(protocol.bos);
        protocol.first_k_tokens = data.first_k_tokens.or(protocol.first_k_tokens);
        protocol
    }

    /// The text that is scored.
    pub(crate) fn text(
        &self,
        protocol: &Protocol,
        progress: &mut dyn Progress,
    ) -> Result<Text, RunnerError> {
        let section = &self.experiment.data;
        let join = match section.join {
            Some(join) => join,
            None => join_of(protocol.preset, &section.source),
        };
        let source = TextSource {
            source: section.source.clone(),
            split: section.split.clone(),
            join: Some(join),
            sample_idx: section.sample_idx,
            max_documents: section.max_documents,
            key: section.key.clone(),
        };
        self.text_of(&source, progress)
    }

    /// The text of any source.
    pub(crate) fn text_of(
        &self,
        source: &TextSource,
        progress: &mut dyn Progress,
    ) -> Result<Text, RunnerError> {
        let base = self.experiment.base_dir(&source.source);
        let hub = Hub::from_environment(|name| std::env::var(name).ok());
        Ok(strait_data::load_with(source, &base, self.assets, &hub, progress)?)
    }

    /// The text that is scored, in a model's tokens.
    pub(crate) fn stream(
        &self,
        model: &OpenModel,
        protocol: &Protocol,
        progress: &mut dyn Progress,
    ) -> Result<(Text, TokenStream), RunnerError> {
        let text = self.text(protocol, progress)?;
        let stream = model.tokenize(protocol, &text)?;
        Ok((text, stream))
    }
}
