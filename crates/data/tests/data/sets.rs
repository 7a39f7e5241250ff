//! Named sets and files of the hub, fetched from a server on this machine.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use strait_data::{DataError, Join, Text, TextSource, load_with};
use strait_hub::{Hub, Progress};
use tempfile::TempDir;

use crate::files::write_parquet;
use crate::server::Server;

/// Names of the files that were fetched.
#[derive(Default)]
struct Fetched(Vec<String>);

impl Progress for Fetched {
    fn start(&mut self, file: &str, _size: u64, _done: u64) {
        self.0.push(file.to_owned());
    }
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}

struct Place {
    folder: TempDir,
    server: Server,
    fetched: Fetched,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            server: Server::start(),
            fetched: Fetched::default(),
        }
    }

    fn parquet(&self, rows: &[&str]) -> Vec<u8> {
        let path = self.folder.path().join("made.parquet");
        let rows: Vec<Option<&[u8]>> = rows.iter().map(|row| Some(row.as_bytes())).collect();
        write_parquet(&path, parquet::basic::Compression::SNAPPY, &[&rows]);
        fs::read(path).unwrap()
    }

    fn load(&mut self, source: &TextSource) -> Result<Text, DataError> {
        let hub = self.server.hub(&self.folder.path().join("cache"));
        self.load_from(source, &hub)
    }

    fn load_from(&mut self, source: &TextSource, hub: &Hub) -> Result<Text, DataError> {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        load_with(source, self.folder.path(), &assets, hub, &mut self.fetched)
    }

    fn error(&mut self, source: &TextSource) -> String {
        self.load(source).unwrap_err().to_string().replace(&self.server.endpoint, "HUB")
    }
}

fn source(source: &str, split: &str) -> TextSource {
    TextSource { source: source.to_owned(), split: split.to_owned(), ..TextSource::default() }
}

#[test]
fn wikitext_103_comes_in_shards_and_only_once() {
    let mut place = Place::new();
    for (at, rows) in [["a", ""], ["b", "c"]].iter().enumerate() {
        let path = format!(
            "datasets/Salesforce/wikitext/resolve/main/wikitext-103-raw-v1/train-0000{at}-of-00002.parquet"
        );
        place.server.small(&path, &place.parquet(rows));
    }
    let wanted = TextSource { join: Some(Join::Line), ..source("wikitext-103-raw", "train") };
    let text = place.load(&wanted).unwrap();
    assert_eq!((text.text.as_str(), text.rows, text.join), ("a\n\nb\nc", 4, Some(Join::Line)));
    assert_eq!(text.name, "wikitext-103-raw/train");
    let prefix = "wikitext-103-raw-v1/train-0000";
    assert_eq!(
        place.fetched.0,
        [format!("{prefix}0-of-00002.parquet"), format!("{prefix}1-of-00002.parquet")]
    );
    let offline = Hub { offline: true, ..place.server.hub(&place.folder.path().join("cache")) };
    assert_eq!(place.load_from(&wanted, &offline).unwrap(), text);
    assert_eq!(place.fetched.0.len(), 2);

    let few = TextSource { max_documents: Some(3), ..wanted };
    assert_eq!(place.load(&few).unwrap().text, "a\n\nb");
    let one = TextSource { sample_idx: Some(2), ..source("wikitext-103-raw", "train") };
    let text = place.load(&one).unwrap();
    assert_eq!(
        (text.name.as_str(), text.text.as_str(), text.join),
        ("wikitext-103-raw/train[2]", "b", None)
    );
    let error = place.error(&TextSource { sample_idx: Some(4), ..one });
    assert_eq!(
        error,
        "sample_idx = 4: expected less than 4, the rows of wikitext-103-raw/train\n  hint: change `sample_idx` in [data]"
    );
}

#[test]
fn the_embedded_split_is_not_fetched_but_the_others_are() {
    let mut place = Place::new();
    assert_eq!(place.load(&source("wikitext-2-raw", "test")).unwrap().rows, 4358);
    assert_eq!(place.fetched.0, [""; 0]);
    let path = "datasets/Salesforce/wikitext/resolve/main/wikitext-2-raw-v1/validation-00000-of-00001.parquet";
    place.server.small(path, &place.parquet(&["v"]));
    assert_eq!(place.load(&source("wikitext-2-raw", "validation")).unwrap().text, "v");
}

#[test]
fn c4_is_the_start_of_a_compressed_file() {
    let mut place = Place::new();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for i in 0..1200 {
        writeln!(packed, "{{\"text\": \"document {i}\", \"url\": \"u\"}}").unwrap();
    }
    let packed = packed.finish().unwrap();
    let path = "datasets/allenai/c4/resolve/main/en/c4-validation.00000-of-00008.json.gz";
    place.server.small(path, &packed);
    let text = place.load(&source("c4-en", "validation")).unwrap();
    assert_eq!((text.rows, text.join), (1100, Some(Join::Space)));
    assert!(
        text.text.starts_with("document 0 document 1 ") && text.text.ends_with(" document 1099")
    );
    let all = TextSource { max_documents: Some(5000), ..source("c4-en", "validation") };
    assert_eq!(place.load(&all).unwrap().rows, 1200);
    assert_eq!(
        place.error(&source("c4-en", "test")),
        "c4-en has no split \"test\": expected one of validation, train\n  hint: set `split` in [data]"
    );

    // A file that was cut off on the way to this folder.
    fs::write(place.folder.path().join("cut.jsonl.gz"), &packed[..packed.len() / 2]).unwrap();
    let error =
        place.error(&TextSource { max_documents: Some(5000), ..source("cut.jsonl.gz", "") });
    assert!(error.starts_with("cannot read ") && error.contains("cut.jsonl.gz: "), "{error}");
}

#[test]
fn pg19_lambada_and_any_file() {
    let mut place = Place::new();
    let pg19 =
        "datasets/emozilla/pg19/resolve/main/data/test-00000-of-00001-29a571947c0b5ccc.parquet";
    place.server.small(pg19, &place.parquet(&["a book", "another book"]));
    let book = TextSource { sample_idx: Some(1), ..source("pg19", "test") };
    assert_eq!(place.load(&book).unwrap().text, "another book");
    let lambada = "datasets/EleutherAI/lambada_openai/resolve/main/data/lambada_test.jsonl";
    place.server.small(lambada, b"{\"text\":\"one\"}\n{\"text\":\"two\"}\n");
    assert_eq!(place.load(&source("lambada", "test")).unwrap().text, "one\n\ntwo");
    place.server.small("datasets/me/mine/resolve/v1/deep/a.txt", b"as it stands\n");
    let text = place.load(&source("hf:me/mine/deep/a.txt@v1", "test")).unwrap();
    assert_eq!((text.text.as_str(), text.join), ("as it stands\n", None));
}

#[test]
fn errors_say_what_to_do() {
    let mut place = Place::new();
    let all: Vec<String> =
        ["pg19", "hf:me/mine", "hf:me/mine/a.bin", "hf:me", "hf:me/mine/a.txt", "openwebtext"]
            .map(|name| place.error(&source(name, "test")))
            .to_vec();
    let assets = format!("{}/../../assets", env!("CARGO_MANIFEST_DIR"));
    insta::assert_snapshot!(all.join("\n").replace(&assets, "ASSETS"));
}
