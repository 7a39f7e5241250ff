//! mixed: the least important tokens by one codec, the others by another.

use strait_codec_kit::subset;
use strait_sdk::prelude::*;

use crate::rule::{Importance, Judge, Rule, ascending, beyond_share, of_fraction};

/// Name of the side information.
const SIDE: &str = "importance";

/// Parameters of [`Mixed`].
#[derive(Params, Clone, Debug)]
pub struct MixedParams {
    /// The codec of the least important tokens.
    #[param(default = r#"{ "codec": "affine", "bits": 4 }"#)]
    pub low: InnerCodec,
    /// The codec of the others.
    #[param(default = r#"{ "codec": "cast", "to": "f16" }"#)]
    pub high: InnerCodec,
    /// What a token's importance is.
    #[param(default = "side")]
    pub importance: Importance,
    /// How it is decided which tokens are low.
    #[param(default = "fraction")]
    pub rule: Rule,
    /// Share of the tokens that are low, for the rule of this name.
    #[param(default = 0.5, min = 0.0, max = 1.0)]
    pub fraction: f64,
    /// Share of the total importance that the high tokens reach, for the rule of this name.
    #[param(default = 0.9, min = 0.0, max = 1.0)]
    pub share: f64,
    /// Bits per value that the payload may take, for the rule of this name.
    #[param(default = 8.0, min = 0.0)]
    pub bits: f64,
    /// Whether each token is judged by the tokens before it alone.
    #[param(default = false)]
    pub causal: bool,
}

/// The codec `mixed`.
#[derive(Debug)]
pub struct Mixed {
    params: MixedParams,
    low: Inner,
    high: Inner,
    judge: Judge,
    chosen: Vec<bool>,
    parts: [Vec<u8>; 2],
}

impl Codec for Mixed {
    const INFO: CodecInfo = CodecInfo {
        id: "mixed",
        summary: "the least important tokens by one codec, the others by another",
        paper: "https://github.com/sv-goat/LLM-Inference-in-Distributed-Edge-Networks",
        stateful: true,
        side_information: &[SIDE],
        ..CodecInfo::DEFAULT
    };
    type Params = MixedParams;

    fn open(params: MixedParams) -> Result<Self> {
        let (low, high) = (params.low.open()?, params.high.open()?);
        let (chosen, parts) = (Vec::new(), [Vec::new(), Vec::new()]);
        Ok(Mixed { params, low, high, judge: Judge::default(), chosen, parts })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        let importances = self.importances(&message)?;
        self.choose(shape, &importances);
        let Mixed { low, high, chosen, parts, .. } = self;
        subset::write(chosen, payload);
        parts.iter_mut().for_each(Vec::clear);
        for (row, chosen) in message.bytes().chunks(shape.row_bytes().max(1)).zip(&*chosen) {
            parts[usize::from(!chosen)].extend_from_slice(row);
        }
        let [low_shape, high_shape] = shapes(chosen, shape);
        low.encode_framed(Message::new(low_shape, &parts[0], &[])?, payload)?;
        if high_shape.values() > 0 {
            high.encode(Message::new(high_shape, &parts[1], &[])?, payload)?;
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        let Mixed { low, high, chosen, parts, .. } = self;
        chosen.clear();
        chosen.resize(shape.rows, false);
        let payload = subset::read(payload, chosen)?;
        let [low_shape, high_shape] = shapes(chosen, shape);
        parts[0].resize(low_shape.bytes(), 0);
        parts[1].resize(high_shape.bytes(), 0);
        let payload =
            low.decode_framed(payload, &mut MessageMut::new(low_shape, &mut parts[0])?)?;
        if high_shape.values() > 0 {
            high.decode(payload, &mut MessageMut::new(high_shape, &mut parts[1])?)?;
        } else {
            Error::check_payload_length(0, payload.len())?;
        }
        let row_bytes = shape.row_bytes().max(1);
        let [low, high] = parts;
        let (mut low, mut high) = (low.chunks(row_bytes), high.chunks(row_bytes));
        for (row, chosen) in message.bytes_mut().chunks_mut(row_bytes).zip(&*chosen) {
            let from = if *chosen { low.next() } else { high.next() };
            row.copy_from_slice(from.unwrap_or_default());
        }
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let map = subset::most_bytes(shape.rows);
        let parts = self
            .low
            .framed_bytes(shape)
            .limit()
            .saturating_add(self.high.payload_bytes(shape).limit());
        PayloadBytes::AtMost(parts.saturating_add(map))
    }

    fn reset(&mut self) {
        self.low.reset();
        self.high.reset();
        self.judge.reset();
    }
}

impl Mixed {
    /// One importance per token, none of them NaN.
    fn importances(&self, message: &Message<'_>) -> Result<Vec<f32>> {
        let mut importances = Vec::with_capacity(message.rows());
        match self.params.importance {
            Importance::Side => {
                let side = message.side(SIDE).ok_or_else(|| {
                    Error::new(format!(
                        "side information `{SIDE}`: expected one value per token from the host, found \
                         none; say with `side` of the compressor what it is to be, or set `importance = \
                         \"norm\"` to do without"
                    ))
                })?;
                importances.extend_from_slice(side);
            }
            Importance::Norm => message.for_each_row(|_, row| {
                let square: f64 = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
                #[allow(clippy::cast_possible_truncation)]
                importances.push(square.sqrt() as f32);
                Ok(())
            })?,
        }
        for importance in &mut importances {
            *importance = if importance.is_nan() { 0.0 } else { importance.clamp(0.0, f32::MAX) };
        }
        Ok(importances)
    }

    /// Chooses the low tokens.
    fn choose(&mut self, shape: Shape, importances: &[f32]) {
        let Mixed { params, low, high, judge, chosen, .. } = self;
        chosen.clear();
        if params.causal {
            let fraction = match params.rule {
                Rule::Bits => fraction_of_bits(params.bits, low, high, shape),
                _ => params.fraction,
            };
            chosen.extend(importances.iter().map(|importance| match params.rule {
                Rule::Share => judge.beyond_share(*importance, params.share),
                _ => judge.within_fraction(*importance, fraction),
            }));
            return;
        }
        let order = ascending(importances);
        let count = match params.rule {
            Rule::Fraction => of_fraction(params.fraction, order.len()),
            Rule::Share => beyond_share(params.share, importances, &order),
            Rule::Bits => fewest_within(params.bits, low, high, shape),
        };
        chosen.resize(order.len(), false);
        order[..count].iter().for_each(|token| chosen[*token] = true);
    }
}

/// The fewest low tokens with which the payload stays within the bits; all, if it never does.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn fewest_within(bits: f64, low: &Inner, high: &Inner, shape: Shape) -> usize {
    let budget = (bits * shape.values() as f64 / 8.0) as usize;
    let fits = |count: usize| {
        let part = |rows| Shape { rows, ..shape };
        let parts =
            low.framed_bytes(part(count)).limit().saturating_add(match shape.rows - count {
                0 => 0,
                rows => high.payload_bytes(part(rows)).limit(),
            });
        parts.saturating_add(subset::most_bytes(shape.rows)) <= budget
    };
    // The payload shrinks with every low token: the first that fits, by halves.
    let (mut least, mut most) = (0, shape.rows);
    while least < most {
        let middle = (least + most) / 2;
        if fits(middle) {
            most = middle;
        } else {
            least = middle + 1;
        }
    }
    least
}

/// The share of low tokens at which one-token payloads average to the bits.
#[allow(clippy::cast_precision_loss)]
fn fraction_of_bits(bits: f64, low: &Inner, high: &Inner, shape: Shape) -> f64 {
    let one = Shape { rows: 1, ..shape };
    let of =
        |inner: &Inner| 8.0 * inner.payload_bytes(one).limit() as f64 / one.values().max(1) as f64;
    let (low, high) = (of(low), of(high));
    // A bit per token says which it is.
    let bits = bits - 1.0 / one.values().max(1) as f64;
    if high > low { ((high - bits) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
}

/// The messages of low and high tokens.
fn shapes(chosen: &[bool], shape: Shape) -> [Shape; 2] {
    let low = chosen.iter().filter(|chosen| **chosen).count();
    [Shape { rows: low, ..shape }, Shape { rows: shape.rows - low, ..shape }]
}
