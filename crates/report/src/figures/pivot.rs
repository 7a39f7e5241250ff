//! One figure by what cells differ in: a line for each choice of the first keys, a column for each value of
//! the last. This is how sweeps are published.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use strait_schema::{CellCompressor, Record};

use crate::text::format::{NONE, aligned, bits, perplexity, three_digits};
use crate::text::{csv_text, escape_markdown, plain};
use crate::{Report, ReportError, Row};

/// What stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Figure {
    /// Perplexity.
    #[default]
    Perplexity,
    /// Perplexity minus that of the baseline.
    Difference,
    /// Mean divergence from the baseline in nats.
    Divergence,
    /// Payload bits of a value on the links where the codec works.
    Bits,
}

/// A figure by keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Pivot {
    figure: Figure,
    /// The keys; the last one goes across.
    keys: Vec<String>,
    /// Values of the last key.
    across: Vec<String>,
    /// Values of the other keys, and the figure for each value of the last.
    lines: Vec<(Vec<String>, Vec<Option<f64>>)>,
}

impl Pivot {
    /// Arranges the cells that have all `keys`; `only` keeps those with these values of other keys.
    ///
    /// A key is `cut` (the layers before the links where the codec works), `codec`, `label`, `chunk_tokens`,
    /// a key of `side` (`side.metric`), or a parameter (`fraction`, `low.bits`).
    ///
    /// # Errors
    /// If no cell has the keys, two cells have the same place, or the protocols differ.
    pub fn new(
        records: &[Record],
        keys: &[String],
        only: &[(String, String)],
        figure: Figure,
    ) -> Result<Self, ReportError> {
        Report::from_records(records)?;
        let Some((last, first)) = keys.split_last() else { return Err(ReportError::Empty) };
        let mut places: Vec<(Vec<String>, String, &Record)> = Vec::new();
        let wanted = |record: &&Record| {
            only.iter().all(|(key, value)| value_of(record, key).as_ref() == Some(value))
        };
        for record in records.iter().filter(wanted) {
            let line: Option<Vec<String>> = first.iter().map(|key| value_of(record, key)).collect();
            let (Some(line), Some(column)) = (line, value_of(record, last)) else { continue };
            if let Some((_, _, other)) = places.iter().find(|(l, c, _)| (l, c) == (&line, &column))
            {
                let labels = [other.label.clone(), record.label.clone()];
                return Err(ReportError::SamePlace { keys: keys.join(","), labels });
            }
            places.push((line, column, record));
        }
        if places.is_empty() {
            return Err(ReportError::NoSuchKeys { keys: keys.join(","), known: known(records) });
        }
        let sorted = |mut values: Vec<Vec<String>>| {
            values.sort_by(|a, b| compare(a, b));
            values.dedup();
            values
        };
        let across = sorted(places.iter().map(|(_, column, _)| vec![column.clone()]).collect());
        let across: Vec<String> = across.concat();
        let lines = sorted(places.iter().map(|(line, ..)| line.clone()).collect());
        let lines = lines.into_iter().map(|line| {
            let values = across.iter().map(|column| {
                let found = places.iter().find(|(l, c, _)| (l, c) == (&line, column));
                found.and_then(|(_, _, record)| figure_of(record, figure))
            });
            let values = values.collect();
            (line, values)
        });
        Ok(Self { figure, keys: keys.to_vec(), lines: lines.collect(), across })
    }

    /// Aligned text.
    #[must_use]
    pub fn terminal(&self) -> String {
        let rows = self.rows(|value| self.show(value));
        let lines = aligned(&rows, self.keys.len() - 1);
        let title = format!("{} by {}", self.figure.name(), plain(&self.keys.join(", ")));
        std::iter::once(title).chain(lines).collect::<Vec<_>>().join("\n")
    }

    /// GitHub's Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let rows = self.rows(|value| self.show(value));
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| escape_markdown(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let marks: Vec<String> = (0..rows[0].len())
            .map(|at| if at + 1 < self.keys.len() { ":--" } else { "--:" }.to_owned())
            .collect();
        let body: String = rows[1..].iter().map(|row| line(row)).collect();
        format!("{}{}{body}", line(&rows[0]), format_args!("| {} |\n", marks.join(" | ")))
    }

    /// CSV with all digits.
    #[must_use]
    pub fn csv(&self) -> String {
        let rows = self.rows(|value| value.map_or_else(String::new, |value| value.to_string()));
        let line = |row: &Vec<String>| {
            row.iter().map(|cell| csv_text(cell)).collect::<Vec<_>>().join(",") + "\n"
        };
        rows.iter().map(line).collect()
    }

    /// An array of objects, one a cell, with its keys and the figure.
    #[must_use]
    pub fn json(&self) -> String {
        let mut cells = Vec::new();
        for (line, values) in &self.lines {
            for (column, value) in self.across.iter().zip(values) {
                let Some(value) = value else { continue };
                let names = self.keys.iter().zip(line.iter().chain([column]));
                let mut cell: Map<String, Value> =
                    names.map(|(key, value)| (key.clone(), json!(value))).collect();
                cell.insert(self.figure.key().to_owned(), json!(value));
                cells.push(Value::Object(cell));
            }
        }
        format!("{:#}", Value::Array(cells))
    }

    /// Headings and lines.
    fn rows(&self, show: impl Fn(Option<f64>) -> String) -> Vec<Vec<String>> {
        let (last, first) = (&self.keys[self.keys.len() - 1], &self.keys[..self.keys.len() - 1]);
        let across = self.across.iter().map(|value| format!("{last} {value}"));
        let mut rows = vec![first.iter().cloned().chain(across).collect::<Vec<_>>()];
        for (line, values) in &self.lines {
            rows.push(
                line.iter().cloned().chain(values.iter().map(|value| show(*value))).collect(),
            );
        }
        rows
    }

    fn show(&self, value: Option<f64>) -> String {
        value.map_or_else(
            || NONE.to_owned(),
            |value| match self.figure {
                Figure::Perplexity => perplexity(value),
                Figure::Difference => format!("{value:+.4}"),
                Figure::Divergence => three_digits(value),
                Figure::Bits => bits(value),
            },
        )
    }
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::Perplexity => "PPL",
            Self::Difference => "ΔPPL",
            Self::Divergence => "KLD (nats)",
            Self::Bits => "bits per value",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Perplexity => "ppl",
            Self::Difference => "ppl_delta",
            Self::Divergence => "kld_mean",
            Self::Bits => "bits_per_value",
        }
    }
}

fn figure_of(record: &Record, figure: Figure) -> Option<f64> {
    let row = Row::from_record(record);
    match figure {
        Figure::Perplexity => row.ppl,
        Figure::Difference => row.ppl_delta,
        Figure::Divergence => row.kld_mean,
        Figure::Bits => row.ppl.and_then(|_| active_bits(record)),
    }
}

/// Payload bits of a value on the links where the codec works.
pub(crate) fn active_bits(record: &Record) -> Option<f64> {
    let codec = record.cell.compressor()?;
    let links = codec.links.iter().filter_map(|&link| record.links.get(link));
    let (bytes, values) = links
        .fold((0, 0), |(bytes, values), link| (bytes + link.payload_bytes, values + link.values));
    (values > 0).then(|| 8.0 * bytes as f64 / values as f64)
}

/// The layers before the links where a codec works.
pub(crate) fn active_cuts(record: &Record, codec: &CellCompressor) -> Vec<usize> {
    codec.links.iter().filter_map(|&link| record.cell.partition.cuts.get(link).copied()).collect()
}

fn value_of(record: &Record, key: &str) -> Option<String> {
    let codec = record.cell.compressor()?;
    match key {
        "label" => return Some(record.label.clone()),
        "codec" => return Some(codec.codec.clone()),
        "chunk_tokens" => return record.cell.chunk_tokens.map(|tokens| tokens.to_string()),
        "cut" => {
            let cuts = active_cuts(record, codec);
            return Some(cuts.iter().map(usize::to_string).collect::<Vec<_>>().join("+"));
        }
        _ => {}
    }
    let side;
    let (mut table, mut key) = (&codec.params, key);
    if let Some(rest) = key.strip_prefix("side.") {
        let Ok(Value::Object(told)) = serde_json::to_value(codec.side.as_ref()?) else {
            return None;
        };
        (side, key) = (told, rest);
        table = &side;
    }
    while let Some((outer, inner)) = key.split_once('.') {
        (table, key) = (table.get(outer)?.as_object()?, inner);
    }
    match table.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Keys that some cell has.
fn known(records: &[Record]) -> String {
    let mut keys: BTreeSet<String> = ["codec", "cut", "label"].map(str::to_owned).into();
    for codec in records.iter().filter_map(|record| record.cell.compressor()) {
        keys.extend(codec.params.keys().cloned());
        if codec.side.is_some() {
            keys.extend(["side.metric", "side.aggregate"].map(str::to_owned));
        }
    }
    keys.into_iter().collect::<Vec<_>>().join(", ")
}

/// Numbers by their size, words by their letters.
fn compare(a: &[String], b: &[String]) -> Ordering {
    let each = a.iter().zip(b).map(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) => x.total_cmp(&y),
        _ => a.cmp(b),
    });
    each.fold(Ordering::Equal, Ordering::then)
}
