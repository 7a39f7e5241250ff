//! What a machine has of NVIDIA's: the driver, cards, the compiler of kernels (NVRTC) and the headers
//! that kernels include.
//!
//! Who has PyTorch has a driver and no toolkit. burn's backend looks for NVRTC by name and for headers
//! by the variable `CUDA_PATH`, and panics on its threads where one of them is missing. So this is
//! looked for before burn is touched: in `$CUDA_PATH`, in the usual folders, and in the packages of the
//! active Python environment. What is missing is an error that says so, with the command that brings it.
//!
//! [`machine`] looks once. Where headers are in another place than burn's backend would look, `CUDA_PATH`
//! is set, which is sound only while the process has one thread: a program calls [`prepare`] first thing
//! in `main`. NVRTC is loaded by its path; who asks the loader for its name afterwards gets it.

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
    /// `NVIDIA H200`.
    pub name: String,
    /// 9.0 for an H200.
    pub capability: Version,
    /// Size of its memory.
    pub memory_bytes: u64,
}

/// The compiler of kernels and the headers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolkit {
    /// NVRTC's version.
    pub compiler: Version,
    /// NVRTC's file; none where the loader found it and does not say where.
    pub file: Option<PathBuf>,
    /// The folder whose `include` has the headers, as in `CUDA_PATH`.
    pub root: PathBuf,
    architectures: Vec<u32>,
}

/// What a machine with a driver has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The latest CUDA that the driver runs.
    pub driver: Version,
    /// Its cards, at least one.
    pub cards: Vec<Card>,
    /// What kernels are compiled with, or what is missing for it.
    pub toolkit: Result<Toolkit, NvidiaError>,
}

impl Machine {
    /// The card of an index, if it can be used.
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

/// The first half of [`machine`], which does not start the driver: what a program that may use a card
/// calls first thing in `main`, while it has one thread.
pub fn prepare() {
    let mut prepared = lock(&PREPARED);
    if prepared.is_none() {
        *prepared = Some(search::prepare(Places::here(), &ffi::set_variable));
    }
}

/// What this machine has, looked for once; see the crate's own text.
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

/// The card of an index, if it can be used: [`Machine::card`] of this machine.
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
