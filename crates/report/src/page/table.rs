//! The page's table: HTML that is complete before a script sorts it.

use crate::figures::front::RULE;
use crate::page::escape;
use crate::picture::palette;
use crate::text::format::{NONE, bits, difference, percent, perplexity, three_digits};
use crate::{Report, Row};

/// Heading, explanation, the key by which scripts know the column, and the class of the columns that are
/// shown with it.
const COLUMNS: [(&str, &str, &str, &str); 18] = [
    ("Cell", "Name of the cell; a star marks the front", "label", ""),
    ("Family", "The codec or press, or the format of a model", "family", ""),
    (
        "Bits/value",
        "Payload bits divided by the values that crossed, or were cached",
        "bits",
        VALUES,
    ),
    ("Bytes/token", "Payload bytes of one token on one link, or in the cache", "bytes", VALUES),
    ("PPL", "Perplexity of the scored tokens", "ppl", ""),
    ("ΔPPL", "Difference to the baseline, tokens paired", "delta", ""),
    ("±", "Standard error of the difference", "error", ""),
    ("KLD", "Mean divergence from the baseline in nats", "kld", ""),
    ("KLD 99 %", "99 % quantile of the divergence", "kld99", ""),
    ("Top-1", "Scored tokens with the same most probable token", "top1", ""),
    ("Enc MB/s", "Bytes of the model's dtype encoded in a second", "enc", VALUES),
    ("Dec MB/s", "Bytes of the model's dtype decoded in a second", "dec", VALUES),
    ("Bits/weight", "Stored bits of one weight of the decoder blocks", "weight-bits", WEIGHTS),
    ("Head bits", "Stored bits of one weight of the head", "head-bits", WEIGHTS),
    ("GiB", "All weights", "gib", WEIGHTS),
    ("GiB no emb.", "The decoder blocks' matrices and the head", "gib-no-emb", WEIGHTS),
    (
        "ΔPPL/floor",
        "Difference of perplexities in units of the noise floor",
        "delta-floors",
        FLOORS,
    ),
    ("KLD/floor", "Divergence in units of the noise floor", "kld-floors", FLOORS),
];

/// Columns of codecs and presses.
const VALUES: &str = "values";
/// Columns of models that are compared.
const WEIGHTS: &str = "weights";
/// Columns of the noise floor.
const FLOORS: &str = "floors";

/// Which columns are shown: the classes of the table hide the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    values: bool,
    weights: bool,
    floors: bool,
}

impl Columns {
    /// Those that some group of cells needs.
    pub(super) fn of<'a>(reports: impl Iterator<Item = &'a Report> + Clone) -> Self {
        Self {
            values: reports.clone().any(|report| !report.models),
            weights: reports.clone().any(|report| report.models),
            floors: reports.clone().any(|report| report.noise_floor.is_some()),
        }
    }

    /// The classes that follow the table's own.
    pub(super) fn classes(self) -> String {
        [(self.values, VALUES), (self.weights, WEIGHTS), (self.floors, FLOORS)]
            .into_iter()
            .filter(|(shown, _)| !shown)
            .map(|(_, name)| format!(" no-{name}"))
            .collect()
    }
}

/// A class attribute, if there is a class.
fn class(names: &str) -> String {
    let names = names.trim();
    if names.is_empty() { String::new() } else { format!(" class=\"{names}\"") }
}

pub(super) fn headings() -> String {
    COLUMNS
        .iter()
        .enumerate()
        .map(|(at, (name, explanation, key, shown))| {
            let kind = class(&format!("{} {shown}", if at < 2 { "text" } else { "number" }));
            format!(
                "<th scope=\"col\"{kind}><button type=\"button\" data-sort=\"{key}\" \
                 title=\"{explanation}\">{name}</button></th>\n"
            )
        })
        .collect()
}

pub(super) fn row(at: usize, group: usize, row: &Row) -> String {
    let show = |value: Option<f64>, format: fn(f64) -> String| {
        value.filter(|value| value.is_finite()).map_or_else(|| NONE.to_owned(), format)
    };
    let relative = |value: Option<f64>| value.filter(|_| !row.is_baseline());
    let delta =
        relative(row.ppl_delta).map(|delta| difference(delta, row.ppl_delta_error.unwrap_or(0.0)));
    let (delta, error) = match delta {
        Some((delta, error)) if row.ppl_delta_error.is_some() => (delta.replace('-', "−"), error),
        Some(_) => {
            (format!("{:+.4}", row.ppl_delta.unwrap_or(0.0)).replace('-', "−"), NONE.to_owned())
        }
        None => (NONE.to_owned(), NONE.to_owned()),
    };
    let rate = |value: Option<f64>| show(value, |rate| format!("{rate:.0}"));
    let gib = |value: Option<f64>| (value, show(value, |gib| format!("{gib:.3}")));
    let floors = |value: Option<f64>| (value, show(value, three_digits).replace('-', "−"));
    let numbers: [(Option<f64>, String); COLUMNS.len() - 2] = [
        (row.bits_per_value, show(row.bits_per_value, bits)),
        (row.bytes_per_token, show(row.bytes_per_token, |bytes| format!("{bytes:.1}"))),
        (row.ppl, row.ppl.map_or_else(|| row.state().to_owned(), perplexity)),
        (row.ppl_delta, delta),
        (row.ppl_delta_error, error),
        (row.kld_mean, show(relative(row.kld_mean), three_digits)),
        (row.kld_p99, show(relative(row.kld_p99), three_digits)),
        (row.top1_agreement, show(relative(row.top1_agreement), percent)),
        (row.encode_mb_per_s, rate(row.encode_mb_per_s)),
        (row.decode_mb_per_s, rate(row.decode_mb_per_s)),
        (row.bits_per_weight, show(row.bits_per_weight, bits)),
        (row.head_bits_per_weight, show(row.head_bits_per_weight, bits)),
        gib(row.gib),
        gib(row.gib_without_embeddings),
        floors(row.ppl_delta_floors),
        floors(row.kld_floors),
    ];
    let mut out = format!(
        "<tr id=\"row-{at}\" data-cell=\"{at}\" data-group=\"{group}\" data-family=\"{}\" \
         class=\"{}{}\">",
        escape(&row.codec),
        row.state(),
        if row.on_front { " front" } else { "" },
    );
    let star = if row.on_front {
        format!("<span class=\"star\" title=\"on the front: {RULE}\">★</span>")
    } else {
        String::new()
    };
    let mark = match row.imported {
        Some(_) => "<span class=\"mark\" title=\"imported; bytes declared, not counted\">†</span>",
        None => "",
    };
    out.push_str(&format!(
        "<th scope=\"row\"><a href=\"#cell-{at}\">{}</a>{mark}{star}</th>",
        escape(&row.label)
    ));
    let color = if row.is_baseline() {
        "var(--ink)".to_owned()
    } else {
        format!("var(--f{})", palette::look(&row.codec).color)
    };
    out.push_str(&format!(
        "<td><i class=\"swatch\" style=\"background:{color}\"></i>{}</td>",
        escape(&row.codec)
    ));
    for ((value, text), (.., shown)) in numbers.into_iter().zip(&COLUMNS[2..]) {
        let value = value.filter(|value| value.is_finite());
        let key =
            value.map_or_else(String::new, |value| format!(" data-value=\"{}\"", short(value)));
        let shown = class(shown);
        out.push_str(&format!("<td{shown}{key}>{}</td>", escape(&text)));
    }
    out.push_str("</tr>\n");
    out
}

/// A number to eight digits, which sort a table as well as all of them.
fn short(value: f64) -> String {
    let rounded: f64 = format!("{value:.7e}").parse().unwrap_or(value);
    format!("{rounded:e}")
}
