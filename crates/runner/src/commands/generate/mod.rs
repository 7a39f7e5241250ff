//! Generates text from a model: prefills the context in one run, applies the press and codecs of a cell to its
//! cache, then decodes token by token on the compact cache.

mod sample;
mod sequence;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use strait_data::{TextStream, Tokenizer};
use strait_model::{ModelConfig, Stage};
use strait_schema::{BASELINE_LABEL, Experiment};

pub(crate) use self::sample::Sampler;
pub use self::sample::Sampling;
pub(crate) use self::sequence::{Sequence, plan_of_baseline};
use crate::clock::Stopwatch;
use crate::error::RunnerError;
use crate::memory::{peak_bytes, reserved_bytes};
use crate::plan::caches;
use crate::progress::Observer;
use crate::ways::caches::{CachePlan, Model};
use crate::workbench::Workbench;

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerateOptions<'a> {
    /// A cell of `[[cache]]`; the uncompressed cache if `None`.
    pub cell: Option<String>,
    /// The text to continue.
    pub prompt: String,
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// Fewest tokens to generate: tokens that end a text are not chosen before that.
    pub min_new_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// With `Some(n)`, the cell compresses again whenever `n` more tokens are cached.
    pub interval: Option<usize>,
    /// Set to stop after the current token.
    pub stop: &'a AtomicBool,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The model ended the text.
    Text,
    /// The requested number of tokens was reached.
    Length,
    /// The model has no more positions.
    Positions,
    /// The generation was stopped from outside.
    Stopped,
}

/// The result of a generation: the text, its tokens, and what they cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The new text, without the prompt.
    pub text: String,
    /// The new tokens, including the one that ended the text.
    pub tokens: Vec<u32>,
    /// Number of tokens in the prompt.
    pub prompt_tokens: usize,
    /// Why the generation ended.
    pub ended: Ended,
    /// Seconds spent on the prompt, including the compression of its cache.
    pub prefill_s: f64,
    /// Seconds from the start of the prompt to the first token.
    pub first_token_s: f64,
    /// Seconds spent on all tokens after the first.
    pub decode_s: f64,
    /// Bytes of the prompt's keys and values as stored.
    pub cache_bytes: u64,
    /// Bytes of an uncompressed cache of the prompt in the model's dtype.
    pub cache_raw_bytes: u64,
    /// Peak memory of this process in bytes, including the model and its loading; `None` if the system does not
    /// report it.
    pub peak_bytes: Option<u64>,
    /// Bytes of memory that the devices have allocated from their drivers at the end; `None` if the model lives
    /// in the process's memory.
    pub device_bytes: Option<u64>,
    /// Where the model ran.
    pub device: String,
}

/// Generates text with the first model of an experiment and passes it to `show` piece by piece; `show` returns
/// whether to continue.
///
/// # Errors
/// When the experiment, the cell or the prompt is wrong, or a press, a codec or the machine fails.
pub fn generate(
    experiment: &Experiment,
    options: &GenerateOptions<'_>,
    observer: &mut dyn Observer,
    show: &mut (dyn FnMut(&str) -> bool + Send),
) -> Result<Generated, RunnerError> {
    // Generation needs no text of the experiment, so it needs no folder of data sets.
    let bench = Workbench::new(experiment, Path::new(""))?;
    let found = find_cell(&bench, options.cell.as_deref(), observer)?;
    observer.step("read the model");
    let model = bench.reference(observer)?;
    let cell = match found {
        None => None,
        Some(found) => {
            found.check(experiment, &model.config)?;
            Some(found.plan(experiment, &model.config, None))
        }
    };
    let tokenizer = model.tokenizer()?;
    let prompt = tokenizer.encode(&options.prompt)?;
    let room = room(&model.config, prompt.len())?;
    let (partition, devices) = bench.devices(&model.config)?;
    observer.step("load the model");
    let mut loaded = bench.load(&model, &partition.cuts, &devices)?;
    observer.end();
    let mut names: Vec<String> = loaded.stages().iter().map(|stage| stage.device()).collect();
    names.dedup();
    let kv_model = Model { config: &model.config, dtype: experiment.model.dtype };
    let work = Work {
        model: &kv_model,
        tokenizer: &tokenizer,
        ends: &model.end_tokens(),
        prompt: &prompt,
        room,
        options,
    };
    let stages = loaded.stages();
    let generated = bench.pool().install(|| work.run(stages, cell.as_ref(), show))?;
    let device_bytes = reserved_bytes(loaded.stages());
    Ok(Generated { device: names.join(", "), peak_bytes: peak_bytes(), device_bytes, ..generated })
}

/// The cell with this label; `None` for the baseline.
fn find_cell(
    bench: &Workbench<'_>,
    label: Option<&str>,
    observer: &mut dyn Observer,
) -> Result<Option<caches::FoundCache>, RunnerError> {
    let experiment = bench.experiment;
    let baseline = experiment.baseline_label();
    let Some(label) = label.filter(|&label| label != baseline && label != BASELINE_LABEL) else {
        return Ok(None);
    };
    let specs = experiment.caches()?;
    let mut known = vec![format!("{baseline:?}")];
    known.extend(specs.iter().map(|spec| format!("{:?}", spec.label)));
    let Some(spec) = specs.into_iter().find(|spec| spec.label == label) else {
        let link = experiment.cells()?.iter().any(|spec| spec.label == label);
        return Err(RunnerError::UnknownCell { found: label.to_owned(), known, link });
    };
    observer.step("open plugins");
    let plugins = bench.plugins()?;
    Ok(caches::find(experiment, vec![spec], &plugins)?.pop())
}

/// The number of new tokens for which the model has positions.
fn room(config: &ModelConfig, prompt: usize) -> Result<usize, RunnerError> {
    if prompt == 0 {
        return Err(RunnerError::EmptyPrompt);
    }
    // The last new token is not fed back into the model, so it needs no position.
    let Some(positions) = config.positions else { return Ok(usize::MAX) };
    if prompt > positions {
        Err(RunnerError::TooLong { tokens: prompt, positions, most: positions })
    } else {
        Ok(positions - prompt + 1)
    }
}

/// Everything that is known before the first token.
struct Work<'a> {
    model: &'a Model<'a>,
    tokenizer: &'a Tokenizer,
    ends: &'a [u32],
    prompt: &'a [u32],
    /// Most new tokens that fit.
    room: usize,
    options: &'a GenerateOptions<'a>,
}

impl Work<'_> {
    fn run(
        &self,
        stages: &mut [Box<dyn Stage>],
        cell: Option<&CachePlan>,
        show: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Generated, RunnerError> {
        let Work { model, prompt, options, .. } = *self;
        let mut sampler = Sampler::new(options.sampling);
        let mut text = TextStream::new(self.tokenizer, prompt);
        let baseline = plan_of_baseline(model);
        let plan = cell.or(baseline.as_ref());
        let mut sequence = Sequence::new(stages, model, plan, options.interval.is_some())?;
        let watch = Stopwatch::start();
        let mut logits = sequence.extend(prompt, plan.is_some())?;
        let prefill_s = watch.seconds();
        let cache = sequence.bytes();
        if options.interval.is_none() {
            sequence.settle();
        }
        let (mut tokens, mut written) = (Vec::new(), String::new());
        let most = options.max_new_tokens.min(self.room);
        let mut first_token_s = watch.seconds();
        let ended = loop {
            if tokens.len() >= most {
                let length = tokens.len() >= options.max_new_tokens;
                break if length { Ended::Length } else { Ended::Positions };
            }
            if options.stop.load(Ordering::Relaxed) {
                break Ended::Stopped;
            }
            if tokens.len() < options.min_new_tokens {
                never(&mut logits, self.ends);
            }
            let token = sampler.choose(&logits);
            if tokens.is_empty() {
                first_token_s = watch.seconds();
            }
            tokens.push(token);
            if self.ends.contains(&token) {
                break Ended::Text;
            }
            let piece = text.push(token)?;
            written.push_str(&piece);
            if !piece.is_empty() && !show(&piece) {
                break Ended::Stopped;
            }
            if tokens.len() < most {
                let again =
                    options.interval.is_some_and(|every| tokens.len().is_multiple_of(every));
                logits = sequence.extend(&[token], again)?;
            }
        };
        let decode_s = watch.seconds() - first_token_s;
        let rest = text.finish()?;
        if !rest.is_empty() {
            written.push_str(&rest);
            show(&rest);
        }
        Ok(Generated {
            text: written,
            tokens,
            prompt_tokens: prompt.len(),
            ended,
            prefill_s,
            first_token_s,
            decode_s,
            cache_bytes: cache.stored,
            cache_raw_bytes: cache.raw,
            peak_bytes: None,
            device_bytes: None,
            device: String::new(),
        })
    }
}

/// Prevents tokens from being chosen.
pub(crate) fn never(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}
