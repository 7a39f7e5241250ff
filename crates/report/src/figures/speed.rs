//! Speed and memory of generation.

use serde_json::{Value, json};
use strait_metrics::quantile;
use strait_schema::{Record, SpeedCounts};

/// Generation of one cell behind one context.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeedRow {
    /// Name of the cell.
    pub label: String,
    /// Family of the cell.
    pub family: String,
    /// Tokens before the first new one.
    pub context: usize,
    /// New tokens.
    pub new_tokens: usize,
    /// Tokens of the context in a second, the median of all repeats.
    pub prefill_tokens_per_s: f64,
    /// Seconds to the first new token, the median.
    pub first_token_s: f64,
    /// New tokens in a second, the median; those behind the first, or all of them with the prefill
    /// counted in.
    pub decode_tokens_per_s: f64,
    /// Half of what lies between the slowest repeat and the fastest, in shares of the median.
    pub spread: f64,
    /// Whether the prefill is counted in.
    pub with_prefill: bool,
    /// Bytes of keys and values of the context as stored.
    pub cache_bytes: u64,
    /// The same uncompressed, in the model's dtype.
    pub cache_raw_bytes: u64,
    /// Peak memory in bytes, weights included; `None` where it was not measured.
    pub peak_bytes: Option<u64>,
    /// Peak memory in bytes after the prefill, weights included.
    pub decode_peak_bytes: Option<u64>,
}

impl SpeedRow {
    /// The rows of a record, in the order of their contexts. `label` stands for the cell.
    pub(crate) fn of(record: &Record, label: &str) -> Vec<SpeedRow> {
        let row = |counts| SpeedRow::new(counts, label, record.cell.family());
        record.speed.iter().filter_map(row).collect()
    }

    fn new(counts: &SpeedCounts, label: &str, family: &str) -> Option<SpeedRow> {
        let SpeedCounts { context, new_tokens, with_prefill, prefill_s, decode_s, .. } = counts;
        let (tokens, times): (usize, Vec<f64>) = if *with_prefill {
            (*new_tokens, prefill_s.iter().zip(decode_s).map(|(a, b)| a + b).collect())
        } else {
            (new_tokens - 1, decode_s.clone())
        };
        let rates: Vec<f64> = times.iter().map(|time| tokens as f64 / time).collect();
        let (first_token_s, rate) = (median(prefill_s)?, median(&rates)?);
        let fastest = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        Some(SpeedRow {
            label: label.to_owned(),
            family: family.to_owned(),
            context: *context,
            new_tokens: *new_tokens,
            prefill_tokens_per_s: *context as f64 / first_token_s,
            first_token_s,
            decode_tokens_per_s: rate,
            spread: (fastest - slowest) / 2.0 / rate,
            with_prefill: *with_prefill,
            cache_bytes: counts.cache_bytes,
            cache_raw_bytes: counts.cache_raw_bytes,
            peak_bytes: counts.peak_bytes,
            decode_peak_bytes: counts.decode_peak_bytes,
        })
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "label": self.label,
            "context": self.context,
            "new_tokens": self.new_tokens,
            "prefill_tokens_per_s": self.prefill_tokens_per_s,
            "first_token_s": self.first_token_s,
            "decode_tokens_per_s": self.decode_tokens_per_s,
            "spread": self.spread,
            "with_prefill": self.with_prefill,
            "cache_bytes": self.cache_bytes,
            "cache_raw_bytes": self.cache_raw_bytes,
            "peak_bytes": self.peak_bytes,
            "decode_peak_bytes": self.decode_peak_bytes,
        })
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| quantile(&sorted, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(with_prefill: bool) -> SpeedCounts {
        SpeedCounts {
            context: 100,
            new_tokens: 11,
            with_prefill,
            prefill_s: vec![4.0, 2.0, 2.5],
            decode_s: vec![1.0, 2.0, 1.25],
            cache_bytes: 1 << 20,
            cache_raw_bytes: 2 << 20,
            peak_bytes: Some(7 << 20),
            decode_peak_bytes: None,
        }
    }

    #[test]
    fn rates_are_medians_with_and_without_the_prefill() {
        let row = SpeedRow::new(&counts(false), "a", "knorm").unwrap();
        assert_eq!((row.prefill_tokens_per_s, row.first_token_s), (40.0, 2.5));
        assert_eq!((row.decode_tokens_per_s, row.spread), (8.0, (10.0 - 5.0) / 2.0 / 8.0));
        let row = SpeedRow::new(&counts(true), "a", "knorm").unwrap();
        assert_eq!(row.decode_tokens_per_s, 11.0 / 4.0);
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
    }
}
