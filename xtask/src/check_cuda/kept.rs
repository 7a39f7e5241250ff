//! The entries that presses kept, and how many others two runs kept.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

/// Of each entry: window, tokens so far, layer, head, position.
pub(super) type Kept = BTreeSet<[i32; 5]>;

/// Reads `kept/<id>.parquet` of a results folder; empty where the cell has no press.
pub(super) fn read(results: &Path, id: &str) -> Result<Kept> {
    let name: String = id.chars().take(16).collect();
    let path = results.join("kept").join(format!("{name}.parquet"));
    if !path.exists() {
        return Ok(Kept::new());
    }
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    let reader = SerializedFileReader::new(file).with_context(|| path.display().to_string())?;
    let mut kept = Kept::new();
    for row in reader.get_row_iter(None)? {
        let row = row?;
        let mut entry = [0; 5];
        for (column, value) in entry.iter_mut().enumerate() {
            *value = row.get_int(column)?;
        }
        kept.insert(entry);
    }
    Ok(kept)
}

/// The share of what is expected that was not kept, others in its place.
pub(super) fn others(found: &Kept, expected: &Kept) -> f64 {
    let missing = expected.difference(found).count().max(found.difference(expected).count());
    if missing == 0 { 0.0 } else { missing as f64 / expected.len().max(1) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_entries_are_a_share() {
        let kept =
            |positions: &[i32]| -> Kept { positions.iter().map(|&at| [0, 9, 1, 0, at]).collect() };
        let expected = kept(&[0, 1, 5, 8]);
        assert_eq!(others(&expected, &expected), 0.0);
        assert_eq!(others(&kept(&[0, 1, 6, 8]), &expected), 0.25);
        assert_eq!(others(&kept(&[]), &expected), 1.0);
        assert_eq!(others(&Kept::new(), &Kept::new()), 0.0);
    }
}
