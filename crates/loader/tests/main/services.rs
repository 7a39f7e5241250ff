//! The host's log and thread count arrive inside a plugin.

use std::sync::{Arc, Mutex, Once};

use log::{LevelFilter, Log, Metadata, Record};
use serde_json::Map;
use strait_loader::{Dtype, MatrixMut, MatrixRef, Plugin, Side};

use crate::build::{HOST, changed};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// Lines of one plugin since the last call.
fn lines(target: &str) -> Vec<String> {
    let mut all = LINES.lock().unwrap();
    let (mine, others): (Vec<_>, Vec<_>) = all.drain(..).partition(|line| line.contains(target));
    *all = others;
    mine
}

#[test]
fn log_records_threads_and_side_information_arrive() {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| log::set_logger(&Capture).unwrap());
    log::set_max_level(LevelFilter::Info);

    let (_folder, path) = changed("talkative.so", |_| {});
    let plugin = Arc::new(Plugin::open(&path, None, HOST).unwrap());
    let codec = plugin.codec("hostile.chatty").unwrap();
    let mut encoder = codec.open(Side::Encoder, &Map::new(), None).unwrap();
    assert_eq!(lines("talkative"), ["WARN plugin::talkative open with 3 threads"]);

    let importance = [0.5, 2.0];
    let message = MatrixRef {
        rows: 2,
        channels: 1,
        dtype: Dtype::F32,
        bytes: &[0; 8],
        side: &[("importance", &importance)],
    };
    let mut payload = Vec::new();
    encoder.encode(message, &mut payload).unwrap();
    assert_eq!(payload, b"3 2.5");
    assert_eq!(lines("talkative"), ["INFO plugin::talkative encode 2 rows"]);

    log::set_max_level(LevelFilter::Trace);
    encoder.encode(message, &mut payload).unwrap();
    let heard = lines("talkative");
    assert!(heard.contains(&"TRACE plugin::talkative encode has begun".to_owned()), "{heard:?}");

    log::set_max_level(LevelFilter::Error);
    let mut decoder = codec.open(Side::Decoder, &Map::new(), None).unwrap();
    let mut bytes = [1; 8];
    let target = MatrixMut { rows: 2, channels: 1, dtype: Dtype::F32, bytes: &mut bytes };
    decoder.decode(&payload, target).unwrap();
    let heard = lines("talkative");
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(
        heard[0].starts_with("ERROR plugin::talkative panic outside of a call of the host: ")
            && heard[0].contains("hostile panic in a thread of the plugin"),
        "{heard:?}"
    );
}
