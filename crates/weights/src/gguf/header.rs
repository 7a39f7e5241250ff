//! The GGUF header: version, metadata and tensor descriptions, with every size and offset checked against the file.

use std::collections::HashSet;

use super::MAGIC;
use super::cursor::Cursor;
use super::metadata::Metadata;
use super::types::{self, GgmlType};
use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::format::shape_values;

/// Most axes of a tensor in GGUF.
const MAX_AXES: u32 = 4;

/// More tensors are rejected: the largest models have some tens of thousands.
const MOST_TENSORS: usize = 1 << 20;

/// Alignment of tensor data in bytes if the metadata names none.
const DEFAULT_ALIGNMENT: u64 = 32;

/// The content of the header.
pub(super) struct Header {
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<RawTensor>,
}

/// A tensor as the file describes it, under the file's own name.
pub(super) struct RawTensor {
    pub(super) name: String,
    /// Slowest axis first: the reverse of the order in the file.
    pub(super) shape: Vec<usize>,
    pub(super) kind: &'static GgmlType,
    pub(super) values: u64,
    pub(super) stored_bytes: u64,
    /// Index of the checkpoint's file that contains it.
    pub(super) file: usize,
    /// Offset of its first byte in the file.
    pub(super) start: usize,
}

/// Reads the part before the tensor descriptions.
pub(super) fn read_metadata(file: &FileBytes) -> Result<Metadata, WeightsError> {
    start(&mut Cursor::new(&file.path, file)).map(|(metadata, _)| metadata)
}

/// Reads and checks the whole header of the checkpoint's file `number`.
pub(super) fn read(file: &FileBytes, number: usize) -> Result<Header, WeightsError> {
    let mut cursor = Cursor::new(&file.path, file);
    let (metadata, tensor_count) = start(&mut cursor)?;
    let alignment = alignment(&metadata, &cursor)?;

    let tensor_count = cursor.check_count(tensor_count, 24, "tensor descriptions")?;
    cursor.check_limit(tensor_count, MOST_TENSORS, "tensor descriptions")?;
    let mut described = Vec::new();
    let mut names = HashSet::new();
    for _ in 0..tensor_count {
        let tensor = Described::read(&mut cursor, alignment)?;
        if !names.insert(tensor.name) {
            let what = format!("tensor \"{}\"", tensor.name);
            return Err(cursor.invalid(what, "one description", "two"));
        }
        described.push(tensor);
    }
    // A header of at most `HEADER_LIMIT_BYTES` and an alignment of at most 2^32 cannot overflow.
    let data_start = (cursor.position() as u64).next_multiple_of(alignment);
    let tensors = place(file, number, &cursor, described, data_start)?;
    Ok(Header { metadata, tensors })
}

/// Reads version and metadata, and returns the number of tensors that follow.
fn start(cursor: &mut Cursor<'_>) -> Result<(Metadata, u64), WeightsError> {
    let magic = cursor.take(4, "the magic bytes")?;
    if magic != MAGIC {
        return Err(cursor.invalid("magic bytes", "\"GGUF\"", format!("{magic:02x?}")));
    }
    let version = cursor.u32("the version")?;
    if !matches!(version, 2 | 3) {
        let found = match version.swap_bytes() {
            swapped @ 1..=3 => format!("version {swapped} in big-endian byte order"),
            _ => format!("version {version}"),
        };
        return Err(cursor.invalid("GGUF version", "2 or 3, little-endian", found));
    }
    let tensor_count = cursor.u64("the tensor count")?;
    let metadata_count = cursor.u64("the metadata count")?;
    let metadata = Metadata::read(cursor.path(), cursor, metadata_count)?;
    Ok((metadata, tensor_count))
}

fn alignment(metadata: &Metadata, cursor: &Cursor<'_>) -> Result<u64, WeightsError> {
    let alignment = metadata.unsigned("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > 1 << 32 {
        let found = alignment.to_string();
        return Err(cursor.invalid("general.alignment", "a power of two up to 2^32", found));
    }
    Ok(alignment)
}

/// A tensor description before its location in the file is known.
struct Described<'a> {
    name: &'a str,
    shape: Vec<usize>,
    kind: &'static GgmlType,
    values: u64,
    stored_bytes: u64,
    offset: u64,
}

impl<'a> Described<'a> {
    fn read(cursor: &mut Cursor<'a>, alignment: u64) -> Result<Self, WeightsError> {
        let name = cursor.text("a tensor name")?;
        let what = format!("tensor \"{name}\"");
        let axes = cursor.u32(&what)?;
        if !(1..=MAX_AXES).contains(&axes) {
            return Err(cursor.invalid(what, "1 to 4 axes", axes.to_string()));
        }
        let mut sizes = Vec::new();
        for _ in 0..axes {
            sizes.push(cursor.u64(&what)?);
        }
        let id = cursor.u32(&what)?;
        let Some(kind) = types::by_id(id) else {
            return Err(WeightsError::UnsupportedFormat {
                path: cursor.path().to_path_buf(),
                tensor: name.to_owned(),
                format: format!("GGML type {id}"),
            });
        };
        let row = sizes[0];
        if row % kind.block_values != 0 {
            return Err(cursor.invalid(
                what,
                format!("rows of whole {} blocks of {}", kind.name, kind.block_values),
                format!("rows of {row}"),
            ));
        }
        sizes.reverse();
        let sized = shape_values(&sizes).and_then(|values| {
            let bytes = (values / kind.block_values).checked_mul(kind.block_bytes)?;
            // The dense form must also be addressable.
            usize::try_from(values.checked_mul(4)?).ok()?;
            let shape: Result<Vec<_>, _> =
                sizes.iter().map(|&size| usize::try_from(size)).collect();
            Some((values, bytes, shape.ok()?))
        });
        let Some((values, stored_bytes, shape)) = sized else {
            return Err(cursor.invalid(
                what,
                "a size below 2^64 bytes",
                format!("shape {sizes:?}"),
            ));
        };
        let offset = cursor.u64(&what)?;
        if offset % alignment != 0 {
            let expected = format!("an offset that is a multiple of {alignment}");
            return Err(cursor.invalid(what, expected, offset.to_string()));
        }
        Ok(Self { name, shape, kind, values, stored_bytes, offset })
    }
}

/// Turns offsets into locations in the file; rejects tensors that overlap or extend past the end.
fn place(
    file: &FileBytes,
    number: usize,
    cursor: &Cursor<'_>,
    described: Vec<Described<'_>>,
    data_start: u64,
) -> Result<Vec<RawTensor>, WeightsError> {
    let mut order: Vec<_> =
        described.iter().map(|tensor| (tensor.offset, tensor.stored_bytes, tensor.name)).collect();
    order.sort_unstable();
    let mut end_of_last = 0;
    for (offset, bytes, name) in order {
        if bytes == 0 {
            continue;
        }
        if offset < end_of_last {
            return Err(cursor.invalid(
                format!("tensor \"{name}\""),
                format!("an offset of at least {end_of_last}, after the tensor before it"),
                offset.to_string(),
            ));
        }
        end_of_last = offset.saturating_add(bytes);
        let needed = data_start.saturating_add(end_of_last);
        if needed > file.len() as u64 {
            return Err(WeightsError::Truncated {
                path: file.path.clone(),
                what: format!("tensor \"{name}\""),
                needed,
                found: file.len() as u64,
            });
        }
    }
    Ok(described
        .into_iter()
        .map(|tensor| RawTensor {
            name: tensor.name.to_owned(),
            shape: tensor.shape,
            kind: tensor.kind,
            values: tensor.values,
            stored_bytes: tensor.stored_bytes,
            file: number,
            // Offsets of empty tensors have no upper bound; there is no byte to point to.
            start: if tensor.stored_bytes == 0 { 0 } else { (data_start + tensor.offset) as usize },
        })
        .collect())
}
