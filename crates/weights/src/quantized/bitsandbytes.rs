//! bitsandbytes checkpoints: NF4 and FP4 in blocks of the flattened weight, and LLM.int8.
//!
//! Four-bit weights carry their shape, block size and dtype as JSON bytes in
//! `weight.quant_state.bitsandbytes__nf4` (or `__fp4`), so the configuration adds nothing. `weight = code *
//! absmax` in f32, rounded to that dtype; a nested `absmax` is `map[byte] * nested_absmax + nested_offset`. For
//! LLM.int8, `weight = code * SCB * (1 / 127)` in f32.

use serde::Deserialize;

use super::codes::{self, Codes};
use super::grid::{Grid, Pattern};
use super::numbers::Precision;
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

/// The f32 nearest to the reference's 7.874015718698502e-3, the reciprocal of 127.
pub(crate) const ONE_127TH: f32 = 7.874_016e-3;

/// The name of the LLM.int8 format.
pub(super) const INT8: &str = "bnb int8";

/// Block sizes that bitsandbytes supports.
const BLOCK_SIZES: [usize; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Plans modules with a four-bit state or an `SCB`.
pub(super) fn plan(module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
    for kind in ["nf4", "fp4"] {
        let state = format!("weight.quant_state.bitsandbytes__{kind}");
        if module.has(&state) {
            return four_bit(module, kind, &state).map(Some);
        }
    }
    if module.has("SCB") || module.dtype("weight") == Some("I8") {
        return int8(module).map(Some);
    }
    if module.has("weight.quant_map") || module.has("weight.absmax") {
        let state = "weight.quant_state.bitsandbytes__nf4 (or __fp4)";
        return Err(module.missing(state, "bitsandbytes"));
    }
    Ok(None)
}

/// The JSON content of the state; `quant_type` repeats the tensor's name.
#[derive(Deserialize)]
struct State {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f32>,
}

struct FourBit {
    codes: Part,
    absmax: Part,
    map: Part,
    nested: Option<Nested>,
    blocksize: usize,
    precision: Precision,
}

/// The second level of quantization: the scales of the scales.
struct Nested {
    absmax: Part,
    map: Part,
    blocksize: usize,
    offset: f32,
}

fn four_bit(module: &Module<'_>, kind: &str, state: &str) -> Result<Plan, WeightsError> {
    let part = module.need(state, kind)?;
    module.check_dtype(&part, &["U8"])?;
    let text = module.reader().bytes(&part)?;
    let state: State = serde_json::from_slice(text).map_err(|reason| {
        module.bad(&part, "the JSON of a quantization state", &reason.to_string(), EXPORT_AGAIN)
    })?;
    let refuse = |expected: &str, found: &str| module.bad(&part, expected, found, EXPORT_AGAIN);
    if state.quant_type != kind {
        return Err(refuse(&format!("quant_type \"{kind}\""), &state.quant_type));
    }
    if !BLOCK_SIZES.contains(&state.blocksize) {
        return Err(refuse("a power of two from 32 to 4096", &state.blocksize.to_string()));
    }
    let precision = Precision::from_name(&state.dtype)
        .ok_or_else(|| refuse("dtype float32, float16 or bfloat16", &state.dtype))?;
    let values = state.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));

    let codes = module.need("weight", kind)?;
    let bytes = module.reader().bytes(&codes)?.len();
    let Some(values) = values.filter(|values| values.div_ceil(2) == bytes) else {
        let expected = format!("half a byte for each value of {:?}", state.shape);
        return Err(module.bad(&codes, &expected, &format!("{bytes} bytes"), EXPORT_AGAIN));
    };
    let blocks = values.div_ceil(state.blocksize);
    let map = module.need("weight.quant_map", kind)?;
    module.check(&map, &["F32"], &[16])?;
    let absmax = module.need("weight.absmax", kind)?;
    let nested = if module.has("weight.nested_absmax") {
        module.check(&absmax, &["U8"], &[blocks])?;
        let (Some(blocksize @ 1..), Some(offset)) = (state.nested_blocksize, state.nested_offset)
        else {
            return Err(refuse(
                "a positive nested_blocksize and a nested_offset",
                "neither or one",
            ));
        };
        if !offset.is_finite() {
            return Err(refuse("a finite nested_offset", &offset.to_string()));
        }
        let map = module.need("weight.nested_quant_map", kind)?;
        module.check(&map, &["F32"], &[256])?;
        let absmax = module.need("weight.nested_absmax", kind)?;
        module.check(&absmax, &["F32"], &[blocks.div_ceil(blocksize)])?;
        Some(Nested { absmax, map, blocksize, offset })
    } else {
        module.check(&absmax, &["F32"], &[blocks])?;
        None
    };
    let suffix = if nested.is_some() { " nested" } else { "" };
    let format = match state.blocksize {
        64 => format!("bnb {kind}{suffix}"),
        other => format!("bnb {kind} b{other}{suffix}"),
    };
    let blocksize = state.blocksize;
    let layout = FourBit { codes, absmax, map, nested, blocksize, precision };
    Ok(Plan { format, shape: state.shape, layout: Box::new(layout) })
}

impl Layout for FourBit {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let mut values = [0.0; 16];
        values.copy_from_slice(&reader.numbers(&self.map)?);
        let bytes = reader.bytes(&self.codes)?;
        let codes = Codes::Nibbles { bytes, values, first_is_high: true };
        let scales = match &self.nested {
            None => reader.numbers(&self.absmax)?,
            Some(nested) => {
                let map = reader.numbers(&nested.map)?;
                let outer = reader.numbers(&nested.absmax)?;
                let bytes = reader.bytes(&self.absmax)?.iter().enumerate();
                bytes
                    .map(|(block, &byte)| {
                        map[usize::from(byte)] * outer[block / nested.blocksize] + nested.offset
                    })
                    .collect()
            }
        };
        let pattern = Pattern::Flat { values: self.blocksize };
        Ok((codes, Grid::new(pattern, scales, self.precision)))
    }
}

struct Int8 {
    codes: Part,
    scales: Part,
    columns: usize,
}

fn int8(module: &Module<'_>) -> Result<Plan, WeightsError> {
    let codes = module.need("weight", "LLM.int8")?;
    module.check_dtype(&codes, &["I8"])?;
    let [rows, columns] = codes.matrix(module)?;
    let scales = module.need("SCB", "LLM.int8")?;
    module.check(&scales, &["F32"], &[rows])?;
    if let Some(part) = module.take("weight_format")? {
        let order = module.reader().bytes(&part)?;
        if order != [0] {
            let expected = "0, the row-major order";
            return Err(module.bad(&part, expected, &format!("{order:?}"), EXPORT_AGAIN));
        }
    }
    let layout = Int8 { codes, scales, columns };
    let shape = vec![rows, columns];
    Ok(Plan { format: INT8.to_owned(), shape, layout: Box::new(layout) })
}

impl Layout for Int8 {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let codes = codes::signed_bytes(reader.bytes(&self.codes)?);
        let scales = reader.numbers(&self.scales)?;
        let mut grid = Grid::tiles([1, self.columns.max(1)], 1, scales, Precision::F32);
        grid.then = Some(ONE_127TH);
        Ok((codes, grid))
    }
}
