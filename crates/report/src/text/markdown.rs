//! The table for a README, an issue or a paper's supplement.

use super::format::{NONE, bits, difference, percent, perplexity, three_digits};
use super::safe::plain;
use crate::figures::front::RULE;
use crate::{Report, Row};

/// The columns of a table of codecs, and which way they are aligned.
const HEADING: &str = "\
| cell | bits/value | bytes/token | PPL | ΔPPL ± error | KLD (nats) | top-1 | encode MB/s | decode MB/s |
|:--|--:|--:|--:|--:|--:|--:|--:|--:|
";

/// The same of models.
const MODELS_HEADING: &str = "\
| model | bits/weight | head bits | PPL | ΔPPL ± error | KLD (nats) | top-1 | GiB | GiB without embeddings |
|:--|--:|--:|--:|--:|--:|--:|--:|--:|
";

/// The second table: what the first has no room for.
const DETAILS: [&str; 7] = [
    "cell",
    "ΔPPL, 95 % of bootstrap draws",
    "bits/byte",
    "KLD median",
    "KLD 99 %",
    "KLD, confident",
    "Δp RMS ± error",
];

/// Columns of the second table where the noise floor was measured.
const FLOORS: [&str; 2] = ["ΔPPL / noise floor", "KLD / noise floor"];

impl Report {
    /// Two tables in GitHub's Markdown, one of quality against bytes and speed and one of details;
    /// cells on the front are bold.
    #[must_use]
    pub fn markdown(&self) -> String {
        let heading = if self.models { MODELS_HEADING } else { HEADING };
        // An underscore inside of a word, as names of files have it, is no mark.
        let subtitle = escaped(&self.subtitle, &['|', '*', '`', '\\', '<', '[']);
        let mut out = format!("{subtitle} · protocol {}\n\n{heading}", plain(&self.fingerprint));
        for row in &self.rows {
            out.push_str(&line(row, self.models));
        }
        let floors = if self.noise_floor.is_some() { FLOORS.as_slice() } else { &[] };
        let names = [&DETAILS, floors].concat();
        let alignment = names.iter().skip(1).map(|_| "--:|").collect::<String>();
        out.push_str(&format!("\n| {} |\n|:--|{alignment}\n", names.join(" | ")));
        for row in self.rows.iter().filter(|row| row.ppl.is_some()) {
            out.push_str(&details(row, !floors.is_empty()));
        }
        out.push_str(&super::speed::markdown(&self.speed));
        if self.rows.iter().any(|row| row.on_front) {
            out.push_str(&format!("\nBold, on the front: {RULE}.\n"));
        }
        if self.rows.iter().any(|row| row.imported.is_some()) {
            out.push_str("\n† imported: bytes declared, not counted; no paired error\n");
        }
        for note in self.weights_only() {
            out.push_str(&format!("\n{}\n", escape(&note)));
        }
        for row in self.rows.iter().filter(|row| row.ppl.is_none()) {
            let reason = row.reason.as_deref().unwrap_or("no reason was recorded");
            out.push_str(&format!("\nFailed: {}: {}\n", escape(&row.label), escape(reason)));
        }
        out
    }
}

fn line(row: &Row, models: bool) -> String {
    let show = |value: Option<f64>, format: fn(f64) -> String| {
        value.map_or_else(|| NONE.to_owned(), format)
    };
    let relative = |text: String| if row.is_baseline() { NONE.to_owned() } else { text };
    let delta = row.ppl_delta.map(|delta| {
        let text = match row.ppl_delta_error {
            Some(error) => {
                let (delta, error) = difference(delta, error);
                format!("{delta} ± {error}")
            }
            None => format!("{delta:+.4}"),
        };
        text.replace('-', "−")
    });
    let quality = [
        row.ppl.map_or_else(|| "failed".to_owned(), perplexity),
        relative(delta.unwrap_or_else(|| NONE.to_owned())),
        relative(show(row.kld_mean, three_digits)),
        relative(show(row.top1_agreement, percent)),
    ];
    let (before, after) = if models {
        (
            [row.bits_per_weight, row.head_bits_per_weight].map(|value| show(value, bits)),
            [row.gib, row.gib_without_embeddings].map(|value| show(value, |g| format!("{g:.3}"))),
        )
    } else {
        (
            [
                show(row.bits_per_value, bits),
                show(row.bytes_per_token, |bytes| format!("{bytes:.1}")),
            ],
            [row.encode_mb_per_s, row.decode_mb_per_s]
                .map(|rate| show(rate, |r| format!("{r:.0}"))),
        )
    };
    let fields = [&[name(row)], before.as_slice(), &quality, &after].concat();
    format!("| {} |\n", fields.join(" | "))
}

fn details(row: &Row, floors: bool) -> String {
    let show = |value: Option<f64>, format: fn(f64) -> String| {
        value.filter(|_| !row.is_baseline()).map_or_else(|| NONE.to_owned(), format)
    };
    let interval = row.ppl_delta_interval.filter(|_| !row.is_baseline()).map(|interval| {
        // As many decimals as give the half width two digits.
        let half = (interval.high - interval.low) / 2.0;
        let [low, high] = [interval.low, interval.high].map(|end| difference(end, half).0);
        format!("{low} … {high}").replace('-', "−")
    });
    let shift = row.shift_rms.zip(row.shift_rms_error).filter(|_| !row.is_baseline());
    let mut fields = vec![
        name(row),
        interval.unwrap_or_else(|| NONE.to_owned()),
        row.bits_per_byte.map_or_else(|| NONE.to_owned(), |bits| format!("{bits:.4}")),
        show(row.kld_median, three_digits),
        show(row.kld_p99, three_digits),
        show(row.kld_confident, three_digits),
        shift.map_or_else(
            || NONE.to_owned(),
            |(rms, error)| format!("{} ± {}", percent(rms), percent(error)),
        ),
    ];
    if floors {
        let units = [row.ppl_delta_floors, row.kld_floors];
        fields.extend(units.map(|units| show(units, three_digits).replace('-', "−")));
    }
    format!("| {} |\n", fields.join(" | "))
}

fn name(row: &Row) -> String {
    let dagger = if row.imported.is_some() { "†" } else { "" };
    let label = format!("{}{dagger}", escape(&row.label));
    if row.on_front { format!("**{label}**") } else { label }
}

/// Keeps a text inside its cell and free of emphasis.
pub(crate) fn escape(text: &str) -> String {
    escaped(text, &['|', '*', '_', '`', '\\', '<', '['])
}

/// A text with a backslash before each of these characters, in one line.
fn escaped(text: &str, marks: &[char]) -> String {
    let mut out = String::new();
    for c in plain(&text.replace(['\n', '\r'], " ")).chars() {
        if marks.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
