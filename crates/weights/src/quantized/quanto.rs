//! Quanto checkpoints with weights of 8 bits, integers or floats, and one scale a row.
//!
//! `weight = code * scale` in the dtype of the scale. The parts are named `weight._data` and `weight._scale`; they
//! say all, so that no configuration is needed, and Quanto's own saves have none in `config.json`.
//!
//! Source: optimum-quanto 0.2.7 (`tensor/weights/qbytes.py`, `tensor/qbytes.py`).

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::config::{Section, brief};
use super::numbers::{E4M3, E5M2, I8};
use super::parts::Module;
use super::{Plan, WeightsError};

/// The end of a name that only these checkpoints have.
pub(super) const MARK: &str = ".weight._data";

/// Reads the configuration of Transformers, which says nothing about weights that the tensors do not tell.
pub(super) fn check(
    section: &Section<'_>,
    weights_only: &mut Vec<String>,
) -> Result<(), WeightsError> {
    section.text("weights")?;
    if let Some(activations) = section.get("activations") {
        weights_only.push(format!("input activations {}", brief(activations).trim_matches('"')));
    }
    Ok(())
}

/// Plans modules with a `weight._data`.
pub(super) fn plan(module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
    if let Some(part) = module.take("weight._data._data")? {
        let expected =
            "weights of 8 bits: those of 4 or 2 are flattened, and no tensor says their shape";
        return Err(module.bad(&part, expected, &part.describe(), "use the dense model"));
    }
    if !module.has("weight._data") && !module.has("weight._scale") {
        return Ok(None);
    }
    let codes = module.need("weight._data", "quanto")?;
    module.check_dtype(&codes, &["I8", "F8_E4M3", "F8_E5M2"])?;
    let [rows, columns] = codes.matrix(module)?;
    let part = module.need("weight._scale", "quanto")?;
    module.check(&part, &["F32", "F16", "BF16"], &[rows, 1])?;
    for name in ["input_scale", "output_scale"] {
        let Some(scale) = module.take(name)? else { continue };
        let numbers = module.reader().numbers(&scale)?;
        if let Some(number) = numbers.iter().find(|number| **number != 1.0) {
            let expected = "1, the mark of activations that stay as they are";
            let remedy =
                "quantized activations are not simulated: use a model with quantized weights alone";
            return Err(module.bad(&scale, expected, &number.to_string(), remedy));
        }
    }
    let (kind, table) = match codes.dtype.as_str() {
        "I8" => ("int8", &I8),
        "F8_E4M3" => ("fp8", &E4M3),
        _ => ("fp8 e5m2", &E5M2),
    };
    let precision = part.precision();
    let tile = [1, columns.max(1)];
    let layout = Affine {
        codes: CodesPart::Bytes(codes, table),
        scale: ScalePart { part, kind: ScaleKind::Plain, tile, per_row: 1 },
        zeros: Zeros::None,
        order: None,
        precision,
    };
    let format = format!("quanto {kind} channel");
    Ok(Some(Plan { format, shape: vec![rows, columns], layout: Box::new(layout) }))
}
