//! kvpress-pythia, `results/perplexity/*.json`: presses on the cache of keys and values, one file a run.

use serde_json::Value;
use strait_schema::{Imported, ImportedSite};

use super::{Source, number, perplexity, text};

pub(super) fn read(value: &Value, source: &Source) -> Result<Vec<Imported>, String> {
    if let Some(error) = value["error"].as_str() {
        return Err(format!("a run that failed: {error}"));
    }
    let mut result = source.result("kvpress-pythia", ImportedSite::Kv);
    let press = text(value, "press")?;
    let ratio = number(value, "compression_ratio");
    result.baseline = press == "no_press";
    result.label = match ratio {
        Some(ratio) if !result.baseline => format!("{press} ratio {ratio}"),
        _ => press.clone(),
    };
    result.family = if result.baseline { "none".to_owned() } else { press };
    result.model = text(value, "model")?;
    let tokens = value["tokens"].as_u64();
    let subset = value["subset"].as_str().map(|subset| format!(" {subset}")).unwrap_or_default();
    let used = tokens.map_or_else(String::new, |tokens| format!(" · {tokens} tokens"));
    result.protocol = format!("{}{subset}{used}", text(value, "dataset")?);
    result.scored_tokens = tokens;
    result.ppl = perplexity(value, "ppl")?;
    // The cache holds 16-bit values; a ratio is the share of tokens that were asked to go.
    let kept = if result.baseline { Some(1.0) } else { ratio.map(|ratio| 1.0 - ratio) };
    result.bits_per_value = kept.map(|kept| 16.0 * kept);
    if !result.baseline {
        result
            .warnings
            .push("bits per value are 16 × (1 − the ratio that was asked for)".to_owned());
    }
    Ok(vec![result])
}
