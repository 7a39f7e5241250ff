//! MLX checkpoints: integers of 2, 3, 4, 5, 6 or 8 bits in one stream of 32-bit words along the inputs, with a
//! scale and a bias for each group of inputs; or MXFP4.
//!
//! `weight = code * scale + bias` in the dtype of the scales, with the product rounded before the sum.
//! Embeddings are quantized like linear layers. Modules with other bits or groups are listed by name in the
//! configuration, but the shapes decide.
//!
//! Source: mlx 0.32 (`mlx/ops.cpp`), mlx-lm 0.32 (`mlx_lm/utils.py`).

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::codes::{Codes, Packing};
use super::config::Section;
use super::grid::Grid;
use super::numbers::E2M1;
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// Number of inputs that share a scale in MXFP4.
const MX_GROUP: usize = 32;

/// MLX's `quantization_config`, or `quantization`.
pub(super) struct Config {
    mode: Mode,
    /// Group size of modules that the configuration does not name.
    group_size: usize,
    /// Group sizes of modules that it does name.
    groups: Vec<(String, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Affine,
    Mxfp4,
}

struct MlxAffine {
    codes: Part,
    scales: Part,
    biases: Part,
    packing: Packing,
    group_size: usize,
}

impl Config {
    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let mode = match section.text("mode")? {
            None | Some("affine") => Mode::Affine,
            Some("mxfp4") => Mode::Mxfp4,
            Some(other) => {
                let expected = "\"affine\" or \"mxfp4\"";
                return Err(section.bad("mode", expected, &format!("\"{other}\"")));
            }
        };
        // The bits are derived from the shapes, which must agree with each other.
        section.integer("bits")?;
        let usual = group_size(section)?.unwrap_or(64);
        let mut groups = Vec::new();
        for module in section.objects() {
            let module = module?;
            module.integer("bits")?;
            if let Some(other) = module.text("mode")?.filter(|other| *other != "affine") {
                return Err(module.bad("mode", "\"affine\"", &format!("\"{other}\"")));
            }
            if let Some(size) = group_size(&module)? {
                groups.push((module.name().to_owned(), size));
            }
        }
        Ok(Self { mode, group_size: usual, groups })
    }

    /// Plans modules whose weight is U32 with scales beside it.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if module.dtype("weight") != Some("U32") || !module.has("scales") {
            return Ok(None);
        }
        let codes = module.need("weight", "mlx")?;
        let [rows, words] = codes.matrix(module)?;
        let scales = module.need("scales", "mlx")?;
        let [_, groups] = scales.matrix(module)?;
        let own = self.groups.iter().find(|(name, _)| name == module.name);
        let group_size = own.map_or(self.group_size, |(_, size)| *size);
        let columns = groups.saturating_mul(group_size);
        if self.mode == Mode::Mxfp4 {
            return mxfp4(module, codes, scales, [rows, columns]).map(Some);
        }
        module.check(&scales, &["F16", "BF16", "F32"], &[rows, groups])?;
        let biases = module.need("biases", "mlx")?;
        module.check(&biases, &["F16", "BF16", "F32"], &[rows, groups])?;
        let fits = |bits: &u32| Packing::dense(*bits).words(columns) == Some(words);
        let Some(bits) = [2, 3, 4, 5, 6, 8].into_iter().find(fits) else {
            let expected = format!("words for {columns} inputs of 2, 3, 4, 5, 6 or 8 bits");
            return Err(module.bad(&codes, &expected, &codes.describe(), EXPORT_AGAIN));
        };
        let format = format!("mlx int{bits} g{group_size}");
        let packing = Packing::dense(bits);
        let layout = MlxAffine { codes, scales, biases, packing, group_size };
        Ok(Some(Plan { format, shape: vec![rows, columns], layout: Box::new(layout) }))
    }
}

fn group_size(section: &Section<'_>) -> Result<Option<usize>, WeightsError> {
    let Some(size) = section.integer("group_size")? else { return Ok(None) };
    let positive = usize::try_from(size).ok().filter(|&size| size > 0);
    let positive =
        positive.ok_or_else(|| section.bad("group_size", "above 0", &size.to_string()))?;
    Ok(Some(positive))
}

fn mxfp4(
    module: &Module<'_>,
    codes: Part,
    scales: Part,
    [rows, columns]: [usize; 2],
) -> Result<Plan, WeightsError> {
    let groups = columns / MX_GROUP;
    module.check(&codes, &["U32"], &[rows, columns / 8])?;
    module.check(&scales, &["U8"], &[rows, groups])?;
    let scale = ScalePart {
        part: scales,
        kind: ScaleKind::PowerOfTwo,
        tile: [1, MX_GROUP],
        per_row: groups,
    };
    let layout = Affine {
        codes: CodesPart::Nibbles(codes, E2M1),
        scale,
        zeros: Zeros::None,
        order: None,
        precision: super::numbers::Precision::BF16,
    };
    let shape = vec![rows, columns];
    Ok(Plan { format: "mlx mxfp4".to_owned(), shape, layout: Box::new(layout) })
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
