//! One line of a table: the ratios that a record's raw counts stand for.

use strait_metrics::{Agreement, Bootstrap, Interval, bits_per_byte};
use strait_schema::{BASELINE_LABEL, LinkCounts, NOISE_FLOOR_LABEL, Record, Status};

/// The figures of one cell. All but the names are `None` if the cell failed, and a rate is also
/// `None` if nothing was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the cell.
    pub label: String,
    /// Id of the codec; `baseline` for the baseline, `noise floor` for that under noise, and for a model
    /// that is compared the format of its weights.
    pub codec: String,
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
    /// Payload bytes of one token on one link, mean over the links.
    pub bytes_per_token: Option<f64>,
    /// Payload bits of one value, over all links together.
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
    /// Whether no other row has both fewer [`Row::bits`] and a lower perplexity.
    pub on_front: bool,
    /// What a reader should know before believing the numbers.
    pub warnings: Vec<String>,
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
            label: record.label.clone(),
            codec: codec_of(record).to_owned(),
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
            bytes_per_token: bytes_per_token(record),
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
            static_bytes: record.cell.compressor.as_ref().map_or(0, |codec| codec.static_bytes),
            scored_tokens: scores.map_or(0, |scores| scores.sums.n),
            fingerprint: record.cell.protocol.fingerprint.clone(),
            ppl_delta_floors: None,
            kld_floors: None,
            on_front: false,
            warnings: record.warnings.clone(),
        }
    }

    /// Whether this is the baseline.
    #[must_use]
    pub fn is_baseline(&self) -> bool {
        self.codec == BASELINE_LABEL
    }

    /// Whether this is the baseline under noise.
    #[must_use]
    pub fn is_noise_floor(&self) -> bool {
        self.codec == NOISE_FLOOR_LABEL
    }
}

/// The codec's id; of a cell that compresses the KV cache that of its press or codec; `baseline` for
/// the baseline, `noise floor` for that under noise, and for another model the format of its weights.
fn codec_of(record: &Record) -> &str {
    let cell = &record.cell;
    if let Some(cache) = &cell.cache {
        let codec = cache.key.as_ref().or(cache.value.as_ref()).map(|codec| codec.codec.as_str());
        return cache.press.as_deref().or(codec).unwrap_or("cache");
    }
    match (&cell.compressor, cell.noise, &cell.reference) {
        (Some(codec), ..) => &codec.codec,
        (None, Some(_), _) => NOISE_FLOOR_LABEL,
        (None, None, Some(_)) => cell.model.storage.as_ref().map_or("model", |s| &s.format),
        (None, None, None) => BASELINE_LABEL,
    }
}

fn interval(record: &Record) -> Option<Interval> {
    let windows: Vec<_> = record.windows.iter().map(|window| window.sums).collect();
    Bootstrap::default().of_windows(&windows, |sums| sums.summary().delta)
}

/// Of a link on average; of a KV cache, keys and values together.
fn bytes_per_token(record: &Record) -> Option<f64> {
    let links = record.links.iter();
    let each: Option<Vec<f64>> = links.map(|link| ratio(link.payload_bytes, link.tokens)).collect();
    let each = each.filter(|each| !each.is_empty())?;
    let parts = if record.cell.cache.is_some() { 1.0 } else { each.len() as f64 };
    Some(each.iter().sum::<f64>() / parts)
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
