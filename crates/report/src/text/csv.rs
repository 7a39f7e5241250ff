//! `summary.csv`: every figure in full precision, one line a cell.

use strait_schema::Status;

use super::safe::plain;
use crate::{Report, Row};

/// The columns. New ones are added at the end: other programs read this file.
pub(crate) const COLUMNS: [&str; 37] = [
    "label",
    "codec",
    "status",
    "ppl",
    "ppl_delta",
    "ppl_delta_error",
    "kld_mean",
    "top1_agreement",
    "bytes_per_token",
    "bits_per_value",
    "encode_s",
    "decode_s",
    "scored_tokens",
    "ppl_error",
    "kld_error",
    "kld_p99",
    "top1_error",
    "sqnr_db",
    "static_bytes",
    "on_front",
    "reason",
    "fingerprint",
    "ppl_delta_low",
    "ppl_delta_high",
    "bits_per_byte",
    "kld_median",
    "kld_confident",
    "shift_mean",
    "shift_rms",
    "shift_rms_error",
    "bits_per_weight",
    "head_bits_per_weight",
    "gib",
    "gib_without_embeddings",
    "ppl_delta_floors",
    "kld_floors",
    "state",
];

impl Report {
    /// The table as CSV (RFC 4180 with line feeds): a header, then a line a cell; what was not
    /// measured is empty.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = COLUMNS.join(",");
        out.push('\n');
        for row in &self.rows {
            out.push_str(&line(row));
            out.push('\n');
        }
        out
    }
}

fn line(row: &Row) -> String {
    let quoted: Vec<String> = fields(row).iter().map(|field| text(field)).collect();
    quoted.join(",")
}

/// The fields of a row as plain text, in the order of [`COLUMNS`].
pub(crate) fn fields(row: &Row) -> [String; COLUMNS.len()] {
    let status = match row.status {
        Status::Finished => "finished",
        Status::Failed => "failed",
    };
    let scored = if row.ppl.is_some() { row.scored_tokens.to_string() } else { String::new() };
    [
        row.label.clone(),
        row.codec.clone(),
        status.to_owned(),
        number(row.ppl),
        number(row.ppl_delta),
        number(row.ppl_delta_error),
        number(row.kld_mean),
        number(row.top1_agreement),
        number(row.bytes_per_token),
        number(row.bits_per_value),
        number(row.encode_s),
        number(row.decode_s),
        scored,
        number(row.ppl_error),
        number(row.kld_error),
        number(row.kld_p99),
        number(row.top1_error),
        number(row.sqnr_db),
        row.static_bytes.to_string(),
        row.on_front.to_string(),
        row.reason.clone().unwrap_or_default(),
        row.fingerprint.clone(),
        number(row.ppl_delta_interval.map(|interval| interval.low)),
        number(row.ppl_delta_interval.map(|interval| interval.high)),
        number(row.bits_per_byte),
        number(row.kld_median),
        number(row.kld_confident),
        number(row.shift_mean),
        number(row.shift_rms),
        number(row.shift_rms_error),
        number(row.bits_per_weight),
        number(row.head_bits_per_weight),
        number(row.gib),
        number(row.gib_without_embeddings),
        number(row.ppl_delta_floors),
        number(row.kld_floors),
        row.state().to_owned(),
    ]
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A field, in quotes where it has to be. A text that a spreadsheet would take for a formula begins with `'`, which keeps it
/// a text there.
pub(crate) fn text(value: &str) -> String {
    let lines: Vec<_> = value.split('\n').map(plain).collect();
    let mut shown = lines.join("\n");
    if shown.starts_with(['=', '+', '-', '@']) && shown.parse::<f64>().is_err() {
        shown.insert(0, '\'');
    }
    if shown.contains([',', '"', '\n']) {
        format!("\"{}\"", shown.replace('"', "\"\""))
    } else {
        shown
    }
}
