//! Finds the NVIDIA software on a machine: the driver, cards, the compiler of kernels (NVRTC) and the
//! headers that kernels include.
//!
//! A machine with PyTorch has a driver and no toolkit. burn's backend looks for NVRTC by name and for
//! headers by the variable `CUDA_PATH`, and panics on its own threads if one of them is missing. This
//! crate therefore searches for them before burn is used: in `$CUDA_PATH`, in the usual folders, and in
//! the packages of the active Python environment. Anything missing is an error that says so, with the
//! command that installs it.
//!
//! [`machine`] searches once. If headers are not where burn's backend would look, `CUDA_PATH` is set,
//! which is sound only while the process has one thread: a program calls [`prepare`] at the start of
//! `main`. NVRTC is loaded by its path; later lookups by name get the same library.

mod choose;
mod error;
mod ffi;
mod headers;
mod packages;
mod places;
#[cfg(test)]
mod rows;
mod search;
mod sources;
#[cfg(test)]
mod tree;
mod version;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub use crate::error::{Failure, NvidiaError, Remedy};
pub use crate::packages::{Install, Part};
pub use crate::version::Version;

use crate::choose::{About, compiles_for};
use crate::places::Places;
use crate::search::Prepared;

/// A card as the driver shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The index that `cuda:N` names.
    pub index: usize,
    /// The card's name, such as `NVIDIA H200`.
    pub name: String,
    /// Compute capability, 9.0 for an H200.
    pub capability: Version,
    /// Size of its memory in bytes.
    pub memory_bytes: u64,
}

/// The compiler of kernels and its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolkit {
    /// NVRTC's version.
    pub compiler: Version,
    /// NVRTC's file; `None` if the loader found it and does not say where.
    pub file: Option<PathBuf>,
    /// The folder whose `include` contains the headers, as in `CUDA_PATH`.
    pub root: PathBuf,
    architectures: Vec<u32>,
}

/// The NVIDIA software of a machine with a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The latest CUDA version that the driver runs.
    pub driver: Version,
    /// Its cards, at least one.
    pub cards: Vec<Card>,
    /// The toolkit that compiles kernels, or what is missing for it.
    pub toolkit: Result<Toolkit, NvidiaError>,
}

impl Machine {
    /// The card with this index, if it can be used.
    ///
    /// # Errors
    /// When there is no such card, or kernels cannot be compiled for it.
    pub fn card(&self, index: usize) -> Result<&Card, NvidiaError> {
        let count = self.cards.len();
        let card = self.cards.get(index).ok_or(NvidiaError::NoSuchCard { index, count })?;
        let toolkit = self.toolkit.as_ref().map_err(Clone::clone)?;
        compiles_for(&toolkit.about(), card, self.driver)?;
        Ok(card)
    }
}

impl Toolkit {
    fn about(&self) -> About {
        About { version: self.compiler, architectures: self.architectures.clone() }
    }
}

/// The first half of [`machine`], which does not start the driver. A program that may use a card calls it
/// at the start of `main`, while it has one thread.
pub fn prepare() {
    let mut prepared = lock(&PREPARED);
    if prepared.is_none() {
        *prepared = Some(search::prepare(Places::here(), &ffi::set_variable));
    }
}

/// The software of this machine, determined once; see the crate's documentation.
///
/// # Errors
/// When there is no driver, it does not start, or it shows no card.
pub fn machine() -> &'static Result<Machine, NvidiaError> {
    static MACHINE: OnceLock<Result<Machine, NvidiaError>> = OnceLock::new();
    MACHINE.get_or_init(|| {
        prepare();
        let prepared = lock(&PREPARED).take().unwrap_or(Err(NvidiaError::NoDriver));
        prepared.and_then(|prepared| prepared.finish(&ffi::set_variable))
    })
}

/// The card with this index, if it can be used: [`Machine::card`] of this machine.
///
/// # Errors
/// When there is no such card, or something is missing for it.
pub fn card(index: usize) -> Result<&'static Card, NvidiaError> {
    machine().as_ref().map_err(Clone::clone)?.card(index)
}

static PREPARED: Mutex<Option<Result<Prepared, NvidiaError>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
