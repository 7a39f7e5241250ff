//! Which values share a cell (one scale with its zero point or minimum), and where each plane of
//! the payload begins.

use strait_codec_kit::bits::packed_bytes;
use strait_sdk::prelude::*;

use crate::{AffineParams, Granularity, Scheme};

/// The cells of one message and the payload's planes: scales, then zeros, then codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    /// Cells of the message.
    pub(crate) cells: usize,
    /// Values of a row that share a cell; the last run of a row may be shorter.
    pub(crate) run: usize,
    /// Bytes of the scales.
    pub(crate) scale_bytes: usize,
    /// Bytes of the zero points or minima.
    pub(crate) zero_bytes: usize,
    /// Bytes of the codes of one row.
    pub(crate) row_bytes: usize,
    /// Bytes of the whole payload.
    pub(crate) bytes: usize,
    granularity: Granularity,
    /// Rows that share their cells, where each column has its own.
    tall: usize,
}

impl Grid {
    /// The cells of a message of this shape.
    pub(crate) fn new(params: &AffineParams, shape: Shape) -> Grid {
        let Shape { rows, channels, .. } = shape;
        let run = match params.granularity {
            Granularity::Tensor | Granularity::Token => channels,
            Granularity::Channel | Granularity::ChannelGroup => 1,
            Granularity::Group => params.group,
        };
        let cells = match params.granularity {
            _ if rows == 0 || channels == 0 => 0,
            Granularity::Tensor => 1,
            Granularity::Channel => channels,
            Granularity::ChannelGroup => channels * rows.div_ceil(params.group),
            Granularity::Token | Granularity::Group => rows * channels.div_ceil(run),
        };
        let scale_bytes = cells * params.scale_dtype.dtype().size();
        let zero_bytes = match params.scheme {
            Scheme::Symmetric => 0,
            Scheme::Asymmetric => packed_bytes(params.bits, cells),
            Scheme::Minimum => scale_bytes,
        };
        let row_bytes = packed_bytes(params.bits, channels);
        Grid {
            cells,
            run: run.max(1),
            scale_bytes,
            zero_bytes,
            row_bytes,
            bytes: scale_bytes + zero_bytes + rows * row_bytes,
            granularity: params.granularity,
            tall: params.group,
        }
    }

    /// The first cell of a row.
    #[inline(always)]
    pub(crate) fn first_cell(&self, row: usize, channels: usize) -> usize {
        match self.granularity {
            Granularity::Tensor | Granularity::Channel => 0,
            Granularity::Token | Granularity::Group => row * channels.div_ceil(self.run),
            Granularity::ChannelGroup => row / self.tall * channels,
        }
    }

    /// Whether each column has its own cells.
    pub(crate) fn is_per_channel(&self) -> bool {
        matches!(self.granularity, Granularity::Channel | Granularity::ChannelGroup)
    }

    /// Calls `f(cell, values)` for every cell with its values of a message `[rows, channels]`.
    pub(crate) fn for_each_cell(
        &self,
        values: &[f32],
        channels: usize,
        mut f: impl FnMut(usize, &[f32]),
    ) {
        match self.granularity {
            Granularity::Tensor => f(0, values),
            Granularity::Token | Granularity::Group => {
                let rows = values.chunks(channels);
                let runs = rows.flat_map(|row| row.chunks(self.run));
                runs.enumerate().for_each(|(cell, run)| f(cell, run));
            }
            Granularity::Channel | Granularity::ChannelGroup => {
                let tall = match self.granularity {
                    Granularity::Channel => values.len(),
                    _ => self.tall * channels,
                };
                let mut column = Vec::new();
                for (block, values) in values.chunks(tall).enumerate() {
                    for channel in 0..channels {
                        column.clear();
                        column.extend(values[channel..].iter().step_by(channels));
                        f(block * channels + channel, &column);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use strait_sdk::serde_json::json;

    use super::*;

    fn grid(params: strait_sdk::serde_json::Value, rows: usize, channels: usize) -> Grid {
        let params = AffineParams::from_json(&params).unwrap();
        Grid::new(&params, Shape { rows, channels, dtype: Dtype::F32 })
    }

    #[test]
    fn bytes_of_the_published_settings() {
        // 8.00625 bits a value: one f16 scale and one f16 minimum for 5120 values.
        let per_token = grid(json!({ "bits": 8, "scheme": "minimum" }), 3, 5120);
        assert_eq!(per_token.bytes, 3 * (5120 + 4));
        // 4.3125 bits a value: f16 scale and 4-bit zero point for 64 values.
        let groups = grid(json!({ "bits": 4, "granularity": "group" }), 2, 5120);
        assert_eq!(groups.bytes * 8, 2 * (5120 * 4 + 80 * (16 + 4)));
    }

    #[test]
    fn ragged_groups_and_odd_widths() {
        let grid = grid(json!({ "bits": 3, "granularity": "group", "group": 4 }), 5, 9);
        assert_eq!((grid.cells, grid.row_bytes), (15, 4));
        assert_eq!((grid.scale_bytes, grid.zero_bytes), (30, 6));
        assert_eq!(grid.first_cell(2, 9), 6);
    }

    #[test]
    fn groups_of_tokens_have_cells_for_every_channel() {
        let grid = grid(json!({ "bits": 4, "granularity": "channel_group", "group": 4 }), 6, 3);
        assert_eq!((grid.cells, grid.first_cell(3, 3), grid.first_cell(4, 3)), (6, 0, 3));
        let values: Vec<f32> = (0..18_u8).map(f32::from).collect();
        let mut found = Vec::new();
        grid.for_each_cell(&values, 3, |cell, values| found.push((cell, values.to_vec())));
        assert_eq!(found[1], (1, vec![1.0, 4.0, 7.0, 10.0]));
        assert_eq!(found[5], (5, vec![14.0, 17.0]));
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn an_empty_message_has_an_empty_payload() {
        for granularity in ["tensor", "token", "channel", "group", "channel_group"] {
            assert_eq!(grid(json!({ "granularity": granularity }), 0, 7).bytes, 0);
        }
    }
}
