//! Checks that every codec and press named by an experiment in `configs/` or `xtask/check-cuda` has a plugin in
//! this repository.

use std::collections::BTreeSet;

use super::tree::Tree;
use super::{Violation, violation};
use crate::plugins::read_table;
use crate::run::named;
use crate::workspace::Workspace;

const FOLDERS: [&str; 2] = ["configs/", "xtask/check-cuda/"];

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let tables = workspace.packages.iter().filter_map(|package| read_table(package).ok());
    let known: BTreeSet<String> = tables
        .filter(|table| table.bundle)
        .flat_map(|table| table.ids().cloned().collect::<Vec<_>>())
        .collect();
    let mut violations = Vec::new();
    let kept = |path: &str| FOLDERS.iter().any(|folder| path.starts_with(folder));
    for file in tree.with_extension("toml").filter(|file| kept(&file.path)) {
        match named(&file.text) {
            Ok(named) => {
                for codec in named.difference(&known) {
                    let line = tree.line_of(&file.path, &format!("\"{codec}\""));
                    let what = format!("no bundled plugin declares {codec:?}");
                    let known: Vec<_> = known.iter().map(String::as_str).collect();
                    let mend = format!("name one of: {}", known.join(", "));
                    violations.push(violation(&file.path, line, what, mend));
                }
            }
            Err(error) => {
                let what = format!("is no TOML: {}", error.to_string().replace('\n', " "));
                violations.push(violation(&file.path, 1, what, "correct the file"));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace::tests::{package, workspace};

    fn lines(config: &str) -> Vec<String> {
        let mut raw = package("strait-raw", "plugins/raw", &[]);
        raw.metadata = json!({"strait": {"codecs": ["raw"]}});
        let mut hostile = package("strait-hostile", "plugins/hostile", &[]);
        hostile.metadata = json!({"strait": {"codecs": ["panic"], "bundle": false}});
        let tree = Tree::of(&[("configs/a.toml", config), ("other/b.toml", "[[compressor]]")]);
        check(&workspace(vec![raw, hostile]), &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn known_codecs_pass() {
        assert_eq!(lines("[[compressor]]\ncodec = \"raw\"\n"), [""; 0]);
        assert_eq!(lines("name = \"none\"\n"), [""; 0]);
    }

    #[test]
    fn unknown_and_unbundled_codecs_are_seen() {
        let found = lines("[[compressor]]\ncodec = \"rwa\"\n[[compressor]]\ncodec = \"panic\"\n");
        let expected = [
            "configs/a.toml:4: no bundled plugin declares \"panic\"; name one of: raw",
            "configs/a.toml:2: no bundled plugin declares \"rwa\"; name one of: raw",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_broken_file_is_seen() {
        let found = lines("name = \n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("configs/a.toml:1: is no TOML: "), "{found:?}");
        assert_eq!(found[0].lines().count(), 1);
    }
}
