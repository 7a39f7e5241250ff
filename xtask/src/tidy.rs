//! `cargo xtask tidy`: the rules of this repository that neither rustc nor clippy checks.
//!
//! A rule is a function from the tree or the workspace to violations. Each has tests on small
//! made-up trees that show both what it accepts and what it rejects.

mod arrows;
mod code_map;
mod codecs;
mod configs;
mod cpp;
mod deny;
mod features;
mod links;
mod manifests;
mod patterns;
mod rust;
mod tree;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;
use tree::Tree;

/// Check the repository's own rules: dependency arrows, file heads and lengths, ids, links
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One broken rule: where, what, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    what: String,
    mend: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.mend)
    }
}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let violations = check(&Workspace::load()?)?;
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("rules broken: {}", violations.len());
    Ok(ExitCode::FAILURE)
}

/// All violations in the workspace, sorted by path and line.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    let tree = Tree::read(&workspace.root)?;
    let mut violations = Vec::new();
    violations.extend(arrows::check(workspace, &tree));
    violations.extend(manifests::check(workspace, &tree));
    violations.extend(rust::check(&tree));
    violations.extend(cpp::check(&tree));
    violations.extend(patterns::check(&tree));
    violations.extend(links::check(&tree));
    violations.extend(code_map::check(workspace, &tree));
    violations.extend(configs::check(workspace, &tree));
    violations.extend(codecs::check(workspace, &tree));
    violations.extend(deny::check(workspace, &tree)?);
    violations.extend(features::check(workspace)?);
    violations.sort();
    Ok(violations)
}

/// The correct content of docs/codecs.md.
pub(crate) fn codecs_page(workspace: &Workspace) -> Result<String> {
    codecs::page(workspace, &Tree::read(&workspace.root)?)
}

fn violation(
    path: &str,
    line: usize,
    what: impl Into<String>,
    mend: impl Into<String>,
) -> Violation {
    Violation { path: path.to_owned(), line, what: what.into(), mend: mend.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_one_line() {
        let violation = violation("crates/a/src/lib.rs", 3, "bad", "make it good");
        assert_eq!(violation.to_string(), "crates/a/src/lib.rs:3: bad; make it good");
    }

    #[test]
    fn this_repository_is_tidy() {
        let violations = check(&Workspace::load().unwrap()).unwrap();
        let lines: Vec<_> = violations.iter().map(Violation::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
