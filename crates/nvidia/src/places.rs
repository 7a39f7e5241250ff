//! Where toolkits and Python packages are searched for, in order.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sources::{Source, folders, packages, toolkit};

/// Names of the driver's library: as the loader knows it, then where WSL and NixOS place it.
const DRIVERS: &[&str] = &[
    "libcuda.so",
    "libcuda.so.1",
    "/usr/lib/wsl/lib/libcuda.so.1",
    "/run/opengl-driver/lib/libcuda.so.1",
];

/// Names under which cudarc, on which burn's backend is built, loads NVRTC, in its order.
const COMPILERS: &[&str] = &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11"];

/// The places that a process searches; tests make up their own.
#[derive(Clone)]
pub(crate) struct Places {
    /// Environment variables.
    pub(crate) variables: HashMap<OsString, OsString>,
    /// The root of the file system.
    pub(crate) root: PathBuf,
    /// The folder in which headers of several packages are joined.
    pub(crate) cache: PathBuf,
    /// The Python interpreter that is run to list its folders.
    pub(crate) python: OsString,
    /// Names of the driver's library.
    pub(crate) drivers: Vec<OsString>,
    /// Names of NVRTC under which burn's backend loads it.
    pub(crate) compilers: Vec<OsString>,
}

impl Places {
    /// The places of this process.
    pub(crate) fn here() -> Places {
        let cache = dirs::cache_dir().unwrap_or_else(std::env::temp_dir);
        Places {
            variables: std::env::vars_os().collect(),
            root: PathBuf::from("/"),
            cache: cache.join("strait/cuda"),
            python: "python3".into(),
            drivers: DRIVERS.iter().map(OsString::from).collect(),
            compilers: COMPILERS.iter().map(OsString::from).collect(),
        }
    }

    /// An environment variable that is set to a non-empty value.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name)).map(OsString::as_os_str);
        value.filter(|value| !value.is_empty())
    }

    /// The folder from which burn's backend takes headers by default.
    pub(crate) fn assumed(&self) -> Option<PathBuf> {
        if let Some(set) = self.variable("CUDA_PATH") {
            return Some(PathBuf::from(set));
        }
        let usual = ["usr/local/cuda", "opt/cuda"].map(|folder| self.root.join(folder));
        let nvcc = || self.root.join("usr/bin/nvcc").exists();
        let found = usual.into_iter().find(|folder| folder.exists());
        found.or_else(|| nvcc().then(|| self.root.join("usr")))
    }

    /// The sources named by variables and in the usual folders.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let mut sources: Vec<Source> =
            self.toolkits().iter().filter_map(|folder| toolkit(folder)).collect();
        for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
            if let Some(environment) = self.variable(variable) {
                sources.extend(packages(&sites_of(Path::new(environment))));
            }
        }
        sources
    }

    /// The packages of the Python on the path, which is run to list its folders.
    pub(crate) fn of_python(&self) -> Vec<Source> {
        // Its own folders and the user's; not the current one, which an empty entry stands for.
        let program = "import sys; print('\\n'.join(path for path in sys.path if path))";
        let mut python = Command::new(&self.python);
        python.args(["-c", program]).stdin(Stdio::null()).stderr(Stdio::null());
        let Ok(output) = python.output() else { return Vec::new() };
        let text = String::from_utf8_lossy(&output.stdout);
        let sites: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
        packages(&sites)
    }

    /// Folders that may be toolkits, the user's choice first, without repetition.
    fn toolkits(&self) -> Vec<PathBuf> {
        let chosen = ["CUDA_PATH", "CUDA_HOME", "CUDA_ROOT"].map(|name| self.variable(name));
        let mut list: Vec<PathBuf> = chosen.into_iter().flatten().map(PathBuf::from).collect();
        list.extend(self.of_nvcc());
        list.extend(self.variable("CONDA_PREFIX").map(PathBuf::from));
        let local = self.root.join("usr/local");
        list.extend([local.join("cuda"), self.root.join("opt/cuda")]);
        // Folders such as `cuda-12.8`, which no link `cuda` may point to.
        list.extend(folders(&local, |name| name.starts_with("cuda-")).into_iter().rev());
        list.extend(
            ["usr/lib/cuda", "usr/lib/nvidia-cuda-toolkit", "usr"]
                .map(|folder| self.root.join(folder)),
        );
        for machine in
            folders(&self.root.join("opt/nvidia/hpc_sdk"), |name| name.starts_with("Linux_"))
        {
            let releases =
                folders(&machine, |name| name.starts_with(|first: char| first.is_ascii_digit()));
            list.extend(releases.into_iter().rev().map(|release| release.join("cuda")));
        }
        let mut seen = HashSet::new();
        list.retain(|folder| folder.canonicalize().is_ok_and(|real| seen.insert(real)));
        list
    }

    /// The toolkit whose `nvcc` is on the path, as in module systems of clusters.
    fn of_nvcc(&self) -> Option<PathBuf> {
        let path = self.variable("PATH")?;
        let nvcc = std::env::split_paths(path).map(|folder| folder.join("nvcc"));
        let file = nvcc.filter(|file| file.is_file()).find_map(|file| file.canonicalize().ok())?;
        file.parent()?.parent().map(Path::to_owned)
    }
}

/// The sources around a compiler's file: its toolkit, or its packages.
pub(crate) fn around(compiler: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let site = compiler.ancestors().find(|folder| {
        folder.file_name().is_some_and(|name| name == "site-packages" || name == "dist-packages")
    });
    if let Some(site) = site {
        sources.extend(packages(&[site.to_owned()]));
    }
    // `lib64/libnvrtc.so.12`, or `lib/x86_64-linux-gnu/libnvrtc.so.12`.
    let above = compiler.ancestors().skip(1).take(3).filter_map(toolkit);
    sources.extend(above.filter(|source| source.headers.is_some()));
    sources
}

/// The `site-packages` of a virtual environment.
fn sites_of(environment: &Path) -> Vec<PathBuf> {
    let mut sites = Vec::new();
    for library in ["lib", "lib64"] {
        for python in folders(&environment.join(library), |name| name.starts_with("python3")) {
            sites.push(python.join("site-packages"));
        }
    }
    sites
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn found(sources: &[Source], root: &Path) -> Vec<String> {
        let inside =
            |source: &Source| source.place.strip_prefix(root).unwrap().display().to_string();
        sources.iter().map(inside).collect()
    }

    #[test]
    fn usual_folders_are_looked_through_in_order_and_each_once() {
        let root = tempfile::tempdir().unwrap();
        let at = |folder: &str| root.path().join(folder);
        tree::toolkit(&at("usr"), "lib/x86_64-linux-gnu", 12040);
        tree::toolkit(&at("usr/local/cuda-12.6"), "lib64", 12060);
        tree::toolkit(&at("usr/local/cuda-12.8"), "lib64", 12080);
        std::os::unix::fs::symlink("cuda-12.6", at("usr/local/cuda")).unwrap();
        tree::toolkit(&at("opt/nvidia/hpc_sdk/Linux_x86_64/25.1/cuda"), "lib64", 12060);
        let sources = tree::places(root.path()).sources();
        assert_eq!(
            found(&sources, root.path()),
            [
                "usr/local/cuda",
                "usr/local/cuda-12.8",
                "usr",
                "opt/nvidia/hpc_sdk/Linux_x86_64/25.1/cuda"
            ]
        );
    }

    #[test]
    fn a_compilers_file_leads_to_its_headers() {
        let root = tempfile::tempdir().unwrap();
        tree::toolkit(&root.path().join("cuda"), "lib64", 12080);
        let beside = around(&root.path().join("cuda/lib64/libnvrtc.so.12"));
        assert_eq!(found(&beside, root.path()), ["cuda"]);
        let site = root.path().join("python3.12/site-packages");
        tree::wheels_12(&site, 12080);
        let beside = around(&site.join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12"));
        assert_eq!(found(&beside, &site)[0], "nvidia");
    }

    #[test]
    fn a_virtual_environment_has_its_packages() {
        let root = tempfile::tempdir().unwrap();
        let site = root.path().join("lib/python3.12/site-packages");
        tree::wheels_12(&site, 12080);
        assert_eq!(packages(&sites_of(root.path())).len(), 1);
    }
}
