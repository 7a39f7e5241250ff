//! The plugin packages of the workspace and what their manifests say about them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::workspace::{Package, Workspace};

/// A package under `plugins/`.
#[derive(Debug, Clone)]
pub(crate) struct Plugin<'a> {
    /// The folder's name, which is also the package's name without `strait-`.
    pub(crate) id: String,
    pub(crate) package: &'a Package,
    pub(crate) table: Table,
}

/// `[package.metadata.strait]` of a plugin's Cargo.toml.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The ids of the codecs that the built library provides.
    #[serde(default)]
    pub(crate) codecs: Vec<String>,
    /// The ids of the presses that the built library provides.
    #[serde(default)]
    pub(crate) presses: Vec<String>,
    /// The ids of the codecs that those contain by default.
    #[serde(default)]
    pub(crate) inner: Vec<String>,
    /// `false` keeps the plugin out of `build-plugin --all`.
    #[serde(default = "yes")]
    pub(crate) bundle: bool,
}

impl Table {
    /// The ids of everything that the built library provides.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.codecs.iter().chain(&self.presses)
    }
}

fn yes() -> bool {
    true
}

/// All plugins of the workspace, sorted by id.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Plugin<'_>>> {
    let mut plugins = Vec::new();
    for package in &workspace.packages {
        let folder = workspace.folder(package);
        let Some(id) = folder.strip_prefix("plugins/") else { continue };
        let table = read_table(package)
            .with_context(|| format!("{folder}/Cargo.toml, [package.metadata.strait]"))?;
        plugins.push(Plugin { id: id.to_owned(), package, table });
    }
    plugins.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(plugins)
}

/// The package's `[package.metadata.strait]`; a missing table is an error.
pub(crate) fn read_table(package: &Package) -> Result<Table> {
    match package.metadata.get("strait") {
        Some(value) => Ok(Table::deserialize(value)?),
        None => bail!("expected the table with codecs or presses = [\"…\"], found none"),
    }
}

/// The plugins with these ids, without repetition.
pub(crate) fn select<'a>(plugins: &[Plugin<'a>], ids: &[String]) -> Result<Vec<Plugin<'a>>> {
    let mut selected: Vec<Plugin<'a>> = Vec::new();
    for id in ids {
        let Some(plugin) = plugins.iter().find(|plugin| plugin.id == *id) else {
            let known: Vec<_> = plugins.iter().map(|plugin| plugin.id.as_str()).collect();
            bail!("no plugin {id:?} in plugins/; there are: {}", known.join(", "));
        };
        if selected.iter().all(|chosen| chosen.id != plugin.id) {
            selected.push(plugin.clone());
        }
    }
    Ok(selected)
}

/// The bundled plugins that provide these codecs or presses and the codecs inside them by default, and
/// the ids that no plugin here provides.
pub(crate) fn providers<'a, 'c>(
    plugins: &[Plugin<'a>],
    codecs: &'c BTreeSet<String>,
) -> (Vec<Plugin<'a>>, Vec<&'c str>) {
    let provides = |plugin: &Plugin<'_>, codec: &String| {
        plugin.table.bundle && plugin.table.ids().any(|id| id == codec)
    };
    let mut wanted: Vec<String> = codecs.iter().cloned().collect();
    let mut next = 0;
    while let Some(codec) = wanted.get(next) {
        next += 1;
        let inside = plugins.iter().filter(|plugin| provides(plugin, codec));
        let inside: Vec<String> = inside.flat_map(|plugin| plugin.table.inner.clone()).collect();
        for codec in inside {
            if !wanted.contains(&codec) {
                wanted.push(codec);
            }
        }
    }
    let found = plugins
        .iter()
        .filter(|plugin| wanted.iter().any(|codec| provides(plugin, codec)))
        .cloned()
        .collect();
    let missing = codecs
        .iter()
        .filter(|codec| !plugins.iter().any(|plugin| provides(plugin, codec)))
        .map(String::as_str)
        .collect();
    (found, missing)
}

/// Whether a plugin may have this id: `[a-z][a-z0-9]*`, parts joined by single hyphens.
///
/// Stricter than a codec's id, which may have dots: a plugin's id is part of a package name.
pub(crate) fn is_plugin_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.split('-').all(|part| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// Whether a codec may have this id: a plugin's id, or several joined by single dots.
pub(crate) fn is_codec_id(id: &str) -> bool {
    id.split('.').enumerate().all(|(index, part)| {
        if index == 0 {
            is_plugin_id(part)
        } else {
            is_plugin_id(&format!("a{part}")) && !part.is_empty() && !part.starts_with('-')
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace::tests::{package, workspace};

    fn tree() -> Workspace {
        let mut affine = package("strait-affine", "plugins/affine", &[]);
        affine.metadata =
            json!({"strait": {"codecs": ["affine", "affine.ref"], "presses": ["knorm"]}});
        let mut hostile = package("strait-hostile", "plugins/hostile", &[]);
        hostile.metadata = json!({"strait": {"codecs": ["hostile"], "bundle": false}});
        let mut outer = package("strait-outer", "plugins/outer", &[]);
        outer.metadata = json!({"strait": {"codecs": ["outer"], "inner": ["affine", "outer"]}});
        workspace(vec![hostile, package("strait-sdk", "crates/sdk", &[]), affine, outer])
    }

    #[test]
    fn plugins_are_found_by_folder_and_sorted() {
        let tree = tree();
        let plugins = all(&tree).unwrap();
        let ids: Vec<_> = plugins.iter().map(|plugin| plugin.id.as_str()).collect();
        assert_eq!(ids, ["affine", "hostile", "outer"]);
        assert!(plugins[0].table.bundle);
        assert!(!plugins[1].table.bundle);
    }

    #[test]
    fn a_missing_or_misspelt_table_is_an_error() {
        let mut tree = tree();
        tree.packages[0].metadata = json!({"strait": {"codec": ["hostile"]}});
        let error = format!("{:#}", all(&tree).unwrap_err());
        assert!(error.contains("plugins/hostile/Cargo.toml"), "{error}");
        assert!(error.contains("unknown field `codec`"), "{error}");
        tree.packages[0].metadata = json!(null);
        assert!(all(&tree).is_err());
    }

    #[test]
    fn codecs_lead_to_their_plugins() {
        let tree = tree();
        let plugins = all(&tree).unwrap();
        let press = ["knorm".to_owned()].into();
        let (found, missing) = providers(&plugins, &press);
        assert_eq!((found[0].id.as_str(), missing.len()), ("affine", 0));
        let wanted = ["affine", "affine.ref", "elsewhere", "hostile"].map(String::from).into();
        let (found, missing) = providers(&plugins, &wanted);
        let ids: Vec<_> = found.iter().map(|plugin| plugin.id.as_str()).collect();
        assert_eq!(ids, ["affine"]);
        assert_eq!(missing, ["elsewhere", "hostile"]);
        let wanted = ["outer"].map(String::from).into();
        let (found, missing) = providers(&plugins, &wanted);
        let ids: Vec<_> = found.iter().map(|plugin| plugin.id.as_str()).collect();
        assert_eq!((ids, missing.len()), (vec!["affine", "outer"], 0));
    }

    #[test]
    fn an_unknown_plugin_is_an_error_that_lists_the_known_ones() {
        let tree = tree();
        let plugins = all(&tree).unwrap();
        let error = select(&plugins, &["affin".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "no plugin \"affin\" in plugins/; there are: affine, hostile, outer");
        let twice = select(&plugins, &["affine".to_owned(), "affine".to_owned()]).unwrap();
        assert_eq!(twice.len(), 1);
    }

    #[test]
    fn ids_have_one_spelling() {
        for good in ["raw", "nf4", "my-codec", "a-1-b"] {
            assert!(is_plugin_id(good), "{good}");
            assert!(is_codec_id(good), "{good}");
        }
        for bad in ["", "Raw", "4bit", "my_codec", "my--codec", "-a", "a-", "kv.int8", "ä", "a b"]
        {
            assert!(!is_plugin_id(bad), "{bad}");
        }
        for good in ["kv.int8", "a.b.c", "kv.8bit"] {
            assert!(is_codec_id(good), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "a.B", "a.-b", "1.a"] {
            assert!(!is_codec_id(bad), "{bad}");
        }
    }
}
