//! The repository's files as the rules see them: every path, and the content of text files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// All paths, relative to the root with `/` between their parts, and the text files.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
    paths: BTreeSet<String>,
}

/// A text file that people wrote.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) text: String,
}

impl SourceFile {
    /// The part of the file's name after its last dot, or `""`.
    pub(super) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or("");
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Extensions of text files.
const TEXT: &[&str] = &["rs", "toml", "md", "py", "sh", "yml", "json", "csv", "svg", "cpp", "h"];

impl Tree {
    /// Reads the tree below `root`. Hidden folders other than `.ci`, `.cargo` and `.github`,
    /// folders named `target`, and everything below `assets/` (other people's data) are skipped.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.add_folder(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// Whether a file or folder with this path exists.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    pub(super) fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(move |file| file.extension() == extension)
    }

    /// The line of a file that contains `needle`, or 1: where to direct the reader.
    pub(super) fn line_of(&self, path: &str, needle: &str) -> usize {
        let line = self.file(path).and_then(|file| {
            file.lines().find(|(_, line)| line.contains(needle)).map(|(number, _)| number)
        });
        line.unwrap_or(1)
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry.with_context(|| folder.display().to_string())?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            if entry.file_type().with_context(|| path.clone())?.is_dir() {
                let hidden = name.starts_with('.');
                let read = !hidden || [".ci", ".cargo", ".github"].contains(&name.as_str());
                if read && name != "target" {
                    self.add_folder(&entry.path(), &format!("{path}/"))?;
                    self.paths.insert(path);
                }
                continue;
            }
            let file = SourceFile { path: path.clone(), text: String::new() };
            let is_text = TEXT.contains(&file.extension()) || path.starts_with(".ci/");
            if is_text && !path.starts_with("assets/") {
                let bytes = fs::read(entry.path()).with_context(|| path.clone())?;
                if let Ok(text) = String::from_utf8(bytes) {
                    self.files.push(SourceFile { text, ..file });
                }
            }
            self.paths.insert(path);
        }
        Ok(())
    }
}

#[cfg(test)]
impl Tree {
    /// A made-up tree of these files and their folders.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            for (end, _) in path.match_indices('/') {
                tree.paths.insert(path[..end].to_owned());
            }
            tree.paths.insert((*path).to_owned());
            tree.files.push(SourceFile { path: (*path).to_owned(), text: (*text).to_owned() });
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_build_output_and_data_are_not() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "crates/a/src/lib.rs",
            "crates/a/target/x.rs",
            ".git/config.toml",
            ".ci/run",
            "assets/README.md",
            "LICENSE",
            "plugins/libstrait_a.so",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        let tree = Tree::read(root.path()).unwrap();
        let read: Vec<_> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(read, [".ci/run", "crates/a/src/lib.rs"]);
        assert!(tree.exists("assets/README.md"));
        assert!(tree.exists("crates/a/src"));
        assert!(!tree.exists("crates/a/target"));
    }

    #[test]
    fn lines_are_found() {
        let tree = Tree::of(&[("a/Cargo.toml", "[package]\nname = \"a\"\n")]);
        assert_eq!(tree.line_of("a/Cargo.toml", "name"), 2);
        assert_eq!(tree.line_of("a/Cargo.toml", "absent"), 1);
        assert_eq!(tree.line_of("absent", "name"), 1);
        assert!(tree.exists("a"));
    }
}
