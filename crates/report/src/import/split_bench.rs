//! split-bench, `runs/*.json`: hidden states of a pipeline, one file a run. Byte counts are the
//! compressor's own word, over padded batches of overlapping windows.

use serde_json::Value;
use strait_schema::{Imported, ImportedSite};

use super::{Source, number, perplexity, text};

pub(super) fn read(value: &Value, source: &Source) -> Result<Vec<Imported>, String> {
    let (args, results) = (&value["args"], &value["results"]);
    let mut result = source.result("split-bench", ImportedSite::Links);
    let named = text(args, "compressor")?;
    // Most runs say "none" whatever ran; the folder of the file tells.
    let folder = source.folder.trim_start_matches("compressor_").trim_end_matches("_Compressor");
    let codec = match named.as_str() {
        "none" if !folder.is_empty() && source.folder.to_lowercase().contains("compressor") => {
            folder
        }
        other => other,
    };
    result.baseline = codec == "none" || codec.starts_with("none_");
    let dtype = text(args, "dtype")?;
    let weights = match (args["load_in_4bit"].as_bool(), args["load_in_8bit"].as_bool()) {
        (Some(true), _) => " weights 4 bit",
        (_, Some(true)) => " weights 8 bit",
        _ => "",
    };
    result.label = if result.baseline { format!("none {dtype}") } else { codec.to_owned() };
    result.family = if result.baseline { "none" } else { family(codec) }.to_owned();
    result.model = format!("{}{weights} {dtype}", text(args, "model_name")?);
    let count = |key: &str| args[key].as_u64();
    let first = match count("first_k_tokens") {
        Some(0) | None => "all tokens".to_owned(),
        Some(k) => format!("first {k} tokens"),
    };
    let (window, stride) = (count("max_length").unwrap_or(0), count("stride").unwrap_or(0));
    result.protocol = format!("wikitext-2-raw · window {window} stride {stride} · {first}");
    result.scored_tokens = results["total_loss_tokens"].as_u64();
    result.ppl = perplexity(results, "avg_ppl")?;
    result.bytes_per_token = number(&value["traffic_totals"], "bytes_per_token");
    // The width of the model is not in the file, but an uncompressed token of 16 bit values tells it.
    if result.baseline && matches!(dtype.as_str(), "bf16" | "fp16") {
        result.bits_per_value = Some(16.0);
    }
    Ok(vec![result])
}

/// The method without its settings: `bnb_nf4` is of `bnb`, `TorchAO_IntXAffine_4bit` of `TorchAO`.
fn family(codec: &str) -> &str {
    codec.split('_').next().unwrap_or(codec)
}

/// Bits per value of results whose baseline shows the bytes of 16-bit values.
pub(crate) fn fill_bits(results: &mut [Imported]) {
    let full: Vec<(String, String, f64)> = results
        .iter()
        .filter(|r| r.origin == "split-bench" && r.bits_per_value == Some(16.0))
        .filter_map(|r| Some((r.model.clone(), r.protocol.clone(), r.bytes_per_token?)))
        .collect();
    for result in results.iter_mut().filter(|r| r.bits_per_value.is_none()) {
        let baseline = full
            .iter()
            .find(|(model, protocol, _)| (model, protocol) == (&result.model, &result.protocol));
        if let (Some((_, _, full)), Some(bytes)) = (baseline, result.bytes_per_token) {
            result.bits_per_value = Some(16.0 * bytes / full);
        }
    }
}
