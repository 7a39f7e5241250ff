//! Places that contain a compiler or headers: toolkits, and the Python packages of an environment.

use std::path::{Path, PathBuf};

use crate::headers::Headers;

/// A place that contains a compiler, headers, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The folder under the name that the user knows.
    pub(crate) place: PathBuf,
    /// NVRTC's file.
    pub(crate) compiler: Option<PathBuf>,
    pub(crate) headers: Option<Headers>,
    /// Whether it consists of Python packages, so that further packages complete it.
    pub(crate) packages: bool,
}

/// The contents of a folder as a toolkit: from NVIDIA's installer, a distribution or conda.
pub(crate) fn toolkit(root: &Path) -> Option<Source> {
    let targets = folders(&root.join("targets"), |name| name.ends_with("-linux"));
    let mut libraries = vec![root.join("lib64"), root.join("lib")];
    libraries.extend(folders(&root.join("lib"), |name| name.ends_with("-linux-gnu")));
    libraries.extend(targets.iter().map(|target| target.join("lib")));
    libraries.push(root.to_owned());
    let compiler = libraries.iter().find_map(|folder| compiler_in(folder));
    let mut roots = std::iter::once(root.to_owned()).chain(targets);
    let headers = roots.find(|root| root.join("include/cuda_runtime.h").is_file());
    // A compiler may have all its headers built in.
    let bare = || compiler.is_some() && root.join("include").is_dir();
    let headers = headers.or_else(|| bare().then(|| root.to_owned())).map(Headers::Root);
    if compiler.is_none() && headers.is_none() {
        return None;
    }
    Some(Source { place: root.to_owned(), compiler, headers, packages: false })
}

/// The contents of the `site-packages` of one Python environment; each part comes from the first site
/// that has it.
pub(crate) fn packages(sites: &[PathBuf]) -> Vec<Source> {
    let mut sources = Vec::new();
    // Since CUDA 13 the packages share one folder, which is a toolkit.
    for site in sites {
        let shared = folders(&site.join("nvidia"), |name| {
            name.strip_prefix("cu").is_some_and(|rest| rest.parse::<u32>().is_ok())
        });
        let toolkits = shared.iter().filter_map(|folder| toolkit(folder));
        sources.extend(toolkits.map(|source| Source { packages: true, ..source }));
    }
    let first =
        |inside: &str| sites.iter().map(|site| site.join(inside)).find(|path| path.is_dir());
    let compiler = first("nvidia/cuda_nvrtc/lib").and_then(|folder| compiler_in(&folder));
    let runtime = first("nvidia/cuda_runtime/include");
    let crt = first("nvidia/cuda_nvcc/include/crt")
        .and_then(|folder| folder.parent().map(Path::to_owned));
    let cccl = first("nvidia/cuda_cccl/include");
    let any = runtime.is_some() || crt.is_some() || cccl.is_some();
    let headers = any.then_some(Headers::Parts { runtime, crt, cccl });
    let holds = |site: &&PathBuf| {
        ["cuda_nvrtc", "cuda_runtime", "cuda_nvcc", "cuda_cccl"]
            .iter()
            .any(|part| site.join("nvidia").join(part).is_dir())
    };
    if (compiler.is_some() || headers.is_some())
        && let Some(site) = sites.iter().find(holds)
    {
        sources.push(Source { place: site.join("nvidia"), compiler, headers, packages: true });
    }
    sources
}

/// NVRTC's file in a folder: the one under the name that programs load.
fn compiler_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = files(folder)
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            let major = name.strip_prefix("libnvrtc.so.")?.parse().ok()?;
            Some((major, path))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// The folders in a folder whose names are accepted, sorted.
pub(crate) fn folders(folder: &Path, accept: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(&accept) && path.is_dir()
    };
    let mut found: Vec<PathBuf> = files(folder).filter(named).collect();
    found.sort();
    found
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use crate::version::Version;

    #[test]
    fn a_toolkit_is_found_in_each_layout() {
        for libraries in ["lib64", "lib", "lib/x86_64-linux-gnu", "targets/sbsa-linux/lib"] {
            let root = tempfile::tempdir().unwrap();
            tree::toolkit(root.path(), libraries, 12060);
            let found = toolkit(root.path()).unwrap();
            let compiler = root.path().join(libraries).join("libnvrtc.so.12");
            assert_eq!(found.compiler, Some(compiler), "{libraries}");
            assert_eq!(found.headers, Some(Headers::Root(root.path().to_owned())));
        }
    }

    #[test]
    fn condas_headers_are_those_of_its_target() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("targets/x86_64-linux");
        tree::toolkit(&target, "lib", 12080);
        tree::put(&root.path().join("lib/libnvrtc.so.12"), "");
        let found = toolkit(root.path()).unwrap();
        assert_eq!(found.compiler, Some(root.path().join("lib/libnvrtc.so.12")));
        assert_eq!(found.headers, Some(Headers::Root(target)));
    }

    #[test]
    fn a_folder_without_cuda_is_none() {
        let root = tempfile::tempdir().unwrap();
        tree::put(&root.path().join("include/stdio.h"), "");
        tree::put(&root.path().join("lib/libnvrtc-builtins.so.12.8"), "");
        assert_eq!(toolkit(root.path()), None);
        assert_eq!(packages(&[root.path().to_owned()]), []);
    }

    #[test]
    fn packages_of_cuda_12_are_joined_over_sites() {
        let (site, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tree::wheels_12(site.path(), 12080);
        std::fs::rename(site.path().join("nvidia/cuda_cccl"), other.path().join("cuda_cccl"))
            .unwrap();
        let sites = [site.path().to_owned(), other.path().to_owned()];
        let found = packages(&sites);
        assert_eq!(found.len(), 1);
        let missing = found[0].headers.as_ref().unwrap().missing();
        assert_eq!(
            missing.iter().map(|(file, _)| *file).collect::<Vec<_>>(),
            ["nv/target", "cuda/barrier"]
        );
        std::fs::create_dir(other.path().join("nvidia")).unwrap();
        std::fs::rename(other.path().join("cuda_cccl"), other.path().join("nvidia/cuda_cccl"))
            .unwrap();
        let found = packages(&sites);
        assert_eq!(found[0].headers.as_ref().unwrap().missing(), []);
        assert_eq!(found[0].place, site.path().join("nvidia"));
        // The slower variant beside it is not chosen.
        let compiler = site.path().join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
        assert_eq!(found[0].compiler, Some(compiler));
    }

    #[test]
    fn packages_of_cuda_13_are_a_toolkit() {
        let site = tempfile::tempdir().unwrap();
        let root = site.path().join("nvidia/cu13");
        tree::toolkit(&root, "lib", 13000);
        let found = packages(&[site.path().to_owned()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].compiler, Some(root.join("lib/libnvrtc.so.13")));
        assert_eq!(found[0].headers, Some(Headers::Root(root.clone())));
        assert_eq!(found[0].headers.as_ref().unwrap().version(), Some(Version::new(13, 0)));
        assert!(found[0].packages);
    }
}
