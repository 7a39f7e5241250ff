//! Tensors stored without scales in a wider or narrower floating-point type: F8_E4M3, F8_E5M2 and F64.

use super::codes::Codes;
use super::grid::Grid;
use super::numbers::{E4M3, E5M2, Precision};
use super::parts::Reader;
use super::{Layout, WeightsError};
use crate::tensor::StoredTensor;

/// A tensor whose codes are its values. F8 widens exactly; F64 rounds to f32.
pub(super) struct Cast {
    kind: Kind,
    file: usize,
    start: usize,
    bytes: usize,
    name: String,
}

#[derive(Clone, Copy)]
enum Kind {
    E4M3,
    E5M2,
    F64,
}

/// The layout of `tensor` if it is of such a type.
pub(super) fn layout(tensor: &StoredTensor) -> Option<Cast> {
    if tensor.format.is_some() {
        return None;
    }
    let kind = match tensor.info.format.as_str() {
        "F8_E4M3" => Kind::E4M3,
        "F8_E5M2" => Kind::E5M2,
        "F64" => Kind::F64,
        _ => return None,
    };
    let bytes = usize::try_from(tensor.info.stored_bytes).ok()?;
    let name = tensor.info.name.clone();
    Some(Cast { kind, file: tensor.file, start: tensor.start, bytes, name })
}

impl Layout for Cast {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let bytes = reader.range(&self.name, self.file, self.start, self.bytes)?;
        let codes = match self.kind {
            Kind::E4M3 => Codes::Bytes { bytes, values: &E4M3 },
            Kind::E5M2 => Codes::Bytes { bytes, values: &E5M2 },
            Kind::F64 => Codes::Doubles { bytes: bytes.as_chunks().0 },
        };
        Ok((codes, Grid::none(Precision::F32)))
    }
}
