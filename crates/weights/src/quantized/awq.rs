//! AWQ checkpoints of the GEMM layout: 4-bit integers of eight outputs a word in AWQ's order.
//!
//! `weight = (code - zero) * scale` in the dtype of the scales, `[in, out]` transposed.

use super::codes::{Codes, interleaved};
use super::config::Section;
use super::grid::{Grid, transposed};
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// `quantization_config` of `quant_method = "awq"`.
pub(super) struct Config {
    /// None for one group of all inputs.
    group_size: Option<usize>,
}

struct Awq {
    codes: Part,
    zeros: Part,
    scales: Part,
    group_size: usize,
    outputs: usize,
    groups: usize,
}

impl Config {
    /// Keys are `bits`, `group_size` and `version`, or `w_bit` and `q_group_size` in files of AutoAWQ itself.
    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let bits = section.integer("bits")?.or(section.integer("w_bit")?).unwrap_or(4);
        if bits != 4 {
            return Err(section.bad("bits", "4, the only width of AWQ", &bits.to_string()));
        }
        let version = section.text("version")?.unwrap_or("gemm");
        if !version.eq_ignore_ascii_case("gemm") {
            return Err(section.bad("version", "\"gemm\"", &format!("\"{version}\"")));
        }
        let size = section.integer("group_size")?.or(section.integer("q_group_size")?);
        let group_size = match size.unwrap_or(128) {
            -1 => None,
            size => Some(
                usize::try_from(size)
                    .ok()
                    .filter(|&size| size > 0)
                    .ok_or_else(|| section.bad("group_size", "-1 or above 0", &size.to_string()))?,
            ),
        };
        Ok(Self { group_size })
    }

    /// Plans modules with a `qweight`.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if !module.has("qweight") {
            return Ok(None);
        }
        let codes = module.need("qweight", "awq")?;
        module.check_dtype(&codes, &["I32"])?;
        let [inputs, words] = codes.matrix(module)?;
        let outputs = words.saturating_mul(8);
        let group_size = self.group_size.unwrap_or(inputs).max(1);
        if inputs % group_size != 0 {
            let expected = format!("inputs in whole groups of {group_size}");
            return Err(module.bad(&codes, &expected, &inputs.to_string(), EXPORT_AGAIN));
        }
        let groups = inputs / group_size;
        let scales = module.need("scales", "awq")?;
        module.check(&scales, &["F16", "BF16", "F32"], &[groups, outputs])?;
        let zeros = module.need("qzeros", "awq")?;
        module.check(&zeros, &["I32"], &[groups, words])?;
        let format = format!("awq int4 g{group_size}");
        let layout = Awq { codes, zeros, scales, group_size, outputs, groups };
        Ok(Some(Plan { format, shape: vec![outputs, inputs], layout: Box::new(layout) }))
    }
}

impl Layout for Awq {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let Self { outputs, groups, .. } = *self;
        let words_per_input = outputs / 8;
        let codes = Codes::Interleaved { words: reader.words(&self.codes)?, words_per_input };
        let words: &[[u8; 4]] = reader.words(&self.zeros)?;
        let mut zeros = Vec::with_capacity(outputs * groups);
        for output in 0..outputs {
            for group in 0..groups {
                let words = &words[group * words_per_input..][..words_per_input];
                zeros.push(interleaved(words, output) as f32);
            }
        }
        let scales = transposed(&reader.numbers(&self.scales)?, groups, outputs);
        let mut grid = Grid::tiles([1, self.group_size], groups, scales, self.scales.precision());
        grid.zeros = Some(zeros);
        Ok((codes, grid))
    }
}
