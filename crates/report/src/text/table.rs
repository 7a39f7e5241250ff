//! The table at the end of a run, for a terminal.

use super::format::{NONE, bits, difference, percent, perplexity, three_digits};
use super::safe::{plain, prose};
use crate::{Report, Row};

/// How a table is drawn.
#[derive(Debug, Clone, Copy)]
pub struct TableStyle {
    /// Columns of the terminal. Labels are cut so that the table fits, down to a few characters.
    pub width: usize,
    /// Whether to use ANSI colours. Whoever calls looks at `NO_COLOR` and at where the text goes.
    pub color: bool,
}

impl Default for TableStyle {
    fn default() -> Self {
        Self { width: 100, color: false }
    }
}

/// Two lines of headings of a table of codecs. The 5th column follows the 4th after `±`.
const CODECS: [[&str; 10]; 2] = [
    ["", "bits/", "bytes/", "", "", "", "KLD", "", "enc", "dec"],
    ["cell", "value", "token", "PPL", "ΔPPL", "error", "nats", "top-1", "MB/s", "MB/s"],
];

/// The same of models.
const MODELS: [[&str; 10]; 2] = [
    ["", "bits/", "head", "", "", "", "KLD", "", "", "GiB no"],
    ["model", "weight", "bits", "PPL", "ΔPPL", "error", "nats", "top-1", "GiB", "emb."],
];

/// Columns behind either where the noise floor was measured.
const FLOORS: [[&str; 2]; 2] = [["ΔPPL/", "KLD/"], ["floor", "floor"]];

/// The fewest characters that still tell labels apart.
const LEAST_LABEL: usize = 12;

impl Report {
    /// The table as aligned text: most bytes first, failed cells last with their reasons below.
    #[must_use]
    pub fn terminal(&self, style: &TableStyle) -> String {
        let floors = self.noise_floor.is_some();
        let headings = if self.models { MODELS } else { CODECS };
        let headings = [0, 1].map(|line: usize| {
            let floors = if floors { FLOORS[line].as_slice() } else { &[] };
            [headings[line].as_slice(), floors].concat()
        });
        let cells = self.rows.iter().map(|row| cells(row, self.models, floors));
        let cells: Vec<Vec<String>> = cells.collect();
        let mut widths = vec![0; headings[0].len()];
        for (column, width) in widths.iter_mut().enumerate() {
            let headings = headings.iter().map(|line| line[column].chars().count());
            let values = cells.iter().map(|line| line[column].chars().count());
            *width = headings.chain(values).max().unwrap_or(0);
        }
        // Two spaces before each column; "±" joins two of them; "* " comes before labels.
        let others: usize = widths[1..].iter().map(|width| width + 2).sum::<usize>() + 2 - 1;
        widths[0] = widths[0].min(style.width.saturating_sub(others).max(LEAST_LABEL));

        let paint = Paint(style.color);
        let mut out = format!("{}  {}\n", paint.bold(&plain(&self.title)), plain(&self.subtitle));
        if let Some((ppl, error)) = self.baseline_ppl {
            let (_, error) = difference(ppl, error);
            out.push_str(&format!("baseline PPL {} ± {error}  ", perplexity(ppl)));
        }
        out.push_str(&format!("protocol {}\n", plain(&self.fingerprint)));
        out.push('\n');
        for (line, joined) in headings.iter().zip([false, true]) {
            let line: Vec<String> = line.iter().map(|&text| text.to_owned()).collect();
            let text = draw("  ", &line, &widths, joined);
            out.push_str(&format!("{}\n", paint.bold(text.trim_end())));
        }
        for (row, line) in self.rows.iter().zip(&cells) {
            let mark = if row.on_front { "* " } else { "  " };
            let text = draw(mark, line, &widths, row.ppl.is_some());
            let text = text.trim_end();
            let text = if row.ppl.is_none() { paint.red(text) } else { text.to_owned() };
            out.push_str(&format!("{text}\n"));
        }
        out.push_str(&self.notes(&paint));
        out.push_str(&super::speed::terminal(&self.speed));
        out
    }

    fn notes(&self, paint: &Paint) -> String {
        let mut out = String::new();
        if self.rows.iter().any(|row| row.on_front) {
            out.push_str(
                &paint.dim("\n* no other cell has both fewer bits and a lower perplexity"),
            );
            out.push('\n');
        }
        if let Some(floor) = &self.noise_floor {
            out.push_str(&format!(
                "\nnoise floor: noise of 2⁻⁹ after every layer changes PPL by {} and makes a KLD of {}\n",
                three_digits(floor.ppl_delta),
                three_digits(floor.kld)
            ));
        }
        if self.rows.iter().any(|row| row.imported.is_some()) {
            let text = "\n† imported: bytes declared, not counted; no paired error";
            out.push_str(&format!("{}\n", paint.dim(text)));
        }
        for row in self.rows.iter().filter(|row| row.ppl.is_none()) {
            let reason = row.reason.as_deref().unwrap_or("no reason was recorded");
            out.push_str(&format!(
                "\n{}: {}\n",
                paint.red(&format!("failed: {}", plain(&row.label))),
                prose(reason)
            ));
        }
        for note in self.weights_only() {
            out.push_str(&format!("\n{}\n", plain(&note)));
        }
        let warnings = self.rows.iter().flat_map(|row| row.warnings.iter().map(move |w| (row, w)));
        for (at, (row, warning)) in warnings.enumerate() {
            let gap = if at == 0 { "\n" } else { "" };
            out.push_str(&format!("{gap}warning: {}: {}\n", plain(&row.label), prose(warning)));
        }
        out
    }
}

impl Report {
    /// Which rows are of models that quantize more than their weights, a line for each different case.
    pub(crate) fn weights_only(&self) -> Vec<String> {
        let mut cases: Vec<(&[String], Vec<&str>)> = Vec::new();
        for row in self.rows.iter().filter(|row| !row.weights_only.is_empty()) {
            match cases.iter_mut().find(|(what, _)| *what == row.weights_only.as_slice()) {
                Some((_, labels)) => labels.push(row.label.as_str()),
                None => cases.push((row.weights_only.as_slice(), vec![row.label.as_str()])),
            }
        }
        let line = |(what, labels): &(&[String], Vec<&str>)| {
            let rows = match labels.len() == self.rows.len() {
                true => "all rows".to_owned(),
                false => labels.join(", "),
            };
            format!(
                "weights only ({rows}): the model also quantizes {}, which is not simulated",
                what.join(", ")
            )
        };
        cases.iter().map(line).collect()
    }
}

fn cells(row: &Row, models: bool, floors: bool) -> Vec<String> {
    let show = |value: Option<f64>, format: fn(f64) -> String| {
        value.map_or_else(|| NONE.to_owned(), format)
    };
    let ppl = match row.ppl {
        Some(ppl) => perplexity(ppl),
        None => "failed".to_owned(),
    };
    let (delta, error) = match (row.ppl_delta, row.ppl_delta_error) {
        (Some(_), Some(_)) if row.is_baseline() => (NONE.to_owned(), String::new()),
        (Some(delta), Some(error)) => difference(delta, error),
        (Some(delta), None) => (format!("{delta:+.4}"), String::new()),
        _ => (NONE.to_owned(), String::new()),
    };
    let baseline = row.is_baseline();
    let relative = |text: String| if baseline { NONE.to_owned() } else { text };
    let dagger = if row.imported.is_some() { "†" } else { "" };
    let quality = [
        ppl,
        delta,
        error,
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
    let label = format!("{}{dagger}", plain(&row.label));
    let mut cells = [&[label], before.as_slice(), &quality, &after].concat();
    if floors {
        cells.extend([row.ppl_delta_floors, row.kld_floors].map(|units| show(units, three_digits)));
    }
    cells
}

/// Labels to the left, figures to the right, errors to the left of their `±`.
fn draw(mark: &str, line: &[String], widths: &[usize], values: bool) -> String {
    let mut out = mark.to_owned();
    for (column, (text, &width)) in line.iter().zip(widths).enumerate() {
        match column {
            0 => out.push_str(&format!("{:<width$}", shorten(text, width))),
            5 if values && !text.is_empty() => out.push_str(&format!(" ± {text:<width$}")),
            5 => out.push_str(&format!("   {text:<width$}")),
            _ => out.push_str(&format!("  {text:>width$}")),
        }
    }
    out
}

/// Cuts a text that is too long in its middle: sweeps differ at the end.
fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let end = width.saturating_sub(1) / 2;
    let start = width.saturating_sub(1) - end;
    let head: String = text.chars().take(start).collect();
    let tail: String = text.chars().skip(length - end).collect();
    format!("{head}…{tail}")
}

/// ANSI colours, or none.
struct Paint(bool);

impl Paint {
    fn wrap(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn red(&self, text: &str) -> String {
        self.wrap("31", text)
    }
}
