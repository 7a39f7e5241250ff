//! What is told of a device that failed.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use strait_backend::{Backend, BackendDevice};
use strait_burn::{Burn, reason};

/// What CubeCL says of a kernel that NVRTC refuses, cut short.
const SAID: &str = "An error happened during execution
Caused by:
  The server is in an invalid state
Caused by:
  [Launch(A compilation error happened during launch
Caused by:
  An error caused the compilation to fail
Caused by:
  [Compilation Error]
    default_program(12): error: identifier \"half2x\" is undefined
        half2x value = 0;
        ^
    default_program(13): error: expected a \";\"
      }
    2 errors detected in the compilation of \"default_program\".
[Source]
#include <cuda_runtime.h>

extern \"C\" __global__ void __launch_bounds__(64)matmul_entry_f32 (
    const float_4* __restrict__ buffer_0
) {
half2x value = 0;
}

Backtrace:
No backtrace available)]";

/// Set for a child that a test starts: where it puts its cache.
const CHILD: &str = "STRAIT_TEST_FAILURES";

#[test]
fn a_kernel_that_does_not_compile_is_named_and_kept() {
    if std::env::var_os(CHILD).is_some() {
        println!("{}", reason(SAID));
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let (out, _) = child("a_kernel_that_does_not_compile_is_named_and_kept", &cache);
    let (before, rest) = out.split_once("the compiler says: ").unwrap();
    let told = "the kernel matmul_entry_f32 does not compile:
    default_program(12): error: identifier \"half2x\" is undefined
        half2x value = 0;
        ^
    default_program(13): error: expected a \";\"
its source and all that ";
    assert!(before.ends_with(told), "{before}");
    let file = rest.lines().next().unwrap();
    assert!(file.contains("/strait/kernels/failed/matmul_entry_f32-"), "{file}");
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(kept.starts_with("#include <cuda_runtime.h>\n\nextern \"C\""), "{kept}");
    assert!(
        kept.ends_with("//     2 errors detected in the compilation of \"default_program\".\n")
    );
    assert!(!kept.contains("Backtrace"), "{kept}");
}

#[test]
fn other_failures_are_what_they_say() {
    let said = "An error happened during execution\nCaused by:\n  The server is in an invalid state\n\
        Caused by:\n  [Launch(An unknown error happened during launch\nCaused by:\n  \
        DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access was encountered\")\n\
        Backtrace\nNo backtrace available)]";
    let told =
        "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access was encountered\")";
    assert_eq!(reason(said), told);
    assert_eq!(reason("one\ntwo\n\nthree"), "one; two; three");
    let full = "An error happened during execution\nCaused by:\n  can't allocate buffer of size: 70\n\
        No backtrace available";
    assert!(reason(full).starts_with("its memory does not hold another 70 bytes: make run.cell"));
}

#[test]
fn a_device_whose_thread_is_gone_ends_the_program() {
    if std::env::var_os(CHILD).is_some() {
        // Opening a device sees to it.
        Burn.open(BackendDevice::Plain).unwrap();
        std::thread::spawn(|| panic!("somebody else")).join().unwrap_err();
        let thread = std::thread::Builder::new().name("DSD-0-0".to_owned());
        thread.spawn(|| panic!("the device's thread")).unwrap().join().unwrap_err();
        println!("numbers that are nobody's");
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let output = run("a_device_whose_thread_is_gone_ends_the_program", &cache);
    assert_eq!(output.status.code(), Some(2));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("nobody's"));
    // Other panics are printed as before; this one is an error of the log, which a test has not.
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("somebody else") && !text.contains("the device's thread"), "{text}");
}

/// Runs one test of this program in a process of its own.
fn run(name: &str, cache: &tempfile::TempDir) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .env("XDG_CACHE_HOME", cache.path())
        .output()
        .unwrap()
}

/// The same, expecting success: standard output and standard error.
fn child(name: &str, cache: &tempfile::TempDir) -> (String, String) {
    let output = run(name, cache);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}
