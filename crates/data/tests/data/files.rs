//! Text files of the user's: formats, rows, and what is said about broken ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use strait_data::{DataError, Join, Text, TextSource, load};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
        self
    }

    /// Loads `source`, named sets being in the folder `assets`.
    fn load(&self, source: &str) -> Result<Text, DataError> {
        self.load_joined(source, None)
    }

    fn load_joined(&self, source: &str, join: Option<Join>) -> Result<Text, DataError> {
        let source = TextSource {
            source: source.to_owned(),
            split: "test".to_owned(),
            join,
            ..TextSource::default()
        };
        load(&source, self.0.path(), &self.path("assets"))
    }

    /// The error message, without the folder's own path.
    fn error(&self, source: &str) -> String {
        let message = self.load(source).unwrap_err().to_string();
        message.replace(&self.0.path().display().to_string(), "DIR")
    }
}

/// Writes each group of `groups` as a row group of column `text`; `None` is a null.
pub(crate) fn write_parquet(path: &Path, compression: Compression, groups: &[&[Option<&[u8]>]]) {
    let schema = "message schema { REQUIRED INT32 id; OPTIONAL BYTE_ARRAY text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();
        let mut ids = group.next_column().unwrap().unwrap();
        let numbers: Vec<i32> = (0..).take(rows.len()).collect();
        ids.typed::<Int32Type>().write_batch(&numbers, None, None).unwrap();
        ids.close().unwrap();
        let mut texts = group.next_column().unwrap().unwrap();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
        let values: Vec<ByteArray> =
            rows.iter().flatten().map(|row| ByteArray::from(row.to_vec())).collect();
        texts.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        texts.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn a_text_file_is_taken_as_it_stands() {
    let folder = Folder::new();
    folder.write("a.txt", "\r\n eins\n\nzwei ü\n").write("wiki.test.raw", "x").write("e.txt", "");
    let text = folder.load_joined("a.txt", Some(Join::Line)).unwrap();
    assert_eq!((text.text.as_str(), text.rows, text.join), ("\r\n eins\n\nzwei ü\n", 1, None));
    assert_eq!(text.name, "a.txt");
    assert_eq!(folder.load("wiki.test.raw").unwrap().text, "x");
    assert_eq!(folder.load("e.txt").unwrap().text, "");
    let absolute = folder.path("a.txt").display().to_string();
    assert_eq!(folder.load(&absolute).unwrap().sha256, text.sha256);
}

#[test]
fn json_lines_are_rows() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", "{\"id\": 1, \"text\": \"a\\n\"}\r\n\n{\"text\":\"\"}\n{\"text\":\"ü\"}");
    let text = folder.load("a.jsonl").unwrap();
    assert_eq!((text.text.as_str(), text.rows), ("a\n\n\n\n\nü", 3));
    assert_eq!(text.join, Some(Join::BlankLine));
    assert_eq!(
        folder.load_joined("a.jsonl", Some(Join::NonEmptyBlankLine)).unwrap().text,
        "a\n\n\nü"
    );
}

#[test]
fn parquet_rows_keep_their_order_over_groups_and_compressions() {
    let folder = Folder::new();
    let many: Vec<String> = (0..10_000).map(|i| format!("row {i}")).collect();
    let many_rows: Vec<Option<&[u8]>> = many.iter().map(|row| Some(row.as_bytes())).collect();
    let zstd = Compression::ZSTD(Default::default());
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd] {
        let groups: [&[Option<&[u8]>]; 4] =
            [&[Some(b"a"), Some(b"")], &[], &[Some(b"b")], &many_rows];
        write_parquet(&folder.path("a.parquet"), compression, &groups);
        let text = folder.load_joined("a.parquet", Some(Join::Line)).unwrap();
        assert_eq!(text.rows, 10_003);
        assert_eq!(text.text, format!("a\n\nb\n{}", many.join("\n")));
    }
}

#[test]
fn a_folder_is_a_data_set_of_splits() {
    let folder = Folder::new();
    folder
        .write("assets/mine/test-00001-of-00002.jsonl", "{\"text\":\"b\"}")
        .write("assets/mine/test-00000-of-00002.jsonl", "{\"text\":\"a\"}")
        .write("assets/mine/testing.jsonl", "{\"text\":\"no\"}")
        .write("assets/mine/train.txt", "no")
        .write("assets/mine/README.md", "no")
        .write("here/test.txt", "whole");
    let text = folder.load_joined("mine", Some(Join::Line)).unwrap();
    assert_eq!((text.text.as_str(), text.name.as_str()), ("a\nb", "mine/test"));
    let text = folder.load("here").unwrap();
    assert_eq!((text.text.as_str(), text.join), ("whole", None));
}

#[test]
fn errors_say_where_and_what_to_do() {
    let folder = Folder::new();
    folder
        .write("assets/mine/train.jsonl", "{\"text\":\"b\"}")
        .write("latin1.txt", b"abc\xe4")
        .write("broken.jsonl", "{\"text\":\"a\"}\n\n{\"text\":\"a\"\n")
        .write("array.jsonl", "[1]")
        .write("number.jsonl", "{\"text\":\"a\"}\n{\"text\":1}")
        .write("key.jsonl", "{\"content\":\"a\",\"id\":1}")
        .write("utf8.jsonl", b"{\"text\":\"\xff\"}")
        .write("garbage.parquet", "not parquet at all");
    write_parquet(
        &folder.path("null.parquet"),
        Compression::SNAPPY,
        &[&[Some(b"a")], &[Some(b"b"), None]],
    );
    write_parquet(
        &folder.path("utf8.parquet"),
        Compression::SNAPPY,
        &[&[Some(b"a"), Some(b"b\xff")]],
    );
    let schema = Arc::new(parse_message_type("message schema { REQUIRED INT32 text; }").unwrap());
    let file = fs::File::create(folder.path("column.parquet")).unwrap();
    SerializedFileWriter::new(file, schema, Arc::default()).unwrap().close().unwrap();
    let sources = [
        "missing.txt",
        "missing.parquet",
        "wikitext",
        "",
        "mine",
        "latin1.txt",
        "broken.jsonl",
        "array.jsonl",
        "number.jsonl",
        "key.jsonl",
        "utf8.jsonl",
        "garbage.parquet",
        "null.parquet",
        "utf8.parquet",
        "column.parquet",
    ];
    let all: Vec<String> = sources.iter().map(|source| folder.error(source)).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// A damaged file may still read, for parquet has no checksum, but it never brings the program down.
#[test]
fn damaged_parquet_is_an_error_or_a_text() {
    let folder = Folder::new();
    let embedded = "../../assets/wikitext-2-raw/test-00000-of-00001.parquet";
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(embedded)).unwrap();
    for cut in (0..bytes.len()).step_by(bytes.len() / 40) {
        folder.write("cut.parquet", &bytes[..cut]);
        assert!(matches!(folder.load("cut.parquet"), Err(DataError::Parquet { .. })));
    }
    let mut errors = 0;
    let mut state = 42_u32;
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        for _ in 0..2 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Every other time in the footer, which holds the structure.
            let range = if state & 1 << 20 == 0 { 800 } else { bytes.len() };
            let at = bytes.len() - 1 - (state >> 8) as usize % range;
            damaged[at] ^= 1 << (state >> 29);
        }
        folder.write("damaged.parquet", &damaged);
        errors += usize::from(folder.load("damaged.parquet").is_err());
    }
    assert!(errors > 50, "{errors}");
}
