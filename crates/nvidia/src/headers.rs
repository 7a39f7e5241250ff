//! CUDA's headers: what kernels include, whether a folder contains it, and how to join the folders
//! of several Python packages into one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::NvidiaError;
use crate::packages::Part;
use crate::version::Version;

/// What kernels include, and what those files include from another package.
const NEEDED: &[(&str, Part)] = &[
    ("cuda_runtime.h", Part::Runtime),
    ("cuda_fp16.h", Part::Runtime),
    ("cuda_bf16.h", Part::Runtime),
    ("mma.h", Part::Runtime),
    ("cooperative_groups/memcpy_async.h", Part::Runtime),
    ("crt/mma.h", Part::Crt),
    ("nv/target", Part::Cccl),
    ("cuda/barrier", Part::Cccl),
];

/// The file that names CUDA's version.
const VERSION_FILE: &str = "cuda_runtime_api.h";

/// Where headers are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Headers {
    /// In `include` below a folder, and in `include/cccl`, as burn's backend expects them.
    Root(PathBuf),
    /// In a separate folder for each part.
    Parts {
        /// The folder of `cuda_runtime.h`.
        runtime: Option<PathBuf>,
        /// The folder that contains `crt`.
        crt: Option<PathBuf>,
        /// The folder of `cuda/barrier`.
        cccl: Option<PathBuf>,
    },
}

impl Headers {
    /// The missing files, with the part that they belong to.
    pub(crate) fn missing(&self) -> Vec<(&'static str, Part)> {
        NEEDED.iter().filter(|(file, _)| !self.has(file)).copied().collect()
    }

    /// The CUDA version according to one of the runtime's headers.
    pub(crate) fn version(&self) -> Option<Version> {
        let folders = self.folders();
        let text = folders
            .iter()
            .find_map(|folder| std::fs::read_to_string(folder.join(VERSION_FILE)).ok())?;
        let mut words = text.lines().map(|line| line.split_whitespace());
        let number = words.find_map(|mut words| {
            let named = words.next() == Some("#define") && words.next() == Some("CUDART_VERSION");
            if named { words.next()?.parse().ok() } else { None }
        })?;
        Some(Version::from_number(number))
    }

    /// The folder whose `include` contains them; for separate parts it is created in `cache`.
    pub(crate) fn root(&self, cache: &Path) -> Result<PathBuf, NvidiaError> {
        match self {
            Headers::Root(root) => Ok(root.clone()),
            Headers::Parts { runtime, crt, cccl } => {
                let name = self.name();
                let parts = [runtime.as_deref(), crt.as_deref(), cccl.as_deref()];
                let joined = join(parts, cache, &name);
                joined.map_err(|error| NvidiaError::Cache {
                    folder: cache.to_owned(),
                    reason: error.to_string(),
                })
            }
        }
    }

    fn has(&self, file: &str) -> bool {
        self.folders().iter().any(|folder| folder.join(file).is_file())
    }

    fn folders(&self) -> Vec<PathBuf> {
        match self {
            Headers::Root(root) => {
                let include = root.join("include");
                vec![include.join("cccl"), include]
            }
            Headers::Parts { runtime, crt, cccl } => {
                [runtime, crt, cccl].into_iter().flatten().cloned().collect()
            }
        }
    }

    /// A folder name that is unique to these parts.
    fn name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.folders().hash(&mut hasher);
        let version = self.version().map_or("unknown".to_owned(), |version| version.to_string());
        format!("{version}-{:08x}", hasher.finish() >> 32)
    }
}

/// Links the parts into a folder of `cache`, unless that exists.
///
/// The folder is created beside its place and moved there, so that neither a concurrent program nor
/// a killed one leaves anything half-made.
fn join(parts: [Option<&Path>; 3], cache: &Path, name: &str) -> io::Result<PathBuf> {
    let place = cache.join(name);
    let joined = Headers::Root(place.clone());
    if joined.missing().is_empty() {
        return Ok(place);
    }
    let making = cache.join(format!(".{name}.{}", std::process::id()));
    remove(&making)?;
    let include = making.join("include");
    std::fs::create_dir_all(&include)?;
    let [runtime, crt, cccl] = parts;
    if let Some(runtime) = runtime {
        for entry in std::fs::read_dir(runtime)? {
            let entry = entry?;
            link(&entry.path(), &include.join(entry.file_name()))?;
        }
    }
    if let Some(crt) = crt {
        remove(&include.join("crt"))?;
        link(&crt.join("crt"), &include.join("crt"))?;
    }
    if let Some(cccl) = cccl {
        remove(&include.join("cccl"))?;
        link(cccl, &include.join("cccl"))?;
    }
    // The existing folder is an older one with dangling links, or was just created by another
    // program.
    if !joined.missing().is_empty() {
        remove(&place)?;
    }
    match std::fs::rename(&making, &place) {
        Err(_) if joined.missing().is_empty() => remove(&making)?,
        outcome => outcome?,
    }
    Ok(place)
}

/// Removes a folder or a link, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(data) if data.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    }
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{HEADERS_OF_WHEELS, put, wheels_12};

    fn parts(site: &Path) -> Headers {
        let folder = |name: &str| Some(site.join("nvidia").join(name).join("include"));
        Headers::Parts {
            runtime: folder("cuda_runtime"),
            crt: folder("cuda_nvcc"),
            cccl: folder("cuda_cccl"),
        }
    }

    #[test]
    fn each_needed_file_is_missed_with_its_part() {
        let site = tempfile::tempdir().unwrap();
        wheels_12(site.path(), 12080);
        let headers = parts(site.path());
        assert_eq!(headers.missing(), []);
        assert_eq!(headers.version(), Some(Version::new(12, 8)));
        for (file, (needed, part)) in HEADERS_OF_WHEELS.iter().zip(NEEDED) {
            let file = site.path().join(file);
            std::fs::remove_file(&file).unwrap();
            assert_eq!(headers.missing(), [(*needed, *part)]);
            put(&file, "");
        }
    }

    #[test]
    fn parts_become_one_folder_and_stay_so() {
        let site = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        wheels_12(site.path(), 12080);
        let headers = parts(site.path());
        let root = headers.root(cache.path()).unwrap();
        assert!(root.file_name().unwrap().to_str().unwrap().starts_with("12.8-"), "{root:?}");
        assert_eq!(Headers::Root(root.clone()).missing(), []);
        assert_eq!(Headers::Root(root.clone()).version(), Some(Version::new(12, 8)));
        let made = std::fs::metadata(&root).unwrap().modified().unwrap();
        assert_eq!(headers.root(cache.path()).unwrap(), root);
        assert_eq!(std::fs::metadata(&root).unwrap().modified().unwrap(), made);
        // No temporary files are left.
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_folder_is_made_again() {
        let site = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        wheels_12(site.path(), 12080);
        let root = parts(site.path()).root(cache.path()).unwrap();
        std::fs::remove_file(root.join("include/crt")).unwrap();
        assert!(!Headers::Root(root.clone()).missing().is_empty());
        assert_eq!(parts(site.path()).root(cache.path()).unwrap(), root);
        assert_eq!(Headers::Root(root).missing(), []);
    }

    #[test]
    fn other_packages_get_another_folder() {
        let cache = tempfile::tempdir().unwrap();
        let roots = [(); 2].map(|()| {
            let site = tempfile::tempdir().unwrap();
            wheels_12(site.path(), 12080);
            parts(site.path()).root(cache.path()).unwrap()
        });
        assert_ne!(roots[0], roots[1]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let site = tempfile::tempdir().unwrap();
        wheels_12(site.path(), 12080);
        let file = site.path().join("file");
        put(&file, "");
        let error = parts(site.path()).root(&file.join("cuda")).unwrap_err();
        assert!(error.to_string().contains("/file/cuda: cannot be written ("), "{error}");
    }
}
