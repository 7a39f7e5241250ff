//! Checks manifests: the shared lints, names, test binaries, and a plugin's library kinds and codec
//! table.

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Violation, violation};
use crate::plugins::{is_codec_id, is_plugin_id, read_table};
use crate::workspace::{Package, Workspace};

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut owners = BTreeMap::new();
    for package in &workspace.packages {
        let folder = workspace.folder(package);
        let manifest = format!("{folder}/Cargo.toml");
        check_lints(tree, &manifest, &mut violations);
        check_test_binaries(package, &manifest, &mut violations);
        if let Some(id) = folder.strip_prefix("plugins/") {
            let mut report = |needle: &str, what: String, mend: &str| {
                let line = tree.line_of(&manifest, needle);
                violations.push(violation(&manifest, line, what, mend));
            };
            check_names(package, id, &mut report);
            check_codecs(package, id, &mut owners, &mut report);
        } else {
            check_crate_name(package, &folder, tree, &mut violations);
        }
    }
    violations
}

type Report<'a> = &'a mut dyn FnMut(&str, String, &str);

fn check_lints(tree: &Tree, manifest: &str, violations: &mut Vec<Violation>) {
    let Some(file) = tree.file(manifest) else { return };
    let inherits = file.text.parse::<toml::Table>().is_ok_and(|table| {
        table.get("lints").and_then(|lints| lints.get("workspace"))
            == Some(&toml::Value::Boolean(true))
    });
    if !inherits {
        let line = tree.line_of(manifest, "[lints]");
        let mend = "add: [lints] workspace = true";
        violations.push(violation(manifest, line, "the workspace's lints are not used", mend));
    }
}

fn check_test_binaries(package: &Package, manifest: &str, violations: &mut Vec<Violation>) {
    let is_test = |kinds: &Vec<String>| kinds.iter().any(|kind| kind == "test");
    let tests = package.targets.iter().filter(|target| is_test(&target.kind)).count();
    if tests > 1 {
        let what = format!("{tests} integration-test binaries, each linked on its own");
        let mend = "make them modules of one file in tests/";
        violations.push(violation(manifest, 1, what, mend));
    }
}

fn check_crate_name(package: &Package, folder: &str, tree: &Tree, violations: &mut Vec<Violation>) {
    let expected = match folder.strip_prefix("crates/") {
        Some("cli") => "strait".to_owned(),
        Some(name) => format!("strait-{name}"),
        None => folder.to_owned(),
    };
    if package.name != expected {
        let manifest = format!("{folder}/Cargo.toml");
        let what = format!("the package of {folder} is named {}", package.name);
        let line = tree.line_of(&manifest, "name");
        violations.push(violation(&manifest, line, what, format!("name it {expected}")));
    }
}

fn check_names(package: &Package, id: &str, report: Report) {
    if !is_plugin_id(id) {
        report(
            "name",
            format!("{id:?} is no plugin id"),
            "use lower-case letters and digits, parts joined by single hyphens, a letter first",
        );
    }
    let expected = format!("strait-{id}");
    if package.name != expected {
        report(
            "name",
            format!("the package of plugins/{id} is named {}", package.name),
            &format!("name it {expected}"),
        );
    }
    let kinds: Vec<_> = package.targets.iter().flat_map(|target| &target.crate_types).collect();
    for kind in ["cdylib", "rlib"] {
        if kinds.iter().all(|found| *found != kind) {
            report(
                "[lib]",
                format!("the plugin builds no {kind}"),
                "set [lib] crate-type = [\"cdylib\", \"rlib\"]",
            );
        }
    }
}

/// Checks a plugin's codec ids; `owners` records which plugin declared an id first.
fn check_codecs(
    package: &Package,
    id: &str,
    owners: &mut BTreeMap<String, String>,
    report: Report,
) {
    let table = match read_table(package) {
        Ok(table) => table,
        Err(error) => {
            let what = format!("[package.metadata.strait] does not read: {error}");
            report("[package.metadata.strait]", what, "declare codecs = [\"…\"] there");
            return;
        }
    };
    if table.bundle && table.ids().next().is_none() {
        let mend = "list the ids that export! names in codecs = [\"…\"] or presses = [\"…\"]";
        let what = "the plugin declares no codec and no press".to_owned();
        report("[package.metadata.strait]", what, mend);
    }
    let codecs = table.codecs.into_iter().map(|codec| ("codec", codec));
    for (kind, name) in codecs.chain(table.presses.into_iter().map(|press| ("press", press))) {
        let key = if kind == "codec" { "codecs" } else { "presses" };
        if !is_codec_id(&name) {
            let mend = "use lower-case letters, digits and hyphens, parts joined by single dots";
            report(key, format!("{name:?} is no {kind} id"), mend);
        }
        if let Some(owner) = owners.insert(format!("{kind} {name}"), id.to_owned()) {
            let what = format!("the {kind} {name:?} is declared by plugins/{owner} too");
            report(key, what, &format!("give each {kind} one home"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace::tests::{package, workspace};

    const MANIFEST: &str = "[package]\nname = \"x\"\n[lints]\nworkspace = true\n[package.metadata.strait]\ncodecs = []\n";

    fn plugin(name: &str, folder: &str, codecs: &[&str]) -> Package {
        let mut package = package(name, folder, &[]);
        package.metadata = json!({"strait": {"codecs": codecs}});
        package
    }

    fn lines(packages: Vec<Package>, manifest: &str) -> Vec<String> {
        let workspace = workspace(packages);
        let paths: Vec<_> = workspace
            .packages
            .iter()
            .map(|package| format!("{}/Cargo.toml", workspace.folder(package)))
            .collect();
        let files: Vec<_> = paths.iter().map(|path| (path.as_str(), manifest)).collect();
        check(&workspace, &Tree::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_plugin_and_a_good_crate_pass() {
        let packages = vec![
            plugin("strait-my-codec", "plugins/my-codec", &["my-codec", "kv.my-codec"]),
            package("strait", "crates/cli", &[]),
            package("strait-sdk", "crates/sdk", &[]),
            package("xtask", "xtask", &[]),
        ];
        assert_eq!(lines(packages, MANIFEST), [""; 0]);
    }

    #[test]
    fn lints_are_inherited() {
        for manifest in ["[package]\n", "[package]\n[lints]\nworkspace = false\n"] {
            let found = lines(vec![package("strait-sdk", "crates/sdk", &[])], manifest);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("lints are not used; add"), "{found:?}");
        }
    }

    #[test]
    fn names_follow_folders() {
        let packages = vec![
            plugin("strait-other", "plugins/raw", &["raw"]),
            package("sdk", "crates/sdk", &[]),
            plugin("strait-My", "plugins/My", &["my"]),
        ];
        let expected = [
            "plugins/raw/Cargo.toml:2: the package of plugins/raw is named strait-other; \
             name it strait-raw",
            "crates/sdk/Cargo.toml:2: the package of crates/sdk is named sdk; name it strait-sdk",
            "plugins/My/Cargo.toml:2: \"My\" is no plugin id; use lower-case letters and digits, \
             parts joined by single hyphens, a letter first",
        ];
        assert_eq!(lines(packages, MANIFEST), expected);
    }

    #[test]
    fn a_plugin_is_a_shared_and_a_rust_library() {
        let mut raw = plugin("strait-raw", "plugins/raw", &["raw"]);
        raw.targets[0].crate_types = vec!["lib".to_owned()];
        let found = lines(vec![raw], MANIFEST);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("builds no cdylib"), "{found:?}");
    }

    #[test]
    fn one_integration_test_binary_is_enough() {
        let mut sdk = package("strait-sdk", "crates/sdk", &[]);
        let mut test = sdk.targets[0].clone();
        test.kind = vec!["test".to_owned()];
        sdk.targets.push(test.clone());
        assert_eq!(lines(vec![sdk.clone()], MANIFEST), [""; 0]);
        sdk.targets.push(test);
        let found = lines(vec![sdk], MANIFEST);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("2 integration-test binaries"), "{found:?}");
    }

    #[test]
    fn codecs_are_declared_once_with_good_ids() {
        let packages = vec![
            plugin("strait-a", "plugins/a", &["a", "B"]),
            plugin("strait-b", "plugins/b", &["a"]),
            plugin("strait-c", "plugins/c", &[]),
            package("strait-d", "plugins/d", &[]),
        ];
        let found = lines(packages, MANIFEST);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("a/Cargo.toml:6: \"B\" is no codec id"), "{found:?}");
        assert!(found[1].contains("\"a\" is declared by plugins/a too"), "{found:?}");
        assert!(found[2].contains("declares no codec"), "{found:?}");
        assert!(found[3].contains("does not read"), "{found:?}");
    }

    #[test]
    fn a_test_plugin_may_declare_nothing() {
        let mut hostile = package("strait-hostile", "plugins/hostile", &[]);
        hostile.metadata = json!({"strait": {"bundle": false}});
        assert_eq!(lines(vec![hostile], MANIFEST), [""; 0]);
    }
}
