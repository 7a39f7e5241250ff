//! Figures of single tokens, for audits: what a cell's journal holds, as Parquet files.
//!
//! `tokens/<id>.parquet` has a row for every scored token:
//!
//! | column | type | |
//! |---|---|---|
//! | `window` | i32 | index of the window |
//! | `position` | i32 | of the token in the text's token stream |
//! | `token` | i32 | its id |
//! | `nll`, `baseline_nll` | f64 | negative log-likelihood in the cell and in the baseline, in nats |
//! | `baseline_top` | f32 | the baseline's largest probability |
//! | `kld` | f32 | divergence from the baseline, in nats |
//! | `same_top` | bool | whether cell and baseline agree on the most probable token |
//!
//! `kept/<id>.parquet` has a row for every entry that a press has kept: `window`, `seen` (tokens of the
//! window so far), `layer`, `head` and `position` (in the window), all i32.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, DataType, DoubleType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use strait_data::Window;
use tempfile::NamedTempFile;

use super::folder::Folder;
use super::journal::{self, WindowEntry};
use crate::error::RunnerError;
use crate::plan::PlannedCell;

/// Rows of a row group, or a few more.
const ROWS: usize = 1 << 16;

const TOKENS: &str = "message tokens {
    REQUIRED INT32 window; REQUIRED INT32 position; REQUIRED INT32 token;
    REQUIRED DOUBLE nll; REQUIRED DOUBLE baseline_nll;
    REQUIRED FLOAT baseline_top; REQUIRED FLOAT kld; REQUIRED BOOLEAN same_top;
}";
const KEPT: &str = "message kept {
    REQUIRED INT32 window; REQUIRED INT32 seen; REQUIRED INT32 layer; REQUIRED INT32 head;
    REQUIRED INT32 position;
}";

/// Writes the files of one cell. Cells without presses have no `kept` file.
///
/// # Errors
/// When the journal cannot be read or the disk takes no more.
pub(crate) fn write(
    folder: &Folder,
    cell: &PlannedCell,
    windows: &[Window],
    stream: &[u32],
) -> Result<(), RunnerError> {
    let mut tokens = Table::<Tokens>::create(file(folder, "tokens", &cell.id), cell)?;
    let mut kept = None;
    let mut outcome = Ok(());
    journal::read(&folder.journal(&cell.id), &cell.id, |entry, _| {
        if outcome.is_ok() {
            outcome = add(folder, cell, entry, (windows, stream), &mut tokens, &mut kept);
        }
    })?;
    outcome?;
    tokens.finish()?;
    kept.map_or(Ok(()), Table::finish)
}

/// The file of a cell in one of the two folders.
pub(crate) fn file(folder: &Folder, of: &str, id: &str) -> PathBuf {
    folder.of_cell(of, id, "parquet")
}

fn add(
    folder: &Folder,
    cell: &PlannedCell,
    entry: &WindowEntry,
    (windows, stream): (&[Window], &[u32]),
    tokens: &mut Table<Tokens>,
    kept: &mut Option<Table<Kept>>,
) -> Result<(), RunnerError> {
    let Some(window) = windows.get(entry.index) else { return Ok(()) };
    tokens.columns.add(entry, window, stream);
    tokens.flush(ROWS)?;
    if entry.kept.is_empty() {
        return Ok(());
    }
    if kept.is_none() {
        *kept = Some(Table::create(file(folder, "kept", &cell.id), cell)?);
    }
    let Some(kept) = kept else { return Ok(()) };
    kept.columns.add(entry);
    kept.flush(ROWS)
}

/// Columns of a table that are not on disk yet.
trait Columns: Default {
    const SCHEMA: &'static str;
    fn rows(&self) -> usize;
    fn write(&self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<(), ParquetError>;
}

/// A Parquet file that takes its name when it is whole.
struct Table<C> {
    path: PathBuf,
    file: NamedTempFile,
    writer: SerializedFileWriter<File>,
    columns: C,
}

impl<C: Columns> Table<C> {
    fn create(path: PathBuf, cell: &PlannedCell) -> Result<Self, RunnerError> {
        let fail = |source| failed(&path, source);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(fail)?;
        let file = NamedTempFile::new_in(folder).map_err(fail)?;
        let named = [("strait.id", &cell.id), ("strait.label", &cell.label)];
        let named = named.map(|(key, value)| KeyValue::new(key.to_owned(), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(named.to_vec()))
            .build();
        let schema = parse_message_type(C::SCHEMA).map_err(|error| fail(error.into()))?;
        let to = file.reopen().map_err(fail)?;
        let writer = SerializedFileWriter::new(to, Arc::new(schema), Arc::new(properties));
        let writer = writer.map_err(|error| fail(error.into()))?;
        Ok(Self { file, writer, columns: C::default(), path })
    }

    /// Writes the rows so far if they are this many.
    fn flush(&mut self, least: usize) -> Result<(), RunnerError> {
        if self.columns.rows() < least {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.columns);
        let written = self.writer.next_row_group().and_then(|mut group| {
            columns.write(&mut group)?;
            group.close()
        });
        written.map(|_| ()).map_err(|error| failed(&self.path, error.into()))
    }

    fn finish(mut self) -> Result<(), RunnerError> {
        self.flush(1)?;
        self.writer.close().map_err(|error| failed(&self.path, error.into()))?;
        match self.file.persist(&self.path) {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(&self.path, error.error)),
        }
    }
}

fn failed(path: &Path, source: std::io::Error) -> RunnerError {
    RunnerError::Io { what: "write", path: path.into(), source }
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

#[derive(Default)]
struct Tokens {
    window: Vec<i32>,
    position: Vec<i32>,
    token: Vec<i32>,
    nll: Vec<f64>,
    baseline_nll: Vec<f64>,
    baseline_top: Vec<f32>,
    kld: Vec<f32>,
    same_top: Vec<bool>,
}

impl Tokens {
    fn add(&mut self, entry: &WindowEntry, window: &Window, stream: &[u32]) {
        let scored = entry.nll.len();
        let targets = window.score_from..window.score_from + scored;
        self.window.resize(self.window.len() + scored, entry.index as i32);
        self.position.extend(targets.clone().map(|at| at as i32));
        self.token.extend(stream.get(targets).unwrap_or_default().iter().map(|&id| id as i32));
        self.nll.extend_from_slice(&entry.nll);
        self.baseline_nll.extend_from_slice(&entry.base_nll);
        self.baseline_top.extend_from_slice(&entry.base_top);
        self.kld.extend_from_slice(&entry.kld);
        self.same_top.extend_from_slice(&entry.same_top);
    }
}

impl Columns for Tokens {
    const SCHEMA: &'static str = TOKENS;

    fn rows(&self) -> usize {
        self.nll.len()
    }

    fn write(&self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<(), ParquetError> {
        column::<Int32Type>(group, &self.window)?;
        column::<Int32Type>(group, &self.position)?;
        column::<Int32Type>(group, &self.token)?;
        column::<DoubleType>(group, &self.nll)?;
        column::<DoubleType>(group, &self.baseline_nll)?;
        column::<FloatType>(group, &self.baseline_top)?;
        column::<FloatType>(group, &self.kld)?;
        column::<BoolType>(group, &self.same_top)
    }
}

/// `window`, `seen`, `layer`, `head`, `position`.
#[derive(Default)]
struct Kept([Vec<i32>; 5]);

impl Kept {
    fn add(&mut self, entry: &WindowEntry) {
        for kept in &entry.kept {
            let of_head =
                [entry.index as i32, kept.seen as i32, kept.layer as i32, kept.head as i32];
            let [heads @ .., positions] = &mut self.0;
            for (column, value) in heads.iter_mut().zip(of_head) {
                column.resize(column.len() + kept.positions.len(), value);
            }
            positions.extend(kept.positions.iter().map(|&position| position as i32));
        }
    }
}

impl Columns for Kept {
    const SCHEMA: &'static str = KEPT;

    fn rows(&self) -> usize {
        self.0[0].len()
    }

    fn write(&self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<(), ParquetError> {
        self.0.iter().try_for_each(|values| column::<Int32Type>(group, values))
    }
}
