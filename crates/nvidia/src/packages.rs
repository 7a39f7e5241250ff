//! The PyPI packages that contain what compiling kernels needs, and the command that installs them.

use std::fmt;

use crate::version::Version;

/// A part of CUDA that is a package on PyPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// NVRTC.
    Compiler,
    /// `cuda_runtime.h`, `cuda_fp16.h` and others.
    Runtime,
    /// The folder `crt`, which those include.
    Crt,
    /// `cuda/barrier` and `nv/target`.
    Cccl,
}

impl Part {
    /// All parts.
    pub(crate) const ALL: [Part; 4] = [Part::Compiler, Part::Runtime, Part::Crt, Part::Cccl];
    /// The parts that contain headers.
    pub(crate) const HEADERS: [Part; 3] = [Part::Runtime, Part::Crt, Part::Cccl];

    /// Name and version range of the package for a CUDA version, in pip's syntax.
    fn requirement(self, cuda: Version) -> String {
        let name = match self {
            Part::Compiler => "nvrtc",
            Part::Runtime => "runtime",
            Part::Crt if cuda.major < 13 => "nvcc",
            Part::Crt => "crt",
            Part::Cccl => "cccl",
        };
        let suffix = if cuda.major < 13 { format!("-cu{}", cuda.major) } else { String::new() };
        // `~=12.8.0` matches any 12.8, and no shell interprets it. CCCL's version numbers differ
        // from CUDA's after 13.3, and each serves all of its CUDA.
        let versions = match self {
            Part::Cccl if cuda.major >= 13 => format!("{}.0", cuda.major),
            _ => format!("{cuda}.0"),
        };
        format!("nvidia-cuda-{name}{suffix}~={versions}")
    }
}

/// The command that installs parts of a version of CUDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The missing parts.
    pub parts: Vec<Part>,
    /// The CUDA version they are for.
    pub cuda: Version,
}

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("python3 -m pip install")?;
        self.parts.iter().try_for_each(|part| write!(f, " {}", part.requirement(self.cuda)))
    }
}

/// Architectures that NVRTC 12.8 compiles for, the version that was tested most.
const ARCHITECTURES_OF_12_8: std::ops::RangeInclusive<u32> = 50..=120;
/// Architectures in that range that were added later.
const LATER: [u32; 3] = [88, 103, 110];

/// The CUDA version to install for a driver and a card.
pub(crate) fn fitting(driver: Version, architecture: Option<u32>) -> Version {
    let usual = architecture.is_none_or(|architecture| {
        ARCHITECTURES_OF_12_8.contains(&architecture) && !LATER.contains(&architecture)
    });
    let wanted = if usual { Version::new(12, 8) } else { Version::new(13, 0) };
    match wanted.min(driver) {
        // The only version of its family that was never released.
        Version { major: 12, minor: 7 } => Version::new(12, 6),
        version => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_version() {
        let install = |parts: &[Part], major, minor| {
            Install { parts: parts.to_vec(), cuda: Version::new(major, minor) }.to_string()
        };
        assert_eq!(
            install(&Part::ALL, 12, 8),
            "python3 -m pip install nvidia-cuda-nvrtc-cu12~=12.8.0 nvidia-cuda-runtime-cu12~=12.8.0 \
             nvidia-cuda-nvcc-cu12~=12.8.0 nvidia-cuda-cccl-cu12~=12.8.0"
        );
        assert_eq!(
            install(&[Part::Crt, Part::Cccl], 13, 5),
            "python3 -m pip install nvidia-cuda-crt~=13.5.0 nvidia-cuda-cccl~=13.0"
        );
    }

    #[test]
    fn what_is_recommended_runs_on_driver_and_card() {
        let fits = |major, minor, architecture| {
            fitting(Version::new(major, minor), Some(architecture)).to_string()
        };
        assert_eq!(fits(13, 0, 90), "12.8");
        assert_eq!(fits(13, 0, 70), "12.8");
        assert_eq!(fits(12, 8, 120), "12.8");
        assert_eq!(fits(13, 0, 121), "13.0");
        assert_eq!(fits(13, 2, 103), "13.0");
        assert_eq!(fits(12, 4, 80), "12.4");
        assert_eq!(fits(12, 7, 80), "12.6");
        assert_eq!(fitting(Version::new(13, 5), None).to_string(), "12.8");
    }
}
