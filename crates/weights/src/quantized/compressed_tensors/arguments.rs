//! The `weights` of a configuration group: bits, type, and what shares a scale.

use serde_json::Value;

use super::Storage;
use crate::WeightsError;
use crate::quantized::config::Section;
use crate::quantized::parts::{EXPORT_AGAIN, Module, Part};

/// How a group's weights are quantized.
#[derive(Debug)]
pub(super) struct Arguments {
    /// Bits per value, 1 to 8.
    pub(super) bits: u32,
    pub(super) float: bool,
    pub(super) symmetric: bool,
    pub(super) strategy: Strategy,
    /// Whether inputs were quantized in the order of their activations.
    pub(super) act_order: bool,
}

/// Which values share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// All values of a tensor.
    Tensor,
    /// All values of one output.
    Channel,
    /// This many inputs of one output.
    Group(usize),
    /// A block of outputs by inputs.
    Block([usize; 2]),
}

impl Arguments {
    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let bits = section.integer("num_bits")?.unwrap_or(8);
        let bits = u32::try_from(bits)
            .ok()
            .filter(|bits| (1..=8).contains(bits))
            .ok_or_else(|| section.bad("num_bits", "1 to 8", &bits.to_string()))?;
        let float = match section.text("type")?.unwrap_or("int") {
            "int" => false,
            "float" => true,
            other => return Err(section.bad("type", "\"int\" or \"float\"", other)),
        };
        let symmetric = section.flag("symmetric")?.unwrap_or(true);
        let act_order = act_order(section)?;
        if section.flag("dynamic")? == Some(true) {
            return Err(section.bad("dynamic", "false, as weights are stored", "true"));
        }
        Ok(Self { bits, float, symmetric, strategy: strategy(section)?, act_order })
    }

    /// The storage implied by these arguments, if the configuration does not name it.
    pub(super) fn storage(&self, module: &Module<'_>) -> Storage {
        let group = match self.strategy {
            Strategy::Group(size) => size,
            _ => 0,
        };
        match (self.float, self.bits, group) {
            (true, 4, 16) => Storage::Nvfp4,
            (true, 4, 32) => Storage::Mxfp4,
            (true, 8, 32) if module.dtype("weight_scale") == Some("U8") => Storage::Mxfp8,
            (false, _, _) if module.has("weight_packed") => Storage::Packed,
            _ => Storage::Naive,
        }
    }

    /// The description that `strait inspect` shows, for example `int4 g128`.
    pub(super) fn describe(&self) -> String {
        let kind = if self.float { "fp" } else { "int" };
        let asymmetric = if self.symmetric { "" } else { " asym" };
        match self.strategy {
            Strategy::Tensor => format!("{kind}{} tensor{asymmetric}", self.bits),
            Strategy::Channel => format!("{kind}{} channel{asymmetric}", self.bits),
            Strategy::Group(size) => format!("{kind}{} g{size}{asymmetric}", self.bits),
            Strategy::Block([rows, columns]) => {
                format!("{kind}{} block {rows}x{columns}{asymmetric}", self.bits)
            }
        }
    }
}

impl Strategy {
    /// The tile of one scale and the number of tiles down and across a `[rows, columns]` weight.
    pub(super) fn tiles(
        self,
        module: &Module<'_>,
        scale: &Part,
        [rows, columns]: [usize; 2],
    ) -> Result<([usize; 2], [usize; 2]), WeightsError> {
        let width = columns.max(1);
        Ok(match self {
            Self::Tensor => ([rows.max(1), width], [1, 1]),
            Self::Channel => ([1, width], [rows, 1]),
            Self::Group(size) if columns % size == 0 => ([1, size], [rows, columns / size]),
            Self::Group(size) => {
                let expected = format!("inputs in whole groups of {size}");
                return Err(module.bad(scale, &expected, &columns.to_string(), EXPORT_AGAIN));
            }
            Self::Block(block) => (block, [rows.div_ceil(block[0]), columns.div_ceil(block[1])]),
        })
    }

    /// Rejects scales or zero points unless there is one per tile.
    pub(super) fn check(
        self,
        module: &Module<'_>,
        part: &Part,
        dtypes: &[&str],
        tiles: [usize; 2],
    ) -> Result<(), WeightsError> {
        match self {
            Self::Tensor => {
                module.check_dtype(part, dtypes)?;
                module.check_single(part)
            }
            Self::Channel if part.shape == [tiles[0]] => module.check_dtype(part, dtypes),
            _ => module.check(part, dtypes, &tiles),
        }
    }
}

/// Whether inputs were regrouped; the order "weight" leaves no trace in what is stored.
fn act_order(section: &Section<'_>) -> Result<bool, WeightsError> {
    match section.get("actorder") {
        None | Some(Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) => Ok(true),
        Some(_) => match section.text("actorder")? {
            Some("group" | "dynamic") => Ok(true),
            Some("weight" | "static") | None => Ok(false),
            Some(other) => {
                let expected = "group, dynamic, weight or static";
                Err(section.bad("actorder", expected, &format!("\"{other}\"")))
            }
        },
    }
}

fn strategy(section: &Section<'_>) -> Result<Strategy, WeightsError> {
    let group_size = section.integer("group_size")?;
    let group = || {
        group_size
            .and_then(|size| usize::try_from(size).ok())
            .filter(|&size| size > 0)
            .map(Strategy::Group)
            .ok_or_else(|| {
                let found = group_size.map_or("nothing".to_owned(), |size| size.to_string());
                section.bad("group_size", "a positive number", &found)
            })
    };
    match section.text("strategy")? {
        Some("tensor") => Ok(Strategy::Tensor),
        Some("channel") => Ok(Strategy::Channel),
        Some("group" | "tensor_group") => group(),
        Some("block") => section
            .pair("block_structure")?
            .map(Strategy::Block)
            .ok_or_else(|| section.bad("block_structure", "two positive numbers", "nothing")),
        Some(other) => {
            let expected = "tensor, channel, group, tensor_group or block";
            Err(section.bad("strategy", expected, &format!("\"{other}\"")))
        }
        None => match group_size {
            None => Ok(Strategy::Tensor),
            Some(-1) => Ok(Strategy::Channel),
            Some(_) => group(),
        },
    }
}
