//! Folders of plugins.

use std::collections::BTreeMap;
use std::path::Path;

use strait_loader::{LoaderError, PluginSet};

use crate::build::{HOST, hostile};

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn scan(folder: &Path) -> PluginSet {
    PluginSet::scan(folder, &BTreeMap::new(), HOST).unwrap()
}

fn refusal(set: &PluginSet, id: &str) -> String {
    let error = set.codec(id).unwrap_err().to_string();
    error.replace(&set.folder().display().to_string(), "DIR")
}

#[test]
fn good_files_load_beside_bad_ones() {
    let good = std::fs::read(hostile()).unwrap();
    let folder = folder(&[("a.so", b"junk"), ("b.so", &good), ("notes.txt", b"not looked at")]);
    let set = scan(folder.path());
    assert_eq!(set.plugins().len(), 1);
    assert_eq!(set.failures().len(), 1);
    assert_eq!(set.failures()[0].0, folder.path().join("a.so"));
    assert_eq!(set.codec("hostile.length").unwrap().plugin().file_name(), "b.so");
    assert_eq!(
        refusal(&set, "hostile.lenght"),
        "codec `hostile.lenght`: expected one of hostile.chatty, hostile.error, hostile.half-filled, \
         hostile.instance-cheat, hostile.length, hostile.outer, hostile.panic, hostile.self, \
         hostile.static-cheat (from DIR), \
         found no such codec; did you mean `hostile.length`? (not loaded: plugin DIR/a.so: expected \
         an ELF shared library, found another kind of file; point to a plugin's .so file)"
    );
}

#[test]
fn a_missing_folder_is_an_empty_set() {
    let set = scan(Path::new("no/such/folder"));
    assert!(set.plugins().is_empty() && set.failures().is_empty());
    assert_eq!(
        refusal(&set, "raw"),
        "codec `raw`: expected a plugin in DIR, which offers no codecs, found no such codec; \
         put the plugin's .so file there"
    );
}

#[test]
fn the_same_codec_in_two_files_is_an_error() {
    let good = std::fs::read(hostile()).unwrap();
    let folder = folder(&[("a.so", &good), ("b.so", &good)]);
    assert_eq!(
        refusal(&scan(folder.path()), "hostile.length"),
        "codec `hostile.length`: expected one plugin to offer it, found DIR/a.so and DIR/b.so; \
         remove all but one"
    );
}

#[test]
fn pins_belong_to_file_names() {
    let good = std::fs::read(hostile()).unwrap();
    let folder = folder(&[("a.so", &good)]);
    let pin = |name: &str| {
        let pins = BTreeMap::from([(name.to_owned(), format!("sha256:{}", "0".repeat(64)))]);
        PluginSet::scan(folder.path(), &pins, HOST).unwrap()
    };
    let set = pin("a.so");
    assert!(set.plugins().is_empty());
    assert!(matches!(set.failures()[0].1, LoaderError::Pin { .. }));
    let set = pin("missing.so");
    assert_eq!(set.plugins().len(), 1);
    assert!(matches!(set.failures()[0].1, LoaderError::Read { .. }));
}
