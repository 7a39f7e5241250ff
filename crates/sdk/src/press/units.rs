//! What is chosen at once: whole chunks, each chunk for itself, or block after block.

use super::budget::kept;
use super::rank::{Rank, ranks, top};
use super::{Head, Layer, Scores};
use crate::{Error, Result};

/// Scores a part of a layer.
pub(super) type Score<'f> = &'f mut dyn FnMut(&Layer<'_>) -> Result<Scores>;

/// Entries of whole chunks of `size` entries, the best by mean score: the share `ratio` of the
/// chunks goes, and at least one stays ([ChunkKV](https://arxiv.org/abs/2502.00299)). Where all heads
/// have as many entries, their scores are added up and all keep the same chunks.
pub(super) fn whole_chunks(
    ranks: &[Vec<Rank>],
    scores: &Scores,
    size: usize,
    ratio: f64,
) -> Vec<Vec<usize>> {
    let together = ranks.iter().all(|head| head.len() == ranks[0].len());
    let heads: Vec<Vec<usize>> = if together {
        vec![(0..ranks.len()).collect()]
    } else {
        (0..ranks.len()).map(|head| vec![head]).collect()
    };
    let mut chosen = Vec::with_capacity(ranks.len());
    for heads in heads {
        let entries = ranks[heads[0]].len();
        let chunks: Vec<Rank> = (0..entries)
            .step_by(size)
            .map(|begin| {
                let range = begin..(begin + size).min(entries);
                let class = ranks[heads[0]][range.clone()].iter().map(|rank| rank.class()).max();
                let sum = heads.iter().flat_map(|head| &scores[*head][range.clone()]);
                let sum: f64 = sum.copied().map(f64::from).sum();
                #[allow(clippy::cast_possible_truncation)]
                let mean = (sum / range.len() as f64) as f32;
                Rank::new(class.unwrap_or(0), mean)
            })
            .collect();
        let kept: Vec<usize> = top(&chunks, kept(chunks.len(), ratio))
            .into_iter()
            .flat_map(|chunk| chunk * size..((chunk + 1) * size).min(entries))
            .collect();
        chosen.extend(heads.iter().map(|_| kept.clone()));
    }
    chosen
}

/// The best entries of each chunk of `size` entries, each chunk scored for itself.
pub(super) fn each_chunk(
    layer: &Layer<'_>,
    score: Score<'_>,
    size: usize,
    (sinks, recent): (usize, usize),
) -> Result<Vec<Vec<usize>>> {
    let longest = layer.heads().iter().map(Head::len).max().unwrap_or(0);
    let mut chosen = vec![Vec::new(); layer.heads().len()];
    for begin in (0..longest).step_by(size) {
        let end = begin + size;
        let from: Vec<Vec<usize>> = layer
            .heads()
            .iter()
            .map(|head| (begin.min(head.len())..end.min(head.len())).collect())
            .collect();
        let scores = part_scores(layer, score, &from, true, sinks)?;
        for (head, (entries, scores)) in from.iter().zip(&scores).enumerate() {
            let whole = layer.heads()[head].len();
            let ranks = ranks(scores, entries.iter().copied(), whole, sinks, recent);
            let best = top(&ranks, kept(entries.len(), layer.ratio()));
            chosen[head].extend(best.into_iter().map(|e| entries[e]));
        }
    }
    Ok(chosen)
}

/// Entries that are left when the cache is filled block by block and pressed to the target after each
/// one, as in a prefill in blocks ([KeyDiff](https://arxiv.org/abs/2504.15364)).
pub(super) fn blocks(
    layer: &Layer<'_>,
    score: Score<'_>,
    size: usize,
    (sinks, recent): (usize, usize),
) -> Result<Vec<Vec<usize>>> {
    let target = layer.target();
    let longest = layer.heads().iter().map(Head::len).max().unwrap_or(0);
    let mut chosen: Vec<Vec<usize>> =
        layer.heads().iter().map(|head| (0..target.min(head.len())).collect()).collect();
    for begin in (target..longest).step_by(size) {
        for (kept, head) in chosen.iter_mut().zip(layer.heads()) {
            kept.extend(begin.min(head.len())..(begin + size).min(head.len()));
        }
        let scores = part_scores(layer, score, &chosen, false, sinks)?;
        for (head, (kept, scores)) in chosen.iter_mut().zip(&scores).enumerate() {
            let whole = layer.heads()[head].len();
            let ranks = ranks(scores, kept.iter().copied(), whole, sinks, recent);
            *kept = top(&ranks, target).into_iter().map(|e| kept[e]).collect();
        }
    }
    Ok(chosen)
}

/// Scores of some entries, as if no later token had been seen; `alone` leaves out the queries of
/// earlier tokens too.
fn part_scores(
    layer: &Layer<'_>,
    score: Score<'_>,
    from: &[Vec<usize>],
    alone: bool,
    sinks: usize,
) -> Result<Scores> {
    let positions = layer
        .heads()
        .iter()
        .zip(from)
        .flat_map(|(head, entries)| entries.iter().map(|e| head.positions()[*e] as usize));
    let (first, last) = positions.fold((usize::MAX, 0), |(a, b), p| (a.min(p), b.max(p)));
    let begin = if alone { first } else { 0 };
    let mut part = layer.part(from, begin.min(last), (last + 1).min(layer.tokens_seen()));
    part.sinks = from.iter().map(|e| e.iter().filter(|e| **e < sinks).count()).min().unwrap_or(0);
    let scores = score(&part)?;
    check(&scores, part.heads())?;
    Ok(scores)
}

/// Checks that there is a score for every entry.
pub(super) fn check(scores: &Scores, heads: &[Head<'_>]) -> Result<()> {
    let fits = scores.len() == heads.len()
        && scores.iter().zip(heads).all(|(scores, head)| scores.len() == head.len());
    if fits {
        return Ok(());
    }
    let lengths: Vec<_> = heads.iter().map(Head::len).collect();
    let found: Vec<_> = scores.iter().map(Vec::len).collect();
    Err(Error::new(format!("scores: expected {lengths:?} for the kv heads, found {found:?}")))
}
