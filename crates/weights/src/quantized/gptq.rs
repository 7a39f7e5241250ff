//! GPTQ checkpoints: integers of 2, 3, 4 or 8 bits in words along the inputs, with one scale and zero point for
//! each output and group of inputs.
//!
//! `weight = scale * (code - zero)` in the dtype of the scales. Checkpoints of the first version store zero - 1
//! in each field; 1 is added after a field is extracted, without masking again (as AutoGPTQ's
//! `qlinear_cuda_old` and the exllama kernels do), so a field of all ones means 2^bits. Symmetric quantization
//! puts the zero point in the middle, so that a file reveals its version; one that declares another is
//! rejected.

use super::codes::{Codes, Packing};
use super::config::Section;
use super::grid::{Grid, Pattern, transposed};
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// The `quantization_config` of `quant_method = "gptq"`.
pub(super) struct Config {
    bits: u32,
    /// Inputs per group; `None` for one group of all inputs.
    group_size: Option<usize>,
    /// What must be added to a stored zero point: 1 in the first version.
    zero_offset: f32,
    /// Whether modules may differ in bits and group size; the shapes then decide.
    dynamic: bool,
    /// Whether inputs were quantized in the order of their activations.
    act_order: bool,
    /// Whether all zero points are in the middle, if the file says so.
    symmetric: Option<bool>,
}

struct Gptq {
    codes: Part,
    zeros: Part,
    scales: Part,
    /// The group of each input, if stored.
    g_idx: Option<Part>,
    /// Inputs per group if no list is stored.
    group_size: usize,
    outputs: usize,
    groups: usize,
    inputs: usize,
    packing: Packing,
    zero_offset: f32,
    symmetric: Option<bool>,
    bits: u32,
}

impl Config {
    /// Reads AutoRound's configuration with GPTQ's packing, which is that of GPTQ's first version.
    pub(super) fn of_auto_round(section: &Section<'_>) -> Result<Self, WeightsError> {
        let config = Self::parse(section)?;
        // Layers of other widths are allowed; the shapes decide.
        let dynamic = config.dynamic || section.get("extra_config").is_some();
        Ok(Self { dynamic, symmetric: config.symmetric.filter(|_| !dynamic), ..config })
    }

    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let bits = section.integer("bits")?;
        let bits = match bits {
            Some(bits @ (2 | 3 | 4 | 8)) => bits as u32,
            Some(other) => return Err(section.bad("bits", "2, 3, 4 or 8", &other.to_string())),
            None => return Err(section.bad("bits", "2, 3, 4 or 8", "nothing")),
        };
        let group_size = match section.integer("group_size")? {
            None | Some(-1) => None,
            Some(size) => Some(
                usize::try_from(size)
                    .ok()
                    .filter(|&size| size > 0)
                    .ok_or_else(|| section.bad("group_size", "-1 or above 0", &size.to_string()))?,
            ),
        };
        let mut zero_offset = 1.0;
        // Both keys may be written; the older one takes precedence.
        for key in ["format", "checkpoint_format"] {
            zero_offset = match section.text(key)? {
                None => zero_offset,
                Some("gptq") => 1.0,
                Some("gptq_v2") => 0.0,
                Some(other) => {
                    let found = format!("\"{other}\"");
                    return Err(section.bad(key, "\"gptq\" or \"gptq_v2\"", &found));
                }
            };
        }
        if section.flag("is_marlin_format")? == Some(true) {
            return Err(section.bad("is_marlin_format", "false", "true"));
        }
        for (key, only) in [("pack_dtype", "int32"), ("method", "gptq")] {
            if let Some(found) = section.text(key)?.filter(|found| *found != only) {
                return Err(section.bad(key, &format!("\"{only}\""), &format!("\"{found}\"")));
            }
        }
        let dynamic = section.get("dynamic").is_some();
        let act_order = section.flag("desc_act")?.unwrap_or(false);
        // Modules that differ may also differ in this.
        let symmetric = section.flag("sym")?.filter(|_| !dynamic);
        Ok(Self { bits, group_size, zero_offset, dynamic, act_order, symmetric })
    }

    /// Plans modules with a `qweight`.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if !module.has("qweight") {
            return Ok(None);
        }
        let codes = module.need("qweight", "gptq")?;
        module.check_dtype(&codes, &["I32"])?;
        let [words, outputs] = codes.matrix(module)?;
        let g_idx = match module.take("g_idx")? {
            None if self.act_order => return Err(module.missing("g_idx", "gptq with desc_act")),
            g_idx => g_idx,
        };
        let (bits, inputs) = self.width(module, &codes, words, g_idx.as_ref())?;
        let packing = Packing::dense(bits);

        let scales = module.need("scales", "gptq")?;
        module.check_dtype(&scales, &["F16", "BF16", "F32"])?;
        let [groups, _] = scales.matrix(module)?;
        if groups == 0 {
            return Err(module.bad(&scales, "a group or more", "none", EXPORT_AGAIN));
        }
        let (group_size, expected) = match self.group_size {
            _ if self.dynamic => (inputs.div_ceil(groups).max(1), groups),
            Some(size) => (size, inputs.div_ceil(size)),
            None => (inputs.max(1), 1),
        };
        module.check(&scales, &["F16", "BF16", "F32"], &[expected, outputs])?;
        let zeros = module.need("qzeros", "gptq")?;
        let zero_words = packing.words(outputs).unwrap_or(usize::MAX);
        module.check(&zeros, &["I32"], &[groups, zero_words])?;

        let grouping = if groups == 1 { "channel".to_owned() } else { format!("g{group_size}") };
        // A list in plain order may also be stored.
        let order = if self.act_order { " act-order" } else { "" };
        let format = format!("gptq int{bits} {grouping}{order}");
        let zero_offset = self.zero_offset;
        let layout = Gptq {
            codes,
            zeros,
            scales,
            g_idx,
            group_size,
            outputs,
            groups,
            inputs,
            packing,
            zero_offset,
            symmetric: self.symmetric,
            bits,
        };
        Ok(Some(Plan { format, shape: vec![outputs, inputs], layout: Box::new(layout) }))
    }

    /// Bits and number of inputs: the group list has one entry per input; without it, words are full.
    fn width(
        &self,
        module: &Module<'_>,
        codes: &Part,
        words: usize,
        g_idx: Option<&Part>,
    ) -> Result<(u32, usize), WeightsError> {
        let Some(list) = g_idx else {
            let inputs = words.checked_mul(32).map_or(0, |bits| bits / self.bits as usize);
            return Ok((self.bits, inputs));
        };
        module.check_dtype(list, &["I32", "I64"])?;
        let inputs = list.values();
        module.check(list, &["I32", "I64"], &[inputs])?;
        let fits = |bits: u32| Packing::dense(bits).words(inputs) == Some(words);
        if fits(self.bits) {
            return Ok((self.bits, inputs));
        }
        if self.dynamic
            && let Some(bits) = [2, 3, 4, 8].into_iter().find(|&bits| fits(bits))
        {
            return Ok((bits, inputs));
        }
        let expected = format!("words for {inputs} inputs of {} bits", self.bits);
        Err(module.bad(codes, &expected, &codes.describe(), EXPORT_AGAIN))
    }
}

impl Layout for Gptq {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let Self { outputs, groups, packing, .. } = *self;
        let codes = Codes::Columns { words: reader.words(&self.codes)?, outputs, packing };
        let words: &[[u8; 4]] = reader.words(&self.zeros)?;
        let words_per_group = words.len() / groups;
        let mut zeros = Vec::with_capacity(outputs * groups);
        for output in 0..outputs {
            for group in 0..groups {
                let zero = packing.get(output, |word| words[group * words_per_group + word]);
                zeros.push(zero as f32 + self.zero_offset);
            }
        }
        self.check_version(&reader, &zeros)?;
        let scales = transposed(&reader.numbers(&self.scales)?, groups, outputs);
        let precision = self.scales.precision();
        let mut grid = Grid::tiles([1, self.group_size], groups, scales, precision);
        grid.zeros = Some(zeros);
        if let Some(list) = &self.g_idx {
            let group_of = reader.group_indices(list, groups)?;
            let in_order = (0..self.inputs).all(|at| group_of[at] as usize == at / self.group_size);
            if !in_order {
                grid.pattern = Pattern::Listed { group_of, groups };
            }
        }
        Ok((codes, grid))
    }
}

impl Gptq {
    /// Rejects zero points of a version other than the configured one, as far as they reveal it.
    fn check_version(&self, reader: &Reader<'_>, zeros: &[f32]) -> Result<(), WeightsError> {
        let middle = (1u32 << (self.bits - 1)) as f32;
        let (said, other) = match self.zero_offset {
            0.0 => ("gptq_v2", "gptq"),
            _ => ("gptq", "gptq_v2"),
        };
        // The value of the middle under the other version's rule.
        let of_other = if self.zero_offset == 0.0 { middle - 1.0 } else { middle + 1.0 };
        let asymmetric = self.symmetric == Some(false);
        if !asymmetric && !zeros.is_empty() && zeros.iter().all(|zero| *zero == of_other) {
            let expected = format!("zero points of {middle}, as symmetric ones are under {said}");
            let found = format!("{of_other} everywhere, which would be {middle} under {other}");
            let hint = "the configuration names the wrong version: set checkpoint_format to the other one, or fetch the \
                        checkpoint again";
            return Err(reader.bad(&self.zeros, &expected, &found, hint));
        }
        match zeros.iter().find(|zero| **zero != middle) {
            Some(zero) if self.symmetric == Some(true) => {
                let expected =
                    format!("zero points of {middle}, as the configuration says \"sym\"");
                Err(reader.bad(&self.zeros, &expected, &zero.to_string(), EXPORT_AGAIN))
            }
            _ => Ok(()),
        }
    }
}
