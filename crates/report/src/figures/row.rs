//! One line of a table: the ratios that a record's raw counts stand for.

use crate::figures::agree;
use strait_metrics::{Agreement, Bootstrap, Interval, bits_per_byte};
use strait_schema::{
    Imported, ImportedSite, LinkCounts, Record, Role, RunningCell, Status, WindowSums,
};

/// The figures of one cell. All but the names are `None` if the cell failed, and a rate is also
/// `None` if nothing was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Identity of the record; empty for a row that has none.
    pub id: String,
    /// Name of the cell.
    pub label: String,
    /// Family of the cell, as [`strait_schema::RecordCell::family`] says; of an imported result that which
    /// it declares.
    pub codec: String,
    /// The kind of the cell; of an imported result the site that it compresses.
    pub role: Role,
    /// Whether the cell went through all windows.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<String>,
    /// Perplexity.
    pub ppl: Option<f64>,
    /// Standard error of the perplexity.
    pub ppl_error: Option<f64>,
    /// Perplexity minus that of the baseline.
    pub ppl_delta: Option<f64>,
    /// Standard error of the difference, tokens paired.
    pub ppl_delta_error: Option<f64>,
    /// 95 % of bootstrap draws of whole windows have a difference inside; `None` also with fewer than
    /// two windows. Where windows overlap they are not independent, and it is too narrow.
    pub ppl_delta_interval: Option<Interval>,
    /// Bits per byte of scored text, which compares tokenizers; `None` also if the bytes were not
    /// counted.
    pub bits_per_byte: Option<f64>,
    /// Mean KL(baseline ‖ cell) in nats per token.
    pub kld_mean: Option<f64>,
    /// Standard error of the mean.
    pub kld_error: Option<f64>,
    /// Median of the divergence in nats.
    pub kld_median: Option<f64>,
    /// 99 % quantile of the divergence in nats.
    pub kld_p99: Option<f64>,
    /// Mean divergence in nats of the tokens where the baseline is surest, those of the last bucket;
    /// `None` also without such tokens.
    pub kld_confident: Option<f64>,
    /// Mean change of the correct token's probability.
    pub shift_mean: Option<f64>,
    /// Root mean square of that change.
    pub shift_rms: Option<f64>,
    /// Standard error of the root mean square.
    pub shift_rms_error: Option<f64>,
    /// Share of tokens, from 0 to 1, where cell and baseline prefer the same next token.
    pub top1_agreement: Option<f64>,
    /// Standard error of the share.
    pub top1_error: Option<f64>,
    /// Whether the KV cache is what was compressed: values and bytes are then those of keys and values.
    pub cached: bool,
    /// Payload bytes of one token on one link, mean over the links; of a KV cache, keys and values
    /// together.
    pub bytes_per_token: Option<f64>,
    /// Payload bits of one value, over all links together, or over all keys and values.
    pub bits_per_value: Option<f64>,
    /// Stored bits of one weight of the decoder blocks; `None` also if they were not counted.
    pub bits_per_weight: Option<f64>,
    /// Stored bits of one weight of the head.
    pub head_bits_per_weight: Option<f64>,
    /// GiB of all weights.
    pub gib: Option<f64>,
    /// GiB of the decoder blocks' matrices and of the head.
    pub gib_without_embeddings: Option<f64>,
    /// What front and picture go by: bits of a value on the links, or bits of a weight where models
    /// are compared.
    pub bits: Option<f64>,
    /// Seconds in encode, all links together.
    pub encode_s: Option<f64>,
    /// Seconds in decode, all links together.
    pub decode_s: Option<f64>,
    /// Million input bytes (in the model's dtype) encoded in a second.
    pub encode_mb_per_s: Option<f64>,
    /// Million output bytes (in the model's dtype) decoded in a second.
    pub decode_mb_per_s: Option<f64>,
    /// Signal to noise of the decoded values in decibels, on the worst link; infinite if exact.
    pub sqnr_db: Option<f64>,
    /// Bytes that both sides hold before the first message.
    pub static_bytes: u64,
    /// Tokens that are scored.
    pub scored_tokens: u64,
    /// Fingerprint of the protocol: figures of different ones do not compare.
    pub fingerprint: String,
    /// The difference of perplexities in units of the noise floor; `None` also if that was not measured.
    pub ppl_delta_floors: Option<f64>,
    /// The mean divergence in units of the noise floor.
    pub kld_floors: Option<f64>,
    /// Whether no other row with as few [`Row::bits`] has a divergence lower by more than the error of their paired
    /// difference.
    pub on_front: bool,
    /// What a reader should know before believing the numbers.
    pub warnings: Vec<String>,
    /// What the model quantizes besides weights, none of which is in the figures.
    pub weights_only: Vec<String>,
    /// Where an imported result comes from: its bytes are declared, not counted.
    pub imported: Option<String>,
    /// Windows done and windows in all, of a cell that is running.
    pub progress: Option<(usize, usize)>,
    /// Sums of every window, by which two cells are paired.
    pub(crate) windows: Vec<WindowSums>,
}

impl Row {
    /// Computes the ratios. What needs the other rows (`on_front`, units of the noise floor) is not set.
    #[must_use]
    pub fn from_record(record: &Record) -> Self {
        let scores = record.scores.as_ref().filter(|_| record.is_finished());
        let paired = scores.map(|scores| scores.sums.summary());
        let agreement =
            scores.map(|scores| Agreement::from_counts(scores.agreement.same, scores.agreement.n));
        let shift = scores.and_then(|scores| scores.shift.as_ref());
        let bytes = record.cell.data.scored_bytes.filter(|&bytes| bytes > 0);
        let links = if scores.is_some() { record.links.as_slice() } else { &[] };
        let sum = |count: fn(&LinkCounts) -> u64| links.iter().map(count).sum::<u64>();
        let seconds = |time: fn(&LinkCounts) -> f64| {
            (!links.is_empty()).then(|| links.iter().map(time).sum::<f64>())
        };
        let raw_bytes = sum(|link| link.raw_bytes);
        let encode_s = seconds(|link| link.encode_s);
        let decode_s = seconds(|link| link.decode_s);
        let rate = |time: Option<f64>| {
            time.filter(|&time| time > 0.0).map(|time| raw_bytes as f64 / time / 1e6)
        };
        let bits_per_value = ratio(8 * sum(|link| link.payload_bytes), sum(|link| link.values));
        let storage = record.cell.model.storage.as_ref();
        let bits_of = |bytes: u64, values: u64| ratio(bytes.saturating_mul(8), values);
        let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
        Self {
            id: record.id.clone(),
            label: record.label.clone(),
            codec: record.cell.family().to_owned(),
            role: record.cell.kind.role(),
            status: record.status,
            reason: record.reason.clone(),
            ppl: paired.map(|p| p.ppl),
            ppl_error: paired.map(|p| p.ppl_error),
            ppl_delta: paired.map(|p| p.delta),
            ppl_delta_error: paired.map(|p| p.delta_error),
            ppl_delta_interval: scores.and_then(|_| interval(record)),
            bits_per_byte: scores.zip(bytes).map(|(s, bytes)| bits_per_byte(s.sums.a, bytes)),
            kld_mean: scores.map(|s| s.kld.mean),
            kld_error: scores.map(|s| s.kld.error),
            kld_median: scores.map(|s| s.kld.median),
            kld_p99: scores.map(|s| s.kld.p99),
            kld_confident: scores
                .and_then(|s| s.confidence.as_ref()?.last())
                .filter(|bucket| bucket.n > 0)
                .map(|bucket| bucket.kld.mean),
            shift_mean: shift.map(|shift| shift.mean()),
            shift_rms: shift.map(|shift| shift.rms()),
            shift_rms_error: shift.map(|shift| shift.rms_error()),
            top1_agreement: agreement.map(|a| a.share),
            top1_error: agreement.map(|a| a.error),
            cached: record.cell.cache().is_some(),
            bytes_per_token: bytes_per_token(links, record.cell.cache().is_some()),
            bits_per_value,
            bits_per_weight: storage.and_then(|s| bits_of(s.decoder_bytes, s.decoder_values)),
            head_bits_per_weight: storage.and_then(|s| bits_of(s.head_bytes, s.head_values)),
            gib: storage.map(|s| gib(s.bytes)),
            gib_without_embeddings: storage.map(|s| gib(s.decoder_bytes + s.head_bytes)),
            bits: bits_per_value,
            encode_s,
            decode_s,
            encode_mb_per_s: rate(encode_s),
            decode_mb_per_s: rate(decode_s),
            sqnr_db: links.iter().map(|link| link.distortion.sqnr_db()).reduce(f64::min),
            static_bytes: record.cell.compressor().map_or(0, |codec| codec.static_bytes),
            scored_tokens: scores.map_or(0, |scores| scores.sums.n),
            fingerprint: record.cell.protocol.fingerprint.clone(),
            ppl_delta_floors: None,
            kld_floors: None,
            on_front: false,
            warnings: agree::own_warnings(record),
            weights_only: record.cell.model.weights_only.clone(),
            imported: None,
            progress: None,
            windows: if scores.is_some() { record.windows.clone() } else { Vec::new() },
        }
    }

    /// A result of another program. Its difference to a baseline needs the other results.
    #[must_use]
    pub fn from_imported(imported: &Imported) -> Self {
        let (bits_per_value, bits_per_weight) = match imported.site {
            ImportedSite::Weights => (None, imported.bits_per_value),
            ImportedSite::Links | ImportedSite::Kv => (imported.bits_per_value, None),
        };
        // An imported baseline is not ours: nothing that was measured here is compared with it.
        let role = match imported.site {
            ImportedSite::Links => Role::Links,
            ImportedSite::Kv => Role::Cache,
            ImportedSite::Weights => Role::Model,
        };
        Self {
            role,
            ppl: Some(imported.ppl),
            kld_mean: if imported.baseline { None } else { imported.kld },
            cached: imported.site == ImportedSite::Kv,
            bytes_per_token: imported.bytes_per_token,
            bits_per_value,
            bits_per_weight,
            bits: bits_per_value,
            scored_tokens: imported.scored_tokens.unwrap_or(0),
            warnings: imported.warnings.clone(),
            imported: Some(format!("{}, {}", imported.origin, imported.file)),
            ..Self::empty(&imported.label, &imported.family)
        }
    }

    /// A cell of a run that goes on.
    #[must_use]
    pub fn from_running(cell: &RunningCell, windows: usize) -> Self {
        let figures = cell.figures.unwrap_or_default();
        Self {
            status: if cell.reason.is_some() { Status::Failed } else { Status::Finished },
            reason: cell.reason.clone(),
            ppl: figures.ppl.filter(|_| cell.reason.is_none()),
            ppl_delta: figures.ppl_delta,
            ppl_delta_error: figures.ppl_delta_error,
            kld_mean: figures.kld_mean,
            bytes_per_token: figures.bytes_per_token,
            bits_per_value: figures.bits_per_value,
            bits: figures.bits_per_value,
            role: cell.role,
            progress: Some((cell.windows_done, windows)).filter(|_| cell.reason.is_none()),
            ..Self::empty(&cell.label, &cell.codec)
        }
    }

    fn empty(label: &str, codec: &str) -> Self {
        Self {
            id: String::new(),
            label: label.to_owned(),
            codec: codec.to_owned(),
            role: Role::Links,
            status: Status::Finished,
            reason: None,
            ppl: None,
            ppl_error: None,
            ppl_delta: None,
            ppl_delta_error: None,
            ppl_delta_interval: None,
            bits_per_byte: None,
            kld_mean: None,
            kld_error: None,
            kld_median: None,
            kld_p99: None,
            kld_confident: None,
            shift_mean: None,
            shift_rms: None,
            shift_rms_error: None,
            top1_agreement: None,
            top1_error: None,
            cached: false,
            bytes_per_token: None,
            bits_per_value: None,
            bits_per_weight: None,
            head_bits_per_weight: None,
            gib: None,
            gib_without_embeddings: None,
            bits: None,
            encode_s: None,
            decode_s: None,
            encode_mb_per_s: None,
            decode_mb_per_s: None,
            sqnr_db: None,
            static_bytes: 0,
            scored_tokens: 0,
            fingerprint: String::new(),
            ppl_delta_floors: None,
            kld_floors: None,
            on_front: false,
            warnings: Vec::new(),
            weights_only: Vec::new(),
            imported: None,
            progress: None,
            windows: Vec::new(),
        }
    }

    /// What the row is, in a word: `finished`, `failed`, `imported` or `running`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.status {
            Status::Failed => "failed",
            Status::Finished if self.imported.is_some() => "imported",
            Status::Finished if self.progress.is_some() => "running",
            Status::Finished => "finished",
        }
    }

    /// Whether this is the baseline.
    #[must_use]
    pub fn is_baseline(&self) -> bool {
        self.role == Role::Baseline
    }

    /// Whether this is the baseline under noise.
    #[must_use]
    pub fn is_noise_floor(&self) -> bool {
        self.role == Role::Noise
    }
}

fn interval(record: &Record) -> Option<Interval> {
    let windows: Vec<_> = record.windows.iter().map(|window| window.sums).collect();
    Bootstrap::default().of_windows(&windows, |sums| sums.summary().delta)
}

/// Of a link on average; of a KV cache, keys and values together.
fn bytes_per_token(links: &[LinkCounts], cached: bool) -> Option<f64> {
    let links = links.iter();
    let each: Option<Vec<f64>> = links.map(|link| ratio(link.payload_bytes, link.tokens)).collect();
    let each = each.filter(|each| !each.is_empty())?;
    let parts = if cached { 1.0 } else { each.len() as f64 };
    Some(each.iter().sum::<f64>() / parts)
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
