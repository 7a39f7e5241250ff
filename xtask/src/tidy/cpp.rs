//! Checks the head and the length of C++ files, as for Rust.

use super::rust::LONGEST;
use super::tree::{SourceFile, Tree};
use super::{Violation, violation};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let files = ["cpp", "h"].into_iter().flat_map(|extension| tree.with_extension(extension));
    files.flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Violation> {
    let mut violations = Vec::new();
    let first = file.text.lines().next().unwrap_or("");
    if first.strip_prefix("// ").is_none_or(|text| text.trim().is_empty()) {
        let mend = "open the file with a // paragraph that says what it is";
        violations.push(violation(&file.path, 1, "the file does not say what it is", mend));
    }
    let lines = file.text.lines().count();
    if lines > LONGEST {
        let what = format!("{lines} lines, more than {LONGEST}");
        let mend = "split it into one concept a file";
        violations.push(violation(&file.path, LONGEST + 1, what, mend));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_is_and_is_not_long() {
        let long = "// A head.\n".repeat(LONGEST + 1);
        let tree = Tree::of(&[
            ("x/good.cpp", "// What it is.\n#pragma once\n"),
            ("x/bare.h", "#pragma once\n"),
            ("x/empty.cpp", "//\n// Late.\n"),
            ("x/long.cpp", &long),
        ]);
        let found: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        let starts = [
            "x/empty.cpp:1: the file does not say what it is; ",
            "x/long.cpp:601: 601 lines, more than 600; ",
            "x/bare.h:1: the file does not say what it is; ",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (line, start) in found.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
    }
}
