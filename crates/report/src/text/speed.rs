//! Speed and memory of generation, in a table of its own.

use super::format::{NONE, aligned};
use super::markdown::escape;
use crate::SpeedRow;

/// Headings of the table.
const HEADINGS: [&str; 8] = [
    "cell",
    "context",
    "prefill tok/s",
    "first token s",
    "decode tok/s",
    "cache MiB",
    "peak MiB",
    "decode MiB",
];

/// The table as aligned text; nothing without rows.
pub(crate) fn terminal(rows: &[SpeedRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows_of = rows.iter().map(|row| fields(row).to_vec());
    let lines = std::iter::once(HEADINGS.map(str::to_owned).to_vec()).chain(rows_of);
    let lines = aligned(&lines.collect::<Vec<_>>(), 1);
    let lines: String = lines.into_iter().map(|line| format!("  {line}\n")).collect();
    format!("\ngeneration{}\n{lines}", note(rows))
}

/// The table in GitHub's Markdown; nothing without rows.
pub(crate) fn markdown(rows: &[SpeedRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let alignment = "--:|".repeat(HEADINGS.len() - 1);
    let mut out =
        format!("\nGeneration{}:\n\n| {} |\n|:--|{alignment}\n", note(rows), HEADINGS.join(" | "));
    for row in rows {
        let [label, rest @ ..] = fields(row);
        out.push_str(&format!("| {} | {} |\n", escape(&label), rest.join(" | ")));
    }
    out
}

fn note(rows: &[SpeedRow]) -> String {
    let mut counts: Vec<String> = rows.iter().map(|row| row.new_tokens.to_string()).collect();
    counts.dedup();
    let prefill = if rows.iter().any(|row| row.with_prefill) {
        "the prefill counted in"
    } else {
        "the prefill left out"
    };
    format!(" of {} new tokens, {prefill}", counts.join(" or "))
}

/// A row as text.
fn fields(row: &SpeedRow) -> [String; 8] {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let some = |bytes: Option<u64>| {
        bytes.map_or_else(|| NONE.to_owned(), |bytes| format!("{:.0}", mib(bytes)))
    };
    [
        row.label.clone(),
        row.context.to_string(),
        format!("{:.1}", row.prefill_tokens_per_s),
        format!("{:.3}", row.first_token_s),
        format!("{:.2} ± {:.1}%", row.decode_tokens_per_s, 100.0 * row.spread),
        format!("{:.2}", mib(row.cache_bytes)),
        some(row.peak_bytes),
        some(row.decode_peak_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_measured() {
        let rows = [SpeedRow {
            label: "half | a".to_owned(),
            family: "knorm".to_owned(),
            context: 100,
            new_tokens: 11,
            prefill_tokens_per_s: 40.0,
            first_token_s: 2.5,
            decode_tokens_per_s: 8.0,
            spread: 0.3125,
            with_prefill: false,
            cache_bytes: 1 << 20,
            cache_raw_bytes: 2 << 20,
            peak_bytes: Some(7 << 20),
            decode_peak_bytes: None,
        }];
        let text = terminal(&rows);
        assert!(text.contains("generation of 11 new tokens, the prefill left out"), "{text}");
        assert!(text.contains("8.00 ± 31.2%") && text.contains(" 1.00 "), "{text}");
        assert!(markdown(&rows).contains("| half \\| a | 100 | 40.0 |"), "{}", markdown(&rows));
        assert_eq!((terminal(&[]), markdown(&[])), (String::new(), String::new()));
    }
}
