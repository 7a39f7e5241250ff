//! What can be missing, and what installs it.

use std::fmt;
use std::path::PathBuf;

use crate::packages::Install;
use crate::version::Version;

/// Why a card cannot be used. [`NvidiaError::remedy`] says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvidiaError {
    /// The driver's library was not found.
    #[error("no NVIDIA driver (libcuda.so.1 cannot be loaded)")]
    NoDriver,
    /// The driver's library exists, but the driver does not start.
    #[error("the NVIDIA driver does not start: {0}")]
    DriverFails(Failure),
    /// Kernels cannot be compiled for the driver's CUDA version.
    #[error("the NVIDIA driver runs CUDA up to {driver}: expected {oldest} or later")]
    DriverTooOld {
        /// The latest CUDA version that it runs.
        driver: Version,
        /// The oldest version that would do.
        oldest: Version,
    },
    /// The driver shows no card.
    #[error("the NVIDIA driver shows no card{}", if *hidden { ": CUDA_VISIBLE_DEVICES hides them" } else { "" })]
    NoCard {
        /// Whether the user's environment hides them.
        hidden: bool,
    },
    /// The index is beyond the existing cards.
    #[error("expected an index below {count}, the number of CUDA devices, found {index}")]
    NoSuchCard {
        /// The index as given.
        index: usize,
        /// The number of cards.
        count: usize,
    },
    /// NVRTC was not found.
    #[error("NVRTC, which compiles kernels, is missing")]
    NoCompiler {
        /// What installs it, with headers.
        install: Install,
    },
    /// The only NVRTC cannot be loaded.
    #[error("NVRTC is in {} but cannot be used: {reason}", file.display())]
    BrokenCompiler {
        /// Its file.
        file: PathBuf,
        /// Why it cannot be loaded.
        reason: String,
        /// What installs another.
        install: Install,
    },
    /// The only NVRTC is older than what kernels need.
    #[error("NVRTC is that of CUDA {compiler}: expected {oldest} or later")]
    CompilerTooOld {
        /// The version found.
        compiler: Version,
        /// The oldest version that would do.
        oldest: Version,
        /// What installs another.
        install: Install,
    },
    /// The only NVRTC generates code that the driver cannot read.
    #[error(
        "NVRTC is that of CUDA {compiler}, and the driver runs CUDA up to {driver}: expected an NVRTC \
         that is not newer than the driver"
    )]
    CompilerTooNew {
        /// The version found.
        compiler: Version,
        /// The latest CUDA version that the driver runs.
        driver: Version,
        /// What installs another.
        install: Install,
    },
    /// NVRTC does not compile for the card.
    #[error(
        "NVRTC of CUDA {compiler} does not compile for {card}, whose compute capability is {capability}"
    )]
    CardNotCompiledFor {
        /// The version found.
        compiler: Version,
        /// The card's name.
        card: String,
        /// The card's compute capability.
        capability: Version,
        /// What installs another.
        install: Install,
    },
    /// Headers that kernels include are missing.
    #[error(
        "CUDA's headers for NVRTC {compiler} are missing: {}{}", missing.join(", "),
        place.as_ref().map(|place| format!(" (looked in {} too)", place.display())).unwrap_or_default()
    )]
    NoHeaders {
        /// NVRTC's version.
        compiler: Version,
        /// The folder that has most of them.
        place: Option<PathBuf>,
        /// The missing headers.
        missing: Vec<&'static str>,
        /// What installs them.
        install: Install,
    },
    /// The folder that joins the headers of Python packages cannot be created.
    #[error("{}: cannot be written ({reason}); CUDA's headers are put there", folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why it cannot be created.
        reason: String,
    },
    /// The loader finds another NVRTC before the one that matches.
    #[error(
        "NVRTC of CUDA {wanted} would do ({}), but another is found first", file.display()
    )]
    Shadowed {
        /// The version that matches.
        wanted: Version,
        /// Its file.
        file: PathBuf,
    },
    /// The variable by which kernels' headers are found should have been set before threads were
    /// started.
    #[error("CUDA_PATH is not {}, where CUDA's headers are", root.display())]
    NotSet {
        /// The value that it should have.
        root: PathBuf,
    },
}

impl NvidiaError {
    /// What to do about it, in one step.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        let advice = |text: &str| Remedy::Advice(text.to_owned());
        match self {
            NvidiaError::NoDriver => {
                advice("install NVIDIA's driver; in a container, start it with --gpus all")
            }
            NvidiaError::DriverFails(failure) => failure.remedy(),
            NvidiaError::DriverTooOld { .. } => {
                advice("update NVIDIA's driver to 550 or later, which runs CUDA 12.4")
            }
            NvidiaError::NoCard { hidden: true } => {
                Remedy::Command("unset CUDA_VISIBLE_DEVICES".to_owned())
            }
            NvidiaError::NoCard { hidden: false } => {
                advice("see what nvidia-smi -L lists; in a container, start it with --gpus all")
            }
            NvidiaError::NoSuchCard { .. } => Remedy::Command("strait devices".to_owned()),
            NvidiaError::NoCompiler { install }
            | NvidiaError::BrokenCompiler { install, .. }
            | NvidiaError::CompilerTooOld { install, .. }
            | NvidiaError::CompilerTooNew { install, .. }
            | NvidiaError::CardNotCompiledFor { install, .. }
            | NvidiaError::NoHeaders { install, .. } => Remedy::Command(install.to_string()),
            NvidiaError::Cache { .. } => {
                advice("set XDG_CACHE_HOME to a folder that can be written")
            }
            NvidiaError::Shadowed { .. } => {
                advice("take the other's folder out of LD_LIBRARY_PATH")
            }
            NvidiaError::NotSet { root } => {
                Remedy::Command(format!("export CUDA_PATH={}", root.display()))
            }
        }
    }

    /// Whether nothing was found, as opposed to something unusable.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, NvidiaError::NoDriver | NvidiaError::NoCard { hidden: true })
    }

    /// The error and its remedy in one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{self}; {}", self.remedy())
    }
}

/// How to install what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A shell command.
    Command(String),
    /// Something to do by hand.
    Advice(String),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::Command(command) => write!(f, "run `{command}`"),
            Remedy::Advice(advice) => f.write_str(advice),
        }
    }
}

/// The driver's error code and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error code; 0 if a function is missing.
    pub code: i32,
    /// The message.
    pub text: String,
}

impl Failure {
    /// The driver's error code if it is started where it shows no card.
    pub(crate) const NO_CARD: i32 = 100;

    fn remedy(&self) -> Remedy {
        let command = |line: &str| Remedy::Command(line.to_owned());
        let advice = |text: &str| Remedy::Advice(text.to_owned());
        match self.code {
            34 => advice("take the toolkit's folder \"stubs\" out of LD_LIBRARY_PATH"),
            802 => command("sudo systemctl start nvidia-fabricmanager"),
            803 => advice("restart the machine: the driver was updated under its old module"),
            804 => advice("take CUDA's folder \"compat\" out of LD_LIBRARY_PATH"),
            999 => command("sudo modprobe nvidia_uvm"),
            _ => command("nvidia-smi"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
