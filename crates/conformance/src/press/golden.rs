//! Golden values for presses: layers with scores or kept entries from another implementation.
//!
//! The files have the form that `plugins/presses-basic/golden/layer.py` writes.

use serde_json::Value;
use strait_sdk::press::{HeadData, LayerData, Press, Scores, SideData};

/// One layer, and the result of a press with these parameters.
#[derive(Clone, Debug)]
pub struct GoldenPress {
    /// Id of the press.
    pub press: String,
    /// Its parameters.
    pub params: Value,
    /// The layer, with its budget.
    pub layer: LayerData,
    expected: Value,
}

/// Largest difference allowed, relative to the largest value of the array.
const TOLERANCE: f32 = 2e-5;

/// The cases of a golden file.
///
/// # Panics
/// When the text has another form.
#[track_caller]
pub fn golden_presses(text: &str) -> Vec<GoldenPress> {
    match read(text) {
        Some(cases) if !cases.is_empty() => cases,
        #[allow(clippy::panic)]
        _ => panic!("the golden file has not the form of layer.py"),
    }
}

impl GoldenPress {
    /// Compares scores, kept entries, key channels and merged values, as far as they are given.
    ///
    /// # Panics
    /// When they differ.
    #[track_caller]
    pub fn check<P: Press>(&self) {
        if let Err(error) = self.compare::<P>() {
            #[allow(clippy::panic)]
            {
                panic!("{} with {}: {error}", self.press, self.params);
            }
        }
    }

    fn compare<P: Press>(&self) -> Result<(), String> {
        if self.press != P::INFO.id {
            return Err(format!("this is press {}", P::INFO.id));
        }
        let text = |error: strait_sdk::Error| error.to_string();
        if let Some(expected) = self.expected.get("scores").and_then(scores) {
            let found = self.layer.score::<P>(&self.params).map_err(text)?;
            close("scores", &expected, &found)?;
        }
        let Some(expected) = self.expected.get("kept").and_then(indices) else {
            return Ok(());
        };
        let kept = self.layer.press::<P>(&self.params).map_err(text)?;
        let found: Vec<_> = kept.iter().map(|head| head.entries.clone()).collect();
        if found != expected {
            return Err(format!("expected {expected:?} to stay, found {found:?}"));
        }
        let channels: Option<Vec<_>> = kept.iter().map(|head| head.key_channels.clone()).collect();
        let expected = self.expected.get("channels").and_then(indices);
        if channels != expected {
            return Err(format!("expected the channels {expected:?}, found {channels:?}"));
        }
        let values: Option<Vec<_>> = kept.iter().map(|head| head.values.clone()).collect();
        match (self.expected.get("values").and_then(scores), values) {
            (Some(expected), Some(found)) => close("values", &expected, &found),
            (None, None) => Ok(()),
            (expected, _) => Err(format!("expected merged values: {}", expected.is_some())),
        }
    }
}

fn close(what: &str, expected: &Scores, found: &Scores) -> Result<(), String> {
    let lengths = |rows: &Scores| rows.iter().map(Vec::len).collect::<Vec<_>>();
    if lengths(expected) != lengths(found) {
        return Err(format!(
            "{what}: expected {:?}, found {:?}",
            lengths(expected),
            lengths(found)
        ));
    }
    for (head, (expected, found)) in expected.iter().zip(found).enumerate() {
        let most = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (entry, (e, f)) in expected.iter().zip(found).enumerate() {
            let allowed = TOLERANCE * most;
            // NaN is never close.
            if (e - f).abs().partial_cmp(&allowed).is_none_or(std::cmp::Ordering::is_gt) {
                return Err(format!(
                    "{what} of head {head}, entry {entry}: expected {e}, found {f}"
                ));
            }
        }
    }
    Ok(())
}

fn read(text: &str) -> Option<Vec<GoldenPress>> {
    let layers: Vec<Value> = serde_json::from_str(text).ok()?;
    let mut cases = Vec::new();
    for entry in &layers {
        let layer = layer(entry.get("layer")?)?;
        for case in entry.get("cases")?.as_array()? {
            cases.push(GoldenPress {
                press: case.get("press")?.as_str()?.to_owned(),
                params: case.get("params")?.clone(),
                layer: layer.pressed(case.get("ratio")?.as_f64()?),
                expected: case.clone(),
            });
        }
    }
    Some(cases)
}

fn layer(value: &Value) -> Option<LayerData> {
    let size = |key: &str| value.get(key)?.as_u64()?.try_into().ok();
    let head_dim: usize = size("head_dim")?;
    let (keys, values) = (scores(value.get("keys")?)?, scores(value.get("values")?)?);
    let heads = keys.into_iter().zip(values).map(|(keys, values)| HeadData {
        positions: (0..keys.len() / head_dim).filter_map(|p| u32::try_from(p).ok()).collect(),
        keys,
        values,
    });
    let mut data = LayerData::new(size("heads")?, head_dim, heads.collect());
    data.tokens_seen = size("tokens_seen")?;
    data.inverse_frequencies = row(value.get("inverse_frequencies")?)?;
    #[allow(clippy::cast_possible_truncation)]
    let factor = value.get("attention_factor")?.as_f64()? as f32;
    data.attention_factor = factor;
    (data.layer, data.layers) = (size("layer").unwrap_or(0), size("layers").unwrap_or(1));
    let side = value.get("side")?.as_array()?.iter().map(|array| {
        Some(SideData {
            name: array.get("name")?.as_str()?.to_owned(),
            tokens: array.get("tokens")?.as_u64()?.try_into().ok()?,
            values: row(array.get("values")?)?,
        })
    });
    data.side = side.collect::<Option<_>>()?;
    Some(data)
}

fn scores(value: &Value) -> Option<Scores> {
    value.as_array()?.iter().map(row).collect()
}

#[allow(clippy::cast_possible_truncation)]
fn row(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32)).collect()
}

fn indices(value: &Value) -> Option<Vec<Vec<usize>>> {
    let row = |row: &Value| -> Option<Vec<usize>> {
        row.as_array()?.iter().map(|x| x.as_u64()?.try_into().ok()).collect()
    };
    value.as_array()?.iter().map(row).collect()
}
