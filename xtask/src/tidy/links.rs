//! Checks that relative links and anchors in Markdown lead somewhere.

use std::collections::BTreeSet;

use super::tree::{SourceFile, Tree};
use super::{Violation, violation};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.with_extension("md") {
        for (number, target) in targets(file) {
            if let Some((what, mend)) = broken(tree, file, &target) {
                violations.push(violation(&file.path, number, what, mend));
            }
        }
    }
    violations.extend(unlisted(tree));
    violations
}

/// The list of all documents.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Documents that nobody finds, because the list does not have them.
fn unlisted(tree: &Tree) -> Vec<Violation> {
    let Some(summary) = tree.file(SUMMARY) else { return Vec::new() };
    let listed: BTreeSet<String> =
        targets(summary).iter().filter_map(|(_, target)| resolve(SUMMARY, target)).collect();
    let documents = tree.with_extension("md").filter(|file| {
        // Of the folders below, only decisions are documents; others hold tables that are shown elsewhere.
        let name = file.path.strip_prefix("docs/");
        name.is_some_and(|name| !name.contains('/') || name.starts_with("adr/"))
    });
    documents
        .filter(|file| file.path != SUMMARY && !listed.contains(&file.path))
        .map(|file| violation(&file.path, 1, format!("{SUMMARY} does not list it"), "add it there"))
        .collect()
}

/// What is wrong with a link, if anything, and how to fix it.
fn broken(tree: &Tree, file: &SourceFile, target: &str) -> Option<(String, &'static str)> {
    let outside = ["http://", "https://", "mailto:"];
    if outside.iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
    let resolved =
        if path.is_empty() { Some(file.path.clone()) } else { resolve(&file.path, path) };
    let Some(resolved) = resolved.filter(|path| path.is_empty() || tree.exists(path)) else {
        return Some((format!("the link {target} leads nowhere"), "correct the path"));
    };
    let headed = tree.file(&resolved).filter(|file| file.extension() == "md");
    if let (Some(anchor), Some(headed)) = (anchor, headed)
        && !anchors(headed).contains(anchor)
    {
        return Some((format!("{resolved} has no heading #{anchor}"), "name one that it has"));
    }
    None
}

/// The path from the root for a link found in the file `from`; `None` if it leaves the tree.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').collect(),
    };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The targets of `[text](target)`, `[name]: target`, `src="target"` and `href="target"`, with
/// their line numbers; code is excluded.
fn targets(file: &SourceFile) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(file) {
        let mut add = |target: &str| {
            let target = target.trim().trim_matches(['<', '>']);
            let target = target.split(" \"").next().unwrap_or(target);
            found.push((number, target.to_owned()));
        };
        for (begin, end) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            for (at, _) in line.match_indices(begin) {
                if let Some((target, _)) = line[at + begin.len()..].split_once(end) {
                    add(target);
                }
            }
        }
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, target)) = definition {
            add(target);
        }
    }
    found
}

/// The lines outside fenced code, with code spans blanked.
fn prose(file: &SourceFile) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    file.lines().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then(|| (number, without_code_spans(line)))
    })
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The anchors that GitHub generates for the headings of a file.
fn anchors(file: &SourceFile) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut fenced = false;
    for (_, line) in file.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let text = line.trim_start_matches('#');
        if fenced || text.len() == line.len() || !text.starts_with(' ') {
            continue;
        }
        let base: String = text
            .trim()
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let mut anchor = base.clone();
        let mut repeated = 0;
        while !anchors.insert(anchor.clone()) {
            repeated += 1;
            anchor = format!("{base}-{repeated}");
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("README.md", "# Strait\n\n## What `it` is, in short\n\n## Twice\n\n## Twice\n"),
            ("docs/adr/0001-burn.md", "# Why\n"),
            ("docs/guide.md", text),
            ("results/quickstart/pareto.svg", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "\
# Guide
[a](../README.md), ![p](../results/quickstart/pareto.svg \"Pareto\") [b](adr/)
[c](#guide) [d](../README.md#what-it-is-in-short) [e](../README.md#twice-1) [f](..)
[g](https://example.com/x) [h](/README.md) <img src=\"../results/quickstart/pareto.svg\">
`[no](link)` and
```md
[no](link)
# Not a heading
```
[ref]: adr/0001-burn.md
";
        assert_eq!(lines(text), [""; 0]);
    }

    #[test]
    fn every_document_is_in_the_summary() {
        let of = |summary: &str| {
            let tree = Tree::of(&[
                ("docs/SUMMARY.md", summary),
                ("docs/guide.md", "# Guide\n"),
                ("docs/adr/0001-burn.md", "# Why\n"),
                ("docs/quickstart/table.md", "# Shown elsewhere\n"),
            ]);
            check(&tree).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("- [Guide](guide.md)\n- [Why](adr/0001-burn.md)\n"), [""; 0]);
        let missing = "docs/guide.md:1: docs/SUMMARY.md does not list it; add it there";
        assert_eq!(of("- [Why](adr/0001-burn.md)\n"), [missing]);
    }

    #[test]
    fn broken_links_are_seen() {
        for bad in [
            "[a](missing.md)",
            "[a](../../outside.md)",
            "[a](../README.md#nowhere)",
            "[a](#nowhere)",
            "[ref]: missing.md",
            "<a href=\"missing.md\">",
            "[good](adr/0001-burn.md) [bad](adr/0002.md)",
        ] {
            let found = lines(&format!("# Guide\n{bad}\n"));
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].starts_with("docs/guide.md:2: "), "{found:?}");
        }
    }
}
