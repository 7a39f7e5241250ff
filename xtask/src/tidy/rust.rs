//! Checks Rust files: the head, the length, where a strict lint may be lifted, and that tests
//! really run.

use super::tree::{SourceFile, Tree};
use super::{Violation, violation};

/// Most lines in a file.
pub(super) const LONGEST: usize = 600;

/// Exceptions for longer files, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Lints that may be lifted only in paths with these prefixes, each for its reason.
const LIFTED: &[(&str, &[(&str, &str)])] = &[
    (
        "unsafe_code",
        &[
            ("crates/abi/", "the boundary itself"),
            ("crates/sdk/src/boundary", "the plugin's side of the boundary"),
            ("crates/loader/", "the host's side of the boundary"),
            ("crates/backend/src/library.rs", "opens the backend"),
            ("crates/burn/src/entry.rs", "the backend's exported symbol"),
            ("crates/weights/src/bytes.rs", "maps a checkpoint file into memory"),
            ("crates/weights/src/heap.rs", "asks the allocator for what it holds free"),
            ("crates/nvidia/src/ffi.rs", "calls NVIDIA's libraries, and sets CUDA_PATH"),
            ("crates/cpu/src/amx.rs", "the tile unit, which only assembly reaches"),
            ("plugins/hostile/", "breaks the boundary on purpose, for the loader's tests"),
        ],
    ),
    (
        "disallowed_methods",
        &[
            ("crates/runner/src/clock.rs", "the only clock of a run"),
            (
                "crates/model/benches/device.rs",
                "a benchmark that strangers' cards run without criterion",
            ),
            ("xtask/src/test.rs", "tells how long the steps of the gate took"),
        ],
    ),
];

/// The rules' own sources contain the words that they search for.
pub(super) const OWN_SOURCES: &str = "xtask/src/tidy/";

/// Words that hide a test's result or mark unfinished work.
const FORBIDDEN: &[(&str, &str)] = &[
    ("#[ignore", "make the test run always, or remove it"),
    ("should_panic", "assert on the error value instead"),
    ("```ignore", "use no_run, or make the example run"),
    ("```rust,ignore", "use no_run, or make the example run"),
    ("todo!(", "write the code, or return an error"),
    ("unimplemented!(", "write the code, or return an error"),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.with_extension("rs") {
        check_head(file, &mut violations);
        check_length(file, LONG_FILES, &mut violations);
        if !file.path.starts_with(OWN_SOURCES) {
            check_lifted(file, &mut violations);
            check_forbidden(file, &mut violations);
        }
    }
    violations
}

fn check_head(file: &SourceFile, violations: &mut Vec<Violation>) {
    let first = file.text.lines().next().unwrap_or("");
    let said = first.strip_prefix("//!").is_some_and(|text| !text.trim().is_empty());
    if !said {
        let mend = "open the file with a //! paragraph that says what it is";
        violations.push(violation(&file.path, 1, "the file does not say what it is", mend));
    }
}

fn check_length(file: &SourceFile, allowed: &[(&str, &str)], violations: &mut Vec<Violation>) {
    let lines = file.text.lines().count();
    let listed = allowed.iter().any(|(path, _)| *path == file.path);
    if lines > LONGEST && !listed {
        let what = format!("{lines} lines, more than {LONGEST}");
        let mend = "split it into one concept a file";
        violations.push(violation(&file.path, LONGEST + 1, what, mend));
    }
    if lines <= LONGEST && listed {
        let mend = "remove it from LONG_FILES in xtask/src/tidy/rust.rs";
        violations.push(violation(&file.path, 1, "listed as long, but is not", mend));
    }
}

fn check_lifted(file: &SourceFile, violations: &mut Vec<Violation>) {
    for (lint, homes) in LIFTED {
        if homes.iter().any(|(home, _)| file.path.starts_with(home)) {
            continue;
        }
        for (number, line) in file.lines() {
            let tightens = line.contains("forbid") || line.contains("deny");
            if line.contains(lint) && !tightens && !line.trim_start().starts_with("//") {
                let homes: Vec<_> = homes.iter().map(|(home, _)| *home).collect();
                let mend = format!("move the code to where that may be: {}", homes.join(", "));
                let what = format!("lifts the lint {lint}");
                violations.push(violation(&file.path, number, what, mend));
            }
        }
    }
}

fn check_forbidden(file: &SourceFile, violations: &mut Vec<Violation>) {
    for (number, line) in file.lines() {
        for (pattern, mend) in FORBIDDEN {
            if line.contains(pattern) {
                let what = format!("contains {pattern}");
                violations.push(violation(&file.path, number, what, *mend));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_file_passes() {
        let text = "//! What it is.\n\n#[test]\nfn f() {}\n";
        assert_eq!(lines("crates/data/src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn a_file_says_what_it_is_first() {
        for text in ["", "fn f() {}\n", "//!\n", "// A comment.\n", "\n//! Too late.\n"] {
            let found = lines("crates/data/src/lib.rs", text);
            assert_eq!(found.len(), 1, "{text:?}: {found:?}");
            assert!(found[0].starts_with("crates/data/src/lib.rs:1: "), "{found:?}");
        }
    }

    #[test]
    fn a_file_is_short() {
        let fits = format!("//! Long.\n{}", "\n".repeat(LONGEST - 1));
        assert_eq!(lines("a.rs", &fits), [""; 0]);
        let found = lines("a.rs", &format!("{fits}\n"));
        assert_eq!(found, ["a.rs:601: 601 lines, more than 600; split it into one concept a file"]);
    }

    #[test]
    fn the_list_of_long_files_is_kept_short() {
        let listed = [("a.rs", "a table")];
        let mut found = Vec::new();
        let tree = Tree::of(&[("a.rs", "//! Short.\n")]);
        check_length(&tree.files[0], &listed, &mut found);
        assert_eq!(found.len(), 1);
        found.clear();
        let long = "\n".repeat(LONGEST + 1);
        check_length(&Tree::of(&[("a.rs", &long)]).files[0], &listed, &mut found);
        assert_eq!(found, []);
    }

    #[test]
    fn unsafe_code_has_few_homes() {
        let text = "//! X.\n#![allow(unsafe_code)]\n";
        for home in ["crates/abi/src/lib.rs", "crates/cpu/src/amx.rs"] {
            assert_eq!(lines(home, text), [""; 0], "{home}");
        }
        for elsewhere in ["crates/model/src/lib.rs", "plugins/raw/src/lib.rs"] {
            let found = lines(elsewhere, text);
            assert_eq!(found.len(), 1, "{elsewhere}");
            assert!(found[0].contains(":2: lifts the lint unsafe_code; move"), "{found:?}");
        }
        for spread in ["#[expect(\n    unsafe_code,\n)]", "#[cfg_attr(x, allow(unsafe_code))]"] {
            assert_eq!(lines("crates/data/src/lib.rs", &format!("//! X.\n{spread}\n")).len(), 1);
        }
        for fine in ["#![forbid(unsafe_code)]", "// The lint unsafe_code is on."] {
            assert_eq!(lines("crates/data/src/lib.rs", &format!("//! X.\n{fine}\n")).len(), 0);
        }
    }

    #[test]
    fn the_clock_has_one_home() {
        let text = "//! X.\n#[allow(clippy::disallowed_methods)]\nfn now() {}\n";
        assert_eq!(lines("crates/runner/src/clock.rs", text), [""; 0]);
        let found = lines("crates/runner/src/run.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("lifts the lint disallowed_methods"), "{found:?}");
    }

    #[test]
    fn tests_run_and_say_what_they_expect() {
        for bad in [
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "#[should_panic(expected = \"x\")]",
            "/// ```ignore",
            "/// ```rust,ignore",
            "todo!()",
            "unimplemented!(\"later\")",
        ] {
            let found = lines("a.rs", &format!("//! X.\n{bad}\nfn f() {{}}\n"));
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].starts_with("a.rs:2: contains "), "{found:?}");
        }
    }
}
