//! Where the paths of an experiment file lead.
//!
//! A relative path to something that exists (model, text, plugins, artifact) is looked up from the
//! current directory, as in a shell; if nothing is there, from the folder of the experiment file
//! and then from each folder above it. So a file that is kept in a repository also works when it
//! is started from elsewhere. What comes with strait itself (`assets`, `plugins`) is found from any experiment file: in the
//! folder that `STRAIT_ASSETS` names, beside the program, in `../share/strait` of an installed one, or in the checkout that
//! built it. The results folder is always taken from the current directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Experiment;

impl Experiment {
    /// The folder from which a relative path of this file is taken: the first of the current
    /// directory, the experiment file's folder and the folders above it, and the program's own folders, in which
    /// the path exists; the current directory (an empty path) if it exists in none, or is absolute.
    #[must_use]
    pub fn base_dir(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if path.is_absolute() || path.exists() {
            return PathBuf::new();
        }
        let file = std::path::absolute(self.file()).unwrap_or_default();
        let above = file.ancestors().skip(1).map(Path::to_owned);
        let own = own_folders(std::env::current_exe().ok(), std::env::var_os("STRAIT_ASSETS"));
        above.chain(own).find(|folder| folder.join(path).exists()).unwrap_or_default()
    }

    /// A path of this file, joined to its [`Experiment::base_dir`].
    #[must_use]
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base_dir(&path).join(path)
    }

    /// The folder of the named data sets: `given`, else what `STRAIT_ASSETS` names, else `assets`.
    #[must_use]
    pub fn assets(&self, given: Option<PathBuf>) -> PathBuf {
        let named = || std::env::var_os("STRAIT_ASSETS").map(PathBuf::from);
        given.or_else(named).unwrap_or_else(|| self.resolve("assets"))
    }

    /// The folder for results: `output.dir`, or `results/<name>`.
    #[must_use]
    pub fn output_dir(&self) -> PathBuf {
        self.output.dir.clone().unwrap_or_else(|| Path::new("results").join(&self.name))
    }
}

/// The folders in which `assets` and `plugins` of strait itself may lie: for a `program` in `DIR`, `DIR`, `DIR/../share/strait`, and the
/// checkout if `DIR` is its `target/release`. A folder of assets that is named `assets` stands for the one that it is in.
fn own_folders(program: Option<PathBuf>, assets: Option<OsString>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let assets = assets.map(PathBuf::from).filter(|folder| folder.ends_with("assets"));
    folders.extend(assets.as_deref().and_then(Path::parent).map(Path::to_owned));
    let program = program.and_then(|program| program.canonicalize().ok());
    if let Some(folder) = program.as_deref().and_then(Path::parent) {
        folders.extend([folder.to_owned(), folder.join("../share/strait")]);
        if folder.ends_with("target/release") {
            folders.push(folder.join("../.."));
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_comes_with_the_program_is_found() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for program in ["bin/strait", "repo/target/release/strait"] {
            let program = root.join(program);
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            fs::write(program, "").unwrap();
        }
        let of = |program: &str, assets: Option<&str>| {
            own_folders(Some(root.join(program)), assets.map(OsString::from))
        };
        let (bin, release) = (root.join("bin"), root.join("repo/target/release"));
        assert_eq!(of("bin/strait", None), [bin.clone(), bin.join("../share/strait")]);
        assert_eq!(of("repo/target/release/strait", None)[2], release.join("../.."));
        assert_eq!(of("bin/strait", Some("/data/assets"))[0], Path::new("/data"));
        assert_eq!(of("bin/strait", Some("/data/texts"))[0], bin);
        assert_eq!(own_folders(None, None), [] as [PathBuf; 0]);
    }
}
