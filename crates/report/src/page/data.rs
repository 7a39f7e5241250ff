//! What the page's scripts draw: the cells of all groups, as JSON.

use serde::Serialize;
use strait_metrics::Divergence;
use strait_schema::{CellKind, LinkCounts, Record};

use crate::page::params;
use crate::picture::{Look, XAxis, YAxis, palette};
use crate::text::plain;
use crate::{Report, Row};

/// The pairs of axes that have a front, by the names that the scripts give them.
const FRONTS: [(&str, XAxis, YAxis); 6] = [
    ("bits kld", XAxis::Bits, YAxis::Divergence),
    ("bits delta", XAxis::Bits, YAxis::Perplexity),
    ("bytes_per_token kld", XAxis::Bytes, YAxis::Divergence),
    ("bytes_per_token delta", XAxis::Bytes, YAxis::Perplexity),
    ("gib kld", XAxis::Gib, YAxis::Divergence),
    ("gib delta", XAxis::Gib, YAxis::Perplexity),
];

/// Of each row the pairs of axes on whose front it is.
pub(crate) fn fronts(report: &Report) -> Vec<Vec<&'static str>> {
    let mut fronts = vec![Vec::new(); report.rows.len()];
    for (name, x, y) in FRONTS {
        for (fronts, on) in fronts.iter_mut().zip(report.front(x, y)) {
            if on {
                fronts.push(name);
            }
        }
    }
    fronts
}

/// Everything the scripts need.
#[derive(Debug, Serialize)]
pub(crate) struct PageData {
    /// Cells that may stand in one chart.
    pub(crate) groups: Vec<Group>,
    /// Families in alphabetical order.
    pub(crate) families: Vec<Family>,
    pub(crate) cells: Vec<Cell>,
}

/// A family of cells and its look, as places in the palette.
#[derive(Debug, Serialize)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) color: usize,
    pub(crate) shape: usize,
}

impl Family {
    pub(crate) fn new(name: &str) -> Self {
        let Look { color, shape } = palette::look(name);
        Self { name: plain(name).into_owned(), color, shape }
    }
}

/// Cells of one model under one protocol.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) fingerprint: String,
    /// The baseline's perplexity.
    pub(crate) ppl: Option<f64>,
    /// What bits and bytes are counted of: `links`, `cache`, `mixed` or `weights`.
    pub(crate) unit: &'static str,
}

/// One cell. A number that was not measured, or that JSON cannot hold, is null.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    /// The id of its row and of its details in the page.
    pub(crate) key: String,
    pub(crate) group: usize,
    pub(crate) label: String,
    pub(crate) family: String,
    pub(crate) baseline: bool,
    /// `finished`, `failed`, `running` or `imported`.
    pub(crate) status: &'static str,
    /// Pairs of axes, `bits kld`, on whose front it is.
    pub(crate) fronts: Vec<&'static str>,
    pub(crate) ppl: Option<f64>,
    pub(crate) delta: Option<f64>,
    pub(crate) delta_error: Option<f64>,
    pub(crate) kld: Option<f64>,
    pub(crate) kld_error: Option<f64>,
    /// Quantiles of the divergence: 1, 10, 50, 90, 99, 99.9 % and the largest.
    pub(crate) kld_quantiles: Option<[f64; 7]>,
    pub(crate) top1: Option<f64>,
    /// What the front goes by: bits of a value, or of a weight where models are compared.
    pub(crate) bits: Option<f64>,
    /// Whether the KV cache was compressed: the links are then keys and values.
    pub(crate) cached: bool,
    /// GiB of all weights, where models are compared.
    pub(crate) gib: Option<f64>,
    /// The difference of perplexities in units of the noise floor.
    pub(crate) delta_floors: Option<f64>,
    /// The divergence in units of the noise floor.
    pub(crate) kld_floors: Option<f64>,
    pub(crate) bytes_per_token: Option<f64>,
    pub(crate) encode_mb_per_s: Option<f64>,
    pub(crate) decode_mb_per_s: Option<f64>,
    /// Tokens of a message chunk; null for whole messages.
    pub(crate) chunk_tokens: Option<usize>,
    /// What is equal for the same codec with the same parameters on the same links.
    pub(crate) setting: String,
    /// Microseconds of the model for a token: all stages and the scoring, as measured here.
    pub(crate) model_us: Option<f64>,
    pub(crate) links: Vec<Link>,
}

/// One link of a cell.
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    pub(crate) name: String,
    /// The layer before the cut.
    pub(crate) layer: Option<usize>,
    pub(crate) bytes_per_token: Option<f64>,
    pub(crate) encode_us: Option<f64>,
    pub(crate) decode_us: Option<f64>,
    pub(crate) mse: Option<f64>,
    pub(crate) sqnr_db: Option<f64>,
    /// 1 − cosine: what is left of it is far below what a float near 1 can show on an axis.
    pub(crate) cosine_distance: Option<f64>,
    pub(crate) max_abs: Option<f64>,
    /// Whether every value arrived as it was.
    pub(crate) exact: bool,
}

impl Cell {
    /// The figures of a row and, where there is one, of its record.
    pub(crate) fn new(
        at: usize,
        group: usize,
        row: &Row,
        record: Option<&Record>,
        models: bool,
        fronts: Vec<&'static str>,
    ) -> Self {
        let scores = record.and_then(|record| record.scores.as_ref());
        let links = record.map_or(&[][..], |record| &record.links);
        let tokens = links.iter().map(|link| link.tokens).max().filter(|&tokens| tokens > 0);
        let model_us = record.zip(tokens).and_then(|(record, tokens)| {
            finite(1e6 * record.timing.model_s / tokens as f64).filter(|&us| us > 0.0)
        });
        Self {
            key: format!("cell-{at}"),
            group,
            label: plain(&row.label).into_owned(),
            family: row.codec.clone(),
            baseline: row.is_baseline(),
            status: row.state(),
            fronts,
            ppl: row.ppl.and_then(finite),
            delta: row.ppl_delta.and_then(finite),
            delta_error: row.ppl_delta_error.and_then(finite),
            kld: row.kld_mean.and_then(finite),
            kld_error: row.kld_error.and_then(finite),
            kld_quantiles: scores.map(|scores| quantiles(&scores.kld)),
            top1: row.top1_agreement.and_then(finite),
            bits: row.bits.and_then(finite),
            cached: row.cached,
            gib: row.gib.filter(|_| models).and_then(finite),
            delta_floors: row.ppl_delta_floors.and_then(finite),
            kld_floors: row.kld_floors.and_then(finite),
            bytes_per_token: row.bytes_per_token.and_then(finite),
            encode_mb_per_s: row.encode_mb_per_s.and_then(finite),
            decode_mb_per_s: row.decode_mb_per_s.and_then(finite),
            chunk_tokens: record.and_then(|record| record.cell.chunk_tokens),
            setting: plain(&record.map_or_else(|| row.label.clone(), setting)).into_owned(),
            model_us,
            links: if scores.is_some() {
                links.iter().map(Link::new).collect()
            } else {
                Vec::new()
            },
        }
    }
}

impl Link {
    fn new(counts: &LinkCounts) -> Self {
        let per_token = |total: f64| finite(total / counts.tokens as f64);
        let distortion = &counts.distortion;
        Self {
            name: counts.name.clone(),
            layer: layer(&counts.name),
            bytes_per_token: per_token(counts.payload_bytes as f64),
            encode_us: per_token(1e6 * counts.encode_s),
            decode_us: per_token(1e6 * counts.decode_s),
            mse: finite(distortion.mse()),
            sqnr_db: finite(distortion.sqnr_db()),
            cosine_distance: finite((1.0 - distortion.cosine()).max(0.0)),
            max_abs: finite(distortion.max_abs),
            exact: distortion.squared_error == 0.0,
        }
    }
}

/// The layer in a link's name, `after:7 node0->node1`.
fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("after:")?.split(' ').next()?.parse().ok()
}

fn setting(record: &Record) -> String {
    match &record.cell.kind {
        CellKind::Cache(cache) => format!("cache {cache:?}"),
        CellKind::Links(codec) => {
            format!("{} {} {:?}", codec.codec, params::sorted(&codec.params), codec.links)
        }
        CellKind::Baseline | CellKind::Noise { .. } | CellKind::Model { .. } => {
            format!("{} {}", record.cell.family(), record.label)
        }
    }
}

fn quantiles(kld: &Divergence) -> [f64; 7] {
    [kld.p01, kld.p10, kld.median, kld.p90, kld.p99, kld.p999, kld.max]
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
