//! Caches of keys and values that outlive a call: how runs of tokens are added, and how attention reads
//! them.

use strait_ops::{CacheContents, HeadEntries};

use crate::attention::Heads;
use crate::kernel::panel_tokens;
use crate::panels::per_sequence;

/// Keys and values of one sequence in one attention block.
///
/// Rows are contiguous, so that a decoded token reads exactly what is kept.
#[derive(Debug)]
pub struct Cache {
    pub(crate) contents: CacheContents,
    /// Whether keys are kept rotated by their positions (RoPE).
    pub(crate) rotated: bool,
}

impl Cache {
    pub(crate) fn new(kv_heads: usize, rotated: bool) -> Cache {
        let heads = vec![HeadEntries::default(); kv_heads];
        Cache { contents: CacheContents { heads }, rotated }
    }

    /// Adds the keys and values of sequence `sequence` from `projected`, `[panels, queries, keys and
    /// values of all heads]`.
    pub(crate) fn add(
        &mut self,
        projected: &[f32],
        heads: Heads,
        sequence: usize,
        tokens: usize,
        first_position: usize,
    ) {
        let (nr, width) = (panel_tokens(), heads.width());
        let first_panel = sequence * per_sequence(tokens);
        let panels = &projected[first_panel * width * nr..];
        let value =
            |token: usize, channel: usize| panels[(token / nr * width + channel) * nr + token % nr];
        for (head, entries) in self.contents.heads.iter_mut().enumerate() {
            let key = (heads.queries + head) * heads.dim;
            let kept =
                entries.key_channels.as_ref().map(|channels| channels.iter().map(|&c| c.into()));
            let kept: Vec<usize> = kept.map_or_else(|| (0..heads.dim).collect(), Iterator::collect);
            make_room(&mut entries.positions, tokens);
            make_room(&mut entries.keys, tokens * kept.len());
            make_room(&mut entries.values, tokens * heads.value);
            for token in 0..tokens {
                entries.positions.push((first_position + token) as u32);
                entries.keys.extend(kept.iter().map(|c| value(token, key + c)));
                let first = heads.values() + head * heads.value;
                entries.values.extend((first..first + heads.value).map(|c| value(token, c)));
            }
        }
    }

    /// The entries of a key head that a query at `position` attends to.
    pub(crate) fn seen(
        entries: &HeadEntries,
        position: usize,
        window: Option<usize>,
    ) -> std::ops::Range<usize> {
        let end = entries.positions.partition_point(|&p| p as usize <= position);
        let hidden = |&p: &u32| window.is_some_and(|window| p as usize + window <= position);
        entries.positions.partition_point(hidden).min(end)..end
    }
}

/// Reserves room for `more` values, growing by an eighth: a vector would double, and a compact cache
/// would then take as much memory as a whole one.
fn make_room<T>(values: &mut Vec<T>, more: usize) {
    if values.capacity() - values.len() < more {
        values.reserve_exact(more.max(values.len() / 8));
    }
}
