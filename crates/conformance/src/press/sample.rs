//! The layers that every press must survive.

use strait_codec_kit::Random;
use strait_loader::SideNeed;
use strait_sdk::press::abi::{
    ATTENTION_COUNT, ATTENTION_SUM, HIDDEN_STATES, OUTPUT_NORM, QUERIES, ROPE_PAIRS,
    WINDOW_ATTENTION,
};
use strait_sdk::press::{HeadData, LayerData, SideData};

/// A layer to check with.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) data: LayerData,
}

/// Layers that every press must be able to process.
pub(super) fn ordinary() -> Vec<Sample> {
    let mut samples = vec![
        Sample { name: "12 entries", data: layer(4, 8, &[12, 12]) },
        Sample { name: "40 entries", data: layer(6, 16, &[40, 40, 40]) },
        Sample { name: "one head", data: layer(1, 4, &[9]) },
        Sample { name: "150 entries", data: layer(2, 8, &[150, 150]) },
    ];
    let mut last = layer(4, 6, &[20, 20]);
    (last.layer, last.layers, last.rope_layout) = (2, 3, ROPE_PAIRS);
    (last.softcap, last.sliding_window, last.keys_rotated) = (5.0, 7, false);
    samples.push(Sample { name: "sliding window, cap and keys before rope", data: last });
    samples
}

/// Layers that a press may reject with an error.
pub(super) fn hard() -> Vec<Sample> {
    let mut samples = vec![
        Sample { name: "no entry", data: layer(2, 4, &[0, 0]) },
        Sample { name: "1 entry", data: layer(2, 4, &[1, 1]) },
        Sample { name: "2 entries of 1 channel", data: layer(1, 1, &[2]) },
        Sample { name: "odd channels", data: layer(2, 5, &[7, 7]) },
        Sample { name: "ragged heads", data: layer(6, 4, &[11, 3, 0]) },
    ];
    let mut gaps = layer(2, 4, &[10, 10]);
    for head in &mut gaps.kv_heads {
        head.positions.iter_mut().for_each(|position| *position *= 3);
    }
    gaps.tokens_seen = 40;
    samples.push(Sample { name: "gaps between positions", data: gaps });
    let mut fill = |name, value: &dyn Fn(usize) -> f32| {
        let mut data = layer(4, 8, &[20, 20]);
        for head in &mut data.kv_heads {
            for row in [&mut head.keys, &mut head.values] {
                row.iter_mut().enumerate().for_each(|(i, x)| *x = value(i));
            }
        }
        samples.push(Sample { name, data });
    };
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    fill("zeros", &|_| 0.0);
    fill("all the same", &|_| 0.7);
    fill("largest values", &|i| f32::MAX * sign(i));
    fill("smallest values", &|i| f32::from_bits(1) * sign(i));
    fill("NaN", &|i| if i % 11 == 3 { f32::NAN } else { 1.0 });
    fill("NaN alone", &|_| f32::NAN);
    fill("infinities", &|i| if i % 11 == 3 { f32::INFINITY * sign(i / 11) } else { 1.0 });
    samples
}

/// The layer with the side information that a press needs.
pub(super) fn with_side(data: &LayerData, needs: &[SideNeed]) -> LayerData {
    let group = data.heads / data.kv_heads.len();
    let entries: usize = data.kv_heads.iter().map(|head| head.positions.len()).sum();
    let side = needs.iter().enumerate().map(|(i, need)| {
        let seen = data.tokens_seen;
        let tokens = need.tokens.unwrap_or(seen).min(seen);
        let (tokens, count) = match need.name.as_str() {
            QUERIES => (tokens, data.heads * tokens * data.head_dim),
            WINDOW_ATTENTION => (tokens, entries * group * tokens),
            HIDDEN_STATES => (tokens, tokens * 8),
            ATTENTION_SUM | OUTPUT_NORM => (0, entries * group),
            _ => (0, entries),
        };
        let mut random = Random::new(&[77, i as u64]);
        #[allow(clippy::cast_possible_truncation)]
        let value = |_| match need.name.as_str() {
            QUERIES | HIDDEN_STATES => random.normal() as f32,
            ATTENTION_COUNT => 1.0 + (random.uniform() * 9.0).floor() as f32,
            _ => random.uniform() as f32,
        };
        let values = (0..count).map(value).collect();
        SideData { name: need.name.clone(), tokens, values }
    });
    LayerData { side: side.collect(), ..data.clone() }
}

/// Normally distributed keys and values, with one channel larger than the others.
fn layer(heads: usize, head_dim: usize, entries: &[usize]) -> LayerData {
    let mut random = Random::new(&[head_dim as u64]);
    let mut rows = |count: usize| -> Vec<f32> {
        #[allow(clippy::cast_possible_truncation)]
        let value = |i: usize| random.normal() as f32 * if i % head_dim == 1 { 8.0 } else { 1.0 };
        (0..count * head_dim).map(value).collect()
    };
    let kv_heads = entries.iter().map(|entries| HeadData {
        keys: rows(*entries),
        values: rows(*entries),
        positions: (0..*entries).filter_map(|p| u32::try_from(p).ok()).collect(),
    });
    let mut data = LayerData::new(heads, head_dim, kv_heads.collect());
    data.inverse_frequencies = (0..head_dim / 2).map(|i| 0.1_f32.powi(i as i32)).collect();
    data
}
