//! Checks all text files for white space, marks of unfinished work, and machine-specific paths.

use super::rust::OWN_SOURCES;
use super::tree::{SourceFile, Tree};
use super::{Violation, violation};

/// Folders that exist only on a particular machine.
const MACHINE_FOLDERS: &[&str] = &["/home/", "/root/", "/work/", "/tmp/", "/Users/", "C:\\Users"];

/// Extensions of files that people write; the others are generated.
const WRITTEN: &[&str] = &["rs", "toml", "md", "py", "sh", "yml", "cpp", "h", ""];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        if file.path.starts_with(OWN_SOURCES) {
            continue;
        }
        let written = WRITTEN.contains(&file.extension());
        for (number, line) in file.lines() {
            let mut report = |what: String, mend: &str| {
                violations.push(violation(&file.path, number, what, mend));
            };
            if written {
                check_space(line, &mut report);
                check_unfinished(file, line, &mut report);
            }
            check_machine(line, &mut report);
        }
    }
    violations
}

type Report<'a> = &'a mut dyn FnMut(String, &str);

fn check_space(line: &str, report: Report) {
    if line.ends_with([' ', '\t', '\r']) {
        report("white space at the end of the line".to_owned(), "remove it");
    }
    if line.contains('\t') {
        report("contains a tab".to_owned(), "indent with spaces");
    }
}

/// Markdown may mention these words.
fn check_unfinished(file: &SourceFile, line: &str, report: Report) {
    if file.extension() == "md" {
        return;
    }
    for mark in ["TODO", "FIXME", "XXX"] {
        if words(line).any(|word| word == mark) {
            report(format!("contains {mark}"), "finish the work, or open an issue");
        }
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

/// A folder counts only where a path begins, not in the middle of an address or another path.
fn check_machine(line: &str, report: Report) {
    for folder in MACHINE_FOLDERS {
        let begins = line.match_indices(folder).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|letter| !letter.is_alphanumeric() && !"._-~/}>".contains(letter))
        });
        if begins {
            let mend = "write a path relative to the repository; tests use a temporary folder";
            report(format!("names {folder}, a path of one machine"), mend);
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
    fn good_text_passes() {
        let text = "A line.\n\nSee https://example.com/home/page and data/tmp/x, ../work/y.\n";
        for path in ["README.md", "a.rs", ".ci/run"] {
            assert_eq!(lines(path, text), [""; 0], "{path}");
        }
    }

    #[test]
    fn white_space_is_seen_in_written_files() {
        let found = lines("a.toml", "a = 1 \n\tb = 2\nc = 3\r\n");
        let expected = [
            "a.toml:1: white space at the end of the line; remove it",
            "a.toml:2: contains a tab; indent with spaces",
            "a.toml:3: white space at the end of the line; remove it",
        ];
        assert_eq!(found, expected);
        assert_eq!(lines("results/a.csv", "a,b \t\n"), [""; 0]);
    }

    #[test]
    fn unfinished_work_is_seen_outside_markdown() {
        for mark in ["// TODO: later", "# FIXME", "/* XXX */"] {
            assert_eq!(lines("a.rs", mark).len(), 1, "{mark}");
        }
        assert_eq!(lines("CONTRIBUTING.md", "No TODO in code.\n"), [""; 0]);
        assert_eq!(lines("a.rs", "let mut TODOS = mktemp(\"XXXXXX\");\n"), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_seen_everywhere() {
        for text in [
            "/home/ada/strait",
            "open(\"/tmp/x\")",
            "cd /work/project",
            "`/root/some/folder`",
            "{\"path\":\"/Users/ada/x\"}",
            "C:\\Users\\ada",
        ] {
            for path in ["README.md", "a.rs", "results/quickstart/a.json"] {
                assert_eq!(lines(path, text).len(), 1, "{path}: {text}");
            }
        }
        let found = lines("a.md", "text\nrun /tmp/x\n");
        assert!(found[0].starts_with("a.md:2: names /tmp/, a path of one machine; "), "{found:?}");
    }

    #[test]
    fn the_rules_sources_may_name_what_they_look_for() {
        assert_eq!(lines("xtask/src/tidy/patterns.rs", "// TODO /tmp/x\n"), [""; 0]);
    }
}
