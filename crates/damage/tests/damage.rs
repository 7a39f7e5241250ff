//! Every reader on the corpus of its fuzz target, and on some mutations of each file there.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;

use strait_damage::{Dice, KINDS, Kind, mutate};

/// Mutations of each kind in the gate; `cargo xtask soak` reads thousands.
const MUTATIONS: u64 = 400;

fn corpus(kind: &Kind) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(kind.corpus()).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn every_kind_has_a_fuzz_target_and_a_corpus() {
    for kind in KINDS {
        let corpus = kind.corpus();
        assert!(!std::fs::read_dir(&corpus).unwrap().collect::<Vec<_>>().is_empty());
        let target = corpus.join(format!("../../fuzz_targets/{}.rs", kind.name));
        let text = std::fs::read_to_string(target).unwrap();
        assert!(text.contains(&format!("{:?}", kind.name)), "{}", kind.name);
    }
}

#[test]
fn every_case_of_the_corpus_is_read() {
    for kind in KINDS {
        for (path, bytes) in corpus(kind) {
            assert_eq!(kind.read_damaged(&bytes, &bytes), Ok(()), "{}", path.display());
        }
    }
}

#[test]
fn mutations_of_the_corpus_are_read() {
    for kind in KINDS {
        let files = corpus(kind);
        for index in 0..MUTATIONS {
            let mut dice = Dice::new(1, kind.name, index);
            let (path, whole) = dice.one_of(&files).unwrap();
            let (_, other) = dice.one_of(&files).unwrap();
            let damaged = mutate(whole, other, &mut dice);
            let path = path.display();
            assert_eq!(kind.read_damaged(&damaged, whole), Ok(()), "{index} of {path}");
        }
    }
}

#[test]
fn what_a_reader_must_not_do_is_seen() {
    let record = Kind::named("record").unwrap();
    let (_, whole) = corpus(record).remove(0);
    // The sums stay, so that only the comparison with the whole record tells.
    let text = String::from_utf8(whole.clone()).unwrap();
    let other = text.replacen("\"label\": \"", "\"label\": \"another ", 1);
    assert_ne!(other, text);
    assert_eq!(record.read_damaged(other.as_bytes(), &whole), Ok(()), "it has a warning");
    let unwarned = record.read_damaged(&whole, other.as_bytes()).unwrap_err();
    assert!(unwarned.contains("a changed record without a warning"), "{unwarned}");
}
