//! VPTQ checkpoints: every few outputs of an input are a vector from a codebook, plus one from a second codebook.
//!
//! `indices` is `[codebooks, vectors, words]`: for each input of a codebook's share a number whose low bits name a
//! centroid and whose high bits name one of the residual centroids, in one stream of bits. Some inputs, the
//! outliers, may have a codebook of their own. `perm` says where inputs were before they were sorted, and every
//! input has a scale and a bias: `weight = vector * scale + bias` in the dtype of the centroids, with the vector
//! and the product rounded.
//!
//! Source: vptq 0.0.5 (`ops/quant_gemm.py`, `utils/pack.py`).

use serde_json::Value;

use super::codes::Codes;
use super::config::{Section, brief};
use super::grid::{Grid, Pattern};
use super::numbers::Precision;
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// Names of codebooks, which are parts of a module although they look like modules.
const BOOKS: [&str; 3] = ["res_centroids.weight", "outlier_centroids.weight", "centroids.weight"];

/// The `quantization_config` of `quant_method = "vptq"`.
pub(super) struct Config {
    layers: Vec<(String, Settings)>,
}

/// How one module is quantized.
#[derive(Clone, Copy)]
struct Settings {
    outputs: usize,
    /// Codebooks side by side, and the inputs of each.
    books: [usize; 2],
    /// Outputs of a vector, and the vectors of a codebook.
    main: [usize; 2],
    /// Vectors of a residual codebook; 0 without.
    residual: usize,
    /// Outputs of an outlier's vector, and the vectors of its codebook; zeros without.
    outlier: [usize; 2],
    outliers: usize,
    permuted: bool,
    scaled: bool,
}

impl Config {
    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let layers = section.section("config_for_layers")?;
        let layers = layers
            .ok_or_else(|| section.bad("config_for_layers", "an object of modules", "nothing"))?;
        let mut all = Vec::new();
        for layer in layers.objects() {
            let layer = layer?;
            let name = layer.name().trim_start_matches("config_for_layers.").to_owned();
            all.push((name, Settings::parse(&layer)?));
        }
        Ok(Self { layers: all })
    }

    /// Plans modules with indices.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if !module.has("indices") && !module.has("centroids.weight") {
            return Ok(None);
        }
        let indices = module.need("indices", "vptq")?;
        let Some((_, settings)) = self.layers.iter().find(|(name, _)| name == module.name) else {
            let expected = "an entry for the module in config_for_layers";
            return Err(module.bad(&indices, expected, "none", EXPORT_AGAIN));
        };
        settings.plan(module, indices).map(Some)
    }
}

/// Module and part of a stored tensor's name.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    let book = BOOKS.into_iter().find_map(|book| {
        let module = name.strip_suffix(book)?.strip_suffix('.')?;
        Some((module, &name[module.len() + 1..]))
    });
    book.or_else(|| super::split(name))
}

/// Item `at` of a list of two whole numbers, 0 where it is -1.
fn item(section: &Section<'_>, key: &str, at: usize) -> Result<usize, WeightsError> {
    let value = section.get(key);
    let list = value.and_then(Value::as_array).filter(|list| list.len() == 2);
    let number = list.and_then(|list| list[at].as_i64());
    // Small enough for products of a few of them.
    match number.filter(|number| (-1..1 << 20).contains(number)) {
        Some(number) => Ok(usize::try_from(number).unwrap_or(0)),
        None => {
            let found = value.map_or("nothing".to_owned(), brief);
            Err(section.bad(key, "two whole numbers", &found))
        }
    }
}

fn count(section: &Section<'_>, key: &str, least: i64) -> Result<usize, WeightsError> {
    let number = section.integer(key)?.unwrap_or(0);
    if !(least..1 << 20).contains(&number) {
        let expected = format!("a number of {least} or more");
        return Err(section.bad(key, &expected, &number.to_string()));
    }
    Ok(usize::try_from(number).unwrap_or(0))
}

impl Settings {
    fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        for (key, only) in [("is_indice_packed", true), ("indices_as_float", false)] {
            if section.flag(key)?.is_some_and(|flag| flag != only) {
                return Err(section.bad(key, &only.to_string(), &(!only).to_string()));
            }
        }
        if let Some(axis) = section.text("vector_quant_dim")?.filter(|axis| *axis != "out") {
            return Err(section.bad("vector_quant_dim", "\"out\"", &format!("\"{axis}\"")));
        }
        let main = [item(section, "vector_lens", 1)?, item(section, "num_centroids", 1)?];
        let residual = item(section, "num_res_centroids", 1)?;
        if main[0] == 0 {
            return Err(section.bad("vector_lens", "a second number above 0", "0"));
        }
        for (key, number) in [("num_centroids", main[1]), ("num_res_centroids", residual)] {
            let absent = key == "num_res_centroids" && number == 0;
            if !absent && (!number.is_power_of_two() || number > 1 << 16) {
                let expected = "a power of two up to 65536 as the second number";
                return Err(section.bad(key, expected, &number.to_string()));
            }
        }
        if residual > main[1] {
            let expected = "no more residual centroids than others";
            return Err(section.bad("num_res_centroids", expected, &residual.to_string()));
        }
        let outlier = [item(section, "vector_lens", 0)?, item(section, "num_centroids", 0)?];
        let enabled = outlier[0] > 1 && outlier[1] > 0;
        let outliers = count(section, "outlier_size", 0)?;
        let settings = Self {
            outputs: count(section, "out_features", 1)?,
            books: [count(section, "group_num", 1)?, count(section, "group_size", 1)?],
            main,
            residual,
            outlier: if enabled { outlier } else { [0, 0] },
            outliers: if enabled { outliers } else { 0 },
            permuted: section.flag("enable_perm")?.unwrap_or(true),
            scaled: section.flag("enable_norm")?.unwrap_or(true),
        };
        // The two numbers give the same inputs.
        let inputs = count(section, "in_features", 1)?;
        if settings.inputs() != inputs {
            let expected = format!("{} inputs, as the groups have", settings.inputs());
            return Err(section.bad("in_features", &expected, &inputs.to_string()));
        }
        Ok(settings)
    }

    fn inputs(self) -> usize {
        self.books[0] * self.books[1] + self.outliers
    }

    /// Bits of an index, with those of the residual one.
    fn bits(self) -> [u32; 2] {
        [self.main[1], self.residual].map(|number| number.max(1).trailing_zeros())
    }

    fn plan(self, module: &Module<'_>, indices: Part) -> Result<Plan, WeightsError> {
        let [books, size] = self.books;
        let bits = self.bits().iter().sum::<u32>() as usize;
        let words = (size * bits).div_ceil(32);
        module.check(&indices, &["I32"], &[books, self.outputs.div_ceil(self.main[0]), words])?;
        let centroids = module.need("centroids.weight", "vptq")?;
        let dtypes = &["F16", "BF16", "F32"];
        module.check(&centroids, dtypes, &[books, self.main[0] * self.main[1]])?;
        let same = [centroids.dtype.as_str()];
        let residual = if self.residual > 0 {
            let part = module.need("res_centroids.weight", "vptq")?;
            module.check(&part, &same, &[books, self.main[0] * self.residual])?;
            Some(part)
        } else {
            None
        };
        let outliers = if self.outliers > 0 {
            let [length, number] = self.outlier;
            let part = module.need("outlier_centroids.weight", "vptq")?;
            module.check(&part, &same, &[1, length * number])?;
            let at = module.need("outlier_indices", "vptq")?;
            module.check(&at, &["I16"], &[1, self.outputs.div_ceil(length), self.outliers])?;
            Some((at, part))
        } else {
            None
        };
        let inputs = self.inputs();
        let order = if self.permuted {
            let part = module.need("perm", "vptq")?;
            module.check(&part, &["I16", "U16"], &[inputs])?;
            Some(part)
        } else {
            None
        };
        let scaled = if self.scaled {
            let parts = [module.need("weight_scale", "vptq")?, module.need("weight_bias", "vptq")?];
            for part in &parts {
                module.check(part, &same, &[inputs])?;
            }
            Some(parts)
        } else {
            None
        };
        let [main, rest] = self.bits();
        let format = match rest {
            0 => format!("vptq b{main} g{}", self.main[0]),
            _ => format!("vptq b{main} b{rest} g{}", self.main[0]),
        };
        let layout = Vptq { settings: self, indices, centroids, residual, outliers, order, scaled };
        Ok(Plan { format, shape: vec![self.outputs, inputs], layout: Box::new(layout) })
    }
}

struct Vptq {
    settings: Settings,
    indices: Part,
    centroids: Part,
    residual: Option<Part>,
    outliers: Option<(Part, Part)>,
    order: Option<Part>,
    /// Scale and bias of each input.
    scaled: Option<[Part; 2]>,
}

/// Indices and the vectors that they name, as [`Codes`] reads them.
pub(super) struct Vectors<'a> {
    settings: Settings,
    indices: &'a [[u8; 4]],
    centroids: Vec<f32>,
    residual: Vec<f32>,
    outlier_indices: &'a [[u8; 2]],
    outliers: Vec<f32>,
    /// Where each input lies among the sorted ones.
    place: Vec<usize>,
    precision: Precision,
}

impl Layout for Vptq {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let precision = self.centroids.precision();
        let inputs = self.settings.inputs();
        let place = match &self.order {
            None => (0..inputs).collect(),
            Some(part) => places(&reader, part)?,
        };
        let (outlier_indices, outliers) = match &self.outliers {
            None => (&[][..], Vec::new()),
            Some((at, part)) => {
                (outlier_indices(&reader, at, self.settings)?, reader.numbers(part)?)
            }
        };
        let residual = match &self.residual {
            None => Vec::new(),
            Some(part) => reader.numbers(part)?,
        };
        let vectors = Vectors {
            settings: self.settings,
            indices: reader.words(&self.indices)?,
            centroids: reader.numbers(&self.centroids)?,
            residual,
            outlier_indices,
            outliers,
            place,
            precision,
        };
        let grid = match &self.scaled {
            None => Grid::none(precision),
            Some([scale, bias]) => {
                let pattern = Pattern::Cycle { values: inputs };
                let mut grid = Grid::new(pattern, reader.numbers(scale)?, precision);
                grid.biases = Some(reader.numbers(bias)?);
                grid
            }
        };
        Ok((Codes::Vectors(vectors), grid))
    }
}

/// The place of each input among the sorted ones, from the input of each place.
fn places(reader: &Reader<'_>, part: &Part) -> Result<Vec<usize>, WeightsError> {
    let order: &[[u8; 2]] = reader.words(part)?;
    let mut place = vec![usize::MAX; order.len()];
    for (at, input) in order.iter().enumerate() {
        let input = usize::from(u16::from_le_bytes(*input));
        match place.get_mut(input) {
            Some(place) if *place == usize::MAX => *place = at,
            _ => {
                let expected = format!("every input from 0 to {} once", order.len() - 1);
                let found = format!("{input} at place {at}");
                return Err(reader.bad(part, &expected, &found, EXPORT_AGAIN));
            }
        }
    }
    Ok(place)
}

/// The indices of outliers, each below the number of their vectors.
fn outlier_indices<'a>(
    reader: &Reader<'a>,
    part: &Part,
    settings: Settings,
) -> Result<&'a [[u8; 2]], WeightsError> {
    let indices: &[[u8; 2]] = reader.words(part)?;
    let most = settings.outlier[1];
    let index = |bytes: &[u8; 2]| usize::from(u16::from_le_bytes(*bytes));
    match indices.iter().position(|bytes| index(bytes) >= most) {
        None => Ok(indices),
        Some(at) => {
            let expected = format!("indices below {most}");
            let found = format!("{} at {at}", index(&indices[at]));
            Err(reader.bad(part, &expected, &found, EXPORT_AGAIN))
        }
    }
}

impl Vectors<'_> {
    /// Writes the values of rows `first..` of `columns` values each.
    pub(super) fn read(&self, first: usize, columns: usize, out: &mut [f32]) {
        for (row, out) in out.chunks_mut(columns).enumerate() {
            for (place, value) in self.place.iter().zip(&mut *out) {
                *value = match place.checked_sub(self.settings.outliers) {
                    None => self.outlier(first + row, *place),
                    Some(place) => self.sum(first + row, place),
                };
            }
            self.precision.round_all(out);
        }
    }

    fn outlier(&self, row: usize, place: usize) -> f32 {
        let [length, _] = self.settings.outlier;
        let index = self.outlier_indices[row / length * self.settings.outliers + place];
        self.outliers[usize::from(u16::from_le_bytes(index)) * length + row % length]
    }

    fn sum(&self, row: usize, place: usize) -> f32 {
        let Settings { books: [_, size], main: [length, number], residual, outputs, .. } =
            self.settings;
        let [main, rest] = self.settings.bits();
        let words = (size * (main + rest) as usize).div_ceil(32);
        let (book, column) = (place / size, place % size);
        let vector = book * outputs.div_ceil(length) + row / length;
        let words = &self.indices[vector * words..][..words];
        let index = field(words, column * (main + rest) as usize, main + rest);
        let within = row % length;
        let centroid = (book * number + (index & ((1 << main) - 1)) as usize) * length + within;
        let value = self.centroids[centroid];
        if residual == 0 {
            return value;
        }
        let centroid = (book * residual + (index >> main) as usize) * length + within;
        value + self.residual[centroid]
    }
}

/// `bits` bits, at most 32, of a stream of words from `start` on.
fn field(words: &[[u8; 4]], start: usize, bits: u32) -> u64 {
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from(u32::from_le_bytes(*word)));
    let (at, shift) = (start / 32, start % 32);
    (word(at) | word(at + 1) << 32) >> shift & ((1u64 << bits) - 1)
}
