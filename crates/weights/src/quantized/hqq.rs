//! HQQ checkpoints: integers of 1 to 8 bits with a fractional zero point and a scale for each group, as
//! `HQQLinear` saves them.
//!
//! The weight is flattened into a matrix of groups, one a row (`axis` 1) or one a column (`axis` 0); several of
//! that matrix's rows, far apart, share a byte or, for 3 bits, a word. `weight = (code - zero) * scale` in the
//! dtype that the module names, with the difference rounded before the product. The module's other numbers and
//! texts are stored as tensors, too.
//!
//! Source: hqq 0.2.8 (`core/quantize.py`, `core/bitpack.py`).

use super::codes::{Codes, Items, Stacked};
use super::config::Section;
use super::grid::{Grid, Pattern};
use super::numbers::Precision;
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// Parts that say how codes were found, or repeat what others say.
const SPARE: [&str; 8] = [
    // The same bytes under another type.
    "view_as_float",
    "offload_meta",
    "encoded_state_dict",
    "stores_quant_config",
    "channel_wise",
    "optimize",
    "round_zero",
    "unpack_view_dtype",
];

struct Hqq {
    codes: Part,
    scales: Part,
    zeros: Part,
    stacked: Stacked,
    /// Whether a column of the matrix of groups is a group.
    columns: bool,
    group_size: usize,
    precision: Precision,
}

/// Reads the configuration, which says for all modules or kinds of them what each of them stores.
pub(super) fn check(section: &Section<'_>) -> Result<(), WeightsError> {
    let stored = ["nbits", "group_size", "axis", "view_as_float"];
    let method = ["channel_wise", "optimize", "round_zero", "offload_meta"];
    section.describes("quant_config", &[stored, method].concat())
}

/// Plans modules with a `W_q`.
pub(super) fn plan(module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
    if !module.has("W_q") {
        return Ok(None);
    }
    let codes = module.need("W_q", "hqq")?;
    let shape = shape(module)?;
    let values = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    for flag in ["quant_scale", "quant_zero"] {
        if number(module, flag)? != 0 {
            let part = module.need(flag, "hqq")?;
            let expected = "0: scales and zero points that are not quantized themselves";
            return Err(module.bad(&part, expected, "1", EXPORT_AGAIN));
        }
    }
    module.absorb(&SPARE);
    let bits = number(module, "nbits")?;
    let (packing, bits, stacked) = packing(module, bits)?;
    let size = number(module, "group_size")?;
    let group_size = usize::try_from(size).ok().filter(|&size| size > 0);
    let (Some(group_size), Some(values)) = (group_size, values) else {
        let expected = "a group size above 0 that divides the weight";
        return Err(module.bad(&codes, expected, &format!("{size} for {shape:?}"), EXPORT_AGAIN));
    };
    let columns = match number(module, "axis")? {
        0 => true,
        1 => false,
        axis => {
            let expected = "groups along axis 0 or 1";
            return Err(module.bad(&codes, expected, &axis.to_string(), EXPORT_AGAIN));
        }
    };
    let groups = values / group_size;
    let [rows, width] = if columns { [group_size, groups] } else { [groups, group_size] };
    let stacked = Stacked { width, rows: rows.div_ceil(stacked.parts), ..stacked };
    let bytes = module.reader().bytes(&codes)?.len();
    let item = if packing == "3bit_32" { 4 } else { 1 };
    if groups * group_size != values || stacked.bytes(item) != Some(bytes) {
        let expected = format!("codes of {bits} bits for {shape:?} in groups of {group_size}");
        return Err(module.bad(&codes, &expected, &codes.describe(), EXPORT_AGAIN));
    }
    let dtype = text(module, "compute_dtype")?;
    let scales = module.need("scale", "hqq")?;
    let Some(precision) = Precision::from_name(&dtype) else {
        let expected = "a compute_dtype of torch.float32, torch.float16 or torch.bfloat16";
        return Err(module.bad(&scales, expected, &dtype, EXPORT_AGAIN));
    };
    let side = if columns { [1, groups] } else { [groups, 1] };
    module.check(&scales, &[precision.dtype()], &side)?;
    let zeros = module.need("zero", "hqq")?;
    module.check(&zeros, &[precision.dtype()], &side)?;
    let axis = if columns { " axis0" } else { "" };
    let format = format!("hqq int{bits} g{group_size}{axis}");
    let layout = Hqq { codes, scales, zeros, stacked, columns, group_size, precision };
    Ok(Some(Plan { format, shape, layout: Box::new(layout) }))
}

/// The name of the packing, the width of the codes and how they share items.
fn packing(module: &Module<'_>, bits: i64) -> Result<(String, u32, Stacked), WeightsError> {
    let packing = text(module, "packing")?;
    let (width, parts) = match packing.as_str() {
        "8bit_u8" => (8, 1),
        "4bit_u8" => (4, 2),
        "3bit_32" => (3, 10),
        "2bit_u8" => (2, 4),
        "1bit_u8" => (1, 8),
        _ => (0, 1),
    };
    match u32::try_from(bits) {
        // 5 and 6 bits take bytes.
        Ok(bits) if bits == width || width == 8 && (5..=6).contains(&bits) => {
            let stacked =
                Stacked { bits: width, parts, width: 0, rows: 0, first_is_high: true, offset: 0.0 };
            Ok((packing, bits, stacked))
        }
        _ => {
            let part = module.need("packing", "hqq")?;
            let expected = format!(
                "a packing of {bits} bits, one of 8bit_u8, 4bit_u8, 3bit_32, 2bit_u8, 1bit_u8"
            );
            Err(module.bad(&part, &expected, &packing, EXPORT_AGAIN))
        }
    }
}

/// The dense shape, stored as a tensor.
fn shape(module: &Module<'_>) -> Result<Vec<usize>, WeightsError> {
    let part = module.need("shape", "hqq")?;
    let sizes = module.reader().integers(&part)?;
    match sizes[..] {
        [rows, columns] if rows > 0 && columns > 0 => Ok(vec![rows as usize, columns as usize]),
        _ => Err(module.bad(&part, "two sizes above 0", &format!("{sizes:?}"), EXPORT_AGAIN)),
    }
}

/// A number that is stored as a tensor.
fn number(module: &Module<'_>, name: &str) -> Result<i64, WeightsError> {
    let part = module.need(name, "hqq")?;
    let bytes = module.reader().bytes(&part)?;
    match (part.dtype.as_str(), bytes) {
        ("U8", &[byte]) => Ok(i64::from(byte)),
        ("I32", &[a, b, c, d]) => Ok(i64::from(i32::from_le_bytes([a, b, c, d]))),
        _ => Err(module.bad(&part, "one U8 or I32", &part.describe(), EXPORT_AGAIN)),
    }
}

/// A text that is stored as a tensor of its letters.
fn text(module: &Module<'_>, name: &str) -> Result<String, WeightsError> {
    let part = module.need(name, "hqq")?;
    module.check_dtype(&part, &["U8"])?;
    let bytes = module.reader().bytes(&part)?;
    Ok(bytes.iter().map(|&byte| char::from(byte)).collect())
}

impl Layout for Hqq {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let items = if self.stacked.bits == 3 {
            Items::Words(reader.words(&self.codes)?)
        } else {
            Items::Bytes(reader.bytes(&self.codes)?)
        };
        let pattern = if self.columns {
            Pattern::Cycle { values: self.scales.values() }
        } else {
            Pattern::Flat { values: self.group_size }
        };
        let mut grid = Grid::new(pattern, reader.numbers(&self.scales)?, self.precision);
        grid.zeros = Some(reader.numbers(&self.zeros)?);
        grid.rounds_differences = true;
        Ok((Codes::Stacked(items, self.stacked), grid))
    }
}
