//! Made-up folders for the tests, like those of a toolkit and of Python packages.

use std::collections::HashMap;
use std::path::Path;

use crate::places::Places;

/// The files that the Python packages of CUDA 12 contain, in the order of the required ones.
pub(crate) const HEADERS_OF_WHEELS: &[&str] = &[
    "nvidia/cuda_runtime/include/cuda_runtime.h",
    "nvidia/cuda_runtime/include/cuda_fp16.h",
    "nvidia/cuda_runtime/include/cuda_bf16.h",
    "nvidia/cuda_runtime/include/mma.h",
    "nvidia/cuda_runtime/include/cooperative_groups/memcpy_async.h",
    "nvidia/cuda_nvcc/include/crt/mma.h",
    "nvidia/cuda_cccl/include/nv/target",
    "nvidia/cuda_cccl/include/cuda/barrier",
];

/// Writes a file and the folders above it.
pub(crate) fn put(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

/// The packages of CUDA 12, including NVRTC.
pub(crate) fn wheels_12(site: &Path, number: u32) {
    HEADERS_OF_WHEELS.iter().for_each(|file| put(&site.join(file), ""));
    version(&site.join("nvidia/cuda_runtime/include"), number);
    put(&site.join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12"), "");
    put(&site.join("nvidia/cuda_nvrtc/lib/libnvrtc.alt.so.12"), "");
    put(&site.join("nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.8"), "");
}

/// A toolkit as NVIDIA installs it, which is also the layout of the packages of CUDA 13.
pub(crate) fn toolkit(root: &Path, libraries: &str, number: u32) {
    for file in HEADERS_OF_WHEELS {
        let inside = file.split("/include/").last().unwrap();
        let inside =
            if file.contains("cccl") { format!("cccl/{inside}") } else { inside.to_owned() };
        put(&root.join("include").join(inside), "");
    }
    version(&root.join("include"), number);
    put(&root.join(libraries).join(format!("libnvrtc.so.{}", number / 1000)), "");
}

fn version(include: &Path, number: u32) {
    let text = format!("#if 1\n#define  CUDART_VERSION  {number}\n#define OTHER 1\n");
    put(&include.join("cuda_runtime_api.h"), &text);
}

/// Places below `root`, with no library, no Python, and no variable set.
pub(crate) fn places(root: &Path) -> Places {
    Places {
        variables: HashMap::new(),
        root: root.to_owned(),
        cache: root.join("cache"),
        python: root.join("no-python").into(),
        drivers: vec![root.join("driver/libcuda.so.1").into()],
        compilers: Vec::new(),
    }
}
