//! `strait generate`: text from a model, with the cache compressed or not.

#![allow(clippy::print_stderr, reason = "the text goes to standard output, what it cost does not")]

use std::fs;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{HumanBytes, MultiProgress};
use serde_json::json;
use strait_loader::Guard;
use strait_report::verbatim;
use strait_runner::{Ended, GenerateOptions, Generated, Sampling};
use strait_schema::{Dtype, Experiment};

use crate::commands::run::{INTERRUPTED, install_interrupt};
use crate::live::Live;
use crate::output::say;

/// What generates, from what, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// An experiment file (TOML) with the model, and the cells for --cell.
    #[arg(conflicts_with = "model")]
    experiment: Option<PathBuf>,
    /// A model without an experiment: a directory, a .gguf file, or `hf:owner/name@revision`.
    #[arg(short, long, value_name = "SOURCE")]
    model: Option<String>,
    /// Compress the KV cache as this cell of the experiment's `[[cache]]` does.
    #[arg(long, value_name = "LABEL", conflicts_with = "model")]
    cell: Option<String>,
    /// The text to go on from; behind that of --context, if both are there.
    #[arg(short, long, value_name = "TEXT", required_unless_present = "context")]
    prompt: Option<String>,
    /// Go on from the text of this file; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// Most tokens to generate.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    max_new_tokens: usize,
    /// Do not end before so many.
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_new_tokens: usize,
    /// Draw tokens at random, from logits divided by this; 0 takes the most likely one.
    #[arg(short, long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Draw from this many of the most likely tokens.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the most likely tokens that have this probability together.
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Draw the same tokens every time this seed is given.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Let the cell compress again whenever so many more tokens are cached.
    #[arg(long, value_name = "N", requires = "cell")]
    interval: Option<usize>,
    /// Run on this device: auto, cpu or cuda:N.
    #[arg(long)]
    device: Option<String>,
    /// Compute in this type.
    #[arg(long, value_parser = dtypes())]
    dtype: Option<Dtype>,
    /// Look for plugins here instead of in the file's folder.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Print one JSON object at the end instead of the text.
    #[arg(long)]
    json: bool,
}

/// The element types by name.
fn dtypes() -> impl TypedValueParser<Value = Dtype> {
    let names = Dtype::ALL.iter().map(|dtype| dtype.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Dtype>())
}

/// Generates and says what it cost.
pub(crate) fn run(
    arguments: &Arguments,
    screen: MultiProgress,
    guard: &Guard,
) -> anyhow::Result<ExitCode> {
    check(arguments)?;
    let experiment = experiment(arguments)?;
    let stop = Arc::new(AtomicBool::new(false));
    let message = "stopping after the token at work; press Ctrl-C again to stop at once";
    install_interrupt(Arc::clone(&stop), screen.clone(), message)?;
    let options = GenerateOptions {
        cell: arguments.cell.clone(),
        prompt: prompt(arguments)?,
        max_new_tokens: arguments.max_new_tokens,
        min_new_tokens: arguments.min_new_tokens,
        sampling: Sampling {
            temperature: arguments.temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
            seed: arguments.seed,
        },
        interval: arguments.interval,
        stop: &stop,
    };
    let mut failed = None;
    let mut show = |piece: &str| {
        if arguments.json {
            return true;
        }
        let mut out = std::io::stdout().lock();
        let shown = if out.is_terminal() { verbatim(piece) } else { piece.to_owned() };
        let done = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
        done.map_err(|error| failed = Some(error)).is_ok()
    };
    let mut live = Live::new(screen);
    let limit_s = experiment.run.call_timeout_s;
    #[expect(clippy::result_large_err, reason = "it comes once a run")]
    let generated = strait_runner::with_deadline(guard, limit_s, &stop, || {
        strait_runner::generate(&experiment, &options, &mut live, &mut show)
    })?;
    match failed {
        // Whoever reads has seen enough.
        Some(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        Some(error) => return Err(error).context("cannot write the text"),
        None => {}
    }
    if arguments.json {
        say(&json(arguments, &generated).to_string())?;
    } else {
        say("")?;
        eprintln!("{}", summary(&generated));
    }
    if stop.load(Ordering::Relaxed) {
        Ok(ExitCode::from(INTERRUPTED))
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

/// What the argument parser cannot say.
fn check(arguments: &Arguments) -> anyhow::Result<()> {
    if !(arguments.temperature >= 0.0 && arguments.temperature.is_finite()) {
        bail!("--temperature: expected a number from 0 on, found {}", arguments.temperature);
    }
    if let Some(top_p) = arguments.top_p.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
        bail!("--top-p: expected a probability above 0 and up to 1, found {top_p}");
    }
    if arguments.top_k == Some(0) || arguments.interval == Some(0) {
        bail!("--top-k and --interval: expected at least 1, found 0");
    }
    if arguments.temperature == 0.0 && (arguments.top_k.is_some() || arguments.top_p.is_some()) {
        bail!("--top-k and --top-p: expected a --temperature above 0 to draw tokens at");
    }
    if arguments.min_new_tokens > arguments.max_new_tokens {
        bail!(
            "--min-new-tokens: expected at most the {} of --max-new-tokens, found {}",
            arguments.max_new_tokens,
            arguments.min_new_tokens
        );
    }
    Ok(())
}

/// The experiment, or one that has nothing but a model.
fn experiment(arguments: &Arguments) -> anyhow::Result<Experiment> {
    let mut experiment = match (&arguments.experiment, &arguments.model) {
        (Some(path), _) => Experiment::load(path)?,
        (None, None) => {
            bail!("nothing to generate with: expected an experiment file or --model SOURCE")
        }
        (None, Some(model)) => {
            let source = json!(model);
            let text = format!(
                "name = \"generate\"\nmodel = {{ source = {source} }}\ndata = {{ source = \"none\" }}\n"
            );
            Experiment::parse(&text, "--model")?
        }
    };
    if let Some(device) = &arguments.device {
        experiment.model.device.clone_from(device);
    }
    if let Some(dtype) = arguments.dtype {
        experiment.model.dtype = dtype;
    }
    if let Some(plugins) = &arguments.plugins {
        experiment.plugins.dir.clone_from(plugins);
    }
    Ok(experiment)
}

/// Context and prompt, one behind the other.
fn prompt(arguments: &Arguments) -> anyhow::Result<String> {
    let mut text = match &arguments.context {
        None => String::new(),
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            read.context("cannot read the context from standard input")?;
            text
        }
        Some(path) => fs::read_to_string(path)
            .with_context(|| format!("cannot read the context {}", path.display()))?,
    };
    text.push_str(arguments.prompt.as_deref().unwrap_or_default());
    Ok(text)
}

fn ended(generated: &Generated) -> &'static str {
    match generated.ended {
        Ended::Text => "the model ended the text",
        Ended::Length => "--max-new-tokens",
        Ended::Positions => "the model has no more positions",
        Ended::Stopped => "stopped",
    }
}

/// Tokens behind the first in a second of their own.
fn decode_rate(generated: &Generated) -> Option<f64> {
    let tokens = generated.tokens.len().saturating_sub(1);
    (tokens > 0 && generated.decode_s > 0.0).then(|| tokens as f64 / generated.decode_s)
}

fn prefill_rate(generated: &Generated) -> f64 {
    generated.prompt_tokens as f64 / generated.prefill_s.max(f64::MIN_POSITIVE)
}

fn summary(generated: &Generated) -> String {
    let Generated { prompt_tokens, tokens, cache_bytes, cache_raw_bytes, .. } = generated;
    let decode = decode_rate(generated)
        .map_or_else(String::new, |rate| format!(", then {rate:.1} tokens/s"));
    let share = 100.0 * *cache_bytes as f64 / (*cache_raw_bytes).max(1) as f64;
    let mut peak = generated.peak_bytes.map_or_else(String::new, |bytes| {
        format!("\npeak memory of the process {}", HumanBytes(bytes))
    });
    if let Some(bytes) = generated.device_bytes {
        peak += &format!(", of the device {}", HumanBytes(bytes));
    }
    format!(
        "\n{prompt_tokens} prompt tokens, {} new: {}\nfirst token after {:.3} s (prefill {:.1} tokens/s){decode}\ncache of the prompt {}, {share:.1} % of {}{peak}",
        tokens.len(),
        ended(generated),
        generated.first_token_s,
        prefill_rate(generated),
        HumanBytes(*cache_bytes),
        HumanBytes(*cache_raw_bytes),
    )
}

fn json(arguments: &Arguments, generated: &Generated) -> serde_json::Value {
    json!({
        "text": generated.text,
        "tokens": generated.tokens,
        "prompt_tokens": generated.prompt_tokens,
        "new_tokens": generated.tokens.len(),
        "ended": match generated.ended {
            Ended::Text => "text",
            Ended::Length => "length",
            Ended::Positions => "positions",
            Ended::Stopped => "stopped",
        },
        "cell": arguments.cell,
        "device": generated.device,
        "first_token_s": generated.first_token_s,
        "prefill_s": generated.prefill_s,
        "prefill_tokens_per_s": prefill_rate(generated),
        "decode_s": generated.decode_s,
        "decode_tokens_per_s": decode_rate(generated),
        "cache_bytes": generated.cache_bytes,
        "cache_raw_bytes": generated.cache_raw_bytes,
        "peak_bytes": generated.peak_bytes,
        "device_bytes": generated.device_bytes,
    })
}
