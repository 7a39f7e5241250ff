//! Finds the library and opens it.

#![allow(unsafe_code, reason = "opens a shared library and reads its entry")]

use std::ffi::{OsStr, OsString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::OnceLock;

use libloading::Library;

use crate::interface::{Backend, Host};

/// The environment variable that names the library's file.
pub const VARIABLE: &str = "STRAIT_BACKEND";

/// The library's file name on this system.
pub const FILE_NAME: &str = if cfg!(target_os = "macos") {
    "libstrait_burn.dylib"
} else if cfg!(windows) {
    "strait_burn.dll"
} else {
    "libstrait_burn.so"
};

/// The symbol of the library's [`Entry`].
const SYMBOL: &[u8] = b"STRAIT_BACKEND\0";

/// The version, compiler and sources that this side was built from.
const BUILD: &str = env!("STRAIT_BACKEND_BUILD");
const BUILD_BYTES: usize = 256;

/// What a library exports under the name `STRAIT_BACKEND`.
#[repr(C)]
pub struct Entry {
    /// The text of `BUILD`, padded with zeros. It comes first and has a fixed size, so that a host of any other build
    /// can read it.
    build: [u8; BUILD_BYTES],
    start: fn(Host) -> &'static dyn Backend,
}

impl Entry {
    /// The entry of a library whose backend `start` makes. `start` is called once.
    #[must_use]
    pub const fn new(start: fn(Host) -> &'static dyn Backend) -> Entry {
        let mut build = [0; BUILD_BYTES];
        let text = BUILD.as_bytes();
        let mut index = 0;
        while index < text.len() && index < BUILD_BYTES {
            build[index] = text[index];
            index += 1;
        }
        Entry { build, start }
    }

    fn build(&self) -> String {
        let end = self.build.iter().position(|&byte| byte == 0).unwrap_or(BUILD_BYTES);
        String::from_utf8_lossy(&self.build[..end]).into_owned()
    }
}

/// Why there is no backend.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The library is in none of the places where it is looked for.
    #[error(
        "expected the library {FILE_NAME} in {}, found none; build it with `cargo xtask build-backend`, or name a file \
         in {VARIABLE}",
        shown(looked_in)
    )]
    Missing {
        /// The folders.
        looked_in: Vec<PathBuf>,
    },
    /// The file is no library that can be opened.
    #[error("{}: cannot be opened: {reason}; build it again with `cargo xtask build-backend`", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The library is of another build than the host.
    #[error(
        "{}: expected the build \"{BUILD}\", as this program's, found \"{found}\"; build it again with \
         `cargo xtask build-backend`", file.display()
    )]
    OtherBuild {
        /// The file.
        file: PathBuf,
        /// The library's build.
        found: String,
    },
}

fn shown(folders: &[PathBuf]) -> String {
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    folders.join(", ")
}

/// The backend, which is opened on first use and stays until the program ends.
///
/// # Errors
/// When there is no library, or it is of another build.
pub fn backend() -> Result<&'static dyn Backend, BackendError> {
    static BACKEND: OnceLock<Result<&'static dyn Backend, BackendError>> = OnceLock::new();
    BACKEND.get_or_init(|| open_first(&find(std::env::var_os(VARIABLE), folders())?)).clone()
}

/// Sets how the program ends when a device is lost, for a program that supervises its own end. The argument is the exit
/// code. By default the program just exits. Has no effect after [`backend`] has opened the library.
pub fn leave_by(leave: fn(i32) -> !) {
    // The first one set stays.
    let _ = LEAVE.set(leave);
}

static LEAVE: OnceLock<fn(i32) -> !> = OnceLock::new();

/// The folders in which the library is looked for: beside the program, where cargo puts it before it is moved there, and in
/// the place for libraries of an installed program.
fn folders() -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(|program| program.canonicalize());
    let Some(folder) = program.ok().and_then(|program| program.parent().map(Path::to_owned)) else {
        return Vec::new();
    };
    vec![folder.clone(), folder.join("deps"), folder.join("../lib/strait")]
}

/// The files to try, which are more than none.
fn find(named: Option<OsString>, folders: Vec<PathBuf>) -> Result<Vec<PathBuf>, BackendError> {
    if let Some(named) = named.filter(|named| named != OsStr::new("")) {
        return Ok(vec![named.into()]);
    }
    let mut found: Vec<_> = folders.iter().map(|folder| folder.join(FILE_NAME)).collect();
    found.retain(|file| file.is_file());
    if found.is_empty() { Err(BackendError::Missing { looked_in: folders }) } else { Ok(found) }
}

/// Opens the first file that can be used; the error is that of the first one.
fn open_first(files: &[PathBuf]) -> Result<&'static dyn Backend, BackendError> {
    let mut first = Err(BackendError::Missing { looked_in: Vec::new() });
    for (index, file) in files.iter().enumerate() {
        match open(file) {
            Ok(backend) => return Ok(backend),
            Err(error) if index == 0 => first = Err(error),
            Err(error) => log::debug!("{error}"),
        }
    }
    first
}

fn open(file: &Path) -> Result<&'static dyn Backend, BackendError> {
    let unusable = |error: libloading::Error| {
        let reason = error.to_string();
        BackendError::Unusable { file: file.to_owned(), reason }
    };
    // SAFETY: the user named this file, or it lies beside the program; its initializers are those of Rust's standard
    // library and of the crates of its own build.
    let library = unsafe { Library::new(file) }.map_err(unusable)?;
    // SAFETY: the symbol is the library's `Entry`. Until its build is known to be this one, only its first field is read,
    // whose layout does not change.
    let entry = unsafe { library.get::<*const Entry>(SYMBOL) }.map_err(unusable)?;
    // SAFETY: a symbol's address is not null, and the library stays open until the end of this function.
    let found = unsafe { &**entry }.build();
    if found != BUILD {
        return Err(BackendError::OtherBuild { file: file.to_owned(), found });
    }
    // SAFETY: as before; from here on the library is never closed.
    let entry: &'static Entry = unsafe { &**entry };
    std::mem::forget(library);
    log::debug!("the backend is {}", file.display());
    let leave = LEAVE.get().copied().unwrap_or(exit);
    Ok((entry.start)(Host { log: tell, level: log::max_level(), leave }))
}

/// Passes a message of the library on. A log that cannot be written must not unwind into the library.
fn tell(level: log::Level, target: &str, text: &str) {
    let _ = catch_unwind(AssertUnwindSafe(|| log::log!(target: target, level, "{text}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_the_file_are_used_unless_a_file_is_named() {
        let root = std::env::temp_dir().join(format!("strait-backend-{}", std::process::id()));
        let folders = ["a", "b", "c"].map(|name| root.join(name));
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
        }
        let missing = find(None, folders.to_vec()).unwrap_err().to_string();
        assert!(missing.contains(&folders[1].display().to_string()), "{missing}");
        assert!(missing.contains("cargo xtask build-backend"), "{missing}");
        for folder in &folders[1..] {
            std::fs::write(folder.join(FILE_NAME), "").unwrap();
        }
        let found = [1, 2].map(|at| folders[at].join(FILE_NAME));
        assert_eq!(find(None, folders.to_vec()).unwrap(), found);
        assert_eq!(find(Some("".into()), folders.to_vec()).unwrap(), found);
        assert_eq!(find(Some("x.so".into()), folders.to_vec()).unwrap(), [Path::new("x.so")]);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_file_that_is_no_library_is_named() {
        let error =
            open_first(&["/dev/null".into(), "/dev/zero".into()]).err().unwrap().to_string();
        assert!(error.starts_with("/dev/null: cannot be opened: "), "{error}");
        assert!(error.ends_with("`cargo xtask build-backend`"), "{error}");
    }

    #[test]
    fn an_entry_says_its_build() {
        fn start(_: Host) -> &'static dyn Backend {
            unreachable!("nothing is opened")
        }
        assert_eq!(Entry::new(start).build(), BUILD);
        assert!(BUILD.contains("rustc 1."), "{BUILD}");
    }
}
