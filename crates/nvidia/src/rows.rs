//! A test for each thing that can be missing: a machine is made up from stub libraries, one thing is
//! removed, and the error must name it and what installs it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use crate::places::Places;
use crate::search::prepare;
use crate::{Machine, NvidiaError, Version, tree};

/// A machine with a driver, a card and, unless a test removes it, a toolkit.
struct World {
    folder: TempDir,
    places: Places,
    /// The value that `CUDA_PATH` was given.
    set: Mutex<Option<PathBuf>>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let places = tree::places(folder.path());
        World { folder, places, set: Mutex::new(None) }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Adds the driver's library, compiled with these definitions.
    fn driver(self, definitions: &[&str]) -> World {
        compile("cuda.c", &self.at("driver/libcuda.so.1"), "libcuda.so.1", definitions);
        self
    }

    /// Adds NVRTC as a file. No program loads this soname, so the machine's own is never used.
    fn compiler(&self, file: &str, definitions: &[&str]) -> OsString {
        let soname = format!("libmade-up-{:x}.so", std::ptr::from_ref(&self.set).addr());
        let file = self.at(file);
        compile("nvrtc.c", &file, &soname, definitions);
        soname.into()
    }

    /// Adds a complete toolkit of CUDA 12.8 in the usual folder, whose NVRTC burn's backend loads by
    /// name.
    fn toolkit(mut self) -> World {
        tree::toolkit(&self.at("usr/local/cuda"), "lib64", 12080);
        self.places.compilers = vec![self.compiler("usr/local/cuda/lib64/libnvrtc.so.12", &[])];
        self
    }

    fn python(self, site: &Path) -> World {
        let script = self.at("no-python");
        tree::put(&script, &format!("#!/bin/sh\necho\necho {}\n", site.display()));
        let status = Command::new("chmod").arg("+x").arg(&script).status().unwrap();
        assert!(status.success());
        self
    }

    fn variable(mut self, name: &str, value: impl Into<OsString>) -> World {
        self.places.variables.insert(name.into(), value.into());
        self
    }

    fn find(&self) -> Result<Machine, NvidiaError> {
        let set = |name: &str, value: &Path| {
            assert_eq!(name, "CUDA_PATH");
            *self.set.lock().unwrap() = Some(value.to_owned());
            true
        };
        prepare(self.places.clone(), &set)?.finish(&set)
    }

    /// The message and remedy for card 0.
    fn says(&self) -> (String, String) {
        let error = match self.find() {
            Ok(machine) => machine.card(0).map(|card| card.name.clone()).unwrap_err(),
            Err(error) => error,
        };
        (error.to_string(), error.remedy().to_string())
    }
}

fn compile(source: &str, file: &Path, soname: &str, definitions: &[&str]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("stubs").join(source);
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(file)
        .arg(source)
        .arg(format!("-Wl,-soname,{soname}"))
        .args(definitions.iter().map(|definition| format!("-D{definition}")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_whole_machine_can_be_used() {
    let world = World::new().driver(&["COUNT=2"]).toolkit();
    let machine = world.find().unwrap();
    assert_eq!(machine.driver, Version::new(12, 8));
    assert_eq!(machine.cards.len(), 2);
    let card = machine.card(1).unwrap();
    assert_eq!((card.index, card.name.as_str()), (1, "NVIDIA Stub"));
    assert_eq!((card.capability, card.memory_bytes), (Version::new(10, 0), 80 << 30));
    let toolkit = machine.toolkit.as_ref().unwrap();
    assert_eq!(toolkit.compiler, Version::new(12, 8));
    assert_eq!(toolkit.file, Some(world.at("usr/local/cuda/lib64/libnvrtc.so.12")));
    assert_eq!(toolkit.root, world.at("usr/local/cuda"));
    // burn's backend looks there by default.
    assert_eq!(*world.set.lock().unwrap(), None);
    let error = machine.card(2).unwrap_err();
    assert_eq!(error.to_string(), "expected an index below 2, the number of CUDA devices, found 2");
}

#[test]
fn no_driver() {
    let (what, remedy) = World::new().toolkit().says();
    assert_eq!(what, "no NVIDIA driver (libcuda.so.1 cannot be loaded)");
    assert!(remedy.starts_with("install NVIDIA's driver"), "{remedy}");
}

#[test]
fn a_driver_that_does_not_start() {
    let (what, remedy) = World::new().driver(&["INIT=803"]).toolkit().says();
    let reason = "system has unsupported display driver / cuda driver combination (CUDA error 803)";
    assert_eq!(what, format!("the NVIDIA driver does not start: {reason}"));
    assert!(remedy.starts_with("restart the machine"), "{remedy}");
    let (_, remedy) = World::new().driver(&["INIT=34"]).toolkit().says();
    assert!(remedy.contains("\"stubs\" out of LD_LIBRARY_PATH"), "{remedy}");
}

#[test]
fn a_driver_without_a_card() {
    for definition in ["INIT=100", "COUNT=0"] {
        let (what, remedy) = World::new().driver(&[definition]).toolkit().says();
        assert_eq!(what, "the NVIDIA driver shows no card");
        assert!(remedy.contains("nvidia-smi -L"), "{remedy}");
    }
    let world = World::new().driver(&["INIT=100"]).variable("CUDA_VISIBLE_DEVICES", "");
    let error = world.find().unwrap_err();
    assert!(error.is_absence());
    assert_eq!(
        error.line(),
        "the NVIDIA driver shows no card: CUDA_VISIBLE_DEVICES hides them; run `unset \
         CUDA_VISIBLE_DEVICES`"
    );
}

#[test]
fn a_driver_of_an_old_cuda() {
    let (what, remedy) = World::new().driver(&["VERSION=12020"]).toolkit().says();
    assert_eq!(what, "the NVIDIA driver runs CUDA up to 12.2: expected 12.4 or later");
    assert!(remedy.starts_with("update NVIDIA's driver to 550"), "{remedy}");
}

#[test]
fn no_compiler() {
    let (what, remedy) = World::new().driver(&[]).says();
    assert_eq!(what, "NVRTC, which compiles kernels, is missing");
    assert_eq!(
        remedy,
        "run `python3 -m pip install nvidia-cuda-nvrtc-cu12~=12.8.0 nvidia-cuda-runtime-cu12~=12.8.0 \
         nvidia-cuda-nvcc-cu12~=12.8.0 nvidia-cuda-cccl-cu12~=12.8.0`"
    );
}

#[test]
fn a_compiler_that_is_no_library() {
    let world = World::new().driver(&[]);
    tree::toolkit(&world.at("opt/cuda"), "lib64", 12080);
    let (what, _) = world.says();
    assert!(what.starts_with("NVRTC is in "), "{what}");
    assert!(what.contains("opt/cuda/lib64/libnvrtc.so.12 but cannot be used: "), "{what}");
}

#[test]
fn a_compiler_newer_than_the_driver() {
    let (what, remedy) = World::new().driver(&["VERSION=12040"]).toolkit().says();
    assert_eq!(
        what,
        "NVRTC is that of CUDA 12.8, and the driver runs CUDA up to 12.4: expected an NVRTC that is \
         not newer than the driver"
    );
    assert!(remedy.contains("nvidia-cuda-nvrtc-cu12~=12.4.0"), "{remedy}");
}

#[test]
fn a_card_older_than_the_compiler() {
    let mut world = World::new().driver(&["VERSION=13000", "CAPABILITY=70", "COUNT=2"]);
    tree::toolkit(&world.at("usr/local/cuda"), "lib64", 13000);
    let definitions = ["MAJOR=13", "MINOR=0", "FIRST=75"];
    let file = "usr/local/cuda/lib64/libnvrtc.so.13";
    world.places.compilers = vec![world.compiler(file, &definitions)];
    let (what, remedy) = world.says();
    assert_eq!(
        what,
        "NVRTC of CUDA 13.0 does not compile for NVIDIA Stub, whose compute capability is 7.0"
    );
    assert!(remedy.contains("nvidia-cuda-nvrtc-cu12~=12.8.0"), "{remedy}");
    // The other card, of compute capability 8.0, is unaffected.
    assert_eq!(world.find().unwrap().card(1).unwrap().capability, Version::new(8, 0));
}

#[test]
fn no_headers() {
    let world = World::new().driver(&[]).toolkit();
    std::fs::remove_dir_all(world.at("usr/local/cuda/include")).unwrap();
    let (what, remedy) = world.says();
    assert!(
        what.starts_with("CUDA's headers for NVRTC 12.8 are missing: cuda_runtime.h, "),
        "{what}"
    );
    assert_eq!(
        remedy,
        "run `python3 -m pip install nvidia-cuda-runtime-cu12~=12.8.0 nvidia-cuda-nvcc-cu12~=12.8.0 \
         nvidia-cuda-cccl-cu12~=12.8.0`"
    );
}

#[test]
fn a_header_that_kernels_include() {
    for header in ["cuda_bf16.h", "mma.h", "cccl/cuda/barrier"] {
        let world = World::new().driver(&[]).toolkit();
        std::fs::remove_file(world.at("usr/local/cuda/include").join(header)).unwrap();
        let (what, _) = world.says();
        let header = header.trim_start_matches("cccl/");
        let place = world.at("usr/local/cuda");
        assert_eq!(
            what,
            format!(
                "CUDA's headers for NVRTC 12.8 are missing: {header} (looked in {} too)",
                place.display()
            )
        );
    }
}

#[test]
fn the_packages_of_pytorch_and_those_that_it_lacks() {
    let site = tempfile::tempdir().unwrap();
    tree::wheels_12(site.path(), 12080);
    let lacking = ["cuda_nvcc", "cuda_cccl"].map(|part| site.path().join("nvidia").join(part));
    let kept = lacking.each_ref().map(|folder| folder.with_extension("away"));
    lacking.iter().zip(&kept).for_each(|(from, to)| std::fs::rename(from, to).unwrap());
    let mut world = World::new().driver(&[]).python(site.path());
    let library = site.path().join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
    world.places.compilers = vec![world.compiler(library.to_str().unwrap(), &[])];
    let (what, remedy) = world.says();
    assert!(what.contains("12.8 are missing: crt/mma.h, nv/target, "), "{what}");
    let expected =
        "run `python3 -m pip install nvidia-cuda-nvcc-cu12~=12.8.0 nvidia-cuda-cccl-cu12~=12.8.0`";
    assert_eq!(remedy, expected);
    lacking.iter().zip(&kept).for_each(|(to, from)| std::fs::rename(from, to).unwrap());
    let machine = world.find().unwrap();
    let toolkit = machine.toolkit.unwrap();
    assert_eq!(toolkit.file, Some(library));
    // The headers of three packages are joined in the cache, and burn's backend is pointed there.
    assert!(toolkit.root.starts_with(world.at("cache")), "{toolkit:?}");
    assert!(toolkit.root.join("include/cccl/cuda/barrier").is_file());
    assert_eq!(*world.set.lock().unwrap(), Some(toolkit.root));
}

#[test]
fn headers_inside_the_compiler() {
    let mut world = World::new().driver(&[]);
    tree::put(&world.at("own/include/own.h"), "");
    world.places.compilers = vec![world.compiler("own/libnvrtc.so.12", &[])];
    let world = world.variable("CUDA_PATH", "");
    let own = world.at("own");
    let world = world.variable("CUDA_PATH", &own);
    assert_eq!(world.find().unwrap().toolkit.unwrap().root, own);
    std::fs::remove_file(own.join("include/own.h")).unwrap();
    assert!(world.says().0.contains("headers for NVRTC 12.8 are missing"));
}

#[test]
fn a_folder_that_the_user_chose_in_vain() {
    let world = World::new().driver(&[]).toolkit();
    tree::put(&world.at("chosen/include/nothing.h"), "");
    let chosen = world.at("chosen");
    let world = world.variable("CUDA_PATH", chosen);
    assert_eq!(world.find().unwrap().toolkit.unwrap().root, world.at("usr/local/cuda"));
    assert_eq!(*world.set.lock().unwrap(), Some(world.at("usr/local/cuda")));
}

#[test]
fn another_compiler_is_found_first() {
    let mut world = World::new().driver(&["VERSION=12080"]).toolkit();
    let newer = ["MAJOR=13", "MINOR=0"];
    compile("nvrtc.c", &world.at("other/libnvrtc.so"), "libnvrtc-other.so", &newer);
    world.places.compilers.insert(0, world.at("other/libnvrtc.so").into());
    let (what, remedy) = world.says();
    assert!(what.starts_with("NVRTC of CUDA 12.8 would do ("), "{what}");
    assert_eq!(remedy, "take the other's folder out of LD_LIBRARY_PATH");
}

#[test]
fn threads_that_may_read_the_environment() {
    let world = World::new().driver(&[]).toolkit();
    let root = world.at("usr/local/cuda");
    std::fs::rename(&root, world.at("usr/local/cuda-12.8")).unwrap();
    let never = |_: &str, _: &Path| false;
    let machine = prepare(world.places.clone(), &never).unwrap().finish(&never).unwrap();
    let error = machine.card(0).unwrap_err();
    let path = world.at("usr/local/cuda-12.8");
    let command = format!("run `export CUDA_PATH={}`", path.display());
    assert_eq!(error.remedy().to_string(), command);
}

#[test]
fn the_environment_is_left_alone_while_there_are_threads() {
    // Tests run on their own threads. The command's tests have a process with a single one.
    assert!(!crate::ffi::set_variable("STRAIT_NVIDIA_TEST", Path::new("/x")));
    assert_eq!(std::env::var_os("STRAIT_NVIDIA_TEST"), None);
}
