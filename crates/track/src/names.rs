//! Names of metrics: those of the split-bench scripts, so that old and new runs share charts, and
//! additional ones that have no counterpart there.

use strait_schema::Record;

use crate::Point;

/// Figures of the windows since the previous point, and totals so far. Numbers that are not finite are
/// omitted.
#[must_use]
pub fn batch_metrics(point: &Point, before: Option<&Point>) -> Vec<(&'static str, f64)> {
    let (tokens, nll) = before.map_or((0, 0.0), |before| (before.tokens, before.nll));
    let batch_tokens = point.tokens.saturating_sub(tokens) as f64;
    let batch_nll = (point.nll - nll) / batch_tokens;
    let total_nll = point.nll / point.tokens as f64;
    finite(vec![
        ("eval_batch/batch_idx", point.windows_done as f64 - 1.0),
        ("eval_batch/batch_tokens", batch_tokens),
        ("eval_batch/batch_avg_nll", batch_nll),
        ("eval_batch/batch_ppl", batch_nll.exp()),
        ("eval_total/total_tokens", point.tokens as f64),
        ("eval_total/total_nll", point.nll),
        ("eval_total/total_avg_nll", total_nll),
        ("eval_total/total_avg_ppl", point.ppl),
        ("traffic/total_bytes", point.total_bytes as f64),
        ("traffic/total_tokens", point.total_tokens as f64),
        ("traffic/total_tx", point.messages as f64),
        ("traffic/bytes_per_token", point.bytes_per_token()),
        ("traffic/bits_per_value", point.bits_per_value),
        ("paired/ppl_delta", point.ppl_delta),
        ("paired/ppl_delta_error", point.ppl_delta_error),
        ("paired/kld_mean", point.kld_mean),
    ])
}

/// The final figures of a finished record; empty for a failed one.
#[must_use]
pub fn final_metrics(record: &Record) -> Vec<(&'static str, f64)> {
    let Some(scores) = &record.scores else { return Vec::new() };
    let paired = scores.sums.summary();
    let sum = |count: fn(&strait_schema::LinkCounts) -> u64| {
        record.links.iter().map(count).sum::<u64>() as f64
    };
    // A token has one key and one value, so it counts once.
    let of_one = if record.cell.cache().is_some() { record.links.len().max(1) as f64 } else { 1.0 };
    let (bytes, tokens) = (sum(|link| link.payload_bytes), sum(|link| link.tokens) / of_one);
    finite(vec![
        ("eval/ppl_final", paired.ppl),
        ("eval/ppl_error", paired.ppl_error),
        ("eval/seconds", record.timing.wall_s),
        ("traffic/total_bytes", bytes),
        ("traffic/total_tokens", tokens),
        ("traffic/total_tx", sum(|link| link.messages)),
        ("traffic/bytes_per_token", bytes / tokens),
        ("traffic/bits_per_value", 8.0 * bytes / sum(|link| link.values)),
        ("paired/ppl_delta", paired.delta),
        ("paired/ppl_delta_error", paired.delta_error),
        ("paired/kld_mean", scores.kld.mean),
        ("paired/kld_median", scores.kld.median),
        ("paired/kld_p99", scores.kld.p99),
        ("paired/top1_agreement", scores.agreement.same as f64 / scores.agreement.n as f64),
    ])
}

fn finite(metrics: Vec<(&'static str, f64)>) -> Vec<(&'static str, f64)> {
    metrics.into_iter().filter(|(_, value)| value.is_finite()).collect()
}
