//! exllamav3's compare_q: the JSON list that it prints, one entry a model.

use serde_json::Value;
use strait_schema::{Imported, ImportedSite};

use super::{Source, number, perplexity, text};

pub(super) fn read(value: &Value, source: &Source) -> Result<Vec<Imported>, String> {
    let rows = value.as_array().ok_or("no list")?;
    rows.iter().map(|row| entry(row, source)).collect()
}

fn entry(row: &Value, source: &Source) -> Result<Imported, String> {
    let mut result = source.result("compare_q", ImportedSite::Weights);
    let label = text(row, "label")?;
    let bits = number(row, "layer_bpw");
    // Labels look like "EXL3 4.0bpw H6 [EXL3]", "HF FP16".
    let inside = label.split_once('[').and_then(|(_, rest)| rest.split(']').next());
    let family = inside.unwrap_or_else(|| label.split_whitespace().next().unwrap_or("model"));
    result.family = family.trim_matches('*').to_lowercase();
    if result.family.is_empty() {
        result.family = "model".to_owned();
    }
    result.baseline = bits.is_some_and(|bits| bits >= 15.5);
    result.label = label;
    // The list names neither model nor data: the file does.
    result.model = source.file.trim_end_matches(".json").to_owned();
    result.protocol = "compare_q, all positions of each row".to_owned();
    result.ppl = perplexity(row, "ppl")?;
    result.kld = number(row, "kld");
    result.bits_per_value = bits;
    Ok(result)
}
