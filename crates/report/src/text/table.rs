//! The table at the end of a run, for a terminal.

use super::format::{NONE, bits, difference, percent, perplexity, three_digits};
use super::lines::lines;
use super::safe::{plain, prose};
use crate::figures::front::RULE;
use crate::{Report, Row};

/// How a table is drawn.
#[derive(Debug, Clone, Copy)]
pub struct TableStyle {
    /// Columns of the terminal. Where the table does not fit, less important columns are left out first, then labels
    /// are cut, down to a few characters.
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

/// Columns that are left out of a narrow terminal, the first ones first: their places, and their name.
type Expendable = [(&'static [usize], &'static str); 3];

const OF_CODECS: Expendable =
    [(&[8, 9], "speed of encoding and decoding"), (&[7], "top-1"), (&[2], "bytes/token")];
const OF_MODELS: Expendable =
    [(&[9], "GiB without embeddings"), (&[2], "bits of the head"), (&[7], "top-1")];

/// Characters of labels for which other columns make room.
const GOOD_LABEL: usize = 24;
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
        let expendable = if self.models { OF_MODELS } else { OF_CODECS };
        let (columns, left_out) = fit(&mut widths, style.width, expendable);

        let paint = Paint(style.color);
        let title = format!("{}  {}", paint.bold(&plain(&self.title)), plain(&self.subtitle));
        let mut out = format!("{}\n", lines(&title, style.width, ""));
        if let Some((ppl, error)) = self.baseline_ppl {
            let (_, error) = difference(ppl, error);
            out.push_str(&format!("baseline PPL {} ± {error}  ", perplexity(ppl)));
        }
        out.push_str(&format!("protocol {}\n", plain(&self.fingerprint)));
        out.push('\n');
        for (line, joined) in headings.iter().zip([false, true]) {
            let line: Vec<String> = line.iter().map(|&text| text.to_owned()).collect();
            let text = draw("  ", &line, &columns, &widths, joined);
            out.push_str(&format!("{}\n", paint.bold(text.trim_end())));
        }
        for (row, line) in self.rows.iter().zip(&cells) {
            let mark = if row.on_front { "* " } else { "  " };
            let text = draw(mark, line, &columns, &widths, row.ppl.is_some());
            let text = text.trim_end();
            let text = if row.ppl.is_none() { paint.red(text) } else { text.to_owned() };
            out.push_str(&format!("{text}\n"));
        }
        if !left_out.is_empty() {
            let note = format!("left out of {} columns: {}", style.width, left_out.join(", "));
            out.push_str(&format!("\n{}\n", paint.dim(&note)));
        }
        out.push_str(&self.notes(&paint, style.width));
        out.push_str(&super::speed::terminal(&self.speed));
        out
    }

    fn notes(&self, paint: &Paint, width: usize) -> String {
        let mut out = String::new();
        if self.rows.iter().any(|row| row.on_front) {
            let note = lines(&format!("* on the front: {RULE}"), width, "");
            out.push_str(&format!("\n{}\n", paint.dim(&note)));
        }
        if let Some(floor) = &self.noise_floor {
            let note = format!(
                "noise floor: noise of 2⁻⁹ after every layer changes PPL by {} and makes a KLD of {}",
                three_digits(floor.ppl_delta),
                three_digits(floor.kld)
            );
            out.push_str(&format!("\n{}\n", lines(&note, width, "")));
        }
        if self.rows.iter().any(|row| row.imported.is_some()) {
            let text = "\n† imported: bytes declared, not counted; no paired error";
            out.push_str(&format!("{}\n", paint.dim(text)));
        }
        for row in self.rows.iter().filter(|row| row.ppl.is_none()) {
            let reason = row.reason.as_deref().unwrap_or("no reason was recorded");
            let failed = paint.red(&format!("failed: {}", plain(&row.label)));
            let note = format!("{failed}: {}", prose(reason));
            out.push_str(&format!("\n{}\n", lines(&note, width, "")));
        }
        for note in self.weights_only() {
            out.push_str(&format!("\n{}\n", lines(&plain(&note), width, "")));
        }
        let warnings = self.rows.iter().flat_map(|row| row.warnings.iter().map(move |w| (row, w)));
        for (at, (row, warning)) in warnings.enumerate() {
            let gap = if at == 0 { "\n" } else { "" };
            let note = format!("warning: {}: {}", plain(&row.label), prose(warning));
            out.push_str(&format!("{gap}{}\n", lines(&note, width, "")));
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
            let all = labels.len() == self.rows.len();
            let rows = if all { "all rows".to_owned() } else { labels.join(", ") };
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

/// The columns that have room in `width`, and the names of those that have not. The label's width becomes what the
/// others leave it.
fn fit(
    widths: &mut [usize],
    width: usize,
    expendable: Expendable,
) -> (Vec<usize>, Vec<&'static str>) {
    let mut columns: Vec<usize> = (0..widths.len()).collect();
    let mut left_out = Vec::new();
    // "* " comes before labels, two spaces before each other column, and a third one beside "±".
    let others = |columns: &[usize], widths: &[usize]| -> usize {
        columns[1..].iter().map(|&column| widths[column] + 2).sum::<usize>() + 3
    };
    for (places, name) in expendable {
        if widths[0].min(GOOD_LABEL) + others(&columns, widths) > width {
            columns.retain(|column| !places.contains(column));
            left_out.push(name);
        }
    }
    let room = width.saturating_sub(others(&columns, widths)).max(LEAST_LABEL);
    widths[0] = widths[0].min(room);
    (columns, left_out)
}

/// Labels to the left, figures to the right, errors to the left of their `±`.
fn draw(mark: &str, line: &[String], columns: &[usize], widths: &[usize], values: bool) -> String {
    let mut out = mark.to_owned();
    for &column in columns {
        let (text, width) = (&line[column], widths[column]);
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
