//! `strait fit`: calibrates codecs on messages from a text other than the scored one.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use strait_data::{TextSource, TokenStream, join_of};
use strait_loader::{CodecEntry, MatrixRef};
use strait_model::{Hidden, ModelError, RunInput, Stage};
use strait_schema::{CellSpec, Experiment, FitSection};

use super::run::Options;
use crate::book::folder::bytes_sha256;
use crate::convert;
use crate::error::RunnerError;
use crate::plan::OpenModel;
use crate::plan::links::{Resolved, codecs};
use crate::progress::Observer;
use crate::workbench::Workbench;

/// Length of a run of tokens that two texts do not share by chance.
const OVERLAP: usize = 64;

/// An artifact that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// Label of the cell.
    pub label: String,
    /// Index of the link.
    pub link: usize,
    /// Path of the artifact.
    pub path: PathBuf,
    /// Size of the artifact in bytes.
    pub bytes: usize,
    /// SHA-256 (hexadecimal) of its contents.
    pub sha256: String,
}

/// Runs the model over the calibration text, fits every codec that has an artifact, and writes the
/// artifacts. A file that several cells name is written once, with the parameters of the first.
///
/// # Errors
/// When there is no `[fit]`, no codec to fit, the calibration text shares a passage with the scored
/// one, or the input or the machine fails.
pub fn fit(
    experiment: &Experiment,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Vec<Fitted>, RunnerError> {
    let section = section(experiment)?;
    let bench = Workbench::new(experiment, &options.assets)?;
    observer.step("open plugins");
    let plugins = bench.plugins()?;
    let specs: Vec<CellSpec> =
        experiment.cells()?.into_iter().filter(|spec| spec.artifact.is_some()).collect();
    let codecs = codecs(experiment, &specs, &plugins)?;
    check(experiment, &specs, &codecs)?;

    observer.step("read model and texts");
    let model = bench.reference(observer)?;
    let stream = calibration(&bench, section, &model, observer)?;

    observer.step("load the model");
    let (partition, devices) = bench.devices(&model.config)?;
    let mut loaded = bench.load(&model, &partition.cuts, &devices)?;
    observer.step("collect messages");
    let mut messages: Vec<Vec<Hidden>> = vec![Vec::new(); partition.links.len()];
    for tokens in stream.tokens.chunks(bench.protocol().window) {
        let stages = loaded.stages();
        bench.pool().install(|| collect(stages, tokens, &mut messages))?;
    }
    let mut fitted = Vec::new();
    for (spec, (entry, params)) in specs.iter().zip(&codecs) {
        for group in groups(experiment, spec, partition.links.len()) {
            let Some(path) = artifact(experiment, spec, group[0]) else { continue };
            if fitted.iter().any(|made: &Fitted| made.path == path) {
                continue;
            }
            observer.step(&format!("fit {}, link {}", spec.label, group[0]));
            let samples = group.iter().flat_map(|&link| &messages[link]);
            let bytes = fit_one(entry, params, samples)?;
            write(&path, &bytes)?;
            let sha256 = bytes_sha256(&bytes);
            let (label, bytes) = (spec.label.clone(), bytes.len());
            fitted.push(Fitted { label, link: group[0], path, bytes, sha256 });
        }
    }
    observer.end();
    Ok(fitted)
}

/// Checks that there are codecs to fit.
fn check(
    experiment: &Experiment,
    specs: &[CellSpec],
    codecs: &[Resolved],
) -> Result<(), RunnerError> {
    if specs.is_empty() {
        let expected = "a codec with `artifact`, the file that its fit step makes";
        return Err(experiment.value_error("compressor", expected, "none", None).into());
    }
    for (spec, (entry, _)) in specs.iter().zip(codecs) {
        if !entry.descriptor().fits {
            let key = format!("compressor[{}].codec", spec.compressor);
            let expected = "a codec with a fit step, because there is an `artifact`";
            return Err(experiment.value_error(&key, expected, spec.codec.clone(), None).into());
        }
    }
    Ok(())
}

/// Adds to each link's messages what crosses it for these tokens, in the uncompressed model.
fn collect(
    stages: &mut [Box<dyn Stage>],
    tokens: &[u32],
    messages: &mut [Vec<Hidden>],
) -> Result<(), ModelError> {
    let mut before: Option<&Hidden> = None;
    // The last stage sends nothing, so it has no messages here.
    for (stage, messages) in stages.iter_mut().zip(messages) {
        let input = match before {
            None => RunInput::Tokens { tokens, batch: 1 },
            Some(states) => RunInput::Hidden(states),
        };
        messages.push(stage.run(input, None)?);
        before = messages.last();
    }
    Ok(())
}

/// The links for which a cell's codec is fitted together: all of them if they share an artifact,
/// otherwise each separately.
fn groups(experiment: &Experiment, spec: &CellSpec, all: usize) -> Vec<Vec<usize>> {
    let links = spec.links.clone().unwrap_or_else(|| (0..all).collect());
    let of = |link: usize| artifact(experiment, spec, link);
    if links.len() > 1 && of(links[0]) == of(links[1]) {
        vec![links]
    } else {
        links.into_iter().map(|link| vec![link]).collect()
    }
}

fn artifact(experiment: &Experiment, spec: &CellSpec, link: usize) -> Option<PathBuf> {
    spec.artifact_of(link).map(|path| experiment.resolve(&path))
}

/// The table `[fit]`.
pub(crate) fn section(experiment: &Experiment) -> Result<&FitSection, RunnerError> {
    experiment.fit.as_ref().ok_or_else(|| {
        let expected = "a table [fit] with the text to calibrate with";
        experiment.value_error("fit", expected, "no such table", None).into()
    })
}

/// The tokens of the calibration text, which must share no passage with the scored one.
pub(crate) fn calibration(
    bench: &Workbench<'_>,
    section: &FitSection,
    model: &OpenModel,
    observer: &mut dyn Observer,
) -> Result<TokenStream, RunnerError> {
    let experiment = bench.experiment;
    let protocol = bench.protocol();
    let (_, scored) = bench.stream(model, &protocol, observer)?;
    let source = TextSource {
        source: section.source.clone(),
        split: section.split.clone(),
        join: Some(join_of(protocol.preset, &section.source)),
        sample_idx: None,
        max_documents: section.max_documents,
        key: section.key.clone(),
    };
    let text = bench.text_of(&source, observer)?;
    let whole = strait_data::Protocol { first_k_tokens: Some(section.tokens), ..protocol };
    let stream = model.tokenize(&whole, &text)?;
    if let Some(position) = overlap(&stream, &scored) {
        let expected = "a text that is not scored";
        let found = format!(
            "{:?}, whose {OVERLAP} tokens from {position} on are in {:?} too",
            section.source, experiment.data.source
        );
        return Err(experiment.value_error("fit.source", expected, found, None).into());
    }
    Ok(stream)
}

fn fit_one<'a>(
    entry: &CodecEntry,
    params: &serde_json::Map<String, serde_json::Value>,
    samples: impl Iterator<Item = &'a Hidden>,
) -> Result<Vec<u8>, RunnerError> {
    let samples: Vec<MatrixRef<'_>> = samples
        .map(|hidden| MatrixRef {
            rows: hidden.tokens,
            channels: hidden.channels,
            dtype: convert::loader_dtype(hidden.dtype),
            bytes: hidden.sequence(0),
            side: &[],
        })
        .collect();
    Ok(entry.fit(params, &samples)?)
}

/// Writes a file atomically, so that a killed run leaves no partial file.
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<(), RunnerError> {
    let io =
        |what: &'static str| move |source| RunnerError::Io { what, path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io("create the folder of"))?;
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes).map_err(io("write the artifact"))?;
    fs::rename(&partial, path).map_err(io("write the artifact"))
}

/// The first position of `calibration` at which [`OVERLAP`] tokens in a row also occur in `scored`.
fn overlap(calibration: &TokenStream, scored: &TokenStream) -> Option<usize> {
    let length = OVERLAP.min(calibration.tokens.len());
    let known: HashSet<&[u32]> = scored.tokens.windows(length.max(1)).collect();
    calibration.tokens.windows(length.max(1)).position(|passage| known.contains(passage))
}
