//! The table for a README, an issue or a paper's supplement.

use crate::format::{NONE, bits, difference, percent, perplexity, three_digits};
use crate::{Report, Row};

/// The columns, and which way they are aligned.
const HEADING: &str = "\
| cell | bits/value | bytes/token | PPL | ΔPPL ± error | KLD (nats) | top-1 | encode MB/s | decode MB/s |
|:--|--:|--:|--:|--:|--:|--:|--:|--:|
";

impl Report {
    /// The table in GitHub's Markdown; cells on the Pareto front are bold.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("{}\n\n{HEADING}", self.subtitle);
        for row in &self.rows {
            out.push_str(&line(row));
        }
        for row in self.rows.iter().filter(|row| row.ppl.is_none()) {
            let reason = row.reason.as_deref().unwrap_or("no reason was recorded");
            out.push_str(&format!("\nFailed: {}: {}\n", escape(&row.label), escape(reason)));
        }
        out
    }
}

fn line(row: &Row) -> String {
    let show = |value: Option<f64>, format: fn(f64) -> String| {
        value.map_or_else(|| NONE.to_owned(), format)
    };
    let relative = |text: String| if row.is_baseline() { NONE.to_owned() } else { text };
    let label = escape(&row.label);
    let delta = row.ppl_delta.zip(row.ppl_delta_error).map(|(delta, error)| {
        let (delta, error) = difference(delta, error);
        format!("{delta} ± {error}").replace('-', "−")
    });
    let fields = [
        if row.on_front { format!("**{label}**") } else { label },
        show(row.bits_per_value, bits),
        show(row.bytes_per_token, |bytes| format!("{bytes:.1}")),
        row.ppl.map_or_else(|| "failed".to_owned(), perplexity),
        relative(delta.unwrap_or_else(|| NONE.to_owned())),
        relative(show(row.kld_mean, three_digits)),
        relative(show(row.top1_agreement, percent)),
        show(row.encode_mb_per_s, |rate| format!("{rate:.0}")),
        show(row.decode_mb_per_s, |rate| format!("{rate:.0}")),
    ];
    format!("| {} |\n", fields.join(" | "))
}

/// Keeps a text inside its cell and free of emphasis.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '\\' | '<' | '[' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}
