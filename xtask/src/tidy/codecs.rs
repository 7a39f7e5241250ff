//! Checks that docs/codecs.md matches the figures and the plugins' sources.

use anyhow::Result;

use super::tree::Tree;
use super::{Violation, violation};
use crate::codecs_page::{FIGURES, PAGE, render};
use crate::plugins;
use crate::workspace::Workspace;

/// The correct content of the page.
pub(super) fn page(workspace: &Workspace, tree: &Tree) -> Result<String> {
    let source = |path: &str| tree.file(path).map(|file| file.text.as_str());
    render(&plugins::all(workspace)?, source)
}

/// Without figures there is nothing to check.
pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    if !tree.exists(FIGURES) {
        return Vec::new();
    }
    let found = tree.file(PAGE).map(|file| file.text.as_str()).unwrap_or_default();
    match page(workspace, tree) {
        Err(error) => {
            let what = format!("cannot be rendered: {error:#}");
            vec![violation(FIGURES, 1, what, "run cargo xtask bench-codecs")]
        }
        Ok(expected) if expected != found => {
            let same = expected.lines().zip(found.lines()).take_while(|(a, b)| a == b).count();
            let what = format!("is not what {FIGURES} and the heads of the plugins' sources give");
            vec![violation(PAGE, same + 1, what, "run cargo xtask bench-codecs --page")]
        }
        Ok(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::workspace;

    const EMPTY: &str = r#"{ "measured": "", "codecs": [],
        "environment": { "cpu": null, "load_before": null, "strait": "", "quick": false } }"#;

    #[test]
    fn a_page_that_fits_passes_and_an_edited_one_does_not() {
        let workspace = workspace(Vec::new());
        assert_eq!(check(&workspace, &Tree::of(&[])), []);
        let page = page(&workspace, &Tree::of(&[(FIGURES, EMPTY)])).unwrap();
        assert_eq!(check(&workspace, &Tree::of(&[(FIGURES, EMPTY), (PAGE, &page)])), []);
        let edited = page.replace("# Codecs\n", "# Codecs\n\nmore\n");
        let found = check(&workspace, &Tree::of(&[(FIGURES, EMPTY), (PAGE, &edited)]));
        assert_eq!((found.len(), found[0].line), (1, 3));
        assert_eq!(check(&workspace, &Tree::of(&[(FIGURES, "{}")])).len(), 1);
    }
}
