//! Activations in panels of tokens, and how panels are distributed over threads.

use std::cell::RefCell;
use std::ops::Range;

use aligned_vec::{AVec, ConstAlign};
use rayon::prelude::*;
use strait_ops::{Dtype, Hidden};

use crate::kernel::panel_tokens;
use crate::product::{Pairs, PanelMemory};

/// Buffers that a thread keeps from task to task.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) first: PanelMemory,
    pub(crate) second: PanelMemory,
    pub(crate) scores: Floats,
    pub(crate) sums: Floats,
    pub(crate) result: Floats,
    pub(crate) queries: Pairs,
    pub(crate) weights: Pairs,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        first: PanelMemory::new(),
        second: PanelMemory::new(),
        scores: AVec::new(64),
        sums: AVec::new(64),
        result: AVec::new(64),
        queries: AVec::new(64),
        weights: AVec::new(64),
    });
}

/// Runs `work` with this thread's buffers; `work` must not wait for other tasks.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

/// f32 values aligned to 64 bytes, so that no vector load crosses a cache line.
pub(crate) type Floats = AVec<f32, ConstAlign<64>>;

pub(crate) fn zeros(length: usize) -> Floats {
    aligned_vec::avec!([64]| 0.0; length)
}

/// Grows `buffer` to at least `length` values and returns the first `length`.
pub(crate) fn grow(buffer: &mut Floats, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

/// Activations `[batch * panels, channels, panel_tokens]`; the last panel of every sequence is
/// padded with zero tokens.
#[derive(Clone)]
pub struct Panels {
    pub(crate) batch: usize,
    pub(crate) tokens: usize,
    pub(crate) channels: usize,
    pub(crate) data: Floats,
}

impl Panels {
    pub(crate) fn zeros(batch: usize, tokens: usize, channels: usize) -> Panels {
        let length = batch * per_sequence(tokens) * channels * panel_tokens();
        Panels { batch, tokens, channels, data: zeros(length) }
    }

    /// Some panels of one sequence, as a separate sequence.
    pub(crate) fn panels(&self, sequence: usize, panels: Range<usize>) -> Panels {
        let nr = panel_tokens();
        let (size, start) = (self.channels * nr, sequence * per_sequence(self.tokens));
        let tokens = self.tokens.min(panels.end * nr).saturating_sub(panels.start * nr);
        let mut part = Panels::zeros(1, tokens, self.channels);
        let from = (start + panels.start) * size;
        let length = part.data.len();
        part.data.copy_from_slice(&self.data[from..from + length]);
        part
    }

    pub(crate) fn from_hidden(hidden: &Hidden) -> Panels {
        let mut panels = Panels::zeros(hidden.batch, hidden.tokens, hidden.channels);
        let (tokens, channels, dtype) = (hidden.tokens, hidden.channels, hidden.dtype);
        let row_bytes = channels * dtype.size();
        let of = |row: usize, values: &mut [f32]| {
            dtype.decode(&hidden.data[row * row_bytes..(row + 1) * row_bytes], values);
        };
        panels.fill(tokens, of);
        panels
    }

    /// Fills the panels from rows: `row(sequence * tokens + token, values)`.
    pub(crate) fn fill(&mut self, tokens: usize, row: impl Fn(usize, &mut [f32]) + Sync) {
        let (nr, channels) = (panel_tokens(), self.channels);
        let panels = per_sequence(tokens);
        self.data.par_chunks_mut((channels * nr).max(1)).enumerate().for_each(|(panel, chunk)| {
            let mut values = vec![0.0; channels];
            let (sequence, first) = (panel / panels, panel % panels * nr);
            for lane in 0..nr.min(tokens - first) {
                row(sequence * tokens + first + lane, &mut values);
                for (column, value) in chunk.chunks_exact_mut(nr).zip(&values) {
                    column[lane] = *value;
                }
            }
        });
    }

    pub(crate) fn to_hidden(&self, dtype: Dtype) -> Hidden {
        let (nr, channels, tokens) = (panel_tokens(), self.channels, self.tokens);
        let mut hidden = Hidden::zeros(self.batch, tokens, channels, dtype);
        let panels = per_sequence(tokens);
        let row_bytes = channels * dtype.size();
        let sequence_bytes = (tokens * row_bytes).max(1);
        hidden.data.par_chunks_mut(sequence_bytes).enumerate().for_each(|(sequence, bytes)| {
            bytes.par_chunks_mut(nr * row_bytes).enumerate().for_each(|(panel, bytes)| {
                let start = (sequence * panels + panel) * channels * nr;
                let chunk = &self.data[start..start + channels * nr];
                let mut values = vec![0.0; channels];
                for (lane, bytes) in bytes.chunks_exact_mut(row_bytes).enumerate() {
                    for (value, column) in values.iter_mut().zip(chunk.chunks_exact(nr)) {
                        *value = column[lane];
                    }
                    dtype.encode(&values, bytes);
                }
            });
        });
        hidden
    }

    /// The panels of every sequence from `first` on, in runs of at most `longest`; returns each run
    /// with its first panel.
    pub(crate) fn wanted(&mut self, first: usize, longest: usize) -> Vec<(usize, &mut [f32])> {
        let panels = per_sequence(self.tokens);
        let (size, first) = (self.channels * panel_tokens(), first.min(panels));
        if first == 0 {
            let count = self.count();
            return balanced(&mut self.data, count, longest);
        }
        let sequences = self.data.chunks_mut((panels * size).max(1)).enumerate();
        let runs = sequences.flat_map(|(sequence, data)| {
            let start = sequence * panels + first;
            let runs = balanced(&mut data[first * size..], panels - first, longest);
            runs.into_iter().map(move |(run, data)| (start + run, data))
        });
        runs.collect()
    }

    /// Number of panels of all sequences.
    pub(crate) fn count(&self) -> usize {
        self.batch * per_sequence(self.tokens)
    }
}

/// Number of panels that `tokens` tokens occupy.
pub(crate) fn per_sequence(tokens: usize) -> usize {
    tokens.div_ceil(panel_tokens())
}

/// Splits `units` units into runs of at most `longest`, as equal in length as possible and in a
/// number that the threads share evenly.
pub(crate) fn runs(units: usize, longest: usize) -> Vec<Range<usize>> {
    let threads = rayon::current_num_threads();
    let count = units.div_ceil(longest.max(1)).next_multiple_of(threads).min(units);
    (0..count).map(|run| run * units / count..(run + 1) * units / count).collect()
}

/// Splits `data`, `units` units of equal size, into [`runs`]; returns each run with its first unit.
pub(crate) fn balanced(data: &mut [f32], units: usize, longest: usize) -> Vec<(usize, &mut [f32])> {
    let size = data.len() / units.max(1);
    let mut rest = data;
    let mut result = Vec::new();
    for run in runs(units, longest) {
        let (head, tail) = rest.split_at_mut(run.len() * size);
        result.push((run.start, head));
        rest = tail;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_states_survive_the_layout() {
        let values: Vec<f32> = (0..2 * 131 * 5).map(|i| i as f32).collect();
        let hidden = Hidden::from_f32(&values, [2, 131, 5], Dtype::F32).unwrap();
        let panels = Panels::from_hidden(&hidden);
        assert_eq!(panels.count(), 2 * per_sequence(131));
        assert_eq!(panels.to_hidden(Dtype::F32), hidden);
    }

    #[test]
    fn runs_cover_everything_once() {
        for units in [0, 1, 2, 7, 43] {
            let mut data = vec![0.0; units * 3];
            let runs = balanced(&mut data, units, 4);
            let mut next = 0;
            for (first, run) in runs {
                assert_eq!(first, next);
                assert!(run.len() <= 12 && !run.is_empty());
                next += run.len() / 3;
            }
            assert_eq!(next, units);
        }
    }
}
