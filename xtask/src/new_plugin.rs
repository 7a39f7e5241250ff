//! `cargo xtask new-plugin`: creates a new codec's folder from `xtask/templates/plugin`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::plugins::is_plugin_id;
use crate::workspace::Workspace;

/// Write a new codec plugin into plugins/ID
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The codec's id, which names its folder too: lower-case letters, digits, single hyphens
    id: String,
}

/// The template's files: path below `plugins/<id>`, text with `{{id}}`, `{{Type}}`, `{{crate}}`.
const TEMPLATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../templates/plugin/Cargo.toml")),
    ("src/lib.rs", include_str!("../templates/plugin/src/lib.rs")),
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let id = &args.id;
    write(&Workspace::load()?.root, id)?;
    println!("plugins/{id} is a working codec. Next:");
    println!("  1. edit plugins/{id}/src/lib.rs, then: cargo test --release -p strait-{id}");
    println!("  2. cargo xtask build-plugin {id}");
    println!("  3. add [[compressor]] with codec = \"{id}\" to an experiment in configs/, then:");
    println!("     cargo xtask run configs/EXPERIMENT.toml");
    Ok(ExitCode::SUCCESS)
}

/// Writes `plugins/<id>` below `root`; a failure leaves nothing behind.
fn write(root: &Path, id: &str) -> Result<()> {
    if !is_plugin_id(id) {
        bail!(
            "{id:?} is no plugin id: expected lower-case letters and digits, parts joined by \
             single hyphens, a letter first, such as \"my-codec\""
        );
    }
    let folder = root.join("plugins").join(id);
    if folder.exists() {
        bail!("plugins/{id} exists already; choose another id or remove that folder");
    }
    let written = write_files(&folder, id);
    if written.is_err() {
        // This call created the folder; the error to report is the one that stopped the writing.
        let _ = fs::remove_dir_all(&folder);
    }
    written
}

fn write_files(folder: &Path, id: &str) -> Result<()> {
    for (path, template) in TEMPLATE {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&file, render(template, id)))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn render(template: &str, id: &str) -> String {
    template
        .replace("{{id}}", id)
        .replace("{{Type}}", &type_name(id))
        .replace("{{crate}}", &format!("strait-{id}"))
}

/// The id as a Rust type name: `my-codec` becomes `MyCodec`.
fn type_name(id: &str) -> String {
    id.split('-')
        .flat_map(|part| {
            let mut letters = part.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_renders_completely() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "my-codec2").unwrap();
        for (path, _) in TEMPLATE {
            let text =
                fs::read_to_string(root.path().join("plugins/my-codec2").join(path)).unwrap();
            assert!(!text.contains("{{") || path.ends_with(".rs"), "{path}: {text}");
            for placeholder in ["{{id}}", "{{Type}}", "{{crate}}"] {
                assert!(!text.contains(placeholder), "{path}: {text}");
            }
        }
        let manifest = root.path().join("plugins/my-codec2/Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("strait-my-codec2"));
        let declared = &manifest["package"]["metadata"]["strait"]["codecs"][0];
        assert_eq!(declared.as_str(), Some("my-codec2"));
        let source = root.path().join("plugins/my-codec2/src/lib.rs");
        assert!(fs::read_to_string(source).unwrap().contains("MyCodec2"));
    }

    #[test]
    fn every_file_of_the_template_folder_is_listed() {
        fn files(folder: &Path, prefix: &str, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.file_type().unwrap().is_dir() {
                    files(&entry.path(), &format!("{name}/"), found);
                } else {
                    found.push(name);
                }
            }
        }
        let mut found = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/plugin"), "", &mut found);
        found.sort();
        let listed: Vec<_> = TEMPLATE.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn bad_ids_and_existing_folders_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let error = write(root.path(), "My_Codec").unwrap_err().to_string();
        assert!(error.contains("is no plugin id"), "{error}");
        write(root.path(), "twice").unwrap();
        let error = write(root.path(), "twice").unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
        assert!(root.path().join("plugins/twice/Cargo.toml").exists());
    }

    #[test]
    fn types_are_camel_case() {
        assert_eq!(type_name("my-codec"), "MyCodec");
        assert_eq!(type_name("nf4"), "Nf4");
        assert_eq!(type_name("a-2-b"), "A2B");
    }
}
