//! Which values share a scale, and their order while it is sought.

use strait_codec_kit::bits;
use strait_codec_kit::slices::bounded;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use crate::solver::Cells;

/// The groups of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Groups {
    /// Groups of the message.
    pub(crate) count: usize,
    /// Most values of a group.
    size: usize,
    /// Values of the message.
    values: usize,
    /// Values of a row, for groups within rows.
    row: Option<usize>,
}

impl Groups {
    /// The groups of a message of this shape.
    pub(crate) fn new(axis: u32, size: usize, shape: Shape) -> Groups {
        let values = shape.values();
        let (count, row) = match axis {
            0 => (values.div_ceil(size), None),
            _ => (shape.rows * shape.channels.div_ceil(size), Some(shape.channels)),
        };
        Groups { count: if values == 0 { 0 } else { count }, size, values, row }
    }

    /// The values with each group's in one run; `grouped` is scratch.
    pub(crate) fn gathered<'a>(&self, plain: &'a [f32], grouped: &'a mut Vec<f32>) -> &'a [f32] {
        if self.row.is_some() {
            return plain;
        }
        grouped.clear();
        for group in 0..self.count {
            grouped.extend(plain[group..].iter().step_by(self.count));
        }
        grouped
    }

    /// Calls `f(group, run)` for the run of every group among the gathered values.
    #[inline(always)]
    pub(crate) fn for_each(&self, mut f: impl FnMut(usize, std::ops::Range<usize>)) {
        let mut group = 0;
        match self.row {
            Some(channels) => {
                for row in (0..self.values).step_by(channels.max(1)) {
                    for start in (row..row + channels).step_by(self.size) {
                        f(group, start..(start + self.size).min(row + channels));
                        group += 1;
                    }
                }
            }
            None => {
                let mut start = 0;
                while group < self.count {
                    let end = start + (self.values - group).div_ceil(self.count);
                    f(group, start..end);
                    (start, group) = (end, group + 1);
                }
            }
        }
    }

    /// Appends the codes of the gathered values, packed in the order of the message.
    pub(crate) fn append(&self, width: u32, codes: &[u8], payload: &mut Vec<u8>) {
        if self.row.is_some() {
            vectorize(
                #[inline(always)]
                || bits::pack_into(width, codes, payload),
            );
            return;
        }
        let mut plain = vec![0; codes.len()];
        self.for_each(|group, run| {
            for (place, code) in plain[group..].iter_mut().step_by(self.count).zip(&codes[run]) {
                *place = *code;
            }
        });
        vectorize(
            #[inline(always)]
            || bits::pack_into(width, &plain, payload),
        );
    }

    /// Values of the codes of a row that begins at the value `first` of the message.
    pub(crate) fn decode_row(
        &self,
        cells: &Cells,
        row: usize,
        first: usize,
        most: f32,
        codes: &[u8],
        values: &mut [f32],
    ) {
        let Cells { inverses, zeros } = cells;
        vectorize(
            #[inline(always)]
            || match self.row {
                Some(channels) => {
                    let group = row * channels.div_ceil(self.size);
                    let runs = values.chunks_mut(self.size).zip(codes.chunks(self.size));
                    let cells = inverses[group..].iter().zip(&zeros[group..]);
                    for ((values, codes), (inverse, zero)) in runs.zip(cells) {
                        for (value, code) in values.iter_mut().zip(codes) {
                            *value = bounded((f32::from(*code) - zero) * inverse, most);
                        }
                    }
                }
                None => {
                    let (mut rest, mut codes, mut group) = (values, codes, first % self.count);
                    // Neighbours are of neighbouring groups.
                    while !rest.is_empty() {
                        let count = rest.len().min(self.count - group);
                        let (run, after) = rest.split_at_mut(count);
                        let cells = inverses[group..].iter().zip(&zeros[group..]);
                        for ((value, code), (inverse, zero)) in run.iter_mut().zip(codes).zip(cells)
                        {
                            *value = bounded((f32::from(*code) - zero) * inverse, most);
                        }
                        (rest, codes, group) = (after, &codes[count..], 0);
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_the_values_in_order() {
        let shape = Shape { rows: 3, channels: 7, dtype: Dtype::F32 };
        for (axis, size, sizes) in [
            (1, 3, vec![3, 3, 1, 3, 3, 1, 3, 3, 1]),
            (0, 4, vec![4, 4, 4, 3, 3, 3]),
            (0, 64, vec![21]),
        ] {
            let groups = Groups::new(axis, size, shape);
            let mut found = Vec::new();
            let mut next = 0;
            groups.for_each(|group, run| {
                assert_eq!((group, run.start), (found.len(), next));
                next = run.end;
                found.push(run.len());
            });
            assert_eq!((&found, groups.count, next), (&sizes, sizes.len(), 21));
        }
    }

    #[test]
    fn strided_groups_are_gathered_and_put_back() {
        let groups = Groups::new(0, 2, Shape { rows: 1, channels: 5, dtype: Dtype::F32 });
        let mut grouped = Vec::new();
        assert_eq!(
            groups.gathered(&[0.0, 1.0, 2.0, 3.0, 4.0], &mut grouped),
            [0.0, 3.0, 1.0, 4.0, 2.0]
        );
        let mut payload = Vec::new();
        groups.append(8, &[0, 3, 1, 4, 2], &mut payload);
        assert_eq!(payload, [0, 1, 2, 3, 4]);
    }
}
