//! What can be missing, and what brings it.

use std::fmt;
use std::path::PathBuf;

use crate::packages::Install;
use crate::version::Version;

/// Why a card cannot be used. [`NvidiaError::remedy`] says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvidiaError {
    /// The driver's library is nowhere.
    #[error("no NVIDIA driver (libcuda.so.1 cannot be loaded)")]
    NoDriver,
    /// The driver's library is there, but it does not start.
    #[error("the NVIDIA driver does not start: {0}")]
    DriverFails(Failure),
    /// The driver is of a CUDA that kernels cannot be compiled for.
    #[error("the NVIDIA driver runs CUDA up to {driver}: expected {oldest} or later")]
    DriverTooOld {
        /// The latest CUDA that it runs.
        driver: Version,
        /// The first that would do.
        oldest: Version,
    },
    /// The driver shows no card.
    #[error("the NVIDIA driver shows no card{}", if *hidden { ": CUDA_VISIBLE_DEVICES hides them" } else { "" })]
    NoCard {
        /// Whether the user hides them.
        hidden: bool,
    },
    /// There are cards, but fewer.
    #[error("expected an index below {count}, the number of CUDA devices, found {index}")]
    NoSuchCard {
        /// The index as given.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// NVRTC is nowhere.
    #[error("NVRTC, which compiles kernels, is missing")]
    NoCompiler {
        /// What brings it, with headers.
        install: Install,
    },
    /// The only NVRTC cannot be loaded.
    #[error("NVRTC is in {} but cannot be used: {reason}", file.display())]
    BrokenCompiler {
        /// Its file.
        file: PathBuf,
        /// Why not.
        reason: String,
        /// What brings another.
        install: Install,
    },
    /// The only NVRTC is older than what kernels need.
    #[error("NVRTC is that of CUDA {compiler}: expected {oldest} or later")]
    CompilerTooOld {
        /// What is there.
        compiler: Version,
        /// The first that would do.
        oldest: Version,
        /// What brings another.
        install: Install,
    },
    /// The only NVRTC writes kernels that the driver cannot read.
    #[error(
        "NVRTC is that of CUDA {compiler}, and the driver runs CUDA up to {driver}: expected an NVRTC \
         that is not newer than the driver"
    )]
    CompilerTooNew {
        /// What is there.
        compiler: Version,
        /// The latest CUDA that the driver runs.
        driver: Version,
        /// What brings another.
        install: Install,
    },
    /// NVRTC does not compile for the card.
    #[error(
        "NVRTC of CUDA {compiler} does not compile for {card}, whose compute capability is {capability}"
    )]
    CardNotCompiledFor {
        /// What is there.
        compiler: Version,
        /// The card's name.
        card: String,
        /// The card's compute capability.
        capability: Version,
        /// What brings another.
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
        /// Where most of them are.
        place: Option<PathBuf>,
        /// Those that are not there.
        missing: Vec<&'static str>,
        /// What brings them.
        install: Install,
    },
    /// The folder that joins the headers of Python packages cannot be made.
    #[error("{}: cannot be written ({reason}); CUDA's headers are put there", folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The loader finds another NVRTC before the one that fits.
    #[error(
        "NVRTC of CUDA {wanted} would do ({}), but another is found first", file.display()
    )]
    Shadowed {
        /// The version that fits.
        wanted: Version,
        /// Its file.
        file: PathBuf,
    },
    /// The variable that kernels' headers are found by would have had to be set before threads were
    /// started.
    #[error("CUDA_PATH is not {}, where CUDA's headers are", root.display())]
    NotSet {
        /// The folder that it should be.
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

    /// Whether there is nothing to use, rather than something that cannot be used.
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

/// What brings what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A line for a shell.
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

/// What the driver answers when it does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its number; 0 when a function is missing.
    pub code: i32,
    /// What it says.
    pub text: String,
}

impl Failure {
    /// The driver was asked to start where it shows no card.
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
