//! `strait devices`, and `auto` where there is a driver that cannot be used: with libraries that stand
//! in for NVIDIA's.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::harness::{Bench, root};

/// A folder with the libraries of `crates/nvidia/stubs`, compiled with these definitions.
fn driver(folder: &Bench, definitions: &[&str]) -> PathBuf {
    let libraries = folder.path().join("driver");
    compile("cuda.c", &libraries.join("libcuda.so.1"), definitions);
    // The first name that is asked for, in case this machine has a driver.
    std::fs::copy(libraries.join("libcuda.so.1"), libraries.join("libcuda.so")).unwrap();
    libraries
}

fn compile(source: &str, file: &Path, definitions: &[&str]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(file)
        .arg(root().join("crates/nvidia/stubs").join(source))
        .arg(format!("-Wl,-soname,{name}"))
        .args(definitions.iter().map(|definition| format!("-D{definition}")))
        .status()
        .unwrap();
    assert!(status.success());
}

fn devices(folder: &Bench, libraries: &Path, arguments: &[&str]) -> Output {
    let all = [&["devices"], arguments].concat();
    let mut command = folder.command(&all);
    command.env("LD_LIBRARY_PATH", libraries).env("XDG_CACHE_HOME", folder.path());
    let output = command.env_remove("CUDA_PATH").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_driver_that_does_not_start_is_told_with_its_remedy() {
    let folder = Bench::new(&[]);
    let libraries = driver(&folder, &["INIT=803"]);
    let output = devices(&folder, &libraries, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let rows: Vec<&str> = text.lines().take(3).collect();
    assert!(rows[0].starts_with("device     name") && rows[0].ends_with("usable"), "{text}");
    assert!(rows[1].starts_with("cpu        the CPU, ") && rows[1].ends_with("yes"), "{text}");
    assert!(rows[2].starts_with("cpu:plain  ") && rows[2].ends_with("yes"), "{text}");
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        joined.ends_with(
            "A GPU cannot be used: the NVIDIA driver does not start: system has unsupported display \
             driver / cuda driver combination (CUDA error 803). restart the machine: the driver was \
             updated under its old module"
        ),
        "{text}"
    );
}

#[test]
fn auto_with_a_driver_that_cannot_be_used_warns_and_records_it() {
    let folder = Bench::new(&[]);
    let libraries = driver(&folder, &["INIT=803"]);
    folder.experiment("");
    let assets = root().join("assets");
    let arguments = ["run", "test.toml", "--device", "auto", "--assets", assets.to_str().unwrap()];
    let output = folder.command(&arguments).env("LD_LIBRARY_PATH", &libraries).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let reason = "the NVIDIA driver does not start: system has unsupported display driver";
    let warning =
        format!("warning: device \"auto\" is the CPU, because the GPU cannot be used: {reason}");
    assert_eq!(stderr.matches(&warning).count(), 1, "{stderr}");
    let (_, record) = folder.records("results/test").remove(0);
    let kept = record["environment"]["passed_over"].as_str().unwrap();
    assert!(kept.starts_with(reason), "{kept}");
    // A device by its name is another thing.
    let arguments =
        ["run", "test.toml", "--device", "cuda:0", "--assets", assets.to_str().unwrap()];
    let output = folder.command(&arguments).env("LD_LIBRARY_PATH", &libraries).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains(&format!("error: device \"cuda:0\" cannot be used: {reason}")),
        "{stderr}"
    );
}

#[test]
fn a_record_of_the_cpu_says_nothing_of_a_gpu() {
    let folder = Bench::new(&[]);
    folder.experiment("");
    folder.run_ok(&[]);
    let (_, record) = folder.records("results/test").remove(0);
    assert_eq!(record["environment"].get("passed_over"), None);
}

#[test]
fn what_is_found_is_used_and_a_kernel_that_does_not_run_is_the_reason() {
    let folder = Bench::new(&[]);
    let libraries = driver(&folder, &[]);
    // A compiler that brings its headers: all that is asked of a toolkit.
    compile("nvrtc.c", &libraries.join("libnvrtc.so"), &[]);
    std::fs::copy(libraries.join("libnvrtc.so"), libraries.join("libnvrtc.so.12")).unwrap();
    std::fs::create_dir_all(libraries.join("include")).unwrap();
    std::fs::write(libraries.join("include/own.h"), "").unwrap();
    let output = devices(&folder, &libraries, &["--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["nvidia"]["driver"], "12.8");
    assert_eq!(found["nvidia"]["nvrtc"], "12.8");
    // The process had one thread when it was set: otherwise this would be the reason below.
    let headers = found["nvidia"]["headers"].as_str().unwrap();
    assert_eq!(Path::new(headers), libraries.join("include"));
    let card = &found["devices"][2];
    assert_eq!(card["name"], "NVIDIA Stub");
    assert_eq!(card["capability"], "9.0");
    // The stub has nothing that a kernel runs with.
    assert_eq!(card["usable"], false);
    let reason = card["reason"].as_str().unwrap();
    assert!(reason.contains("Missing symbol cuDevicePrimaryCtxRetain"), "{reason}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}
