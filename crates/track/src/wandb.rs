//! Weights & Biases: one offline run folder per cell, which `wandb sync` uploads.
//!
//! `wandb/offline-run-<date>_<time>-<id>/run-<id>.wandb` is LevelDB's log format after a header of seven
//! bytes: blocks of 32 KiB that consist of chunks with CRC-32, length and type, in which each record is
//! a protocol buffer (`wandb_internal.proto` of the wandb package, 0.13 to 0.31).

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::proto::Message;
use crate::{Event, Point, TrackError, Tracker, batch_metrics, final_metrics};

const BLOCK: usize = 32 << 10;
const CHUNK_HEADER: usize = 7;
/// `:W&B`, the magic number 0xBEE1, version 0.
const FILE_HEADER: [u8; 7] = [b':', b'W', b'&', b'B', 0xe1, 0xbe, 0];

/// Writes offline runs below `<folder>/wandb`.
#[derive(Debug)]
pub struct Wandb {
    folder: PathBuf,
    project: String,
    every: usize,
    config: Map<String, Value>,
    experiment: String,
    runs: Vec<Option<Run>>,
}

#[derive(Debug)]
struct Run {
    label: String,
    codec: String,
    id: String,
    log: Option<Log>,
    began_s: f64,
    before: Option<Point>,
    summary: Vec<(String, Value)>,
}

impl Wandb {
    /// A writer of offline runs of `project` below `folder`, with a point every `every` windows.
    #[must_use]
    pub fn new(folder: PathBuf, project: String, every: usize) -> Self {
        Self {
            folder,
            project,
            every: every.max(1),
            config: Map::new(),
            experiment: String::new(),
            runs: Vec::new(),
        }
    }

    /// The run's log, which is begun with header and run record if needed.
    fn open(&mut self, cell: usize, time_s: f64) -> Result<Option<&mut Run>, TrackError> {
        let Some(Some(run)) = self.runs.get_mut(cell) else { return Ok(None) };
        if run.log.is_none() {
            run.began_s = time_s;
            let folder = self.folder.join("wandb").join(format!(
                "offline-run-{}-{}",
                crate::wandb::date(time_s),
                run.id
            ));
            let fail = |source| TrackError::Write { path: folder.clone(), source };
            fs::create_dir_all(folder.join("files")).map_err(fail)?;
            fs::create_dir_all(folder.join("logs")).map_err(fail)?;
            let mut log = Log::create(folder.join(format!("run-{}.wandb", run.id)))?;
            let mut config = self.config.clone();
            config.insert("label".to_owned(), run.label.clone().into());
            config.insert("compressor".to_owned(), run.codec.clone().into());
            // Written by wandb itself; `wandb sync` looks for nothing else in it.
            config.insert("_wandb".to_owned(), Value::Object(Map::new()));
            let version = Message::new().text(1, "strait").text(2, "0.12.0");
            log.record(Message::new().message(21, Message::new().message(1, version)), &run.id)?;
            let items = config.iter().fold(Message::new(), |message, (key, value)| {
                message.message(1, Message::new().text(1, key).text(16, &value.to_string()))
            });
            let record = Message::new()
                .text(1, &run.id)
                .text(3, &self.project)
                .message(4, items)
                .text(6, &self.experiment)
                .text(8, &run.label)
                .message(17, Message::new().varint(1, time_s as u64));
            log.record(Message::new().message(17, record), &run.id)?;
            run.log = Some(log);
        }
        Ok(Some(run))
    }
}

impl Run {
    fn history(
        &mut self,
        step: u64,
        metrics: &[(&str, f64)],
        time_s: f64,
    ) -> Result<(), TrackError> {
        let mut items: Vec<(String, Value)> =
            metrics.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        items.push(("_timestamp".to_owned(), time_s.into()));
        items.push(("_runtime".to_owned(), (time_s - self.began_s).into()));
        items.push(("_step".to_owned(), step.into()));
        let entries = items.iter().fold(Message::new(), |message, (key, value)| {
            message.message(1, Message::new().text(2, key).text(16, &value.to_string()))
        });
        let history = entries.message(2, Message::new().varint(1, step));
        self.put(Message::new().message(2, history))?;
        self.summary = items;
        Ok(())
    }

    fn summary(&mut self, metrics: &[(&str, f64)], status: &str) -> Result<(), TrackError> {
        let mut items = std::mem::take(&mut self.summary);
        items.extend(metrics.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
        items.push(("status".to_owned(), status.into()));
        let entries = items.iter().fold(Message::new(), |message, (key, value)| {
            message.message(1, Message::new().text(2, key).text(16, &value.to_string()))
        });
        self.put(Message::new().message(3, entries))
    }

    fn exit(&mut self, code: u64, time_s: f64) -> Result<(), TrackError> {
        let runtime = (time_s - self.began_s).max(0.0) as u64;
        self.put(Message::new().message(18, Message::new().varint(1, code).varint(2, runtime)))?;
        self.put(Message::new().message(22, Message::new()))?;
        self.log = None;
        Ok(())
    }

    fn put(&mut self, record: Message) -> Result<(), TrackError> {
        let id = self.id.clone();
        self.log.as_mut().map_or(Ok(()), |log| log.record(record, &id))
    }
}

impl Tracker for Wandb {
    fn name(&self) -> &'static str {
        "Weights & Biases"
    }

    fn event(&mut self, event: &Event, time_s: f64) -> Result<(), TrackError> {
        match event {
            Event::Start(start) => {
                self.config.clone_from(&start.config);
                self.experiment.clone_from(&start.experiment);
                let open = |(at, cell): (usize, &crate::CellStart)| {
                    (!cell.finished).then(|| Run {
                        label: cell.label.clone(),
                        codec: cell.codec.clone(),
                        id: run_id(&start.experiment, &cell.label, at, time_s),
                        log: None,
                        began_s: time_s,
                        before: None,
                        summary: Vec::new(),
                    })
                };
                self.runs = start.cells.iter().enumerate().map(open).collect();
            }
            Event::Window { cell, point, .. } if point.windows_done.is_multiple_of(self.every) => {
                if let Some(run) = self.open(*cell, time_s)? {
                    let metrics = batch_metrics(point, run.before.as_ref());
                    run.history(point.windows_done as u64 - 1, &metrics, time_s)?;
                    run.before = Some(*point);
                }
            }
            Event::Failed { cell, reason } => {
                if let Some(run) = self.open(*cell, time_s)? {
                    run.summary(&[], &format!("failed: {reason}"))?;
                    run.exit(1, time_s)?;
                }
                if let Some(run) = self.runs.get_mut(*cell) {
                    *run = None;
                }
            }
            Event::End(records) => {
                for cell in 0..self.runs.len() {
                    let label = self.runs[cell].as_ref().map(|run| run.label.clone());
                    let record =
                        records.iter().find(|record| Some(&record.label) == label.as_ref());
                    match record {
                        // A run may have too few windows for a point, so the final figures are written
                        // separately.
                        Some(record) if record.is_finished() => {
                            if let Some(run) = self.open(cell, time_s)? {
                                let metrics = final_metrics(record);
                                run.history(record.windows.len() as u64, &metrics, time_s)?;
                                run.summary(&[], "finished")?;
                                run.exit(0, time_s)?;
                            }
                        }
                        _ => {
                            if let Some(run) =
                                self.runs[cell].as_mut().filter(|run| run.log.is_some())
                            {
                                run.summary(&[], "interrupted")?;
                                run.exit(255, time_s)?;
                            }
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

/// The record log of one run.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    at: usize,
    records: u64,
}

impl Log {
    fn create(path: PathBuf) -> Result<Self, TrackError> {
        let fail = |source| TrackError::Write { path: path.clone(), source };
        let mut file = File::create(&path).map_err(fail)?;
        file.write_all(&FILE_HEADER).map_err(fail)?;
        Ok(Self { path, file, at: FILE_HEADER.len(), records: 0 })
    }

    /// Appends one `Record` with its number and stream.
    fn record(&mut self, record: Message, stream: &str) -> Result<(), TrackError> {
        self.records += 1;
        let record = record.varint(1, self.records).message(200, Message::new().text(1, stream));
        let bytes = self.chunks(&record.finish());
        let written = self.file.write_all(&bytes).and_then(|()| self.file.flush());
        written.map_err(|source| TrackError::Write { path: self.path.clone(), source })
    }

    /// Splits a record into chunks that do not cross a block: whole (1), or first (2), middle (3) and
    /// last (4).
    fn chunks(&mut self, mut data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 16);
        let mut first = true;
        loop {
            let mut left = BLOCK - self.at % BLOCK;
            if left < CHUNK_HEADER {
                out.extend(std::iter::repeat_n(0, left));
                self.at += left;
                left = BLOCK;
            }
            let (part, rest) = data.split_at(data.len().min(left - CHUNK_HEADER));
            let kind: u8 = match (first, rest.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            let mut crc = crc32fast::Hasher::new();
            crc.update(&[kind]);
            crc.update(part);
            out.extend_from_slice(&crc.finalize().to_le_bytes());
            out.extend_from_slice(&(part.len() as u16).to_le_bytes());
            out.push(kind);
            out.extend_from_slice(part);
            self.at += CHUNK_HEADER + part.len();
            (data, first) = (rest, false);
            if data.is_empty() {
                return out;
            }
        }
    }
}

/// The records of a `.wandb` file, up to its end or to damage; for tests and tools.
#[must_use]
pub fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut record, mut at) = (Vec::new(), Vec::new(), FILE_HEADER.len());
    if !bytes.starts_with(&FILE_HEADER) {
        return out;
    }
    loop {
        let left = BLOCK - at % BLOCK;
        if left < CHUNK_HEADER {
            at += left;
        }
        let Some(header) = bytes.get(at..at + CHUNK_HEADER) else { return out };
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let Some(part) = bytes.get(at + CHUNK_HEADER..at + CHUNK_HEADER + length) else {
            return out;
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header[6..7]);
        crc.update(part);
        if crc.finalize().to_le_bytes() != header[..4] {
            return out;
        }
        record.extend_from_slice(part);
        if matches!(header[6], 1 | 4) {
            out.push(std::mem::take(&mut record));
        }
        at += CHUNK_HEADER + length;
    }
}

/// Eight letters and digits that differ between cells and starts.
fn run_id(experiment: &str, label: &str, at: usize, time_s: f64) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    // FNV-1a hash.
    for byte in format!("{experiment}\0{label}\0{at}\0{time_s}").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (0..8)
        .map(|_| {
            let digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(hash % 36) as usize];
            hash /= 36;
            char::from(digit)
        })
        .collect()
}

/// A name made safe as part of a path.
pub(crate) fn safe(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(keep).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "cell".to_owned() } else { name.to_owned() }
}

/// Formats seconds since 1970 as `YYYYMMDD_HHMMSS` in UTC (Howard Hinnant's `civil_from_days`).
pub(crate) fn date(time_s: f64) -> String {
    let seconds = time_s.max(0.0) as u64;
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_size_cross_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.wandb");
        let mut log = Log::create(path.clone()).unwrap();
        let sizes = [0, 1, 100, BLOCK - 60, 3, BLOCK, 3 * BLOCK + 5, 10];
        for size in sizes {
            log.record(Message::new().bytes(2, &vec![7; size]), "s").unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        let records = frames(&bytes);
        assert_eq!(records.len(), sizes.len());
        for (record, size) in records.iter().zip(sizes) {
            let (2, crate::Field::Bytes(data)) = crate::Reader(record).next().unwrap() else {
                panic!()
            };
            assert_eq!(data.len(), size);
        }
        // A truncated file keeps its complete records.
        assert_eq!(frames(&bytes[..bytes.len() - 1]).len(), sizes.len() - 1);
    }

    #[test]
    fn dates() {
        assert_eq!(date(0.0), "19700101_000000");
        assert_eq!(date(951_827_696.0), "20000229_123456");
        assert_eq!(date(1_795_258_883.0), "20261121_110123");
        assert_eq!(
            safe("../int8 g64/µ"),
            "int8-g64--".replace("int8", "-int8").trim_start_matches('-')
        );
    }
}
