//! AWQ checkpoints: 4-bit integers, packed eight outputs per word in AWQ's order (GEMM) or eight inputs per
//! word in plain order (GEMV).
//!
//! `weight = (code - zero) * scale` in the dtype of the scales. GEMM stores `[in, out]`; GEMV stores `[out,
//! in]`, with zero points and scales padded to as many groups as its kernel requires, of which only those of
//! the inputs count.
//!
//! Source: AutoAWQ 0.2.9 (`modules/linear/gemm.py`, `modules/linear/gemv.py`).

use super::codes::{Codes, Octets, Packing};
use super::config::Section;
use super::grid::{Grid, transposed};
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// The `quantization_config` of `quant_method = "awq"`.
pub(super) struct Config {
    /// Inputs per group; `None` for one group of all inputs.
    group_size: Option<usize>,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Gemm,
    Gemv,
}

struct Gemv {
    codes: Part,
    zeros: Part,
    scales: Part,
    group_size: usize,
    groups: usize,
}

/// Codes and zero points of eight outputs a word, for whole groups of inputs.
pub(super) struct Awq {
    pub(super) codes: Part,
    pub(super) zeros: Part,
    pub(super) scales: Part,
    pub(super) group_size: usize,
    pub(super) outputs: usize,
    pub(super) groups: usize,
    pub(super) octets: Octets,
}

impl Config {
    /// Reads the keys `bits`, `group_size` and `version`, or `w_bit` and `q_group_size` in files written by
    /// AutoAWQ itself.
    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let bits = section.integer("bits")?.or(section.integer("w_bit")?).unwrap_or(4);
        if bits != 4 {
            return Err(section.bad("bits", "4, the only width of AWQ", &bits.to_string()));
        }
        let version = match section.text("version")?.or(section.text("format")?) {
            None => Version::Gemm,
            Some(name) if name.eq_ignore_ascii_case("gemm") => Version::Gemm,
            Some(name) if name.eq_ignore_ascii_case("gemv") => Version::Gemv,
            Some(name) => {
                let expected = "\"gemm\" or \"gemv\"";
                return Err(section.bad("version", expected, &format!("\"{name}\"")));
            }
        };
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
        Ok(Self { group_size, version })
    }

    /// Reads AutoRound's configuration with AWQ's packing, which is that of GEMM.
    pub(super) fn of_auto_round(section: &Section<'_>) -> Result<Self, WeightsError> {
        let config = Self::parse(section)?;
        match section.get("extra_config") {
            None => Ok(config),
            Some(_) => {
                Err(section.bad("extra_config", "nothing, in AWQ's packing", "layers that differ"))
            }
        }
    }

    /// Plans modules with a `qweight`.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if !module.has("qweight") {
            return Ok(None);
        }
        if self.version == Version::Gemv {
            return self.gemv(module).map(Some);
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
        let octets = Octets::AWQ;
        let layout = Awq { codes, zeros, scales, group_size, outputs, groups, octets };
        Ok(Some(Plan { format, shape: vec![outputs, inputs], layout: Box::new(layout) }))
    }

    fn gemv(&self, module: &Module<'_>) -> Result<Plan, WeightsError> {
        let codes = module.need("qweight", "awq")?;
        module.check_dtype(&codes, &["I32"])?;
        let [outputs, words] = codes.matrix(module)?;
        let inputs = words.saturating_mul(8);
        let group_size = self.group_size.unwrap_or(inputs).max(1);
        if inputs % group_size != 0 {
            let expected = format!("inputs in whole groups of {group_size}");
            return Err(module.bad(&codes, &expected, &inputs.to_string(), EXPORT_AGAIN));
        }
        let groups = inputs / group_size;
        let zeros = module.need("qzeros", "awq")?;
        module.check_dtype(&zeros, &["I32"])?;
        let [rows, zero_words] = zeros.matrix(module)?;
        if rows != outputs || zero_words.saturating_mul(8) < groups {
            let expected = format!("{outputs} rows of zero points for {groups} groups or more");
            return Err(module.bad(&zeros, &expected, &zeros.describe(), EXPORT_AGAIN));
        }
        let scales = module.need("scales", "awq")?;
        let padded = zero_words.saturating_mul(8);
        module.check(&scales, &["F16", "BF16", "F32"], &[outputs, padded])?;
        let format = format!("awq int4 g{group_size} gemv");
        let layout = Gemv { codes, zeros, scales, group_size, groups };
        Ok(Plan { format, shape: vec![outputs, inputs], layout: Box::new(layout) })
    }
}

impl Layout for Gemv {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let Self { groups, .. } = *self;
        let (packing, words_per_row) = (Packing::whole_values(4), self.codes.shape[1]);
        let words = reader.words(&self.codes)?;
        let codes = Codes::Rows { words, words_per_row, packing, offset: 0.0 };
        let zero_words: &[[u8; 4]] = reader.words(&self.zeros)?;
        let padded = self.zeros.shape[1];
        let zeros = zero_words
            .chunks(padded.max(1))
            .flat_map(|row| (0..groups).map(|group| packing.get(group, |word| row[word]) as f32));
        let zeros = zeros.collect();
        let scales = reader.numbers(&self.scales)?;
        let scales: Vec<f32> =
            scales.chunks((padded * 8).max(1)).flat_map(|row| row[..groups].to_vec()).collect();
        let mut grid = Grid::tiles([1, self.group_size], groups, scales, self.scales.precision());
        grid.zeros = Some(zeros);
        Ok((codes, grid))
    }
}

impl Layout for Awq {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let Self { outputs, groups, octets, .. } = *self;
        let words_per_input = outputs / 8;
        let words = reader.words(&self.codes)?;
        let codes = Codes::Interleaved { words, words_per_input, octets };
        let words: &[[u8; 4]] = reader.words(&self.zeros)?;
        let mut zeros = Vec::with_capacity(outputs * groups);
        for output in 0..outputs {
            for group in 0..groups {
                let words = &words[group * words_per_input..][..words_per_input];
                zeros.push(octets.get(words, output));
            }
        }
        let scales = transposed(&reader.numbers(&self.scales)?, groups, outputs);
        let mut grid = Grid::tiles([1, self.group_size], groups, scales, self.scales.precision());
        grid.zeros = Some(zeros);
        Ok((codes, grid))
    }
}
