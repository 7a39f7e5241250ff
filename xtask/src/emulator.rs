//! Builds the CUDA emulator (`xtask/cuda-emulator`) with the machine's C++ compiler.

mod compiler;

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use compiler::Compiler;

/// The built libraries, in a folder that `CUDA_PATH` and `LD_LIBRARY_PATH` can name.
#[derive(Debug)]
pub(crate) struct Emulator {
    folder: PathBuf,
}

/// A library or program of the emulator: its file, the folder of its sources, and its options.
struct Product {
    file: &'static str,
    sources: &'static str,
    options: &'static [&'static str],
}

const LIBRARY: &[&str] = &["-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden"];
const PRODUCTS: [Product; 3] = [
    Product { file: "libcuda.so.1", sources: "driver", options: LIBRARY },
    Product { file: "libnvrtc.so.12", sources: "nvrtc", options: LIBRARY },
    Product { file: SELF_TEST, sources: "selftest", options: &["-O1", "-g"] },
];
const SELF_TEST: &str = "selftest";

/// Names under which libraries are looked up, and the folder in which a toolkit has them.
const LINKS: [(&str, &str); 3] =
    [("libcuda.so", "libcuda.so.1"), ("libnvrtc.so", "libnvrtc.so.12"), ("lib64", ".")];

/// Headers of a toolkit that kernels include, or that are expected beside those. They are empty,
/// because `device/device.h` has their content.
const HEADERS: [&str; 12] = [
    "cooperative_groups.h",
    "cooperative_groups/memcpy_async.h",
    "crt/mma.h",
    "cuda/barrier",
    "cuda/pipeline",
    "cuda/ptx",
    "cuda_bf16.h",
    "cuda_fp16.h",
    "cuda_fp8.h",
    "cuda_runtime.h",
    "mma.h",
    "nv/target",
];

/// Options for everything; warnings are errors.
const COMMON: &[&str] = &["-std=c++20", "-Wall", "-Wextra", "-Werror"];

/// Options for kernels. NVRTC also uses C++17 and fuses products and sums; every processor that the
/// emulator supports has these vectors, so that a folder can be moved between machines.
const KERNELS: &[&str] = &[
    "-std=c++17",
    "-O1",
    "-march=x86-64-v3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-fwrapv",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-exceptions",
    "-fno-rtti",
    "-w",
];

/// The last file that a build writes: a hash of everything that went into it.
const BUILD_ID: &str = "build-id";
/// Folder of compiled kernels.
const CACHE: &str = "kernels";
/// Folder for what programs keep in the user's cache folder.
const USER_CACHE: &str = "user-cache";

/// Builds the emulator in the target folder unless it exists; the inner error is the reason why it
/// cannot be built on this machine.
pub(crate) fn build(workspace: &Workspace) -> Result<Result<Emulator, String>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Err("the emulator needs Linux on x86-64".to_owned()));
    }
    let compiler = match compiler::find() {
        Ok(compiler) => compiler,
        Err(reason) => return Ok(Err(reason)),
    };
    let sources = workspace.root.join("xtask/cuda-emulator");
    let emulator = Emulator { folder: workspace.target_directory.join("cuda-emulator") };
    emulator.bring_up_to_date(&sources, &compiler).context("building xtask/cuda-emulator")?;
    Ok(Ok(emulator))
}

impl Emulator {
    /// The environment that lets a process use the emulator for CUDA. What the process caches for the
    /// user says nothing about a card, so it stays in this folder.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("CUDA_PATH", self.folder.clone().into()),
            ("LD_LIBRARY_PATH", self.folder.clone().into()),
            ("EMU_CACHE", self.folder.join(CACHE).into()),
            ("XDG_CACHE_HOME", self.folder.join(USER_CACHE).into()),
        ]
    }

    fn bring_up_to_date(&self, sources: &Path, compiler: &Compiler) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        let lock = File::create(self.folder.join("lock"))?;
        lock.lock().context("waiting for another build")?;
        let id = identity(sources, compiler)?;
        let known = fs::read_to_string(self.folder.join(BUILD_ID)).unwrap_or_default();
        if known == id {
            return Ok(());
        }
        eprintln!("building the CUDA emulator with {compiler}");
        for stale in [CACHE, USER_CACHE, "device", "include"] {
            let path = self.folder.join(stale);
            if path.exists() {
                fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
            }
        }
        self.write_headers(sources)?;
        self.compile_products(sources, compiler)?;
        self.prepare_kernels(compiler)?;
        write(&self.folder.join(BUILD_ID), &id)
    }

    fn write_headers(&self, sources: &Path) -> Result<()> {
        for header in HEADERS {
            let path = self.folder.join("include").join(header);
            fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            write(&path, "// Kernels find what this has in the emulator's device.h.\n")?;
        }
        fs::create_dir_all(self.folder.join("device"))?;
        let own = |path: &Path| {
            let relative = path.strip_prefix(sources).unwrap_or(path);
            fs::copy(path, self.folder.join(relative)).with_context(|| path.display().to_string())
        };
        own(&sources.join("runtime.h"))?;
        for header in files(&sources.join("device"), "h")? {
            own(&header)?;
        }
        for (link, to) in LINKS {
            let link = self.folder.join(link);
            if !link.is_symlink() {
                symbolic_link(to, &link).with_context(|| link.display().to_string())?;
            }
        }
        Ok(())
    }

    /// Libraries are replaced atomically, because a process may have them open.
    fn compile_products(&self, sources: &Path, compiler: &Compiler) -> Result<()> {
        let mut commands = Vec::new();
        for product in &PRODUCTS {
            let made = self.folder.join(product.file).with_extension("new");
            let mut command = compiler.command();
            command.args(COMMON).args(product.options).arg("-o").arg(&made);
            command.args(files(&sources.join(product.sources), "cpp")?).args(["-ldl", "-lpthread"]);
            commands.push(command);
        }
        run_all(commands)?;
        for product in &PRODUCTS {
            let file = self.folder.join(product.file);
            fs::rename(file.with_extension("new"), &file)?;
        }
        Ok(())
    }

    /// Precompiles the headers of kernels and writes the command lines that the NVRTC replacement
    /// reads.
    fn prepare_kernels(&self, compiler: &Compiler) -> Result<()> {
        let ways: [(&str, &[&str]); 2] = [("device", &[]), ("memcheck", compiler.memcheck())];
        let mut commands = Vec::new();
        for (name, extra) in ways {
            let header = self.folder.join(format!("device/{name}.h"));
            let mut command = compiler.command();
            command.args(["-x", "c++-header"]).args(KERNELS).args(extra);
            command.arg("-o").arg(header.with_extension("h.gch")).arg(&header);
            commands.push(command);
            let file = if name == "device" { "kernels.args" } else { "memcheck.args" };
            let header = header.to_str().context("expected a target folder whose name is UTF-8")?;
            let words = compiler.words().iter().map(String::as_str).chain(KERNELS.iter().copied());
            let words = words.chain(extra.iter().copied());
            let words = words.chain(["-shared", "-Wl,-Bsymbolic", "-include", header]);
            let lines: String = words.map(|word| format!("{word}\n")).collect();
            write(&self.folder.join(file), &lines)?;
        }
        run_all(commands)
    }
}

#[cfg(unix)]
fn symbolic_link(to: &str, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, link)
}

#[cfg(not(unix))]
fn symbolic_link(_: &str, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// A hash of the sources, of the compiler's version and of every option.
fn identity(sources: &Path, compiler: &Compiler) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    compiler.to_string().hash(&mut hasher);
    (COMMON, KERNELS, compiler.memcheck(), HEADERS).hash(&mut hasher);
    PRODUCTS.each_ref().map(|product| product.options).hash(&mut hasher);
    let mut all = files(sources, "h")?;
    for folder in ["device", "driver", "nvrtc", "selftest"] {
        for extension in ["h", "cpp"] {
            all.extend(files(&sources.join(folder), extension)?);
        }
    }
    for path in all {
        path.strip_prefix(sources).unwrap_or(&path).hash(&mut hasher);
        fs::read(&path).with_context(|| path.display().to_string())?.hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}

/// The files of a folder with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Runs commands in parallel; all must succeed.
fn run_all(commands: Vec<Command>) -> Result<()> {
    let mut children = Vec::new();
    for mut command in commands {
        let program = command.get_program().to_owned();
        children.push(command.spawn().with_context(|| format!("{}", program.display()))?);
    }
    let mut succeeded = true;
    for mut child in children {
        succeeded &= child.wait().context("waiting for the C++ compiler")?.success();
    }
    if !succeeded {
        bail!("the C++ compiler failed; its messages are above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulator_runs_kernels_with_known_results_and_finds_faults() {
        let workspace = Workspace::load().unwrap();
        let emulator = match build(&workspace).unwrap() {
            Ok(emulator) => emulator,
            Err(reason) => {
                println!("skipped: {reason}");
                return;
            }
        };
        let mut command = Command::new(emulator.folder.join(SELF_TEST));
        command.arg(&emulator.folder).env("EMU_CACHE", emulator.folder.join(CACHE));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.ends_with(" passed, 0 failed\n"), "{text}");
    }

    #[test]
    fn a_change_of_a_source_is_another_build() {
        let folder = tempfile::tempdir().unwrap();
        for sub in ["device", "driver", "nvrtc", "selftest"] {
            fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let compiler = Compiler::named("g++", "g++ 12");
        let before = identity(folder.path(), &compiler).unwrap();
        assert_eq!(identity(folder.path(), &compiler).unwrap(), before);
        let newer = Compiler::named("g++", "g++ 13");
        assert_ne!(identity(folder.path(), &newer).unwrap(), before);
        fs::write(folder.path().join("device/device.h"), "// x\n").unwrap();
        assert_ne!(identity(folder.path(), &compiler).unwrap(), before);
    }
}
