//! MLX checkpoints: integers of 2, 3, 4, 5, 6 or 8 bits in one stream of 32-bit words along the inputs, with a
//! scale and a bias for each group of inputs; or MXFP4, MXFP8 and NVFP4.
//!
//! `weight = code * scale + bias` in the dtype of the scales, with the product rounded before the sum; small
//! floats are multiplied by their scale in bf16. Embeddings are quantized like linear layers, and so are the
//! experts of a layer, which are stacked in `switch_mlp`. Modules that differ are listed by name in the
//! configuration.
//!
//! Source: mlx 0.32 (`mlx/ops.cpp`), mlx-lm 0.32 (`mlx_lm/utils.py`).

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::codes::{Codes, Packing};
use super::config::Section;
use super::grid::Grid;
use super::numbers::{E2M1, E4M3, Precision};
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, StoredTensor, WeightsError};

/// MLX's `quantization_config`, or `quantization`.
pub(super) struct Config {
    /// Settings of modules that the configuration does not name.
    usual: Settings,
    /// Settings of modules that it does name; `None` for those that it leaves dense.
    modules: Vec<(String, Option<Settings>)>,
}

/// How a module is quantized.
#[derive(Clone, Copy)]
struct Settings {
    mode: Mode,
    bits: u32,
    group_size: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Affine,
    Mxfp4,
    Mxfp8,
    Nvfp4,
}

struct MlxAffine {
    codes: Part,
    scales: Part,
    biases: Part,
    packing: Packing,
    group_size: usize,
}

impl Config {
    /// Reads the settings of all modules; `tensors` tell which keys are names of modules.
    pub(super) fn parse(
        section: &Section<'_>,
        tensors: &[StoredTensor],
    ) -> Result<Self, WeightsError> {
        let usual = Settings::parse(section)?;
        let mut modules = Vec::new();
        for module in section.objects() {
            let module = module?;
            // What a module's own settings do not say is MLX's default, not what the others have.
            modules.push((module.name().to_owned(), Some(Settings::parse(&module)?)));
        }
        for (name, quantized) in section.flags() {
            if has_weight(tensors, name) {
                section.flag(name)?;
                modules.push((name.to_owned(), quantized.then_some(usual)));
            }
        }
        Ok(Self { usual, modules })
    }

    /// Plans modules whose weight is U32 with scales beside it.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Vec<(String, Plan)>, WeightsError> {
        if module.dtype("weight") != Some("U32") || !module.has("scales") {
            return Ok(Vec::new());
        }
        let codes = module.need("weight", "mlx")?;
        let own = self.modules.iter().find(|(name, _)| name == module.name);
        let Some(settings) = own.map_or(Some(self.usual), |(_, settings)| *settings) else {
            let expected = "a dense weight, as the configuration says false for the module";
            return Err(module.bad(&codes, expected, &codes.describe(), EXPORT_AGAIN));
        };
        let scales = module.need("scales", "mlx")?;
        let biases = match settings.mode {
            Mode::Affine => Some(module.need("biases", "mlx")?),
            _ => None,
        };
        let parts = Parts { codes, scales, biases };
        match (parts.codes.shape.len(), Stack::of(module.name)) {
            (3, Some(stack)) => {
                let experts = 0..parts.experts(module)?;
                let plan = |expert| {
                    Ok((stack.name(expert), settings.plan(module, parts.of_stack(expert))?))
                };
                experts.map(plan).collect()
            }
            _ => Ok(vec![(module.dense_name(), settings.plan(module, parts)?)]),
        }
    }
}

/// What is stored of a weight.
struct Parts {
    codes: Part,
    scales: Part,
    biases: Option<Part>,
}

impl Parts {
    /// The number of experts in a stack, the same in every part.
    fn experts(&self, module: &Module<'_>) -> Result<usize, WeightsError> {
        let experts = self.codes.shape[0];
        for part in std::iter::once(&self.scales).chain(&self.biases) {
            if part.shape.first() != Some(&experts) {
                let expected = format!("{experts} experts, as the weight has");
                return Err(module.bad(part, &expected, &part.describe(), EXPORT_AGAIN));
            }
        }
        Ok(experts)
    }

    fn of_stack(&self, expert: usize) -> Self {
        Self {
            codes: self.codes.of_stack(expert),
            scales: self.scales.of_stack(expert),
            biases: self.biases.as_ref().map(|biases| biases.of_stack(expert)),
        }
    }
}

/// The place of the stacked experts of a layer, for example `model.layers.0.mlp` and `up_proj`.
struct Stack<'a> {
    block: &'a str,
    projection: &'a str,
}

impl<'a> Stack<'a> {
    fn of(module: &'a str) -> Option<Self> {
        let (block, projection) = module.split_once(".switch_mlp.")?;
        Some(Self { block, projection })
    }

    /// The name that the expert's weight has where experts are not stacked. Mixtral's have other names there.
    fn name(&self, expert: usize) -> String {
        let Self { block, projection } = self;
        let projection = match *projection {
            "gate_proj" if block.ends_with("block_sparse_moe") => "w1",
            "down_proj" if block.ends_with("block_sparse_moe") => "w2",
            "up_proj" if block.ends_with("block_sparse_moe") => "w3",
            other => other,
        };
        format!("{block}.experts.{expert}.{projection}.weight")
    }
}

/// Whether a module of this name has a weight.
fn has_weight(tensors: &[StoredTensor], module: &str) -> bool {
    tensors.iter().any(|tensor| tensor.info.name.strip_suffix(".weight") == Some(module))
}

impl Settings {
    fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let mode = match section.text("mode")? {
            None | Some("affine") => Mode::Affine,
            Some("mxfp4") => Mode::Mxfp4,
            Some("mxfp8") => Mode::Mxfp8,
            Some("nvfp4") => Mode::Nvfp4,
            Some(other) => {
                let expected = "\"affine\", \"mxfp4\", \"mxfp8\" or \"nvfp4\"";
                return Err(section.bad("mode", expected, &format!("\"{other}\"")));
            }
        };
        let (usual_bits, usual_size) = match mode {
            Mode::Affine => (4, 64),
            Mode::Mxfp4 => (4, 32),
            Mode::Mxfp8 => (8, 32),
            Mode::Nvfp4 => (4, 16),
        };
        let bits = section.integer("bits")?.unwrap_or(usual_bits);
        let size = section.integer("group_size")?.unwrap_or(usual_size);
        if mode == Mode::Affine {
            if ![2, 3, 4, 5, 6, 8].contains(&bits) {
                return Err(section.bad("bits", "2, 3, 4, 5, 6 or 8", &bits.to_string()));
            }
            if ![32, 64, 128].contains(&size) {
                return Err(section.bad("group_size", "32, 64 or 128", &size.to_string()));
            }
        } else {
            let only = |key, expected: i64, found: i64| {
                let expected = format!("{expected}, the only number of this mode");
                section.bad(key, &expected, &found.to_string())
            };
            if bits != usual_bits {
                return Err(only("bits", usual_bits, bits));
            }
            if size != usual_size {
                return Err(only("group_size", usual_size, size));
            }
        }
        // Both are among the small numbers above.
        Ok(Self { mode, bits: bits as u32, group_size: size as usize })
    }

    fn plan(self, module: &Module<'_>, parts: Parts) -> Result<Plan, WeightsError> {
        let Parts { codes, scales, biases } = parts;
        let [rows, words] = codes.matrix(module)?;
        let [_, groups] = scales.matrix(module)?;
        let columns = groups.saturating_mul(self.group_size);
        let packing = Packing::dense(self.bits);
        if packing.words(columns) != Some(words) {
            let expected = format!("words for {columns} inputs of {} bits", self.bits);
            return Err(module.bad(&codes, &expected, &codes.describe(), EXPORT_AGAIN));
        }
        let shape = vec![rows, columns];
        if let Some(biases) = biases {
            module.check(&scales, &["F16", "BF16", "F32"], &[rows, groups])?;
            module.check(&biases, &[scales.dtype.as_str()], &[rows, groups])?;
            let format = format!("mlx int{} g{}", self.bits, self.group_size);
            let layout = MlxAffine { codes, scales, biases, packing, group_size: self.group_size };
            return Ok(Plan { format, shape, layout: Box::new(layout) });
        }
        module.check(&scales, &["U8"], &[rows, groups])?;
        let (format, codes, kind) = match self.mode {
            Mode::Mxfp8 => ("mlx mxfp8", CodesPart::Bytes(codes, &E4M3), ScaleKind::PowerOfTwo),
            Mode::Nvfp4 => ("mlx nvfp4", CodesPart::Nibbles(codes, E2M1), ScaleKind::E4M3),
            _ => ("mlx mxfp4", CodesPart::Nibbles(codes, E2M1), ScaleKind::PowerOfTwo),
        };
        let tile = [1, self.group_size];
        let scale = ScalePart { part: scales, kind, tile, per_row: groups };
        let precision = Precision::BF16;
        let layout = Affine { codes, scale, zeros: Zeros::None, order: None, precision };
        Ok(Plan { format: format.to_owned(), shape, layout: Box::new(layout) })
    }
}

impl Layout for MlxAffine {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let words = reader.words(&self.codes)?;
        let words_per_row = self.codes.shape[1];
        let codes = Codes::Rows { words, words_per_row, packing: self.packing, offset: 0.0 };
        let scales = reader.numbers(&self.scales)?;
        let per_row = self.scales.shape[1];
        let mut grid = Grid::tiles([1, self.group_size], per_row, scales, self.scales.precision());
        grid.biases = Some(reader.numbers(&self.biases)?);
        Ok((codes, grid))
    }
}
