//! TensorBoard: one folder of event files per run, with one TensorBoard run per cell.
//!
//! An event file is a sequence of TFRecords (length `u64`, masked CRC-32C of the length, data, masked
//! CRC-32C of the data; little-endian), each an `Event` of tensorflow/core/util/event.proto.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::proto::{Field, Message, Reader};
use crate::wandb::safe;
use crate::{Event, Point, TrackError, Tracker, batch_metrics, final_metrics};

/// Writes event files below a folder: `<folder>/<experiment>/<cell>/events.out.tfevents.…`.
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    every: usize,
    config: Map<String, Value>,
    runs: Vec<Option<Run>>,
}

#[derive(Debug)]
struct Run {
    label: String,
    path: PathBuf,
    file: Option<File>,
    before: Option<Point>,
}

impl TensorBoard {
    /// A writer of event files below `folder`, with a point every `every` windows.
    #[must_use]
    pub fn new(folder: PathBuf, every: usize) -> Self {
        Self { folder, every: every.max(1), config: Map::new(), runs: Vec::new() }
    }

    fn log(
        &mut self,
        cell: usize,
        step: u64,
        metrics: &[(&str, f64)],
        time_s: f64,
    ) -> Result<(), TrackError> {
        let Some(Some(run)) = self.runs.get_mut(cell) else { return Ok(()) };
        let config = Value::Object(self.config.clone()).to_string();
        let file = match &mut run.file {
            Some(file) => file,
            None => {
                let fail = |source| TrackError::Write { path: run.path.clone(), source };
                fs::create_dir_all(run.path.parent().unwrap_or(Path::new("."))).map_err(fail)?;
                let file = run.file.insert(File::create(&run.path).map_err(fail)?);
                let version = Message::new().double(1, time_s).text(3, "brain.Event:2");
                let text = text_summary("config", &config);
                let config = Message::new().double(1, time_s).message(5, text);
                for event in [version, config] {
                    file.write_all(&record(&event.finish())).map_err(fail)?;
                }
                file
            }
        };
        let mut summary = Message::new();
        for (tag, value) in metrics {
            // Field `simple_value` of each summary's value.
            summary = summary.message(1, Message::new().text(1, tag).float(2, *value as f32));
        }
        let event = Message::new().double(1, time_s).varint(2, step).message(5, summary);
        let written = file.write_all(&record(&event.finish())).and_then(|()| file.flush());
        written.map_err(|source| TrackError::Write { path: run.path.clone(), source })
    }
}

impl Tracker for TensorBoard {
    fn name(&self) -> &'static str {
        "TensorBoard"
    }

    fn event(&mut self, event: &Event, time_s: f64) -> Result<(), TrackError> {
        match event {
            Event::Start(start) => {
                self.config.clone_from(&start.config);
                let base = self.folder.join(safe(&start.experiment));
                let open = |(at, cell): (usize, &crate::CellStart)| {
                    // Two labels may become equal when reduced to plain letters; the cell's index keeps
                    // them apart.
                    let name = format!("events.out.tfevents.{}.strait.{at}", time_s as u64);
                    (!cell.finished).then(|| Run {
                        label: cell.label.clone(),
                        path: base.join(safe(&cell.label)).join(name),
                        file: None,
                        before: None,
                    })
                };
                self.runs = start.cells.iter().enumerate().map(open).collect();
            }
            Event::Window { cell, point, .. } if point.windows_done.is_multiple_of(self.every) => {
                let before =
                    self.runs.get(*cell).and_then(Option::as_ref).and_then(|run| run.before);
                let metrics = batch_metrics(point, before.as_ref());
                self.log(*cell, point.windows_done as u64 - 1, &metrics, time_s)?;
                if let Some(Some(run)) = self.runs.get_mut(*cell) {
                    run.before = Some(*point);
                }
            }
            Event::End(records) => {
                for cell in 0..self.runs.len() {
                    let label = self.runs[cell].as_ref().map(|run| run.label.clone());
                    if let Some(record) = records.iter().find(|r| Some(&r.label) == label.as_ref())
                    {
                        let metrics = final_metrics(record);
                        if !metrics.is_empty() {
                            self.log(cell, record.windows.len() as u64, &metrics, time_s)?;
                        }
                    }
                }
                self.runs.clear();
            }
            _ => {}
        }
        Ok(())
    }
}

/// A text for TensorBoard's text page: a string tensor with the plugin's name.
fn text_summary(tag: &str, text: &str) -> Message {
    const STRING: u64 = 7;
    let plugin = Message::new().text(1, "text");
    let metadata = Message::new().message(1, plugin);
    let shape = Message::new().message(2, Message::new().varint(1, 1));
    let tensor = Message::new().varint(1, STRING).message(2, shape).text(8, text);
    let value = Message::new().text(1, tag).message(9, metadata).message(8, tensor);
    Message::new().message(1, value)
}

/// Encodes a TFRecord.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend_from_slice(&masked(&length).to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&masked(data).to_le_bytes());
    out
}

fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 with Castagnoli's polynomial, reflected.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// The scalars of an event file as `(step, tag, value)`, up to its end or to damage; for tests and
/// tools.
#[must_use]
pub fn scalars(mut bytes: &[u8]) -> Vec<(u64, String, f32)> {
    let mut out = Vec::new();
    while let Some((data, rest)) = next_record(bytes) {
        bytes = rest;
        let fields: Vec<_> = Reader(data).collect();
        let step = fields.iter().find_map(|field| match field {
            (2, Field::Varint(step)) => Some(*step),
            _ => None,
        });
        for (number, field) in &fields {
            let (5, Field::Bytes(summary)) = (number, field) else { continue };
            for (_, value) in Reader(summary) {
                let Field::Bytes(value) = value else { continue };
                let (mut tag, mut scalar) = (String::new(), None);
                for (number, field) in Reader(value) {
                    match (number, field) {
                        (1, Field::Bytes(name)) => tag = String::from_utf8_lossy(name).into_owned(),
                        (2, Field::Fixed32(bits)) => scalar = Some(f32::from_bits(bits)),
                        _ => {}
                    }
                }
                out.extend(scalar.map(|scalar| (step.unwrap_or(0), tag, scalar)));
            }
        }
    }
    out
}

fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(8)?;
    let (length_crc, rest) = rest.split_at_checked(4)?;
    let count = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (data, rest) = rest.split_at_checked(count)?;
    let (data_crc, rest) = rest.split_at_checked(4)?;
    let good = masked(length).to_le_bytes() == length_crc && masked(data).to_le_bytes() == data_crc;
    good.then_some((data, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_of_the_check_string() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn damage_ends_a_file() {
        let mut file = record(b"\x10\x01");
        file.extend(record(b"\x10\x02"));
        assert!(next_record(&file).is_some());
        file[13] ^= 1;
        assert!(next_record(&file).is_none());
    }
}
