//! Folders of plugins.

use std::collections::BTreeMap;
use std::path::Path;

use strait_loader::{LoaderError, PluginSet, PressError};

use crate::build::{HOST, hostile};
use crate::evolution::shift;

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
    assert_eq!(set.load_all().len(), 1);
    assert_eq!(set.failures().len(), 1);
    assert_eq!(set.failures()[0].0, folder.path().join("a.so"));
    assert_eq!(set.codec("hostile.length").unwrap().plugin().file_name(), "b.so");
    assert_eq!(
        refusal(&set, "hostile.lenght"),
        "codec `hostile.lenght`: expected one of hostile.address-cheat, hostile.changes, \
         hostile.chatty, hostile.ends, hostile.error, hostile.file-cheat, hostile.floats, \
         hostile.half-filled, hostile.instance-cheat, hostile.length, hostile.outer, hostile.panic, \
         hostile.says, hostile.self, hostile.static-cheat, hostile.writes (from DIR), \
         found no such codec; did you mean `hostile.length`? (not used: plugin DIR/a.so: expected \
         an ELF shared library, found another kind of file; point to a plugin's .so file)"
    );
}

#[test]
fn a_missing_folder_is_an_empty_set() {
    let set = scan(Path::new("no/such/folder"));
    assert!(set.load_all().is_empty() && set.failures().is_empty());
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
fn pins_belong_to_file_names_and_leave_all_other_files_out() {
    let good = std::fs::read(hostile()).unwrap();
    let folder = folder(&[("a.so", &good)]);
    let pin = |name: &str, hash: &str| {
        let pins = BTreeMap::from([(name.to_owned(), format!("sha256:{hash}"))]);
        PluginSet::scan(folder.path(), &pins, HOST).unwrap()
    };
    let zeros = "0".repeat(64);
    let set = pin("a.so", &zeros);
    assert!(set.load_all().is_empty());
    assert!(matches!(set.failures()[0].1, LoaderError::Pin { .. }));

    let set = pin("missing.so", &zeros);
    assert!(set.load_all().is_empty(), "a.so has no pin");
    assert!(matches!(set.failures()[0].1, LoaderError::Read { .. }));
    let refused = refusal(&set, "hostile.length");
    assert!(
        refused.contains(
            "(not used: plugin DIR/a.so: expected a pin, found none; with pins only pinned files \
             are used; plugin DIR/missing.so: "
        ),
        "{refused}"
    );

    let set = pin("a.so", crate::build::plugin().sha256());
    assert_eq!(set.codec("hostile.length").unwrap().plugin().file_name(), "a.so");
}

#[test]
fn only_the_file_that_offers_an_id_is_loaded() {
    // A file that says what it offers, and that the system cannot load.
    let mut broken = std::fs::read(hostile()).unwrap();
    let library = b"libc.so.6\0";
    let at = broken.windows(library.len()).position(|window| window == library).unwrap();
    broken[at..at + 4].copy_from_slice(b"nope");
    let folder = folder(&[("a.so", &broken), ("b.so", &std::fs::read(shift()).unwrap())]);
    let set = scan(folder.path());
    assert!(set.failures().is_empty(), "nothing was loaded yet");
    assert_eq!(set.codec("shift.same").unwrap().plugin().file_name(), "b.so");
    let unknown = refusal(&set, "shift.other");
    assert!(unknown.contains("hostile.length, ") && unknown.contains("shift.same"), "{unknown}");
    let error = refusal(&set, "hostile.length");
    assert!(error.starts_with("plugin DIR/a.so: expected a library that the system"), "{error}");
    assert!(matches!(set.press("hostile.press"), Err(PressError::Plugin(_))));
    let loaded = set.load_all();
    assert!(loaded[0].1.is_err() && loaded[1].1.is_ok());
}

#[test]
fn a_file_that_does_not_list_its_codecs_is_loaded_when_nothing_else_offers_an_id() {
    // The listing gets another name, as if the file were of ABI 1.1.
    let mut unlisted = std::fs::read(hostile()).unwrap();
    let name = b"STRAIT_PLUGIN_LISTING_strait_hostile\0";
    let at = unlisted.windows(name.len()).position(|window| window == name).unwrap();
    unlisted[at..at + 6].copy_from_slice(b"SOMETH");
    let folder = folder(&[("a.so", &unlisted), ("b.so", &std::fs::read(shift()).unwrap())]);
    let set = scan(folder.path());
    assert_eq!(set.codec("shift.same").unwrap().plugin().file_name(), "b.so");
    assert!(!refusal(&set, "shift.other").contains("shift.other, "));
    assert_eq!(set.codec("hostile.length").unwrap().plugin().file_name(), "a.so");
    assert_eq!(set.press("hostile.press").unwrap().plugin().file_name(), "a.so");
}
