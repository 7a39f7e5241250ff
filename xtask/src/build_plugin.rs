//! `cargo xtask build-plugin`: builds plugins and puts their libraries where the host looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cargo::{self, Lock, Product};
use crate::plugins::{self, Plugin};
use crate::workspace::Workspace;

/// Build plugins and copy their libraries into plugins/
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Plugins to build: names of folders under plugins/
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Build every plugin, except those with `bundle = false` in their Cargo.toml
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let known = plugins::all(&workspace)?;
    let selected = if args.all { bundled(&known) } else { plugins::select(&known, &args.ids)? };
    build(&workspace, &selected, Lock::MayChange)?;
    Ok(ExitCode::SUCCESS)
}

/// The plugins that `--all` builds.
pub(crate) fn bundled<'a>(plugins: &[Plugin<'a>]) -> Vec<Plugin<'a>> {
    plugins.iter().filter(|plugin| plugin.table.bundle).cloned().collect()
}

/// Builds these plugins and installs each library in the workspace's `plugins/` folder.
pub(crate) fn build(
    workspace: &Workspace,
    plugins: &[Plugin<'_>],
    lock: Lock,
) -> Result<Vec<PathBuf>> {
    let folder = workspace.root.join("plugins");
    let mut installed = Vec::new();
    for plugin in plugins {
        if !plugin.table.bundle {
            bail!("plugin {:?} has bundle = false: it is for tests only", plugin.id);
        }
        let library = cargo::build(workspace, plugin.package, Product::SharedLibrary, lock)?;
        let target = install(&library, &folder)?;
        let bytes = fs::metadata(&target)?.len();
        let shown = target.strip_prefix(&workspace.root).unwrap_or(&target);
        eprintln!("{}: {bytes} bytes", shown.display());
        installed.push(target);
    }
    Ok(installed)
}

/// Copies `library` into `folder` atomically: a host that has the old file mapped keeps it.
fn install(library: &Path, folder: &Path) -> Result<PathBuf> {
    let name = library.file_name().context("a library has a file name")?;
    let target = folder.join(name);
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(temporary);
    let copied = fs::copy(library, &temporary).and_then(|_| fs::rename(&temporary, &target));
    if let Err(error) = copied {
        // The copy may have failed before the file existed; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(error)
            .with_context(|| format!("copying {} to {}", library.display(), folder.display()));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_replaces_the_file_and_leaves_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let library = root.path().join("libstrait_x.so");
        let folder = root.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        for content in ["old", "new"] {
            fs::write(&library, content).unwrap();
            let target = install(&library, &folder).unwrap();
            assert_eq!(fs::read_to_string(target).unwrap(), content);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn an_open_file_keeps_its_old_content() {
        use std::io::Read;

        let root = tempfile::tempdir().unwrap();
        let library = root.path().join("libstrait_x.so");
        let folder = root.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        fs::write(&library, "old").unwrap();
        let mut open = fs::File::open(install(&library, &folder).unwrap()).unwrap();
        fs::write(&library, "new").unwrap();
        install(&library, &folder).unwrap();
        let mut seen = String::new();
        open.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "old");
    }

    #[test]
    fn a_failed_copy_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("libstrait_x.so");
        let folder = root.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        let error = install(&missing, &folder).unwrap_err().to_string();
        assert!(error.starts_with("copying "), "{error}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
