//! `strait fit`: codecs calibrated on messages of another text than the one that is scored.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use strait_data::{TextSource, TokenStream};
use strait_loader::{CodecEntry, MatrixRef};
use strait_model::{Hidden, open_device};
use strait_schema::{CellSpec, Experiment, FitSection};

use crate::convert;
use crate::error::RunnerError;
use crate::folder::bytes_sha256;
use crate::models::OpenModel;
use crate::plan;
use crate::progress::Observer;
use crate::run::{Options, thread_pool};

/// Tokens in a row that no two texts have in common by chance.
const OVERLAP: usize = 64;

/// An artifact that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// Label of the cell.
    pub label: String,
    /// Index of the link.
    pub link: usize,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// SHA-256 (hexadecimal) of its contents.
    pub sha256: String,
}

/// Runs the model over the calibration text, fits every codec that has an artifact, and writes the
/// artifacts. A file that several cells name is made once, with the parameters of the first.
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
    let pool = thread_pool(experiment)?;
    observer.step("open plugins");
    let plugins = plan::plugins(experiment, pool.current_num_threads())?;
    let specs: Vec<CellSpec> =
        experiment.cells()?.into_iter().filter(|spec| spec.artifact.is_some()).collect();
    let codecs = plan::codecs(experiment, &specs, &plugins)?;
    if specs.is_empty() {
        let expected = "a codec with `artifact`, the file that its fit step makes";
        return Err(experiment.value_error("compressor", expected, "none", None).into());
    }
    for (spec, (entry, _)) in specs.iter().zip(&codecs) {
        if !entry.descriptor().fits {
            let key = format!("compressor[{}].codec", spec.compressor);
            let expected = "a codec with a fit step, because there is an `artifact`";
            return Err(experiment.value_error(&key, expected, spec.codec.clone(), None).into());
        }
    }

    observer.step("read model and texts");
    let model = OpenModel::open(experiment, &experiment.model, observer)?;
    let stream = calibration(experiment, section, options, &model, observer)?;

    observer.step("load the model");
    let partition = experiment.partition(model.config.layers)?;
    let devices = partition.devices.iter().map(|device| open_device(device));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let mut loaded = pool.install(|| model.load(&partition.cuts, &devices))?;
    observer.step("collect messages");
    let mut messages: Vec<Vec<Hidden>> = vec![Vec::new(); partition.links.len()];
    for tokens in stream.tokens.chunks(plan::protocol(experiment).window) {
        let mut hidden: Option<Hidden> = None;
        for (stage, messages) in loaded.stages().iter_mut().zip(&mut messages) {
            let next = pool.install(|| match hidden.take() {
                None => stage.embed(tokens, 1),
                Some(hidden) => stage.forward(hidden),
            })?;
            messages.push(next.clone());
            hidden = Some(next);
        }
    }
    let mut fitted = Vec::new();
    for (spec, (entry, params)) in specs.iter().zip(&codecs) {
        let links: Vec<usize> = match &spec.links {
            Some(links) => links.clone(),
            None => (0..partition.links.len()).collect(),
        };
        let of = |link: usize| spec.artifact_of(link).map(|path| experiment.resolve(&path));
        let shared = links.len() > 1 && of(links[0]) == of(links[1]);
        let groups: Vec<Vec<usize>> =
            if shared { vec![links] } else { links.into_iter().map(|link| vec![link]).collect() };
        for group in groups {
            let Some(path) = of(group[0]) else { continue };
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

/// The table `[fit]`.
pub(crate) fn section(experiment: &Experiment) -> Result<&FitSection, RunnerError> {
    experiment.fit.as_ref().ok_or_else(|| {
        let expected = "a table [fit] with the text to calibrate with";
        experiment.value_error("fit", expected, "no such table", None).into()
    })
}

/// Tokens of the text to calibrate with, which has no passage of the scored one.
pub(crate) fn calibration(
    experiment: &Experiment,
    section: &FitSection,
    options: &Options<'_>,
    model: &OpenModel,
    observer: &mut dyn Observer,
) -> Result<TokenStream, RunnerError> {
    let protocol = plan::protocol(experiment);
    let scored = plan::text(experiment, &protocol, &options.assets, observer)?;
    let scored = model.tokenize(&protocol, &scored)?;
    let source = TextSource {
        source: section.source.clone(),
        split: section.split.clone(),
        join: Some(protocol.preset.join_for(&section.source)),
        sample_idx: None,
        max_documents: section.max_documents,
        key: section.key.clone(),
    };
    let text = plan::load_text(experiment, &source, &options.assets, observer)?;
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

/// Writes a file in one step, so that a killed run leaves no half of it.
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

/// The first position of `calibration` from which on [`OVERLAP`] tokens are in `scored`.
fn overlap(calibration: &TokenStream, scored: &TokenStream) -> Option<usize> {
    let length = OVERLAP.min(calibration.tokens.len());
    let known: HashSet<&[u32]> = scored.tokens.windows(length.max(1)).collect();
    calibration.tokens.windows(length.max(1)).position(|passage| known.contains(passage))
}
