//! Where to cut a model and what to send: the shortest time per token among cells that were measured.
//!
//! Nodes work one after the other, as they do for one user. Of a prompt of n tokens, per token:
//! compute + Σ over links of (encode + decode + 8·bytes / bandwidth + round trip / 2n). Of a token that is
//! generated: the same with n = 1, and half a round trip for the token's way back to the first node, unless
//! the last link leads there. A codec pays below its break-even bandwidth 8·(raw − payload bytes) / (encode +
//! decode seconds); both are of a token.

use serde::Serialize;
use strait_metrics::PairedSums;
use strait_schema::{Record, WindowSums};

use super::front::{Candidate, front};
use super::pairs::Loss;
use super::pivot::active_cuts;
use crate::{Report, ReportError, Row};

/// The network between the nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Mbit/s of each link, in the order in which messages cross them; the last one goes for all that follow.
    pub bandwidth: Vec<f64>,
    /// Milliseconds of a round trip on each link, likewise.
    pub round_trip: Vec<f64>,
    /// Tokens of a prompt.
    pub prompt: usize,
}

/// Speeds that are stated instead of measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stated {
    /// Milliseconds that a layer takes for a token of a prompt on each node; the last one goes for all
    /// that follow. As the records measured it if empty.
    pub layer_ms: Vec<f64>,
    /// The same of a token that is generated; as for a prompt if empty.
    pub decode_layer_ms: Vec<f64>,
}

/// One way to cut and send.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Label of the cell, or `uncompressed`.
    pub label: String,
    /// The model is cut after these layers.
    pub cuts: Vec<usize>,
    /// Perplexity above the baseline.
    pub ppl_delta: f64,
    /// Its standard error.
    pub ppl_delta_error: f64,
    /// Payload bytes of a token on all links together, in a prompt.
    pub prefill_bytes: f64,
    /// The same of a token that is generated.
    pub decode_bytes: f64,
    /// Whether these come from a run with messages of one token; else they are those of a prompt.
    pub decode_measured: bool,
    /// Milliseconds of a token of a prompt.
    pub prefill_ms: f64,
    /// Milliseconds of a token that is generated.
    pub decode_ms: f64,
    /// Mbit/s below which the codec saves time; `None` if it takes none.
    pub break_even_mbit: Option<f64>,
    /// Whether no other way that generates as fast has a divergence lower by more than the error of their paired
    /// difference.
    pub on_front: bool,
}

/// What was measured of cells that may be chosen.
#[derive(Debug, Clone)]
pub struct Planner {
    cells: Vec<Measured>,
    /// Seconds of all layers for a token, as the baseline measured it.
    compute_s: f64,
    layers: usize,
}

#[derive(Debug, Clone)]
struct Measured {
    label: String,
    key: String,
    chunk: Option<usize>,
    cuts: Vec<usize>,
    ring: bool,
    delta: (f64, f64),
    /// Divergence and its error.
    kld: (f64, f64),
    /// Sums of every window, by which two ways are paired.
    windows: Vec<WindowSums>,
    /// Of each link.
    links: Vec<PerToken>,
}

/// What a token costs on a link.
#[derive(Debug, Clone, Copy)]
struct PerToken {
    raw: f64,
    bytes: f64,
    codec_s: f64,
}

impl Planner {
    /// Reads what records of one model and protocol measured. Cells that leave some links alone are taken
    /// as a model that is cut at the others only.
    ///
    /// # Errors
    /// If the protocols differ, or there is no finished codec or no baseline.
    pub fn new(records: &[Record]) -> Result<Self, ReportError> {
        Report::from_records(records)?;
        let cells: Vec<Measured> = records.iter().filter_map(Measured::of).collect();
        let baseline =
            records.iter().find(|record| record.cell.is_baseline() && record.is_finished());
        let (Some(baseline), false) = (baseline, cells.is_empty()) else {
            return Err(ReportError::Empty);
        };
        let tokens = baseline.links.first().map_or(0, |link| link.tokens).max(1);
        let compute_s = baseline.timing.stage_s.iter().sum::<f64>() / tokens as f64;
        Ok(Self { cells, compute_s, layers: baseline.cell.model.layers })
    }

    /// Milliseconds that a layer took for a token where the records were made.
    #[must_use]
    pub fn measured_layer_ms(&self) -> f64 {
        1e3 * self.compute_s / self.layers.max(1) as f64
    }

    /// All ways within `most` of the baseline's perplexity, the fastest to generate first.
    ///
    /// # Errors
    /// If there is none.
    pub fn choices(
        &self,
        network: &Network,
        stated: &Stated,
        most: f64,
    ) -> Result<Vec<Choice>, ReportError> {
        let mut choices: Vec<(Choice, Measured)> = Vec::new();
        for cell in self.cells.iter().filter(|cell| cell.chunk != Some(1)) {
            let alone =
                self.cells.iter().find(|other| other.chunk == Some(1) && other.key == cell.key);
            choices.push((self.choice(cell, alone, network, stated), cell.worse(alone).clone()));
            let uncompressed = cell.uncompressed();
            let is_there =
                |(c, _): &(Choice, Measured)| c.label == uncompressed.label && c.cuts == cell.cuts;
            if !choices.iter().any(is_there) {
                let choice = self.choice(&uncompressed, Some(&uncompressed), network, stated);
                choices.push((choice, uncompressed));
            }
        }
        let least =
            choices.iter().map(|(choice, _)| choice.ppl_delta).fold(f64::INFINITY, f64::min);
        let mut choices = mark_front(choices);
        choices.retain(|choice| choice.ppl_delta <= most);
        if choices.is_empty() {
            return Err(ReportError::NoneGoodEnough { most, least });
        }
        choices.sort_by(|a, b| {
            let by =
                a.decode_ms.total_cmp(&b.decode_ms).then(a.prefill_ms.total_cmp(&b.prefill_ms));
            by.then_with(|| a.label.cmp(&b.label))
        });
        Ok(choices)
    }

    fn choice(
        &self,
        cell: &Measured,
        alone: Option<&Measured>,
        network: &Network,
        stated: &Stated,
    ) -> Choice {
        let decode_layers = if stated.decode_layer_ms.is_empty() {
            &stated.layer_ms
        } else {
            &stated.decode_layer_ms
        };
        let one = alone.unwrap_or(cell);
        let back = if cell.ring {
            0.0
        } else {
            at(&network.round_trip, cell.links.len().saturating_sub(1)) / 2.0
        };
        let sum =
            |cell: &Measured, of: fn(&PerToken) -> f64| cell.links.iter().map(of).sum::<f64>();
        let codec_s = sum(cell, |link| link.codec_s);
        let saved = sum(cell, |link| link.raw - link.bytes);
        let (delta, error) = cell.worse(alone).delta;
        Choice {
            label: cell.label.clone(),
            cuts: cell.cuts.clone(),
            ppl_delta: delta,
            ppl_delta_error: error,
            prefill_bytes: sum(cell, |link| link.bytes),
            decode_bytes: sum(one, |link| link.bytes),
            decode_measured: alone.is_some(),
            prefill_ms: self.compute_ms(&cell.cuts, &stated.layer_ms)
                + on_links(cell, network, network.prompt.max(1) as f64),
            decode_ms: self.compute_ms(&cell.cuts, decode_layers)
                + on_links(one, network, 1.0)
                + back,
            break_even_mbit: (codec_s > 0.0).then(|| (8e-6 * saved / codec_s).max(0.0)),
            on_front: false,
        }
    }

    fn compute_ms(&self, cuts: &[usize], layer_ms: &[f64]) -> f64 {
        if layer_ms.is_empty() {
            return 1e3 * self.compute_s;
        }
        let ends = cuts.iter().map(|cut| cut + 1).chain([self.layers]);
        let mut start = 0;
        let stages = ends.enumerate().map(|(node, end)| {
            let layers = end.saturating_sub(start);
            start = end;
            layers as f64 * at(layer_ms, node)
        });
        stages.sum()
    }
}

impl Measured {
    fn of(record: &Record) -> Option<Self> {
        let codec = record.cell.compressor()?;
        let row = Row::from_record(record);
        let links = codec.links.iter().map(|&link| {
            let counts = record.links.get(link).filter(|counts| counts.tokens > 0)?;
            let tokens = counts.tokens as f64;
            Some(PerToken {
                raw: counts.raw_bytes as f64 / tokens,
                bytes: counts.payload_bytes as f64 / tokens,
                codec_s: (counts.encode_s + counts.decode_s) / tokens,
            })
        });
        let side = serde_json::to_string(&codec.side).ok()?;
        let params = serde_json::to_string(&codec.params).ok()?;
        let nodes = &record.cell.partition.nodes;
        Some(Self {
            label: record.label.clone(),
            key: format!("{} {params} {side} {:?}", codec.codec, codec.links),
            chunk: record.cell.chunk_tokens,
            cuts: active_cuts(record, codec),
            ring: nodes.len() > 1 && nodes.first() == nodes.last(),
            delta: (row.ppl_delta?, row.ppl_delta_error.unwrap_or(0.0)),
            kld: (row.kld_mean?, row.kld_error.unwrap_or(0.0)),
            windows: row.windows,
            links: links.collect::<Option<Vec<_>>>()?,
        })
    }

    /// Of the same codec in messages of a prompt and of one token, that which loses more.
    fn worse<'a>(&'a self, alone: Option<&'a Self>) -> &'a Self {
        alone.filter(|alone| alone.delta.0 > self.delta.0).unwrap_or(self)
    }

    fn uncompressed(&self) -> Self {
        let plain = |link: &PerToken| PerToken { bytes: link.raw, codec_s: 0.0, ..*link };
        Self {
            label: "uncompressed".to_owned(),
            delta: (0.0, 0.0),
            kld: (0.0, 0.0),
            windows: self.windows.iter().map(unchanged).collect(),
            links: self.links.iter().map(plain).collect(),
            ..self.clone()
        }
    }
}

/// What a window of the same tokens sums up to where nothing is lost.
fn unchanged(window: &WindowSums) -> WindowSums {
    let base = PairedSums { a: window.sums.b, b: window.sums.b, ..PairedSums::default() };
    WindowSums { sums: base, kld_sum: 0.0, same_top: window.scored, ..window.clone() }
}

/// Says which choices are on the front of divergence against the time of a token that is generated.
fn mark_front(choices: Vec<(Choice, Measured)>) -> Vec<Choice> {
    let candidates: Vec<Candidate<'_>> = choices
        .iter()
        .map(|(choice, cell)| Candidate {
            cost: choice.decode_ms,
            loss: cell.kld.0,
            error: cell.kld.1,
            windows: &cell.windows,
        })
        .collect();
    let on_front = front(&candidates, Loss::Divergence);
    let marked = choices.into_iter().zip(on_front);
    marked.map(|((choice, _), on_front)| Choice { on_front, ..choice }).collect()
}

/// Milliseconds that a token of a message of `tokens` takes on all links.
fn on_links(cell: &Measured, network: &Network, tokens: f64) -> f64 {
    let each = cell.links.iter().enumerate().map(|(index, link)| {
        let wire_ms = 8e-3 * link.bytes / at(&network.bandwidth, index);
        1e3 * link.codec_s + wire_ms + at(&network.round_trip, index) / 2.0 / tokens
    });
    each.sum()
}

fn at(values: &[f64], index: usize) -> f64 {
    values.get(index).or(values.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planner(chunks: &[(Option<usize>, f64)]) -> Planner {
        let cells = chunks.iter().map(|&(chunk, bytes)| Measured {
            label: "int8".to_owned(),
            key: "int8".to_owned(),
            chunk,
            cuts: vec![3],
            ring: false,
            delta: (0.1, 0.01),
            kld: (0.02, 0.001),
            windows: Vec::new(),
            links: vec![PerToken { raw: 4000.0, bytes, codec_s: 5e-4 }],
        });
        Planner { cells: cells.collect(), compute_s: 0.01, layers: 10 }
    }

    fn network(mbit: f64) -> Network {
        Network { bandwidth: vec![mbit], round_trip: vec![10.0], prompt: 100 }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} and {expected}");
    }

    #[test]
    fn a_token_takes_compute_codec_wire_and_way() {
        let planner = planner(&[(None, 1000.0)]);
        let choices = planner.choices(&network(8.0), &Stated::default(), 0.2).unwrap();
        assert_eq!([&*choices[0].label, &*choices[1].label], ["int8", "uncompressed"]);
        // 10 ms of compute, 0.5 of the codec, 1 on the wire, a share of the way, which is there and back.
        close(choices[0].prefill_ms, 10.0 + 0.5 + 1.0 + 0.05);
        close(choices[0].decode_ms, 10.0 + 0.5 + 1.0 + 5.0 + 5.0);
        close(choices[1].decode_ms, 10.0 + 4.0 + 10.0);
        assert_eq!((choices[0].decode_measured, choices[1].break_even_mbit), (false, None));
        assert_eq!([choices[0].on_front, choices[1].on_front], [true, true]);
        let even = choices[0].break_even_mbit.unwrap();
        close(even, 48.0);
        let choices = planner.choices(&network(even), &Stated::default(), 0.2).unwrap();
        close(choices[0].prefill_ms, choices[1].prefill_ms);
        // Where the codec only takes time, what loses nothing and is faster beats it.
        let choices = planner.choices(&network(1e6), &Stated::default(), 0.2).unwrap();
        let marks: Vec<_> = choices.iter().map(|c| (c.label.as_str(), c.on_front)).collect();
        assert_eq!(marks, [("uncompressed", true), ("int8", false)]);
    }

    #[test]
    fn stated_speeds_messages_of_one_token_and_limits() {
        let planner = planner(&[(None, 1000.0), (Some(1), 1500.0)]);
        let stated = Stated { layer_ms: vec![1.0, 0.1], decode_layer_ms: vec![2.0] };
        let choices = planner.choices(&network(8.0), &stated, 0.2).unwrap();
        close(choices[0].prefill_ms, 4.6 + 0.5 + 1.0 + 0.05);
        close(choices[0].decode_ms, 20.0 + 0.5 + 1.5 + 10.0);
        assert!(choices[0].decode_measured && choices.len() == 2);
        let choices = planner.choices(&network(8.0), &stated, 0.05).unwrap();
        assert_eq!((&*choices[0].label, choices.len()), ("uncompressed", 1));
        assert!(matches!(
            planner.choices(&network(8.0), &stated, -1.0),
            Err(ReportError::NoneGoodEnough { .. })
        ));
    }
}
