//! Checks that ARCHITECTURE.md's code map names every crate, and nothing that does not exist.

use super::tree::Tree;
use super::{Violation, violation};
use crate::workspace::Workspace;

const MAP: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Code map";

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let Some(file) = tree.file(MAP) else {
        return vec![violation(MAP, 1, "the file is missing", "write it, with a code map")];
    };
    let section: Vec<_> = file
        .lines()
        .skip_while(|(_, line)| *line != HEADING)
        .enumerate()
        .take_while(|(index, (_, line))| *index == 0 || !line.starts_with("## "))
        .map(|(_, numbered)| numbered)
        .collect();
    let Some((heading, _)) = section.first() else {
        return vec![violation(MAP, 1, format!("no heading {HEADING:?}"), "add the code map")];
    };

    let mut violations = Vec::new();
    for package in &workspace.packages {
        let folder = workspace.folder(package);
        // One paragraph covers all plugins, so that adding one edits no shared file.
        let listed = folder.starts_with("plugins/")
            || section.iter().any(|(_, line)| line.contains(&format!("`{folder}`")));
        if !listed {
            let what = format!("the code map does not name {folder}");
            let mend = "add a paragraph that says what it is and what it must not know";
            violations.push(violation(MAP, *heading, what, mend));
        }
    }
    for (number, line) in section {
        for path in line.split('`').skip(1).step_by(2) {
            let is_path = path.contains('/') && !path.contains(['<', '*', ' ', ':']);
            if is_path && !tree.exists(path.trim_end_matches('/')) {
                let what = format!("the code map names {path}, which is not there");
                violations.push(violation(MAP, number, what, "correct the path or the text"));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::{package, workspace};

    fn lines(map: &str) -> Vec<String> {
        let workspace = workspace(vec![
            package("strait-sdk", "crates/sdk", &[]),
            package("strait-raw", "plugins/raw", &[]),
        ]);
        let tree =
            Tree::of(&[(MAP, map), ("crates/sdk/src/lib.rs", ""), ("plugins/raw/src/lib.rs", "")]);
        check(&workspace, &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_complete_map_passes() {
        let map = "# A\n\n`gone/x`\n\n## Code map\n\n`crates/sdk`: `src/lib.rs` aside, see \
                   `crates/sdk/src/lib.rs`, `plugins/<id>`, `plugins/`, `a::b/c`.\n\n## Next\n`gone/y`\n";
        let map = map.replace("`src/lib.rs` aside, ", "");
        assert_eq!(lines(&map), [""; 0]);
    }

    #[test]
    fn a_missing_crate_and_a_stale_path_are_seen() {
        let found = lines("## Code map\n\n`crates/gone` is old.\n");
        let expected = [
            "ARCHITECTURE.md:1: the code map does not name crates/sdk; \
             add a paragraph that says what it is and what it must not know",
            "ARCHITECTURE.md:3: the code map names crates/gone, which is not there; \
             correct the path or the text",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_map_itself_must_be_there() {
        assert_eq!(lines("# No map\n").len(), 1);
        let workspace = workspace(Vec::new());
        assert_eq!(check(&workspace, &Tree::of(&[])).len(), 1);
    }
}
