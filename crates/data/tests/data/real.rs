//! The embedded WikiText-2 under the embedded tokenizer, against published figures.

use std::path::{Path, PathBuf};

use strait_data::{Join, Preset, Protocol, Text, TextSource, Tokenizer, load};

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

fn wikitext(join: Join) -> Text {
    let source = "wikitext-2-raw".to_owned();
    let source =
        TextSource { source, split: "test".to_owned(), join: Some(join), ..TextSource::default() };
    load(&source, Path::new("."), &assets()).unwrap()
}

fn wiki_4m() -> Tokenizer {
    Tokenizer::from_file(&assets().join("models/wiki-4m/tokenizer.json")).unwrap()
}

#[test]
fn wikitext_is_the_published_text() {
    let text = wikitext(Join::BlankLine);
    assert_eq!((text.rows, text.text.len()), (4358, 1_296_370));
    let published = "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83";
    assert_eq!(text.sha256, published);
    assert_eq!((text.name.as_str(), text.join), ("wikitext-2-raw/test", Some(Join::BlankLine)));
    assert_eq!(wikitext(Join::Line).text.len(), 1_296_370 - 4357);
    let filtered = wikitext(Join::NonEmptyBlankLine);
    assert_eq!(filtered.rows, 4358);
    assert!(filtered.text.starts_with(" = Robert Boulter = \n\n\n Robert Boulter is"));
}

#[test]
fn wikitext_has_the_tokens_that_python_finds() {
    let text = wikitext(Join::BlankLine);
    let tokenizer = wiki_4m();
    assert_eq!(tokenizer.bos_id(), None);
    let protocol = Protocol::published(Preset::HfStride);
    let stream = protocol.tokenize(&text.text, &tokenizer).unwrap();
    assert_eq!((stream.tokens.len(), stream.total), (390_629, 390_629));
    // tokenizers 0.23.3 (Python) on the same text.
    let python = "a0b1f809398b5aa55b2d80bf8dadf973aaf4474b751ceb439d378c59ceba1d49";
    assert_eq!(stream.sha256, python);
    stream.check_vocabulary(4096).unwrap();
    assert!(stream.check_vocabulary(100).is_err());

    let mut protocol = Protocol::new(Preset::HfStride, Some(512), Some(256));
    for (first, scored) in [(16_384, 16_383), (4_096, 4_095)] {
        protocol.first_k_tokens = Some(first);
        let cut = protocol.tokenize(&text.text, &tokenizer).unwrap();
        assert_eq!((cut.tokens.len(), cut.total), (first, 390_629));
        let windows = protocol.windows(cut.tokens.len(), None).unwrap();
        assert_eq!(windows.iter().map(|window| window.scored()).sum::<usize>(), scored);
    }
}

/// If this changes, records on disk no longer compare with new ones: count up the version in
/// fingerprint.rs on purpose, or find out what changed.
#[test]
fn fingerprint_of_the_quickstart() {
    let text = wikitext(Join::BlankLine);
    let mut protocol = Protocol::new(Preset::HfStride, Some(512), Some(256));
    protocol.first_k_tokens = Some(16_384);
    let stream = protocol.tokenize(&text.text, &wiki_4m()).unwrap();
    let windows = protocol.windows(stream.tokens.len(), stream.bos_id).unwrap();
    let fingerprint = protocol.fingerprint(&text, &stream, &windows);
    insta::assert_snapshot!(format!("id = {}\n{fingerprint}", fingerprint.id));
}
