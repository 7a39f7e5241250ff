//! Where the paths of an experiment file lead.
//!
//! A relative path to something that exists (model, text, plugins, artifact) is looked up from the
//! current directory, as in a shell; if nothing is there, from the folder of the experiment file
//! and then from each folder above it. So a file that is kept in a repository also works when it
//! is started from elsewhere. The results folder is always taken from the current directory.

use std::path::{Path, PathBuf};

use crate::Experiment;

impl Experiment {
    /// The folder from which a relative path of this file is taken: the first of the current
    /// directory, the experiment file's folder and the folders above it in which the path exists;
    /// the current directory (an empty path) if it exists in none, or is absolute.
    #[must_use]
    pub fn base_dir(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if path.is_absolute() || path.exists() {
            return PathBuf::new();
        }
        let file = std::path::absolute(self.file()).unwrap_or_default();
        let base = file.ancestors().skip(1).find(|folder| folder.join(path).exists());
        base.map(Path::to_owned).unwrap_or_default()
    }

    /// A path of this file, joined to its [`Experiment::base_dir`].
    #[must_use]
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base_dir(&path).join(path)
    }

    /// The folder for results: `output.dir`, or `results/<name>`.
    #[must_use]
    pub fn output_dir(&self) -> PathBuf {
        self.output.dir.clone().unwrap_or_else(|| Path::new("results").join(&self.name))
    }
}
