//! Compares the codecs and presses that plugins declare in Cargo.toml with those in the built files.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build_plugin;
use crate::cargo::{self, Lock, Product};
use crate::plugins::{self, Plugin};
use crate::workspace::Workspace;

/// A codec or press that the host found in a plugin's file.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    id: String,
    /// The name of the plugin's file.
    file: String,
}

/// Has the host list the libraries in `plugins/` and compares.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let Some(host) = workspace.packages.iter().find(|package| package.name == "strait") else {
        bail!("this workspace has no package \"strait\"");
    };
    let program = cargo::build(workspace, host, Product::Program, Lock::Locked)?;
    let output = Command::new(program)
        .current_dir(&workspace.root)
        .args(["plugins", "list", "--dir", "plugins"])
        .output()
        .context("strait did not start")?;
    let listed = parse(&String::from_utf8_lossy(&output.stdout));
    if listed.is_empty() {
        bail!("strait plugins list: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let known = plugins::all(workspace)?;
    let differences = differences(&build_plugin::bundled(&known), &listed);
    if !differences.is_empty() {
        bail!("{}", differences.join("\n"));
    }
    Ok(())
}

/// Reads the list's columns: codec or press, version, file. Lines whose third word is not a library are
/// skipped.
fn parse(list: &str) -> Vec<Listed> {
    let listed = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (id, _version, file) = (words.next()?, words.next()?, words.next()?);
        let is_library = file.ends_with(std::env::consts::DLL_SUFFIX);
        is_library.then(|| Listed { id: id.to_owned(), file: file.to_owned() })
    });
    listed.collect()
}

/// One line for every plugin whose file contains other codecs or presses than its manifest declares.
fn differences(plugins: &[Plugin<'_>], listed: &[Listed]) -> Vec<String> {
    let mut built: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for codec in listed {
        built.entry(codec.file.as_str()).or_default().push(codec.id.as_str());
    }
    let mut differences = Vec::new();
    for plugin in plugins {
        let mut declared: Vec<_> = plugin.table.ids().map(String::as_str).collect();
        let mut found = built.remove(library_name(&plugin.id).as_str()).unwrap_or_default();
        declared.sort_unstable();
        found.sort_unstable();
        if declared != found {
            differences.push(format!(
                "plugins/{}/Cargo.toml declares {declared:?}, its library holds {found:?}; \
                 correct [package.metadata.strait]",
                plugin.id
            ));
        }
    }
    differences
}

/// The file name of a plugin's library.
fn library_name(id: &str) -> String {
    let name = format!("strait_{}", id.replace('-', "_"));
    format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace::tests::{package, workspace};

    fn found(listed: &[(&str, &str)]) -> Vec<String> {
        let mut cast = package("strait-my-cast", "plugins/my-cast", &[]);
        cast.metadata = json!({"strait": {"codecs": ["my-cast"], "presses": ["fp8"]}});
        let workspace = workspace(vec![cast]);
        let listed: Vec<_> = listed
            .iter()
            .map(|(id, file)| Listed { id: (*id).to_owned(), file: (*file).to_owned() })
            .collect();
        differences(&plugins::all(&workspace).unwrap(), &listed)
    }

    #[test]
    fn the_hosts_list_is_read() {
        let file = library_name("raw");
        let list = format!(
            "codec  version  file             what it does\n\
             raw    1.0.0    {file}  the bytes, as they are\n\n\
             plugins/x was left out: it is text\n"
        );
        assert_eq!(parse(&list), [Listed { id: "raw".to_owned(), file }]);
        assert_eq!(parse("no codecs in plugins: build some\n"), []);
    }

    #[test]
    fn what_is_declared_must_be_built_and_what_is_built_declared() {
        let file = library_name("my-cast");
        assert!(file.contains("strait_my_cast"), "{file}");
        let good = [("fp8", file.as_str()), ("my-cast", &file), ("other", "libother.so")];
        assert_eq!(found(&good), [""; 0]);

        assert_eq!(found(&good[..1]).len(), 1);
        let more = [good[0], good[1], ("bf16", &file)];
        assert_eq!(
            found(&more),
            ["plugins/my-cast/Cargo.toml declares [\"fp8\", \"my-cast\"], its library \
              holds [\"bf16\", \"fp8\", \"my-cast\"]; correct [package.metadata.strait]"]
        );
        assert!(found(&[])[0].contains("its library holds []"));
    }
}
