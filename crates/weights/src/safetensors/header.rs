//! The header of one safetensors file: names, types, shapes and byte ranges, checked to tile the file exactly.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::format::{Format, shape_values};
use crate::tensor::{StoredTensor, TensorInfo};

/// The largest header accepted, as in the reference implementation.
const HEADER_LIMIT_BYTES: u64 = 100_000_000;

/// More tensors are rejected: the largest models have some hundred thousand.
const MOST_TENSORS: usize = 1 << 20;

/// Reads the header of `file`, which is file `number` of the checkpoint.
pub(super) fn read(file: &FileBytes, number: usize) -> Result<Vec<StoredTensor>, WeightsError> {
    let (entries, data_start) = parse(file)?;
    if entries.len() > MOST_TENSORS {
        return Err(WeightsError::TooLarge {
            path: file.path.clone(),
            what: "number of tensors".to_owned(),
            limit: MOST_TENSORS as u64,
            found: entries.len() as u64,
        });
    }
    check_ranges(file, &entries, data_start)?;
    let mut names = HashSet::new();
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in &entries {
        if !names.insert(name) {
            return Err(invalid(file, name, "one entry", "two"));
        }
        tensors.push(stored(file, number, data_start, name, entry)?);
    }
    Ok(tensors)
}

/// One tensor's entry.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The header's entries in file order, including duplicates but not `__metadata__`.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object from tensor names to dtype, shape and data_offsets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn parse(file: &FileBytes) -> Result<(Vec<(String, Entry)>, usize), WeightsError> {
    let truncated = |what: &str, needed: u64| WeightsError::Truncated {
        path: file.path.clone(),
        what: what.to_owned(),
        needed,
        found: file.len() as u64,
    };
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(truncated("the header length", 8));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_LIMIT_BYTES {
        return Err(WeightsError::TooLarge {
            path: file.path.clone(),
            what: "safetensors header length in bytes".to_owned(),
            limit: HEADER_LIMIT_BYTES,
            found: length,
        });
    }
    let length = length as usize;
    let header = rest.get(..length).ok_or_else(|| truncated("the header", 8 + length as u64))?;
    let Entries(entries) = serde_json::from_slice(header).map_err(|source| WeightsError::Json {
        path: file.path.clone(),
        what: "the safetensors header",
        source,
    })?;
    Ok((entries, 8 + length))
}

/// Checks that byte ranges follow each other without gap or overlap and end with the file.
fn check_ranges(
    file: &FileBytes,
    entries: &[(String, Entry)],
    data_start: usize,
) -> Result<(), WeightsError> {
    let mut order: Vec<_> =
        entries.iter().map(|(name, entry)| (entry.data_offsets, name)).collect();
    order.sort_unstable();
    let mut end_of_last = 0;
    for ((start, end), name) in order {
        if start != end_of_last || end < start {
            return Err(invalid(
                file,
                name,
                &format!("data_offsets that start at {end_of_last}, where the tensor before ends"),
                &format!("[{start}, {end}]"),
            ));
        }
        end_of_last = end;
        let needed = (data_start as u64).saturating_add(end);
        if needed > file.len() as u64 {
            return Err(WeightsError::Truncated {
                path: file.path.clone(),
                what: format!("tensor \"{name}\""),
                needed,
                found: file.len() as u64,
            });
        }
    }
    let length = data_start as u64 + end_of_last;
    if length != file.len() as u64 {
        return Err(WeightsError::Invalid {
            path: file.path.clone(),
            what: "file length".to_owned(),
            expected: format!("{length} bytes, where the last tensor ends"),
            found: file.len().to_string(),
        });
    }
    Ok(())
}

fn stored(
    file: &FileBytes,
    number: usize,
    data_start: usize,
    name: &str,
    entry: &Entry,
) -> Result<StoredTensor, WeightsError> {
    let (start, end) = entry.data_offsets;
    let stored_bytes = end - start;
    let shape: Result<Vec<_>, _> = entry.shape.iter().map(|&size| usize::try_from(size)).collect();
    let values = shape_values(&entry.shape)
        // The dense form must also be addressable.
        .filter(|&values| values.checked_mul(4).is_some_and(|n| usize::try_from(n).is_ok()));
    let (Ok(shape), Some(values)) = (shape, values) else {
        return Err(invalid(file, name, "a size below 2^64 bytes", &format!("{:?}", entry.shape)));
    };
    // A type of unknown width keeps its byte range as it is: it is listed, and rejected when read.
    if let Some(bits) = bits_per_value(&entry.dtype) {
        let expected = values.checked_mul(bits).filter(|bits| bits % 8 == 0).map(|bits| bits / 8);
        if expected != Some(stored_bytes) {
            return Err(invalid(
                file,
                name,
                &format!("{values} values of {}, {bits} bits each", entry.dtype),
                &format!("{stored_bytes} bytes"),
            ));
        }
    }
    Ok(StoredTensor {
        info: TensorInfo {
            name: name.to_owned(),
            shape,
            format: entry.dtype.clone(),
            values,
            stored_bytes,
        },
        format: Format::from_name(&entry.dtype).filter(|format| format.block_values() == 1),
        file: number,
        // Bounded by the file's length above.
        start: data_start + start as usize,
        conversion: Default::default(),
    })
}

/// Width in bits of the types that safetensors defines.
fn bits_per_value(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ"
        | "F8_E5M2FNUZ" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

fn invalid(file: &FileBytes, name: &str, expected: &str, found: &str) -> WeightsError {
    WeightsError::Invalid {
        path: file.path.clone(),
        what: format!("tensor \"{name}\""),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}
