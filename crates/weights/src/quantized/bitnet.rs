//! BitNet checkpoints: weights of -1, 0 and 1, four to a byte, with one scale for the tensor.
//!
//! A byte holds values of four rows, a quarter of the rows apart, the first in its lowest bits.
//! `weight = value / scale` in `BitLinear`, whose scale is the reciprocal of the magnitude, and
//! `weight = value * scale` in `AutoBitLinear`, in the dtype of the scale.
//!
//! Source: transformers 5.24 (`integrations/bitnet.py`).

use super::codes::{Codes, Items, Stacked};
use super::config::Section;
use super::grid::Grid;
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// The `quantization_config` of `quant_method = "bitnet"`.
pub(super) struct Config {
    /// Whether values are divided by the scale.
    divides: bool,
}

struct Ternary {
    codes: Part,
    scale: Part,
    divides: bool,
}

impl Config {
    pub(super) fn parse(
        section: &Section<'_>,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        let divides = match section.text("linear_class")? {
            None | Some("bitlinear") => true,
            Some("autobitlinear") => false,
            Some(other) => {
                let expected = "\"bitlinear\" or \"autobitlinear\"";
                return Err(section.bad("linear_class", expected, &format!("\"{other}\"")));
            }
        };
        if let Some(mode) = section.text("quantization_mode")?.filter(|mode| *mode != "offline") {
            let expected = "\"offline\", for weights that are stored quantized";
            return Err(section.bad("quantization_mode", expected, &format!("\"{mode}\"")));
        }
        if section.flag("use_rms_norm")? == Some(true) {
            let expected = "false: no further norm before every linear layer";
            return Err(section.bad("use_rms_norm", expected, "true"));
        }
        weights_only.push("input activations int8".to_owned());
        Ok(Self { divides })
    }

    /// Plans modules whose weight is U8.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if module.dtype("weight") != Some("U8") {
            return Ok(None);
        }
        let codes = module.need("weight", "bitnet")?;
        let [rows, columns] = codes.matrix(module)?;
        let scale = module.need("weight_scale", "bitnet")?;
        module.check_dtype(&scale, &["F32", "F16", "BF16"])?;
        module.check_single(&scale)?;
        let shape = vec![rows.saturating_mul(4), columns];
        let layout = Ternary { codes, scale, divides: self.divides };
        let format = "bitnet ternary".to_owned();
        Ok(Some(Plan { format, shape, layout: Box::new(layout) }))
    }
}

impl Layout for Ternary {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let bytes = reader.bytes(&self.codes)?;
        let unused = |byte: &u8| (0..4).any(|part| byte >> (2 * part) & 3 == 3);
        if let Some(at) = bytes.iter().position(unused) {
            let expected = "fields of 0, 1 or 2";
            return Err(reader.bad(
                &self.codes,
                expected,
                &format!("3 in byte {at}"),
                EXPORT_AGAIN,
            ));
        }
        let scales = reader.numbers(&self.scale)?;
        if scales.contains(&0.0) {
            return Err(reader.bad(&self.scale, "a number other than 0", "0", EXPORT_AGAIN));
        }
        let stacked = Stacked {
            bits: 2,
            parts: 4,
            width: self.codes.shape[1],
            rows: self.codes.shape[0],
            first_is_high: false,
            offset: 1.0,
        };
        let tile = [self.codes.shape[0] * 4, stacked.width].map(|size| size.max(1));
        let mut grid = Grid::tiles(tile, 1, scales, self.scale.precision());
        grid.divides = self.divides;
        Ok((Codes::Stacked(Items::Bytes(bytes), stacked), grid))
    }
}
