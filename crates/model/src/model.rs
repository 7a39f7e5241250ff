//! A model as a chain of stages.

use std::collections::HashMap;
use std::ops::Range;

use strait_backend::{LoadedOps, Weights};
use strait_cpu::CpuOps;
use strait_ops::Dtype;

use crate::config::ModelConfig;
use crate::decoder::{Decoder, Part};
use crate::device::Device;
use crate::error::ModelError;
use crate::source::{SharedSource, TensorSource};
use crate::stage::Stage;
use crate::tensors::Tensors;

/// A model, cut into stages.
pub struct Model {
    config: ModelConfig,
    dtype: Dtype,
    stages: Vec<Box<dyn Stage>>,
}

impl Model {
    /// Loads a model with a cut after each of the layers `cuts` (counted from 0, ascending), which
    /// gives one more stage than cuts. `devices` has one device for all stages, or one for each.
    ///
    /// # Errors
    /// When the configuration, a tensor, a cut or the number of devices does not fit, or a device
    /// does not compute in `dtype`.
    pub fn load(
        source: &dyn TensorSource,
        cuts: &[usize],
        devices: &[Device],
        dtype: Dtype,
    ) -> Result<Model, ModelError> {
        Model::build(source, None, cuts, devices, dtype)
    }

    /// Like [`Model::load`], but keeps only embedding and head resident: a layer is read each time
    /// it runs and dropped afterwards, so that a model larger than memory can be run. Results are
    /// bit-identical.
    ///
    /// # Errors
    /// As for [`Model::load`]; tensors of layers are checked only when a stage runs.
    pub fn stream(
        source: SharedSource,
        cuts: &[usize],
        devices: &[Device],
        dtype: Dtype,
    ) -> Result<Model, ModelError> {
        Model::build(&*source, Some(&source), cuts, devices, dtype)
    }

    fn build(
        source: &dyn TensorSource,
        streamed: Option<&SharedSource>,
        cuts: &[usize],
        devices: &[Device],
        dtype: Dtype,
    ) -> Result<Model, ModelError> {
        let mut config = ModelConfig::from_json(source.config())?;
        config.tied_head = Tensors::new(source, &config).tied_head()?;
        let ranges = ranges(cuts, config.layers)?;
        if devices.len() != 1 && devices.len() != ranges.len() {
            let found = devices.len();
            return Err(ModelError::DeviceCount { stages: ranges.len(), found });
        }
        if let Some(device) = devices.iter().find(|device| !device.supports(dtype)) {
            return Err(ModelError::DeviceDtype { device: device.to_string(), dtype });
        }
        let weights = if source.any_values() { Weights::Random } else { Weights::Given };
        let mut cpu = None;
        let mut tables = HashMap::new();
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        let count = ranges.len();
        for (index, layers) in ranges.into_iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == count);
            let part = Part { layers, first, last, streamed: streamed.cloned() };
            let device = devices[if devices.len() == 1 { 0 } else { index }];
            let stage: Box<dyn Stage> = match device.backend() {
                None => {
                    let ops = CpuOps::new(&config.shape, dtype);
                    Box::new(Decoder::load(ops, source, &config, dtype, part, &mut cpu)?)
                }
                Some(place) => {
                    let name = device.to_string();
                    let operations =
                        device.library()?.operations(&config.shape, dtype, place, weights, name);
                    let ops = LoadedOps::new(operations.map_err(|reason| device.missing(reason))?);
                    let table = tables.entry(device).or_default();
                    Box::new(Decoder::load(ops, source, &config, dtype, part, table)?)
                }
            };
            stages.push(stage);
        }
        Ok(Model { config, dtype, stages })
    }

    /// The model's description.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The element type in which hidden states cross.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Number of parameters; a tied head counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.config.parameters()
    }

    /// The stages, first to last.
    pub fn stages(&mut self) -> &mut [Box<dyn Stage>] {
        &mut self.stages
    }

    /// Returns the stages, first to last.
    #[must_use]
    pub fn into_stages(self) -> Vec<Box<dyn Stage>> {
        self.stages
    }
}

fn ranges(cuts: &[usize], layers: usize) -> Result<Vec<Range<usize>>, ModelError> {
    if let Some(&cut) = cuts.iter().find(|&&cut| cut >= layers) {
        return Err(ModelError::CutPastEnd { cut, last: layers - 1, layers });
    }
    if !cuts.is_sorted_by(|a, b| a < b) {
        return Err(ModelError::CutOrder { cuts: cuts.to_vec() });
    }
    let starts = std::iter::once(0).chain(cuts.iter().map(|cut| cut + 1));
    let ends = cuts.iter().map(|cut| cut + 1).chain([layers]);
    Ok(starts.zip(ends).map(|(start, end)| start..end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_lie_after_their_layers() {
        assert_eq!(ranges(&[], 4).unwrap(), vec![Range { start: 0, end: 4 }]);
        assert_eq!(ranges(&[0, 2, 3], 4).unwrap(), [0..1, 1..3, 3..4, 4..4]);
    }

    #[test]
    fn bad_cuts_are_refused() {
        let message = ranges(&[1, 4], 4).unwrap_err().to_string();
        assert_eq!(
            message,
            "cut after layer 4: expected a layer from 0 to 3, for the model has 4 layers; \
             lower the cut"
        );
        assert!(matches!(ranges(&[1, 1], 4), Err(ModelError::CutOrder { .. })));
        assert!(matches!(ranges(&[2, 1], 4), Err(ModelError::CutOrder { .. })));
    }
}
