//! `strait inspect`: what a checkpoint holds and what its weights cost.

use std::path::Path;
use std::process::ExitCode;

use indicatif::MultiProgress;
use strait_report::verbatim;
use strait_weights::{Checkpoint, LayerSummary, Summary, resolve_source_with};

use crate::live::Live;
use crate::output::{columns, say};

/// Which checkpoint, and how much of it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A model directory, a .gguf file, or one of the hub such as `hf:owner/name@revision`.
    model: String,
    /// Also list every layer.
    #[arg(long)]
    layers: bool,
    /// Print JSON, layers included.
    #[arg(long)]
    json: bool,
}

/// Prints the checkpoint's summary.
pub(crate) fn run(arguments: &Arguments, screen: MultiProgress) -> anyhow::Result<ExitCode> {
    let path = resolve_source_with(&arguments.model, Path::new("."), &mut Live::new(screen))?;
    let checkpoint = Checkpoint::open(&path)?;
    let summary = checkpoint.summary();
    if arguments.json {
        say(&serde_json::to_string_pretty(&summary)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut parts = vec![facts(&checkpoint, &summary), formats(&summary)];
    parts.extend(notes(&summary));
    if arguments.layers {
        parts.push(layers(&summary.layers));
    }
    say(&parts.join("\n\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn facts(checkpoint: &Checkpoint, summary: &Summary) -> String {
    let architecture = checkpoint.config()["model_type"].as_str().unwrap_or("unknown");
    let rows = [
        ["architecture", architecture],
        ["format", &summary.format],
        ["parameters", &thousands(summary.parameters)],
        ["bits per weight, decoder", &bits(summary.decoder_bits_per_weight)],
        ["bits per weight, head", &bits(summary.head_bits_per_weight)],
        ["size", &format!("{:.3} GiB", summary.gib)],
        ["size without embeddings", &format!("{:.3} GiB", summary.gib_without_embeddings)],
    ];
    columns(&rows.map(|row| row.map(str::to_owned)))
}

/// What the figures above do not say.
fn notes(summary: &Summary) -> Option<String> {
    let mut notes = Vec::new();
    if !summary.weights_only.is_empty() {
        let what = summary.weights_only.join(", ");
        notes.push(format!("weights only: quantized too, and not simulated: {what}"));
    }
    if !summary.unread_keys.is_empty() {
        let keys: Vec<&str> = summary.unread_keys.iter().take(8).map(String::as_str).collect();
        let more = summary.unread_keys.len() - keys.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!(
            "read by nobody: {}{more}; a run needs `ignore` in [model] to go on without",
            keys.join(", ")
        ));
    }
    (!notes.is_empty()).then(|| verbatim(&notes.join("\n")))
}

fn formats(summary: &Summary) -> String {
    let header = ["stored as", ">tensors", ">values", ">MiB", ">bits/value"].map(str::to_owned);
    let rows = summary.formats.iter().map(|share| {
        let cost = 8.0 * share.bytes as f64 / share.values.max(1) as f64;
        [
            share.format.clone(),
            format!(">{}", share.tensors),
            format!(">{}", thousands(share.values)),
            format!(">{:.2}", mib(share.bytes)),
            format!(">{cost:.3}"),
        ]
    });
    columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn layers(layers: &[LayerSummary]) -> String {
    let header =
        [">layer", ">parameters", ">MiB", ">bits/weight", "matrices stored as"].map(str::to_owned);
    let rows = layers.iter().map(|layer| {
        [
            format!(">{}", layer.layer),
            format!(">{}", thousands(layer.parameters)),
            format!(">{:.2}", mib(layer.bytes)),
            format!(">{}", bits(layer.bits_per_weight)),
            layer.formats.join(", "),
        ]
    });
    columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn bits(value: Option<f64>) -> String {
    value.map_or("none".to_owned(), |bits| format!("{bits:.3}"))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// `1234567` as `1,234,567`.
fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(thousands(value), text);
        }
    }
}
