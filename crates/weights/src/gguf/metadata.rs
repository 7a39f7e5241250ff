//! GGUF's key-value part. Arrays stay in the file and are decoded on request, so a false count costs no memory.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::cursor::Cursor;
use crate::WeightsError;
use crate::unread::{Harmless, Unread};

/// More keys are rejected.
const MOST_KEYS: usize = 1 << 16;

/// The metadata of one file.
pub(crate) struct Metadata {
    path: PathBuf,
    values: HashMap<String, MetadataValue>,
    /// Keys that have been requested.
    asked: Mutex<BTreeSet<String>>,
}

/// One value; integers of all widths are one variant.
#[derive(Debug)]
pub(super) enum MetadataValue {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Array { kind: u32, count: usize, bytes: Range<usize> },
}

impl Metadata {
    /// Reads `count` key-value pairs.
    pub(super) fn read(
        path: &Path,
        cursor: &mut Cursor<'_>,
        count: u64,
    ) -> Result<Self, WeightsError> {
        let count = cursor.check_count(count, 13, "metadata entries")?;
        cursor.check_limit(count, MOST_KEYS, "metadata entries")?;
        let mut values = HashMap::new();
        for _ in 0..count {
            let key = cursor.text("a metadata key")?;
            let kind = cursor.u32(key)?;
            let value = read_value(cursor, key, kind)?;
            if values.insert(key.to_owned(), value).is_some() {
                return Err(cursor.invalid(format!("metadata key \"{key}\""), "one entry", "two"));
            }
        }
        Ok(Self { path: path.to_path_buf(), values, asked: Mutex::default() })
    }

    /// The path of the file that the metadata comes from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A text, or `None` if the key is absent.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, WeightsError> {
        match self.find(key) {
            None => Ok(None),
            Some(MetadataValue::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "text", other)),
        }
    }

    /// A text that must be present.
    pub(crate) fn require_text(&self, key: &str) -> Result<&str, WeightsError> {
        self.text(key)?.ok_or_else(|| self.absent(key, "a text"))
    }

    /// A non-negative integer, or `None` if the key is absent.
    pub(crate) fn unsigned(&self, key: &str) -> Result<Option<u64>, WeightsError> {
        match self.find(key) {
            None => Ok(None),
            Some(value @ MetadataValue::Integer(integer)) => match u64::try_from(*integer) {
                Ok(integer) => Ok(Some(integer)),
                Err(_) => Err(self.wrong(key, "a non-negative integer", value)),
            },
            Some(other) => Err(self.wrong(key, "an integer", other)),
        }
    }

    /// A finite number, or `None` if the key is absent.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, WeightsError> {
        match self.find(key) {
            None => Ok(None),
            Some(MetadataValue::Float(value)) if value.is_finite() => Ok(Some(*value)),
            Some(MetadataValue::Integer(value)) => Ok(Some(*value as f64)),
            Some(other) => Err(self.wrong(key, "a finite number", other)),
        }
    }

    /// A boolean, or `None` if the key is absent.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        match self.find(key) {
            None => Ok(None),
            Some(MetadataValue::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong(key, "a boolean", other)),
        }
    }

    /// The number of elements in an array, or `None` if the key is absent or not an array.
    pub(crate) fn array_length(&self, key: &str) -> Option<usize> {
        match self.find(key) {
            Some(MetadataValue::Array { count, .. }) => Some(*count),
            _ => None,
        }
    }

    /// An array of texts, or `None` if the key is absent. `file` is the file's entire content.
    pub(crate) fn texts<'a>(
        &'a self,
        file: &'a [u8],
        key: &str,
    ) -> Result<Option<Vec<&'a str>>, WeightsError> {
        let Some((mut cursor, count)) =
            self.array(file, key, "an array of texts", |k| k == TEXT)?
        else {
            return Ok(None);
        };
        (0..count).map(|_| cursor.text(key)).collect::<Result<_, _>>().map(Some)
    }

    /// An array of integers, or `None` if the key is absent. `file` is the file's entire content.
    pub(crate) fn integers(
        &self,
        file: &[u8],
        key: &str,
    ) -> Result<Option<Vec<i128>>, WeightsError> {
        let expected = "an array of integers";
        let Some((mut cursor, count)) = self.array(file, key, expected, is_integer)? else {
            return Ok(None);
        };
        let kind = self.array_kind(key);
        let integer = |_| match read_scalar(&mut cursor, key, kind)? {
            MetadataValue::Integer(integer) => Ok(integer),
            other => Err(self.wrong(key, expected, &other)),
        };
        (0..count).map(integer).collect::<Result<_, _>>().map(Some)
    }

    /// An array of f32, or `None` if the key is absent. `file` is the file's entire content.
    pub(crate) fn floats(&self, file: &[u8], key: &str) -> Result<Option<Vec<f32>>, WeightsError> {
        let Some((mut cursor, count)) = self.array(file, key, "an array of f32", |k| k == F32)?
        else {
            return Ok(None);
        };
        (0..count).map(|_| cursor.u32(key).map(f32::from_bits)).collect::<Result<_, _>>().map(Some)
    }

    fn array<'a>(
        &'a self,
        file: &'a [u8],
        key: &str,
        expected: &str,
        accepts: impl Fn(u32) -> bool,
    ) -> Result<Option<(Cursor<'a>, usize)>, WeightsError> {
        match self.find(key) {
            None => Ok(None),
            Some(MetadataValue::Array { kind, count, bytes })
                if accepts(*kind) && bytes.end <= file.len() =>
            {
                Ok(Some((Cursor::new(&self.path, &file[bytes.clone()]), *count)))
            }
            Some(other) => Err(self.wrong(key, expected, other)),
        }
    }

    fn array_kind(&self, key: &str) -> u32 {
        match self.find(key) {
            Some(MetadataValue::Array { kind, .. }) => *kind,
            _ => u32::MAX,
        }
    }

    /// The keys that begin with `prefix`, that were never requested, and whose value carries information.
    pub(super) fn unread(&self, prefix: &str, harmless: &[Harmless]) -> Vec<Unread> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unread: Vec<Unread> = self
            .values
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && !asked.contains(key.as_str()))
            .filter(|(key, value)| {
                let name = &key[prefix.len()..];
                !value.says_nothing(name) && !harmless.iter().any(|harmless| harmless.name == name)
            })
            .map(|(key, value)| Unread { name: key.clone(), about: value.describe() })
            .collect();
        unread.sort_by(|a, b| a.name.cmp(&b.name));
        unread
    }

    fn find(&self, key: &str) -> Option<&MetadataValue> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.contains(key) {
            asked.insert(key.to_owned());
        }
        self.values.get(key)
    }

    /// The error for a required key that is absent.
    pub(crate) fn absent(&self, key: &str, expected: &str) -> WeightsError {
        WeightsError::Invalid {
            path: self.path.clone(),
            what: format!("metadata key \"{key}\""),
            expected: expected.to_owned(),
            found: "no such key".to_owned(),
        }
    }

    fn wrong(&self, key: &str, expected: &str, found: &MetadataValue) -> WeightsError {
        WeightsError::Invalid {
            path: self.path.clone(),
            what: format!("metadata key \"{key}\""),
            expected: expected.to_owned(),
            found: found.describe(),
        }
    }
}

impl MetadataValue {
    fn describe(&self) -> String {
        match self {
            Self::Integer(value) => format!("the integer {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Text(_) => "a text".to_owned(),
            Self::Array { kind, count, .. } => format!("an array of {count} values of type {kind}"),
        }
    }

    /// Whether the value is equivalent to an absent key, for a key with this name.
    fn says_nothing(&self, name: &str) -> bool {
        match self {
            Self::Integer(value) => *value == 0 || name == "expert_gating_func" && *value == 1,
            Self::Float(value) => *value == 0.0 || name.ends_with("scale") && *value == 1.0,
            Self::Bool(value) => *value == (name == "attention.causal"),
            Self::Text(text) => text.is_empty(),
            Self::Array { count, .. } => *count == 0,
        }
    }
}

const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

fn is_integer(kind: u32) -> bool {
    matches!(kind, 0..=5 | 10 | 11)
}

/// Size of a scalar type in bytes, or `None` for texts, arrays and unknown types.
fn scalar_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=F32 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn read_value(
    cursor: &mut Cursor<'_>,
    key: &str,
    kind: u32,
) -> Result<MetadataValue, WeightsError> {
    match kind {
        TEXT => Ok(MetadataValue::Text(cursor.text(key)?.to_owned())),
        ARRAY => read_array(cursor, key),
        _ => read_scalar(cursor, key, kind),
    }
}

fn read_array(cursor: &mut Cursor<'_>, key: &str) -> Result<MetadataValue, WeightsError> {
    let kind = cursor.u32(key)?;
    let count = cursor.u64(key)?;
    let start = cursor.position();
    let what = format!("elements of \"{key}\"");
    let count = match (kind, scalar_bytes(kind)) {
        (TEXT, _) => {
            let count = cursor.check_count(count, 8, &what)?;
            for _ in 0..count {
                cursor.text(key)?;
            }
            count
        }
        (_, Some(size)) => {
            let count = cursor.check_count(count, size, &what)?;
            cursor.take(count as u64 * size, key)?;
            count
        }
        _ => {
            return Err(cursor.invalid(
                format!("array \"{key}\""),
                "elements of type 0 to 8 or 10 to 12",
                format!("type {kind}"),
            ));
        }
    };
    Ok(MetadataValue::Array { kind, count, bytes: start..cursor.position() })
}

fn read_scalar(
    cursor: &mut Cursor<'_>,
    key: &str,
    kind: u32,
) -> Result<MetadataValue, WeightsError> {
    let invalid = |cursor: &Cursor<'_>, expected: &str, found: u64| {
        cursor.invalid(format!("metadata key \"{key}\""), expected, found.to_string())
    };
    let Some(size) = scalar_bytes(kind) else {
        return Err(invalid(cursor, "a value of type 0 to 12", u64::from(kind)));
    };
    let mut wide = [0; 8];
    wide[..size as usize].copy_from_slice(cursor.take(size, key)?);
    let bits = u64::from_le_bytes(wide);
    Ok(match kind {
        0 | 2 | 4 | 10 => MetadataValue::Integer(i128::from(bits)),
        1 | 3 | 5 | 11 => {
            let unused = 64 - 8 * size;
            MetadataValue::Integer(i128::from((bits << unused).cast_signed() >> unused))
        }
        F32 => MetadataValue::Float(shortest_decimal(f32::from_bits(bits as u32))),
        BOOL if bits > 1 => return Err(invalid(cursor, "0 or 1", bits)),
        BOOL => MetadataValue::Bool(bits == 1),
        _ => MetadataValue::Float(f64::from_bits(bits)),
    })
}

/// The f64 with the same shortest decimal form, so that an epsilon of 1e-5 does not become 9.999999747378752e-06.
fn shortest_decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(kind: u32, bytes: &[u8]) -> MetadataValue {
        read_scalar(&mut Cursor::new(Path::new("x"), bytes), "key", kind).unwrap()
    }

    #[test]
    fn scalars_of_every_type() {
        let integer = |kind, bytes: &[u8]| match scalar(kind, bytes) {
            MetadataValue::Integer(value) => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(integer(0, &[255]), 255);
        assert_eq!(integer(1, &[255]), -1);
        assert_eq!(integer(3, &[0, 128]), -32768);
        assert_eq!(integer(5, &[254, 255, 255, 255]), -2);
        assert_eq!(integer(10, &[255; 8]), i128::from(u64::MAX));
        assert_eq!(integer(11, &[255; 8]), -1);
        assert!(matches!(scalar(12, &1.5f64.to_le_bytes()), MetadataValue::Float(v) if v == 1.5));
        assert!(matches!(scalar(6, &1e-5f32.to_le_bytes()), MetadataValue::Float(v) if v == 1e-5));
        assert!(matches!(scalar(7, &[1]), MetadataValue::Bool(true)));
        let cursor = &mut Cursor::new(Path::new("x"), &[2]);
        let error = read_scalar(cursor, "key", 7).unwrap_err().to_string();
        assert_eq!(error, "x: metadata key \"key\": expected 0 or 1, found 2");
    }
}
