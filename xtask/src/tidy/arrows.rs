//! Checks the dependency arrows of ARCHITECTURE.md, which point one way only.

use super::tree::Tree;
use super::{Violation, violation};
use crate::workspace::{Package, Workspace};

/// The workspace crates that each crate may link. Plugins have their own rule below.
const ARROWS: &[(&str, &[&str])] = &[
    ("strait-abi", &[]),
    ("strait-sdk-derive", &[]),
    ("strait-sdk", &["strait-abi", "strait-sdk-derive"]),
    ("strait-loader", &["strait-abi"]),
    ("strait-codec-kit", &["strait-sdk"]),
    ("strait-conformance", &["strait-codec-kit", "strait-sdk", "strait-loader", "strait-metrics"]),
    ("strait-metrics", &[]),
    ("strait-vocabulary", &[]),
    ("strait-schema", &["strait-vocabulary", "strait-metrics"]),
    ("strait-hub", &[]),
    ("strait-weights", &["strait-vocabulary", "strait-hub"]),
    ("strait-ops", &["strait-vocabulary"]),
    ("strait-cpu", &["strait-ops"]),
    ("strait-kernels", &[]),
    ("strait-nvidia", &[]),
    ("strait-backend", &["strait-ops"]),
    ("strait-burn", &["strait-backend", "strait-kernels", "strait-ops", "strait-nvidia"]),
    (
        "strait-model",
        &["strait-weights", "strait-ops", "strait-cpu", "strait-nvidia", "strait-backend"],
    ),
    ("strait-data", &["strait-vocabulary", "strait-hub"]),
    (
        "strait-runner",
        &[
            "strait-schema",
            "strait-metrics",
            "strait-hub",
            "strait-weights",
            "strait-data",
            "strait-model",
            "strait-loader",
        ],
    ),
    ("strait-report", &["strait-schema", "strait-metrics"]),
    ("strait-track", &["strait-schema"]),
    (
        "strait",
        &[
            "strait-runner",
            "strait-report",
            "strait-track",
            "strait-schema",
            "strait-weights",
            "strait-loader",
            "strait-model",
            "strait-nvidia",
            "strait-conformance",
        ],
    ),
    (
        "strait-damage",
        &[
            "strait-conformance",
            "strait-data",
            "strait-loader",
            "strait-model",
            "strait-runner",
            "strait-schema",
            "strait-weights",
        ],
    ),
    ("xtask", &[]),
];

/// Third-party crates that only these packages may use, tests included.
const RESERVED: &[(&str, &[&str])] = &[
    ("abi_stable", &["strait-abi", "strait-sdk", "strait-loader"]),
    ("anyhow", &["strait", "xtask"]),
    ("hf-hub", &["strait-hub"]),
    ("libloading", &["strait-loader", "strait-nvidia", "strait-backend"]),
    ("ureq", &["strait-hub", "strait-track"]),
];

/// The only package besides [`BURN_USER`] that may use CubeCL, in which device kernels are written.
const KERNELS: &str = "strait-kernels";
/// The only package that may use burn, whatever the name of burn's crate, and CubeCL below it.
const BURN_USER: &str = "strait-burn";

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        let folder = workspace.folder(package);
        let manifest = format!("{folder}/Cargo.toml");
        let mut report = |dependency: &str, what: String, mend: String| {
            let line = tree.line_of(&manifest, dependency);
            violations.push(violation(&manifest, line, what, mend));
        };
        let plugin = folder.strip_prefix("plugins/");
        check_arrows(workspace, package, plugin, &mut report);
        check_reserved(package, plugin, &mut report);
    }
    violations
}

type Report<'a> = &'a mut dyn FnMut(&str, String, String);

fn check_arrows(workspace: &Workspace, package: &Package, plugin: Option<&str>, report: Report) {
    let name = &package.name;
    let row = ARROWS.iter().find(|(from, _)| from == name).map(|(_, to)| *to);
    let allowed: &[&str] = match plugin {
        // The bad examples use the ABI directly.
        Some("hostile") => &["strait-sdk", "strait-abi"],
        Some(_) => &["strait-codec-kit", "strait-sdk"],
        None => row.unwrap_or_default(),
    };
    if plugin.is_none() && row.is_none() {
        report(
            "name",
            format!("{name} has no row in the table of arrows"),
            "add it to ARROWS in xtask/src/tidy/arrows.rs and to ARCHITECTURE.md".to_owned(),
        );
        return;
    }
    for dependency in package.linked_dependencies() {
        let ours = workspace.packages.iter().any(|member| member.name == dependency);
        if ours && !allowed.contains(&dependency) {
            let allowed = if allowed.is_empty() { "none" } else { &allowed.join(", ") };
            report(
                dependency,
                format!("{name} must not depend on {dependency}"),
                format!("of this workspace it may link: {allowed}"),
            );
        }
    }
}

fn check_reserved(package: &Package, plugin: Option<&str>, report: Report) {
    let name = &package.name;
    for dependency in &package.dependencies {
        let dependency = dependency.name.as_str();
        let of = |family: &str| {
            let rest = dependency.strip_prefix(family);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let kernels = (of("cubecl") || of("cubek")) && name != KERNELS;
        if (of("burn") || kernels) && name != BURN_USER {
            report(
                dependency,
                format!("{name} must not use {dependency}"),
                format!("put what needs burn into {BURN_USER}"),
            );
        }
        let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == dependency);
        if let Some((_, users)) = reserved
            && !users.contains(&name.as_str())
            && plugin != Some("hostile")
        {
            report(
                dependency,
                format!("{name} must not use {dependency}"),
                format!("only these may: {}", users.join(", ")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::{package, workspace};

    fn lines(packages: Vec<Package>) -> Vec<String> {
        let tree = Tree::of(&[(
            "plugins/raw/Cargo.toml",
            "[package]\nname = \"strait-raw\"\n[dependencies]\nburn = \"1\"\n",
        )]);
        check(&workspace(packages), &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_designed_arrows_pass() {
        let sdk = package("strait-sdk", "crates/sdk", &[("strait-abi", "normal")]);
        let abi = package("strait-abi", "crates/abi", &[("abi_stable", "normal")]);
        let model = package("strait-burn", "crates/burn", &[("burn", "normal")]);
        let raw = package(
            "strait-raw",
            "plugins/raw",
            &[
                ("strait-sdk", "normal"),
                ("strait-codec-kit", "normal"),
                ("strait-conformance", "dev"),
                ("half", "normal"),
            ],
        );
        let kit = package("strait-codec-kit", "crates/codec-kit", &[("strait-sdk", "normal")]);
        let conformance =
            package("strait-conformance", "crates/conformance", &[("strait-sdk", "normal")]);
        let hostile = package(
            "strait-hostile",
            "plugins/hostile",
            &[("strait-abi", "normal"), ("abi_stable", "normal")],
        );
        assert_eq!(lines(vec![sdk, abi, model, raw, kit, conformance, hostile]), [""; 0]);
    }

    #[test]
    fn a_plugin_links_sdk_and_kit_alone() {
        let loader = package("strait-loader", "crates/loader", &[]);
        let raw = package(
            "strait-raw",
            "plugins/raw",
            &[("burn", "dev"), ("strait-loader", "normal"), ("abi_stable", "normal")],
        );
        let expected = [
            "plugins/raw/Cargo.toml:1: strait-raw must not depend on strait-loader; \
             of this workspace it may link: strait-codec-kit, strait-sdk",
            "plugins/raw/Cargo.toml:4: strait-raw must not use burn; \
             put what needs burn into strait-burn",
            "plugins/raw/Cargo.toml:1: strait-raw must not use abi_stable; \
             only these may: strait-abi, strait-sdk, strait-loader",
        ];
        assert_eq!(lines(vec![loader, raw]), expected);
    }

    #[test]
    fn arrows_do_not_turn_around() {
        let runner = package("strait-runner", "crates/runner", &[("strait-model", "normal")]);
        let model = package("strait-model", "crates/model", &[("strait-runner", "build")]);
        let found = lines(vec![runner, model]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("strait-model must not depend on strait-runner"), "{found:?}");
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        let found = lines(vec![package("strait-new", "crates/new", &[])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("no row in the table of arrows"), "{found:?}");
    }

    #[test]
    fn burns_own_crates_count_as_burn() {
        for name in ["burn-flex", "cubecl-runtime"] {
            let data = package("strait-data", "crates/data", &[(name, "normal")]);
            assert_eq!(lines(vec![data]).len(), 1);
        }
    }
}
