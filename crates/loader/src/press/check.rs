//! Checks that the inputs of a press are consistent and that its result fits the layer.

use strait_abi::abi_stable::std_types::{ROption, RVec};
use strait_abi::press::{
    ATTENTION_COUNT, ATTENTION_SUM, OUTPUT_NORM, PressedHead, QUERIES, WINDOW_ATTENTION,
};

use super::{KeptHead, LayerRef, PressError};

/// Checks the sizes of a layer, so that a mistake of the host is not blamed on the press.
pub(super) fn check_layer(id: &str, layer: &LayerRef<'_>) -> Result<(), PressError> {
    let refuse = |expected: String, found: String| {
        let (id, layer) = (id.to_owned(), layer.layer);
        Err(PressError::Layer { id, layer, expected, found })
    };
    let kv_heads = layer.kv_heads.len();
    if kv_heads == 0 || layer.heads == 0 || !layer.heads.is_multiple_of(kv_heads) {
        let expected = "heads that are a multiple of the kv heads".to_owned();
        return refuse(expected, format!("{} heads over {kv_heads} kv heads", layer.heads));
    }
    let sizes = [layer.head_dim, layer.value_dim, layer.layers.saturating_sub(layer.layer)];
    if sizes.contains(&0) || !(0.0..=1.0).contains(&layer.budget.ratio) {
        let expected = "channels, an index below the number of layers, and a ratio from 0 to 1";
        let LayerRef { head_dim, value_dim, layers, budget, .. } = layer;
        let found = format!("{head_dim} and {value_dim}, {layers}, {}", budget.ratio);
        return refuse(expected.to_owned(), found);
    }
    for (index, head) in layer.kv_heads.iter().enumerate() {
        let entries = head.positions.len();
        for (what, dim, found) in [
            ("keys", layer.head_dim, head.keys.len()),
            ("values", layer.value_dim, head.values.len()),
        ] {
            if entries.checked_mul(dim) != Some(found) {
                let expected = format!("{entries} {what} of {dim} channels in kv head {index}");
                return refuse(expected, format!("{found} numbers"));
            }
        }
        if !head.positions.is_sorted_by(|a, b| a < b)
            || head.positions.last().is_some_and(|last| *last as usize >= layer.tokens_seen)
        {
            let expected =
                format!("ascending positions below {} in kv head {index}", layer.tokens_seen);
            return refuse(expected, "others".to_owned());
        }
    }
    let entries: usize = layer.kv_heads.iter().map(|head| head.positions.len()).sum();
    let group = layer.heads / kv_heads;
    for array in layer.side {
        let expected = match array.name {
            QUERIES => Some(layer.heads * array.tokens * layer.head_dim),
            ATTENTION_SUM | OUTPUT_NORM => Some(entries * group),
            ATTENTION_COUNT => Some(entries),
            WINDOW_ATTENTION => Some(entries * group * array.tokens),
            _ => None,
        };
        if let Some(expected) = expected.filter(|expected| *expected != array.values.len()) {
            let expected = format!("{expected} numbers in `{}`", array.name);
            return refuse(expected, array.values.len().to_string());
        }
        if array.tokens > layer.tokens_seen {
            let expected = format!("at most {} tokens in `{}`", layer.tokens_seen, array.name);
            return refuse(expected, array.tokens.to_string());
        }
    }
    Ok(())
}

/// Checks what a press returned and copies it into the host's memory.
pub(super) fn check_result(
    id: &str,
    layer: &LayerRef<'_>,
    heads: &[PressedHead],
) -> Result<Vec<KeptHead>, PressError> {
    let wrong = |expected: String, found: String| {
        let (id, layer) = (id.to_owned(), layer.layer);
        PressError::Result { id, layer, expected, found }
    };
    if heads.len() != layer.kv_heads.len() {
        let expected = format!("{} kv heads", layer.kv_heads.len());
        return Err(wrong(expected, heads.len().to_string()));
    }
    let with_channels = heads.iter().filter(|head| head.key_channels.is_some()).count();
    if with_channels != 0 && with_channels != heads.len() {
        let expected = "key channels for every kv head or for none".to_owned();
        return Err(wrong(expected, format!("for {with_channels} of {}", heads.len())));
    }
    heads
        .iter()
        .enumerate()
        .map(|(index, head)| {
            let entries = layer.kv_heads[index].positions.len();
            let kept = indices(&head.kept, entries).map_err(|found| {
                wrong(format!("ascending indices of {entries} entries in kv head {index}"), found)
            })?;
            let rows = |what: &str, dim: usize, values: &ROption<RVec<f32>>| {
                let ROption::RSome(values) = values else { return Ok(None) };
                let expected = kept.len() * dim;
                if values.len() != expected {
                    let expected = format!("{expected} numbers in the {what} of kv head {index}");
                    return Err(wrong(expected, values.len().to_string()));
                }
                if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    let expected = format!("finite {what} in kv head {index}");
                    return Err(wrong(expected, value.to_string()));
                }
                Ok(Some(values.to_vec()))
            };
            let keys = rows("keys", layer.head_dim, &head.keys)?;
            let values = rows("values", layer.value_dim, &head.values)?;
            let key_channels = match &head.key_channels {
                ROption::RNone => None,
                ROption::RSome(list) => Some(indices(list, layer.head_dim).map_err(|found| {
                    let dim = layer.head_dim;
                    wrong(
                        format!("ascending indices of {dim} key channels in kv head {index}"),
                        found,
                    )
                })?),
            };
            Ok(KeptHead { entries: kept, keys, values, key_channels })
        })
        .collect()
}

/// The indices if they ascend and stay below `count`; otherwise a phrase that says what is wrong.
fn indices(list: &[u32], count: usize) -> Result<Vec<usize>, String> {
    if let Some(pair) = list.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(format!("{} before {}", pair[0], pair[1]));
    }
    if let Some(last) = list.last().filter(|last| **last as usize >= count) {
        return Err(last.to_string());
    }
    Ok(list.iter().map(|index| *index as usize).collect())
}
