//! Quantized safetensors checkpoints, in which several stored tensors form one dense weight.
//!
//! [`arrange`] decides once, from the configuration and from the names, types and shapes of the stored tensors,
//! which of them belong to which weight; [`config`] reads the configuration. Each format is one file with a
//! function from a module's stored tensors to a [`Plan`]. A plan's [`Layout`] reads scales and zero points when
//! values are requested. The rest is the same for all formats: codes to values ([`codes`]), then scales
//! ([`grid`]), with rows in parallel.

mod affine;
mod aqlm;
mod awq;
mod bitnet;
mod bitsandbytes;
mod block_fp8;
mod cast;
mod codes;
mod compressed_tensors;
mod config;
mod fbgemm;
mod fold;
mod gptq;
mod grid;
mod harmless;
mod hqq;
mod mlx;
mod modelopt;
mod mxfp4;
mod numbers;
mod parts;
mod quanto;
mod quark;
mod scheme;
mod tables;
mod targets;
mod torchao;
mod vptq;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde_json::Value;

use codes::Codes;
use fold::Fold;
use grid::Grid;
use parts::{Module, Reader};
use scheme::Configured;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::tensor::{DenseTensor, StoredTensor, TensorInfo};
use crate::unread::Unread;

pub(crate) use bitsandbytes::ONE_127TH;
pub(crate) use config::{BESIDE, may_be_beside, read_beside as read_config_beside};
pub(crate) use tables::{FP4, NF4};

/// Fewest values per task, so that small rows are not dominated by scheduling.
const VALUES_PER_TASK: usize = 1 << 15;

/// What a checkpoint's tensors amount to.
#[derive(Default)]
pub(crate) struct Arranged {
    /// The tensors that callers can request, in file order.
    pub(crate) entries: Vec<Entry>,
    /// Keys of the quantization configuration that nothing read.
    pub(crate) unread: Vec<Unread>,
    /// What the checkpoint quantizes besides weights, none of which is simulated.
    pub(crate) weights_only: Vec<String>,
}

/// A tensor of the checkpoint as callers see it.
#[allow(private_interfaces, reason = "what is folded is no matter of callers")]
pub(crate) enum Entry {
    /// A tensor that is stored as it is requested.
    Plain(StoredTensor),
    /// A weight formed from several stored tensors.
    Quantized(QuantizedTensor),
    /// One of the others, with the transform that the model applies to its inputs.
    Folded(Box<Entry>, Fold),
}

impl Entry {
    pub(crate) fn info(&self) -> &TensorInfo {
        match self {
            Self::Plain(tensor) => &tensor.info,
            Self::Quantized(tensor) => &tensor.info,
            Self::Folded(entry, _) => entry.info(),
        }
    }

    /// Reads the values; `path` is the checkpoint's, for messages.
    pub(crate) fn dense(
        &self,
        files: &[FileBytes],
        path: &Path,
    ) -> Result<DenseTensor, WeightsError> {
        match self {
            Self::Plain(tensor) => tensor.dense(&files[tensor.file], path),
            Self::Quantized(tensor) => tensor.dense(files, path),
            Self::Folded(entry, fold) => {
                let mut tensor = entry.dense(files, path)?;
                fold.apply(Reader { path, files }, &mut tensor)?;
                Ok(tensor)
            }
        }
    }
}

/// A dense weight formed from several stored tensors.
pub(crate) struct QuantizedTensor {
    info: TensorInfo,
    layout: Box<dyn Layout>,
}

/// How one weight is stored: its parts, checked against each other as far as shapes and types go.
trait Layout: Send + Sync {
    /// Reads scales and zero points and checks their values.
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError>;

    /// Whether callers get every matrix with its axes exchanged.
    fn turned(&self) -> bool {
        false
    }
}

/// A format's plan for a module.
struct Plan {
    /// The name that `strait inspect` shows, for example `gptq int4 g128`.
    format: String,
    /// Row-major shape; the last axis spans a row.
    shape: Vec<usize>,
    layout: Box<dyn Layout>,
}

impl QuantizedTensor {
    fn dense(&self, files: &[FileBytes], path: &Path) -> Result<DenseTensor, WeightsError> {
        let shape = self.info.shape.clone();
        let turned = self.layout.turned();
        let [inner, columns] = match shape[..] {
            [.., columns, rows] if turned => [rows, columns],
            [.., columns] => [1, columns],
            [] => [1, 1],
        };
        let mut data = vec![0.0f32; shape.iter().product()];
        let (codes, grid) = self.layout.open(Reader { path, files })?;
        if !data.is_empty() {
            let together = codes.rows_together();
            let rows = VALUES_PER_TASK.div_ceil(columns).next_multiple_of(together);
            data.par_chunks_mut(rows * columns).enumerate().for_each(|(task, out)| {
                for (step, out) in out.chunks_mut(together * columns).enumerate() {
                    let first = task * rows + step * together;
                    codes.read(first, columns, out);
                    grid.apply(first, columns, out);
                }
            });
            if turned {
                data.par_chunks_mut(inner * columns).for_each(|matrix| {
                    matrix.copy_from_slice(&grid::transposed(matrix, inner, columns));
                });
            }
        }
        Ok(DenseTensor { shape, data })
    }
}

/// Turns stored tensors into those that callers request, in file order. `path` is the checkpoint's, for
/// messages.
///
/// # Errors
/// The configuration is not understood, or a weight's parts are missing or inconsistent.
pub(crate) fn arrange(
    path: &Path,
    config: &Value,
    files: &[FileBytes],
    tensors: Vec<StoredTensor>,
) -> Result<Arranged, WeightsError> {
    let Configured { scheme, unread, mut weights_only } = scheme::read(path, config, &tensors)?;
    let split = scheme.split();
    let mut modules: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    for (index, tensor) in tensors.iter().enumerate() {
        if let Some((module, part)) = split(&tensor.info.name) {
            modules.entry(module).or_default().push((part, index));
        }
    }
    // The dense weight takes the position of the first of its parts.
    let mut planned: BTreeMap<usize, Vec<QuantizedTensor>> = BTreeMap::new();
    let mut folds: BTreeMap<usize, Fold> = BTreeMap::new();
    let mut absorbed = vec![false; tensors.len()];
    for (name, members) in modules {
        let module = Module {
            path,
            name,
            suffix: scheme.suffix(),
            tensors: members.iter().map(|&(part, index)| (part, &tensors[index])).collect(),
            files,
            taken: members.iter().map(|_| Cell::new(false)).collect(),
        };
        let plans = scheme.plans(&module)?;
        let fold = scheme.fold(&module, !plans.is_empty())?;
        if plans.is_empty() {
            let weight = members.iter().find(|(part, _)| *part == "weight");
            if let (Some(fold), Some(&(_, index))) = (fold, weight)
                && tensors[index].info.shape.len() == 2
            {
                fold.check(&module, &tensors[index].info.shape)?;
                folds.insert(index, fold);
            }
            continue;
        }
        let taken: Vec<usize> = members
            .iter()
            .zip(&module.taken)
            .filter(|(_, taken)| taken.get())
            .map(|(&(_, index), _)| index)
            .collect();
        let stored = taken.iter().map(|&index| tensors[index].info.stored_bytes).sum::<u64>();
        let share = stored / plans.len() as u64;
        let Some(&first) = taken.first() else { continue };
        taken.iter().for_each(|&index| absorbed[index] = true);
        for (name, Plan { format, mut shape, layout }) in plans {
            if let Some(fold) = &fold {
                fold.check(&module, &shape)?;
            }
            if let ([.., rows, columns], true) = (&mut shape[..], layout.turned()) {
                std::mem::swap(rows, columns);
            }
            let values = shape.iter().product::<usize>() as u64;
            let info = TensorInfo { name, values, shape, format, stored_bytes: share };
            planned.entry(first).or_default().push(QuantizedTensor { info, layout });
        }
        folds.extend(fold.map(|fold| (first, fold)));
    }
    let mut entries = Vec::with_capacity(tensors.len());
    for (index, tensor) in tensors.into_iter().enumerate() {
        let here = match planned.remove(&index) {
            Some(weights) => weights.into_iter().map(Entry::Quantized).collect(),
            None if absorbed[index] => continue,
            None => vec![stored_as_is(tensor)],
        };
        match folds.remove(&index) {
            // Only modules of one weight have a fold.
            Some(fold) => {
                entries.extend(
                    here.into_iter().next().map(|entry| Entry::Folded(Box::new(entry), fold)),
                );
            }
            None => entries.extend(here),
        }
    }
    unique(path, &entries)?;
    if entries.iter().any(|entry| entry.info().format == bitsandbytes::INT8) {
        weights_only.push("input activations int8".to_owned());
    }
    Ok(Arranged { entries, unread, weights_only })
}

/// The entry of a tensor that is no part of a quantized weight.
fn stored_as_is(tensor: StoredTensor) -> Entry {
    match cast::layout(&tensor) {
        Some(layout) => {
            Entry::Quantized(QuantizedTensor { info: tensor.info, layout: Box::new(layout) })
        }
        None => Entry::Plain(tensor),
    }
}

/// Module and part of a stored tensor's name; bitsandbytes adds parts below `weight`.
fn split(name: &str) -> Option<(&str, &str)> {
    let at = match name.find(".weight.") {
        Some(at) => at,
        None => name.rfind('.')?,
    };
    Some((&name[..at], &name[at + 1..]))
}

/// Checks that no dense name comes from both a quantized weight and a stored tensor.
fn unique(path: &Path, entries: &[Entry]) -> Result<(), WeightsError> {
    let mut names = std::collections::HashSet::new();
    for entry in entries {
        let name = &entry.info().name;
        if !names.insert(name) {
            return Err(WeightsError::QuantizedPart {
                path: path.to_path_buf(),
                tensor: name.clone(),
                expected: "either a dense tensor of this name or the parts of a quantized one"
                    .to_owned(),
                found: "both".to_owned(),
                hint: parts::EXPORT_AGAIN,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_module_and_part() {
        assert_eq!(split("a.q_proj.weight_packed"), Some(("a.q_proj", "weight_packed")));
        assert_eq!(split("a.q_proj.weight.absmax"), Some(("a.q_proj", "weight.absmax")));
        let state = "a.weight.quant_state.bitsandbytes__nf4";
        assert_eq!(split(state), Some(("a", "weight.quant_state.bitsandbytes__nf4")));
        assert_eq!(split("weight"), None);
    }
}
