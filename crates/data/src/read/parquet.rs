//! Reads a string column of a parquet file through the low-level column reader, which needs no
//! Arrow and so a fraction of the compile time.

use std::fs::File;
use std::path::Path;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::ByteArrayType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use crate::DataError;
use crate::guard::guard;

/// Number of rows decoded at a time.
const BATCH: usize = 4096;

pub(super) fn rows(
    path: &Path,
    key: &str,
    limit: usize,
    rows: &mut Vec<String>,
) -> Result<(), DataError> {
    let limit = limit.saturating_sub(rows.len());
    let file = File::open(path).map_err(|source| super::unreadable(path, source))?;
    // The reader responds to some kinds of damage with a failed assertion.
    let read = guard(|| column(path, file, key, limit));
    rows.extend(read.unwrap_or_else(|_| Err(broken(path, "the file is damaged".to_owned())))?);
    Ok(())
}

fn column(path: &Path, file: File, key: &str, limit: usize) -> Result<Vec<String>, DataError> {
    let failed = |error: ParquetError| broken(path, error.to_string());
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let column = text_column(path, key, reader.metadata().file_metadata().schema_descr())?;
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(failed)?;
        let ColumnReader::ByteArrayColumnReader(mut reader) =
            group.get_column_reader(column).map_err(failed)?
        else {
            return Err(broken(path, format!("column `{key}` changes its type")));
        };
        while rows.len() < limit && batch(path, key, &mut reader, &mut rows)? {}
    }
    rows.truncate(limit);
    Ok(rows)
}

fn broken(path: &Path, message: String) -> DataError {
    DataError::Parquet { path: path.to_owned(), message }
}

/// Appends up to [`BATCH`] rows; returns false when the row group has no more.
fn batch(
    path: &Path,
    key: &str,
    reader: &mut ColumnReaderImpl<ByteArrayType>,
    rows: &mut Vec<String>,
) -> Result<bool, DataError> {
    let (mut present, mut values) = (Vec::new(), Vec::new());
    let (records, _, _) = reader
        .read_records(BATCH, Some(&mut present), None, &mut values)
        .map_err(|error| broken(path, error.to_string()))?;
    // A column that may contain nulls has one level per row, 0 for a null.
    if let Some(null) = present.iter().position(|&level| level == 0) {
        let (path, key, row) = (path.to_owned(), key.to_owned(), rows.len() + null);
        return Err(DataError::NullRow { path, key, row });
    }
    for value in values {
        let place = || format!("{} row {}", path.display(), rows.len());
        let row = super::utf8(value.data().to_vec(), place)?;
        rows.push(row);
    }
    Ok(records > 0)
}

fn text_column(path: &Path, key: &str, schema: &SchemaDescriptor) -> Result<usize, DataError> {
    let is_text = |column: &ColumnDescPtr| {
        column.path().string() == key
            && column.physical_type() == Type::BYTE_ARRAY
            && column.max_rep_level() == 0
    };
    schema.columns().iter().position(is_text).ok_or_else(|| {
        let describe = |column: &ColumnDescPtr| {
            format!("{} ({})", column.path().string(), column.physical_type())
        };
        let found = schema.columns().iter().map(describe).collect();
        DataError::NoTextColumn { path: path.to_owned(), key: key.to_owned(), found }
    })
}
